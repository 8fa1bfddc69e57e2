//! Events in the Kubernetes sense: short human-readable notes about objects. Owns a bounded memory of them; equal ones
//! within ten minutes become one with a count, also where they differ in a time or a process id only. No I/O: events do not
//! survive a restart.

mod gist;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::{Duration, Kind, Time};
use futures::stream::BoxStream;
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::follow::{CHUNK, Read, follow};

/// How many events are kept, and bytes of them. At the bound the oldest go.
const CAPACITY: usize = 4096;
const BYTES: usize = 4 << 20;
/// What an event costs beside its texts.
const OVERHEAD: usize = 512;
/// Equal events closer together than this are one.
const AGGREGATE: Duration = Duration::from_secs(600);
/// The longest message an event carries, in characters, as Kubernetes has it.
const MESSAGE_LIMIT: usize = 1024;

/// Whether an event needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something is not as it should be.
    Warning,
}

impl EventType {
    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// The object that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ObjectRef {
    /// `Workload`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty where the object does not exist (a file that never was valid).
    pub uid: String,
}

impl ObjectRef {
    /// A reference to this object.
    pub fn of<K: Kind>(object: &K) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            name: object.name().to_owned(),
            uid: object.meta().uid.clone().unwrap_or_default(),
        }
    }

    fn key(&self) -> (String, String) {
        (self.kind.clone(), self.name.clone())
    }
}

/// One note.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// `<object>.<id>`.
    pub name: String,
    /// Its own uid.
    pub uid: String,
    /// What it is about.
    pub about: ObjectRef,
    /// Whether it needs attention.
    pub kind: EventType,
    /// One word in CamelCase, for programs.
    pub reason: String,
    /// A human-readable sentence. Bounded; may quote hostile input.
    pub message: String,
    /// How often it happened.
    pub count: u32,
    /// When it happened first.
    pub first: Time,
    /// When it happened last.
    pub last: Time,
    /// Rises with every change of any event, also across restarts.
    pub revision: u64,
}

/// Records events. Clones share one memory.
#[derive(Debug, Clone)]
pub struct EventRecorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Mutex<Book>,
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Book {
    revision: u64,
    bytes: usize,
    by_revision: BTreeMap<u64, Event>,
    /// Revisions of the events about an object, by its kind and name.
    about: HashMap<(String, String), BTreeSet<u64>>,
    latest_of: HashMap<Same, u64>,
}

/// What makes two events equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Same {
    about: ObjectRef,
    kind: EventType,
    reason: String,
    /// What the message comes to.
    gist: String,
}

