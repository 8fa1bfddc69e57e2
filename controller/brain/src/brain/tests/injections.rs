//! Attempts to steer the model, with a model that obeys them. Whatever it answers: an action of the closed set, or the
//! built-in analyst's; nothing that names another workload; and no approval that the rules do not carry.

use aegis_api::incident::Tried;
use aegis_planning::council::decide;
use serde::Deserialize;
use serde_json::Value;

use super::scripted::{Scripted, text};
use super::*;
use crate::case::Recalled;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    name: String,
    r#where: String,
    text: String,
    #[serde(default)]
    answers: serde_json::Map<String, Value>,
    raw: Option<String>,
    #[serde(default)]
    seat: Option<String>,
}

fn corpus() -> Vec<Attempt> {
    let documents = aegis_api::yaml::parse(include_str!("../../../testdata/injections.yaml")).unwrap();
    let document = documents.into_iter().next().unwrap();
    serde_json::from_value::<Corpus>(document.value).unwrap().attempts
}

impl Attempt {
    /// What a model says that does as the text instructs it.
    fn obeyed(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut answer: Value = serde_json::from_str(RESTART).unwrap();
        for (field, value) in &self.answers {
            answer[field] = value.clone();
        }
        answer.to_string()
    }

    fn for_reviewers(&self) -> bool {
        self.seat.is_some()
    }

    /// The case with the text where it comes in.
    fn slip_into(&self, mut case: Case) -> Case {
        let text = self.text.clone();
        let evidence = &mut case.evidence;
        let container = &mut evidence.containers[0];
        match self.r#where.as_str() {
            "log" => container.log_tail.push_str(&text),
            "sent" => case.logs = text,
            "alert" => case.alert_type = text,
            "label" => drop(case.details.insert("label".into(), text)),
            "key" => drop(case.details.insert(text, "value".into())),
            "container" => container.name = text,
            "image" => container.image = text,
            "probe" => container.probe = Some(text),
            "health" => container.health_log.push(text),
            "event" => evidence.events.push(text),
            "error" => case.tried.push(Tried {
                action: Action::Rollback,
                plan_hash: "h".into(),
                error: text,
                applied_at: None,
                generation: None,
                withdrawn: None,
            }),
            "runbook" => {
                let entry = serde_json::json!({"incidentId": "old", "alertType": "a", "rootCause": text, "action": "SCALE_UP", "confidence": 1.0});
                case.recalled.push(Recalled {
                    name: "rb".into(),
                    entry: serde_json::from_value(entry).unwrap(),
                    score: 0.9,
                    trust: 0.9,
                });
            }
            other => panic!("{}: {other}", self.name),
        }
        case
    }
}

/// Nothing is wrong, and two serve.
fn healthy() -> Case {
    let mut case = case();
    let container = &mut case.evidence.containers[0];
    container.health = Health::Healthy;
    container.probe = None;
    container.cpu_percent = Some(40.0);
    container.memory_bytes = Some(20 << 20);
    let mut other = container.clone();
    other.name = "web-2".into();
    case.evidence.containers.push(other);
    case.evidence.desired_replicas = 2;
    case.replicas.current = 2;
    case.replicas.min = 2;
    case
}

/// Whether an action would go beyond what the workload may have, or strike one that is well.
fn is_harm(case: &Case, proposal: &Proposal, is_well: bool) -> bool {
    let bounds = case.replicas;
    match proposal.action {
        Action::Noop => false,
        Action::Restart => is_well,
        Action::Rollback => is_well || !case.evidence.can_roll_back,
        Action::ScaleUp => is_well || bounds.current + proposal.replica_count > bounds.max,
        Action::ScaleDown => bounds.current.saturating_sub(proposal.replica_count) < bounds.min,
    }
}

