//! Why a LoadBalancer's reconcile ended early: the errors of its steps, what is reported of each, and what follows. Pure.

use std::time::Duration;

use aegis_api::Reason;
use aegis_api::error::root_cause;
use aegis_api::load_balancer::Server;
use aegis_planning::Invalid;
use aegis_planning::load_balancer::plan::Unplanned;
use aegis_planning::load_balancer::status::Applied;
use aegis_runtime::controller::{OnError, ReconcileError};

use super::{apply, dereference, nginx, status};

/// How soon it is tried again to take out what is not a server any more.
const STRAYS_WITHIN: Duration = Duration::from_secs(2);

/// Why a reconcile ended early: which step failed. The status says it too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// Things do not fit together.
    #[error("load balancer {balancer} cannot be configured")]
    Validate { balancer: String, source: Invalid },
    /// There is no configuration to bring to nginx.
    #[error("load balancer {balancer} cannot be configured")]
    Plan { balancer: String, source: Unplanned },
    /// nginx could not be given its configuration; the last good one stays, or was put back.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// Something of the above, and nginx goes on sending requests to addresses that are not its servers' any more.
    #[error("{servers}")]
    Astray { servers: String, source: Box<Error> },
    /// The status could not be stored.
    #[error(transparent)]
    Status(#[from] status::Error),
}

impl Error {
    /// Whether it lies at the configuration: another one may be loaded all the same.
    pub(super) fn is_of_configuration(&self) -> bool {
        match self {
            Self::Validate { .. } | Self::Plan { .. } => true,
            // What nginx has already is loaded without such a note.
            Self::Apply(apply::Error::Note(_)) => true,
            Self::Apply(error) => match error.cause() {
                Some(
                    nginx::Error::Refused { .. }
                    | nginx::Error::Misfit { .. }
                    | nginx::Error::Unproved { .. },
                ) => true,
                Some(nginx::Error::Engine { .. }) | None => false,
            },
            Self::Dereference(_) | Self::Astray { .. } | Self::Status(_) => false,
        }
    }

    /// Whether it may lie at one of nginx's files, so that the other one can be written all the same.
    pub(super) fn may_be_of_one_file(&self) -> bool {
        self.is_of_configuration() || matches!(self, Self::Apply(_))
    }

    /// Whether what failed left nginx as it was: it was given nothing, or refused it before it could load it.
    pub(super) fn left_nginx_alone(&self) -> bool {
        match self {
            Self::Dereference(dereference::Error::NotNginx { .. })
            | Self::Validate { .. }
            | Self::Plan { .. } => true,
            Self::Apply(error) => error.left_nginx_alone(),
            Self::Astray { source, .. } => source.left_nginx_alone(),
            Self::Dereference(_) | Self::Status(_) => false,
        }
    }

    /// The same, where nginx still has servers whose addresses are not theirs any more.
    pub(super) fn with_strays(self, strays: &[Server]) -> Self {
        if strays.is_empty() {
            return self;
        }
        Self::Astray {
            servers: format!("nginx still sends requests of {}", status::names(strays)),
            source: Box::new(self),
        }
    }

    /// What is reported of it: the reason of the conditions, and the message.
    pub(super) fn reason_and_message(&self) -> (Reason, String) {
        match self {
            Self::Validate { source, .. } => (source.reason, source.message.clone()),
            Self::Dereference(dereference::Error::NotNginx { container, .. }) => (
                Reason::NotNginx,
                format!(
                    "container {container} does not run nginx: nothing is written to it or run in it; name the container of an nginx in spec.container"
                ),
            ),
            Self::Dereference(error) => (Reason::EngineUnavailable, root_cause(error)),
            Self::Plan { source, .. } => match source {
                Unplanned::Template { template, source } => {
                    (Reason::TemplateError, format!("template {template}: {source}"))
                }
                Unplanned::Render { template, source } => {
                    (Reason::TemplateError, format!("template {template}: {source}"))
                }
                Unplanned::Refused { message } => (Reason::NotConfigurable, message.clone()),
            },
            // Nothing else was put back.
            Self::Apply(apply::Error::Withdraw {
                source: source @ nginx::Error::Unproved { .. },
                ..
            }) => (Reason::ReloadUnproved, source.to_string()),
            Self::Apply(error) => match error.cause() {
                Some(cause) => nginx_reason_and_message(cause),
                None => (Reason::Failed, error.to_string()),
            },
            Self::Astray { servers, source } => {
                let (reason, message) = source.reason_and_message();
                // First, since long messages are cut.
                (reason, format!("{servers}; {message}"))
            }
            Self::Status(error) => (Reason::Failed, error.to_string()),
        }
    }
}

fn nginx_reason_and_message(error: &nginx::Error) -> (Reason, String) {
    match error {
        nginx::Error::Engine { step, source, .. } => (Reason::StepFailed, format!("cannot {step}: {source}")),
        nginx::Error::Refused { output, .. } => (
            Reason::ConfigRefused,
            format!("nginx -t refuses the new configuration, the last good one stays: {output}"),
        ),
        nginx::Error::Misfit { message, .. } => (Reason::NotConfigurable, message.clone()),
        nginx::Error::Unproved { .. } => (
            Reason::ReloadUnproved,
            format!("{error}; the last good configuration was put back"),
        ),
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "observe",
            Self::Validate { .. } => "invalid",
            Self::Plan { source, .. } => match source {
                Unplanned::Template { .. } => "template",
                Unplanned::Render { .. } | Unplanned::Refused { .. } => "invalid",
            },
            Self::Apply(error) => match error.cause() {
                Some(nginx::Error::Engine { .. }) => "apply",
                Some(nginx::Error::Refused { .. }) => "refused",
                Some(nginx::Error::Misfit { .. }) => "misfit",
                Some(nginx::Error::Unproved { .. }) => "unproved",
                None => "store",
            },
            Self::Astray { source, .. } => source.category(),
            Self::Status(_) => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Astray { .. } => OnError::BackoffWithin(STRAYS_WITHIN),
            // Each of these changes when a file, the container or the engine does, none of which is an event of the
            // store: so they are retried, ever more rarely.
            Self::Dereference(_)
            | Self::Validate { .. }
            | Self::Plan { .. }
            | Self::Apply(_)
            | Self::Status(_) => OnError::Backoff,
        }
    }
}

/// Why a pass ended early, and what it leaves behind.
pub(super) struct Failure {
    pub error: Error,
    /// Servers that nginx still has, whose addresses are not theirs any more.
    pub strays: Vec<Server>,
    /// They were taken out of the last good configuration, which nginx serves.
    pub contained: Option<Applied>,
    /// nginx serves what the status says, as far as it was seen, and no more.
    pub as_known: bool,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            strays: Vec::new(),
            contained: None,
            as_known: false,
        }
    }
}
