//! Models that take their time, and people who do: what is done then goes by what is measured then.

use aegis_api::IncidentSpec;
use aegis_api::incident::{Approval, ApprovalDecision};
use aegis_api::proposal::Action;

use super::relapses::for_policy_and;
use super::*;

/// Nothing is older than this when it is acted upon.
const RIGHT_BEFORE: Duration = Duration::from_secs(15);

fn approve() -> Value {
    json!({"workloads": {"names": ["web"]}, "mode": "Approve", "cooldown": "0s"})
}

impl Life {
    async fn until(&self, name: &str, phase: Phase, secs: u64) -> IncidentStatus {
        for _ in 0..secs {
            let status = self.of(name);
            if status.phase == phase {
                return status;
            }
            self.pass(1).await;
        }
        panic!("not {phase:?} within {secs} s: {:#?}", self.of(name));
    }

    pub(super) async fn approve(&self, name: &str, hash: &str) {
        let approval = Approval {
            decision: ApprovalDecision::Approve,
            by: "ada".to_owned(),
            plan_hash: hash.to_owned(),
        };
        let edit = move |incident: &Incident| -> Result<IncidentSpec, _> {
            let mut spec = incident.spec.clone();
            spec.approval = Some(approval.clone());
            Ok(spec)
        };
        self.context
            .store
            .edit_spec::<Incident, _>(name, edit)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn i13_a_model_of_90_s_a_seat_and_an_approval_after_20_minutes_act_on_what_is_measured_then() {
    let brain = Brain::insisting(Action::Restart, Duration::from_secs(90)).unwrap();
    let (life, _state) = for_policy_and(approve(), brain).await;
    let begun = life.restarts();
    life.leak();
    life.alert("leak", "MEMORY_LEAK").await;
    let asked = life.until("leak", Phase::AwaitingApproval, 600).await;
    let plan = asked.plan.clone().unwrap();
    life.pass(1_200).await;
    let still = life.of("leak");
    assert_eq!(still.phase, Phase::AwaitingApproval, "{still:#?}");
    assert_eq!(still.plan.as_ref().unwrap().hash, plan.hash, "nothing changed");
    let rounds = |status: &IncidentStatus| (status.started_over, status.analysis.as_ref().map(|it| it.at));
    assert_eq!(rounds(&still), rounds(&asked), "no further round is paid for");
    life.approve("leak", &plan.hash).await;
    let done = life.until("leak", Phase::Resolved, 120).await;
    assert_eq!(done.plan.as_ref().map(|plan| plan.action), Some(Action::Restart));
    let applied = done.execution.as_ref().and_then(|it| it.applied_at).unwrap();
    let measured = done.measured_at.unwrap();
    assert!(measured.age(applied) <= RIGHT_BEFORE, "{measured} and {applied}");
    assert_eq!(life.restarts(), begun + 1);
    assert!(rounds(&done).0 <= 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn i13_what_is_over_while_a_model_thinks_or_a_person_is_away_ends_without_an_action() {
    for away in [10, 150, 1_200] {
        let brain = Brain::insisting(Action::Restart, Duration::from_secs(90)).unwrap();
        let (life, _state) = for_policy_and(approve(), brain).await;
        let begun = life.restarts();
        let ailment =
            Ailment::new(Symptom::None, Cure::After(Duration::from_secs(away))).memory(LIMIT / 100 * 95);
        life.engine.ail("web", ailment).unwrap();
        life.alert("leak", "MEMORY_LEAK").await;
        if away > 600 {
            let asked = life.until("leak", Phase::AwaitingApproval, 600).await;
            life.pass(away).await;
            life.approve("leak", &asked.plan.unwrap().hash).await;
        }
        let status = life.until("leak", Phase::Resolved, 600).await;
        assert_eq!(
            status.plan.as_ref().map(|plan| plan.action),
            Some(Action::Noop),
            "{away}: {status:#?}"
        );
        assert_eq!(
            (status.learned.as_ref(), life.restarts()),
            (None, begun),
            "{away}"
        );
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn i13_a_model_that_insists_on_what_clears_nothing_asks_a_human() {
    for (action, takes) in [
        (Action::ScaleDown, 0),
        (Action::Restart, 20),
        (Action::Rollback, 90),
    ] {
        let brain = Brain::insisting(action, Duration::from_secs(takes)).unwrap();
        let policy = json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s"});
        let (life, _state) = for_policy_and(policy, brain).await;
        let (begun, replicas) = (life.restarts(), life.engine.names().len());
        life.engine
            .set_behaviour("web", |it| it.cpu_millis = 990)
            .unwrap();
        life.pass(10).await;
        life.alert("busy", "HIGH_CPU").await;
        for _ in 0..600 {
            life.pass(1).await;
        }
        let status = life.of("busy");
        let is_left = matches!(status.phase, Phase::AwaitingApproval | Phase::Failed);
        let scaled = status
            .plan
            .as_ref()
            .is_some_and(|plan| plan.action == Action::ScaleUp);
        assert!(is_left || scaled, "{action}: {status:#?}");
        assert_eq!(life.restarts(), begun, "{action}");
        assert!(life.engine.names().len() >= replicas, "{action}");
        life.end().await;
    }
}
