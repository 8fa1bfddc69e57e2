//! Messages in any order: fired, resolved, repeated, late.

use super::*;

/// One alert of a group: `F` fires, `R` is resolved, by the minutes at which it began and ended.
fn message(kind: char, began: u32, ended: Option<u32>) -> String {
    let at = |minute: u32| format!("2026-11-29T10:{minute:02}:00Z");
    let status = if kind == 'R' { "resolved" } else { "firing" };
    let ends = ended.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), at);
    json!({"receiver": "r", "status": status, "alerts": [{"status": status, "fingerprint": "f",
        "labels": {"alertname": "Leak", "container": "web"}, "startsAt": at(began), "endsAt": ends}]})
    .to_string()
}

/// Plays messages such as `F1 R1-5`; answers outcomes, and whether the open incident, if there is one, is noted as over.
async fn play(steps: &str) -> (String, Option<bool>) {
    let server = host().await;
    let mut outcomes = Vec::new();
    for step in steps.split(' ') {
        let kind = step.chars().next().unwrap();
        let (began, ended) = match step[1..].split_once('-') {
            Some((began, ended)) => (began, Some(ended.parse().unwrap())),
            None => (&step[1..], None),
        };
        let body = message(kind, began.parse().unwrap(), ended);
        let answer = post(&server, "/webhook/alertmanager", body).await;
        assert_eq!(answer.code, 200, "{steps}: {}", answer.text);
        outcomes.push(answer.json()["alerts"][0]["outcome"].as_str().unwrap().to_owned());
        server.flush().await;
    }
    let all = incidents(&server);
    assert!(all.len() <= 1, "{steps}: {all:?}");
    (
        outcomes.join(" "),
        all.first()
            .map(|incident| incident.spec.source.resolved_at.is_some()),
    )
}

#[tokio::test]
async fn messages_come_out_right_in_any_order() {
    for (steps, outcomes, over) in [
        ("F1", "opened", Some(false)),
        ("F1 F1 F1", "opened repeated repeated", Some(false)),
        ("F1 R1-5", "opened ended", Some(true)),
        ("F1 R1-5 R1-5", "opened ended ended", Some(true)),
        // Fires again.
        ("F1 R1-5 F6", "opened ended repeated", Some(false)),
        ("F1 R1-5 F6 R6-8", "opened ended repeated ended", Some(true)),
        // A late copy of the first message takes nothing back.
        ("F1 R1-5 F1", "opened ended late", Some(true)),
        // The end comes first.
        ("R1-5", "nothing_open", None),
        ("R1-5 F1", "nothing_open late", None),
        ("R1-5 F1 F1 R1-5", "nothing_open late late nothing_open", None),
        ("R1-5 F6", "nothing_open opened", Some(false)),
        // An older end after a newer one forgets nothing.
        ("R6-8 R1-5 F6", "nothing_open nothing_open late", None),
    ] {
        assert_eq!(play(steps).await, (outcomes.to_owned(), over), "{steps}");
    }
}

#[tokio::test]
async fn events_of_pagerduty_are_one_incident_from_trigger_to_resolve_and_an_acknowledgement_is_noted() {
    let server = host().await;
    let event = |action: &str| {
        json!({"routing_key": "k", "event_action": action, "dedup_key": "web-disk"}).to_string()
    };
    assert_eq!(
        post(&server, "/webhook/pagerduty", event("acknowledge"))
            .await
            .code,
        202
    );
    assert_eq!(
        post(&server, "/webhook/pagerduty", event("resolve")).await.code,
        202
    );
    assert!(incidents(&server).is_empty(), "neither opens anything");
    post(&server, "/webhook/pagerduty", fixture(5)).await;
    post(&server, "/webhook/pagerduty", event("acknowledge")).await;
    assert!(
        reasons(&server).contains(&"Normal SenderNotes".to_owned()),
        "{:?}",
        reasons(&server)
    );
    assert_eq!(incidents(&server)[0].spec.source.resolved_at, None);
    post(&server, "/webhook/pagerduty", event("resolve")).await;
    assert!(incidents(&server)[0].spec.source.resolved_at.is_some());
}