impl Default for EventRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl EventRecorder {
    /// An empty memory.
    pub fn new() -> Self {
        // Revisions begin at the clock's milliseconds, so that they also rise across restarts without a file.
        let revision = u64::try_from(aegis_clock::timestamp().as_millisecond()).unwrap_or_default();
        let book = Book {
            revision,
            bytes: 0,
            by_revision: BTreeMap::new(),
            about: HashMap::new(),
            latest_of: HashMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                book: Mutex::new(book),
                latest: watch::Sender::new(revision),
            }),
        }
    }

    /// Records an event; never waits.
    pub fn record(&self, about: &ObjectRef, kind: EventType, reason: &str, message: impl Into<String>) {
        let mut message: String = message.into();
        if let Some((cut, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
            message.truncate(cut);
            message.push('…');
        }
        let same = Same {
            about: about.clone(),
            kind,
            reason: reason.to_owned(),
            gist: gist::gist(&message),
        };
        let revision = self.inner.book().record(same, message, aegis_clock::now());
        self.inner.latest.send_replace(revision);
    }

    /// Every event that is kept, the most recently changed last, with the revision of the whole.
    pub fn list(&self) -> (u64, Vec<Event>) {
        let book = self.inner.book();
        (book.revision, book.by_revision.values().cloned().collect())
    }

    /// The last so many events about this object, the most recently changed last.
    pub fn about(&self, kind: &str, name: &str, most: usize) -> Vec<Event> {
        let book = self.inner.book();
        let Some(theirs) = book.about.get(&(kind.to_owned(), name.to_owned())) else {
            return Vec::new();
        };
        let newest = theirs.iter().rev().take(most);
        let found = newest.filter_map(|revision| book.by_revision.get(revision));
        let mut found: Vec<Event> = found.cloned().collect();
        found.reverse();
        found
    }

    /// Events changed after revision `since`, then changes as they come; without `since` only new ones. An event that
    /// changes again before it is read is seen once, as it then is.
    pub fn watch(&self, since: Option<u64>) -> BoxStream<'static, Event> {
        let news = self.inner.latest.subscribe();
        let now = self.inner.book().revision;
        let position = since.map_or(now, |since| since.min(now));
        let inner = Arc::clone(&self.inner);
        follow(position, news, move |position| {
            let book = inner.book();
            let later = book.by_revision.range(position.saturating_add(1)..);
            let items: Vec<Event> = later.take(CHUNK).map(|(_, event)| event.clone()).collect();
            let position = items.last().map_or(book.revision, |event| event.revision);
            Read::Items(items, position)
        })
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn record(&mut self, same: Same, message: String, now: Time) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        let earlier = self
            .latest_of
            .get(&same)
            .copied()
            .and_then(|revision| self.remove(revision));
        let event = match earlier {
            Some(event) if event.last.age(now) < AGGREGATE.std() => Event {
                count: event.count.saturating_add(1),
                // A clock that was set back leaves nothing of a time to come.
                first: event.first.min(now),
                last: now,
                revision,
                // As it was said last.
                message,
                ..event
            },
            older => {
                if let Some(older) = older {
                    self.insert(older);
                }
                let uid = Uuid::new_v4();
                let (short, _, _, _) = uid.as_fields();
                Event {
                    name: format!("{}.{short:08x}", same.about.name),
                    uid: uid.to_string(),
                    about: same.about.clone(),
                    kind: same.kind,
                    reason: same.reason.clone(),
                    message,
                    count: 1,
                    first: now,
                    last: now,
                    revision,
                }
            }
        };
        self.insert(event);
        self.latest_of.insert(same, revision);
        while self.by_revision.len() > CAPACITY || self.bytes > BYTES {
            let Some((&revision, _)) = self.by_revision.first_key_value() else {
                break;
            };
            if let Some(oldest) = self.remove(revision) {
                let same = Same {
                    about: oldest.about,
                    kind: oldest.kind,
                    reason: oldest.reason,
                    gist: gist::gist(&oldest.message),
                };
                if self.latest_of.get(&same) == Some(&revision) {
                    self.latest_of.remove(&same);
                }
            }
        }
        revision
    }

    fn insert(&mut self, event: Event) {
        self.bytes = self.bytes.saturating_add(event.bytes());
        let revisions = self.about.entry(event.about.key()).or_default();
        revisions.insert(event.revision);
        self.by_revision.insert(event.revision, event);
    }

    fn remove(&mut self, revision: u64) -> Option<Event> {
        let event = self.by_revision.remove(&revision)?;
        self.bytes = self.bytes.saturating_sub(event.bytes());
        if let Entry::Occupied(mut revisions) = self.about.entry(event.about.key()) {
            revisions.get_mut().remove(&revision);
            if revisions.get().is_empty() {
                revisions.remove();
            }
        }
        Some(event)
    }
}

impl Event {
    /// Bytes that it takes: most of its texts are there twice, as what makes two events equal.
    fn bytes(&self) -> usize {
        let texts = [
            &self.message,
            &self.reason,
            &self.about.kind,
            &self.about.name,
            &self.about.uid,
        ];
        let twice: usize = texts.iter().map(|text| text.len()).sum();
        OVERHEAD + self.name.len() + 2 * twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};

    fn about(name: &str) -> ObjectRef {
        ObjectRef {
            kind: "Workload".to_owned(),
            name: name.to_owned(),
            uid: "u".to_owned(),
        }
    }

    fn later(seconds: u64) -> Time {
        Time(jiff::Timestamp::UNIX_EPOCH).plus(Duration::from_secs(seconds))
    }

    fn same(message: &str) -> Same {
        Same {
            about: about("web"),
            kind: EventType::Normal,
            reason: "R".to_owned(),
            gist: gist::gist(message),
        }
    }

    fn note(book: &mut Book, message: &str, at: Time) {
        book.record(same(message), message.to_owned(), at);
    }

