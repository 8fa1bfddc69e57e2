//! What earlier passes found out about load balancers, and would find out again: the one place where this reconciler keeps
//! anything between two passes. Empty after a start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::Time;
use aegis_planning::load_balancer::observed::NginxBuild;

use super::installed_config::InstalledConfig;
use super::reload_batch::ReloadBatch;
use super::standby::Standby;

/// An entry for each load balancer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<String, Entry>>>);

/// What is known of one load balancer.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The file that nginx is known to have; `None` where it has to be read.
    pub installed: Option<InstalledConfig>,
    /// Id of a container, and what its nginx was proved to have loaded of TCP backends after the file of these was written alone.
    pub withdrawn: Option<(String, String)>,
    /// Id of the container that cannot take a configuration in one command.
    pub needs_steps: Option<String>,
    /// Id of a container, and what its nginx says of itself.
    pub build: Option<(String, NginxBuild)>,
    /// The container, and its start, in which nginx was seen to run.
    pub seen: Option<(String, Option<Time>)>,
    /// The global directives that this nginx was started with.
    pub globals: String,
    /// The command that waits in nginx's container for the next configuration; none while a pass uses it.
    pub standby: Option<Standby>,
    /// Additions that wait for others.
    pub batch: ReloadBatch,
}

impl Memory {
    /// Reads or changes what is known of a load balancer.
    pub(super) fn with<T>(&self, balancer: &str, use_entry: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.get_mut(balancer) {
            Some(entry) => use_entry(entry),
            None => use_entry(entries.entry(balancer.to_owned()).or_default()),
        }
    }

    /// Nothing is known of it any more: there is no such load balancer.
    pub(super) fn forget(&self, balancer: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(balancer);
    }
}
