//! The command inside nginx's container that has brought the last configuration and waits for the next one, which then costs
//! no start of a command: most of what a reload takes. Owns for how long it waits. It is worth nothing by itself: where it
//! has ended, another is started, and it ends without having touched anything when this controller or its connection does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_docker::Session;
use tokio::task::JoinSet;

/// For how long it waits: changes of a load balancer come in bursts, and a container whose servers do not change should have
/// no process of ours.
pub(super) const KEPT: Duration = Duration::from_secs(120);

/// Where a command can be of use: one run of one container, and the files that it was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub container: String,
    /// When the container was started.
    pub run: Option<Time>,
    /// The file that is ours.
    pub config: String,
    /// The main configuration, which includes it.
    pub main: String,
}

/// A command that waits. It ends when this is dropped, and [`KEPT`] after it was made.
#[derive(Debug)]
pub(super) struct Standby {
    place: Place,
    session: Arc<Mutex<Option<Box<dyn Session>>>>,
    /// Ends it; dropped with the rest.
    _end: JoinSet<()>,
}

impl Standby {
    /// Keeps this command of this place.
    pub(super) fn new(place: Place, session: Box<dyn Session>) -> Self {
        let session = Arc::new(Mutex::new(Some(session)));
        let (mut end, ended) = (JoinSet::new(), Arc::clone(&session));
        end.spawn(async move {
            tokio::time::sleep(KEPT).await;
            drop(taken(&ended));
        });
        Self {
            place,
            session,
            _end: end,
        }
    }

    /// The command, if it still waits and is of this place.
    pub(super) fn at(self, place: &Place) -> Option<Box<dyn Session>> {
        (self.place == *place).then(|| taken(&self.session)).flatten()
    }
}

impl Drop for Standby {
    /// At once: the task that would end it goes later.
    fn drop(&mut self) {
        drop(taken(&self.session));
    }
}

fn taken(session: &Mutex<Option<Box<dyn Session>>>) -> Option<Box<dyn Session>> {
    session.lock().unwrap_or_else(PoisonError::into_inner).take()
}
