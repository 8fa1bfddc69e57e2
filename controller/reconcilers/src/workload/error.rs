//! Why a Workload's reconcile ended early: the errors of its steps, what is reported of each, and what follows. Pure.

use aegis_api::Reason;
use aegis_api::error::root_cause;
use aegis_planning::Invalid;
use aegis_runtime::controller::{OnError, ReconcileError};

use super::{apply, dereference, status};

/// Why a reconcile ended early: which step failed. The status says it too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// The spec desires something that cannot be, as things stand.
    #[error("workload {workload} cannot be reconciled")]
    Validate { workload: String, source: Invalid },
    /// A step of the plan failed.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The status could not be stored.
    #[error(transparent)]
    Status(#[from] status::Error),
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "observe",
            Self::Validate { .. } => "invalid",
            Self::Apply(_) => "apply",
            Self::Status(_) => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Validate { .. } => OnError::AwaitChange,
            Self::Dereference(_) | Self::Apply(_) | Self::Status(_) => OnError::Backoff,
        }
    }
}

impl Error {
    /// Whether it is the spec that cannot be followed, not the engine that does not answer.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Validate { .. })
    }

    /// What is reported of it: the reason of the conditions, and the message.
    pub(super) fn reason_and_message(&self) -> (Reason, String) {
        match self {
            Self::Validate { source, .. } => (source.reason, source.message.clone()),
            Self::Dereference(error) => (Reason::EngineUnavailable, root_cause(error)),
            Self::Apply(_) | Self::Status(_) => (Reason::Failed, self.to_string()),
        }
    }
}
