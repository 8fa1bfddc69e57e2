//! Frames are replayed over the versions an incident goes through.

use super::*;
use aegis_api::wire::FrameType;
use serde_json::{Value, json};

fn incident(status: &Value) -> Incident {
    serde_json::from_value(json!({
        "apiVersion": aegis_api::API_VERSION, "kind": "Incident", "metadata": {"name": "inc-1"},
        "spec": {"containerName": "web", "alertType": "Memory Leak", "logs": "x".repeat(500),
            "source": {"incidentId": "INC-1"}},
        "status": status,
    }))
    .unwrap()
}

fn entry(second: u32, status: &str) -> Value {
    json!({"ts": format!("2026-01-31T12:00:{second:02}Z"), "status": status, "message": format!("m{second}")})
}

fn vote(role: &str) -> Value {
    json!({"role": role, "verdict": "APPROVED", "reasoning": "r", "timestamp": "2026-01-31T12:00:03Z"})
}

/// The versions of one incident, as a controller writes them.
fn versions() -> Vec<Value> {
    let mut status = json!({"phase": "RECEIVED", "timeline": [entry(0, "RECEIVED")]});
    let mut versions = vec![Value::Null, status.clone()];
    let mut step = |phase: &str, entries: &[Value], fields: Value| {
        status["phase"] = phase.into();
        status["timeline"]
            .as_array_mut()
            .unwrap()
            .extend_from_slice(entries);
        json_patch::merge(&mut status, &fields);
        versions.push(status.clone());
    };
    step(
        "ANALYSING",
        &[entry(1, "RAG_RETRIEVAL"), entry(1, "ANALYSING")],
        json!({}),
    );
    let proposal = json!({"rootCause": "c", "action": "SCALE_UP", "justification": "j", "confidence": 0.9, "replicaCount": 2});
    let analysis = json!({"proposal": proposal, "reasoning": "…", "provider": "builtin", "model": "m", "latencyMs": 1,
        "at": "2026-01-31T12:00:02Z"});
    step(
        "COUNCIL_REVIEW",
        &[entry(2, "AI_COMPLETE"), entry(2, "COUNCIL_REVIEW")],
        json!({"analysis": analysis}),
    );
    step(
        "COUNCIL_REVIEW",
        &[entry(3, "COUNCIL_VOTE")],
        json!({"votes": [vote("SRE_AGENT")]}),
    );
    let votes = json!([vote("SRE_AGENT"), vote("SECURITY_OFFICER"), vote("AUDITOR")]);
    let decision = json!({"votes": votes, "finalVerdict": "APPROVED", "consensus": "3/3", "summary": "s"});
    step(
        "APPROVED",
        &[
            entry(4, "COUNCIL_VOTE"),
            entry(4, "COUNCIL_VOTE"),
            entry(4, "COUNCIL_DECISION"),
            entry(4, "APPROVED"),
        ],
        json!({"votes": null, "council": decision, "plan": {"hash": "h", "action": "SCALE_UP", "target": "w",
            "parentGeneration": 1, "patch": {"replicas": 3}, "createdAt": "2026-01-31T12:00:04Z"}}),
    );
    step(
        "SCALING",
        &[entry(5, "EXECUTING"), entry(5, "SCALING")],
        json!({}),
    );
    let containers = json!(["web-replica-1", "web-replica-2"]);
    step(
        "VERIFYING",
        &[
            entry(6, "SCALED"),
            entry(6, "LB_CONFIGURED"),
            entry(6, "VERIFYING"),
        ],
        json!({"execution": {"containers": containers, "lbConfigured": true}}),
    );
    let attempt = |number: u32, healthy: bool| json!({"number": number, "at": "2026-01-31T12:00:07Z", "healthy": healthy, "message": "m"});
    step(
        "VERIFYING",
        &[],
        json!({"verification": {"attempts": [attempt(1, false)]}}),
    );
    step(
        "RESOLVED",
        &[entry(8, "RESOLVED")],
        json!({"verification": {"attempts": [attempt(1, false), attempt(2, true)]},
            "resolvedAt": "2026-01-31T12:00:08Z", "finishedAt": "2026-01-31T12:00:08Z"}),
    );
    versions
}

fn replay(versions: &[Value]) -> Vec<Draft> {
    let mut old: Option<Incident> = None;
    let mut drafts = Vec::new();
    for version in versions {
        let new = incident(version);
        drafts.extend(frames(old.as_ref(), &new));
        old = Some(new);
    }
    drafts
}

fn names(drafts: &[Draft]) -> Vec<String> {
    let name = |draft: &Draft| {
        let (kind, data) = (draft.frame.kind().as_str(), draft.frame.data());
        match data.get("status").and_then(Value::as_str) {
            Some(status) => format!("{kind} {status}"),
            None => kind.to_owned(),
        }
    };
    drafts.iter().map(name).collect()
}

