//! `label`, `annotate`, `rollout`, `top`, `plan` and `why`.

use super::*;

fn labelled() -> Value {
    let mut web = workload("7", &json!({"container": "web"}));
    web["metadata"]["labels"] = json!({"tier": "front", "team": "a"});
    web
}

async fn with_web() -> MockServer {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, json_body(&labelled())).await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    server
}

#[tokio::test]
async fn labels_are_set_and_removed_by_a_merge_patch() {
    let server = with_web().await;
    let run = aegisctl(&server.uri(), &["label", "wl", "web", "zone=b", "team-"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web labeled\n"),
        "{run:?}"
    );
    let (patch, kind) = last_body(&server, "PATCH").await;
    assert_eq!(
        patch,
        json!({"metadata": {"labels": {"zone": "b", "team": null}}})
    );
    assert_eq!(kind, "application/merge-patch+json");
    let run = aegisctl(
        &server.uri(),
        &["annotate", "wl/web", "aegisops.io/protected=true"],
    )
    .await;
    assert_eq!(run.out, "workload/web annotated\n", "{run:?}");
    let (patch, _) = last_body(&server, "PATCH").await;
    assert_eq!(
        patch,
        json!({"metadata": {"annotations": {"aegisops.io/protected": "true"}}})
    );
    let run = aegisctl(&server.uri(), &["label", "wl/web", "--list"]).await;
    assert_eq!(run.out, "team=a\ntier=front\n", "{run:?}");
}

#[tokio::test]
async fn a_label_that_is_there_is_changed_only_when_asked_for() {
    let server = with_web().await;
    let run = aegisctl(&server.uri(), &["label", "wl/web", "tier=back"]).await;
    assert!(
        run.code == 1 && run.err.contains("tier=front already: --overwrite"),
        "{run:?}"
    );
    let run = aegisctl(&server.uri(), &["label", "wl/web", "tier=front", "gone-"]).await;
    assert_eq!(run.out, "workload/web not labeled: it is so already\n", "{run:?}");
    assert!(requests(&server).await.iter().all(|line| line.starts_with("GET")));
    let run = aegisctl(&server.uri(), &["label", "wl/web", "tier=back", "--overwrite"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        last_body(&server, "PATCH").await.0,
        json!({"metadata": {"labels": {"tier": "back"}}})
    );
}

#[tokio::test]
async fn several_objects_are_labelled_by_selector_and_bad_words_are_refused() {
    let server = with_web().await;
    let list = json!({"kind": "List", "items": [labelled()]});
    answers(&server, "GET", WORKLOADS, json_body(&list)).await;
    let run = aegisctl(&server.uri(), &["label", "wl", "-l", "team=a", "zone=b"]).await;
    assert_eq!(run.out, "workload/web labeled\n", "{run:?}");
    let asked = requests(&server).await;
    assert!(
        asked.iter().any(|line| line.contains("labelSelector=team")),
        "{asked:?}"
    );
    for line in [
        vec!["label", "wl", "web"],
        vec!["label", "wl", "zone=b"],
        vec!["label", "wl/web", "=b"],
        vec!["label", "wl/web", "a=1", "a-"],
    ] {
        assert_eq!(aegisctl(&server.uri(), &line).await.code, 2, "{line:?}");
    }
}

fn rolling(ready: u32) -> Value {
    let mut web = workload("7", &json!({"template": {"image": "app:2"}, "replicas": 2}));
    let done = if ready == 2 { "True" } else { "False" };
    let revision = |name: &str, image: &str, was_ready: bool| json!({"revision": name, "image": image, "createdAt": "2026-01-31T12:00:00Z", "wasReady": was_ready});
    web["status"] = json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": ready, "updatedReplicas": ready,
        "revision": "bb", "revisions": [revision("aa", "app:1", true), revision("bb", "app:2", false)],
        "conditions": [{"type": "Ready", "status": done, "reason": "ProbeFailed", "message": "GET /health answers 500",
            "lastTransitionTime": "2026-01-31T12:00:00Z"}]});
    web
}

