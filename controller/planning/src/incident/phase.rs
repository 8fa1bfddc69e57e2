//! What comes next in each phase, and what the results of its effects mean: one file a phase. Pure: the same state gives
//! the same answer, also after a restart.

mod analysing;
mod approved;
mod awaiting_approval;
mod council;
pub mod executing;
mod received;
mod settling;
pub mod verifying;

use aegis_api::Phase;

pub use super::ladder::after_unlearning;
pub use analysing::{after_analysis, analysis_failed};
pub use approved::{Applied, after_execution};
pub use council::after_vote;
pub use received::{Found, after_investigation};
pub use settling::after_settling;
pub use verifying::{after_learning, after_probe};

use super::ladder;
use super::next::{Effect, Next};
use super::origin;
use super::validate::ValidatedIncident;

/// What comes next for the incident.
pub fn next(incident: &ValidatedIncident) -> Next {
    let phase = incident.status.phase;
    if let Some((name, spec)) = origin::to_open(incident) {
        let spec = Box::new(spec);
        return Next::Effect(Effect::OpenOrigin { name, spec });
    }
    let next = match &incident.target {
        _ if phase.is_end() => settling::next(incident),
        Err(error) => ladder::fail(incident, error.to_string()),
        Ok(workload) => match phase {
            Phase::Received => received::next(incident, workload),
            Phase::Analysing => analysing::next(incident, workload),
            Phase::CouncilReview => council::next(incident, workload),
            Phase::AwaitingApproval => awaiting_approval::next(incident, workload),
            Phase::Approved => approved::next(incident, workload),
            Phase::Executing | Phase::Scaling => executing::next(incident, workload),
            Phase::Verifying => verifying::next(incident, workload),
            Phase::Resolved | Phase::Failed | Phase::DryRun => Next::Wait(None),
        },
    };
    debug_assert!(
        next.transition()
            .is_none_or(|transition| transition.is_known(phase)),
        "{phase:?}: {next:?}"
    );
    next
}
