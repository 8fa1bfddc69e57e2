//! Alerts that belong together: bursts about one workload, and what follows from a sick dependency.

use aegis_api::Time;
use aegis_planning::correlation::burst::Closeness;

use super::*;
use crate::intake::released::open_released;

async fn close() -> Server {
    with(crate::ServerConfig {
        closeness: Closeness::default(),
        ..config()
    })
    .await
}

async fn fire(server: &Server, id: &str, kind: &str, container: &str) -> Answer {
    let body = json!({"incident_id": id, "alert_type": kind, "container_name": container}).to_string();
    post(server, "/webhook", body).await
}

#[tokio::test]
async fn a_burst_about_one_workload_is_one_incident_and_every_id_finds_it() {
    let server = close().await;
    for n in 0..8 {
        let answer = fire(&server, &format!("a-{n}"), &format!("Kind{n}"), "web").await;
        assert_eq!(answer.code, 200, "{}", answer.text);
    }
    fire(&server, "other", "Kind0", "db").await;
    server.flush().await;
    assert_eq!(
        opened(&server),
        ["Kind0 about web (a-0)", "Kind0 about db (other)"]
    );
    assert_eq!(incidents(&server)[0].spec.count, 8);
    let by_alias = server.get("/incidents/a-7").await;
    assert_eq!(by_alias.json()["incident_id"], "a-0", "{}", by_alias.text);
}

#[tokio::test]
async fn at_once_a_storm_about_one_workload_is_one_incident() {
    let server = close().await;
    let ids: Vec<String> = (0..40).map(|n| format!("s-{n}")).collect();
    futures::future::join_all(ids.iter().map(|id| fire(&server, id, "Slow", "web"))).await;
    server.flush().await;
    each_is_an_alias(&server, &ids).await;
}

#[tokio::test]
async fn a_burst_of_forty_ids_at_ten_a_second_is_one_incident_and_each_id_an_alias() {
    let server = close().await;
    let ids: Vec<String> = (0..40).map(|n| format!("s-{n}")).collect();
    fire(&server, "s-0", "Slow", "web").await;
    let mut now = aegis_clock::now();
    for id in &ids[1..] {
        now = now.plus(aegis_api::Duration::from_millis(100));
        fire_at(&server, id, now).await;
        server.flush().await;
    }
    each_is_an_alias(&server, &ids).await;
    // A repeat after the burst is the same incident, and takes nothing back of what the first one's sender said.
    let over = json!({"incident_id": "s-0", "alert_type": "Slow", "status": "resolved"}).to_string();
    post(&server, "/webhook", over).await;
    fire_at(&server, "s-3", now.plus(aegis_api::Duration::from_secs(20))).await;
    server.flush().await;
    let all = incidents(&server);
    assert_eq!((all.len(), all[0].spec.count), (1, 41));
    assert!(all[0].spec.source.resolved_at.is_some());
    let newest = all[0].spec.source.joined.last().unwrap();
    assert_eq!(newest.incident_id, "s-3", "it is listed again");
    // And so is its end.
    let over = json!({"incident_id": "s-4", "alert_type": "Slow", "status": "resolved"}).to_string();
    let answer = post(&server, "/webhook", over).await;
    assert_eq!(answer.json()["incident_id"], "s-0", "{}", answer.text);
}

/// An alert about `web`, at this time instead of the clock's.
async fn fire_at(server: &Server, id: &str, now: Time) {
    let (workloads, containers) = (server.state.store.list(), server.state.host.containers());
    let known = crate::compat::Known {
        workloads: &workloads,
        containers: &containers,
    };
    let body = json!({"incident_id": id, "alert_type": "Slow", "container_name": "web"}).to_string();
    let alert = crate::compat::Alert::read(body.as_bytes(), "web", known, now).unwrap();
    crate::compat::take_at(&server.state, &server.state.store, &alert, Some(now))
        .await
        .unwrap();
}

