//! The short way to nginx: one command inside its container puts the file in place, has nginx judge it and load it. Each
//! step by itself costs what Docker takes for a command or for files; all of them together cost that once. Only for a
//! configuration that [`aegis_planning::load_balancer::membership`] found to differ in servers alone.

use aegis_docker::script;

use super::{Error, Nginx, one_line};
use crate::fault;

/// What the command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::load_balancer) enum FastReload {
    /// nginx accepts the file, and was signalled to load it. What `nginx -t` said.
    Reloaded(String),
    /// nginx accepts the file, and could not be signalled to load it. What `nginx -t` said.
    NotReloaded(String),
    /// It cannot be done here, as in a container without a shell, or whose user may not write there; the steps are to be
    /// taken one by one.
    Impossible,
}

impl Nginx<'_> {
    /// Writes, checks and loads this text in one command. Where nginx refuses it, what lay there before is put back.
    pub(in crate::load_balancer) async fn fast_reload(&self, text: &str) -> Result<FastReload, Error> {
        let bytes = text.len().to_string();
        let command = script::fast_reload(self.paths.config, &bytes, self.paths.main);
        fault::point("balancer/before-write");
        fault::soon("balancer/during-write");
        let answer = self.engine.exec(self.container, &command, text.as_bytes()).await;
        let answer = answer.map_err(self.failed("write, check and load the configuration"))?;
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
                    "nginx's container cannot take a configuration in one command: it is brought in steps"
                );
                Ok(FastReload::Impossible)
            }
        }
    }
}
