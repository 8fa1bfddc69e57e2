//! What the runbook knows well enough is decided without a model; anything short of that is put before one.

use aegis_api::RunbookEntrySpec;
use aegis_api::policy::{RUNBOOK, RunbookTerms};
use aegis_api::runbook::Outcomes;

use super::scripted::{Scripted, text};
use super::*;
use crate::case::Recalled;

/// An entry with these outcomes.
fn recalled(name: &str, action: Action, score: f64, outcomes: Outcomes) -> Recalled {
    let entry = RunbookEntrySpec {
        outcomes,
        ..serde_json::from_value(serde_json::json!({
            "incidentId": "old", "alertType": "HIGH_MEMORY", "rootCause": "a leak", "action": action, "confidence": 0.9
        }))
        .unwrap()
    };
    Recalled {
        name: name.into(),
        trust: entry.outcomes.trust(),
        entry,
        score,
    }
}

fn outcomes(successes: u32, failures: u32, failures_since_success: u32) -> Outcomes {
    Outcomes {
        successes,
        failures,
        failures_since_success,
        ..Outcomes::default()
    }
}

/// What is known well: RESTART helped nine times.
fn known() -> Case {
    Case {
        recalled: vec![recalled("rb-7", Action::Restart, 0.92, outcomes(9, 0, 0))],
        ..case()
    }
}

