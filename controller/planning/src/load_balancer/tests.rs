//! Made-up containers in, the real validate and plan, assertions on what nginx is given.

mod fields;
mod tcp;

use std::sync::Arc;

use aegis_api::load_balancer::{Drain, LoadBalancerStatus};
use aegis_api::observed::ContainerState;
use aegis_api::workload::{Health, Leaving};
use aegis_api::{ConditionType, LoadBalancer, Workload, WorkloadStatus, condition};

use super::home::Endpoint;
use super::observed::{NginxBuild, Observed, Worker, claimed_by, file};
use super::plan::{Prepared, Step, plan};
use super::status::{Applied, Outcome, next};
use super::testing::{NGINX, balancer, endpoint, release, row, rows_of, server, serving, time, world};
use super::validate::validate;

fn worker(pid: i64, shutting_down: bool) -> Worker {
    Worker { pid, shutting_down }
}

/// The status after a pass that went through, where nginx loaded what was planned.
fn status_after(balancer: &LoadBalancer, observed: Observed) -> LoadBalancerStatus {
    let validated = validate(balancer, observed).unwrap();
    let plan = plan(&validated).unwrap();
    let applied = Applied { plan, reload: None };
    next(Outcome { validated, applied })
}

fn prepare(balancer: &LoadBalancer, observed: Observed) -> Prepared {
    plan(&validate(balancer, observed).unwrap()).unwrap()
}

fn names(plan: &Prepared) -> Vec<&str> {
    plan.servers
        .iter()
        .map(|server| server.container.as_str())
        .collect()
}

#[test]
fn i8_only_ready_servers_are_admitted() {
    let rows = vec![
        row("a", "10.0.0.1", Health::Healthy),
        row("b", "10.0.0.2", Health::Unhealthy),
        row("c", "10.0.0.3", Health::Unknown),
    ];
    assert_eq!(names(&prepare(&balancer(), world(rows))), ["a"]);
}

#[test]
fn a_server_in_rotation_stays_while_nothing_is_known_against_it() {
    let rows = vec![
        row("a", "10.0.0.1", Health::Unknown),
        row("b", "10.0.0.2", Health::Unknown),
    ];
    assert_eq!(
        names(&prepare(&serving(&[server("a", "10.0.0.1")]), world(rows))),
        ["a"]
    );
}

#[test]
fn i8_an_empty_upstream_is_never_written() {
    let none = prepare(&balancer(), world(vec![row("a", "10.0.0.1", Health::Unhealthy)]));
    assert_eq!(
        (none.step, none.servers),
        (Step::Nothing, Vec::new()),
        "nothing is known yet"
    );
    let held = prepare(
        &serving(&[server("a", "10.0.0.1")]),
        world(vec![row("a", "10.0.0.1", Health::Unhealthy)]),
    );
    assert_eq!(names(&held), ["a"]);
    let gone = text(prepare(&serving(&[server("a", "10.0.0.1")]), world(Vec::new())));
    assert!(
        !gone.contains("upstream web {") && gone.contains("return 503"),
        "{gone}"
    );
}

/// The configuration that is to be loaded.
fn text(plan: Prepared) -> String {
    match plan.step {
        Step::Configure(rendered) => rendered.text,
        Step::Nothing => panic!("nginx keeps what it has"),
    }
}

/// A backend `web` whose only server `a` was last seen healthy at 10.0.0.1, and what the engine says of it by now.
type Change = fn(&mut Observed);