#[tokio::test]
async fn webhooks_of_pagerduty_are_one_incident_from_triggered_to_resolved() {
    let server = host().await;
    let event = |kind: &str| fixture(12).replace("incident.triggered", kind);
    let note = json!({"event": {"event_type": "incident.annotated", "data": {"type": "incident_note", "id": "N", "content": "c",
        "incident": {"id": "QEXAMPLE1", "summary": "s", "type": "incident_reference"}}}});
    let ping = json!({"event": {"event_type": "pagey.ping", "data": {"type": "ping", "message": "hello"}}});
    for quiet in [
        event("incident.acknowledged"),
        event("incident.resolved"),
        note.to_string(),
        ping.to_string(),
    ] {
        let answer = post(&server, "/webhook", quiet).await;
        assert_eq!(answer.code, 202, "{}", answer.text);
        assert!(incidents(&server).is_empty());
    }
    // The end came first; this began before it.
    assert_eq!(post(&server, "/webhook", fixture(12)).await.code, 202);
    assert!(incidents(&server).is_empty());
    let again = fixture(12).replace("2026-11-29T10:0", "2026-11-29T11:0");
    let event = |kind: &str| again.replace("incident.triggered", kind);
    post(&server, "/webhook", again.clone()).await;
    for noted in [
        event("incident.acknowledged"),
        event("incident.responder.added"),
        note.to_string(),
    ] {
        post(&server, "/webhook", noted).await;
    }
    let noted = reasons(&server)
        .into_iter()
        .filter(|reason| reason == "Normal SenderNotes");
    assert_eq!(noted.count(), 3);
    assert_eq!(incidents(&server)[0].spec.source.resolved_at, None);
    // What its own sender sends us, too, is the same trouble.
    let twin = json!({"routing_key": "k", "event_action": "trigger", "dedup_key": "shop-queue", "payload": {"summary": "s", "component": "worker"}});
    post(&server, "/webhook", twin.to_string()).await;
    server.flush().await;
    assert_eq!(
        (incidents(&server).len(), incidents(&server)[0].spec.count),
        (1, 2)
    );
    post(&server, "/webhook/pagerduty", event("incident.resolved")).await;
    let over = incidents(&server)[0].spec.source.resolved_at.unwrap();
    assert_eq!(over.to_string(), "2026-11-29T11:00:02Z");
    for (odd, why) in [
        (
            event("incident.forgotten"),
            "event.event_type is \\\"incident.forgotten\\\": events of incidents",
        ),
        (
            again.replace("\"id\": \"QEXAMPLE1\",", ""),
            "event.data.id is missing",
        ),
        (
            again.replace("\"title\"", "\"other\""),
            "event.data.title is missing",
        ),
    ] {
        let answer = post(&server, "/webhook", odd).await;
        assert_eq!(answer.code, 400, "{}", answer.text);
        assert!(answer.text.contains(why), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_incident_that_pagerduty_opens_again_after_its_end_is_open_again() {
    let event = |kind: &str, occurred: &str| {
        fixture(12)
            .replace("incident.triggered", kind)
            .replace("2026-11-29T10:00:02.000Z", occurred)
    };
    let ended = event("incident.resolved", "2026-11-29T10:05:00Z");
    let reopened = event("incident.reopened", "2026-11-29T10:07:00Z");
    // Its beginning came before its end, or did not.
    for began in ["open", "unknown"] {
        let server = host().await;
        if began == "open" {
            post(&server, "/webhook", fixture(12)).await;
        }
        post(&server, "/webhook", ended.clone()).await;
        let answer = post(&server, "/webhook", fixture(12)).await;
        assert_eq!(answer.code, 202, "{began}: {}", answer.text);
        server.flush().await;
        let is_open = || {
            let mut all = incidents(&server).into_iter();
            all.any(|it| !it.is_finished() && it.spec.source.resolved_at.is_none())
        };
        assert!(!is_open(), "{began}: a late copy of its beginning opens nothing");
        let answer = post(&server, "/webhook", reopened.clone()).await;
        assert_eq!(answer.code, 202, "{began}: {}", answer.text);
        server.flush().await;
        assert!(is_open(), "{began}: {:?}", incidents(&server));
        // Its own end ends it.
        post(
            &server,
            "/webhook",
            event("incident.resolved", "2026-11-29T10:09:00Z"),
        )
        .await;
        assert!(!is_open(), "{began}");
    }
}

#[tokio::test]
async fn events_of_pagerduty_that_are_about_no_trouble_are_accepted_and_open_and_end_nothing() {
    let server = host().await;
    let event = |kind: &str| fixture(12).replace("incident.triggered", kind);
    let typed = |kind: &str, data: Value| json!({"event": {"event_type": kind, "data": data}}).to_string();
    let service = json!({"id": "PEXAMPLE1", "type": "service", "summary": "worker"});
    let task = json!({"id": "T", "type": "incident_task", "incident": {"id": "QEXAMPLE1", "type": "incident_reference"}});
    let quiet = [
        event("incident.service_updated"),
        event("incident.title_updated"),
        event("incident.urgency_updated"),
        event("incident.incident_type.changed"),
        typed("incident.task.created", task),
        typed(
            "incident.workflow.started",
            json!({"type": "incident_workflow_instance"}),
        ),
        typed("service.created", service.clone()),
        typed("service.updated", service.clone()),
        typed("service.deleted", service.clone()),
        typed(
            "service.custom_field_values.updated",
            json!({"type": "service_field_values"}),
        ),
    ];
    for open in [0, 1] {
        for body in quiet.clone() {
            let answer = post(&server, "/webhook", body.clone()).await;
            assert_eq!(answer.code, 202, "{body}: {}", answer.text);
            server.flush().await;
            let all = incidents(&server);
            assert_eq!(all.len(), open, "{body}");
            assert!(
                all.iter()
                    .all(|it| it.spec.source.resolved_at.is_none() && it.spec.count == 1)
            );
        }
        post(&server, "/webhook", fixture(12)).await;
        server.flush().await;
    }
    let kept = server.get("/intake/unreadable").await.json();
    assert_eq!(kept, json!([]));
}

#[tokio::test]
async fn the_end_in_an_event_of_another_type_is_that_of_its_beginning() {
    let server = host().await;
    let event = |kind: &str, time: &str| {
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": format!("org.example.down.{kind}"), "subject": "web",
            "time": time, "data": {}})
        .to_string()
    };
    post(&server, "/webhook", event("firing", "2026-11-29T10:00:00Z")).await;
    post(&server, "/webhook", event("resolved", "2026-11-29T10:05:00Z")).await;
    let all = incidents(&server);
    assert!(
        all.len() == 1 && all[0].spec.source.resolved_at.is_some(),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_mapped_senders_end_is_that_of_its_beginning() {
    let server = host().await;
    post(&server, "/webhook/zabbix", fixture(10)).await;
    assert_eq!(incidents(&server)[0].spec.source.resolved_at, None);
    post(&server, "/webhook/zabbix", fixture(10).replace("PROBLEM", "OK")).await;
    assert!(incidents(&server)[0].spec.source.resolved_at.is_some());
    post(&server, "/webhook/kuma", fixture(9)).await;
    let pending = post(
        &server,
        "/webhook/kuma",
        fixture(9).replace("\"status\": 0", "\"status\": 2"),
    )
    .await;
    assert_eq!(pending.json()["alerts"][0]["outcome"], "test", "{}", pending.text);
}

/// Ends the only incident, as the reconciler does.
async fn finish(server: &Server) {
    let incident = incidents(server).remove(0);
    let status =
        json!({"phase": "RESOLVED", "timeline": [], "finishedAt": jiff::Timestamp::now().to_string()});
    let uid = incident.metadata.uid.clone().unwrap();
    let status = serde_json::from_value(status).unwrap();
    let written = server
        .store
        .set_status::<Incident>(incident.name(), &uid, status)
        .await;
    written.unwrap();
}

#[tokio::test]
async fn an_end_that_comes_after_the_incidents_own_is_noted_on_it_once_and_opens_nothing() {
    let server = host().await;
    post(&server, "/webhook/alertmanager", message('F', 1, None)).await;
    finish(&server).await;
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let answer = post(&server, "/webhook/alertmanager", message('R', 1, Some(5))).await;
        outcomes.push(answer.json()["alerts"][0]["outcome"].as_str().unwrap().to_owned());
        server.flush().await;
    }
    assert_eq!(outcomes, ["ended", "nothing_open", "nothing_open"]);
    let all = incidents(&server);
    assert_eq!(all.len(), 1);
    let over = all[0].spec.source.resolved_at.unwrap();
    assert_eq!(over.to_string(), "2026-11-29T10:05:00Z");
    let said = reasons(&server)
        .into_iter()
        .filter(|reason| reason == "Normal SenderResolved");
    assert_eq!(said.count(), 1);
}

#[tokio::test]
async fn an_end_from_before_an_ended_incident_began_is_not_noted_on_it() {
    let server = host().await;
    post(&server, "/webhook/alertmanager", message('F', 6, None)).await;
    finish(&server).await;
    let answer = post(&server, "/webhook/alertmanager", message('R', 1, Some(5))).await;
    assert_eq!(
        answer.json()["alerts"][0]["outcome"],
        "nothing_open",
        "{}",
        answer.text
    );
    assert_eq!(incidents(&server)[0].spec.source.resolved_at, None);
}
