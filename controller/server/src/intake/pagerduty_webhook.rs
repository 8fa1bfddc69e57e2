//! PagerDuty's webhooks, version 3: what became of its own incidents, in the words of an event each. Alerts that came to it with a
//! `dedup_key`, and to us as well, are one incident: it is the fingerprint. <https://developer.pagerduty.com/docs/webhooks-overview>. Pure.

use serde_json::{Map, Value};

use super::report::{Report, State, object, text};

/// Words after `incident.` that leave its trouble as it is.
const NOTED: &[&str] = &[
    "acknowledged",
    "unacknowledged",
    "annotated",
    "delegated",
    "escalated",
    "reassigned",
    "priority_updated",
    "service_updated",
    "status_update_published",
    "title_updated",
    "urgency_updated",
];
/// Words after `service.`: a change of what PagerDuty knows of a service, and no trouble of it.
const OF_SERVICES: &[&str] = &["created", "updated", "deleted", "custom_field_values.updated"];

/// Whether a body is one.
pub(super) fn is_one(fields: &Map<String, Value>) -> bool {
    let event = object(fields, "event");
    let names = |word: String| {
        ["incident.", "service.", "pagey."]
            .iter()
            .any(|what| word.starts_with(what))
    };
    text(&event, "event_type").is_some_and(names) && event.get("data").is_some_and(Value::is_object)
}

/// The event.
pub(super) fn read(fields: &Map<String, Value>) -> Result<Report, String> {
    let event = object(fields, "event");
    let kind = text(&event, "event_type").ok_or("event.event_type is missing")?;
    let data = object(&event, "data");
    let shown: String = kind.chars().take(80).collect();
    let state = match kind.strip_prefix("incident.") {
        Some("triggered" | "reopened") => State::Firing,
        Some("resolved") => State::Resolved(format!("event_type: {shown}")),
        Some(other) if is_noted(other) => State::Noted(format!("event_type: {shown}")),
        None if is_of_service(&kind) => State::Noted(format!("event_type: {shown}")),
        // The button by which a webhook is tried out.
        None if kind == "pagey.ping" => State::Test,
        _ => {
            return Err(format!(
                "event.event_type is {shown:?}: events of incidents are read (incident.triggered, incident.resolved, …)"
            ));
        }
    };
    // A note, or who answered, is about an incident of its own field.
    let incident = match text(&data, "type").as_deref() {
        Some("incident") | None => data.clone(),
        Some(_) => object(&data, "incident"),
    };
    let id = match text(&incident, "id") {
        Some(id) => id,
        None if state == State::Test => kind.clone(),
        // It opens and ends nothing, whatever it is about.
        None if matches!(state, State::Noted(_)) => text(&data, "id").unwrap_or_else(|| kind.clone()),
        None => return Err("event.data.id is missing: it says which incident this is about".to_owned()),
    };
    let title = text(&incident, "title").or_else(|| text(&incident, "summary"));
    let alert_type = match (title, &state) {
        (Some(title), _) => title,
        (None, State::Firing) => return Err("event.data.title is missing".to_owned()),
        (None, _) => id.clone(),
    };
    let mut labels = Map::new();
    // What is affected: a container, where one is called like the service.
    let service = text(&object(&incident, "service"), "summary");
    labels.extend(service.map(|service| ("service".to_owned(), service.into())));
    let mut annotations = Map::new();
    for name in ["number", "incident_key", "resolve_reason"] {
        let said = incident.get(name).filter(|value| !value.is_null());
        annotations.extend(said.map(|value| (name.to_owned(), value.clone())));
    }
    for (name, of) in [("priority", &incident), ("client", &event)] {
        let named = object(of, name);
        let said = text(&named, "summary").or_else(|| text(&named, "name"));
        annotations.extend(said.map(|said| (name.to_owned(), said.into())));
    }
    // Opened again, it has the time at which it was first made: from before the end that it takes back.
    let starts_at = match kind.as_str() {
        "incident.reopened" => event.get("occurred_at"),
        _ => incident.get("created_at"),
    };
    Ok(Report {
        id,
        fingerprint: text(&incident, "incident_key"),
        state,
        severity: text(&incident, "urgency"),
        starts_at: starts_at.cloned().unwrap_or_default(),
        ends_at: event.get("occurred_at").cloned().unwrap_or_default(),
        url: text(&incident, "html_url"),
        logs: alert_type.clone(),
        alert_type,
        labels,
        annotations,
        ..Report::default()
    })
}

/// Whether an event of an incident is neither its beginning nor its end.
fn is_noted(word: &str) -> bool {
    let parts = [
        "responder.",
        "conference_bridge.",
        "custom_field_values.",
        "action_invocation.",
        "incident_type.",
        "workflow.",
        "role.",
        "task.",
    ];
    NOTED.contains(&word) || parts.iter().any(|part| word.starts_with(part))
}

fn is_of_service(kind: &str) -> bool {
    kind.strip_prefix("service.")
        .is_some_and(|word| OF_SERVICES.contains(&word))
}
