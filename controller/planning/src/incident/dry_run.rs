//! How a dry run ends, and in which words: where the real run would have gone on, or stopped. Pure.

use aegis_api::error::chain;
use aegis_api::incident::{Plan, Stage};
use aegis_api::proposal::CouncilDecision;
use aegis_api::redact::{bound, redact};
use aegis_api::{ConditionType, Phase, Reason};

use super::gate::Ruling;
use super::remedy::{self, CannotPrescribe};
use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;

/// Most characters of what is said.
const LONGEST: usize = 2000;

/// What would have become of an action. One that cannot be made a plan of would have been refused.
pub(super) fn concluded(
    incident: &ValidatedIncident,
    plan: Result<Plan, CannotPrescribe>,
    council: Option<CouncilDecision>,
    would: &Ruling,
) -> Transition {
    match plan {
        Ok(plan) => ended(incident, Some(plan), council, would),
        Err(error) => {
            let message = chain(&error);
            ended(incident, None, council, &Ruling::Refuse { message })
        }
    }
}

/// Nothing was done. The plan stays, so that people see what it would have changed.
pub(super) fn ended(
    incident: &ValidatedIncident,
    plan: Option<Plan>,
    council: Option<CouncilDecision>,
    would: &Ruling,
) -> Transition {
    let text = words(plan.as_ref(), would);
    let mut transition =
        Transition::new(What::DryRunEnded, Phase::DryRun, incident.now).council(incident, council);
    if let Ruling::NeedsApproval { reason, message } = would {
        transition = transition.condition(ConditionType::PolicyAllows, false, *reason, message.clone());
    }
    transition
        .condition(ConditionType::Executed, false, Reason::DryRun, text.clone())
        .log(Stage::DryRun, text)
        .set(Field::Plan(plan.map(Box::new)))
        .finished()
}

fn words(plan: Option<&Plan>, would: &Ruling) -> String {
    let act = plan.map(remedy::describe).unwrap_or_default();
    let would = match would {
        Ruling::Allow | Ruling::DryRun(_) => format!("would {act}"),
        Ruling::NotMeasured { message } => message.clone(),
        Ruling::NeedsApproval { reason, message } => {
            format!("would have required approval for {act} ({reason}: {message})")
        }
        Ruling::Wait { reason, message } => format!("would have waited before {act} ({reason}: {message})"),
        Ruling::Refuse { message } => format!("would have been refused: {message}"),
    };
    bound(&redact(&format!("dry run: {would}; nothing was done")), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{REPORT, incident, judge};
    use super::*;

    #[test]
    fn i14_a_dry_run_says_what_auto_would_have_done() {
        let plan: Plan = serde_json::from_str(
            r#"{"hash": "1", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {}, "createdAt": "2026-11-22T11:00:00Z"}"#,
        )
        .unwrap();
        let asks = Ruling::NeedsApproval {
            reason: Reason::CouncilNeedsReview,
            message: "1/3 approved".to_owned(),
        };
        let refuses = Ruling::Refuse {
            message: "the council rejected RESTART".to_owned(),
        };
        let judged = judge(vec![incident(REPORT, "{phase: COUNCIL_REVIEW}")], "{}");
        for (ruling, said) in [
            (Ruling::Allow, "dry run: would RESTART web; nothing was done"),
            (
                asks,
                "dry run: would have required approval for RESTART web (CouncilNeedsReview: 1/3 approved); nothing was done",
            ),
            (
                refuses,
                "dry run: would have been refused: the council rejected RESTART; nothing was done",
            ),
        ] {
            let transition = ended(&judged, Some(plan.clone()), None, &ruling);
            let status = super::super::transition::applied(&judged, Some(transition));
            assert_eq!((status.phase, status.error.as_deref()), (Phase::DryRun, None));
            let executed = aegis_api::condition::find(&status.conditions, ConditionType::Executed).unwrap();
            assert_eq!(
                (
                    executed.status.as_str(),
                    executed.reason.as_str(),
                    executed.message.as_str()
                ),
                ("False", "DryRun", said)
            );
            let last = status.timeline.last().unwrap();
            assert_eq!((last.status, last.message.as_str()), (Stage::DryRun, said));
            assert_eq!(
                (status.plan.as_ref(), status.finished_at),
                (Some(&plan), Some(judged.now))
            );
        }
    }
}