/// Who decided, and how often the model was asked.
async fn decided(case: &Case) -> (Analysis, usize) {
    let model = Scripted::new("one", [text(RESTART)]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let mut screen = Screen::default();
    let analysis = brain
        .analyse(case, &mut |chunk| screen.show(chunk))
        .await
        .unwrap();
    assert_eq!(screen.text, analysis.reasoning);
    (analysis, model.asked().len())
}

#[tokio::test]
async fn a_known_incident_is_decided_by_its_entry_without_a_token_and_says_which_it_is() {
    let (analysis, asked) = decided(&known()).await;
    assert_eq!(
        (analysis.provider.as_str(), analysis.model.as_str()),
        (RUNBOOK, "rb-7")
    );
    assert_eq!((asked, analysis.tokens, &analysis.prompt_hash), (0, 0, &None));
    assert_eq!(analysis.proposal.action, Action::Restart);
    let record =
        "Runbook entry rb-7 is 92 % similar and 91 % trusted: RESTART helped 9 times and never failed.";
    assert!(
        analysis.proposal.justification.starts_with(record),
        "{analysis:#?}"
    );
    let opening = format!("This is known, so no model is asked. {record} The evidence calls for the same");
    assert!(analysis.reasoning.starts_with(&opening), "{}", analysis.reasoning);
    assert!(
        analysis.reasoning.contains("250 of 256 MiB"),
        "{}",
        analysis.reasoning
    );

    let mut failed_long_ago = known();
    failed_long_ago.recalled = vec![recalled("rb-7", Action::Restart, 0.92, outcomes(20, 1, 0))];
    let (analysis, _) = decided(&failed_long_ago).await;
    let record = "RESTART helped 20 times and failed 1 times, not since it last helped.";
    assert!(analysis.proposal.justification.contains(record), "{analysis:#?}");

    let mut came_back = known();
    let relapsed = Outcomes {
        relapses: 1,
        ..outcomes(20, 0, 0)
    };
    came_back.recalled = vec![recalled("rb-7", Action::Restart, 0.92, relapsed)];
    let (analysis, _) = decided(&came_back).await;
    let record =
        "RESTART helped 20 times and came back 1 times within the relapse window, not since it last helped.";
    assert!(analysis.proposal.justification.contains(record), "{analysis:#?}");
}

#[tokio::test]
async fn the_rules_review_what_the_runbook_decided_and_no_model_is_asked_for_a_vote() {
    let model = Scripted::new("one", [text("no")]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let mut analysis = brain.analyse(&known(), &mut |_| {}).await.unwrap();
    for seat in [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor] {
        let vote = brain.review(seat, &known(), &analysis, &[]).await;
        assert_eq!(
            (vote.verdict, vote.asked),
            (Verdict::Approved, None),
            "{}",
            vote.reasoning
        );
    }
    // What is seen when the vote is taken counts, not what was seen when it was proposed.
    analysis.proposal.action = Action::Rollback;
    let vote = brain.review(Seat::Auditor, &known(), &analysis, &[]).await;
    assert_eq!(vote.verdict, Verdict::Rejected);
    assert_eq!(model.asked().len(), 0);
}

#[tokio::test]
async fn whatever_is_short_of_known_is_put_before_the_model() {
    let with = |edit: &dyn Fn(&mut Case)| {
        let mut case = known();
        edit(&mut case);
        case
    };
    let entry = |it: Recalled| with(&|case| case.recalled = vec![it.clone()]);
    let nine = || outcomes(9, 0, 0);
    let short = [
        ("nothing is recalled", with(&|case| case.recalled.clear())),
        (
            "too little trust",
            entry(recalled("rb-7", Action::Restart, 0.92, outcomes(7, 0, 0))),
        ),
        (
            "not similar enough",
            entry(recalled("rb-7", Action::Restart, 0.79, nine())),
        ),
        (
            "failed since it last helped",
            entry(recalled("rb-7", Action::Restart, 0.92, outcomes(90, 1, 1))),
        ),
        (
            "it came back since it last helped",
            entry(recalled(
                "rb-7",
                Action::Restart,
                0.92,
                Outcomes {
                    relapses: 1,
                    ..outcomes(90, 0, 1)
                },
            )),
        ),
        (
            "nothing of it is settled",
            entry(Recalled {
                trust: 1.0,
                ..recalled(
                    "rb-7",
                    Action::Restart,
                    0.92,
                    Outcomes {
                        provisional: vec!["a".into(), "b".into()],
                        ..outcomes(0, 0, 0)
                    },
                )
            }),
        ),
        (
            "the evidence calls for something else",
            entry(recalled("rb-7", Action::ScaleUp, 0.92, nine())),
        ),
        (
            "doing nothing is no fix",
            entry(recalled("rb-7", Action::Noop, 0.92, nine())),
        ),
        (
            "another as similar calls for something else",
            with(&|case| {
                case.recalled
                    .push(recalled("rb-8", Action::Rollback, 0.85, outcomes(1, 0, 0)));
            }),
        ),
        (
            "the policy never lets the runbook decide",
            with(&|case| {
                case.terms = RunbookTerms {
                    trust: 1.0,
                    ..case.terms
                }
            }),
        ),
        (
            "the policy requires more similarity",
            with(&|case| {
                case.terms = RunbookTerms {
                    similarity: 0.95,
                    ..case.terms
                }
            }),
        ),
        (
            "the Security Officer rejects",
            with(&|case| case.protected = true),
        ),
        (
            "the Auditor is unsure",
            with(&|case| case.evidence.gaps = vec!["the log of web-1".into()]),
        ),
        (
            "it was tried in this incident",
            with(&|case| {
                case.tried = vec![aegis_api::incident::Tried {
                    action: Action::Restart,
                    plan_hash: "h".into(),
                    error: "e".into(),
                    applied_at: None,
                    generation: None,
                    withdrawn: None,
                }];
            }),
        ),
    ];
    for (why, case) in short {
        let (analysis, asked) = decided(&case).await;
        assert_eq!((analysis.provider.as_str(), asked), ("one", 1), "{why}");
    }
}

#[tokio::test]
async fn an_entry_that_is_trusted_decides_even_where_a_more_similar_one_is_not() {
    let mut case = known();
    case.recalled
        .insert(0, recalled("rb-1", Action::Restart, 0.99, outcomes(1, 0, 0)));
    let (analysis, _) = decided(&case).await;
    assert_eq!(analysis.model, "rb-7");
}

#[tokio::test]
async fn i11_a_text_that_resembles_an_entry_saves_a_question_and_steers_nothing() {
    let mut healthy = known();
    healthy.evidence.containers[0].health = aegis_api::workload::Health::Healthy;
    healthy.evidence.containers[0].memory_bytes = Some(10 << 20);
    healthy.evidence.ready_replicas = 1;
    for action in [
        Action::Restart,
        Action::ScaleUp,
        Action::ScaleDown,
        Action::Rollback,
    ] {
        healthy.recalled = vec![recalled("rb-7", action, 1.0, outcomes(1000, 0, 0))];
        let (analysis, asked) = decided(&healthy).await;
        assert_eq!((analysis.provider.as_str(), asked), ("one", 1), "{action}");
    }
}

#[tokio::test]
async fn metrics_count_what_the_runbook_decided_under_one_name_whichever_entry_it_was() {
    let (analysis, _) = decided(&known()).await;
    let answered = crate::observer::Answered::analysis(&analysis, &[]);
    assert_eq!((answered.by, answered.tokens), (Some((RUNBOOK, "entry")), 0));
}
