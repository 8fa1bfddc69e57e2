//! What an alert says, over the router: whom it is about, whether it fires, and whether it is new.

use aegis_api::Time;
use aegis_api::incident::Severity;
use jiff::{SignedDuration, Timestamp};

use super::*;

/// A server with a Workload `web`, which adopts the container of that name, another called `db`, and the target.
async fn host() -> Server {
    let server = Server::start().await;
    for (name, container) in [("web", "web"), ("db", "db"), ("patient", "buggy-app-v2")] {
        create(&server, "Workload", name, json!({"container": container})).await;
    }
    server
}

fn least(more: Value) -> Value {
    let mut body = json!({"incident_id": "i", "alert_type": "MEMORY_LEAK"});
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    body
}

/// The container of the only incident there is.
fn container(server: &Server) -> String {
    let all = incidents(server);
    assert_eq!(all.len(), 1);
    all[0].spec.container_name.as_ref().unwrap().to_string()
}

/// Ends an incident so many seconds ago.
async fn ended(server: &Server, name: &str, phase: &str, seconds: i64) {
    let at = Timestamp::now() - SignedDuration::from_secs(seconds);
    let end = json!({"phase": phase, "finishedAt": at.to_string(), "timeline": []});
    status(server, "Incident", name, end).await;
}

fn names(server: &Server) -> Vec<String> {
    incidents(server)
        .iter()
        .map(|one| one.name().to_owned())
        .collect()
}

