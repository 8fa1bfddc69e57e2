//! Containers as they are found, and what is said of them.

use std::collections::BTreeMap;

use aegis_api::Workload;
use aegis_api::probe::Failing;
use serde_json::json;

use super::*;
use crate::probe::ProbeResult;
use crate::workload::observed::NetworkOwner;
use crate::workload::tests::{container, time, workload, world};

const STARTED: &str = "2026-11-22T11:00:00Z";

/// A running container whose probe says this, seen so many seconds after its start.
fn seen(spec: &Workload, container: &ContainerDetails, health: Health, age: i64, was_ready: bool) -> View {
    let mut observed = world(0);
    let result = ProbeResult {
        health,
        message: "GET http://10.0.0.2:8000/: connection refused".to_owned(),
        ..ProbeResult::default()
    };
    observed.probe_results = [(container.id.clone(), result)].into();
    observed.now = Time(time(STARTED).0 + jiff::SignedDuration::from_secs(age));
    view(container, &spec.spec, &observed, was_ready)
}

#[test]
fn a_container_that_was_not_healthy_yet_has_a_start_period_and_serves_no_client_in_it() {
    let plain = "  container: base\n  health:\n    http: {port: 8000}\n";
    let with = |period: &str| format!("{plain}    startPeriod: {period}\n");
    let mut own = container("base");
    own.config = json!({"Healthcheck": {"StartPeriod": 300_000_000_000_u64}});
    let base = container("base");
    // (what it is, spec, container, seconds after its start, was it ready before, does it start still)
    let cases: &[(&str, String, &ContainerDetails, i64, bool, bool)] = &[
        ("slow, by default", plain.to_owned(), &base, 59, false, true),
        ("too slow", plain.to_owned(), &base, 60, false, false),
        (
            "it was ready in this run",
            plain.to_owned(),
            &base,
            10,
            true,
            false,
        ),
        (
            "its author knows it to be slower",
            with("5m"),
            &base,
            299,
            false,
            true,
        ),
        (
            "its author knows it to be fast",
            with("5s"),
            &base,
            6,
            false,
            false,
        ),
        ("no start period at all", with("0s"), &base, 0, false, false),
        (
            "Docker's own start period",
            plain.to_owned(),
            &own,
            299,
            false,
            true,
        ),
        (
            "the spec's word counts over Docker's",
            with("5s"),
            &own,
            6,
            false,
            false,
        ),
    ];
    for (case, spec, container, age, was_ready, starts) in cases {
        let view = seen(&workload(spec), container, Health::Unhealthy, *age, *was_ready);
        let health = if *starts {
            Health::Unknown
        } else {
            Health::Unhealthy
        };
        assert_eq!(
            (view.health, view.starts_until.is_some()),
            (health, *starts),
            "{case}: {view:?}"
        );
        assert!(view.message.contains("connection refused"), "{case}: {view:?}");
    }
    let healthy = seen(&workload(plain), &base, Health::Healthy, 1, false);
    assert_eq!((healthy.health, healthy.starts_until), (Health::Healthy, None));
}

#[test]
fn dockers_own_health_check_has_the_same_start_period() {
    let spec = workload("  container: base\n  health:\n    docker: {}\n    startPeriod: 90s\n");
    let mut base = container("base");
    base.health = Some(aegis_api::observed::DockerHealth {
        status: "unhealthy".to_owned(),
        ..aegis_api::observed::DockerHealth::default()
    });
    assert!(
        seen(&spec, &base, Health::Unknown, 89, false)
            .starts_until
            .is_some()
    );
    assert_eq!(
        seen(&spec, &base, Health::Unknown, 91, false).health,
        Health::Unhealthy
    );
}

#[test]
fn i11_what_dockers_health_check_or_a_probe_printed_is_shown_without_secrets() {
    let said = "mysqladmin --password hunter2hunter2 ping: \u{1b}[31mdown";
    let by_docker = workload("  container: base\n  health:\n    docker: {}\n");
    let mut base = container("base");
    base.health = Some(aegis_api::observed::DockerHealth {
        status: "unhealthy".to_owned(),
        log: vec!["well".to_owned(), said.to_owned()],
        ..aegis_api::observed::DockerHealth::default()
    });
    let asked = workload("  container: base\n  health:\n    http: {port: 8000}\n");
    let mut probed = world(0);
    let result = ProbeResult {
        health: Health::Unhealthy,
        message: said.to_owned(),
        ..ProbeResult::default()
    };
    probed.probe_results = [(base.id.clone(), result)].into();
    for (spec, observed) in [(&by_docker, world(0)), (&asked, probed)] {
        let view = view(&base, &spec.spec, &observed, true);
        assert_eq!(view.health, Health::Unhealthy);
        assert!(
            view.message.contains("mysqladmin --password [redacted]") && view.message.contains("down"),
            "{view:?}"
        );
        assert!(!view.message.contains(['\u{1b}']), "{view:?}");
    }
}

#[test]
fn unknown_health_says_why() {
    let spec = workload("  container: base\n  health:\n    http: {port: 8000}\n");
    let at = |mode: &str, owner: Option<NetworkOwner>, address: bool| {
        let mut base = container("base");
        base.host_config = json!({ "NetworkMode": mode });
        if !address {
            base.networks = BTreeMap::new();
        }
        let mut observed = world(0);
        observed.probe_results.clear();
        observed.network_owner = owner;
        let view = view(&base, &spec.spec, &observed, false);
        assert_eq!(view.health, Health::Unknown);
        view.message
    };
    let owner = |started: Option<&str>| {
        Some(NetworkOwner {
            name: "vpn".to_owned(),
            started_at: started.map(time),
        })
    };
    for (mode, owner, address, why) in [
        (
            "host",
            None,
            false,
            "host network: it has no address of its own, and no network",
        ),
        ("none", None, false, "network none"),
        (
            "container:dead",
            None,
            false,
            "the container whose network it shares is gone",
        ),
        (
            "container:vpn",
            owner(None),
            false,
            "vpn, whose network it shares, does not run",
        ),
        (
            "container:vpn",
            owner(Some(STARTED)),
            false,
            "vpn, whose network it shares, has none",
        ),
        ("app", None, false, "no address on any network yet"),
        ("app", None, true, "not probed yet"),
    ] {
        let message = at(mode, owner, address);
        assert!(message.contains(why), "{mode}: {message}");
    }
}

