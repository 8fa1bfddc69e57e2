//! Whether two configurations differ in their servers alone, or in which upstreams have any. Pure.
//!
//! Such a change cannot break a configuration that nginx serves already: the addresses are typed, and the lines around
//! them are the same, or are those of the template that comes with this program. So its file is written where it belongs
//! before `nginx -t` judges it, which spares the staging.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The templates that come with this program.
const BUILT_IN: &str = include_str!("../../../../lb-templates/nginx-upstream.conf.tera");
const BUILT_IN_STREAM: &str = include_str!("../../../../lb-templates/nginx-stream.conf.tera");

/// What is left of a configuration without its servers: the other lines, and the parameters that servers have.
#[derive(PartialEq, Eq)]
struct Frame {
    lines: Vec<String>,
    parameters: BTreeSet<String>,
}

/// Whether `after` is `before` with other servers and another revision.
pub fn only_servers_differ(before: (&str, &str), after: (&str, &str)) -> bool {
    frame(before.0, before.1) == frame(after.0, after.1)
}

/// Whether `after` is `before` with other upstreams having servers, another revision, and whatever servers. Both must have
/// been rendered for one generation of the spec; never of a template of somebody's own, of which only what nginx has seen
/// is known to be right.
pub fn only_availability_differs(template: &str, before: (&str, &str), after: (&str, &str)) -> bool {
    template == BUILT_IN && skeleton(before.0, before.1) == skeleton(after.0, after.1)
}

/// The same two of the files of TCP backends. That one comes or goes is another change.
pub fn only_tcp_servers_differ(template: &str, before: Option<&str>, after: Option<&str>) -> bool {
    match (before, after) {
        (None, None) => true,
        (Some(before), Some(after)) => {
            frame(before, "") == frame(after, "")
                || (template == BUILT_IN_STREAM && tcp_skeleton(before) == tcp_skeleton(after))
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A file of TCP backends without its upstreams and without whether a port has one.
fn tcp_skeleton(text: &str) -> Vec<String> {
    let lines = skeleton(text, "").into_iter();
    let is_availability = |line: &str| {
        let line = line.trim_start();
        line.starts_with("proxy_pass ") || line.starts_with("return ") || line.starts_with('#')
    };
    lines.filter(|line| !is_availability(line)).collect()
}

fn frame(text: &str, revision: &str) -> Frame {
    let mut frame = Frame {
        lines: Vec::new(),
        parameters: BTreeSet::new(),
    };
    for line in text.lines() {
        match server_line(line) {
            Some((_, parameters)) => {
                let parameters = parameters.split_whitespace().filter(|word| *word != DOWN);
                frame.parameters.insert(parameters.collect::<Vec<_>>().join(" "));
            }
            None => frame.lines.push(line.replace(revision, "")),
        }
    }
    frame
}

/// A configuration without its upstreams and without what is inside its locations.
fn skeleton(text: &str, revision: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let bare = line.trim();
        let opens = |word: &str| bare.starts_with(word) && bare.ends_with('{');
        match (inside, bare) {
            (_, "") => {}
            (true, _) => inside = bare != "}",
            (false, _) if opens("upstream ") => inside = true,
            (false, _) => {
                inside = opens("location ");
                lines.push(line.replace(revision, ""));
            }
        }
    }
    lines
}

/// nginx's word for a server that gets no requests.
pub(crate) const DOWN: &str = "down";

/// Address and parameters of a line like `server 10.0.0.2:8000 max_fails=2; # web`; `None` if it is another line.
pub(crate) fn server_line(line: &str) -> Option<(&str, &str)> {
    let (directive, rest) = line.split_once(';')?;
    let rest = rest.trim_start();
    if !(rest.is_empty() || rest.starts_with('#')) {
        return None;
    }
    let words = directive.trim_start().strip_prefix("server")?;
    let words = words.strip_prefix([' ', '\t'])?.trim_start();
    let (address, parameters) = words.split_once([' ', '\t']).unwrap_or((words, ""));
    address.parse::<SocketAddr>().ok()?;
    Some((address, parameters.trim()))
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
    fn a_server_that_is_marked_down_is_such_a_change() {
        let after = BEFORE
            .replace("max_fails=2;", "max_fails=2 down;")
            .replace("r1", "r2");
        assert!(differs_in_servers_alone(&after));
    }

    #[test]
    fn which_upstreams_have_servers_is_such_a_change_in_the_template_of_this_program_alone() {
        let with = "upstream web {\n    server 10.0.0.2:8000;\n}\n\nserver {\n    listen 80;\n    location / {\n        proxy_pass http://web;\n    }\n}\n";
        let without =
            "server {\n    listen 80;\n    location / {\n        return 503 'no server';\n    }\n}\n";
        let differs =
            |template: &str, after: &str| only_availability_differs(template, (with, "r1"), (after, "r2"));
        assert!(differs(BUILT_IN, without));
        assert!(!differs("upstream {{ name }}", without));
        for (from, to) in [
            ("listen 80;", "listen 81;"),
            ("location / {", "location /other/ {"),
            ("server {\n", "include /etc/passwd;\nserver {\n"),
        ] {
            assert!(!differs(BUILT_IN, &without.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn of_tcp_it_is_such_a_change_as_long_as_nginx_listens_alike() {
        let with = "upstream db {\n    server 10.0.0.2:5432;\n}\n\nserver {\n    listen 5432;\n    proxy_pass db;\n}\n";
        let without = "server {\n    listen 5432;\n    # Closed.\n    return \"\";\n}\n";
        let differs = |template: &str, after| only_tcp_servers_differ(template, Some(with), after);
        let moved = with.replace("10.0.0.2", "10.0.0.3");
        assert!(differs("of one's own", Some(&moved)) && differs(BUILT_IN_STREAM, Some(without)));
        assert!(!differs("of one's own", Some(without)));
        let elsewhere = moved.replace("listen 5432", "listen 5433");
        assert!(!differs(BUILT_IN_STREAM, Some(&elsewhere)) && !differs(BUILT_IN_STREAM, None));
        assert!(only_tcp_servers_differ("", None, None));
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