#[tokio::test]
async fn an_alert_is_about_the_container_that_it_names_wherever_it_names_it() {
    for naming in [
        json!({"container": "web"}),
        json!({"containerName": "/web"}),
        json!({"labels": {"container": "web"}}),
        json!({"labels": {"name": "web"}}),
        json!({"details": {"container_name": "web"}}),
        json!({"instance": "web:8000"}),
        json!({"tags": ["env:prod", "container:web"]}),
    ] {
        let server = host().await;
        let answer = alert(&server, least(naming.clone())).await;
        assert_eq!(answer.code, 200, "{naming}: {}", answer.text);
        assert_eq!(container(&server), "web", "{naming}");
        let about = incidents(&server)[0].spec.workload_ref.clone().unwrap();
        assert_eq!(about.as_str(), "web", "{naming}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_never_replaced_by_the_default_target() {
    let server = host().await;
    let answer = alert(&server, least(json!({"labels": {"container": "wbe"}}))).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(container(&server), "wbe");
    assert!(incidents(&server)[0].spec.workload_ref.is_none());
}

#[tokio::test]
async fn the_default_target_is_reported_in_the_answer_the_incident_and_an_event() {
    let server = host().await;
    let answer = alert(&server, least(json!({}))).await;
    let message = "about buggy-app-v2 by default: the alert names no container";
    assert!(answer.text.contains(message), "{}", answer.text);
    assert_eq!(container(&server), "buggy-app-v2");
    let kept = serde_json::to_value(&incidents(&server)[0].spec.source).unwrap();
    assert_eq!(kept["naming"], json!({"byDefault": true}));
    let (_, events) = server.events.list();
    assert!(
        events
            .iter()
            .any(|event| event.message.contains(message) && event.about.kind == "Incident"),
        "{events:?}"
    );
}

#[tokio::test]
async fn an_alert_that_names_two_containers_alike_is_refused_by_both_names() {
    let server = host().await;
    let body = least(json!({"labels": {"container": "web"}, "details": {"container": "db"}}));
    let answer = alert(&server, body).await;
    assert_eq!(answer.code, 422, "{}", answer.text);
    for part in ["labels.container", "web", "details.container", "db"] {
        assert!(answer.text.contains(part), "{}", answer.text);
    }
    assert!(incidents(&server).is_empty());

    let body = least(json!({"container_name": "web", "labels": {"container": "db"}}));
    let answer = alert(&server, body).await;
    assert_eq!(answer.code, 200);
    assert_eq!(container(&server), "web", "the field of the contract decides");
    let message = "about web, as container_name says; labels.container says db";
    assert!(answer.text.contains(message), "{}", answer.text);
}

#[tokio::test]
async fn a_key_that_is_there_twice_with_two_values_is_refused_by_its_name() {
    let server = host().await;
    for (body, field) in [
        (
            r#"{"incident_id":"i","alert_type":"x","container_name":"web","container_name":"db"}"#,
            "container_name",
        ),
        (
            r#"{"incident_id":"i","incident_id":"j","alert_type":"x"}"#,
            "incident_id",
        ),
        (
            r#"{"incident_id":"i","alert_type":"x","labels":{"container":"web","container":"db"}}"#,
            "labels.container",
        ),
        (
            r#"{"incident_id":"i","alert_type":"x","status":"firing","status":"resolved"}"#,
            "status",
        ),
    ] {
        let answer = server
            .ask_with("POST", "/webhook", &[], Some(body.to_owned()))
            .await;
        assert_eq!(answer.code, 422, "{body}: {}", answer.text);
        assert!(answer.text.contains(field), "{body}: {}", answer.text);
    }
    assert!(incidents(&server).is_empty());
    let harmless = r#"{"incident_id":"i","incident_id":"i","alert_type":"x","note":1,"note":2}"#;
    let answer = server
        .ask_with("POST", "/webhook", &[], Some(harmless.to_owned()))
        .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
}

#[tokio::test]
async fn resolved_opens_nothing_and_is_answered_with_200_in_the_shape_of_an_incident() {
    let server = host().await;
    for said in [
        json!({"status": "resolved"}),
        json!({"state": "ok"}),
        json!({"severity": "ok"}),
        json!({"event_action": "resolve"}),
        json!({"endsAt": "2026-01-31T12:00:00Z"}),
        json!({"title": "[RESOLVED] memory of web is high"}),
    ] {
        let answer = alert(&server, least(said.clone())).await;
        assert_eq!(answer.code, 200, "{said}: {}", answer.text);
        assert!(incidents(&server).is_empty(), "{said}");
        let result = answer.json();
        assert_eq!(
            (&result["incident_id"], &result["status"]),
            (&json!("i"), &json!("RESOLVED"))
        );
        for null in ["analysis", "council_decision", "resolved_at", "error"] {
            assert!(result[null].is_null(), "{null}");
        }
        assert_eq!(result["timeline"][0]["status"], "RESOLVED");
    }
}

#[tokio::test]
async fn resolved_is_noted_on_the_open_incident_once_and_is_no_repeat() {
    let server = host().await;
    alert(&server, least(json!({"container_name": "web"}))).await;
    let over = |body: Value| alert(&server, body);
    let noted = || incidents(&server)[0].spec.source.resolved_at;
    let answer = over(least(
        json!({"status": "resolved", "endsAt": "2026-01-31T12:00:00Z"}),
    ))
    .await;
    assert_eq!(
        (answer.code.as_u16(), &answer.json()["status"]),
        (200, &json!("RECEIVED"))
    );
    let first: Time = "2026-01-31T12:00:00Z".parse().unwrap();
    assert_eq!(noted(), Some(first));
    over(least(json!({"status": "resolved"}))).await;
    assert_eq!((noted(), incidents(&server)[0].spec.count), (Some(first), 1));
    // Of another container under the same id: it says nothing of this one.
    alert(&server, least(json!({"container_name": "web"}))).await;
    assert_eq!(
        (noted(), incidents(&server)[0].spec.count),
        (None, 2),
        "it fires again"
    );
    over(least(json!({"status": "resolved", "container_name": "db"}))).await;
    assert_eq!(noted(), None);
}

#[tokio::test]
async fn resolved_reaches_the_open_incident_of_its_fingerprint() {
    let server = host().await;
    alert(&server, least(json!({"fingerprint": "f"}))).await;
    let over = json!({"incident_id": "other", "alert_type": "x", "fingerprint": "f", "status": "ok"});
    assert_eq!(alert(&server, over).await.json()["incident_id"], "i");
    assert!(incidents(&server)[0].spec.source.resolved_at.is_some());
}

#[tokio::test]
async fn words_that_only_look_like_resolved_open_an_incident() {
    for said in [
        json!({"status": "critical"}),
        json!({"status": "not ok"}),
        json!({"logs": "severity: ok\nstatus: resolved"}),
        json!({"details": {"status": "ok"}}),
        json!({"status": "firing", "severity": "ok"}),
        json!({"endsAt": "0001-01-01T00:00:00Z"}),
        json!({"title": "DNS names are not resolved"}),
    ] {
        let server = host().await;
        let answer = alert(&server, least(said.clone())).await;
        assert_eq!(answer.code, 200, "{said}: {}", answer.text);
        assert_eq!(incidents(&server).len(), 1, "{said}");
    }
}

#[tokio::test]
async fn the_same_alert_later_than_a_minute_after_the_end_is_a_new_incident_that_names_the_earlier_one() {
    for phase in ["RESOLVED", "FAILED", "APPROVED"] {
        let server = host().await;
        let sent = || alert(&server, least(json!({"container_name": "web"})));
        sent().await;
        ended(&server, "i", phase, 50).await;
        assert_eq!(sent().await.json()["status"], phase);
        assert_eq!(
            (names(&server).len(), incidents(&server)[0].spec.count),
            (1, 2),
            "{phase}: within the minute"
        );
        ended(&server, "i", phase, 70).await;
        assert_eq!(sent().await.json()["status"], "RECEIVED", "{phase}");
        assert_eq!(names(&server), ["i", "i-2"], "{phase}");
        let follower = server.store.get::<Incident>("i-2").unwrap();
        assert_eq!(follower.spec.source.previous.as_ref().unwrap().as_str(), "i");
        assert_eq!((follower.spec.count, incidents(&server)[0].spec.count), (1, 2));
        sent().await;
        server.flush().await;
        assert_eq!(server.store.get::<Incident>("i-2").unwrap().spec.count, 2);
        ended(&server, "i-2", phase, 70).await;
        sent().await;
        assert_eq!(names(&server), ["i", "i-2", "i-3"], "{phase}");
        assert_eq!(
            server.get("/incidents/i").await.json()["status"],
            "RECEIVED",
            "the newest is answered"
        );
        let all = server.get("/incidents").await.json();
        let same = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["incident_id"] == "i")
            .count();
        assert_eq!(same, 3, "{all}");
    }
}

#[tokio::test]
async fn the_same_fingerprint_under_another_id_later_than_a_minute_after_the_end_is_new_and_names_the_earlier_one()
 {
    let server = host().await;
    let sent = |id: &str| {
        let body = json!({"incident_id": id, "alert_type": "x", "fingerprint": "f", "container_name": "web"});
        alert(&server, body)
    };
    sent("a").await;
    ended(&server, "a", "RESOLVED", 50).await;
    assert_eq!(sent("b").await.json()["incident_id"], "a", "within the minute");
    assert_eq!(incidents(&server)[0].spec.count, 2);
    ended(&server, "a", "RESOLVED", 70).await;
    sent("c").await;
    assert_eq!(names(&server), ["a", "c"]);
    let follower = server.store.get::<Incident>("c").unwrap();
    assert_eq!(follower.spec.source.previous.as_ref().unwrap().as_str(), "a");
}

#[tokio::test]
async fn a_new_incident_takes_no_name_that_another_id_has_and_goes_on_when_earlier_ones_are_gone() {
    let server = host().await;
    let sent = |id: &str| {
        alert(
            &server,
            json!({"incident_id": id, "alert_type": "x", "container_name": "web"}),
        )
    };
    sent("i-2").await;
    sent("i").await;
    ended(&server, "i", "RESOLVED", 70).await;
    sent("i").await;
    assert_eq!(names(&server), ["i", "i-2", "i-3"]);
    assert_eq!(server.get("/incidents/i-2").await.json()["incident_id"], "i-2");
    let info = find("Incident").unwrap();
    server.store.delete(info, "i", None, None, false).await.unwrap();
    ended(&server, "i-3", "RESOLVED", 70).await;
    sent("i").await;
    assert_eq!(names(&server), ["i-2", "i-3", "i-4"]);
    assert_eq!(server.get("/incidents/i").await.json()["status"], "RECEIVED");
}

#[tokio::test]
async fn alerts_of_one_id_that_come_at_once_after_the_end_are_one_new_incident() {
    let server = host().await;
    let sent = || alert(&server, least(json!({"container_name": "web"})));
    sent().await;
    ended(&server, "i", "RESOLVED", 70).await;
    futures::future::join_all((0..20).map(|_| sent().boxed_local())).await;
    server.flush().await;
    assert_eq!(names(&server), ["i", "i-2"]);
    assert_eq!(server.store.get::<Incident>("i-2").unwrap().spec.count, 20);
}

#[tokio::test]
async fn fire_resolve_fire_again_resolved_first_and_repeated_come_out_right() {
    /// `f`: fires; `o`: is over; `e`: its incident ended long ago.
    async fn play(steps: &str) -> Vec<(u32, bool)> {
        let server = host().await;
        for step in steps.chars() {
            let answer = match step {
                'f' => alert(&server, least(json!({"container_name": "web"}))).await,
                'o' => {
                    alert(
                        &server,
                        least(json!({"container_name": "web", "status": "resolved"})),
                    )
                    .await
                }
                _ => {
                    let newest = names(&server).pop().unwrap();
                    ended(&server, &newest, "RESOLVED", 70).await;
                    continue;
                }
            };
            assert_eq!(answer.code, 200, "{steps}: {}", answer.text);
        }
        server.flush().await;
        let each = incidents(&server);
        each.iter()
            .map(|one| (one.spec.count, one.spec.source.resolved_at.is_some()))
            .collect()
    }
    for (steps, expected) in [
        ("o", &[][..]),
        ("oof", &[(1, false)][..]),
        ("fo", &[(1, true)]),
        ("foo", &[(1, true)]),
        ("fof", &[(2, false)]),
        ("fofo", &[(2, true)]),
        ("feo", &[(1, true)]),
        ("foef", &[(1, true), (1, false)]),
        ("fefff", &[(1, false), (3, false)]),
        ("feofo", &[(1, true), (1, true)]),
    ] {
        assert_eq!(play(steps).await, expected, "{steps}");
    }
}

#[tokio::test]
async fn an_empty_bearer_is_refused_also_where_a_token_is_configured_as_empty() {
    let mut config = config();
    config.webhook_token = Some(String::new().into());
    let server = Server::with(config).await;
    for header in ["Bearer ", "Bearer", "Basic Og==", "Basic", ""] {
        let request = Request::builder()
            .method("POST")
            .uri("/webhook")
            .header("authorization", header)
            .header("content-type", "application/json")
            .body(Body::from(least(json!({})).to_string()))
            .unwrap();
        let answer = Answer::of(server.send(request).await).await;
        assert_eq!(answer.code, 401, "{header:?}: {}", answer.text);
    }
    assert!(incidents(&server).is_empty());
}

#[tokio::test]
async fn an_alert_joins_the_open_incident_of_a_detector_about_the_same_workload_and_no_other() {
    let server = host().await;
    let found = json!({"workloadRef": "web", "alertType": "MEMORY_HIGH",
        "source": {"kind": "detector", "fingerprint": "detector/web/memory", "incidentId": "found"}});
    create(&server, "Incident", "found", found).await;
    let joined = alert(&server, least(json!({"container": "web"}))).await;
    assert_eq!(joined.json()["incident_id"], "found", "{}", joined.text);
    let spec = incidents(&server)[0].spec.clone();
    assert_eq!(spec.count, 2);
    assert_eq!(
        (
            spec.source.joined[0].incident_id.as_str(),
            spec.source.joined[0].alert_type.as_str()
        ),
        ("i", "MEMORY_LEAK")
    );
    // Whatever the alert says later is about the same incident.
    let over = alert(&server, least(json!({"container": "web", "status": "resolved"}))).await;
    assert_eq!(over.json()["incident_id"], "found", "{}", over.text);
    assert!(incidents(&server)[0].spec.source.resolved_at.is_some());
    let graver =
        json!({"incident_id": "h", "container": "web", "severity": "critical", "logs": "x".repeat(9000)});
    let graver = alert(&server, least(graver)).await;
    assert_eq!(graver.json()["incident_id"], "found", "{}", graver.text);
    let spec = incidents(&server)[0].spec.clone();
    assert_eq!((spec.count, spec.severity), (3, Severity::Critical));
    assert_eq!(spec.source.joined[1].logs.len(), 2000);
    assert_eq!(spec.source.resolved_at, None, "another sender says that it fires");
    let own = server.get("/incidents/h").await;
    assert_eq!(
        own.json()["incident_id"],
        "found",
        "a sender finds it by its own id: {}",
        own.text
    );
    let other = alert(&server, least(json!({"incident_id": "k", "container": "db"}))).await;
    assert_eq!(other.json()["incident_id"], "k", "{}", other.text);
    for (id, kind) in [("cpu", "HighCPUUsage"), ("odd", "orders_stuck")] {
        let more = json!({"incident_id": id, "alert_type": kind, "container": "web"});
        let other = alert(&server, least(more)).await;
        assert_eq!(
            other.json()["incident_id"],
            id,
            "other trouble is another story: {}",
            other.text
        );
    }
    ended(&server, "found", "RESOLVED", 5).await;
    let again = alert(&server, least(json!({"incident_id": "j", "container": "web"}))).await;
    assert_eq!(again.json()["incident_id"], "j", "{}", again.text);
    assert_eq!(incidents(&server).len(), 5);
}
