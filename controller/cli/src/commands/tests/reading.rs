use super::*;
use wiremock::matchers::{headers, query_param};

fn table(rows: &[(&str, u32)]) -> Value {
    let rows = rows.iter().map(|(name, ready)| {
        json!({"cells": [name, ready, "why \u{1b}[31m"], "object": {"metadata": {"name": name, "resourceVersion": "8"}}})
    });
    json!({"kind": "Table", "metadata": {"resourceVersion": "7"}, "rows": rows.collect::<Vec<_>>(),
        "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "Message", "priority": 1}]})
}

#[tokio::test]
async fn get_shows_the_servers_table() {
    let server = MockServer::start().await;
    Mock::given(path(WORKLOADS))
        .and(headers(
            "accept",
            vec!["application/json;as=Table;v=v1;g=meta.k8s.io", "application/json"],
        ))
        .and(query_param("labelSelector", "app=web"))
        .respond_with(json_body(&table(&[("web", 2), ("buggy-app-v2", 1)])))
        .mount(&server)
        .await;
    let run = aegisctl(&server.uri(), &["get", "wl", "-l", "app=web"]).await;
    assert_eq!(
        run.out,
        "NAME           READY\nweb            2\nbuggy-app-v2   1\n"
    );
    let run = aegisctl(
        &server.uri(),
        &["get", "workloads", "-l", "app=web", "-o", "wide", "--no-headers"],
    )
    .await;
    assert_eq!(
        run.out,
        "web            2   why \\x1b[31m\nbuggy-app-v2   1   why \\x1b[31m\n"
    );
}

#[tokio::test]
async fn lists_are_read_a_page_at_a_time_and_on_where_their_moment_is_forgotten() {
    let server = MockServer::start().await;
    let page = |next: &str, name: &str| {
        let mut page = table(&[(name, 1)]);
        page["metadata"]["continue"] = next.into();
        page
    };
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "metadata": {"continue": "now"}});
    for (token, answer) in [
        ("one", ResponseTemplate::new(410).set_body_json(&gone)),
        ("now", json_body(&page("two", "b"))),
        ("two", json_body(&page("", "c"))),
    ] {
        Mock::given(path(WORKLOADS))
            .and(query_param("continue", token))
            .and(query_param("limit", "500"))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    Mock::given(path(WORKLOADS))
        .and(query_param("limit", "500"))
        .respond_with(json_body(&page("one", "a")))
        .with_priority(9)
        .mount(&server)
        .await;
    let run = aegisctl(&server.uri(), &["get", "wl", "--no-headers"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "a   1\nb   1\nc   1\n"),
        "{run:?}"
    );
}

#[tokio::test]
async fn several_kinds_are_distinguished_by_their_names() {
    let server = MockServer::start().await;
    answers(&server, "GET", WORKLOADS, json_body(&table(&[("web", 2)]))).await;
    answers(&server, "GET", INCIDENTS, json_body(&table(&[("inc-1", 0)]))).await;
    let lbs = WORKLOADS.replace("workloads", "loadbalancers");
    answers(&server, "GET", &lbs, json_body(&table(&[]))).await;
    let run = aegisctl(&server.uri(), &["get", "all"]).await;
    assert_eq!(
        run.out,
        "NAME           READY\nworkload/web   2\n\nNAME             READY\nincident/inc-1   0\n"
    );
}

#[tokio::test]
async fn objects_come_as_yaml_json_name_and_jsonpath() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let list = json!({"kind": "WorkloadList", "items": [{"metadata": {"name": "web"}}]});
    answers(&server, "GET", WORKLOADS, json_body(&list)).await;
    let yaml = aegisctl(&server.uri(), &["get", "wl/web", "-o", "yaml"])
        .await
        .out;
    assert!(
        yaml.contains("kind: Workload\n") && yaml.contains("  container: web\n"),
        "{yaml}"
    );
    let json = aegisctl(&server.uri(), &["get", "wl", "web", "-o", "json"])
        .await
        .out;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["kind"], "Workload");
    assert_eq!(
        aegisctl(&server.uri(), &["get", "wl", "-o", "name"]).await.out,
        "workload/web\n"
    );
    let phase = aegisctl(
        &server.uri(),
        &["get", "wl/web", "-o", "jsonpath={.spec.container}"],
    )
    .await
    .out;
    assert_eq!(phase, "web");
}

#[tokio::test]
async fn what_get_writes_as_yaml_can_be_applied() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let yaml = aegisctl(&server.uri(), &["get", "wl", "web", "web", "-o", "yaml"])
        .await
        .out;
    let found = crate::manifest::parse("f", &yaml, crate::manifest::Naming::Exact).unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn one_missing_name_does_not_hide_the_others() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, json_body(&table(&[("web", 2)]))).await;
    answers(
        &server,
        "GET",
        &format!("{WORKLOADS}/gone"),
        status(404, "NotFound", "workloads \"gone\" not found"),
    )
    .await;
    let run = aegisctl(&server.uri(), &["get", "wl", "web", "gone"]).await;
    assert_eq!((run.code, run.out.as_str()), (4, "NAME   READY\nweb    2\n"));
    assert!(run.err.contains("workloads \"gone\" not found"));
}