#[test]
fn an_incident_s_life_is_published_in_the_order_in_which_it_happened() {
    let drafts = replay(&versions());
    assert_eq!(
        names(&drafts),
        [
            "incident.new",
            "status.update RECEIVED",
            "status.update RAG_RETRIEVAL",
            "status.update ANALYSING",
            "ai.thinking",
            "status.update AI_COMPLETE",
            "ai.complete",
            "status.update COUNCIL_REVIEW",
            "status.update COUNCIL_VOTE",
            "council.vote",
            "status.update COUNCIL_VOTE",
            "council.vote",
            "status.update COUNCIL_VOTE",
            "council.vote",
            "status.update COUNCIL_DECISION",
            "council.decision",
            "status.update APPROVED",
            "status.update EXECUTING",
            "status.update SCALING",
            "status.update SCALED",
            "docker.action",
            "docker.action",
            "scale.event",
            "status.update LB_CONFIGURED",
            "scale.event",
            "status.update VERIFYING",
            "health.check",
            "health.check",
            "status.update RESOLVED",
            "resolved",
        ]
    );
    assert!(drafts.iter().all(|draft| draft.incident_id == "INC-1"));
}

#[test]
fn the_frames_carry_what_the_contract_says() {
    let drafts = replay(&versions());
    let first = |kind: FrameType| {
        let found = drafts.iter().find(|draft| draft.frame.kind() == kind);
        found.unwrap().frame.data()
    };
    assert_eq!(
        first(FrameType::IncidentNew),
        json!({"incident_id": "INC-1", "alert_type": "Memory Leak", "logs": "x".repeat(200)})
    );
    assert_eq!(
        first(FrameType::AiThinking),
        json!({"incident_id": "INC-1", "message": "m1"})
    );
    assert_eq!(first(FrameType::AiComplete)["analysis"]["replica_count"], 2);
    assert_eq!(first(FrameType::CouncilVote)["vote"]["role"], "SRE_AGENT");
    assert_eq!(first(FrameType::CouncilDecision)["decision"]["consensus"], true);
    assert_eq!(
        first(FrameType::DockerAction),
        json!({"incident_id": "INC-1", "action": "SCALE_UP", "container": "web-replica-1"})
    );
    assert_eq!(
        first(FrameType::ScaleEvent),
        json!({"incident_id": "INC-1", "event": {"container_base": "web", "replica_count": 2,
            "replicas": ["web-replica-1", "web-replica-2"], "lb_configured": true, "timestamp": "2026-01-31T12:00:06Z"}})
    );
    assert_eq!(
        first(FrameType::HealthCheck),
        json!({"incident_id": "INC-1", "attempt": 1, "healthy": false})
    );
    assert_eq!(
        first(FrameType::Resolved),
        json!({"incident_id": "INC-1", "resolved_at": "2026-01-31T12:00:08Z"})
    );
}

#[test]
fn versions_that_were_missed_lose_no_fact() {
    let all = versions();
    let whole = names(&replay(&all));
    for skipped in 1..all.len() - 1 {
        let mut some = all.clone();
        some.remove(skipped);
        let mut published = names(&replay(&some));
        published.sort();
        let mut expected = whole.clone();
        expected.sort();
        assert_eq!(published, expected, "without version {skipped}");
    }
}

#[test]
fn the_same_version_again_and_a_bounded_timeline_repeat_nothing() {
    let last = incident(&versions().pop().unwrap());
    assert!(frames(Some(&last), &last).is_empty());
    let mut bounded = last.clone();
    let status = bounded.status.as_mut().unwrap();
    status.timeline.drain(..5);
    status
        .timeline
        .push(serde_json::from_value(entry(9, "NOOP")).unwrap());
    assert_eq!(names(&frames(Some(&last), &bounded)), ["status.update NOOP"]);
}

#[test]
fn a_failure_says_why() {
    let old = incident(&json!({"phase": "VERIFYING"}));
    let new = incident(&json!({"phase": "FAILED", "error": "no quorum", "timeline": [entry(9, "FAILED")]}));
    let drafts = frames(Some(&old), &new);
    assert_eq!(names(&drafts), ["status.update FAILED", "failed"]);
    assert_eq!(
        drafts[1].frame.data(),
        json!({"incident_id": "INC-1", "error": "no quorum"})
    );
}

#[test]
fn a_dry_run_is_shown_as_nothing_done_and_then_as_resolved() {
    let old = incident(&json!({"phase": "COUNCIL_REVIEW"}));
    let new = incident(
        &json!({"phase": "DRY_RUN", "finishedAt": "2026-01-31T12:00:09Z", "timeline": [entry(9, "DRY_RUN")]}),
    );
    let drafts = frames(Some(&old), &new);
    assert_eq!(names(&drafts), ["status.update NOOP", "resolved"]);
    assert_eq!(
        drafts[1].frame.data(),
        json!({"incident_id": "INC-1", "resolved_at": "2026-01-31T12:00:09Z", "dry_run": true})
    );
}
