//! Whether the last good configuration lies where nginx reads it. A controller that died, or a step whose answer was lost,
//! may have left another file than nginx serves: it would be loaded by whatever restarts nginx, or by a reload that is
//! still under way. Owns what is known of the files; what is not known is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_docker::{Engine, EngineResult};
use aegis_planning::load_balancer::render::Rendered;

/// Container and revision of the file that a load balancer is known to have.
type Files = HashMap<String, (String, String)>;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct OnDisk(Arc<Mutex<Files>>);

impl OnDisk {
    /// Nothing is known of a balancer's file any more: it is about to be written, or nobody asks.
    pub(super) fn forget(&self, balancer: &str) {
        self.files().remove(balancer);
    }

    /// nginx was proved to have loaded this revision from it.
    pub(super) fn holds(&self, balancer: &str, container: &str, revision: &str) {
        let known = (container.to_owned(), revision.to_owned());
        self.files().insert(balancer.to_owned(), known);
    }

    /// Whether the file at `path` is this one; read once in the life of a controller, and again after something went wrong.
    pub(super) async fn is(
        &self,
        engine: &dyn Engine,
        balancer: &str,
        container: &str,
        path: &str,
        file: &Rendered,
    ) -> EngineResult<bool> {
        let known = self.files().get(balancer).cloned();
        if known.is_some_and(|known| known == (container.to_owned(), file.revision.clone())) {
            return Ok(true);
        }
        let found = match engine.read_files(container, path).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let same = matches!(found.as_slice(), [(_, content)] if content == file.text.as_bytes());
        if same {
            self.holds(balancer, container, &file.revision);
        }
        Ok(same)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
