//! Grafana's webhook: of unified alerting, which is Alertmanager's with more fields, and of the notification channels
//! before it, with one message a rule. The button Test of both is known, and opens nothing.
//! <https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/>. Pure.

use serde_json::{Map, Value};

use super::alertmanager;
use super::report::{Report, State, made_id, object, text};

/// Whether a body is one.
pub(super) fn is_one(fields: &Map<String, Value>) -> bool {
    is_old(fields) || (alertmanager::is_one(fields) && fields.contains_key("orgId"))
}

fn is_old(fields: &Map<String, Value>) -> bool {
    let has = |name: &str| fields.contains_key(name);
    has("ruleId") && (has("ruleName") || has("evalMatches"))
}

/// Its alerts; of each that is none, what is wrong with it.
pub(super) fn read(fields: &Map<String, Value>) -> Result<Vec<Result<Report, String>>, String> {
    if is_old(fields) {
        return Ok(vec![Ok(old(fields))]);
    }
    let mut all = alertmanager::read(fields)?;
    for (report, alert) in all.iter_mut().zip(alerts(fields)) {
        if let Ok(report) = report {
            refine(report, alert);
        }
    }
    Ok(all)
}

fn alerts(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    fields
        .get("alerts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What Grafana has more than Alertmanager.
fn refine(report: &mut Report, alert: &Value) {
    let Value::Object(alert) = alert else { return };
    let is_test = text(&report.labels, "alertname").as_deref() == Some("TestAlert")
        && text(&report.labels, "instance").as_deref() == Some("Grafana");
    if is_test {
        report.state = State::Test;
    }
    if let Some(url) = ["panelURL", "dashboardURL"]
        .iter()
        .find_map(|name| text(alert, name))
    {
        report.url = Some(url);
    }
    if let Some(values) = text(alert, "valueString") {
        report.logs = [report.logs.as_str(), values.as_str()]
            .join("\n")
            .trim()
            .to_owned();
    }
    // A rule whose query fails, or has no data, fires under a name of Grafana's; its own is in another label.
    if matches!(report.alert_type.as_str(), "DatasourceError" | "DatasourceNoData")
        && let Some(rule) = text(&report.labels, "rulename")
    {
        report.alert_type = format!("{}: {rule}", report.alert_type);
    }
}

/// A notification of a rule as versions up to 8 send it.
fn old(fields: &Map<String, Value>) -> Report {
    let name = text(fields, "ruleName").or_else(|| text(fields, "title"));
    let name = name.unwrap_or_else(|| "unnamed rule".to_owned());
    let rule = text(fields, "ruleId").unwrap_or_default();
    let word = text(fields, "state").unwrap_or_default().to_lowercase();
    let state = match word.as_str() {
        "ok" => State::Resolved("state: ok".to_owned()),
        "paused" | "pending" => State::Noted(format!("state: {word}")),
        _ if rule == "0" && name == "Test notification" => State::Test,
        _ => State::Firing,
    };
    let mut labels = object(fields, "tags");
    let matches = fields.get("evalMatches").and_then(Value::as_array);
    let mut logs: Vec<String> = text(fields, "message").into_iter().collect();
    for found in matches.into_iter().flatten().filter_map(Value::as_object) {
        let value = found.get("value").map(ToString::to_string).unwrap_or_default();
        logs.push(format!("{} = {value}", text(found, "metric").unwrap_or_default()));
        for (name, value) in object(found, "tags") {
            labels.entry(name).or_insert(value);
        }
    }
    let org = text(fields, "orgId").unwrap_or_default();
    Report {
        id: made_id("grafana", &[&org, &rule, &name]),
        alert_type: name,
        state,
        severity: text(&labels, "severity"),
        url: text(fields, "ruleUrl"),
        logs: logs.join("\n"),
        labels,
        ..Report::default()
    }
}
