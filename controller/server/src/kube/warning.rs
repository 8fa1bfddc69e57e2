//! `Warning` headers: files that are not in force as they are, told wherever their kind is read. kubectl prints them. Pure.

use aegis_api::KindInfo;
use aegis_runtime::BrokenFile;
use axum::http::HeaderValue;
use axum::http::header::WARNING;
use axum::response::Response;

use crate::state::ServerState;

/// Most warnings on one answer.
const MOST: usize = 10;
/// Longest warning, characters.
const LONGEST: usize = 500;

/// Adds a warning for each broken file of this kind; of this name only, if one is given.
pub(super) fn add(
    mut response: Response,
    state: &ServerState,
    info: &KindInfo,
    name: Option<&str>,
) -> Response {
    let broken = state.store.broken_files();
    let ours = broken
        .iter()
        .filter(|file| file.kind == info.kind && name.is_none_or(|name| file.name == name));
    for file in ours.take(MOST) {
        if let Ok(value) = HeaderValue::from_str(&header(info, file)) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

fn header(info: &KindInfo, file: &BrokenFile) -> String {
    let base = file
        .path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let place = format!("{}/{base}: ", info.plural);
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
        let header = header(find("wl").unwrap(), &file);
        assert_eq!(
            header,
            "299 - \"state file workloads/web.yaml: line 3, column 5: spec.replicas: Invalid value: \\\"x\\\" ?...\""
        );
        assert!(HeaderValue::from_str(&header).is_ok());
        assert!(quoted(&"x".repeat(5000)).len() <= LONGEST);
    }
}
