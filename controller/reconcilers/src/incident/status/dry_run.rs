//! How a dry run ends and in which words: where the real run would have gone on, or stopped. Pure.

use aegis_api::Phase;
use aegis_api::incident::{Plan, Stage};
use aegis_brain::redact::{bound, redact};
use aegis_planning::incident::gate::Ruling;

use super::describe_plan;

/// Most characters of what is said.
const LONGEST: usize = 2000;

/// APPROVED only where it would have acted. What would have waited for a human waits for nobody here, so it ends in
/// COUNCIL_REVIEW and asks for no approval.
pub(super) fn ended(plan: Option<&Plan>, ruling: &Ruling) -> (Phase, Stage, String) {
    let act = plan.map(describe_plan).unwrap_or_default();
    let (phase, stage, would) = match ruling {
        Ruling::Allow | Ruling::DryRun(_) => (Phase::Approved, Stage::Approved, format!("would {act}")),
        Ruling::NotMeasured { message } => (Phase::Approved, Stage::Noop, message.clone()),
        Ruling::NeedsApproval { reason, message } => (
            Phase::CouncilReview,
            Stage::PolicyGate,
            format!("would have required approval for {act} ({reason}: {message})"),
        ),
        Ruling::Wait { reason, message } => (
            Phase::CouncilReview,
            Stage::PolicyGate,
            format!("would have waited before {act} ({reason}: {message})"),
        ),
        Ruling::Refuse { message } => (
            Phase::Failed,
            Stage::Failed,
            format!("would have been refused: {message}"),
        ),
    };
    let text = bound(&redact(&format!("dry run: {would}; nothing was done")), LONGEST);
    (phase, stage, text)
}

#[cfg(test)]
mod tests {
    use aegis_api::Reason;

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
        for (ruling, phase, said) in [
            (
                Ruling::Allow,
                Phase::Approved,
                "dry run: would RESTART web; nothing was done",
            ),
            (
                asks,
                Phase::CouncilReview,
                "dry run: would have required approval for RESTART web (CouncilNeedsReview: 1/3 approved); nothing was done",
            ),
            (
                refuses,
                Phase::Failed,
                "dry run: would have been refused: the council rejected RESTART; nothing was done",
            ),
        ] {
            let (ended_in, _, text) = ended(Some(&plan), &ruling);
            assert_eq!((ended_in, text.as_str()), (phase, said));
        }
    }
}
