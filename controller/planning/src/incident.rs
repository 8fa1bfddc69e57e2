//! An Incident, a state machine: from what is observed to what comes next, and from what came of that to the status
//! which follows. Pure.
//!
//! Policy and council decide here, the model only proposes; what acts, and what writes, is the reconciler's. Each phase has
//! a file of its own, which says what comes next there and what its effects' results mean. A change of the status is a
//! [`Transition`](transition::Transition), and there are no others than these:
//!
//! | what | RECEIVED | ANALYSING | COUNCIL_REVIEW | AWAITING_APPROVAL | APPROVED | EXECUTING | SCALING | VERIFYING | RESOLVED |
//! |---|---|---|---|---|---|---|---|---|---|
//! | Held | stays | | stays | stays | stays | | | |  |
//! | Investigated | ANALYSING | | | | | | | |  |
//! | AnalysisBegun | ANALYSING | | | | | | | |  |
//! | Analysed | | COUNCIL_REVIEW | stays | | | | | |  |
//! | Voted | | | stays | | | | | |  |
//! | Measured | | | stays | stays | stays | | | |  |
//! | NothingWrong | | | | COUNCIL_REVIEW | COUNCIL_REVIEW | | | |  |
//! | StartedOver | | | RECEIVED | RECEIVED | RECEIVED | RECEIVED | | RECEIVED |  |
//! | Asked | | | AWAITING_APPROVAL | stays | AWAITING_APPROVAL | | | |  |
//! | Approved | | APPROVED | APPROVED | APPROVED | | | | |  |
//! | DryRunEnded | | DRY_RUN | DRY_RUN | DRY_RUN | DRY_RUN | | | |  |
//! | Executed | | | | | EXECUTING, SCALING | | | |  |
//! | VerificationBegun | | | | | | VERIFYING | VERIFYING | |  |
//! | Attempted | | | | | | | | stays |  |
//! | FellBack | | | | | | COUNCIL_REVIEW | COUNCIL_REVIEW | COUNCIL_REVIEW |  |
//! | Resolved | | | | | | | | RESOLVED |  |
//! | Settled | | | | | | | | | stays |
//! | Failed | FAILED | FAILED | FAILED | FAILED | FAILED | FAILED | FAILED | FAILED |  |
//!
//! RESOLVED, FAILED and DRY_RUN are ends; what was cleared is settled after the end.

use aegis_api::Phase;

use transition::What;

pub mod aftermath;
pub mod clearing;
pub mod click;
mod conclude;
mod confirmation;
pub mod detected;
mod dry_run;
pub mod gate;
mod ladder;
pub mod lesson;
pub mod measured;
pub mod next;
pub mod observed;
pub mod origin;
mod overtaken;
mod own_restarts;
pub mod phase;
pub mod readings;
pub mod relapse;
pub mod remedy;
mod reported;
mod silenced;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod transition;
pub mod validate;

/// From which phase what leads to which: the table above, as data. Whatever is not in it cannot happen.
pub const TRANSITIONS: &[(Phase, What, Phase)] = {
    use Phase::{
        Analysing, Approved, AwaitingApproval, CouncilReview, DryRun, Executing, Failed, Received, Resolved,
        Scaling, Verifying,
    };
    &[
        (Received, What::Held, Received),
        (Received, What::Investigated, Analysing),
        (Received, What::AnalysisBegun, Analysing),
        (Received, What::Failed, Failed),
        (Analysing, What::Analysed, CouncilReview),
        (Analysing, What::Approved, Approved),
        (Analysing, What::DryRunEnded, DryRun),
        (Analysing, What::Failed, Failed),
        (CouncilReview, What::Held, CouncilReview),
        (CouncilReview, What::Analysed, CouncilReview),
        (CouncilReview, What::Voted, CouncilReview),
        (CouncilReview, What::Measured, CouncilReview),
        (CouncilReview, What::StartedOver, Received),
        (CouncilReview, What::Asked, AwaitingApproval),
        (CouncilReview, What::Approved, Approved),
        (CouncilReview, What::DryRunEnded, DryRun),
        (CouncilReview, What::Failed, Failed),
        (AwaitingApproval, What::Held, AwaitingApproval),
        (AwaitingApproval, What::Measured, AwaitingApproval),
        (AwaitingApproval, What::NothingWrong, CouncilReview),
        (AwaitingApproval, What::StartedOver, Received),
        (AwaitingApproval, What::Asked, AwaitingApproval),
        (AwaitingApproval, What::Approved, Approved),
        (AwaitingApproval, What::DryRunEnded, DryRun),
        (AwaitingApproval, What::Failed, Failed),
        (Approved, What::Held, Approved),
        (Approved, What::Measured, Approved),
        (Approved, What::NothingWrong, CouncilReview),
        (Approved, What::StartedOver, Received),
        (Approved, What::Asked, AwaitingApproval),
        (Approved, What::DryRunEnded, DryRun),
        (Approved, What::Executed, Executing),
        (Approved, What::Executed, Scaling),
        (Approved, What::Failed, Failed),
        (Executing, What::StartedOver, Received),
        (Executing, What::VerificationBegun, Verifying),
        (Executing, What::FellBack, CouncilReview),
        (Executing, What::Failed, Failed),
        (Scaling, What::VerificationBegun, Verifying),
        (Scaling, What::FellBack, CouncilReview),
        (Scaling, What::Failed, Failed),
        (Verifying, What::StartedOver, Received),
        (Verifying, What::Attempted, Verifying),
        (Verifying, What::FellBack, CouncilReview),
        (Verifying, What::Resolved, Resolved),
        (Verifying, What::Failed, Failed),
        (Resolved, What::Settled, Resolved),
    ]
};
