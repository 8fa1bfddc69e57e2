//! Idle connections of clients over a reload. Pure.
//!
//! At a reload nginx closes connections on which no request is under way. A client that sends its next request at that
//! moment gets no answer, and one that does not repeat it (POST above all) sees an error. From [`KEEPS_FROM`] on nginx has
//! `keepalive_min_timeout`: workers of before wait that long for one more request, which they answer and close the
//! connection with. They still know the servers of before, so it must be over before a drain runs into its deadline.
//!
//! A drain waits for those workers, so each second of it may be a second that a restart or a scale in takes while some client
//! keeps a connection idle. [`LONGEST`] is what common application servers allow an idle connection by themselves: a client
//! that sends more often than that meets no closed connection, and one that pauses longer has to live with one at any of them.

use std::time::Duration;

use aegis_api::{LoadBalancerSpec, LoadBalancerStatus};
use sha2::{Digest, Sha256};

use super::render::Rendered;
use super::syntax::{lines, mentions};

/// The directive.
const DIRECTIVE: &str = "keepalive_min_timeout";
/// The value of a template that uses it.
const VALUE: &str = "keepalive_min_timeout_secs";
/// The first nginx that has it (<https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout>).
const KEEPS_FROM: Version = Version(1, 27, 4);
/// The longest that connections are kept: what Node.js, Apache and uvicorn keep idle ones.
const LONGEST: Duration = Duration::from_secs(5);
/// How long before a drain's deadline they are over, so that its workers can be seen to be gone.
const MARGIN: Duration = Duration::from_secs(1);
/// Exit code of an nginx that does not start with its configuration.
const NOT_STARTED: i64 = 1;

/// Of an nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    /// This one.
    pub(crate) const fn of(major: u32, minor: u32, patch: u32) -> Self {
        Self(major, minor, patch)
    }

    /// From what nginx says of itself (`nginx -V`); `None` of its relatives, which have other directives.
    pub fn parse(said: &str) -> Option<Self> {
        let mut lines = said.lines();
        let named = lines.find_map(|line| line.trim().strip_prefix("nginx version: nginx/"))?;
        let number = named.split_whitespace().next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// Whether it can keep idle connections over a reload.
    pub fn keeps_idle_connections(self) -> bool {
        self >= KEEPS_FROM
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Whether a template uses it.
pub fn is_known_to(template: &str) -> bool {
    mentions(template, VALUE)
}

/// How long connections are kept, whole seconds; `None` where nginx cannot or the drain is too short for it. Where it is not
/// known which nginx it is, as before.
pub(crate) fn kept(
    spec: &LoadBalancerSpec,
    nginx: Option<Version>,
    is_known: bool,
    before: &LoadBalancerStatus,
) -> Option<u64> {
    let as_before = || {
        before
            .config
            .as_deref()
            .is_some_and(|text| lines(text).any(is_directive))
    };
    let keeps = match is_known {
        true => nginx.is_some_and(Version::keeps_idle_connections),
        false => as_before(),
    };
    let within = spec.drain_timeout.std().saturating_sub(MARGIN).min(LONGEST);
    Some(within.as_secs()).filter(|secs| keeps && *secs > 0)
}

/// What people are shown where nginx closes connections at a reload.
pub(crate) fn closed_by(nginx: Version) -> Option<String> {
    (!nginx.keeps_idle_connections()).then(|| {
        format!(
            "nginx {nginx} closes idle connections when it reloads, so clients that do not repeat a request may see an error; \
             {KEEPS_FROM} and newer do not"
        )
    })
}

/// The file for an nginx that did not start: it may be an older one than the one that the file was made for, and refuse a
/// directive that it does not have. Once it runs it is asked.
pub(crate) fn without(good: Rendered, exit_code: i64) -> Rendered {
    if exit_code != NOT_STARTED || !lines(&good.text).any(is_directive) {
        return good;
    }
    let kept = good.text.split_inclusive('\n');
    let text: String = kept.filter(|line| !is_directive(line.trim_start())).collect();
    let digest = Sha256::digest(&text);
    let revision: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Rendered {
        text: text.replace(&good.revision, &revision),
        revision,
        stream: good.stream,
    }
}

/// Whether a line is the directive and nothing else.
fn is_directive(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with(DIRECTIVE) && line.ends_with(';') && line.matches(';').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_balancer::testing::{TEMPLATE, balancer};

    #[test]
    fn an_nginx_is_known_by_its_version_and_a_relative_is_not_one() {
        let said = "nginx version: nginx/1.28.3\nbuilt by gcc 12\nconfigure arguments: --prefix=/etc/nginx\n";
        assert_eq!(Version::parse(said), Some(Version(1, 28, 3)));
        assert_eq!(
            Version::parse("nginx version: nginx/1.27.4 (nginx-plus-r34)"),
            Some(Version(1, 27, 4))
        );
        for other in [
            "",
            "sh: nginx: not found",
            "nginx version: openresty/1.27.1.1",
            "freenginx version: freenginx/1.28.0",
            "nginx version: Tengine/3.1.0 (nginx/1.24.0)",
            "nginx version: nginx/1.28",
            "nginx version: nginx/1.28.3.4",
            "nginx version: nginx/1.99999999999.4",
        ] {
            assert_eq!(Version::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn connections_are_kept_from_1_27_4_on_and_for_less_than_a_drain_may_take() {
        let before = LoadBalancerStatus::default();
        let spec = |drain: &str| LoadBalancerSpec {
            drain_timeout: drain.parse().unwrap(),
            ..balancer().spec
        };
        let newer = Some(Version(1, 28, 3));
        for (nginx, drain, secs) in [
            (Some(Version(1, 27, 4)), "10s", Some(5)),
            (newer, "10m", Some(5)),
            (newer, "4s", Some(3)),
            (newer, "2s", Some(1)),
            (newer, "1s", None),
            (newer, "0s", None),
            (Some(Version(1, 27, 3)), "10s", None),
            (Some(Version(1, 22, 1)), "10s", None),
            (None, "10s", None),
        ] {
            assert_eq!(
                kept(&spec(drain), nginx, true, &before),
                secs,
                "{nginx:?} {drain}"
            );
        }
    }

    #[test]
    fn where_nginx_could_not_be_run_connections_are_kept_as_before() {
        let with = |config: &str| LoadBalancerStatus {
            config: Some(config.to_owned()),
            ..LoadBalancerStatus::default()
        };
        let spec = balancer().spec;
        let before = with("    keepalive_min_timeout 9s;\n");
        assert_eq!(kept(&spec, None, false, &before), Some(5));
        let before = with("    # keepalive_min_timeout 9s;\n");
        assert_eq!(kept(&spec, None, false, &before), None);
        assert!(is_known_to(TEMPLATE) && !is_known_to("# keepalive_min_timeout_secs"));
    }

    #[test]
    fn an_nginx_that_did_not_start_is_given_the_file_without_what_an_older_one_refuses() {
        let good = Rendered {
            revision: "r1".to_owned(),
            text: "server {\n    listen 80;\n    keepalive_min_timeout 9s;\n    # keepalive_min_timeout\n    return 200 \"r1\";\n}\n"
                .to_owned(),
            stream: None,
        };
        for ended in [0, 137, 143] {
            assert_eq!(without(good.clone(), ended), good, "it had started: {ended}");
        }
        let after = without(good.clone(), 1);
        let expected = good.text.replace("    keepalive_min_timeout 9s;\n", "");
        assert_eq!(after.text, expected.replace("r1", &after.revision));
        assert_ne!(after.revision, "r1");
        assert_eq!(without(after.clone(), 1), after);
    }
}
