//! Every stage within Slack's limits, also of an incident that is made to break them.

use aegis_api::incident::IncidentStatus;
use serde_json::json;

use super::*;

const STAGES: [Stage; 24] = [
    Stage::Received,
    Stage::Held,
    Stage::EvidenceCollected,
    Stage::RagRetrieval,
    Stage::Analysing,
    Stage::AiComplete,
    Stage::CouncilReview,
    Stage::CouncilVote,
    Stage::CouncilDecision,
    Stage::PolicyGate,
    Stage::AwaitingApproval,
    Stage::Approved,
    Stage::Executing,
    Stage::Scaling,
    Stage::Scaled,
    Stage::LbConfigured,
    Stage::Restarted,
    Stage::ScaledDown,
    Stage::RolledBack,
    Stage::Noop,
    Stage::Verifying,
    Stage::Fallback,
    Stage::Resolved,
    Stage::Failed,
];

/// An incident whose timeline has these entries, one a second.
pub(crate) fn incident(uid: &str, text: &str, stages: &[Stage]) -> Incident {
    let timeline: Vec<_> = stages
        .iter()
        .enumerate()
        .map(|(second, stage)| {
            json!({"ts": format!("2026-05-01T10:00:{second:02}Z"), "status": stage, "message": text})
        })
        .collect();
    let ended = stages
        .iter()
        .any(|stage| matches!(stage, Stage::Resolved | Stage::Failed));
    let vote = |role| json!({"role": role, "verdict": "APPROVED", "reasoning": text, "timestamp": "2026-05-01T10:00:00Z"});
    let status = json!({
        "phase": if ended { "RESOLVED" } else { "ANALYSING" },
        "workload": "web",
        "timeline": timeline,
        "finishedAt": ended.then_some("2036-05-01T10:01:00Z"),
        "error": text,
        "analysis": {
            "proposal": {"rootCause": text, "action": "RESTART", "justification": text, "confidence": 0.9},
            "reasoning": "", "provider": "builtin", "model": text, "latencyMs": 1, "at": "2026-05-01T10:00:00Z",
        },
        "council": {
            "votes": [vote("SRE_AGENT"), vote("SECURITY_OFFICER"), vote("AUDITOR")],
            "finalVerdict": "APPROVED", "consensus": "3/3 approved", "summary": text,
        },
        "plan": {"hash": "abc", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {}, "createdAt": "2026-05-01T10:00:00Z"},
        "execution": {"containers": vec![text; 200]},
    });
    let status: IncidentStatus = serde_json::from_value(status).unwrap();
    let whole = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident",
        "metadata": {"name": format!("inc-{uid}"), "uid": uid, "creationTimestamp": "2026-05-01T10:00:00Z"},
        "spec": {"workloadRef": "web", "alertType": "MEMORY_LEAK", "logs": text, "severity": "critical"},
    });
    let mut made: Incident = serde_json::from_value(whole).unwrap();
    made.spec.alert_type = text.to_owned();
    made.status = Some(status);
    made
}

fn texts<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            if object.contains_key("text") && object.get("type").is_some_and(|kind| kind == "plain_text") {
                out.push(value);
            }
            object.values().for_each(|value| texts(value, out));
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, out)),
        _ => {}
    }
}

/// The limits of Block Kit, as Slack documents them.
fn check(card: &Value) {
    let length = |value: &Value| value.as_str().unwrap_or_default().chars().count();
    let blocks = card.pointer("/blocks").and_then(Value::as_array).unwrap();
    assert!(
        !blocks.is_empty() && blocks.len() <= 50,
        "{} blocks",
        blocks.len()
    );
    assert!(length(card.pointer("/text").unwrap()) <= 3_000);
    for block in blocks {
        match block.pointer("/type").and_then(Value::as_str) {
            Some("header") => assert!((1..=150).contains(&length(block.pointer("/text/text").unwrap()))),
            Some("section") => {
                let text = block.pointer("/text/text").map(length);
                assert!(text.is_none_or(|text| (1..=3_000).contains(&text)), "{text:?}");
                let fields = block.pointer("/fields").and_then(Value::as_array);
                assert!(text.is_some() || fields.is_some());
                for field in fields.into_iter().flatten() {
                    assert!((1..=2_000).contains(&length(field.pointer("/text").unwrap())));
                }
                assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())));
            }
            Some("context") => assert_eq!(
                block
                    .pointer("/elements")
                    .and_then(Value::as_array)
                    .unwrap()
                    .len(),
                1
            ),
            other => panic!("no such block here: {other:?}"),
        }
    }
}

#[test]
fn every_stage_stays_within_slack_s_limits_whatever_the_incident_says() {
    let hostile = [
        String::new(),
        "x".repeat(5_000),
        "<!channel> & <@U1> ".repeat(500),
        "``` *bold* _it_ ~no~ [a](b) > quote".repeat(200),
        "\u{202e}\u{200f}שלום".repeat(800),
        "🔥".repeat(4_000),
        "\u{1b}[31m\0\n".repeat(900),
    ];
    for text in &hostile {
        let incident = incident("u", text, &STAGES);
        for entry in &incident.status.as_ref().unwrap().timeline {
            check(&card(&incident, entry));
        }
    }
    check(&dropped(7));
}

#[test]
fn what_an_incident_says_is_shown_as_plain_text_and_mentions_no_user() {
    let incident = incident("u", "<!channel> password=hunter2", &STAGES);
    for entry in &incident.status.as_ref().unwrap().timeline {
        let card = card(&incident, entry);
        let whole = card.to_string();
        assert!(
            !whole.contains("<!channel>") && !whole.contains("hunter2"),
            "{whole}"
        );
        assert!(!whole.contains("mrkdwn"), "{whole}");
        let mut found = Vec::new();
        texts(&card, &mut found);
        assert!(
            found
                .iter()
                .all(|text| text.pointer("/emoji") == Some(&json!(false)))
        );
    }
}

#[test]
fn the_decision_shows_cause_action_votes_and_verdict() {
    let incident = incident("u", "a leak in the cache", &[Stage::CouncilDecision]);
    let entry = incident.status.as_ref().unwrap().timeline.first().unwrap();
    let whole = card(&incident, entry).to_string();
    for part in [
        "Root cause: a leak",
        "RESTART",
        "90 %",
        "AUDITOR APPROVED",
        "APPROVED (3/3 approved)",
    ] {
        assert!(whole.contains(part), "{part} is missing: {whole}");
    }
}

#[test]
fn a_plan_that_requires_approval_says_how_to_decide() {
    let incident = incident("u", "quorum not reached", &[Stage::AwaitingApproval]);
    let entry = incident.status.as_ref().unwrap().timeline.first().unwrap();
    let whole = card(&incident, entry).to_string();
    assert!(whole.contains("aegisctl approve incident/inc-u"), "{whole}");
    assert!(whole.contains("quorum not reached"), "{whole}");
}
