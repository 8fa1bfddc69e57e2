//! Bodies of other senders in which a key that matters is there twice with different values: it makes its own alert
//! unreadable, and, where it is about all of them, the body. Pure.

use std::collections::HashMap;

use aegis_api::alert_source::Mapping;
use serde_json::value::RawValue;

use super::body::{Content, NOTED};
use super::sender::{Reports, Sender};
use crate::compat::{names_something, read_value};

/// Longest path that is reported, characters.
const PATH: usize = 128;

/// An alert of a body that is ambiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Which of the body's.
    pub(super) at: usize,
    /// As it was written, with both values.
    pub(super) text: String,
}

/// The alerts of a body of another sender, and which of them are ambiguous; why there are none.
pub(super) fn reports(
    sender: Sender,
    content: &Content,
    mapping: Option<&Mapping>,
) -> Result<(Reports, Vec<Item>), String> {
    let field = list(sender, mapping);
    let is_list = |path: &&Vec<String>| matches!(&field, Some(Some(name)) if **path == [name.clone()]);
    if let Some(list) = content.twice.iter().find(is_list) {
        return Err(why(list));
    }
    let mut twice = content.twice.iter().filter(|path| names_something(path));
    let Some(first) = twice.next() else {
        return Ok((sender.read(&content.value, mapping)?, Vec::new()));
    };
    // Inside of its items: of a list that is there twice itself, one would be lost.
    let is_within = |path: &Vec<String>| match &field {
        Some(None) => true,
        Some(name) => path.len() > 1 && path.first() == name.as_ref(),
        None => false,
    };
    // Of more keys than are noted it is not known where they are.
    let is_known = content.twice.len() < NOTED && is_within(first) && twice.all(is_within);
    let written = field
        .as_ref()
        .filter(|_| is_known)
        .and_then(|name| written(&content.text, name.as_deref()));
    let Some(written) = written else {
        return Err(why(first));
    };
    let mut reports = sender.read(&content.value, mapping)?;
    if reports.all.len() != written.len() {
        return Err(why(first));
    }
    let mut items = Vec::new();
    for (at, (text, report)) in written.into_iter().zip(&mut reports.all).enumerate() {
        let (_, twice) = read_value(text.get().as_bytes()).map_err(|error| error.to_string())?;
        if let Some(path) = twice.iter().find(|path| names_something(path)) {
            *report = Err(format!("[{at}]: {}", why(path)));
            let text = text.get().to_owned();
            items.push(Item { at, text });
        }
    }
    Ok((reports, items))
}

fn why(path: &[String]) -> String {
    let path = path.join(".");
    let path: String = path.chars().filter(|c| !c.is_control()).take(PATH).collect();
    format!("{path} is there twice with different values")
}

/// The field in which a body lists its alerts; within, `None` where the body is that list. `None` where it has one alert, or a
/// path of more than a name leads to them.
fn list(sender: Sender, mapping: Option<&Mapping>) -> Option<Option<String>> {
    match sender {
        Sender::Alertmanager | Sender::Grafana => Some(Some("alerts".to_owned())),
        Sender::CloudEvents => Some(None),
        Sender::Mapped | Sender::AegisOps => {
            let path = mapping?.alerts.as_deref()?.trim().strip_prefix('$')?;
            let path = path.strip_suffix("[*]").unwrap_or(path);
            let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            match path.strip_prefix('.') {
                Some(name) if is_name(name) => Some(Some(name.to_owned())),
                None if path.is_empty() => Some(None),
                _ => None,
            }
        }
        Sender::PagerDuty => None,
    }
}

/// Each item of a list as it was written.
fn written<'a>(text: &'a str, field: Option<&str>) -> Option<Vec<&'a RawValue>> {
    let list = match field {
        Some(name) => {
            let fields: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            fields.get(name)?.get()
        }
        None => text,
    };
    serde_json::from_str(list).ok()
}
