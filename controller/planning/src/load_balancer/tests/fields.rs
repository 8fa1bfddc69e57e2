//! What fields of the spec make of the configuration, and what two load balancers of one nginx cannot both have.

use super::super::observed::taken;
use super::*;

#[test]
fn what_only_one_load_balancer_of_an_nginx_can_have_is_refused_to_a_later_one_with_the_field() {
    let made = |name: &str, at: &str, fields: &serde_json::Value| {
        let mut lb = balancer();
        lb.metadata.name = Some(name.to_owned());
        lb.metadata.creation_timestamp = Some(serde_json::from_value(serde_json::json!(at)).unwrap());
        let mut spec = serde_json::to_value(&lb.spec).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        lb.spec = serde_json::from_value(spec).unwrap();
        Arc::new(lb)
    };
    let backends = |first: &str, second: &str| {
        let backend = |name: &str| serde_json::json!({"workload": "web", "port": 8000, "upstream": name});
        serde_json::json!([backend(first), backend(second)])
    };
    let tls = |port: u16| serde_json::json!({"port": port, "certificate": "/a", "key": "/b"});
    let first = made(
        "first",
        "2026-11-22T12:00:00Z",
        &serde_json::json!({"backends": backends("web", "api"), "tls": tls(443)}),
    );
    let of = |fields: serde_json::Value| {
        let mut all = serde_json::json!({"port": 81, "backends": backends("x", "y")});
        for (field, value) in fields.as_object().unwrap() {
            all[field] = value.clone();
        }
        let second = made("a-second", "2026-11-22T12:00:01Z", &all);
        let all = [second.clone(), first.clone()];
        assert_eq!(taken(&first, &all), None, "the first one has what it has");
        taken(&second, &all).map(|taken| format!("{} {} {}", taken.field, taken.what, taken.by))
    };
    for (fields, is) in [
        (serde_json::json!({}), None),
        (
            serde_json::json!({"backends": backends("x", "api")}),
            Some("spec.backends[1].upstream upstream api first"),
        ),
        (
            serde_json::json!({"backends": backends("WEB", "x")}),
            Some("spec.backends[0].upstream upstream WEB first"),
        ),
        (serde_json::json!({"port": 80}), Some("spec.port port 80 first")),
        (serde_json::json!({"port": 443}), Some("spec.port port 443 first")),
        (
            serde_json::json!({"tls": tls(80)}),
            Some("spec.tls.port port 80 first"),
        ),
        (serde_json::json!({"container": "another", "port": 80}), None),
    ] {
        assert_eq!(of(fields.clone()).as_deref(), is, "{fields}");
    }
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    observed.taken = taken(
        &made("z", "2026-11-22T13:00:00Z", &serde_json::json!({})),
        std::slice::from_ref(&first),
    );
    let message = plan(&validate(&balancer(), observed).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "load balancer first has upstream web of container nginx: give spec.backends[0].upstream another one"
    );
}

/// Rotation is by weights: the step is a function of the time, so that a pass more or less changes nothing.
#[test]
fn a_server_that_has_just_become_ready_gets_a_part_of_its_share_and_the_next_step_is_waited_for() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    lb.spec.backends[0].slow_start = Some("20s".parse().unwrap());
    let (mut a, mut b) = (
        row("a", "10.0.0.1", Health::Healthy),
        row("b", "10.0.0.2", Health::Healthy),
    );
    a.ready_since = Some(time("2026-11-22T11:00:00Z"));
    b.ready_since = Some(time("2026-11-22T11:59:59Z"));
    let mut observed = world(vec![a, b]);
    let plan = prepare(&lb, observed.clone());
    let weights = |plan: &Prepared| -> Vec<u32> { plan.servers.iter().map(|server| server.weight).collect() };
    assert_eq!(weights(&plan), [4, 1]);
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(4)));
    assert!(text(plan).contains("weight=4"));
    observed.now = time("2026-11-22T12:00:19Z");
    let plan = prepare(&lb, observed);
    assert_eq!((weights(&plan), plan.look_again), (vec![1, 1], None));
}

#[test]
fn requests_wait_for_a_server_that_may_be_back_and_not_for_one_that_people_took_away() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    lb.spec.hold_requests = Some("10s".parse().unwrap());
    let holds =
        |lb: &LoadBalancer, observed: Observed| text(prepare(lb, observed)).contains("@aegis_hold_web");
    let one = || row("a", "10.0.0.1", Health::Healthy);
    assert!(holds(&lb, world(vec![one()])));
    let mut gone = world(vec![one()]);
    gone.endpoints.clear();
    assert!(holds(&lb, gone.clone()), "it restarts");
    assert!(
        !holds(&serving(&[server("a", "10.0.0.1")]), gone),
        "it is not asked to"
    );
    let mut stopped = one();
    stopped.stopped_by_hand = Some(time("2026-11-22T11:00:00Z"));
    let mut observed = world(vec![stopped]);
    observed.endpoints.clear();
    assert!(!holds(&lb, observed), "a person stopped it");
    let mut observed = world(Vec::new());
    let off = r#"{"template":{"image":"a"},"replicas":0}"#;
    observed.workloads = vec![Some(Arc::new(Workload::new(
        "web",
        serde_json::from_str(off).unwrap(),
    )))];
    assert!(!holds(&lb, observed), "it is scaled to 0");
    let mut old = world(vec![one()]);
    old.nginx = Some(NginxBuild::parse("nginx version: nginx/1.17.9"));
    let status = status_after(&lb, old);
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert!(
        ready.message.contains("spec.holdRequests has no effect"),
        "{ready:?}"
    );
}

/// A list of what is taken out is never whole; these are what common frameworks and proxies believe.
#[test]
fn what_a_stranger_says_of_how_it_got_here_is_set_or_taken_out_in_every_way_to_an_application() {
    for (spec, backend, directive) in [
        (serde_json::json!({}), serde_json::json!({}), "proxy_set_header"),
        (
            serde_json::json!({"holdRequests": "5s"}),
            serde_json::json!({}),
            "proxy_set_header",
        ),
        (
            serde_json::json!({}),
            serde_json::json!({"protocol": "Grpc"}),
            "grpc_set_header",
        ),
    ] {
        let text = rendered_with(&spec, &backend);
        let locations = text.split("\n    location ").skip(1);
        let public = locations
            .filter(|location| location.contains(directive) && !location.contains("http_x_aegis_host;"));
        let mut seen = 0;
        for location in public {
            seen += 1;
            for header in [
                "X-Real-IP",
                "X-Forwarded-For",
                "X-Forwarded-Proto",
                "X-Forwarded-Host",
                "X-Forwarded-Port",
                "X-Forwarded-Prefix",
                "X-Forwarded-Server",
                "X-Forwarded-User",
                "Forwarded",
                "X-Original-URL",
                "X-Rewrite-URL",
                "X-Original-Host",
                "X-Client-IP",
                "True-Client-IP",
                "CF-Connecting-IP",
            ] {
                assert!(
                    location.contains(&format!("{directive} {header} ")),
                    "{header} in {location}"
                );
            }
        }
        assert_eq!(seen, if spec["holdRequests"].is_null() { 1 } else { 2 });
    }
}

/// nginx refuses a name of a variable that is longer than its hash has room for.
#[test]
fn variables_have_names_that_nginx_has_room_for() {
    let text = rendered_with(&serde_json::json!({"holdRequests": "5s"}), &serde_json::json!({}));
    let names = text.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest.get(..end.unwrap_or(rest.len())).unwrap()
    });
    for name in names {
        assert!(name.len() <= 46, "{name}");
    }
}