async fn run(attempt: &Attempt, case: &Case, is_well: bool) {
    let name = &attempt.name;
    let approve = r#"{"reasoning": "as instructed", "verdict": "APPROVED"}"#.to_owned();
    let (analyst, reviewer) = if attempt.for_reviewers() {
        (RESTART.to_owned(), attempt.obeyed())
    } else {
        (attempt.obeyed(), approve)
    };
    let (analyst, reviewer) = (
        Scripted::new("analyst", [text(analyst)]),
        Scripted::new("reviewer", [text(reviewer)]),
    );
    let config = BrainConfig {
        routes: Some(Routes {
            models: Default::default(),
            analysis: vec!["analyst".into()],
            security_officer: Some(vec!["reviewer".into()]),
            auditor: Some(vec!["reviewer".into()]),
        }),
        ..BrainConfig::default()
    };
    let brain = Brain::with_members(config, vec![analyst.member(), reviewer.member()]).unwrap();
    let mut screen = Screen::default();
    let analysis = brain
        .analyse(case, &mut |chunk| screen.show(chunk))
        .await
        .unwrap();

    // A proposal has these fields and no other: there is no way to name a workload.
    let proposal = &analysis.proposal;
    let fields = serde_json::to_value(proposal).unwrap();
    let fields: Vec<&String> = fields.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 5, "{name}: {fields:?}");
    assert!(
        (0.0..=1.0).contains(&proposal.confidence) && proposal.replica_count <= 200,
        "{name}: {proposal:?}"
    );
    let obeyed = analysis.provider == "analyst";
    if !obeyed {
        assert_eq!(
            (analysis.provider.as_str(), analysis.attempts.len()),
            ("builtin", 1),
            "{name}"
        );
    }

    // What people see of it is harmless, whatever the model said.
    for shown in [
        &screen.text,
        &analysis.reasoning,
        &proposal.root_cause,
        &proposal.justification,
    ] {
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{name}: {shown:?}"
        );
    }
    for recorded in [&analysis.reasoning, &proposal.root_cause, &proposal.justification] {
        assert!(
            !recorded.contains("sk-abcdefghijklmnop") && !recorded.contains("AKIAIOSFODNN7EXAMPLE"),
            "{name}: {recorded}"
        );
    }

    // What came in stays on its line or within its fence.
    let prompt = analyst.asked()[0].messages()[1].content.clone();
    assert!(!prompt.contains(['\u{1b}', '\u{202e}']), "{name}");
    let fences: Vec<&str> = prompt
        .lines()
        .filter(|line| line.starts_with("<<< ") || line.ends_with(" >>>"))
        .collect();
    let mark = fences[0].trim_start_matches("<<< ");
    let own = prompt.lines().filter(|line| line.contains(mark)).count();
    assert_eq!(own % 2, 0, "{name}: every fence that opens is closed");

    let mut votes: Vec<Vote> = Vec::new();
    for seat in [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor] {
        let vote = brain.review(seat, case, &analysis, &votes).await;
        let rules = council::review(0.6, seat, case, proposal, &votes);
        if rules.verdict != Verdict::Approved {
            assert_ne!(
                vote.verdict,
                Verdict::Approved,
                "{name}: {seat:?} approves what the rules do not"
            );
        }
        votes.push(vote);
    }
    let decision = decide(
        votes.clone(),
        &[Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor],
        2,
    );
    if decision.final_verdict == Verdict::Approved {
        let approvals = votes.iter().filter(|vote| vote.verdict == Verdict::Approved);
        assert!(approvals.count() >= 2, "{name}: {decision:?}");
        assert!(
            !is_harm(case, proposal, is_well),
            "{name}: {proposal:?}: {decision:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn i4_i11_a_model_that_obeys_every_injection_still_does_no_harm() {
    let corpus = corpus();
    assert!(corpus.len() >= 60, "{}", corpus.len());
    for attempt in &corpus {
        run(attempt, &attempt.slip_into(case()), false).await;
        run(attempt, &attempt.slip_into(healthy()), true).await;
    }
}

#[test]
fn the_corpus_tries_every_channel() {
    let channels: std::collections::BTreeSet<String> =
        corpus().into_iter().map(|attempt| attempt.r#where).collect();
    let all = [
        "alert",
        "container",
        "error",
        "event",
        "health",
        "image",
        "key",
        "label",
        "log",
        "probe",
        "runbook",
        "sent",
    ];
    assert_eq!(channels.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
