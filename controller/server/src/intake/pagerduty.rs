//! PagerDuty's Events API, version 2, which its senders write: `trigger`, `acknowledge`, `resolve`, distinguished by the `dedup_key`. The routing key is
//! a secret, and is not kept. <https://developer.pagerduty.com/docs/events-api-v2-overview>. Pure.

use serde_json::{Map, Value};

use super::report::{Report, State, made_id, object, text};

/// Whether a body is one.
pub(super) fn is_one(fields: &Map<String, Value>) -> bool {
    fields.contains_key("event_action")
        && (fields.contains_key("routing_key") || fields.contains_key("dedup_key"))
}

/// The event.
pub(super) fn read(fields: &Map<String, Value>) -> Result<Report, String> {
    let action =
        text(fields, "event_action").ok_or("event_action is missing: trigger, acknowledge or resolve")?;
    let payload = object(fields, "payload");
    let given = text(fields, "dedup_key");
    let state = match action.to_lowercase().as_str() {
        "trigger" => State::Firing,
        "acknowledge" => State::Noted("event_action: acknowledge".to_owned()),
        "resolve" => State::Resolved("event_action: resolve".to_owned()),
        other => {
            let word: String = other.chars().take(40).collect();
            return Err(format!(
                "event_action is {word:?}: trigger, acknowledge or resolve is allowed"
            ));
        }
    };
    let part = |name: &str| text(&payload, name).unwrap_or_default();
    let summary = part("summary");
    let id = match given {
        Some(key) => key,
        None if state == State::Firing && !payload.is_empty() => made_id(
            "pagerduty",
            &[&part("source"), &part("component"), &part("class"), &summary],
        ),
        None => return Err("dedup_key is missing: it says which event this is about".to_owned()),
    };
    let alert_type = text(&payload, "class").or_else(|| text(&payload, "summary"));
    let alert_type = match (alert_type, &state) {
        (Some(text), _) => text,
        (None, State::Firing) => return Err("payload.summary is missing".to_owned()),
        (None, _) => id.clone(),
    };
    let mut labels = object(&payload, "custom_details");
    // What is affected: a machine, unless a container is called like it.
    for (name, label) in [("component", "component"), ("group", "group"), ("source", "host")] {
        if let Some(value) = payload.get(name) {
            labels.entry(label).or_insert(value.clone());
        }
    }
    let mut annotations = Map::new();
    for name in ["client", "client_url", "links"] {
        annotations.extend(fields.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    let links = fields.get("links").and_then(Value::as_array);
    let first = links.and_then(|links| text(links.first()?.as_object()?, "href"));
    Ok(Report {
        // PagerDuty's own webhooks, which have other ids, know it by this.
        fingerprint: Some(id.clone()),
        id,
        alert_type,
        state,
        severity: text(&payload, "severity"),
        starts_at: payload.get("timestamp").cloned().unwrap_or_default(),
        url: first.or_else(|| text(fields, "client_url")),
        logs: summary,
        labels,
        annotations,
        ..Report::default()
    })
}
