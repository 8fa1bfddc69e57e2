//! Every stage within Slack's limits, also of an incident that is made to break them.

use aegis_api::incident::IncidentStatus;
use serde_json::json;

use super::*;

const STAGES: [Stage; 25] = [
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
    Stage::DryRun,
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

/// Within every limit, also as the incident's own message, with buttons and with the longest link.
fn check(body: &Value) {
    assert_eq!(super::limits::broken(body), Vec::<String>::new(), "{body}");
}

fn look() -> Look {
    Look {
        cockpit: Some(format!("https://{}.example.org/", "x".repeat(200))),
        buttons: true,
        silences: true,
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
            check(&card(&incident, entry, &look()));
            check(&card(&incident, entry, &Look::default()));
        }
        for phase in aegis_api::incident::Phase::ALL {
            let mut incident = incident.clone();
            incident.status.as_mut().unwrap().phase = phase;
            check(&root::card(&incident, &look()));
            check(&root::card(&incident, &Look::default()));
        }
        check(&notice(&format!("7 were dropped {text}")));
    }
}

fn waiting() -> Incident {
    let mut incident = incident("u", "quorum not reached", &[Stage::AwaitingApproval]);
    incident.status.as_mut().unwrap().phase = aegis_api::incident::Phase::AwaitingApproval;
    incident
}

#[test]
fn the_buttons_of_the_incident_s_message_are_bound_to_its_plan_and_go_when_it_goes_on() {
    let mut incident = waiting();
    let whole = root::card(&incident, &look()).to_string();
    let value = r#"{\"i\":\"inc-u\",\"u\":\"u\",\"p\":\"abc\"}"#;
    assert_eq!(whole.matches(value).count(), 2, "{whole}");
    assert!(whole.contains("Silence 1 h"), "{whole}");
    assert!(whole.contains("/incidents/inc-u"), "{whole}");
    let bare = root::card(&incident, &Look::default()).to_string();
    assert!(
        !bare.contains("aegis.approve") && !bare.contains("aegis.open"),
        "{bare}"
    );
    incident.status.as_mut().unwrap().phase = aegis_api::incident::Phase::Executing;
    let later = root::card(&incident, &look()).to_string();
    assert!(later.contains("aegis.silence"), "{later}");
    assert!(
        !later.contains("aegis.approve") && later.contains("Being remedied"),
        "{later}"
    );
}

#[test]
fn what_an_incident_says_is_shown_as_plain_text_and_mentions_no_user() {
    let incident = incident("u", "<!channel> password=hunter2", &STAGES);
    for entry in &incident.status.as_ref().unwrap().timeline {
        let card = card(&incident, entry, &look());
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
    let whole = card(&incident, entry, &look()).to_string();
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
    let whole = card(&incident, entry, &look()).to_string();
    assert!(whole.contains("aegisctl approve incident/inc-u"), "{whole}");
    assert!(whole.contains("quorum not reached"), "{whole}");
}
