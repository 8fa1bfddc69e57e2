use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use aegis_api::create::{CreateSpec, Ownership, clone_revision, clone_spec};
use aegis_api::observed::{ContainerState, ExecOutput};
use futures::StreamExt;
use serde_json::json;

use super::*;
use aegis_docker::engine::{Engine, EngineError, ListFilter, LogQuery};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn address(engine: &FakeEngine, name: &str, port: u16) -> SocketAddr {
    let details = engine.inspect_now(name).expect("a container");
    SocketAddr::new(
        details
            .networks
            .values()
            .find_map(|address| *address)
            .expect("an address"),
        port,
    )
}

fn app() -> FakeEngine {
    let engine = FakeEngine::default();
    let spec = RunSpec::new("web", "web:1")
        .network("front")
        .memory(64 << 20)
        .env("MODE", "prod")
        .healthcheck();
    engine.run_container(&spec).unwrap();
    engine
}

fn template(name: &str) -> CreateSpec {
    CreateSpec {
        name: name.to_owned(),
        body: json!({"Image": "web:1", "Labels": {"io.aegisops.workload": "web"}, "HostConfig": {"NetworkMode": "front"}}),
        extra_networks: Default::default(),
        image_id: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_runs_beside_its_base_with_an_address_of_its_own() {
    let engine = app();
    let base = engine.inspect("web").await.unwrap().unwrap();
    let owner = Ownership {
        workload: "web",
        revision: "r",
        instance: "i",
        index: 1,
    };
    let id = engine
        .create(clone_spec(&base, "web-replica-1", &owner))
        .await
        .unwrap();
    engine.start(&id).await.unwrap();
    let clone = engine.inspect("web-replica-1").await.unwrap().unwrap();
    assert_eq!(clone_revision(&clone), clone_revision(&base));
    assert_eq!(clone.memory_limit, base.memory_limit);
    assert_eq!(clone.config["Env"], base.config["Env"]);
    assert_ne!(clone.networks["front"], base.networks["front"]);
    assert!(clone.networks["front"].is_some());
    let filter = ListFilter {
        labels: [("io.aegisops.workload".to_owned(), "web".to_owned())].into(),
    };
    assert_eq!(engine.list(filter).await.unwrap().len(), 1);
    assert!(engine.bystanders_touched().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_idempotent_and_starts_are_counted_once() {
    let engine = app();
    engine.start("web").await.unwrap();
    engine.stop("web", None).await.unwrap();
    engine.stop("web", None).await.unwrap();
    assert_eq!(engine.inspect_now("web").unwrap().networks["front"], None);
    engine.start("web").await.unwrap();
    assert_eq!(engine.starts("web"), 2);
    assert!(matches!(
        engine.remove("web").await,
        Err(EngineError::Conflict { .. })
    ));
    engine.stop("web", None).await.unwrap();
    engine.remove("web").await.unwrap();
    engine.remove("web").await.unwrap();
    assert!(engine.start("web").await.unwrap_err().is_not_found());
    assert_eq!(engine.inspect("web").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_and_a_missing_image_are_said() {
    let engine = app();
    assert!(matches!(
        engine.create(template("web")).await,
        Err(EngineError::Conflict { .. })
    ));
    let mut spec = template("new");
    spec.body["Image"] = json!("nowhere:1");
    assert!(
        engine
            .create(spec)
            .await
            .unwrap_err()
            .to_string()
            .contains("no such image: nowhere:1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_goes_on_when_its_caller_goes_away() {
    let engine = app();
    engine.stop("web", None).await.unwrap();
    let gave_up = tokio::time::timeout(50 * MS, engine.start("web")).await;
    assert!(gave_up.is_err() && engine.inspect_now("web").unwrap().state == ContainerState::Exited);
    assert!(
        engine
            .wait_until(SECOND, |engine| engine.inspect_now("web").unwrap().state
                == ContainerState::Running)
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn probes_meet_what_the_container_suffers_from() {
    let engine = app();
    let web = address(&engine, "web", 8000);
    let get = || engine.http_get(web, "/health", SECOND);
    assert!(
        get().await.unwrap_err().to_string().contains("refused"),
        "it is not up yet"
    );
    tokio::time::sleep(100 * MS).await;
    assert_eq!(get().await.unwrap().status, 200);
    engine
        .ail(
            "web",
            Ailment::new(Symptom::Unhealthy, Cure::After(SECOND)).memory(60 << 20),
        )
        .unwrap();
    assert_eq!(get().await.unwrap().status, 503);
    assert_eq!(engine.stats("web").await.unwrap().memory_bytes, 60 << 20);
    tokio::time::sleep(SECOND).await;
    assert_eq!(get().await.unwrap().status, 200);
    engine.hang("web").unwrap();
    let began = tokio::time::Instant::now();
    assert!(
        get()
            .await
            .unwrap_err()
            .to_string()
            .contains("no answer within 1000 ms")
    );
    assert_eq!(began.elapsed(), SECOND);
    engine.tcp_connect(web, SECOND).await.unwrap();
    engine.stop("web", None).await.unwrap();
    assert!(get().await.is_err());
    engine.start("web").await.unwrap();
    tokio::time::sleep(100 * MS).await;
    assert_eq!(get().await.unwrap().status, 200, "a restart cures it");
}

#[tokio::test(start_paused = true)]
async fn an_ailment_that_nothing_cures_survives_a_restart() {
    let engine = app();
    engine
        .ail("web", Ailment::new(Symptom::Unhealthy, Cure::Never))
        .unwrap();
    engine.stop("web", None).await.unwrap();
    engine.start("web").await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(!engine.is_serving("web"));
}

#[tokio::test(start_paused = true)]
async fn events_report_deaths_and_health_in_order() {
    let engine = FakeEngine::default();
    let mut events = engine.events().await.unwrap();
    engine
        .run_container(&RunSpec::new("web", "web:1").healthcheck())
        .unwrap();
    tokio::time::sleep(100 * MS).await;
    engine.hang("web").unwrap();
    tokio::time::sleep(3 * SECOND).await;
    engine.oom("web").unwrap();
    engine.remove_by_hand("web").unwrap();
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(events.next().await.unwrap().unwrap().action);
    }
    assert_eq!(
        seen,
        [
            "create",
            "start",
            "health_status: healthy",
            "health_status: unhealthy",
            "oom",
            "die",
            "destroy"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_dockers_to_restart_until_somebody_stops_it() {
    let engine = FakeEngine::default();
    let behaviour = Behaviour {
        crash_after: Some(50 * MS),
        crashing_runs: 3,
        ..Behaviour::default()
    };
    engine
        .run_container(
            &RunSpec::new("web", "web:1")
                .restart_policy("always")
                .behaviour(behaviour),
        )
        .unwrap();
    tokio::time::sleep(5 * SECOND).await;
    let details = engine.inspect_now("web").unwrap();
    assert_eq!(
        (details.state, details.restart_count),
        (ContainerState::Running, 3)
    );
    engine.kill("web").unwrap();
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(engine.inspect_now("web").unwrap().state, ContainerState::Exited);
}

#[tokio::test(start_paused = true)]
async fn sigterm_can_be_ignored_for_the_whole_grace_period() {
    let engine = FakeEngine::default();
    let behaviour = Behaviour {
        ignores_sigterm: true,
        ..Behaviour::default()
    };
    engine
        .run_container(&RunSpec::new("web", "web:1").stop_timeout(7).behaviour(behaviour))
        .unwrap();
    let began = tokio::time::Instant::now();
    engine.stop("web", None).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(engine.inspect_now("web").unwrap().exit_code, 137);
}

fn upstream(revision: &str, servers: &str) -> Vec<(String, Vec<u8>)> {
    let text = format!(
        "upstream app {{ {servers} }}\nserver {{ listen 80; location = /aegis-revision {{ return 200 \"{revision}\\n\"; }} \
         location / {{ proxy_pass http://app; }} }}\n"
    );
    vec![("upstream.conf".to_owned(), text.into_bytes())]
}

#[tokio::test(start_paused = true)]
async fn nginx_serves_what_it_has_loaded_and_not_what_was_written() {
    let engine = app();
    engine
        .run_container(&RunSpec::nginx("lb").network("front"))
        .unwrap();
    tokio::time::sleep(100 * MS).await;
    let lb = address(&engine, "lb", 80);
    let get = |path: &'static str| engine.http_get(lb, path, SECOND);
    assert_eq!(get("/").await.unwrap().status, 503);

    let server = format!("server {};", address(&engine, "web", 8000));
    engine
        .put_files("lb", "/etc/nginx/conf.d", &upstream("r1", &server))
        .await
        .unwrap();
    assert_eq!(
        engine.exec("lb", &["nginx", "-t"], &[]).await.unwrap().exit_code,
        0
    );
    assert_eq!(
        get("/aegis-revision").await.unwrap().status,
        503,
        "not loaded yet"
    );
    let reload = ["nginx", "-s", "reload"];
    assert_eq!(engine.exec("lb", &reload, &[]).await.unwrap().exit_code, 0);
    tokio::time::sleep(50 * MS).await;
    let both = [get("/").await.unwrap().status, get("/").await.unwrap().status];
    assert!(both.contains(&503) && both.contains(&200), "{both:?}");
    tokio::time::sleep(100 * MS).await;
    assert_eq!(get("/aegis-revision").await.unwrap().body, "r1\n");
    assert_eq!(get("/").await.unwrap().status, 200);
    let titles = |rows: Vec<aegis_api::observed::ProcessRow>| {
        rows.into_iter().map(|row| row.command).collect::<Vec<_>>()
    };
    let old = "nginx: worker process is shutting down".to_owned();
    assert!(titles(engine.processes("lb").await.unwrap()).contains(&old));
    tokio::time::sleep(SECOND).await;
    assert!(!titles(engine.processes("lb").await.unwrap()).contains(&old));

    engine
        .put_files("lb", "/etc/nginx/conf.d", &upstream("r2", ""))
        .await
        .unwrap();
    let check = engine
        .exec("lb", &["nginx", "-t", "-c", "/etc/nginx/nginx.conf"], &[])
        .await
        .unwrap();
    assert!(
        check.exit_code == 1 && check.output.contains("no servers are inside upstream"),
        "{}",
        check.output
    );
    assert_eq!(engine.exec("lb", &reload, &[]).await.unwrap().exit_code, 1);
    engine.signal("lb", "HUP").await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        get("/aegis-revision").await.unwrap().body,
        "r1\n",
        "a bad configuration is not loaded"
    );

    engine.kill("web").unwrap();
    assert_eq!(get("/").await.unwrap().status, 502);
    let loads = engine.loaded_configs();
    assert_eq!(
        loads
            .iter()
            .map(|load| load.revision.as_deref())
            .collect::<Vec<_>>(),
        [None, Some("r1")]
    );
    assert_eq!(engine.serving_config("lb").unwrap().upstreams["app"].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nginx_ends_at_once_with_a_configuration_that_it_refuses() {
    let engine = FakeEngine::default();
    engine.run_container(&RunSpec::nginx("lb")).unwrap();
    engine
        .put_files(
            "lb",
            "/etc/nginx/conf.d",
            &[(
                "upstream.conf".to_owned(),
                b"server { invalid_directive on; }".to_vec(),
            )],
        )
        .await
        .unwrap();
    engine.stop("lb", None).await.unwrap();
    engine.start("lb").await.unwrap();
    assert_eq!(engine.inspect_now("lb").unwrap().exit_code, 1);
    let query = LogQuery {
        tail: 10,
        follow: true,
        timestamps: false,
        since: 0,
    };
    let lines: Vec<_> = engine.logs("lb", query).await.unwrap().collect().await;
    assert!(lines[0].as_ref().unwrap().text.contains("unknown directive"));
}

#[tokio::test(start_paused = true)]
async fn files_are_read_back_and_missing_ones_are_said() {
    let engine = app();
    engine
        .put_files(
            "web",
            "/tmp",
            &[
                ("a/b.txt".to_owned(), b"1".to_vec()),
                ("c.txt".to_owned(), b"2".to_vec()),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        engine.read_files("web", "/tmp/a/b.txt").await.unwrap(),
        [("b.txt".to_owned(), b"1".to_vec())]
    );
    assert_eq!(
        engine.read_files("web", "/tmp").await.unwrap(),
        [("c.txt".to_owned(), b"2".to_vec())]
    );
    assert!(
        engine
            .read_files("web", "/nowhere")
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        engine
            .put_files("web", "/nowhere", &[])
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        engine
            .put_files("web", "/tmp", &[("../x".to_owned(), Vec::new())])
            .await
            .is_err()
    );
    assert_eq!(engine.exec("web", &["sh"], &[]).await.unwrap().exit_code, 126);
    engine.answer_exec(
        "web",
        "sh",
        ExecOutput {
            exit_code: 3,
            output: "no".to_owned(),
        },
    );
    assert_eq!(
        engine
            .exec("web", &["sh", "-c", "x"], &[])
            .await
            .unwrap()
            .exit_code,
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_goes_on_until_the_container_ends() {
    let engine = app();
    engine.say("web", false, "one").unwrap();
    engine.say("web", false, "two").unwrap();
    let query = LogQuery {
        tail: 1,
        follow: true,
        timestamps: false,
        since: 0,
    };
    let mut lines = engine.logs("web", query).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, "two");
    engine.say("web", true, "three").unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, "three");
    engine.kill("web").unwrap();
    assert!(lines.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_undo_what_was_done() {
    let engine = app();
    engine.faults(FaultPlan {
        timeout_after: 1.0,
        only: vec![Op::Stop],
        ..FaultPlan::default()
    });
    assert!(matches!(
        engine.stop("web", None).await,
        Err(EngineError::Timeout { .. })
    ));
    assert_eq!(engine.inspect_now("web").unwrap().state, ContainerState::Exited);
    engine.faults(FaultPlan {
        unreachable: 1.0,
        ..FaultPlan::default()
    });
    assert!(matches!(
        engine.start("web").await,
        Err(EngineError::Unreachable { .. })
    ));
    assert_eq!(engine.inspect_now("web").unwrap().state, ContainerState::Exited);
    engine.faults(FaultPlan {
        slow: 1.0,
        slow_by: SECOND,
        ..FaultPlan::default()
    });
    engine.start("web").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_down_cuts_its_streams_and_comes_back() {
    let engine = app();
    let mut events = engine.events().await.unwrap();
    engine.set_down(true);
    assert!(events.next().await.unwrap().is_err());
    assert!(events.next().await.is_none());
    assert!(
        engine
            .list(ListFilter::default())
            .await
            .unwrap_err()
            .is_transient()
    );
    assert!(engine.is_serving("web") || engine.wait_until(SECOND, |engine| engine.is_serving("web")).await);
    engine.set_down(false);
    assert_eq!(engine.list(ListFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crash_point_holds_the_caller_before_or_after_the_effect() {
    let engine = app();
    for (when, state) in [
        (When::Before, ContainerState::Running),
        (When::After, ContainerState::Exited),
    ] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        engine.on_operation(Some(Arc::new(move |op, at| {
            counted.fetch_add(1, Ordering::Relaxed);
            op == "stop" && at == when
        })));
        let held = tokio::time::timeout(60 * SECOND, engine.stop("web", None)).await;
        assert!(held.is_err());
        assert_eq!(engine.inspect_now("web").unwrap().state, state);
        assert!(calls.load(Ordering::Relaxed) >= 1);
    }
    engine.on_operation(None);
    engine.start("web").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_people_do_is_distinguished_from_what_the_client_does() {
    let engine = app();
    engine.create_bystander("web-replica-9").unwrap();
    engine.kill("web-replica-9").unwrap();
    engine.rename("web", "shop").unwrap();
    assert!(engine.bystanders_touched().is_empty());
    assert_eq!(engine.names(), ["shop", "web-replica-9"]);
    engine.start("web-replica-9").await.unwrap();
    assert_eq!(engine.bystanders_touched().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn addresses_can_change_with_every_start() {
    let engine = FakeEngine::new(FakeOptions {
        addresses_change: true,
        ..FakeOptions::default()
    });
    engine.run_container(&RunSpec::new("web", "web:1")).unwrap();
    let before = address(&engine, "web", 80);
    engine.stop("web", None).await.unwrap();
    engine.start("web").await.unwrap();
    assert_ne!(address(&engine, "web", 80), before);
    assert!(
        engine
            .http_get(before, "/", 10 * SECOND)
            .await
            .unwrap_err()
            .to_string()
            .contains("no route to host")
    );
}

fn outcome(engine: &FakeEngine, name: &str) -> Option<(ContainerState, i64)> {
    let details = engine.inspect_now(name)?;
    Some((details.state, details.exit_code))
}

#[test]
fn a_run_in_a_network_without_owner_leaves_a_container_that_starts_once_a_container_has_the_name() {
    let engine = FakeEngine::default();
    let run = |spec: RunSpec| engine.run_container(&spec);
    let web = |name: &str| RunSpec::new(name, "web:1");
    let error = run(web("client").shares("NetworkMode", "vpn")).unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(outcome(&engine, "client"), Some((ContainerState::Created, 128)));
    assert!(run(web("gone").shares("NetworkMode", "vpn").auto_remove()).is_err());
    assert_eq!(outcome(&engine, "gone"), None, "--rm");
    run(web("vpn")).unwrap();
    engine.start_by_hand("client").unwrap();
    assert_eq!(outcome(&engine, "client"), Some((ContainerState::Running, 0)));

    let error = run(web("own").shares("NetworkMode", "own")).unwrap_err();
    assert!(matches!(error, EngineError::Server { .. }), "{error}");
    assert_eq!(outcome(&engine, "own"), Some((ContainerState::Created, 128)));
    let error = run(web("debug").shares("PidMode", "missing")).unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    assert_eq!(outcome(&engine, "debug"), None, "nothing is made");
}

#[test]
fn a_container_that_shares_processes_ends_with_the_first_of_them_and_with_no_other() {
    let engine = FakeEngine::default();
    let web = |name: &str| RunSpec::new(name, "web:1");
    engine.run_container(&web("first")).unwrap();
    engine
        .run_container(&web("second").shares("PidMode", "first"))
        .unwrap();
    engine
        .run_container(&web("third").shares("PidMode", "second"))
        .unwrap();
    engine.kill("second").unwrap();
    assert_eq!(outcome(&engine, "third"), Some((ContainerState::Running, 0)));
    let error = engine.restart_by_hand("third").unwrap_err();
    assert!(matches!(error, EngineError::Server { .. }), "{error}");
    engine.start_by_hand("second").unwrap();
    engine.start_by_hand("third").unwrap();
    engine.kill("first").unwrap();
    for name in ["second", "third"] {
        assert_eq!(
            outcome(&engine, name),
            Some((ContainerState::Exited, 137)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_is_made_in_a_network_that_is_not_there_and_does_not_start() {
    let engine = app();
    let mut spec = template("new");
    spec.body["HostConfig"]["NetworkMode"] = json!("nowhere");
    let id = engine.create(spec).await.unwrap();
    let error = engine.start(&id).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    let mut spec = template("other");
    spec.extra_networks = [("nowhere".to_owned(), json!({}))].into();
    assert!(engine.create(spec).await.unwrap_err().is_not_found());
    assert_eq!(outcome(&engine, "other"), None);
}

#[test]
fn a_network_that_is_made_again_has_addresses_of_its_own() {
    let engine = FakeEngine::default();
    for network in ["front", "back"] {
        engine.add_network(network);
    }
    engine.remove_network("front").unwrap();
    engine.add_network("front");
    for network in ["front", "back"] {
        let spec = RunSpec::new(network, "web:1").network(network);
        engine.run_container(&spec).unwrap();
    }
    assert_ne!(address(&engine, "front", 80), address(&engine, "back", 80));
}