#[tokio::test]
async fn a_watch_shows_each_change_under_the_same_columns() {
    let server = MockServer::start().await;
    let change = json!({"kind": "Table", "rows": [{"cells": ["web", 3], "object": {"metadata": {"resourceVersion": "9"}}}]});
    let gone = json!({"kind": "Table", "rows": [{"cells": ["web", 0], "object": {"metadata": {"resourceVersion": "10"}}}]});
    let stream = changes(&[("MODIFIED", change), ("DELETED", gone)]);
    Mock::given(path(WORKLOADS))
        .and(query_param("watch", "true"))
        .and(query_param("resourceVersion", "7"))
        .respond_with(stream)
        .mount(&server)
        .await;
    Mock::given(path(WORKLOADS))
        .and(query_param("watch", "true"))
        .and(query_param("resourceVersion", "10"))
        .respond_with(status(403, "Forbidden", "no longer"))
        .mount(&server)
        .await;
    answers(&server, "GET", WORKLOADS, json_body(&table(&[("web", 2)]))).await;
    let run = aegisctl(&server.uri(), &["get", "wl", "-w"]).await;
    assert_eq!(
        run.out,
        "NAME   READY\nweb    2\nweb    3\nweb    0       (deleted)\n"
    );
    assert_eq!((run.code, run.err.as_str()), (5, "error: no longer\n"));
}

#[tokio::test]
async fn an_expired_watch_lists_again() {
    let server = MockServer::start().await;
    Mock::given(path(WORKLOADS))
        .and(query_param("watch", "true"))
        .respond_with(status(410, "Expired", "too old"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path(WORKLOADS))
        .and(query_param("watch", "true"))
        .respond_with(status(403, "Forbidden", "end"))
        .mount(&server)
        .await;
    answers(&server, "GET", WORKLOADS, json_body(&table(&[("web", 2)]))).await;
    let run = aegisctl(&server.uri(), &["get", "wl", "-w"]).await;
    assert_eq!(run.out, "NAME   READY\nweb    2\nweb    2\n");
}

fn event(reason: &str, last: &str, count: u32) -> Value {
    json!({"metadata": {"name": reason, "resourceVersion": "5"}, "type": "Warning", "reason": reason, "count": count,
        "message": "it \u{1b}[2Jsays", "lastTimestamp": last, "involvedObject": {"kind": "Workload", "name": "web"}})
}

#[tokio::test]
async fn describe_ends_with_the_objects_events() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let events = json!({"items": [event("Second", "2026-01-31T12:00:02Z", 1), event("First", "2026-01-31T12:00:01Z", 3)]});
    answers(
        &server,
        "GET",
        "/api/v1/namespaces/default/events",
        json_body(&events),
    )
    .await;
    let run = aegisctl(&server.uri(), &["describe", "wl", "web"]).await;
    let (first, second) = (run.out.find("First").unwrap(), run.out.find("Second").unwrap());
    assert!(
        first < second && run.out.contains("(x3)") && run.out.contains("it \\x1b[2Jsays"),
        "{}",
        run.out
    );
    let query = requests(&server).await.pop().unwrap();
    assert!(
        query.contains("involvedObject.uid%3Du-1%2CinvolvedObject.name%3Dweb"),
        "{query}"
    );
}

#[tokio::test]
async fn events_name_the_object_and_those_to_come_follow() {
    let server = MockServer::start().await;
    let events =
        json!({"metadata": {"resourceVersion": "4"}, "items": [event("First", "2026-01-31T12:00:01Z", 1)]});
    let all = "/api/v1/namespaces/default/events";
    Mock::given(path(all))
        .and(query_param("watch", "true"))
        .and(query_param("resourceVersion", "4"))
        .respond_with(changes(&[("ADDED", event("Second", "2026-01-31T12:00:02Z", 1))]))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path(all))
        .and(query_param("watch", "true"))
        .respond_with(status(403, "Forbidden", "end"))
        .mount(&server)
        .await;
    answers(&server, "GET", all, json_body(&events)).await;
    let run = aegisctl(&server.uri(), &["events", "--for", "wl/web", "-w"]).await;
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(
        lines[0].starts_with("LAST SEEN") && lines[1].contains("First") && lines[2].contains("Second"),
        "{}",
        run.out
    );
    assert!(lines[1].contains("workload/web"));
    assert!(
        requests(&server).await[0].contains("involvedObject.kind%3DWorkload%2CinvolvedObject.name%3Dweb")
    );
}

