//! Which configuration is known to lie where nginx reads it. A controller that died, or a step whose answer was lost, may
//! have left another file than nginx serves: it would be loaded by whatever restarts nginx, or by a reload that is still
//! under way. What is not known of the file is read.

use super::nginx::Nginx;

/// The file that a load balancer is known to have: nginx was proved to have loaded it, or it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InstalledConfig {
    container: String,
    /// Where its file is.
    path: String,
    revision: String,
}

impl InstalledConfig {
    /// This revision lies in this nginx's container.
    pub(super) fn new(nginx: &Nginx<'_>, revision: &str) -> Self {
        Self {
            container: nginx.container().to_owned(),
            path: nginx.config_path().to_owned(),
            revision: revision.to_owned(),
        }
    }
}
