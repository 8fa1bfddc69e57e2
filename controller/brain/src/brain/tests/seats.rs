//! The reviewers' seats when models sit on them.

use aegis_api::proposal::CouncilDecision;
use aegis_planning::council::decide;

use super::scripted::{Say, Scripted, text};
use super::*;
use crate::provider::ProviderError;

const SEATS: [Seat; 3] = [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor];

fn ballot(verdict: &str) -> Say {
    text(format!(
        r#"{{"reasoning": "as I see it", "verdict": "{verdict}"}}"#
    ))
}

/// What can become of a seat's question, and what its vote is then.
fn outcomes() -> [(&'static str, Say, Verdict); 6] {
    let transport = ProviderError::Transport("refused".into());
    [
        ("approve", ballot("APPROVED"), Verdict::Approved),
        ("reject", ballot("REJECTED"), Verdict::Rejected),
        ("needs review", ballot("NEEDS_REVIEW"), Verdict::NeedsReview),
        ("error", Say::Fail(transport), Verdict::NeedsReview),
        ("timeout", Say::Hang, Verdict::NeedsReview),
        ("garbage", text("APPROVED, definitely!"), Verdict::NeedsReview),
    ]
}

/// What the proposer may think of its own proposal: it is sure of it, it cannot have made it, it is not sure.
fn proposers() -> [(f64, u32, Verdict); 3] {
    [
        (0.9, 0, Verdict::Approved),
        (0.9, 3, Verdict::Rejected),
        (0.3, 0, Verdict::NeedsReview),
    ]
}

async fn council(confidence: f64, count: u32, security: Say, auditor: Say) -> CouncilDecision {
    let (security, auditor) = (
        Scripted::new("security", [security]),
        Scripted::new("auditor", [auditor]),
    );
    let config = BrainConfig {
        routes: Some(Routes {
            models: Default::default(),
            analysis: Vec::new(),
            security_officer: Some(vec!["security".into()]),
            auditor: Some(vec!["auditor".into()]),
        }),
        ..BrainConfig::default()
    };
    let brain = Brain::with_members(config, vec![security.member(), auditor.member()]).unwrap();
    let analysis = by_model(confidence, count);
    let mut votes = Vec::new();
    for seat in SEATS {
        let vote = brain.review(seat, &case(), &analysis, &votes).await;
        votes.push(vote);
    }
    decide(votes, &SEATS, 2)
}

/// A proposal that the rules have nothing against.
fn by_model(confidence: f64, replica_count: u32) -> Analysis {
    Analysis {
        proposal: Proposal {
            confidence,
            replica_count,
            ..answer::proposal(RESTART).unwrap()
        },
        reasoning: String::new(),
        provider: "one".into(),
        model: "script".into(),
        tokens: 0,
        prompt_tokens: 0,
        completion_tokens: 0,
        latency_ms: 0,
        prompt_hash: None,
        attempts: Vec::new(),
        at: case().now,
    }
}

/// The whole table: each of three things the proposer may say, with each of six that may become of either reviewer.
/// One letter a pair, a row for the Security Officer's, a column for the Auditor's, in the order of [`outcomes`].
const TABLE: [(&str, [&str; 6]); 3] = [
    (
        "the proposer approves",
        ["AAAAAA", "ARNNNN", "ANNNNN", "ANNNNN", "ANNNNN", "ANNNNN"],
    ),
    (
        "the proposer rejects",
        ["ARNNNN", "RRRRRR", "NRNNNN", "NRNNNN", "NRNNNN", "NRNNNN"],
    ),
    (
        "the proposer is unsure",
        ["ANNNNN", "NRNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN"],
    ),
];

#[tokio::test(start_paused = true)]
async fn i5_every_combination_of_what_may_become_of_the_seats_has_its_verdict() {
    let mut combinations = 0;
    for ((confidence, count, own), (whose, rows)) in proposers().into_iter().zip(TABLE) {
        for ((security_is, security, security_says), row) in outcomes().into_iter().zip(rows) {
            for ((auditor_is, auditor, auditor_says), expected) in outcomes().into_iter().zip(row.chars()) {
                let decision = council(confidence, count, security.clone(), auditor).await;
                let expected = match expected {
                    'A' => Verdict::Approved,
                    'R' => Verdict::Rejected,
                    _ => Verdict::NeedsReview,
                };
                let name =
                    format!("{whose}, Security Officer: {security_is}, Auditor: {auditor_is}: {decision:?}");
                let votes: Vec<Verdict> = decision.votes.iter().map(|vote| vote.verdict).collect();
                assert_eq!(votes, [own, security_says, auditor_says], "{name}");
                assert_eq!(decision.final_verdict, expected, "{name}");
                combinations += 1;
            }
        }
    }
    assert_eq!(combinations, 108);
}

async fn one_vote(case: &Case, proposal: &Proposal, seat: Seat, say: Say) -> (Vote, Scripted) {
    let model = Scripted::new("one", [say]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let mut analysis = by_model(0.9, 0);
    analysis.proposal = proposal.clone();
    (brain.review(seat, case, &analysis, &[]).await, model)
}

#[tokio::test]
async fn i4_a_model_cannot_approve_what_the_rules_reject_and_is_not_even_asked() {
    let mut healthy = case();
    healthy.evidence.containers[0].health = Health::Healthy;
    healthy.evidence.containers[0].memory_bytes = Some(10 << 20);
    let restart = by_model(0.9, 0).proposal;
    for seat in [Seat::SecurityOfficer, Seat::Auditor] {
        let (vote, model) = one_vote(&healthy, &restart, seat, ballot("APPROVED")).await;
        assert_eq!(
            (vote.verdict, vote.asked, model.asked().len()),
            (Verdict::Rejected, None, 0)
        );
    }
    let mut protected = case();
    protected.protected = true;
    let (vote, _) = one_vote(&protected, &restart, Seat::SecurityOfficer, ballot("APPROVED")).await;
    assert_eq!(vote.verdict, Verdict::Rejected);
}

#[tokio::test]
async fn of_the_model_and_the_rules_the_stricter_counts() {
    let restart = by_model(0.9, 0).proposal;
    let mut gaps = case();
    gaps.evidence.gaps = vec!["the log of web-1".into()];
    let (vote, model) = one_vote(&gaps, &restart, Seat::Auditor, ballot("APPROVED")).await;
    assert_eq!((vote.verdict, model.asked().len()), (Verdict::NeedsReview, 1));
    assert!(
        vote.reasoning.contains("gaps: the log of web-1")
            && vote
                .reasoning
                .contains("The model would say APPROVED: as I see it")
    );
    let (vote, _) = one_vote(&gaps, &restart, Seat::Auditor, ballot("REJECTED")).await;
    assert_eq!(
        (vote.verdict, vote.reasoning.as_str()),
        (Verdict::Rejected, "as I see it")
    );
    let (vote, _) = one_vote(&case(), &restart, Seat::Auditor, ballot("APPROVED")).await;
    assert_eq!(
        (vote.verdict, vote.reasoning.as_str()),
        (Verdict::Approved, "as I see it")
    );
}

#[tokio::test]
async fn the_auditor_sees_the_security_review() {
    let model = Scripted::new("one", [ballot("NEEDS_REVIEW")]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let analysis = by_model(0.9, 0);
    let security = brain.review(Seat::SecurityOfficer, &case(), &analysis, &[]).await;
    let auditor = brain
        .review(Seat::Auditor, &case(), &analysis, std::slice::from_ref(&security))
        .await;
    let asked = model.asked();
    assert!(
        asked[0].messages()[0]
            .content
            .starts_with("You are the Security Officer")
    );
    assert!(asked[1].messages()[0].content.starts_with("You are the Auditor"));
    assert!(
        asked[1].messages()[1]
            .content
            .contains("- SECURITY_OFFICER: NEEDS_REVIEW, \"as I see it\"")
    );
    assert_eq!(auditor.asked.unwrap().prompt_hash, Some(asked[1].hash()));
}

#[tokio::test]
async fn on_what_the_built_in_analyst_proposes_the_rules_vote() {
    let model = Scripted::new("one", [Say::Fail(ProviderError::Refused("no".into()))]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let (analysis, _) = analyse(&brain).await;
    assert_eq!(analysis.provider, "builtin");
    let vote = brain.review(Seat::Auditor, &case(), &analysis, &[]).await;
    assert_eq!(
        (vote.verdict, vote.asked, model.asked().len()),
        (Verdict::Approved, None, 1)
    );
}

#[tokio::test]
async fn i13_what_a_persons_own_rule_recognises_is_a_symptom_to_every_seat() {
    let mut quiet = case();
    let container = &mut quiet.evidence.containers[0];
    container.health = Health::Healthy;
    container.memory_bytes = Some(10 << 20);
    container.log_tail = "the queue is stuck\n".to_owned();
    quiet.evidence.ready_replicas = 1;
    let votes = async |brain: &Brain, analysis: &Analysis| {
        let mut votes = Vec::new();
        for seat in SEATS {
            let vote = brain.review(seat, &quiet, analysis, &votes).await;
            votes.push(vote);
        }
        votes
    };
    let brain = Brain::new(BrainConfig::default()).unwrap();
    let text = "- {name: stuck, title: a stuck queue, when: [{symptoms: false}, {logLines: {anyOf: [queue is stuck], atLeast: 1}}], action: RESTART, confidence: 0.9, rootCause: x, justification: x}";
    brain.set_rules([RuleFile::parse("rules/own.yaml", text).unwrap()]);
    let analysis = brain.analyse(&quiet, &mut |_| {}).await.unwrap();
    assert_eq!(analysis.model, "stuck (rules/own.yaml)");
    for vote in votes(&brain, &analysis).await {
        assert_eq!(vote.verdict, Verdict::Approved, "{vote:?}");
    }
    // Without the rule the same proposal has nothing to stand on.
    brain.set_rules([]);
    let decision = decide(votes(&brain, &analysis).await, &SEATS, 2);
    assert_eq!(decision.final_verdict, Verdict::Rejected, "{decision:?}");
}

#[derive(Debug, Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl crate::observer::Observer for Heard {
    fn answered(&self, answered: &crate::observer::Answered<'_>) {
        let by = answered.by.map_or("none", |(provider, _)| provider);
        let failed = answered.attempts.len();
        let line = format!(
            "{} by {by}, {} tokens, {failed} failed",
            answered.purpose, answered.tokens
        );
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn the_observer_is_notified_of_every_answer() {
    let model = Scripted::new(
        "one",
        [
            text("no"),
            text("no"),
            text(RESTART),
            ballot("APPROVED"),
            text("no"),
        ],
    );
    let heard = Arc::new(Heard::default());
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let brain = brain.observed(heard.clone());
    analyse(&brain).await;
    let (analysis, _) = analyse(&brain).await;
    for seat in SEATS {
        brain.review(seat, &case(), &analysis, &[]).await;
    }
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "analysis by builtin, 0 tokens, 1 failed",
            "analysis by one, 1500 tokens, 0 failed",
            "security_officer by one, 1500 tokens, 0 failed",
            "auditor by none, 0 tokens, 1 failed",
        ]
    );
}