#[tokio::test]
async fn logs_of_several_containers_are_distinguished_and_safe() {
    let server = MockServer::start().await;
    let mut web = workload("7", &json!({"container": "web"}));
    let instance = |name: &str| json!({"name": name, "id": "i", "index": 0, "state": "running", "health": "Healthy", "revision": "r"});
    web["status"] = json!({"instances": [instance("web"), instance("web-replica-1")]});
    answers(&server, "GET", WEB, json_body(&web)).await;
    answers(&server, "GET", &format!("{WORKLOADS}/web-replica-1"), not_found()).await;
    answers(&server, "GET", WORKLOADS, json_body(&json!({"items": [web]}))).await;
    for name in ["web", "web-replica-1"] {
        Mock::given(path(format!("{WEB}/log")))
            .and(query_param("container", name))
            .and(query_param("tailLines", "5"))
            .respond_with(ResponseTemplate::new(200).set_body_string(format!("from {name}\n\u{1b}[31mred\n")))
            .mount(&server)
            .await;
    }
    let run = aegisctl(&server.uri(), &["logs", "web", "--tail", "5"]).await;
    assert_eq!(
        run.out,
        "web           | from web\nweb           | \\x1b[31mred\nweb-replica-1 | from web-replica-1\nweb-replica-1 | \\x1b[31mred\n"
    );
    let run = aegisctl(&server.uri(), &["logs", "web-replica-1", "--tail", "5"]).await;
    assert_eq!(run.out, "from web-replica-1\n\\x1b[31mred\n");
    let run = aegisctl(
        &server.uri(),
        &["logs", "workload/web", "-c", "web", "--tail", "5"],
    )
    .await;
    assert_eq!(run.out, "from web\n\\x1b[31mred\n");
}

#[tokio::test]
async fn versions_and_kinds_are_those_of_the_server() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        "/health",
        json_body(&json!({"status": "ok", "version": "0.1.1"})),
    )
    .await;
    answers(
        &server,
        "GET",
        "/version",
        json_body(&json!({"gitVersion": "v1.32.0+aegisops"})),
    )
    .await;
    let run = aegisctl(&server.uri(), &["version"]).await;
    assert_eq!(
        run.out,
        "Client:     0.1.1\nController: 0.1.1\nAPI:        v1.32.0+aegisops\n"
    );
    let kinds = json!({"resources": [
        {"name": "workloads", "kind": "Workload", "shortNames": ["wl"], "verbs": ["get", "list"]},
        {"name": "workloads/status", "kind": "Workload", "verbs": ["get"]}]});
    answers(&server, "GET", "/apis/aegisops.io/v1alpha1", json_body(&kinds)).await;
    let run = aegisctl(&server.uri(), &["api-resources", "--no-headers"]).await;
    assert_eq!(
        run.out,
        "workloads   wl   aegisops.io/v1alpha1   Workload   get,list\n"
    );
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/health", json_body(&json!({"version": "0.1.1"}))).await;
    answers(&server, "GET", "/version", json_body(&json!({}))).await;
    answers(
        &server,
        "GET",
        WORKLOADS,
        status(401, "Unauthorized", "Unauthorized"),
    )
    .await;
    answers(
        &server,
        "GET",
        "/readyz",
        ResponseTemplate::new(503).set_body_string(
            "docker: it does not answer
",
        ),
    )
    .await;
    answers(&server, "GET", "/ws", status(401, "Unauthorized", "Unauthorized")).await;
    let run = aegisctl(&server.uri(), &["doctor"]).await;
    assert_eq!(run.code, 5);
    for line in [
        "ok    reachable  controller 0.1.1",
        "FAIL  accepted   the controller at",
        "-> export AEGIS_TOKEN=\"$(make -s token)\"",
        "FAIL  ready      docker: it does not answer",
    ] {
        assert!(run.out.contains(line), "{line} is missing of\n{}", run.out);
    }
    assert!(
        !run.out.contains("events  "),
        "one bad token is reported once:\n{}",
        run.out
    );
}

#[tokio::test]
async fn the_doctor_reports_a_stream_that_does_not_come_through() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/health", json_body(&json!({"version": "9.9.9"}))).await;
    answers(&server, "GET", "/version", json_body(&json!({}))).await;
    answers(&server, "GET", WORKLOADS, json_body(&json!({"items": [{}]}))).await;
    answers(
        &server,
        "GET",
        "/readyz",
        ResponseTemplate::new(200).set_body_string("ok"),
    )
    .await;
    answers(
        &server,
        "GET",
        "/api/v1/namespaces/default/events",
        json_body(&json!({"items": [{}]})),
    )
    .await;
    let run = aegisctl(&server.uri(), &["doctor", "--token", "t"]).await;
    // A plain HTTP answer to the event stream is what a proxy without WebSockets gives.
    assert_eq!(run.code, 1, "{run:?}");
    for line in [
        "note  reachable  controller 9.9.9, and this client is",
        "ok    accepted   resources can be read (1 workloads)",
        "ok    ready      ok",
        "FAIL  events",
        "a proxy in between",
        "note  files      1 warnings",
    ] {
        assert!(run.out.contains(line), "{line} is missing of\n{}", run.out);
    }
}