/// However stale its Workload's status is, no server but `a` gets a request.
#[test]
fn i8_an_address_is_a_servers_only_as_long_as_the_engine_says_so() {
    fn endpoint_of(observed: &mut Observed) -> &mut Endpoint {
        observed.endpoints.get_mut("id-a").unwrap()
    }
    let changes: [(&str, Change); 10] = [
        ("removed", |observed| observed.endpoints.clear()),
        ("ended", |observed| {
            endpoint_of(observed).state = ContainerState::Exited;
        }),
        ("restarting", |observed| {
            endpoint_of(observed).state = ContainerState::Restarting;
        }),
        ("paused", |observed| {
            endpoint_of(observed).state = ContainerState::Paused;
        }),
        ("being removed", |observed| {
            endpoint_of(observed).state = ContainerState::Removing;
        }),
        ("disconnected", |observed| endpoint_of(observed).addresses.clear()),
        ("on another network", |observed| {
            endpoint_of(observed).addresses = [("other".to_owned(), "10.0.0.1".parse().unwrap())].into();
        }),
        ("renamed", |observed| {
            endpoint_of(observed).name = "a-aside".to_owned();
        }),
        ("restarted", |observed| {
            endpoint_of(observed).started_at = Some(time("2026-11-22T11:59:59Z"));
        }),
        ("its workload deleted", |observed| observed.workloads = vec![None]),
    ];
    for (what, change) in changes {
        for health in [Health::Healthy, Health::Unhealthy, Health::Unknown] {
            let mut a = row("a", "10.0.0.1", health);
            (a.index, a.started_at) = (0, Some(time("2026-11-22T11:00:00Z")));
            let mut observed = world(vec![a]);
            change(&mut observed);
            let status = status_after(&serving(&[server("a", "10.0.0.1")]), observed.clone());
            let text = text(prepare(&serving(&[server("a", "10.0.0.1")]), observed));
            assert!(
                !text.contains("10.0.0.1") && text.contains("Retry-After"),
                "{what}, {health:?}: {text}"
            );
            assert!(
                status.servers.is_empty() && status.held.is_empty(),
                "{what}: {status:?}"
            );
            let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
            assert_eq!((&*ready.reason, &*ready.status), ("NoServers", "False"), "{what}");
            assert!(
                condition::is_true(&status.conditions, ConditionType::Degraded),
                "{what}"
            );
            let named = [
                "upstream web answers 503 since 2026-11-22T12:00:00Z",
                if what.contains("workload") { "web" } else { "a " },
            ];
            assert!(
                named.iter().all(|name| ready.message.contains(name)),
                "{what}: {}",
                ready.message
            );
        }
    }
}

/// The list of containers, which is asked where an inspection fails, does not say when they started.
#[test]
fn i8_a_container_whose_run_is_not_known_stays_where_it_is_and_is_not_admitted() {
    let servers = |lb: &LoadBalancer, ip: &str| {
        let mut a = row("a", ip, Health::Healthy);
        a.started_at = Some(time("2026-11-22T11:00:00Z"));
        let mut observed = world(vec![a]);
        observed.endpoints.get_mut("id-a").unwrap().started_at = None;
        prepare(lb, observed).servers.len()
    };
    let serving = serving(&[server("a", "10.0.0.1")]);
    assert_eq!(servers(&serving, "10.0.0.1"), 1);
    assert_eq!(servers(&serving, "10.0.0.7"), 0);
    assert_eq!(servers(&balancer(), "10.0.0.1"), 0);
}

#[test]
fn since_when_an_upstream_has_no_server_is_kept() {
    let mut lb = serving(&[]);
    lb.status.as_mut().unwrap().revision = Some("r".to_owned());
    let mut later = world(Vec::new());
    lb.status = Some(status_after(&lb, later.clone()));
    later.now = time("2026-11-22T13:00:00Z");
    let unavailable = status_after(&lb, later).unavailable;
    assert_eq!(unavailable[0].since, time("2026-11-22T12:00:00Z"));
}

