use aegis_api::wire::IncidentResult;
use clap::Parser as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Pages;
use crate::args::Args;
use crate::board::Board;
use crate::client::Seen;

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-31T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn incident(status: &str, began: i64, resolved: Option<i64>) -> IncidentResult {
    serde_json::from_value(json!({
        "incident_id": "INC-1", "alert_type": "memory_leak", "status": status, "error": null, "replicas_spawned": 0,
        "resolved_at": resolved.map(|seconds| at(seconds).to_string()),
        "analysis": {"root_cause": "it leaks", "action": "RESTART", "justification": "j", "confidence": 0.9,
            "replica_count": 0},
        "council_decision": {"votes": [], "final_verdict": "APPROVED", "consensus": true, "summary": "s"},
        "timeline": [{"ts": at(began).to_string(), "status": "RECEIVED", "message": "m", "agent": null}],
    }))
    .unwrap()
}

pub(crate) fn seen() -> Seen {
    Seen {
        health: serde_json::from_value(
            json!({"status": "ok", "mode": "GOD_MODE", "version": "0.1.0", "ws_clients": 1}),
        )
        .unwrap(),
        unready: None,
        containers: serde_json::from_value(
            json!([{"name": "web", "status": "running", "image": "web:1", "id": "0123456789ab"}]),
        )
        .unwrap(),
        metrics: serde_json::from_value(json!([{"name": "web", "cpu_percent": 12.5, "memory_mb": 10.0,
            "memory_limit_mb": 20.0, "memory_percent": 50.0, "net_rx_bytes": 0, "net_tx_bytes": 0, "status": "running",
            "uptime_seconds": 1.0, "image": "web:1"}]))
        .unwrap(),
        detectors: serde_json::from_value(json!([
            {"name": "cpu", "signal": "Cpu", "threshold": 90.0, "alert_type": "high_cpu", "severity": "warning", "firing": 0,
                "value": 12.54, "readings": [{"workload": "web", "firing": false, "condition": "False", "value": 12.54,
                "message": "web uses 12.5 % of a core"}]},
            {"name": "disk", "signal": "HostDisk", "threshold": 90.0, "alert_type": "full_disk", "severity": "critical",
                "firing": 1, "value": 97.0, "readings": [{"firing": true, "condition": "True", "value": 97.0,
                "message": "the engine's file system is full to 97 %"}]},
            {"name": "slo", "objective": 99.9, "alert_type": "burn", "severity": "critical", "firing": 0, "readings": []}]))
        .unwrap(),
        incidents: vec![incident("RESOLVED", 0, Some(60)), incident("VERIFYING", 90, None)],
        runbook: serde_json::from_value(json!({"total": 1, "entries": [{"incident_id": "INC-0",
            "alert_type": "memory_leak", "root_cause": "it leaked", "action": "RESTART",
            "container_name": "web"}]}))
        .unwrap(),
    }
}

fn pages() -> Pages {
    Pages::new(&Args::parse_from(["aegis-dashboard"])).unwrap()
}

#[test]
fn the_page_shows_state_incidents_load_runbook_and_time_saved() {
    let board = Board::default();
    board.take(Ok(seen()), at(100));
    let html = pages().render(&board.known(), false, at(101)).unwrap();
    for wanted in [
        "<title>AegisOps: 1 open</title>",
        "12.5 %",
        "50.0 %",
        "<polyline points=\"180.0,",
        "VERIFYING",
        "14 min 0 s",
        "it leaked",
        "firing for 1",
        "full to 97 %",
        "12.5 % of a core",
        "objective 99.9 %",
        "http-equiv=\"refresh\" content=\"5\"",
    ] {
        assert!(html.contains(wanted), "{wanted} is not in {html}");
    }
    assert!(!html.contains("<script") && !html.contains("style="), "{html}");
    assert!(!html.contains("away"), "{html}");
    let place = |text: &str| html.find(text).unwrap();
    assert!(
        place("<bdi>disk</bdi>") < place("<bdi>cpu</bdi>"),
        "what fires comes first: {html}"
    );
}

#[test]
fn a_page_that_stands_still_does_not_load_itself_again() {
    let html = pages().render(&Board::default().known(), true, at(0)).unwrap();
    assert!(!html.contains("http-equiv=\"refresh\""), "{html}");
}

#[test]
fn a_controller_that_is_away_is_said_with_its_time_and_the_last_state_is_marked_as_old() {
    let board = Board::default();
    board.take(Err(anyhow::anyhow!("connection refused")), at(0));
    let html = pages().render(&board.known(), false, at(3)).unwrap();
    assert!(
        html.contains("away since") && html.contains("connection refused"),
        "{html}"
    );
    assert!(!html.contains("<table"), "nothing is known yet: {html}");

    board.take(Ok(seen()), at(100));
    board.take(Err(anyhow::anyhow!("connection refused")), at(160));
    let html = pages().render(&board.known(), false, at(190)).unwrap();
    for wanted in [
        "the controller is away</title>",
        "2026-01-31 12:02:40 UTC",
        "30 s ago",
        "class=\"old\"",
        "What follows is old",
        "2026-01-31 12:01:40 UTC",
        "it leaked",
    ] {
        assert!(html.contains(wanted), "{wanted} is not in {html}");
    }
}

#[test]
fn a_controller_that_cannot_do_its_work_says_why() {
    let board = Board::default();
    let unready = Some("docker: cannot connect".to_owned());
    board.take(Ok(Seen { unready, ..seen() }), at(0));
    let html = pages().render(&board.known(), false, at(0)).unwrap();
    assert!(
        html.contains("not ready") && html.contains("docker: cannot connect"),
        "{html}"
    );
}

#[test]
fn what_comes_from_outside_is_text_and_never_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}";
    let mut seen = seen();
    seen.health.version = evil.to_owned();
    seen.unready = Some(evil.to_owned());
    seen.containers[0].name = evil.to_owned();
    seen.containers[0].status = serde_json::from_value(evil.into()).unwrap();
    seen.containers[0].image = evil.to_owned();
    seen.metrics[0].name = evil.to_owned();
    seen.detectors[0].name = evil.to_owned();
    seen.detectors[0].alert_type = evil.to_owned();
    seen.detectors[0].readings[0].message = evil.to_owned();
    seen.detectors[0].readings[0].workload = Some(evil.to_owned());
    for incident in &mut seen.incidents {
        incident.incident_id = evil.to_owned();
        incident.alert_type = evil.to_owned();
        incident.error = Some(evil.to_owned());
        incident.analysis.as_mut().unwrap().root_cause = evil.to_owned();
    }
    seen.runbook.entries[0].alert_type = evil.to_owned();
    seen.runbook.entries[0].root_cause = evil.to_owned();
    seen.runbook.entries[0].container_name = evil.to_owned();
    let board = Board::default();
    board.take(Ok(seen), at(0));
    board.take(Err(anyhow::anyhow!(evil)), at(1));
    let html = pages().render(&board.known(), false, at(0)).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(
        html.contains("&lt;script&gt;") && html.contains("{{ 7 * 7 }}"),
        "{html}"
    );
}

#[test]
fn a_long_history_is_bounded_and_says_how_much_is_not_shown() {
    let mut seen = seen();
    seen.incidents = (0..80).map(|_| incident("RESOLVED", 0, Some(60))).collect();
    let board = Board::default();
    board.take(Ok(seen), at(0));
    let html = pages().render(&board.known(), false, at(0)).unwrap();
    assert_eq!(html.matches("INC-1").count(), 50);
    assert!(html.contains("30 older"), "{html}");
}