async fn each_is_an_alias(server: &Server, ids: &[String]) {
    let all = incidents(server);
    assert_eq!((all.len(), all[0].spec.count), (1, 40), "{:?}", opened(server));
    assert_eq!(all[0].spec.source.joined.len(), 20);
    for id in ids {
        let answer = server.get(&format!("/incidents/{id}")).await;
        assert_eq!(answer.json()["incident_id"], "s-0", "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_gravest_of_a_burst_is_what_the_incident_is() {
    let server = close().await;
    fire(&server, "a", "Slow", "web").await;
    let body =
        json!({"incident_id": "b", "alert_type": "Down", "container_name": "web", "severity": "critical"});
    post(&server, "/webhook", body.to_string()).await;
    server.flush().await;
    assert_eq!(
        incidents(&server)[0].spec.severity,
        aegis_api::incident::Severity::Critical
    );
}

#[tokio::test]
async fn what_becomes_critical_is_so_at_once_be_it_of_a_burst_or_a_repeat_of_the_alert_itself() {
    use aegis_api::incident::Severity;
    for id in ["a", "b"] {
        let server = close().await;
        // Repeats of this second wait to be written.
        for _ in 0..3 {
            fire(&server, "a", "Slow", "web").await;
        }
        assert_eq!(incidents(&server)[0].spec.severity, Severity::Warning);
        let body =
            json!({"incident_id": id, "alert_type": "Slow", "container_name": "web", "severity": "critical"});
        post(&server, "/webhook", body.to_string()).await;
        let incident = &incidents(&server)[0];
        assert_eq!(
            (incident.spec.severity, incident.spec.count),
            (Severity::Critical, 4),
            "{id}"
        );
        fire(&server, "a", "Slow", "web").await;
        server.flush().await;
        assert_eq!(
            incidents(&server)[0].spec.severity,
            Severity::Critical,
            "it gets no less grave"
        );
    }
}

#[tokio::test]
async fn the_end_of_one_alert_of_a_burst_is_not_the_end_of_the_others() {
    let server = close().await;
    fire(&server, "a", "Slow", "web").await;
    fire(&server, "b", "Down", "web").await;
    server.flush().await;
    let over = |id: &str| json!({"incident_id": id, "alert_type": "x", "status": "resolved"}).to_string();
    post(&server, "/webhook", over("b")).await;
    let source = &incidents(&server)[0].spec.source;
    assert_eq!(source.resolved_at, None);
    assert!(source.joined[0].resolved_at.is_some());
    fire(&server, "b", "Down", "web").await;
    server.flush().await;
    assert_eq!(
        incidents(&server)[0].spec.source.joined[0].resolved_at,
        None,
        "it fires again"
    );
    post(&server, "/webhook", over("a")).await;
    assert!(incidents(&server)[0].spec.source.resolved_at.is_some());
    fire(&server, "b", "Down", "web").await;
    server.flush().await;
    assert!(
        incidents(&server)[0].spec.source.resolved_at.is_some(),
        "another's firing takes nothing back"
    );
}

#[tokio::test]
async fn i13_what_a_policy_trusts_is_never_folded_nor_inhibited() {
    let server = close().await;
    let trusted = json!([{"source": "webhook", "alertType": "Down", "actions": ["RESTART"]}]);
    create(
        &server,
        "RemediationPolicy",
        "p",
        json!({"mode": "Auto", "trustedAlerts": trusted}),
    )
    .await;
    fire(&server, "a", "Slow", "web").await;
    fire(&server, "b", "Down", "web").await;
    assert_eq!(incidents(&server).len(), 2);
}

/// `web` depends on `db`.
async fn dependent() -> Server {
    let server = Server::start().await;
    create(&server, "Workload", "db", json!({"container": "db"})).await;
    create(
        &server,
        "Workload",
        "web",
        json!({"container": "web", "dependsOn": ["db"]}),
    )
    .await;
    server
}

async fn at(server: &Server, seconds: i64) {
    let now = Time(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
    open_released(&server.state, now).await;
}

#[tokio::test]
async fn what_depends_on_a_sick_root_is_listed_on_its_incident_and_outlives_it() {
    let server = dependent().await;
    fire(&server, "root", "Down", "db").await;
    let answer = fire(&server, "leaf", "Errors", "web").await;
    assert_eq!(answer.json()["incident_id"], "root", "{}", answer.text);
    fire(&server, "leaf", "Errors", "web").await;
    server.flush().await;
    let root = &incidents(&server)[0];
    assert_eq!((incidents(&server).len(), root.spec.count), (1, 3));
    assert_eq!(
        root.spec.source.joined[0].inhibited.as_ref().unwrap().as_str(),
        "web"
    );
    assert!(reasons(&server).contains(&"Normal Inhibited".to_owned()));
    at(&server, 0).await;
    assert_eq!(incidents(&server).len(), 1, "the root is still sick");
    at(&server, 301).await;
    assert_eq!(
        opened(&server),
        ["Errors about web (leaf)", "Down about db (root)"]
    );
    at(&server, 302).await;
    assert_eq!(incidents(&server).len(), 2, "once");
}

#[tokio::test]
async fn what_is_inhibited_is_released_when_its_roots_incident_ends() {
    let server = dependent().await;
    fire(&server, "root", "Down", "db").await;
    fire(&server, "leaf", "Errors", "web").await;
    server.flush().await;
    end(&server, "root").await;
    at(&server, 1).await;
    assert_eq!(
        opened(&server),
        ["Errors about web (leaf)", "Down about db (root)"]
    );
    at(&server, 2).await;
    assert_eq!(incidents(&server).len(), 2, "once");
}

#[tokio::test]
async fn what_is_released_is_what_its_sender_reported() {
    let server = dependent().await;
    fire(&server, "root", "Down", "db").await;
    let body =
        json!({"receiver": "r", "status": "firing", "alerts": [{"status": "firing", "fingerprint": "f",
        "labels": {"alertname": "Slow", "container": "web", "team": "shop", "long": "x".repeat(600)},
        "startsAt": "2026-11-29T10:00:00Z", "generatorURL": "https://example.org/g"}]})
        .to_string();
    for _ in 0..2 {
        let answer = post(&server, "/webhook/alertmanager", body.clone()).await;
        assert_eq!(answer.json()["alerts"][0]["incident"], "root", "{}", answer.text);
    }
    server.flush().await;
    at(&server, 301).await;
    let all = incidents(&server);
    let spec = &all.iter().find(|it| it.name() != "root").unwrap().spec;
    assert_eq!(spec.source.kind, "webhook/alertmanager");
    let label = |name: &str| spec.source.labels.get(name).map(String::as_str);
    assert_eq!((label("labels.team"), label("labels.long")), (Some("shop"), None));
    assert_eq!(label("silenced_by"), Some("root"));
    assert_eq!(spec.source.url, "https://example.org/g");
    assert_eq!(spec.starts_at.unwrap().to_string(), "2026-11-29T10:00:00Z");
}

#[tokio::test]
async fn what_is_inhibited_is_released_whatever_else_is_folded_into_its_roots_incident() {
    let server = dependent().await;
    let episode = json!({"workloadRef": "db", "alertType": "HIGH_MEMORY",
        "source": {"kind": "detector", "fingerprint": "detector/db/memory", "incidentId": "found"}});
    create(&server, "Incident", "found", episode).await;
    fire(&server, "leaf", "Errors", "web").await;
    for n in 0..25 {
        let answer = fire(&server, &format!("more-{n}"), "HighMemory", "db").await;
        assert_eq!(answer.json()["incident_id"], "found", "{}", answer.text);
    }
    server.flush().await;
    at(&server, 301).await;
    let all = opened(&server);
    assert!(all.contains(&"Errors about web (leaf)".to_owned()), "{all:?}");
}

/// Ends an incident, as the reconciler does.
async fn end(server: &Server, name: &str) {
    let uid = server
        .store
        .get::<Incident>(name)
        .unwrap()
        .metadata
        .uid
        .clone()
        .unwrap();
    let status =
        json!({"phase": "RESOLVED", "timeline": [], "finishedAt": jiff::Timestamp::now().to_string()});
    let status = serde_json::from_value(status).unwrap();
    let written = server.store.set_status::<Incident>(name, &uid, status).await;
    written.unwrap();
}

#[tokio::test]
async fn an_inhibited_alert_that_ends_opens_nothing_later() {
    let server = dependent().await;
    fire(&server, "root", "Down", "db").await;
    fire(&server, "leaf", "Errors", "web").await;
    let over =
        json!({"incident_id": "leaf", "alert_type": "Errors", "container_name": "web", "status": "resolved"});
    post(&server, "/webhook", over.to_string()).await;
    at(&server, 301).await;
    assert_eq!(incidents(&server).len(), 1, "{:?}", opened(&server));
    assert_eq!(
        incidents(&server)[0].spec.source.resolved_at,
        None,
        "the root's own end was not reported"
    );
}

#[tokio::test]
async fn the_root_is_never_inhibited_by_what_depends_on_it() {
    let server = dependent().await;
    fire(&server, "leaf", "Errors", "web").await;
    fire(&server, "root", "Down", "db").await;
    assert_eq!(incidents(&server).len(), 2);
}

#[tokio::test]
async fn what_is_on_a_host_in_critical_trouble_is_listed_on_the_hosts_incident() {
    let server = dependent().await;
    let host = |severity: &str| {
        json!({"alertType": "HOST_DISK", "severity": severity,
            "source": {"kind": "detector", "fingerprint": severity, "incidentId": severity}})
    };
    create(&server, "Incident", "warning", host("warning")).await;
    fire(&server, "own", "Errors", "web").await;
    assert_eq!(incidents(&server).len(), 2);
    create(&server, "Incident", "critical", host("critical")).await;
    let answer = fire(&server, "leaf", "Errors", "db").await;
    assert_eq!(answer.json()["incident_id"], "critical", "{}", answer.text);
    assert_eq!(incidents(&server).len(), 3);
}

#[tokio::test]
async fn what_is_folded_inhibited_silenced_and_unreadable_is_in_the_metrics() {
    let server = with(crate::ServerConfig {
        closeness: Closeness::default(),
        ..config()
    })
    .await;
    let depends = json!({"container": "leaf", "dependsOn": ["db"]});
    create(&server, "Workload", "leaf", depends).await;
    let silence = json!({"owner": "ada", "reason": "work", "until": "2099-01-01T00:00:00Z", "workloads": {"names": ["db"]}});
    create(&server, "Silence", "s", silence).await;
    fire(&server, "root", "Down", "db").await;
    fire(&server, "again", "Slow", "db").await;
    fire(&server, "leaf", "Errors", "leaf").await;
    fire(&server, "own", "Errors", "web").await;
    post(&server, "/webhook/alertmanager", "{").await;
    server.flush().await;
    let text = server
        .ask_with("GET", "/metrics", &[("accept", "text/plain")], None)
        .await
        .text;
    for line in [
        r#"aegis_intake_alerts_total{sender="aegisops",outcome="opened"} 2"#,
        r#"aegis_intake_alerts_total{sender="aegisops",outcome="folded"} 1"#,
        r#"aegis_intake_alerts_total{sender="aegisops",outcome="inhibited"} 1"#,
        r#"aegis_intake_alerts_total{sender="alertmanager",outcome="unreadable"} 1"#,
        r#"aegis_alerts_inhibited{by="sender"} 1"#,
        r#"aegis_alerts_inhibited{by="detector"} 0"#,
        "aegis_incidents_silenced 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
