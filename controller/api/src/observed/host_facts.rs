//! Facts of the host that decide, beside the container itself, whether it can be stopped and started: what is queried
//! from the engine, and what it answers. Pure.

use std::collections::BTreeSet;

use crate::ContainerId;

/// Which facts of the host to query from the engine before a container is stopped or started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostQuery {
    /// Which containers there are, and what they hold: what a list of all containers answers.
    pub containers: bool,
    /// Which networks are there.
    pub networks: bool,
    /// Which runtimes are there.
    pub runtimes: bool,
    /// Which of these paths of the host are missing, as far as this process sees the host's files.
    pub paths: Vec<String>,
    /// Process id and id of a running container, by which it is known whether it sees them; 0 and empty for none.
    pub witness: (i64, ContainerId),
    /// Whether this image is there.
    pub image: Option<String>,
}

impl HostQuery {
    /// Nothing to query.
    pub fn is_empty(&self) -> bool {
        !self.containers && !self.networks && !self.runtimes && self.paths.is_empty() && self.image.is_none()
    }
}

/// The answers. `None` is what cannot be known from here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFacts {
    /// Ids and names of all networks that a container could be attached to.
    pub networks: Option<BTreeSet<String>>,
    /// Names of the runtimes.
    pub runtimes: Option<BTreeSet<String>>,
    /// Those of the queried paths that are not there.
    pub missing_paths: BTreeSet<String>,
    /// Whether the queried image is there.
    pub has_image: Option<bool>,
}
