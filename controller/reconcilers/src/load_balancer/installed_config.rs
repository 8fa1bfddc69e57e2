//! Whether the last good configuration lies where nginx reads it. A controller that died, or a step whose answer was lost,
//! may have left another file than nginx serves: it would be loaded by whatever restarts nginx, or by a reload that is
//! still under way. What is not known of the file is read.

use aegis_planning::load_balancer::render::Rendered;

use super::memory::Memory;
use super::nginx::{self, Nginx};

/// The file that a load balancer is known to have: nginx was proved to have loaded it, or it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InstalledConfig {
    container: String,
    revision: String,
}

impl InstalledConfig {
    /// This revision lies in this nginx's container.
    pub(super) fn new(nginx: &Nginx<'_>, revision: &str) -> Self {
        Self {
            container: nginx.container().to_owned(),
            revision: revision.to_owned(),
        }
    }
}

/// Whether nginx has this file; read once in the life of a controller, and again after something went wrong.
pub(super) async fn is_installed(
    memory: &Memory,
    nginx: &Nginx<'_>,
    file: &Rendered,
) -> Result<bool, nginx::Error> {
    let wanted = InstalledConfig::new(nginx, &file.revision);
    if memory.with(nginx.balancer(), |known| {
        known.installed.as_ref() == Some(&wanted)
    }) {
        return Ok(true);
    }
    let same = nginx.installed().await?.as_deref() == Some(file.text.as_bytes());
    if same {
        memory.with(nginx.balancer(), |known| known.installed = Some(wanted));
    }
    Ok(same)
}