#[tokio::test]
async fn a_rollout_is_followed_listed_and_undone() {
    let server = MockServer::start().await;
    answers_once(&server, "GET", WEB, json_body(&rolling(1))).await;
    let run = aegisctl(&server.uri(), &["rollout", "status", "web", "--watch=false"]).await;
    assert!(
        run.code == 1
            && run.err.contains("1 of 2 updated replicas are there")
            && run.err.contains("answers 500"),
        "{run:?}"
    );
    answers(&server, "GET", WEB, json_body(&rolling(2))).await;
    let run = aegisctl(&server.uri(), &["rollout", "status", "workload/web"]).await;
    assert_eq!(run.out, "workload/web successfully rolled out\n", "{run:?}");
    let run = aegisctl(&server.uri(), &["rollout", "history", "web"]).await;
    let lines: Vec<Vec<&str>> = run
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..2], ["REVISION", "IMAGE"], "{run:?}");
    assert_eq!(
        (lines[1][0], lines[1][3], lines[1][4]),
        ("aa", "yes", "no"),
        "{run:?}"
    );
    assert_eq!(
        (lines[2][0], lines[2][3], lines[2][4]),
        ("bb", "no", "yes"),
        "{run:?}"
    );
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let run = aegisctl(&server.uri(), &["rollout", "restart", "web"]).await;
    assert_eq!(run.out, "workload/web restarted\n", "{run:?}");
    let run = aegisctl(&server.uri(), &["rollout", "undo", "web", "--to-revision", "zz"]).await;
    assert!(run.code == 1 && run.err.contains("there are aa"), "{run:?}");
}

#[tokio::test]
async fn top_shows_what_containers_use_the_hungriest_first() {
    let server = MockServer::start().await;
    let row = |name: &str, cpu: f64, memory: f64| {
        json!({"name": name, "cpu_percent": cpu, "memory_mb": memory,
        "memory_limit_mb": 256.0, "memory_percent": memory / 2.56, "net_rx_bytes": 0, "net_tx_bytes": 0,
        "status": "running", "uptime_seconds": 1.0, "image": "i"})
    };
    let rows = json!([row("web", 1.0, 128.0), row("db", 90.0, 64.0)]);
    answers(&server, "GET", "/metrics", json_body(&rows)).await;
    let mut web = labelled();
    web["status"] = json!({"instances": [{"name": "web", "id": "i", "index": 0, "state": "running",
        "health": "Healthy", "revision": "r"}]});
    answers(&server, "GET", WEB, json_body(&web)).await;
    let names = |run: &Run| -> Vec<String> {
        let lines = run.out.lines().skip(1);
        lines
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    };
    let run = aegisctl(&server.uri(), &["top"]).await;
    assert_eq!(names(&run), ["db", "web"], "{run:?}");
    assert!(
        run.out.contains("90.0 %") && run.out.contains("128.0 MiB"),
        "{run:?}"
    );
    let run = aegisctl(&server.uri(), &["top", "--sort-by", "memory"]).await;
    assert_eq!(names(&run), ["web", "db"], "{run:?}");
    let run = aegisctl(&server.uri(), &["top", "web", "--no-headers"]).await;
    assert!(
        run.out.starts_with("web ") && run.out.lines().count() == 1,
        "{run:?}"
    );
    assert!(
        !run.out.contains("KiB/s"),
        "of an older controller no rates are known: {run:?}"
    );
    let sample = |t: &str, memory: f64, received: u64, sent: u64| {
        json!({"t": t, "cpu_percent": 1.0, "memory_mb": memory, "memory_limit_mb": 256.0, "memory_percent": 1.0,
            "net_rx_bytes": received, "net_tx_bytes": sent})
    };
    let (first, last) = ("2026-01-31T12:00:00Z", "2026-01-31T12:00:30Z");
    let samples = json!([
        sample(first, 100.0, 0, 900_000),
        sample(last, 128.0, 307_200, 30_720)
    ]);
    let series = json!([{"name": "web", "samples": samples}, {"name": "db", "samples": []}]);
    let history = json!({"intervalSeconds": 3, "series": series});
    answers(&server, "GET", "/metrics/history", json_body(&history)).await;
    let run = aegisctl(&server.uri(), &["top", "web", "--no-headers"]).await;
    // What is sent began from 0 again: its process was restarted meanwhile.
    for rate in ["+56.0 MiB/min", " 10.0 KiB/s", " 1.0 KiB/s"] {
        assert!(run.out.contains(rate), "{rate}: {run:?}");
    }
    let run = aegisctl(&server.uri(), &["top", "--sort-by", "name"]).await;
    assert!(
        run.out
            .lines()
            .any(|line| line.starts_with("db ") && line.contains(" - ")),
        "{run:?}"
    );
}

