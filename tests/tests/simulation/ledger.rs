//! The record of one run: every durable change of a resource in order, what people requested and what was acknowledged,
//! and a human-readable trace. Owns no judgement but one: nothing acknowledged may be missing after a crash (I10).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::{KINDS, Time};
use aegis_docker_fake::FakeEngine;
use aegis_runtime::{Observer, Reconciled, Store, StoreEvent, Stored, Verb};
use serde_json::Value;

/// One durable change.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// When it was published, by the engine's clock; what only a restart found happened before the controller ended.
    pub(crate) at: Time,
    pub(crate) verb: Verb,
    pub(crate) object: Arc<Stored>,
    /// The object before; absent for a new one.
    pub(crate) old: Option<Arc<Stored>>,
    /// It was seen as it happened. Otherwise it is what a restart found, which may be several changes at once.
    pub(crate) live: bool,
}

/// Kind and name.
pub(crate) type Key = (&'static str, String);

#[derive(Default)]
struct Pages {
    records: Vec<Record>,
    latest: BTreeMap<Key, Arc<Stored>>,
    acknowledged: BTreeMap<Key, u64>,
    /// Deletions that were requested, whether or not they were answered.
    deletions: Vec<Key>,
    /// Workload specs that people requested.
    wishes: Vec<(String, Value)>,
    broken: Vec<String>,
    /// When the controller ended last.
    ended: Option<Time>,
    /// Since when nothing keeps the controller from its work, or something does.
    calm: Vec<(Time, bool)>,
    trace: Vec<(Time, String)>,
    reconciles: u64,
}

/// The record. Clones share it.
#[derive(Clone)]
pub(crate) struct Ledger {
    pages: Arc<Mutex<Pages>>,
    engine: FakeEngine,
}

impl Ledger {
    pub(crate) fn new(engine: FakeEngine) -> Self {
        Self {
            pages: Arc::default(),
            engine,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the trace.
    pub(crate) fn say(&self, text: impl Into<String>) {
        let at = self.engine.now();
        self.pages().trace.push((at, text.into()));
    }

    /// The controller has ended, or was killed.
    pub(crate) fn end(&self) {
        self.pages().ended = Some(self.engine.now());
    }

    /// A promise was broken.
    pub(crate) fn complain(&self, text: impl Into<String>) {
        let text = text.into();
        self.say(format!("BROKEN: {text}"));
        self.pages().broken.push(text);
    }

    pub(crate) fn follow(&self, event: StoreEvent) {
        let StoreEvent {
            verb, object, old, ..
        } = event;
        self.record(verb, object, old, true);
    }

    fn record(&self, verb: Verb, object: Arc<Stored>, old: Option<Arc<Stored>>, live: bool) {
        let at = self.engine.now();
        if let Some(news) = news(old.as_deref(), &object, verb) {
            self.say(news);
        }
        let mut pages = self.pages();
        let at = pages.ended.filter(|_| !live).unwrap_or(at);
        let key = (object.info.kind, object.name().to_owned());
        match verb {
            Verb::Deleted => pages.latest.remove(&key),
            Verb::Added | Verb::Modified => pages.latest.insert(key, Arc::clone(&object)),
        };
        pages.records.push(Record {
            at,
            verb,
            object,
            old,
            live,
        });
    }

    /// A client got the acknowledgement that this is stored.
    pub(crate) fn acknowledge(&self, object: &Stored) {
        let key = (object.info.kind, object.name().to_owned());
        self.pages().acknowledged.insert(key, object.resource_version);
    }

    /// A client is about to request a deletion.
    pub(crate) fn ask_deletion(&self, kind: &'static str, name: &str) {
        self.pages().deletions.push((kind, name.to_owned()));
    }

    /// A person's edit is about to make this of a workload's spec.
    pub(crate) fn wish(&self, workload: &str, spec: &Value) {
        self.pages().wishes.push((workload.to_owned(), spec.clone()));
    }

    /// I10: after a restart everything that was published is there as it was, or newer.
    pub(crate) fn i10_reopened(&self, store: &Store) {
        let (latest, acknowledged, deletions) = {
            let pages = self.pages();
            (
                pages.latest.clone(),
                pages.acknowledged.clone(),
                pages.deletions.clone(),
            )
        };
        let mut found: BTreeMap<Key, Arc<Stored>> = BTreeMap::new();
        for info in KINDS.iter() {
            let (_, objects) = store.list_stored(info);
            found.extend(
                objects
                    .into_iter()
                    .map(|object| ((info.kind, object.name().to_owned()), object)),
            );
        }
        for (key, before) in &latest {
            let version = before
                .resource_version
                .max(acknowledged.get(key).copied().unwrap_or(0));
            match found.get(key) {
                None if before.is_deleting() || deletions.contains(key) => {
                    self.record(Verb::Deleted, Arc::clone(before), Some(Arc::clone(before)), false);
                }
                None => self.complain(format!(
                    "I10: {key:?} was stored (version {version}) and is gone after a crash"
                )),
                Some(now) if now.resource_version < version => self.complain(format!(
                    "I10: {key:?} was stored as version {version} and is version {} after a crash",
                    now.resource_version
                )),
                Some(now) if now.resource_version == before.resource_version => {
                    if now.value() != before.value() {
                        self.complain(format!(
                            "I10: {key:?} version {version} is not what it was before a crash:\n{}\n{}",
                            before.value(),
                            now.value()
                        ));
                    }
                }
                Some(now) => self.record(Verb::Modified, Arc::clone(now), Some(Arc::clone(before)), false),
            }
        }
        for (key, now) in found.iter().filter(|(key, _)| !latest.contains_key(*key)) {
            if self
                .records()
                .iter()
                .any(|record| record.verb == Verb::Deleted && record.object.uid() == now.uid())
            {
                self.complain(format!("I10: {key:?} was deleted and is back after a crash"));
            }
            self.record(Verb::Added, Arc::clone(now), None, false);
        }
    }

    /// From now on nothing keeps the controller from its work, or something does.
    pub(crate) fn calm(&self, calm: bool) {
        let at = self.engine.now();
        let mut pages = self.pages();
        if pages.calm.last().is_none_or(|(_, last)| *last != calm) {
            pages.calm.push((at, calm));
        }
    }

    /// The times in which nothing kept the controller from its work; the last one may still go on.
    pub(crate) fn calms(&self) -> Vec<(Time, Option<Time>)> {
        let pages = self.pages();
        let until = pages.calm.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        let spans = pages.calm.iter().zip(until);
        spans
            .filter(|((_, calm), _)| *calm)
            .map(|((from, _), until)| (*from, until))
            .collect()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.pages().records.clone()
    }

    pub(crate) fn wishes(&self) -> Vec<(String, Value)> {
        self.pages().wishes.clone()
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        self.pages().broken.clone()
    }

    pub(crate) fn reconciles(&self) -> u64 {
        self.pages().reconciles
    }

    /// Everything that happened, one line each, in order: what was recorded here, and what changed in the engine.
    pub(crate) fn trace(&self) -> String {
        let began = super::world::EPOCH.parse::<Time>().expect("a time");
        let mut lines = self.pages().trace.clone();
        let effects = self.engine.effects().into_iter().map(|effect| {
            let text = format!(
                "    {:?} {:?} {} ({}) {}",
                effect.actor,
                effect.op,
                effect.container,
                effect.id.get(..6).unwrap_or_default(),
                effect.detail
            );
            (effect.at, text)
        });
        lines.extend(effects);
        lines.sort_by_key(|(at, _)| *at);
        let line = |(at, text): &(Time, String)| {
            let millis = began.age(*at).as_millis();
            format!("{:>4}.{:03} {text}\n", millis / 1000, millis % 1000)
        };
        lines.iter().map(line).collect()
    }
}

impl Observer for Ledger {
    fn reconciled(&self, r: &Reconciled<'_>) {
        self.pages().reconciles += 1;
        let Some((category, chain)) = &r.error else { return };
        self.say(format!("  {} {} failed ({category}): {chain}", r.kind, r.name));
        if matches!(*category, "panic" | "timeout") {
            self.complain(format!("{} {}: {category}: {chain}", r.kind, r.name));
        }
    }
}

/// What a change means, human-readable; nothing where it is only detail.
fn news(old: Option<&Stored>, new: &Stored, verb: Verb) -> Option<String> {
    let name = format!("{} {}", new.info.kind, new.name());
    let pick = |object: Option<&Stored>, pointer: &str| {
        object
            .and_then(|object| object.value().pointer(pointer).cloned())
            .unwrap_or_default()
    };
    match verb {
        Verb::Added => return Some(format!("  {name} added: {}", pick(Some(new), "/spec"))),
        Verb::Deleted => return Some(format!("  {name} deleted")),
        Verb::Modified => {}
    }
    let mut parts = Vec::new();
    if pick(old, "/spec") != pick(Some(new), "/spec") {
        parts.push(format!("spec {}", pick(Some(new), "/spec")));
    }
    if pick(old, "/metadata/deletionTimestamp") != pick(Some(new), "/metadata/deletionTimestamp") {
        parts.push("is being deleted".to_owned());
    }
    let timeline = |object: Option<&Stored>| {
        pick(object, "/status/timeline")
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    for entry in timeline(Some(new)).iter().skip(timeline(old).len()) {
        let text = |key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        parts.push(format!("{}: {}", text("status"), text("message")));
    }
    let ready = |object: Option<&Stored>| {
        let conditions = pick(object, "/status/conditions")
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = conditions
            .into_iter()
            .find(|condition| condition["type"] == "Ready");
        ready.map(|ready| format!("{} {}", ready["reason"], ready["message"]))
    };
    if new.info.kind != "RunbookEntry" && ready(old) != ready(Some(new)) {
        parts.extend(ready(Some(new)));
    }
    let rows = |object: Option<&Stored>| -> Vec<String> {
        let rows = pick(object, "/status/instances")
            .as_array()
            .cloned()
            .unwrap_or_default();
        let row = |row: Value| {
            let draining = if row["draining"] == true { " draining" } else { "" };
            format!("{}={}/{}{draining}", row["name"], row["state"], row["health"])
        };
        rows.into_iter().map(row).collect()
    };
    if rows(old) != rows(Some(new)) {
        parts.push(rows(Some(new)).join(" "));
    }
    (!parts.is_empty()).then(|| format!("  {name}: {}", parts.join(" | ")))
}
