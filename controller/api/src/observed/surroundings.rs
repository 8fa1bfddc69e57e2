//! What has to be asked of an engine beside the container itself before that is stopped or started, and what it answers.
//! Pure.

use std::collections::BTreeSet;

use crate::ContainerId;

/// What to ask the engine about the surroundings of a container before it is stopped or started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
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

impl Questions {
    /// Nothing to ask.
    pub fn is_empty(&self) -> bool {
        !self.containers && !self.networks && !self.runtimes && self.paths.is_empty() && self.image.is_none()
    }
}

/// The answers. `None` is what cannot be known from here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Ids and names of all networks that a container could be attached to.
    pub networks: Option<BTreeSet<String>>,
    /// Names of the runtimes.
    pub runtimes: Option<BTreeSet<String>>,
    /// Those of the asked paths that are not there.
    pub missing_paths: BTreeSet<String>,
    /// Whether the asked image is there.
    pub has_image: Option<bool>,
}
