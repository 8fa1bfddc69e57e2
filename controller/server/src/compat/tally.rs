//! Repeats of alerts, counted: in memory, and written to an incident about once a second. A storm costs no more than that, and a
//! kill loses about a second of counts, in a storm as much longer as writing takes; no incident, which is durable before its
//! sender is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::audit::Actor;
use aegis_api::incident::{IncidentSpec, JoinedAlert, Severity, Source};
use aegis_api::{Incident, Kind, KindInfo};
use aegis_runtime::{Store, StoreError};
use futures::StreamExt as _;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::ServerState;

/// How long what was counted may wait to be written.
const WAITS: Duration = Duration::from_secs(1);
/// From so many incidents on whose repeats wait, no sender waits until its repeat is written.
const STORM: usize = 8;
/// How many incidents' repeats are on their way to the store at a time: others' changes go between …
const AT_A_TIME: usize = 4;
/// … and at the end, when there are no others.
const AT_THE_END: usize = 256;
/// Most incidents whose repeats wait. Past it each is written at once.
const MOST: usize = 8192;

/// What was counted and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
    waits: Notify,
    /// Held from when something is taken until it is written.
    writing: Arc<RwLock<()>>,
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
        self.folded.aliases.add_all(&more.folded.aliases);
        for alert in more.folded.joined {
            self.folded.join(alert);
        }
    }
}

/// What is to be written now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Due {
    /// What waited until now: its senders have their answers.
    waited: Repeats,
    /// The newest.
    repeat: Repeats,
}

impl Due {
    fn all(&self) -> Repeats {
        let mut all = self.waited.clone();
        all.add(self.repeat.clone());
        all
    }
}

impl Tally {
    /// Counts a repeat of this incident. Answers what is to be written now, if it is: what fires again after its sender had
    /// said that it is over always is, and what makes the incident graver, which then goes before others.
    pub(super) fn add(&self, incident: &str, repeat: Repeats, now: Instant) -> Option<Due> {
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
        let mut waited = inner.waiting.remove(incident).unwrap_or_default();
        if is_due {
            inner.written.insert(incident.to_owned(), now);
            return Some(Due { waited, repeat });
        }
        waited.add(repeat);
        inner.waiting.insert(incident.to_owned(), waited);
        self.waits.notify_one();
        None
    }