#[test]
fn a_probe_that_shares_no_network_with_its_target_says_so() {
    let spec = workload("  container: base\n  health:\n    http: {port: 8000}\n");
    let base = container("base");
    let mut observed = world(0);
    let result = ProbeResult {
        health: Health::Unhealthy,
        message: "no answer within 1000 ms".to_owned(),
        ..ProbeResult::default()
    };
    observed.probe_results = [(base.id.clone(), result)].into();
    observed.own_networks = ["aegis-network".to_owned()].into();
    let message = view(&base, &spec.spec, &observed, true).message;
    assert_eq!(
        message,
        "no answer within 1000 ms (it shares no network with this controller, which is on aegis-network)"
    );
}

/// What is said of a container on these networks after a probe that failed so.
fn failed(spec: &str, failing: Failing, was_ready: bool, change: impl FnOnce(&mut Observed)) -> View {
    let base = container("base");
    let mut observed = world(0);
    let result = ProbeResult {
        health: Health::Unhealthy,
        message: "GET http://10.0.0.2:8000/health: no".to_owned(),
        failing: Some(failing),
    };
    observed.probe_results = [(base.id.clone(), result)].into();
    change(&mut observed);
    view(&base, &workload(spec).spec, &observed, was_ready)
}

#[test]
fn what_was_never_reached_in_its_run_is_unknown_and_not_unhealthy() {
    let spec = "  container: base\n  health:\n    http: {port: 8000}\n";
    let apart = |observed: &mut Observed| observed.own_networks = ["elsewhere".to_owned()].into();
    let here = |_: &mut Observed| {};
    for (case, failing, was_ready, is_apart, unknown) in [
        ("no route", Failing::Unreachable, false, false, true),
        ("it was reached before", Failing::Unreachable, true, false, false),
        ("nothing listens", Failing::Refused, false, false, false),
        ("it hangs", Failing::Silent, false, false, false),
        ("a network that is not shared", Failing::Silent, false, true, true),
        (
            "reached before the controller lost the network",
            Failing::Unreachable,
            true,
            true,
            true,
        ),
        (
            "not shared, but reached before",
            Failing::Silent,
            true,
            true,
            false,
        ),
        (
            "not shared, and it answers",
            Failing::Answered(500),
            false,
            true,
            false,
        ),
    ] {
        let view = match is_apart {
            true => failed(spec, failing, was_ready, apart),
            false => failed(spec, failing, was_ready, here),
        };
        assert_eq!(view.out_of_reach, unknown, "{case}: {view:?}");
        assert_eq!(view.health == Health::Unknown, unknown, "{case}: {view:?}");
        assert!(
            !unknown || view.message.contains("cannot be reached from here"),
            "{case}: {view:?}"
        );
    }
}

#[test]
fn an_answer_that_the_next_run_would_give_too_is_futile_until_it_was_well_in_this_one() {
    let spec = "  container: base\n  health:\n    http: {port: 8000}\n";
    for (failing, was_ready, futile) in [
        (Failing::Answered(400), false, true),
        (Failing::Answered(401), false, true),
        (Failing::Answered(404), false, true),
        (Failing::Answered(421), false, true),
        (Failing::Exited(127), false, true),
        (Failing::Answered(404), true, false),
        (Failing::Answered(429), false, false),
        (Failing::Answered(500), false, false),
        (Failing::Exited(1), false, false),
        (Failing::Refused, false, false),
        (Failing::Silent, false, false),
    ] {
        let view = failed(spec, failing, was_ready, |_| {});
        assert_eq!(view.futile, futile, "{failing:?} {was_ready}: {view:?}");
    }
}

#[test]
fn a_probe_on_a_named_network_says_so_where_the_container_is_not_on_it() {
    let named = |network: &str| {
        format!("  container: base\n  health:\n    http: {{port: 8000}}\n    network: {network}\n")
    };
    let view = failed(&named("gone"), Failing::Refused, false, |_| {});
    assert!(
        view.out_of_reach
            && view.message.contains("not on network gone")
            && view.message.ends_with("but on net"),
        "{view:?}"
    );
    assert!(!failed(&named("net"), Failing::Refused, false, |_| {}).out_of_reach);
}

#[test]
fn a_container_on_the_hosts_network_is_probed_where_the_host_is() {
    let spec = workload("  container: base\n  health:\n    http: {port: 8000}\n");
    let mut observed = world(0);
    let base = observed.base.as_mut().unwrap();
    base.host_config = json!({"NetworkMode": "host"});
    base.networks = [("host".to_owned(), None)].into();
    observed.host_address = Some("127.0.0.1".parse().unwrap());
    let validated = crate::workload::validate::validate(&spec, observed).unwrap();
    let plan = crate::workload::plan::plan(&validated);
    assert_eq!(validated.instances[0].health, Health::Healthy);
    let asked = format!("{:?}", plan.targets[0].questions);
    assert!(asked.contains("127.0.0.1:8000"), "{asked}");
}
