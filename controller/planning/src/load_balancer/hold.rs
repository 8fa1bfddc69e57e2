//! Requests that wait for a server that is about to be back. Pure.
//!
//! nginx has no directive for it. What the template writes instead: a location that found no server passes the request to
//! this nginx itself, on a port of the loopback that is reached from nowhere else, again and again (`proxy_next_upstream`
//! over that one address) until it is answered or the time is up. Each try is a connection, which a worker of the newest
//! configuration accepts, so no request goes to an address that is no server's any more, however long it has waited. A try
//! that found no server is closed without an answer after a moment; what was answered is never tried again.

use std::time::Duration;

pub use aegis_api::load_balancer::HOLD_PORT as PORT;
use aegis_api::observed::ContainerDetails;
use aegis_api::{LoadBalancerSpec, LoadBalancerStatus, Workload};
use serde::Serialize;

use super::connections::STATUS_PORT;
use super::idle::Version;
use super::syntax::mentions;
use crate::probe::shares_network;

/// Shortest pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// Most pauses: each try is a line of the configuration.
const PAUSES: u32 = 40;
/// Requests of one load balancer that wait at a time: each takes three connections of nginx.
const MOST: u32 = 200;
/// The first nginx that can delay without a module of others (`auth_delay`).
const DELAYS_FROM: Version = Version::of(1, 17, 10);
/// What it must not be built without.
const NEEDS: [&str; 6] = [
    "--without-http_access_module",
    "--without-http_auth_basic_module",
    "--without-http_limit_conn_module",
    "--without-http_limit_req_module",
    "--without-http_map_module",
    "--without-http_rewrite_module",
];
/// What a configuration has that holds requests.
const DIRECTIVE: &str = "auth_delay ";
/// The value of a template that can.
const VALUE: &str = "hold";

/// What a template gets to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// How long a request waits, seconds.
    secs: u64,
    /// The port.
    port: u16,
    /// How long it waits between two tries, milliseconds.
    pause_ms: u64,
    /// How often it is tried at most.
    tries: u64,
    /// Requests that wait at a time.
    most: u32,
}

/// Whether a template can.
pub fn is_known_to(template: &str) -> bool {
    mentions(template, VALUE)
}

/// Whether an nginx that says this of itself (`nginx -V`) can.
pub fn is_built_in(version: Option<Version>, said: &str) -> bool {
    let lacks = |word: &str| NEEDS.contains(&word);
    version.is_some_and(|version| version >= DELAYS_FROM) && !said.split_whitespace().any(lacks)
}

/// How requests are held; `None` where none is to be, and the reason where one is to be and cannot. `built_in`: see
/// [`is_built_in`]; where it is not known, as before.
pub(crate) fn held(
    spec: &LoadBalancerSpec,
    container: &ContainerDetails,
    built_in: Option<bool>,
    before: &LoadBalancerStatus,
) -> (Option<Hold>, Option<String>) {
    let Some(time) = spec.hold_requests.map(aegis_api::Duration::std) else {
        return (None, None);
    };
    let as_before = || {
        let config = before.config.as_deref().unwrap_or_default();
        config
            .lines()
            .any(|line| line.trim_start().starts_with(DIRECTIVE))
    };
    let refused = |why: String| (None, Some(format!("spec.holdRequests has no effect: {why}")));
    if shares_network(container) {
        return refused("nginx shares its network with others, who could pass for it".to_owned());
    }
    if spec.ports().iter().any(|(_, port)| *port == PORT) || spec.port == STATUS_PORT {
        return refused(format!("it needs port {PORT} of nginx's container for itself"));
    }
    if !built_in.unwrap_or_else(as_before) {
        return refused(format!(
            "it takes nginx {DELAYS_FROM} or newer with the modules access, auth_basic, limit_conn, limit_req, map and rewrite"
        ));
    }
    let pause = PAUSE.max(time / PAUSES);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let hold = Hold {
        secs: millis(time).div_ceil(1000),
        port: PORT,
        pause_ms: millis(pause),
        tries: millis(time).div_ceil(millis(pause).max(1)).saturating_add(1),
        most: MOST,
    };
    (Some(hold), None)
}

/// Whether a server of this workload may be back in a moment: it is to have one, and no person stopped all it has.
pub(crate) fn may_be_back(workload: Option<&Workload>) -> bool {
    let Some(workload) = workload.filter(|workload| workload.spec.replicas > 0) else {
        return false;
    };
    let rows = super::validate::rows(Some(workload));
    rows.is_empty() || rows.iter().any(|row| row.stopped_by_hand.is_none())
}

#[cfg(test)]
mod tests {
    use aegis_api::load_balancer::LoadBalancerStatus;
    use serde_json::json;

    use super::*;
    use crate::load_balancer::testing::{NGINX, TEMPLATE, balancer};

    fn spec(time: &str) -> LoadBalancerSpec {
        LoadBalancerSpec {
            hold_requests: Some(time.parse().unwrap()),
            ..balancer().spec
        }
    }

    #[test]
    fn requests_are_held_where_nginx_can_and_is_alone_on_its_loopback() {
        let before = LoadBalancerStatus::default();
        let alone = ContainerDetails::default();
        let shared = |mode: &str| ContainerDetails {
            host_config: json!({"NetworkMode": mode}),
            ..ContainerDetails::default()
        };
        let (hold, why) = held(&spec("10s"), &alone, Some(true), &before);
        let expected = Hold {
            secs: 10,
            port: PORT,
            pause_ms: 250,
            tries: 41,
            most: MOST,
        };
        assert_eq!((hold, why), (Some(expected), None));
        assert_eq!(held(&balancer().spec, &alone, Some(true), &before), (None, None));
        for (time, tries, pause_ms) in [("1s", 5, 250), ("1500ms", 7, 250), ("1m", 41, 1500)] {
            let hold = held(&spec(time), &alone, Some(true), &before).0.unwrap();
            assert_eq!((hold.tries, hold.pause_ms), (tries, pause_ms), "{time}");
        }
        let mut taken = spec("10s");
        taken.port = PORT;
        for (spec, container, built_in, why) in [
            (spec("10s"), shared("host"), Some(true), "shares its network"),
            (
                spec("10s"),
                shared("container:x"),
                Some(true),
                "shares its network",
            ),
            (spec("10s"), alone.clone(), Some(false), "1.17.10 or newer"),
            (spec("10s"), alone.clone(), None, "1.17.10 or newer"),
            (taken, alone.clone(), Some(true), "port 28081"),
        ] {
            let (hold, said) = held(&spec, &container, built_in, &before);
            assert!(hold.is_none() && said.unwrap().contains(why), "{why}");
        }
        let holding = LoadBalancerStatus {
            config: Some("        auth_delay 250ms;\n".to_owned()),
            ..LoadBalancerStatus::default()
        };
        assert!(
            held(&spec("10s"), &alone, None, &holding).0.is_some(),
            "as before"
        );
    }

    #[test]
    fn an_nginx_can_from_its_version_on_unless_it_was_built_without() {
        let can = |said: &str| is_built_in(Version::parse(said), said);
        assert!(can(NGINX) && can("nginx version: nginx/1.22.1\n"));
        for said in [
            "nginx version: nginx/1.17.9",
            "nginx version: openresty/1.27.1.1",
            "nginx version: nginx/1.28.3\nconfigure arguments: --without-http_auth_basic_module",
            "nginx version: nginx/1.28.3\nconfigure arguments: --without-http_limit_req_module",
            "",
        ] {
            assert!(!can(said), "{said}");
        }
        assert!(is_known_to(TEMPLATE) && !is_known_to("# hold.secs"));
    }
}
