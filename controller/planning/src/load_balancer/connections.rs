//! nginx's own count of its connections: where a configuration may offer it, and what its page says. Pure.

use super::syntax::mentions;
use crate::probe::shares_network;
pub use aegis_api::load_balancer::STATUS_PORT;
use aegis_api::observed::ContainerDetails;
use aegis_api::wire::Connections;
use aegis_api::{LoadBalancerSpec, LoadBalancerStatus, Time};
use serde_json::Value;

/// Path of the page, on [`STATUS_PORT`].
pub const STATUS_PATH: &str = "/aegis-status";

/// The directive that makes the page.
const DIRECTIVE: &str = "stub_status";
/// What a template that offers it names.
const VALUE: &str = "status_port";

/// Whether a template has a place for it.
pub fn is_known_to(template: &str) -> bool {
    mentions(template, VALUE)
}

/// Whether this configuration offers it.
pub fn are_offered(config: &str) -> bool {
    let mut lines = config.lines().map(str::trim_start);
    lines.any(|line| !line.starts_with('#') && line.contains(DIRECTIVE))
}

/// Whether an nginx that says this of itself (`nginx -V`) accepts what the template writes for it: `nginx -t` refuses a
/// directive that it was built without.
pub fn is_built_in(version: &str) -> bool {
    let mut arguments = version.split_whitespace();
    arguments
        .clone()
        .any(|word| word == "--with-http_stub_status_module")
        && !arguments.any(|word| word == "--without-http_access_module")
}

/// Whether a configuration may offer it: nginx was built with it, and the port cannot be reached from outside. Where it is
/// not known what nginx was built with, as before.
pub(crate) fn may_be_offered(
    spec: &LoadBalancerSpec,
    container: &ContainerDetails,
    built_in: Option<bool>,
    before: &LoadBalancerStatus,
) -> bool {
    let as_before = || before.config.as_deref().is_some_and(are_offered);
    spec.port != STATUS_PORT && is_internal(container) && built_in.unwrap_or_else(as_before)
}

/// Whether the port is the container's own, and published nowhere.
fn is_internal(container: &ContainerDetails) -> bool {
    let host = &container.host_config;
    let port = format!("{STATUS_PORT}/tcp");
    let names = |ports: Option<&Value>| ports.is_some_and(|ports| ports.get(&port).is_some());
    let publishes_all = host.get("PublishAllPorts").and_then(Value::as_bool) == Some(true);
    let is_published =
        names(host.get("PortBindings")) || (publishes_all && names(container.config.get("ExposedPorts")));
    !shares_network(container) && !is_published
}

/// Reads the page; `None` where it is another one.
pub fn parse(page: &str, t: Time) -> Option<Connections> {
    let mut words = page.split_whitespace();
    let names = |text: &str, words: &mut std::str::SplitWhitespace<'_>| {
        text.split(' ')
            .all(|word| words.next() == Some(word))
            .then_some(())
    };
    names("Active connections:", &mut words)?;
    let active = words.next()?.parse().ok()?;
    names("server accepts handled requests", &mut words)?;
    let mut number = || words.next()?.parse().ok();
    let (accepted, handled, requests) = (number()?, number()?, number()?);
    let mut after = |name: &str| {
        words.next().filter(|word| *word == name)?;
        words.next()?.parse().ok()
    };
    Some(Connections {
        t,
        active,
        accepted,
        handled,
        requests,
        reading: after("Reading:")?,
        writing: after("Writing:")?,
        waiting: after("Waiting:")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::load_balancer::testing::{TEMPLATE, balancer, time};

    const PAGE: &str = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630946 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n";

    #[test]
    fn the_page_is_read_as_the_documentation_shows_it_and_any_other_is_none() {
        let now = time("2026-11-22T12:00:00Z");
        let read = parse(PAGE, now).unwrap();
        assert_eq!(
            (read.active, read.reading, read.writing, read.waiting),
            (291, 6, 179, 106)
        );
        assert_eq!(
            (read.accepted, read.handled, read.requests, read.t),
            (16_630_948, 16_630_946, 31_070_465, now)
        );
        for (from, to) in [
            ("Active", "active"),
            ("291", "-1"),
            ("291", "99999999999999999999999"),
            ("16630946", "many"),
            ("Waiting: 106", ""),
        ] {
            assert_eq!(parse(&PAGE.replace(from, to), now), None, "{to}");
        }
        assert_eq!(parse("", now), None);
        assert_eq!(parse(&"<html>".repeat(10_000), now), None);
    }

    #[test]
    fn nginx_has_it_where_it_says_so() {
        let version = "nginx version: nginx/1.22.1\nconfigure arguments: --with-cc-opt='-g -O2' --with-http_stub_status_module --with-http_v2_module\n";
        assert!(is_built_in(version));
        assert!(!is_built_in(&format!("{version} --without-http_access_module")));
        assert!(!is_built_in(
            "configure arguments: --with-http_stub_status_module_of_ours"
        ));
        assert!(!is_built_in("sh: nginx: not found"));
        assert!(is_known_to(TEMPLATE) && !is_known_to("# status_port\nlisten {{ port }};"));
    }

    #[test]
    fn it_is_offered_only_where_the_port_is_published_nowhere() {
        let container = |host: Value, exposed: Value| ContainerDetails {
            host_config: host,
            config: json!({"ExposedPorts": exposed}),
            ..ContainerDetails::default()
        };
        let port = json!({"28079/tcp": {}});
        let spec = balancer().spec;
        let before = LoadBalancerStatus::default();
        let offered = |container: &ContainerDetails| may_be_offered(&spec, container, Some(true), &before);
        let usual =
            json!({"NetworkMode": "aegis-network", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}});
        assert!(offered(&container(usual.clone(), json!({"80/tcp": {}}))));
        assert!(
            offered(&container(usual.clone(), port.clone())),
            "exposed is not published"
        );
        assert!(offered(&ContainerDetails::default()));
        for (host, exposed) in [
            (json!({"NetworkMode": "host"}), json!({})),
            (json!({"NetworkMode": "container:db"}), json!({})),
            (
                json!({"PortBindings": {"28079/tcp": [{"HostPort": "1"}]}}),
                json!({}),
            ),
            (json!({"PublishAllPorts": true}), port),
        ] {
            assert!(!offered(&container(host.clone(), exposed)), "{host}");
        }
        let mut own = spec.clone();
        own.port = STATUS_PORT;
        let usual = container(usual, json!({}));
        assert!(!may_be_offered(&own, &usual, Some(true), &before));
        assert!(!may_be_offered(&spec, &usual, Some(false), &before));
    }

    #[test]
    fn where_nginx_could_not_be_run_it_is_offered_as_before() {
        let with = |config: Option<&str>| LoadBalancerStatus {
            config: config.map(str::to_owned),
            ..LoadBalancerStatus::default()
        };
        let (spec, container) = (balancer().spec, ContainerDetails::default());
        for (config, offered) in [
            (None, false),
            (Some("server {\n    # stub_status;\n}"), false),
            (Some("location = /aegis-status {\n    stub_status;\n}"), true),
        ] {
            assert_eq!(
                may_be_offered(&spec, &container, None, &with(config)),
                offered,
                "{config:?}"
            );
        }
    }
}
