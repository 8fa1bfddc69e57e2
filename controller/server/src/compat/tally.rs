//! Repeats of alerts, counted: in memory, and written to an incident at most once a second. A storm costs no more than
//! that, and a kill loses at most a second of counts; no incident, which is durable before its sender is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::audit::Actor;
use aegis_api::incident::{JoinedAlert, Severity, Source};
use aegis_api::{Incident, Kind, KindInfo};
use aegis_runtime::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::ServerState;

/// How long what was counted may wait to be written.
const WAITS: Duration = Duration::from_secs(1);
/// Of so many incidents repeats wait in a storm: no sender waits for one of them to be written then.
const STORM: usize = 8;
/// Most incidents whose repeats wait. Past it each is written at once.
const MOST: usize = 8192;

/// What was counted and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
    waits: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, Repeats>,
    /// When each was last written, within the last moments.
    written: HashMap<String, Instant>,
    /// What waits is not written any more.
    closed: bool,
}

/// Repeats of one incident.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Repeats {
    count: u32,
    /// Its sender had said that it is over, and now it is not.
    fires_again: bool,
    /// How grave it is, where that is graver than what the incident is so far.
    graver: Option<Severity>,
    /// Alerts of other ids that were folded into it, the newest last; as many as it keeps.
    folded: Source,
}

impl Repeats {
    /// One alert of another id, to be written at once.
    pub(super) fn one(folded: JoinedAlert) -> Self {
        Self::of(Some(folded), None, false)
    }

    /// One repeat, by an alert of another id where one is given.
    pub(super) fn of(folded: Option<JoinedAlert>, graver: Option<Severity>, fires_again: bool) -> Self {
        Self {
            count: 1,
            fires_again,
            graver,
            folded: Source {
                joined: folded.into_iter().collect(),
                ..Source::default()
            },
        }
    }

    /// Counts these, too.
    fn add(&mut self, more: Self) {
        self.count = self.count.saturating_add(more.count);
        self.fires_again |= more.fires_again;
        self.graver = self.graver.max(more.graver);
        for alert in more.folded.joined {
            self.folded.join(alert);
        }
    }
}

impl Tally {
    /// Counts a repeat of this incident. Answers what is to be written now, if it is: what fires again after its sender had
    /// said that it is over always is, and what makes the incident graver, which then goes before others.
    pub(super) fn add(&self, incident: &str, repeat: Repeats, now: Instant) -> Option<Repeats> {
        let mut inner = self.inner();
        let is_due = repeat.fires_again
            || repeat.graver.is_some()
            || inner.closed
            || (inner.waiting.len() < STORM
                && inner
                    .written
                    .get(incident)
                    .is_none_or(|at| now.duration_since(*at) >= WAITS))
            || (inner.waiting.len() >= MOST && !inner.waiting.contains_key(incident));
        let mut repeats = inner.waiting.remove(incident).unwrap_or_default();
        repeats.add(repeat);
        if is_due {
            inner.written.insert(incident.to_owned(), now);
            return Some(repeats);
        }
        inner.waiting.insert(incident.to_owned(), repeats);
        self.waits.notify_one();
        None
    }

    /// What could not be written is counted on.
    pub(super) fn put_back(&self, incident: &str, repeats: Repeats) {
        let mut inner = self.inner();
        if inner.waiting.len() >= MOST && !inner.waiting.contains_key(incident) {
            tracing::warn!(
                incident,
                count = repeats.count,
                "repeats of an alert are not counted: too many wait"
            );
            return;
        }
        inner.waiting.entry(incident.to_owned()).or_default().add(repeats);
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&self, store: &Store, now: Instant) {
        let waiting = {
            let mut inner = self.inner();
            inner.written.retain(|_, at| now.duration_since(*at) < WAITS);
            let waiting = std::mem::take(&mut inner.waiting);
            inner
                .written
                .extend(waiting.keys().map(|name| (name.clone(), now)));
            waiting
        };
        let store = store.acting(Actor::system("webhook")).unhurried();
        let writes = waiting.into_iter().map(|(name, repeats)| {
            let store = &store;
            async move {
                match write(store, &name, repeats.clone()).await {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => {
                        tracing::warn!(incident = name, %error, "repeats of an alert are not written yet");
                        self.put_back(&name, repeats);
                    }
                }
            }
        });
        futures::future::join_all(writes).await;
    }

