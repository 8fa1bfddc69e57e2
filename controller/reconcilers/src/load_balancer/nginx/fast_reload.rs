//! The short way to nginx: one command inside its container puts the file in place, has nginx judge it and load it. Each
//! step by itself costs what Docker takes for a command or for files; all of them together cost that once, and nothing where
//! the command of the last time still waits. Only for a configuration that
//! [`aegis_planning::load_balancer::membership`] found to differ in servers alone.

use aegis_docker::script::{self, ReloadRequest};
use aegis_docker::{EngineError, Session};

use super::{Error, Nginx, one_line};
use crate::fault;

/// Exit codes from this one on are those of a program that a signal ended.
const KILLED: i64 = 128;

/// What the command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::load_balancer) enum FastReload {
    /// nginx accepts the file, and was signalled to load it. What `nginx -t` said.
    Reloaded(String),
    /// nginx accepts the file, and could not be signalled to load it. What `nginx -t` said.
    NotReloaded(String),
    /// The command ended and had touched nothing.
    Untouched,
    /// It ended with this code, which says nothing: as in a container without a shell, or where it was killed. The steps
    /// are to be taken one by one.
    Ended(i64),
}

impl FastReload {
    /// Whether it will not be done in this container the next time either: neither its connection ended, nor was it killed.
    pub(in crate::load_balancer) fn is_of_container(&self) -> bool {
        match self {
            Self::Reloaded(_) | Self::NotReloaded(_) | Self::Ended(script::INPUT_ENDED) => false,
            Self::Untouched => true,
            Self::Ended(code) => *code < KILLED,
        }
    }
}

impl Nginx<'_> {
    /// Starts the command that [`Nginx::fast_reload`] asks.
    pub(in crate::load_balancer) async fn open_reloads(&self) -> Result<Box<dyn Session>, Error> {
        let command = script::fast_reload(self.paths.config, self.paths.main, &self.globals);
        let opened = self.engine.open_session(self.container, &command).await;
        opened.map_err(self.failed("write, check and load the configuration"))
    }

    /// Writes, checks and loads this text in one command. Where nginx refuses it, what lay there before is put back.
    pub(in crate::load_balancer) async fn fast_reload(
        &self,
        command: &mut dyn Session,
        text: &str,
    ) -> Result<FastReload, Error> {
        let request = ReloadRequest::new(text);
        fault::point("balancer/before-write");
        fault::soon("balancer/during-write");
        let answer = match command.ask(&request.input, &request.mark).await {
            // It had ended before, or did not get the whole text.
            Err(EngineError::Conflict { .. }) => return Ok(FastReload::Untouched),
            answer => answer.map_err(self.failed("write, check and load the configuration"))?,
        };
        let output = one_line(&answer.output);
        match answer.exit_code {
            script::RELOADED => Ok(FastReload::Reloaded(output)),
            script::NOT_RELOADED => Ok(FastReload::NotReloaded(output)),
            script::REFUSED => Err(self.refused(output)),
            code => {
                tracing::info!(
                    balancer = self.balancer,
                    code,
                    output,
                    "the command that brings nginx a configuration has ended without bringing it"
                );
                Ok(match code {
                    script::UNTOUCHED => FastReload::Untouched,
                    code => FastReload::Ended(code),
                })
            }
        }
    }
}
