//! A known incident, through the whole pipeline: decided by the runbook without a model, and on its account.

use std::collections::HashMap;

use aegis_api::policy::RUNBOOK;
use aegis_api::{ConditionType, Phase, RunbookEntry, condition};
use aegis_docker_fake::{Ailment, Cure, Symptom};
use serde_json::{Value, json};

use super::harness::{Harness, brain, saying, scripted_model};
use super::*;

const LOGS: &str = "worker pool exhausted, queue of jobs stuck behind lock, no worker answers requests";

async fn harness() -> Harness {
    let restart = json!({"root_cause": "it hangs", "action": "RESTART", "justification": "so", "confidence": 0.9, "replica_count": 0});
    let approve = json!({"reasoning": "fine", "verdict": "APPROVED"});
    let script = HashMap::from([
        ("a".to_owned(), restart.to_string()),
        ("r".to_owned(), approve.to_string()),
    ]);
    let url = scripted_model(script).await;
    let policy = json!({"cooldown": "0s", "verification": {"deadline": "300ms"}});
    let harness = Harness::open("app", &policy, saying(&brain(&url), "a", "r")).await;
    for (name, logs, successes) in [
        // The most similar one is not trusted yet; the other is.
        ("rb-new", LOGS.to_owned(), 1),
        ("rb-known", format!("{LOGS} again"), 9),
    ] {
        let spec = json!({
            "incidentId": name, "alertType": "STUCK", "logs": logs, "rootCause": "lock", "action": "RESTART",
            "confidence": 0.9, "outcomes": {"successes": successes},
        });
        harness.apply("RunbookEntry", name, &spec).await.unwrap();
    }
    harness
}

/// The same, with a policy of the workload's own.
async fn harness_under(policy: &Value) -> Harness {
    let harness = harness().await;
    harness
        .apply("RemediationPolicy", "careful", policy)
        .await
        .unwrap();
    harness
}

/// An incident of a workload that this ailment befell, once it is over.
async fn incident(harness: &Harness, name: &str, cure: Cure) -> IncidentStatus {
    harness
        .engine
        .ail("app", Ailment::new(Symptom::Unhealthy, cure))
        .unwrap();
    let spec = json!({"workloadRef": "web", "alertType": "STUCK", "logs": LOGS});
    harness.apply("Incident", name, &spec).await.unwrap();
    harness.drive(name).await.status.unwrap()
}

fn outcomes(harness: &Harness, entry: &str) -> (u32, u32) {
    let entry = harness.context.store.get::<RunbookEntry>(entry).unwrap();
    (entry.spec.outcomes.successes, entry.spec.outcomes.failures)
}

#[tokio::test]
async fn a_known_incident_is_decided_and_resolved_without_a_token_until_the_fix_fails_which_is_the_entrys_fault()
 {
    let harness = harness().await;
    let status = incident(&harness, "inc-1", Cure::Restart).await;
    assert_eq!(status.phase, Phase::Resolved, "{status:#?}");
    let analysis = status.analysis.unwrap();
    assert_eq!(
        (
            analysis.provider.as_str(),
            analysis.model.as_str(),
            analysis.tokens
        ),
        (RUNBOOK, "rb-known", 0),
        "{analysis:#?}"
    );
    let council = status.council.unwrap();
    assert_eq!(council.consensus, "3/3 approved");
    assert!(
        council.votes.iter().all(|vote| vote.asked.is_none()),
        "{council:#?}"
    );
    let allowed =
        aegis_api::condition::find(&status.conditions, aegis_api::ConditionType::PolicyAllows).unwrap();
    assert_eq!(allowed.status, "True", "{allowed:?}");
    assert_eq!(status.learned.as_deref(), Some("rb-known"));
    assert_eq!(
        (outcomes(&harness, "rb-known"), outcomes(&harness, "rb-new")),
        ((9, 0), (1, 0))
    );
    let known = harness.context.store.get::<RunbookEntry>("rb-known").unwrap();
    assert_eq!(
        known.spec.outcomes.provisional,
        ["inc-1"],
        "it may still come back"
    );

    let status = incident(&harness, "inc-2", Cure::Never).await;
    assert_eq!(status.phase, Phase::Failed, "{status:#?}");
    assert_eq!(status.analysis.unwrap().provider, RUNBOOK);
    assert_eq!(
        (status.relapse_of.as_deref(), status.relapses),
        (Some("inc-1"), 1)
    );
    assert_eq!(
        (outcomes(&harness, "rb-known"), outcomes(&harness, "rb-new")),
        ((9, 1), (1, 0))
    );
    // It came back, so it was no cure.
    let earlier = harness.drive("inc-1").await.status.unwrap();
    assert_eq!(
        (earlier.phase, earlier.relapsed_in.as_deref()),
        (Phase::Resolved, Some("inc-2"))
    );
    let known = harness.context.store.get::<RunbookEntry>("rb-known").unwrap();
    assert_eq!(
        (known.spec.outcomes.relapses, known.spec.outcomes.successes),
        (1, 9)
    );
    assert_eq!(known.spec.outcomes.provisional, [""; 0]);

    let status = incident(&harness, "inc-3", Cure::Never).await;
    assert_eq!(status.analysis.unwrap().provider, "analyst");
}

#[tokio::test]
async fn a_policy_that_wants_a_model_asked_every_time_is_obeyed() {
    let policy =
        json!({"workloads": {"names": ["web"]}, "cooldown": "0s", "analysis": {"runbook": {"trust": 1.0}}});
    let harness = harness_under(&policy).await;
    let status = incident(&harness, "inc-1", Cure::Restart).await;
    assert_eq!(status.analysis.unwrap().provider, "analyst");
}

#[tokio::test]
async fn what_the_runbook_decides_waits_for_a_human_where_the_policy_says_so() {
    let policy = json!({"workloads": {"names": ["web"]}, "cooldown": "0s", "mode": "Approve"});
    let harness = harness_under(&policy).await;
    let before = harness.actions().len();
    let status = incident(&harness, "inc-1", Cure::Restart).await;
    assert_eq!(status.analysis.unwrap().provider, RUNBOOK);
    assert_eq!(
        (status.phase, harness.actions().len()),
        (Phase::AwaitingApproval, before)
    );
}

#[tokio::test]
async fn i14_a_dry_run_ends_in_a_phase_of_its_own_with_what_would_have_been_done() {
    let policy = json!({"workloads": {"names": ["web"]}, "cooldown": "0s", "mode": "DryRun"});
    let harness = harness_under(&policy).await;
    let before = harness.actions().len();
    let status = incident(&harness, "inc-1", Cure::Restart).await;
    assert_eq!((status.phase, harness.actions().len()), (Phase::DryRun, before));
    assert_eq!((status.error, status.resolved_at), (None, None));
    let said = "dry run: would RESTART web; nothing was done";
    let executed = condition::find(&status.conditions, ConditionType::Executed).unwrap();
    assert_eq!(
        (
            executed.status.as_str(),
            executed.reason.as_str(),
            executed.message.as_str()
        ),
        ("False", "DryRun", said)
    );
    assert_eq!(status.timeline.last().unwrap().message, said);
    assert_eq!(status.plan.unwrap().action, Action::Restart);
}
