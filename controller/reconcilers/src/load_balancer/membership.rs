//! Whether two configurations differ in their servers alone. Pure.
//!
//! Such a change cannot break a configuration that nginx serves already: the addresses are typed, and the lines around
//! them are the same. So its file is written where it belongs before `nginx -t` judges it, which spares the staging.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// What is left of a configuration without its servers: the other lines, and the parameters that servers have.
#[derive(PartialEq, Eq)]
struct Frame<'a> {
    lines: Vec<String>,
    parameters: BTreeSet<&'a str>,
}

/// Whether `after` is `before` with other servers and another revision.
pub(super) fn only_servers_differ(before: (&str, &str), after: (&str, &str)) -> bool {
    frame(before.0, before.1) == frame(after.0, after.1)
}

fn frame<'a>(text: &'a str, revision: &str) -> Frame<'a> {
    let mut frame = Frame {
        lines: Vec::new(),
        parameters: BTreeSet::new(),
    };
    for line in text.lines() {
        match server_parameters(line) {
            Some(parameters) => {
                frame.parameters.insert(parameters);
            }
            None => frame.lines.push(line.replace(revision, "")),
        }
    }
    frame
}

/// The parameters of a line like `server 10.0.0.2:8000 max_fails=2; # web`; `None` if it is another line.
fn server_parameters(line: &str) -> Option<&str> {
    let (directive, rest) = line.split_once(';')?;
    let rest = rest.trim_start();
    if !(rest.is_empty() || rest.starts_with('#')) {
        return None;
    }
    let words = directive.trim_start().strip_prefix("server")?;
    let words = words.strip_prefix([' ', '\t'])?.trim_start();
    let (address, parameters) = words.split_once([' ', '\t']).unwrap_or((words, ""));
    address.parse::<SocketAddr>().ok()?;
    Some(parameters.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "upstream web {\n    server 10.0.0.2:8000 max_fails=2; # web\n    keepalive 64;\n}\nserver {\n    listen 80;\n    return 200 \"r1\";\n}\n";

    fn differs_in_servers_alone(after: &str) -> bool {
        only_servers_differ((BEFORE, "r1"), (after, "r2"))
    }

    #[test]
    fn other_servers_and_another_revision_are_such_a_change() {
        let after = BEFORE
            .replace("10.0.0.2:8000", "[fd00::7]:8000")
            .replace("r1", "r2");
        assert!(differs_in_servers_alone(&after));
        let more = after.replace(
            "    keepalive",
            "    server 10.0.0.3:8000 max_fails=2; # web-replica-1\n    keepalive",
        );
        assert!(differs_in_servers_alone(&more));
    }

    #[test]
    fn anything_else_is_not() {
        let after = BEFORE.replace("r1", "r2");
        let changes = [
            ("keepalive 64", "keepalive 65"),
            ("max_fails=2", "max_fails=2 backup"),
            ("10.0.0.2:8000 max_fails=2;", "somewhere:8000 max_fails=2;"),
            (
                "10.0.0.2:8000 max_fails=2; # web",
                "10.0.0.2:8000 max_fails=2; deny all;",
            ),
            ("listen 80;", "listen 80; include /etc/passwd;"),
            ("server 10.0.0.2:8000 max_fails=2; # web\n", ""),
        ];
        for (from, to) in changes {
            assert!(after.contains(from), "{from}");
            assert!(!differs_in_servers_alone(&after.replace(from, to)), "{to}");
        }
    }
}
