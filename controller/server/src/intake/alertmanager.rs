//! Prometheus Alertmanager's webhook, version 4: a group of alerts, each firing or resolved. Fields that are not known are
//! left alone. <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>. Pure.

use serde_json::{Map, Value};

use super::report::{Report, State, id_of_labels, object, text};

/// Whether a body is one.
pub(super) fn is_one(fields: &Map<String, Value>) -> bool {
    let has = |name: &str| fields.contains_key(name);
    fields.get("alerts").is_some_and(Value::is_array)
        && (has("groupKey") || has("groupLabels") || has("commonLabels") || has("receiver"))
}

/// Its alerts; of each that is none, what is wrong with it.
pub(super) fn read(fields: &Map<String, Value>) -> Result<Vec<Result<Report, String>>, String> {
    let alerts = match fields.get("alerts") {
        Some(Value::Array(alerts)) => alerts,
        Some(_) => return Err("alerts is no list".to_owned()),
        None => return Err("there are no alerts in it: a field of that name is missing".to_owned()),
    };
    Ok(alerts
        .iter()
        .enumerate()
        .map(|(at, alert)| match alert {
            Value::Object(alert) => Ok(report(fields, alert)),
            _ => Err(format!("alerts[{at}] is no object")),
        })
        .collect())
}

/// How many alerts of the group are not in the body (`max_alerts`).
pub(super) fn truncated(fields: &Map<String, Value>) -> u64 {
    let truncated = fields.get("truncatedAlerts");
    truncated.and_then(Value::as_u64).unwrap_or_default()
}

pub(super) fn report(group: &Map<String, Value>, alert: &Map<String, Value>) -> Report {
    let labels = match alert.get("labels") {
        Some(Value::Object(labels)) => labels.clone(),
        _ => object(group, "commonLabels"),
    };
    let annotations = match alert.get("annotations") {
        Some(Value::Object(annotations)) => annotations.clone(),
        _ => object(group, "commonAnnotations"),
    };
    let alert_type = text(&labels, "alertname")
        .or_else(|| text(&object(group, "commonLabels"), "alertname"))
        .or_else(|| text(&object(group, "groupLabels"), "alertname"))
        .unwrap_or_else(|| "unnamed alert".to_owned());
    let id = text(alert, "fingerprint").unwrap_or_else(|| id_of_labels("alertmanager", &labels));
    let status = text(alert, "status").or_else(|| text(group, "status"));
    let status = status.unwrap_or_default().to_lowercase();
    let state = if status == "resolved" {
        State::Resolved("status: resolved".to_owned())
    } else {
        State::Firing
    };
    Report {
        id,
        alert_type,
        state,
        severity: text(&labels, "severity").or_else(|| text(&labels, "priority")),
        starts_at: alert.get("startsAt").cloned().unwrap_or_default(),
        ends_at: alert.get("endsAt").cloned().unwrap_or_default(),
        url: text(alert, "generatorURL").or_else(|| text(group, "externalURL")),
        logs: words(&annotations),
        labels,
        annotations,
        ..Report::default()
    }
}

/// What its annotations say, what people read first at the front.
pub(super) fn words(annotations: &Map<String, Value>) -> String {
    let first = ["summary", "description", "message"];
    let lines = first.iter().filter_map(|name| text(annotations, name));
    lines.collect::<Vec<_>>().join("\n")
}
