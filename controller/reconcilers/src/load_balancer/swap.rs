//! The short way to nginx: one command inside its container puts the file in place, has nginx judge it and load it. Each
//! step by itself costs what Docker takes for a command or for files; all of them together cost that once. Only for a
//! configuration that [`aegis_planning::load_balancer::membership`] found to differ in servers alone. Owns which containers cannot do it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::ContainerId;
use aegis_docker::script;
use aegis_planning::load_balancer::validate::ValidatedLoadBalancer;

use super::Error;
use crate::context::Context;
use crate::fault;

/// What the command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Swap {
    /// nginx accepts the file, and was told to load it. What `nginx -t` said.
    Told(String),
    /// nginx accepts the file, and could not be told. What `nginx -t` said.
    Untold(String),
    /// It cannot be done here; the steps are to be taken one by one.
    Impossible,
}

/// The container of each load balancer that cannot: one without a shell, or whose user may not write there. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Swaps(Arc<Mutex<HashMap<String, ContainerId>>>);

impl Swaps {
    pub(super) fn forget(&self, balancer: &str) {
        self.unable().remove(balancer);
    }

    /// Brings this text to nginx.
    pub(super) async fn swap(
        &self,
        context: &Context,
        balancer: &ValidatedLoadBalancer,
        text: &str,
    ) -> Result<Swap, Error> {
        let id = &balancer.container.id;
        if self.unable().get(&balancer.name) == Some(id) {
            return Ok(Swap::Impossible);
        }
        let bytes = text.len().to_string();
        let command = script::swap_and_reload(
            balancer.spec.config_path.as_str(),
            &bytes,
            balancer.spec.main_config_path.as_str(),
        );
        fault::point("balancer/before-write");
        fault::soon("balancer/during-write");
        let answer = context.engine.exec(id, &command, text.as_bytes()).await;
        let answer = answer.map_err(|source| Error::Apply {
            balancer: balancer.name.clone(),
            step: "write, check and load the configuration",
            source,
        })?;
        let output = answer.output.split_whitespace().collect::<Vec<_>>().join(" ");
        match answer.exit_code {
            script::RELOADED => Ok(Swap::Told(output)),
            script::UNTOLD => Ok(Swap::Untold(output)),
            script::REFUSED => Err(Error::Refused {
                balancer: balancer.name.clone(),
                output,
            }),
            code => {
                tracing::info!(
                    balancer = balancer.name,
                    code,
                    output,
                    "nginx's container cannot take a configuration in one command: it is brought in steps"
                );
                self.unable().insert(balancer.name.clone(), id.clone());
                Ok(Swap::Impossible)
            }
        }
    }

    fn unable(&self) -> MutexGuard<'_, HashMap<String, ContainerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