    #[test]
    fn equal_events_within_ten_minutes_are_one_with_a_count() {
        let recorder = EventRecorder::new();
        let mut book = recorder.inner.book();
        note(&mut book, "a", later(0));
        note(&mut book, "a", later(599));
        note(&mut book, "b", later(599));
        note(&mut book, "a", later(1199));
        let counts: Vec<(String, u32)> = book
            .by_revision
            .values()
            .map(|event| (event.message.clone(), event.count))
            .collect();
        assert_eq!(
            counts,
            [("a".to_owned(), 2), ("b".to_owned(), 1), ("a".to_owned(), 1)]
        );
    }

    #[test]
    fn events_that_differ_in_a_time_or_a_process_id_only_are_counted_and_say_the_last_one() {
        let recorder = EventRecorder::new();
        let mut book = recorder.inner.book();
        for n in 0..40 {
            let message = format!(
                "2026/11/28 03:48:{:02} [emerg] {n}#{n}: unknown directive",
                n % 60
            );
            note(&mut book, &message, later(n));
        }
        let [event] = &book.by_revision.values().collect::<Vec<_>>()[..] else {
            panic!("{:?}", book.by_revision)
        };
        assert!(event.count == 40 && event.message.contains("39#39"), "{event:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let recorder = EventRecorder::new();
        for n in 0..CAPACITY + 100 {
            recorder.record(&about("web"), EventType::Normal, "Counted", format!("{n}"));
        }
        let (_, events) = recorder.list();
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(events.last().unwrap().message, (CAPACITY + 99).to_string());
        let book = recorder.inner.book();
        let indexed: usize = book.about.values().map(BTreeSet::len).sum();
        assert_eq!((book.latest_of.len(), indexed), (CAPACITY, CAPACITY));
    }

    #[test]
    fn i12_long_messages_are_kept_by_their_bytes() {
        let recorder = EventRecorder::new();
        let long = "é".repeat(MESSAGE_LIMIT);
        for n in 0..CAPACITY {
            recorder.record(&about("web"), EventType::Normal, "Long", format!("{n} {long}"));
        }
        let (_, events) = recorder.list();
        let bytes: usize = events.iter().map(|event| 2 * event.message.len()).sum();
        assert!(
            bytes <= BYTES && events.len() > 500,
            "{} events, {bytes} bytes",
            events.len()
        );
        let book = recorder.inner.book();
        assert_eq!((book.latest_of.len(), book.bytes <= BYTES), (events.len(), true));
    }

    #[test]
    fn the_last_ones_about_an_object_are_found_among_many() {
        let recorder = EventRecorder::new();
        for n in 0..30 {
            recorder.record(&about("web"), EventType::Normal, "Web", format!("{n}"));
            recorder.record(&about("db"), EventType::Normal, "Db", format!("{n}"));
        }
        let said = |name| -> Vec<String> {
            let found = recorder.about("Workload", name, 2);
            found
                .iter()
                .map(|event| format!("{} {}", event.reason, event.message))
                .collect()
        };
        assert_eq!(said("web"), ["Web 28", "Web 29"]);
        assert_eq!(said("db"), ["Db 28", "Db 29"]);
        assert!(recorder.about("Incident", "web", 2).is_empty());
    }

    #[test]
    fn a_watcher_replays_and_follows() {
        let recorder = EventRecorder::new();
        let (start, _) = recorder.list();
        recorder.record(&about("a"), EventType::Warning, "One", "first");
        let mut all = recorder.watch(Some(start));
        let mut new_only = recorder.watch(None);
        assert_eq!(all.next().now_or_never().flatten().unwrap().reason, "One");
        assert!(new_only.next().now_or_never().is_none());
        recorder.record(&about("a"), EventType::Warning, "One", "first");
        assert_eq!(all.next().now_or_never().flatten().unwrap().count, 2);
        assert_eq!(new_only.next().now_or_never().flatten().unwrap().count, 2);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let recorder = EventRecorder::new();
        recorder.record(&about("a"), EventType::Normal, "Long", "é".repeat(5000));
        assert_eq!(
            recorder.list().1.first().unwrap().message.chars().count(),
            MESSAGE_LIMIT + 1
        );
    }
}
