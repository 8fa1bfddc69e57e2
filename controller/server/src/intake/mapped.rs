//! Bodies of senders of formats that are not built in, read by the mapping of an AlertSource. Pure.

use aegis_api::alert_source::Mapping;
use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use super::report::{Report, State, made_id};

/// Most alerts of one body.
const ALERTS: usize = 1000;
/// Most lines of logs that paths find.
const LINES: usize = 200;
/// Words for the end of trouble, where the mapping names none.
const OVER: &[&str] = &[
    "resolved",
    "resolve",
    "ok",
    "okay",
    "up",
    "recovered",
    "recovery",
    "closed",
    "normal",
    "cleared",
    "inactive",
    "healthy",
    "success",
];

/// The alerts of a body; of each that is none, what is wrong with it.
pub(super) fn read(mapping: &Mapping, body: &Value) -> Result<Vec<Result<Report, String>>, String> {
    let Some(path) = &mapping.alerts else {
        return Ok(vec![report(mapping, body, body)]);
    };
    let found = query(path, body);
    if found.is_empty() {
        return Err(format!("mapping.alerts ({path}) finds nothing in it"));
    }
    let items = listed(found);
    if items.len() > ALERTS {
        return Err(format!(
            "mapping.alerts ({path}) finds {} alerts: at most {ALERTS} are read",
            items.len()
        ));
    }
    Ok(items
        .into_iter()
        .map(|alert| report(mapping, alert, body))
        .collect())
}

/// What each alert of a body is read from.
pub(super) fn items<'a>(mapping: &Mapping, body: &'a Value) -> Vec<&'a Value> {
    match &mapping.alerts {
        Some(path) => listed(query(path, body)),
        None => vec![body],
    }
}

/// The items that a path finds: it may lead to their list instead.
fn listed(found: Vec<&Value>) -> Vec<&Value> {
    match found.as_slice() {
        [Value::Array(items)] => items.iter().collect(),
        _ => found,
    }
}

fn report(mapping: &Mapping, alert: &Value, body: &Value) -> Result<Report, String> {
    let first = |paths: &[String]| first(paths, alert, body);
    let word = |paths: &[String]| first(paths).and_then(|value| scalar(&value));
    let Some(alert_type) = word(&mapping.alert_type) else {
        let paths = mapping.alert_type.join(", ");
        return Err(format!("mapping.alertType ({paths}) finds no text in it"));
    };
    let status = word(&mapping.status);
    let state = state(mapping, status.as_deref());
    let container = word(&mapping.container);
    let logs = logs(mapping, alert, body);
    let id = word(&mapping.id).unwrap_or_else(|| {
        let title = logs.lines().next().unwrap_or_default();
        // What says that it is over says so in other words.
        let title = if container.is_some() { "" } else { title };
        made_id(
            "mapped",
            &[&alert_type, container.as_deref().unwrap_or_default(), title],
        )
    });
    Ok(Report {
        id,
        alert_type,
        state,
        fingerprint: word(&mapping.fingerprint),
        container,
        severity: word(&mapping.severity),
        starts_at: first(&mapping.starts_at).unwrap_or_default(),
        ends_at: first(&mapping.ends_at).unwrap_or_default(),
        url: word(&mapping.url),
        logs,
        labels: labels(mapping, alert, body),
        annotations: Map::new(),
    })
}

fn state(mapping: &Mapping, status: Option<&str>) -> State {
    let Some(status) = status else {
        return State::Firing;
    };
    let is = |words: &[String]| words.iter().any(|word| word.trim().eq_ignore_ascii_case(status));
    if is(&mapping.ignored) {
        return State::Test;
    }
    let over = if mapping.resolved.is_empty() {
        OVER.contains(&status.to_lowercase().as_str())
    } else {
        is(&mapping.resolved)
    };
    if over {
        State::Resolved(format!("status: {}", status.chars().take(80).collect::<String>()))
    } else {
        State::Firing
    }
}

/// What the first path finds that finds anything, in the alert or else in the whole body.
fn first(paths: &[String], alert: &Value, body: &Value) -> Option<Value> {
    let meant =
        |value: &&Value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty());
    paths.iter().find_map(|path| {
        if !path.starts_with('$') {
            return Some(Value::from(path.as_str()));
        }
        let own = query(path, alert).into_iter().find(meant);
        own.or_else(|| query(path, body).into_iter().find(meant)).cloned()
    })
}

fn query<'a>(path: &str, value: &'a Value) -> Vec<&'a Value> {
    // What is stored was checked; a file by hand that is not finds nothing.
    JsonPath::parse(path).map_or_else(|_| Vec::new(), |path| path.query(value).all())
}

fn scalar(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        // A field of several, such as Datadog's, is named by its first.
        Value::Array(items) => return items.first().filter(|item| !item.is_array()).and_then(scalar),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn logs(mapping: &Mapping, alert: &Value, body: &Value) -> String {
    let mut lines = Vec::new();
    for path in &mapping.logs {
        if !path.starts_with('$') {
            lines.push(path.clone());
            continue;
        }
        let own = query(path, alert);
        let found = if own.is_empty() { query(path, body) } else { own };
        for value in found.into_iter().take(LINES) {
            match value {
                Value::Array(items) => lines.extend(items.iter().take(LINES).filter_map(scalar)),
                Value::Object(_) => lines.push(value.to_string()),
                other => lines.extend(scalar(other)),
            }
        }
    }
    lines.join("\n")
}

fn labels(mapping: &Mapping, alert: &Value, body: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for path in &mapping.labels {
        let own = query(path, alert);
        let found = if own.is_empty() { query(path, body) } else { own };
        for value in found {
            match value {
                Value::Object(fields) => all.extend(fields.clone()),
                Value::Array(items) => all.extend(crate::compat::pairs(items)),
                Value::String(text) => {
                    let items: Vec<Value> = text.split(',').map(Value::from).collect();
                    all.extend(crate::compat::pairs(&items));
                }
                _ => {}
            }
        }
    }
    all
}