    /// To be held from before something is added until it is written.
    pub(super) async fn writing(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.writing).read_owned().await
    }

    /// Writes what is due; `None` where it waits on, because the disk is full.
    pub(super) async fn write(
        &self,
        store: &Store,
        incident: &str,
        due: Due,
    ) -> Result<Option<Arc<Incident>>, StoreError> {
        match write(store, incident, due.all()).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if error.is_full() => {
                self.put_back(incident, due.all());
                Ok(None)
            }
            // The newest is its sender's, who gets the error.
            Err(error) => {
                if due.waited.count > 0 {
                    self.put_back(incident, due.waited);
                }
                Err(error)
            }
        }
    }

    /// Waits for what is being written, and writes what waits of the alert of this id or fingerprint, so that its end comes
    /// after it.
    pub(super) async fn settle(&self, store: &Store, id: &str, fingerprint: &str) {
        drop(self.writing.write().await);
        let names: Vec<String> = {
            let inner = self.inner();
            let is_it = |folded: &Source| folded.has_joined(id) || folded.has_joined(fingerprint);
            let of_it = inner.waiting.iter().filter(|(_, repeats)| is_it(&repeats.folded));
            of_it.map(|(name, _)| name.clone()).collect()
        };
        let store = store.acting(Actor::system("webhook"));
        for name in names {
            self.write_waiting(&store, &name, Instant::now()).await;
        }
    }

    /// What could not be written is counted on.
    fn put_back(&self, incident: &str, mut repeats: Repeats) {
        let mut inner = self.inner();
        if inner.waiting.len() >= MOST && !inner.waiting.contains_key(incident) {
            tracing::warn!(
                incident,
                count = repeats.count,
                "repeats of an alert are not counted: too many wait"
            );
            return;
        }
        if let Some(newer) = inner.waiting.remove(incident) {
            repeats.add(newer);
        }
        inner.waiting.insert(incident.to_owned(), repeats);
        self.waits.notify_one();
    }

    /// Writes everything that waits, of so many incidents at a time.
    async fn write_all(&self, store: &Store, now: Instant, at_a_time: usize) {
        let names: Vec<String> = {
            let mut inner = self.inner();
            inner.written.retain(|_, at| now.duration_since(*at) < WAITS);
            inner.waiting.keys().cloned().collect()
        };
        let store = store.acting(Actor::system("webhook"));
        let writes = futures::stream::iter(names).map(|name| {
            let store = &store;
            async move { self.write_waiting(store, &name, now).await }
        });
        let failures = writes.buffer_unordered(at_a_time).filter_map(std::future::ready);
        let failures: Vec<StoreError> = failures.collect().await;
        if let Some(error) = failures.first() {
            let incidents = failures.len();
            tracing::warn!(incidents, %error, "repeats of alerts are not written yet");
        }
    }

    /// Writes what waits of one incident; why it could not, and waits on. It is taken when it is handed in: what comes before
    /// is of the same write, and what ends after it.
    async fn write_waiting(&self, store: &Store, incident: &str, now: Instant) -> Option<StoreError> {
        let _writing = self.writing().await;
        let waiting = {
            let mut inner = self.inner();
            let waiting = inner.waiting.remove(incident);
            if waiting.is_some() {
                inner.written.insert(incident.to_owned(), now);
            }
            waiting
        };
        let repeats = waiting?;
        match write_late(store, incident, repeats.clone()).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => None,
            Err(error) => {
                self.put_back(incident, repeats);
                Some(error)
            }
        }
    }

    #[cfg(test)]
    pub(crate) async fn flush(&self, store: &Store, now: Instant) {
        self.write_all(store, now, AT_THE_END).await;
    }

    fn close(&self) {
        self.inner().closed = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a repeat to the incident. One of another id is not taken where the incident ended this moment, nor one that is to be
/// held where there is no room for it any more: it is read again, and opens its own.
pub(super) async fn write(store: &Store, name: &str, repeats: Repeats) -> Result<Arc<Incident>, StoreError> {
    let counted = store.edit_spec::<Incident, _>(name, move |current| {
        let source = &current.spec.source;
        let mut folded = repeats.folded.joined.iter();
        let is_new = |alert: &JoinedAlert| alert.is_held() && !source.has_joined(&alert.incident_id);
        let is_beyond = !source.can_hold() && folded.any(is_new);
        if is_beyond || (current.is_finished() && !repeats.folded.joined.is_empty()) {
            return Err(StoreError::NotFound {
                kind: KindInfo::of::<Incident>().kind.to_owned(),
                name: current.name().to_owned(),
            });
        }
        Ok(with(current, repeats))
    });
    counted.await
}

/// Adds repeats whose senders have their answers: also to an incident that ended meanwhile.
async fn write_late(store: &Store, name: &str, repeats: Repeats) -> Result<Arc<Incident>, StoreError> {
    let counted = store.edit_spec::<Incident, _>(name, move |current| Ok(with(current, repeats)));
    counted.await
}

/// The spec of the incident with these repeats.
fn with(current: &Incident, repeats: Repeats) -> IncidentSpec {
    let mut spec = current.spec.clone();
    spec.count = spec.count.saturating_add(repeats.count);
    let is_open = !current.is_finished();
    if is_open {
        let graver = repeats.graver.unwrap_or(spec.severity);
        spec.severity = spec.severity.max(graver);
        if repeats.fires_again {
            spec.source.resolved_at = None;
        }
    }
    spec.source.aliases.add_all(&repeats.folded.aliases);
    for alert in repeats.folded.joined {
        if is_open {
            // What only follows from this trouble makes it no graver.
            if alert.inhibited.is_none() {
                spec.severity = spec.severity.max(alert.severity);
            }
            spec.source.join(alert);
        } else if !spec.source.has_joined(&alert.incident_id) {
            // Over what became of one that is listed there is nothing more to say.
            spec.source.join(alert);
        }
    }
    spec
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
        tally.write_all(&state.store, Instant::now(), AT_A_TIME).await;
    }
    // What comes while the last connections end is written at once.
    tally.close();
    tally.write_all(&state.store, Instant::now(), AT_THE_END).await;
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
        let written = written.all();
        assert_eq!(
            (written.count, written.graver, written.folded.joined.len()),
            (2, critical, 2)
        );
        tally.put_back("i", written);
        assert_eq!(
            tally
                .add("i", Repeats::of(None, None, true), now)
                .unwrap()
                .all()
                .graver,
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
        assert_eq!(tally.add("i-0", graver, later).unwrap().all().count, 3);
    }

    #[test]
    fn i12_repeats_of_one_second_are_one_write_and_none_is_lost() {
        let (tally, now) = (Tally::default(), Instant::now());
        assert_eq!(
            tally.add("i", repeat(), now).unwrap().all().count,
            1,
            "the first at once"
        );
        for _ in 0..100_000 {
            assert!(tally.add("i", repeat(), now).is_none());
        }
        let later = tally.add("i", repeat(), now + WAITS).unwrap().all();
        assert_eq!(later.count, 100_001);
        assert_eq!(
            tally.add("j", repeat(), now).unwrap().all().count,
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
        tally.put_back("i", first.all());
        let both = tally.add("i", Repeats::of(None, None, true), now).unwrap().all();
        assert_eq!((both.count, both.folded.joined.len()), (2, 1));
    }
}