    fn close(&self) {
        self.inner().closed = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds what was counted to the incident.
pub(super) async fn write(store: &Store, name: &str, repeats: Repeats) -> Result<Arc<Incident>, StoreError> {
    let counted = store.edit_spec::<Incident, _>(name, move |current| {
        let mut spec = current.spec.clone();
        spec.count = spec.count.saturating_add(repeats.count);
        if current.is_finished() {
            if !repeats.folded.joined.is_empty() {
                // It ended this moment: the alert is read again, and opens its own.
                return Err(StoreError::NotFound {
                    kind: KindInfo::of::<Incident>().kind.to_owned(),
                    name: current.name().to_owned(),
                });
            }
        } else {
            spec.severity = repeats
                .graver
                .map_or(spec.severity, |graver| graver.max(spec.severity));
            if repeats.fires_again {
                spec.source.resolved_at = None;
            }
        }
        for alert in repeats.folded.joined {
            // What only follows from this trouble makes it no graver.
            if alert.inhibited.is_none() {
                spec.severity = spec.severity.max(alert.severity);
            }
            spec.source.join(alert);
        }
        Ok(spec)
    });
    counted.await
}

/// Writes what is counted, once a second while there is any, until `shutdown`, and the rest then.
pub async fn tally(state: ServerState, shutdown: CancellationToken) {
    let tally = &state.tally;
    while shutdown
        .run_until_cancelled(tally.waits.notified())
        .await
        .is_some()
    {
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(WAITS)).await;
        tally.flush(&state.store, Instant::now()).await;
    }
    // What comes while the last connections end is written at once.
    tally.close();
    tally.flush(&state.store, Instant::now()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: usize) -> JoinedAlert {
        JoinedAlert {
            incident_id: format!("i-{id}"),
            logs: "x".repeat(2000),
            ..JoinedAlert::default()
        }
    }

    fn repeat() -> Repeats {
        Repeats::of(None, None, false)
    }

    #[test]
    fn what_makes_an_incident_graver_is_written_at_once_with_all_that_waits() {
        let (tally, now) = (Tally::default(), Instant::now());
        tally.add("i", repeat(), now);
        assert!(tally.add("i", Repeats::one(alert(1)), now).is_none());
        let critical = Some(Severity::Critical);
        let written = tally
            .add("i", Repeats::of(Some(alert(2)), critical, false), now)
            .unwrap();
        assert_eq!(
            (written.count, written.graver, written.folded.joined.len()),
            (2, critical, 2)
        );
        tally.put_back("i", written);
        assert_eq!(
            tally.add("i", Repeats::of(None, None, true), now).unwrap().graver,
            critical
        );
    }

    #[test]
    fn in_a_storm_no_sender_waits_for_its_repeat_to_be_written_but_for_what_is_graver() {
        let (tally, now) = (Tally::default(), Instant::now());
        for n in 0..STORM {
            let incident = format!("i-{n}");
            assert!(tally.add(&incident, repeat(), now).is_some(), "the first at once");
            assert!(tally.add(&incident, repeat(), now).is_none());
        }
        let later = now + WAITS * 2;
        assert!(
            tally.add("i-0", repeat(), later).is_none(),
            "{STORM} incidents wait"
        );
        assert!(tally.add("another", repeat(), later).is_none());
        let graver = Repeats::of(None, Some(Severity::Critical), false);
        assert_eq!(tally.add("i-0", graver, later).unwrap().count, 3);
    }

    #[test]
    fn i12_repeats_of_one_second_are_one_write_and_none_is_lost() {
        let (tally, now) = (Tally::default(), Instant::now());
        assert_eq!(
            tally.add("i", repeat(), now).unwrap().count,
            1,
            "the first at once"
        );
        for _ in 0..100_000 {
            assert!(tally.add("i", repeat(), now).is_none());
        }
        let later = tally.add("i", repeat(), now + WAITS).unwrap();
        assert_eq!(later.count, 100_001);
        assert_eq!(
            tally.add("j", repeat(), now).unwrap().count,
            1,
            "others do not wait for it"
        );
    }

    #[test]
    fn i12_alerts_of_ever_new_ids_are_bounded_and_all_counted() {
        let (tally, now) = (Tally::default(), Instant::now());
        tally.add("i", repeat(), now);
        for id in 0..1000 {
            tally.add("i", Repeats::one(alert(id)), now);
        }
        let repeats = tally.inner().waiting.get("i").cloned().unwrap();
        assert_eq!((repeats.count, repeats.folded.joined.len()), (1000, 20));
        for incident in 0..2 * MOST {
            let name = format!("x-{incident}");
            tally.add(&name, repeat(), now);
            tally.add(&name, repeat(), now);
        }
        assert!(tally.inner().waiting.len() <= MOST);
    }

    #[test]
    fn what_could_not_be_written_is_counted_with_the_next() {
        let (tally, now) = (Tally::default(), Instant::now());
        let first = tally.add("i", Repeats::one(alert(1)), now).unwrap();
        tally.put_back("i", first);
        let both = tally.add("i", Repeats::of(None, None, true), now).unwrap();
        assert_eq!((both.count, both.folded.joined.len()), (2, 1));
    }
}