#[test]
fn what_people_scaled_to_nothing_is_reported_and_is_no_trouble() {
    let mut observed = world(Vec::new());
    let mut workload = Workload::new(
        "web",
        serde_json::from_str(r#"{"template":{"image":"a"},"replicas":0}"#).unwrap(),
    );
    workload.status = Some(WorkloadStatus::default());
    observed.workloads = vec![Some(Arc::new(workload))];
    let status = status_after(&serving(&[server("a", "10.0.0.1")]), observed);
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert!(ready.message.contains("workload web is scaled to 0"), "{ready:?}");
    assert!(!condition::is_true(&status.conditions, ConditionType::Degraded));
}

#[test]
fn i8_the_last_of_a_scale_in_drains_before_it_goes() {
    let mut last = row("a", "10.0.0.1", Health::Healthy);
    (last.draining, last.leaving) = (true, Some(Leaving::ScaleIn));
    let plan = prepare(&serving(&[server("a", "10.0.0.1")]), world(vec![last]));
    assert!(plan.servers.is_empty() && plan.releases.is_empty());
    assert_eq!(plan.leaving.unwrap().ids, ["id-a"]);
}

#[test]
fn i8_one_upstream_without_a_server_does_not_fall_to_another() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    let more = r#"[{"workload":"gone","port":1,"upstream":"first"},{"workload":"web","port":8000,"upstream":"web"}]"#;
    lb.spec.backends = serde_json::from_str(more).unwrap();
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    observed.workloads.insert(0, None);
    let status = status_after(&lb, observed.clone());
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((&*ready.reason, &*ready.status), ("Partial", "False"));
    let text = text(prepare(&lb, observed));
    let (_, root) = text.split_once("location / {").unwrap();
    assert!(
        root.trim_start().starts_with("default_type") && text.contains("proxy_pass http://web/"),
        "{text}"
    );
}

#[test]
fn i8_what_an_earlier_life_left_in_nginx_is_not_kept() {
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Unknown)]);
    observed.served = Some("of another life".to_owned());
    assert!(text(prepare(&balancer(), observed)).contains("return 503"));
}

/// A template of before there was `unavailable`, and one that has it and forgets the server.
#[test]
fn i8_a_template_that_knows_nothing_of_it_sends_requests_to_no_server() {
    let old = "# unavailable is not looked at\n{% for u in upstreams %}upstream {{ u.name }} {\n{% for s in u.servers %}    \
               server {{ s.address }};\n{% endfor %}}\n{% endfor %}";
    let rendered = |template: &str| {
        let mut observed = world(Vec::new());
        observed.template = Ok(template.to_owned());
        text(prepare(&serving(&[server("a", "10.0.0.1")]), observed))
    };
    let text = rendered(old);
    assert!(
        text.contains("server 127.0.0.1:1;") && !text.contains("10.0.0.1"),
        "{text}"
    );
    let text = rendered(&format!("{old}{{% if upstreams.0.unavailable %}}{{% endif %}}"));
    assert!(
        text.contains("upstream web {\n}"),
        "nginx -t refuses that: {text}"
    );
}

#[test]
fn i8_a_load_balancer_that_is_deleted_leaves_no_server_in_nginx_and_drains() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    lb.status.as_mut().unwrap().revision = Some("r".to_owned());
    lb.metadata.deletion_timestamp = Some(time("2026-11-22T12:00:00Z").meta());
    let observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let plan = prepare(&lb, observed);
    assert!(plan.servers.is_empty() && !plan.is_quiet());
    assert!(text(plan).contains("return 503"));
}

#[test]
fn a_last_server_is_followed_to_its_new_address_once_it_is_well_there() {
    let after = |health| {
        let plan = prepare(
            &serving(&[server("a", "10.0.0.1")]),
            world(vec![row("a", "10.0.0.7", health)]),
        );
        plan.servers
            .into_iter()
            .map(|server| server.address)
            .collect::<Vec<_>>()
    };
    assert_eq!(after(Health::Healthy), ["10.0.0.7:8000"]);
    assert!(after(Health::Unhealthy).is_empty());
}