fn planned(phase: &str, generation: i64) -> Value {
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc-1"},
        "spec": {"workloadRef": "web", "alertType": "X"},
        "status": {"phase": phase, "workload": "web",
            "timeline": [{"ts": "2026-01-31T12:00:00Z", "status": "AWAITING_APPROVAL", "message": "the policy asks a person"}],
            "plan": {"hash": "abc123", "action": "SCALE_UP", "target": "web", "parentGeneration": generation,
                "patch": {"replicas": 4}, "createdAt": "2026-01-31T12:00:00Z"}}})
}

#[tokio::test]
async fn plan_shows_what_would_change_and_whether_it_still_applies() {
    let server = MockServer::start().await;
    let at = format!("{INCIDENTS}/inc-1");
    let web = workload("7", &json!({"container": "web", "replicas": 2}));
    answers(&server, "GET", WEB, json_body(&web)).await;
    answers_once(&server, "GET", &at, json_body(&planned("AWAITING_APPROVAL", 1))).await;
    let run = aegisctl(&server.uri(), &["plan", "inc-1"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    for wanted in [
        "SCALE_UP on workload/web",
        "aegisctl approve inc-1 --plan abc123",
        "-  replicas: 2",
        "+  replicas: 4",
    ] {
        assert!(run.out.contains(wanted), "{wanted} is not in {}", run.out);
    }
    let steps = json!({"workload": "web", "replicas": 4, "untouched": ["web"], "waiting": [], "refused": [], "complete": true,
        "steps": [{"pass": 1, "action": "create", "container": "web-replica-1"}],
        "clients": {"servingBefore": 2, "servingLeast": 2, "servingAfter": 4, "message": "nothing that runs is stopped"}});
    answers(&server, "GET", &format!("{at}/plan"), json_body(&steps)).await;
    answers_once(&server, "GET", &at, json_body(&planned("AWAITING_APPROVAL", 1))).await;
    let run = aegisctl(&server.uri(), &["plan", "inc-1"]).await;
    assert!(
        run.out.contains("create")
            && run.out.contains("web-replica-1")
            && run.out.contains("nothing that runs is stopped"),
        "{run:?}"
    );
    answers_once(&server, "GET", &at, json_body(&planned("AWAITING_APPROVAL", 3))).await;
    let run = aegisctl(&server.uri(), &["plan", "inc-1"]).await;
    assert!(
        run.out.contains("made for generation 3, and it is 1 now"),
        "{run:?}"
    );
    let none = json!({"metadata": {"name": "inc-1"}, "spec": {"alertType": "X"},
        "status": {"phase": "FAILED", "timeline": [], "error": "no workload covers it"}});
    answers(&server, "GET", &at, json_body(&none)).await;
    let run = aegisctl(&server.uri(), &["plan", "inc-1"]).await;
    assert!(
        run.code == 1 && run.err.contains("has no plan: no workload covers it"),
        "{run:?}"
    );
}

#[tokio::test]
async fn why_reports_a_rollout_that_was_rolled_back_and_not_of_one_that_ended_well() {
    let server = MockServer::start().await;
    let nothing = json!({"items": []});
    answers(&server, "GET", INCIDENTS, json_body(&nothing)).await;
    let events = "/api/v1/namespaces/default/events";
    answers(&server, "GET", events, json_body(&nothing)).await;
    for (reason, shown) in [("RolloutFailed", true), ("Settled", false)] {
        let mut web = rolling(2);
        let message = "rolled back to revision aa: bb never became ready";
        web["status"]["conditions"].as_array_mut().unwrap().push(
            json!({"type": "Progressing", "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-31T12:00:00Z"}),
        );
        answers_once(&server, "GET", WEB, json_body(&web)).await;
        let run = aegisctl(&server.uri(), &["why", "web"]).await;
        let wanted = format!("Progressing is False ({reason}): {message}");
        assert_eq!(run.out.contains(&wanted), shown, "{run:?}");
    }
}

/// `get` shows the reason of `Ready`: what is not Ready there is not as it should be here.
#[tokio::test]
async fn why_and_get_agree_on_a_load_balancer_that_serves_a_part() {
    const BALANCER: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/loadbalancers/lb";
    let server = MockServer::start().await;
    let message = "1 server; upstream shop answers 503 since 2026-01-31T12:00:00Z: shop-1 is exited";
    let partial = json!({"kind": "LoadBalancer", "metadata": {"name": "lb", "generation": 1}, "status": {"observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "False", "reason": "Partial", "message": message},
            {"type": "Degraded", "status": "True", "reason": "Partial", "message": message}]}});
    answers(&server, "GET", BALANCER, json_body(&partial)).await;
    let events = "/api/v1/namespaces/default/events";
    answers(&server, "GET", events, json_body(&json!({"items": []}))).await;
    let run = aegisctl(&server.uri(), &["why", "loadbalancer/lb"]).await;
    assert!(
        run.out.starts_with("loadbalancer/lb is not as it should be"),
        "{run:?}"
    );
    assert!(run.out.contains("upstream shop answers 503 since"), "{run:?}");
}

#[tokio::test]
async fn why_shows_conditions_containers_incidents_and_warnings() {
    let server = MockServer::start().await;
    let mut web = rolling(1);
    web["status"]["instances"] = json!([{"name": "web-1", "id": "i", "index": 1, "state": "running",
        "health": "Unhealthy", "revision": "bb", "message": "connection refused"}]);
    answers_once(&server, "GET", WEB, json_body(&web)).await;
    let open = json!({"items": [planned("AWAITING_APPROVAL", 1)]});
    answers_once(&server, "GET", INCIDENTS, json_body(&open)).await;
    let events = json!({"items": [
        {"type": "Warning", "reason": "PlanRefused", "message": "too many at once", "lastTimestamp": "2026-01-31T12:00:00Z"},
        {"type": "Normal", "reason": "Started", "message": "all is well", "lastTimestamp": "2026-01-31T12:00:01Z"}]});
    answers_once(
        &server,
        "GET",
        "/api/v1/namespaces/default/events",
        json_body(&events),
    )
    .await;
    let run = aegisctl(&server.uri(), &["why", "web"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    for wanted in [
        "workload/web is not as it should be",
        "Ready is False (ProbeFailed): GET /health answers 500",
        "web-1 is running, unhealthy: connection refused",
        "incident/inc-1 is open, AWAITING_APPROVAL: AWAITING_APPROVAL: the policy asks a person",
        "PlanRefused: too many at once",
    ] {
        assert!(run.out.contains(wanted), "{wanted} is not in {}", run.out);
    }
    assert!(!run.out.contains("all is well"), "{run:?}");
    let query = requests(&server).await.pop().unwrap();
    let uid = web["metadata"]["uid"].as_str().unwrap();
    assert!(
        query.contains(&format!("involvedObject.uid%3D{uid}%2CinvolvedObject.name%3Dweb")),
        "not of another that had its name: {query}"
    );

    let nothing = json!({"items": []});
    answers(&server, "GET", INCIDENTS, json_body(&nothing)).await;
    answers(
        &server,
        "GET",
        "/api/v1/namespaces/default/events",
        json_body(&nothing),
    )
    .await;
    answers(&server, "GET", WEB, json_body(&rolling(2))).await;
    let run = aegisctl(&server.uri(), &["why", "workload/web"]).await;
    assert_eq!(run.out, "workload/web is as it should be\n", "{run:?}");
    let at = format!("{INCIDENTS}/inc-1");
    answers(&server, "GET", &at, json_body(&planned("AWAITING_APPROVAL", 1))).await;
    let run = aegisctl(&server.uri(), &["why", "incident/inc-1"]).await;
    assert!(
        run.out.starts_with("incident/inc-1 is AWAITING_APPROVAL\n")
            && run.out.contains("it requires approval"),
        "{run:?}"
    );
}
