//! `describe`: everything about one object on one page. Pure.

mod autoscale;
mod detector;
mod incident;
mod load_balancer;
mod runbook;
mod sheet;
mod workload;

use aegis_api::condition::Condition;
use aegis_api::proposal::ContainerEvidence;
use aegis_api::wire::BalancerMetrics;
use aegis_api::{Detector, Incident, LoadBalancer, RunbookEntry, Time, Workload};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::age::{age, when};
use super::columns::aligned;
use super::table::labels;
use crate::text;
use sheet::Sheet;

/// The page of an object, with its Events (core `v1`) at the end; of a load balancer with its requests, where they are known.
pub(crate) fn describe(
    object: &Value,
    traffic: Option<&BalancerMetrics>,
    events: &[Value],
    now: Time,
) -> String {
    let mut sheet = Sheet::default();
    head(&mut sheet, object, now);
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    // An object of a newer server may not decode: then it is shown as the data it is.
    let known = match kind {
        "Incident" => with::<Incident>(object, |incident| incident::write(&mut sheet, incident, now)),
        "Workload" => with::<Workload>(object, |workload| {
            workload::write(&mut sheet, workload, object, now);
        }),
        "LoadBalancer" => with::<LoadBalancer>(object, |balancer| {
            load_balancer::write(&mut sheet, balancer, object, traffic, now);
        }),
        "Detector" => with::<Detector>(object, |detector| detector::write(&mut sheet, detector, now)),
        "RunbookEntry" => with::<RunbookEntry>(object, |entry| runbook::write(&mut sheet, entry, now)),
        _ => false,
    };
    if !known {
        sheet.data("Spec", object.get("spec").unwrap_or(&Value::Null));
        sheet.data("Status", object.get("status").unwrap_or(&Value::Null));
    }
    sheet.table("Events", events_table(events, now).as_deref());
    sheet.finish()
}

/// A field of the spec whose default is chosen where the controller is started; as it was written, if it was.
fn chosen<'a>(object: &'a Value, field: &str) -> &'a str {
    let written = object.pointer(field).and_then(Value::as_str);
    written.unwrap_or("<the controller's default>")
}

/// What was found inside a container, beyond what a table's row holds.
fn inside(sheet: &mut Sheet, container: &ContainerEvidence) {
    let name = text::line(&container.name);
    for (what, lines) in [
        ("Processes", &container.processes),
        ("Changed files", &container.filesystem),
    ] {
        if !lines.is_empty() {
            sheet.block(&format!("{what} of {name}"), &lines.join("\n"));
        }
    }
}

fn with<K: DeserializeOwned>(object: &Value, write: impl FnOnce(&K)) -> bool {
    serde_json::from_value::<K>(object.clone())
        .map(|typed| write(&typed))
        .is_ok()
}

fn head(sheet: &mut Sheet, object: &Value, now: Time) {
    let at = |pointer: &str| object.pointer(pointer).map(super::jsonpath::plain);
    sheet.field("Name", at("/metadata/name").unwrap_or_default());
    sheet.field("Kind", at("/kind").unwrap_or_default());
    sheet.field("Labels", labels(object));
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let shown = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| !aegis_api::meta::NOTES.contains(&key.as_str()));
    let shown: Vec<String> = shown
        .map(|(key, value)| format!("{key}={}", super::jsonpath::plain(value)))
        .collect();
    if !shown.is_empty() {
        sheet.field("Annotations", shown.join(", "));
    }
    if let Some(created) = at("/metadata/creationTimestamp").and_then(|text| text.parse::<Time>().ok()) {
        sheet.field("Created", when(created, now));
    }
    if let Some(deleting) = at("/metadata/deletionTimestamp").and_then(|text| text.parse::<Time>().ok()) {
        sheet.field("Deleting", format!("since {}", when(deleting, now)));
    }
    if let Some(generation) = at("/metadata/generation") {
        let observed = at("/status/observedGeneration").unwrap_or_else(|| "none".to_owned());
        let note = if observed == generation {
            String::new()
        } else {
            format!(" (the controller has seen {observed})")
        };
        sheet.field("Generation", format!("{generation}{note}"));
    }
}

/// Conditions as a table; nothing where there are none.
fn conditions(sheet: &mut Sheet, conditions: &[Condition], now: Time) {
    let rows: Vec<Vec<String>> = conditions
        .iter()
        .map(|condition| {
            vec![
                text::line(&condition.type_),
                text::line(&condition.status),
                text::line(&condition.reason),
                age(Time(condition.last_transition_time.0).age(now)),
                text::line(&condition.message),
            ]
        })
        .collect();
    if !rows.is_empty() {
        sheet.table(
            "Conditions",
            Some(&aligned(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows)),
        );
    }
}

/// Events, oldest first; `None` where there are none.
pub(crate) fn events_table(events: &[Value], now: Time) -> Option<String> {
    let mut sorted: Vec<&Value> = events.iter().collect();
    sorted.sort_by_key(|event| event_time(event));
    let rows: Vec<Vec<String>> = sorted
        .into_iter()
        .map(|event| event_row(event, now, false))
        .collect();
    (!rows.is_empty()).then(|| aligned(&["TYPE", "REASON", "LAST SEEN", "MESSAGE"], rows))
}

/// When an Event was last seen.
pub(crate) fn event_time(event: &Value) -> Option<Time> {
    let at = |name: &str| {
        event
            .get(name)
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
    };
    at("lastTimestamp")
        .or_else(|| at("eventTime"))
        .or_else(|| at("firstTimestamp"))
}

/// An Event as cells; with the object it is about, where that is not plain from the context.
pub(crate) fn event_row(event: &Value, now: Time, with_object: bool) -> Vec<String> {
    let text = |pointer: &str| text::line(event.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let count = event
        .get("count")
        .and_then(Value::as_u64)
        .filter(|count| *count > 1);
    let seen = event_time(event).map_or_else(String::new, |time| age(time.age(now)));
    let times = count.map_or_else(String::new, |count| format!(" (x{count})"));
    let message = text("/message");
    if with_object {
        let about = format!(
            "{}/{}",
            text("/involvedObject/kind").to_lowercase(),
            text("/involvedObject/name")
        );
        return vec![
            format!("{seen}{times}"),
            text("/type"),
            text("/reason"),
            about,
            message,
        ];
    }
    vec![text("/type"), text("/reason"), format!("{seen}{times}"), message]
}

#[cfg(test)]
mod tests;
