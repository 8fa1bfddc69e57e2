//! How long nginx lets workers of before go on, and with them the connections that were open at a reload:
//! `worker_shutdown_timeout`, a directive of the main configuration, which is not ours. Pure.

use std::time::Duration;

use aegis_api::LoadBalancerSpec;

use super::neighbours::Texts;
use super::syntax::{End, directives};

const DIRECTIVE: &str = "worker_shutdown_timeout";
/// When nginx is asked what it has.
const READ: &str = "it was read with the last change of more than servers, and is with the next";
/// What the nginx of the stack has.
const OURS: &str = "10m";
/// What nginx takes it for where it is not said.
const NONE: &str = "0";

/// What these files and global directives say; `0` where they say nothing.
pub fn said(files: &Texts, globals: &str) -> String {
    let texts = files.iter().map(|(_, text)| text.as_str());
    let found = texts.chain([globals]).find_map(of_text);
    found.unwrap_or_else(|| NONE.to_owned())
}

/// It stands in no block.
fn of_text(text: &str) -> Option<String> {
    let mut depth = 0_usize;
    directives(text).iter().find_map(|directive| {
        match directive.end {
            End::Opens => depth = depth.saturating_add(1),
            End::Closes => depth = depth.saturating_sub(1),
            End::Statement => {}
        }
        let is_main = depth == 0;
        directive
            .only_argument(DIRECTIVE)
            .filter(|_| is_main)
            .map(str::to_owned)
    })
}

/// What people are advised where nginx says this.
pub(crate) fn advice(spec: &LoadBalancerSpec, said: &str) -> Option<String> {
    let (timeout, drain) = (parse(said)?, spec.drain_timeout);
    let main = &spec.main_config_path;
    if timeout.is_zero() {
        return Some(format!(
            "nginx has no {DIRECTIVE}: a connection that stays open keeps the worker of before and its memory for as long, and each \
             reload may add some: add `{DIRECTIVE} {OURS};` to {main}, outside of all blocks; {READ}"
        ));
    }
    (timeout < drain.std()).then(|| {
        format!(
            "{DIRECTIVE} of nginx is {said}, and spec.drainTimeout is {drain}: connections to servers that leave are cut after \
             {said}, and counted as drained; make it longer in {main}, or drainTimeout shorter; {READ}"
        )
    })
}

/// A time as nginx writes it: `90`, `90s`, `1h30m`, `500ms`.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|sign: char| !sign.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|sign: char| !sign.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let millis: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total = total.saturating_add(Duration::from_millis(number.saturating_mul(millis)));
        rest = after.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_balancer::testing::balancer;

    fn files(texts: &[&str]) -> Texts {
        texts
            .iter()
            .map(|text| ("/a".to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn the_directive_is_found_where_nginx_takes_it_and_nowhere_else() {
        for (texts, globals, found) in [
            (vec!["worker_shutdown_timeout 10m;\nhttp { }"], "", "10m"),
            (
                vec!["include m.conf; http { }", "worker_shutdown_timeout '1h 30m';"],
                "",
                "1h 30m",
            ),
            (vec!["http { }"], "daemon off; worker_shutdown_timeout 90;", "90"),
            (
                vec!["# worker_shutdown_timeout 10m;\nhttp { }"],
                "daemon off;",
                "0",
            ),
            (vec!["events { worker_shutdown_timeout 10m; }"], "", "0"),
        ] {
            assert_eq!(said(&files(&texts), globals), found, "{texts:?}");
        }
    }

    #[test]
    fn it_is_advised_where_workers_may_stay_for_ever_or_go_before_a_drain_is_over() {
        let mut spec = balancer().spec;
        spec.drain_timeout = "30s".parse().unwrap();
        for (said, advised) in [
            ("0", Some("nginx has no worker_shutdown_timeout")),
            (
                "0s",
                Some("add `worker_shutdown_timeout 10m;` to /etc/nginx/nginx.conf"),
            ),
            ("29s", Some("spec.drainTimeout is 30s")),
            ("500ms", Some("are cut after 500ms")),
            ("30", None),
            ("1h 30m", None),
            ("10m", None),
            ("$x", None),
            ("", None),
        ] {
            let words = advice(&spec, said);
            match advised {
                Some(part) => assert!(
                    words.as_deref().is_some_and(|words| words.contains(part)),
                    "{words:?}"
                ),
                None => assert_eq!(words, None, "{said}"),
            }
        }
    }
}