#[test]
fn a_draining_server_leaves_drains_and_is_then_released() {
    let mut leaving = row("b", "10.0.0.2", Health::Healthy);
    (leaving.draining, leaving.draining_since) = (true, Some(time("2026-11-22T11:59:58Z")));
    let rows = vec![row("a", "10.0.0.1", Health::Healthy), leaving];
    let mut lb = serving(&[server("a", "10.0.0.1"), server("b", "10.0.0.2")]);
    let first = prepare(&lb, world(rows.clone()));
    assert_eq!(names(&first), ["a"]);
    assert_eq!(first.leaving.as_ref().unwrap().ids, ["id-b"]);
    assert!(first.releases.is_empty());

    // A worker of the old configuration that has not yet seen the reload looks like any other: its id tells.
    let draining = first.leaving.map(|drain| Drain {
        workers: vec![7],
        ..drain
    });
    lb.status = Some(LoadBalancerStatus {
        servers: first.servers,
        draining: draining.into_iter().collect(),
        ..LoadBalancerStatus::default()
    });
    let mut busy = world(rows.clone());
    busy.workers = Some(vec![worker(7, false), worker(9, false)]);
    assert!(prepare(&lb, busy).releases.is_empty());
    let mut done = world(rows);
    done.workers = Some(vec![worker(9, false)]);
    let last = prepare(&lb, done);
    assert!(last.receipts[0].drained);
    assert_eq!(last.releases, [release("id-b", Some("2026-11-22T11:59:58Z"))]);
}

#[test]
fn a_drain_that_runs_into_its_deadline_says_so() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    let drain = drain("b", "2026-11-22T11:59:10Z", &[]);
    lb.status.as_mut().unwrap().draining = vec![drain];
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    observed.workers = Some(vec![worker(7, true)]);
    assert!(!prepare(&lb, observed).receipts[0].drained);
}

/// The drain of one server; its workers know it.
fn drain(name: &str, deadline: &str, workers: &[i64]) -> Drain {
    Drain {
        containers: vec![name.to_owned()],
        ids: vec![format!("id-{name}").into()],
        addresses: Vec::new(),
        causes: Vec::new(),
        since: time("2026-11-22T11:59:00Z"),
        deadline: time(deadline),
        workers: workers.to_vec(),
    }
}

#[test]
fn a_drain_is_looked_at_soon_at_first_and_then_ever_less_often() {
    let pause_until = |milliseconds: i64, deadline: &str| {
        let mut drain = drain("b", deadline, &[7]);
        let ago = jiff::SignedDuration::from_millis(milliseconds);
        let observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
        drain.since = aegis_api::Time(observed.now.0.checked_sub(ago).unwrap());
        let mut lb = serving(&[server("a", "10.0.0.1")]);
        lb.status.as_mut().unwrap().draining = vec![drain];
        let busy = Observed {
            workers: Some(vec![worker(7, true)]),
            ..observed
        };
        prepare(&lb, busy).look_again.unwrap().as_millis()
    };
    let pause = |milliseconds| pause_until(milliseconds, "2026-11-22T12:00:05Z");
    // A clock that was set back is no reason not to look.
    assert_eq!(
        [-1000, 0, 20, 48, 200, 4000, 90_000].map(pause),
        [5, 5, 5, 12, 50, 500, 500]
    );
    // A drain ends at its deadline.
    assert_eq!(pause_until(4000, "2026-11-22T12:00:00.100Z"), 100);
    let mut leaving = row("b", "10.0.0.2", Health::Healthy);
    leaving.draining = true;
    let lb = serving(&[server("a", "10.0.0.1"), server("b", "10.0.0.2")]);
    let opened = prepare(&lb, world(vec![row("a", "10.0.0.1", Health::Healthy), leaving]));
    assert_eq!(opened.look_again.unwrap().as_millis(), 5);
}

