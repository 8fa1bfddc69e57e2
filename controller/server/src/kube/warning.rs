//! `Warning` headers: files that are not in force as they are, reported wherever their kind is read. kubectl prints
//! them. Pure.

use aegis_api::KindInfo;
use aegis_runtime::BrokenFile;
use aegis_runtime::store::RULES_KIND;
use axum::http::HeaderValue;
use axum::http::header::WARNING;
use axum::response::Response;

use crate::automation;
use crate::state::ServerState;

/// Most warnings on one answer.
const MOST: usize = 10;
/// Longest warning, characters.
const LONGEST: usize = 500;

/// Adds a warning for each broken file of this kind; of this name only, if one is given.
pub(super) fn add(
    mut response: Response,
    state: &ServerState,
    info: &'static KindInfo,
    name: Option<&str>,
) -> Response {
    if let Some(text) = paused(state, info, name)
        && let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(&text)))
    {
        response.headers_mut().append(WARNING, value);
    }
    let broken = state.store.broken_files();
    let ours = broken.iter().filter(|file| concerns(file, info, name));
    let mut texts: Vec<String> = ours.take(MOST).map(header).collect();
    texts.extend(held(state, info, name));
    for text in texts {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// That automation is paused, where people read what it would act on.
fn paused(state: &ServerState, info: &KindInfo, name: Option<&str>) -> Option<String> {
    if !["Workload", "Incident", "RemediationPolicy"].contains(&info.kind) {
        return None;
    }
    let view = automation::view(&state.store);
    if let Some(pause) = view.paused {
        return Some(format!("all automation is {}", pause.words()));
    }
    let (workload, pause) = view
        .workloads
        .iter()
        .find(|(workload, _)| info.kind == "Workload" && name.is_none_or(|name| name == workload.as_str()))?;
    Some(format!("automation for workload {workload} is {}", pause.words()))
}

/// That deletions of this kind, or of this one object, wait for somebody to confirm them.
fn held(state: &ServerState, info: &'static KindInfo, name: Option<&str>) -> Option<String> {
    let held = match name {
        Some(name) => usize::from(state.store.is_held(info, name)),
        None => {
            let all = state.store.held_deletions();
            all.iter().filter(|held| held.plural == info.plural).count()
        }
    };
    let text = match (held, name) {
        (0, _) => return None,
        (_, Some(name)) => format!(
            "the file of {}/{name} is gone and its deletion is held: put the file back, or run `aegisctl confirm {}/{name}`",
            info.singular, info.singular
        ),
        (count, None) => format!(
            "deletions of {count} {} are held, their files are gone: put them back, or run `aegisctl confirm {}`",
            info.plural, info.plural
        ),
    };
    Some(format!("299 - \"{}\"", quoted(&text)))
}

/// Whether a reader of this kind, or of this one object, should know. The analyst's rules are about incidents.
fn concerns(file: &BrokenFile, info: &KindInfo, name: Option<&str>) -> bool {
    if file.kind == RULES_KIND {
        return info.kind == "Incident";
    }
    file.kind == info.kind && (file.name.is_empty() || name.is_none_or(|name| file.name == name))
}

fn header(file: &BrokenFile) -> String {
    if file.name.is_empty() {
        return format!("299 - \"{}\"", quoted(&format!("state folder {}", file.message)));
    }
    let folder = file.path.parent().and_then(std::path::Path::file_name);
    let folder = folder.map(|name| name.to_string_lossy()).unwrap_or_default();
    let base = file
        .path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let place = format!("{folder}/{base}: ");
    // What a reader of files says names the file already.
    let said = file.message.strip_prefix(&place).unwrap_or(&file.message);
    let text = format!("state file {place}{said}");
    format!("299 - \"{}\"", quoted(&text))
}

/// Text inside a quoted string of a header: printable ASCII, bounded.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(LONGEST) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '…' => out.push_str("..."),
            '\n' | '\r' | '\t' => out.push(' '),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;

    #[test]
    fn a_warning_names_the_file_and_is_a_legal_header() {
        let file = BrokenFile {
            path: "/state/workloads/web.yaml".into(),
            kind: "Workload".to_owned(),
            name: "web".to_owned(),
            message: "line 3, column 5: spec.replicas: Invalid value: \"x\"\nü…".to_owned(),
        };
        let header = header(&file);
        assert_eq!(
            header,
            "299 - \"state file workloads/web.yaml: line 3, column 5: spec.replicas: Invalid value: \\\"x\\\" ?...\""
        );
        assert!(HeaderValue::from_str(&header).is_ok());
        assert!(quoted(&"x".repeat(5000)).len() <= LONGEST);
        assert!(
            concerns(&file, find("wl").unwrap(), Some("web"))
                && !concerns(&file, find("wl").unwrap(), Some("db"))
        );
    }

    #[test]
    fn a_broken_file_of_rules_is_reported_to_readers_of_incidents() {
        let file = BrokenFile {
            path: "/state/rules/night.yaml".into(),
            kind: RULES_KIND.to_owned(),
            name: "night.yaml".to_owned(),
            message: "rules/night.yaml: line 1, column 1: [0]: missing field `name`".to_owned(),
        };
        assert_eq!(
            header(&file),
            "299 - \"state file rules/night.yaml: line 1, column 1: [0]: missing field `name`\""
        );
        assert!(concerns(&file, find("inc").unwrap(), Some("some")));
        assert!(!concerns(&file, find("wl").unwrap(), None));
    }
}
