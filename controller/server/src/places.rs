//! Places that clients hold for a while: so many in all, and of them so many for one client, so that no single one holds
//! what others need. Pure but for its lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) all: Arc<Semaphore>,
    most: usize,
    each: usize,
    /// How many a client holds; those that hold none are not in it.
    held: Mutex<HashMap<Arc<str>, usize>>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are held.
    All,
    /// The client holds as many as one may.
    Yours,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    who: Arc<str>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// `most` in all, `each` for one client.
    pub(crate) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(most)),
            most,
            each,
            held: Mutex::default(),
        })
    }

    /// A place for this client, if there is one now.
    pub(crate) fn take(self: &Arc<Self>, who: &Arc<str>) -> Result<Place, Full> {
        let mut place = self.count(who)?;
        let permit = Arc::clone(&self.all).try_acquire_owned();
        place.permit = Some(permit.map_err(|_| Full::All)?);
        Ok(place)
    }

    /// A place for this client, if there is one within that time. What waits is counted as held.
    pub(crate) async fn wait(self: &Arc<Self>, who: &Arc<str>, time: Duration) -> Result<Place, Full> {
        let mut place = self.count(who)?;
        let permit = tokio::time::timeout(time, Arc::clone(&self.all).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Full::All);
        };
        place.permit = Some(permit);
        Ok(place)
    }

    /// How many are held.
    pub(crate) fn taken(&self) -> usize {
        self.most.saturating_sub(self.all.available_permits())
    }

    fn count(self: &Arc<Self>, who: &Arc<str>) -> Result<Place, Full> {
        let mut held = self.held();
        let count = held.entry(Arc::clone(who)).or_default();
        if *count >= self.each {
            return Err(Full::Yours);
        }
        *count = count.saturating_add(1);
        Ok(Place {
            places: Arc::clone(self),
            who: Arc::clone(who),
            permit: None,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        // Nothing that runs under this lock can leave it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(count) = held.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn one_client_leaves_places_to_others_and_what_is_given_back_is_free() {
        let places = Places::new(3, 2);
        let (one, two) = (places.take(&who("a")).unwrap(), places.take(&who("a")).unwrap());
        assert_eq!(places.take(&who("a")).unwrap_err(), Full::Yours);
        let three = places.take(&who("b")).unwrap();
        assert_eq!(places.take(&who("c")).unwrap_err(), Full::All);
        assert_eq!(places.taken(), 3);
        drop((one, two, three));
        assert_eq!(places.taken(), 0);
        assert!(places.held().is_empty(), "who holds none is forgotten");
        places.take(&who("a")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_holds_nothing() {
        let places = Places::new(1, 2);
        let held = places.take(&who("a")).unwrap();
        let waited = places.wait(&who("a"), Duration::from_secs(5)).await;
        assert_eq!(waited.unwrap_err(), Full::All);
        drop(held);
        places.wait(&who("a"), Duration::from_secs(5)).await.unwrap();
        assert!(places.held().is_empty());
    }
}