#[test]
fn i8_who_leaves_later_does_not_put_off_who_left_before() {
    let mut lb = serving(&[server("a", "10.0.0.1"), server("flaps", "10.0.0.3")]);
    let earlier = drain("b", "2026-11-22T12:00:05Z", &[7]);
    lb.status.as_mut().unwrap().draining = vec![earlier.clone()];
    let mut leaving = row("b", "10.0.0.2", Health::Healthy);
    leaving.draining = true;
    let rows = vec![
        row("a", "10.0.0.1", Health::Healthy),
        leaving,
        row("flaps", "10.0.0.3", Health::Unhealthy),
    ];
    let mut busy = world(rows.clone());
    busy.workers = Some(vec![worker(7, true), worker(9, false)]);
    let plan = prepare(&lb, busy);
    assert_eq!(plan.draining, [earlier]);
    assert_eq!(plan.leaving.unwrap().ids, ["id-flaps"]);
    assert!(plan.releases.is_empty());

    // Worker 9 gives the flapping one requests; it never knew the other.
    let mut done = world(rows);
    done.workers = Some(vec![worker(9, false)]);
    let plan = prepare(&lb, done);
    assert!(plan.receipts[0].drained && plan.draining.is_empty());
    assert_eq!(plan.leaving.unwrap().ids, ["id-flaps"]);
    assert_eq!(plan.releases, [release("id-b", None)]);
}

#[test]
fn a_server_that_comes_back_and_leaves_again_has_a_drain_of_its_own() {
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    let mut both = drain("b", "2026-11-22T12:00:05Z", &[7]);
    both.containers.push("c".to_owned());
    both.ids.push("id-c".into());
    lb.status.as_mut().unwrap().draining = vec![both];
    let rows = ["a", "c"].map(|name| row(name, "10.0.0.1", Health::Healthy));
    let mut busy = world(rows.to_vec());
    busy.workers = Some(vec![worker(7, true)]);
    assert_eq!(prepare(&lb, busy).draining[0].ids, ["id-b"]);
}

/// A load balancer whose backend `old` was taken out of the spec, and what nginx serves of it.
fn removed_backends(draining: bool) -> (LoadBalancer, Arc<Workload>) {
    let mut served = server("o", "10.0.0.7");
    (served.upstream, served.workload) = ("old".to_owned(), "old".to_owned());
    let mut workload = Workload::new("old", serde_json::from_str(r#"{"container":"o"}"#).unwrap());
    let mut row = row("o", "10.0.0.7", Health::Healthy);
    row.draining = draining;
    workload.status = Some(WorkloadStatus {
        instances: vec![row],
        ..WorkloadStatus::default()
    });
    (serving(&[served]), Arc::new(workload))
}

#[test]
fn i8_a_server_of_a_backend_that_was_taken_out_drains_like_any_other() {
    let (lb, old) = removed_backends(true);
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let row = rows_of(&old)[0].clone();
    observed.endpoints.insert(row.id.clone(), endpoint(&row));
    observed.removed_backends = vec![old];
    let plan = prepare(&lb, observed);
    assert_eq!(names(&plan), ["a"]);
    assert_eq!(plan.leaving.unwrap().ids, ["id-o"]);
    assert!(plan.releases.is_empty());
}

#[test]
fn i8_a_backend_that_was_taken_out_leaves_though_none_takes_its_place() {
    let (lb, old) = removed_backends(true);
    let mut observed = world(Vec::new());
    let row = rows_of(&old)[0].clone();
    observed.endpoints = [(row.id.clone(), endpoint(&row))].into();
    observed.removed_backends = vec![old];
    let plan = prepare(&lb, observed);
    assert!(plan.servers.is_empty() && plan.releases.is_empty());
    assert_eq!(plan.leaving.as_ref().unwrap().ids, ["id-o"]);
    assert!(!text(plan).contains("10.0.0.7"));
}

#[test]
fn i8_only_what_is_marked_as_draining_is_ever_held() {
    let lb = serving(&[server("a", "10.0.0.1")]);
    let held = |draining| {
        let mut last = row("a", "10.0.0.1", Health::Unhealthy);
        last.draining = draining;
        status_after(&lb, world(vec![last])).held
    };
    assert!(held(false).is_empty());
    assert_eq!(held(true), ["id-a"]);
}

#[test]
fn an_unchanged_configuration_is_not_loaded_again() {
    let rows = || vec![row("a", "10.0.0.1", Health::Healthy)];
    let first = prepare(&balancer(), world(rows()));
    let Step::Configure(rendered) = first.step else {
        panic!("{:?}", first.step)
    };
    let mut served = world(rows());
    served.served = Some(rendered.revision);
    assert_eq!(prepare(&balancer(), served).step, Step::Nothing);
}

#[test]
fn a_broken_template_is_refused_with_its_line() {
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    observed.template = Ok("upstream {{ name }\n{% for x in %}".to_owned());
    let unplanned = plan(&validate(&balancer(), observed).unwrap()).unwrap_err();
    let error = aegis_api::error::chain(&unplanned);
    assert!(
        error.contains("nginx-upstream.conf.tera") && error.contains("1:"),
        "{error}"
    );
}

#[test]
fn the_rendered_configuration_reads_as_meant() {
    let rows = vec![
        row("a", "10.0.0.1", Health::Healthy),
        row("b", "10.0.0.2", Health::Healthy),
    ];
    let rendered = prepare(&balancer(), world(rows)).rendered.unwrap();
    insta::assert_snapshot!(rendered.text.replace(&rendered.revision, "REVISION"));
}

#[test]
fn a_server_whose_container_ended_leaves_without_a_drain() {
    let lb = serving(&[
        server("a", "10.0.0.1"),
        server("b", "10.0.0.2"),
        server("c", "10.0.0.3"),
    ]);
    let mut ended = row("b", "10.0.0.2", Health::Unhealthy);
    ended.state = ContainerState::Exited;
    let plan = prepare(&lb, world(vec![row("a", "10.0.0.1", Health::Healthy), ended]));
    assert_eq!(names(&plan), ["a"]);
    assert_eq!(plan.leaving, None);
}

#[test]
fn an_older_nginx_is_given_no_directive_that_it_would_refuse_and_the_condition_says_what_that_costs() {
    let rows = || vec![row("a", "10.0.0.1", Health::Healthy)];
    let after = |said: &str| {
        let mut observed = world(rows());
        observed.nginx = Some(NginxBuild::parse(said));
        let text = text(prepare(&balancer(), observed.clone()));
        let status = status_after(&balancer(), observed);
        let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.status, "True");
        (
            text.contains("\n    keepalive_min_timeout 5s;\n"),
            ready.message.clone(),
        )
    };
    assert_eq!(after(NGINX), (true, "1 server in rotation".to_owned()));
    let (kept, message) = after("nginx version: nginx/1.22.1\nconfigure arguments: --prefix=/usr\n");
    assert!(!kept);
    for part in ["1 server in rotation; ", "nginx 1.22.1", "1.27.4"] {
        assert!(message.contains(part), "{message}");
    }
    let (kept, message) = after("nginx version: openresty/1.27.1.1\n");
    assert!(!kept && message == "1 server in rotation", "{message}");
}

#[test]
fn an_older_nginx_that_does_not_start_finds_a_file_that_it_accepts() {
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let rendered = prepare(&balancer(), observed.clone()).rendered.unwrap();
    let mut lb = serving(&[server("a", "10.0.0.1")]);
    let status = lb.status.as_mut().unwrap();
    (status.config, status.revision) = (Some(rendered.text.clone()), Some(rendered.revision));
    let container = observed.container.as_mut().unwrap();
    let mut file_after = |state, code| {
        (container.state, container.exit_code) = (state, code);
        file(&lb, Some(container), &observed.endpoints).unwrap().text
    };
    assert_eq!(file_after(ContainerState::Exited, 0), rendered.text);
    let without = file_after(ContainerState::Restarting, 1);
    assert!(!without.contains("\n    keepalive_min_timeout"), "{without}");
    assert!(without.contains("server 10.0.0.1:8000"), "{without}");
}

/// The configuration for these further fields of the spec and of its only backend.
fn rendered_with(spec: &serde_json::Value, backend: &serde_json::Value) -> String {
    let mut lb = balancer();
    let mut all = serde_json::to_value(&lb.spec).unwrap();
    let put = |onto: &mut serde_json::Value, fields: &serde_json::Value| {
        for (name, value) in fields.as_object().unwrap() {
            onto[name] = value.clone();
        }
    };
    put(&mut all, spec);
    put(&mut all["backends"][0], backend);
    lb.spec = serde_json::from_value(all).unwrap();
    text(prepare(&lb, world(vec![row("a", "10.0.0.1", Health::Healthy)])))
}

#[test]
fn what_an_application_needs_of_nginx_is_a_field() {
    use serde_json::json;
    let none = || json!({});
    for (spec, backend, has, has_not) in [
        (
            none(),
            none(),
            "client_max_body_size 0;",
            "proxy_request_buffering",
        ),
        (
            json!({"maxBodyMb": 8}),
            none(),
            "client_max_body_size 8m;",
            "client_max_body_size 0;",
        ),
        (none(), none(), "proxy_read_timeout 60s;", "proxy_buffering off;"),
        (
            none(),
            json!({"readTimeout": "1h"}),
            "proxy_read_timeout 3600s;",
            "60s;",
        ),
        (
            none(),
            json!({"buffering": false}),
            "proxy_buffering off;",
            "proxy_read_timeout 1s",
        ),
        (
            none(),
            none(),
            "listen 80 default_server;\n    server_name",
            "[::]",
        ),
        (
            json!({"ipv6": true}),
            none(),
            "listen [::]:80 default_server;",
            " ssl",
        ),
        (
            json!({"tls": {"certificate": "/certs/a.pem", "key": "/certs/a.key"}}),
            none(),
            "listen 443 ssl default_server;\n    ssl_certificate /certs/a.pem;\n    ssl_certificate_key /certs/a.key;",
            "[::]",
        ),
        (
            none(),
            json!({"path": "/app/"}),
            "location /app/ {\n        proxy_pass http://web/;",
            "location / {\n        proxy_pass",
        ),
        (
            none(),
            json!({"path": "/app/"}),
            "X-Forwarded-Prefix \"/app\";",
            "/app/;",
        ),
        (
            json!({"trustedProxies": ["203.0.113.7"]}),
            json!({"path": "/app/"}),
            "X-Forwarded-Prefix \"$aegis_p_fd26db45/app\";",
            "/app/;",
        ),
        (
            none(),
            json!({"path": "/app/", "stripPath": false}),
            "location /app/ {\n        proxy_pass http://web;",
            "/app;",
        ),
        (
            json!({"trustedProxies": ["203.0.113.7"]}),
            none(),
            "default 0;\n    203.0.113.7 1;\n}",
            "    10.0.0.0/8 1;",
        ),
        // No client is believed: nothing that one says of itself reaches an application.
        (
            json!({"trustedProxies": []}),
            none(),
            "X-Forwarded-For $remote_addr;",
            "$http_x_",
        ),
        (none(), none(), "X-Forwarded-Host $aegis_host;", "$proxy_add_x_"),
        (
            none(),
            json!({"protocol": "Grpc"}),
            "    http2 on;",
            "proxy_pass http://web",
        ),
        (
            none(),
            json!({"protocol": "Grpc"}),
            "location / {\n        grpc_pass grpc://web;",
            "auth_delay",
        ),
        (
            json!({"holdRequests": "1s"}),
            none(),
            "error_page 502 504 = @aegis_hold_web;",
            "return 503;",
        ),
        (
            json!({"holdRequests": "1s"}),
            json!({"protocol": "Grpc"}),
            "listen 127.0.0.1:28081;",
            "@aegis_hold_",
        ),
    ] {
        let case = format!("{spec} {backend}");
        let text = rendered_with(&spec, &backend);
        let bare: String = text
            .split_inclusive('\n')
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        let geo = bare
            .split_once("geo ")
            .and_then(|(_, rest)| rest.split_once("map "));
        let searched = match has.starts_with("default 0") {
            true => geo.unwrap().0,
            false => bare.as_str(),
        };
        assert!(searched.contains(has), "{case} lacks {has}:\n{text}");
        assert!(!searched.contains(has_not), "{case} has {has_not}:\n{text}");
    }
}

#[test]
fn two_load_balancers_in_one_nginx_name_nothing_alike() {
    let names = |lb: &LoadBalancer| -> Vec<String> {
        let text = text(prepare(lb, world(vec![row("a", "10.0.0.1", Health::Healthy)])));
        let lines = text
            .lines()
            .filter(|line| line.starts_with("log_format ") || line.starts_with("geo "));
        lines.map(str::to_owned).collect()
    };
    let mut first = balancer();
    first.spec.trusted_proxies = Some(vec!["203.0.113.7".parse().unwrap()]);
    let mut second = first.clone();
    second.metadata.name = Some("lb-2".to_owned());
    let (first, second) = (names(&first), names(&second));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(
        first.iter().all(|name| !second.contains(name)),
        "{first:?} {second:?}"
    );
}

#[test]
fn an_nginx_on_the_hosts_network_reaches_servers_on_any() {
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let container = observed.container.as_mut().unwrap();
    container.networks = [("host".to_owned(), None)].into();
    assert_eq!(names(&prepare(&balancer(), observed.clone())), ["a"]);
    observed.address = None;
    let invalid = validate(&balancer(), observed).unwrap_err();
    assert!(
        invalid.message.contains("on the host's network"),
        "{}",
        invalid.message
    );
}

#[test]
fn a_server_on_the_hosts_network_is_reached_on_this_host_or_at_the_gateway_of_nginx() {
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let endpoint = observed.endpoints.get_mut("id-a").unwrap();
    (endpoint.addresses, endpoint.on_host) = (std::collections::BTreeMap::new(), true);
    let address = |observed: &Observed| -> Vec<String> {
        let servers = prepare(&balancer(), observed.clone()).servers;
        servers.into_iter().map(|server| server.address).collect()
    };
    assert!(address(&observed).is_empty(), "nginx has no way to the host");
    let container = observed.container.as_mut().unwrap();
    container.network_settings = serde_json::json!({"net": {"Gateway": "10.0.0.254"}});
    assert_eq!(address(&observed), ["10.0.0.254:8000"]);
    let lb = serving(&[server("a", "10.0.0.254")]);
    assert_eq!(names(&prepare(&lb, observed.clone())), ["a"], "it stays");
    let container = observed.container.as_mut().unwrap();
    container.host_config = serde_json::json!({"NetworkMode": "host"});
    container.networks = [("host".to_owned(), None)].into();
    assert_eq!(address(&observed), ["127.0.0.1:8000"]);
    observed.endpoints.get_mut("id-a").unwrap().state = ContainerState::Exited;
    assert!(address(&observed).is_empty(), "what does not run has no address");
}

#[test]
fn of_two_load_balancers_with_one_file_the_first_keeps_it_and_the_other_says_so() {
    let made = |name: &str, at: &str, path: &str| {
        let mut lb = balancer();
        lb.metadata.name = Some(name.to_owned());
        lb.metadata.creation_timestamp = Some(serde_json::from_value(serde_json::json!(at)).unwrap());
        lb.spec.config_path = path.parse().unwrap();
        Arc::new(lb)
    };
    let live = "/etc/nginx/conf.d/upstream.conf";
    let all = [
        made("b", "2026-11-22T12:00:00Z", live),
        made("a", "2026-11-22T12:00:01Z", "/etc/nginx/conf.d//upstream.conf"),
        made("c", "2026-11-22T11:00:00Z", "/etc/nginx/conf.d/c.conf"),
    ];
    let claims: Vec<Option<String>> = all.iter().map(|lb| claimed_by(lb, &all)).collect();
    assert_eq!(claims, [None, Some("b".to_owned()), None]);
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    observed.claimed_by = Some("b".to_owned());
    let message = validate(&all[1], observed).unwrap_err().message;
    assert!(
        message.contains("load balancer b has") && message.contains("spec.configPath"),
        "{message}"
    );
}
