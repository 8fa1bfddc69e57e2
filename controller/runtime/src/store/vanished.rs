//! Objects whose spec file is gone: which of them are deleted, and which stay in force until somebody confirms it.
//! Owns what is held; the rule is [`super::weigh`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aegis_api::deletion::{HeldDeletion, HeldReason};
use aegis_api::{KINDS, KindInfo};
use tokio::time::Instant;

use super::files::Note;
use super::object::Stored;
use super::weigh::{self, Going, WINDOW};
use super::writer::Writer;
use super::{BrokenFile, StoreError};
use crate::disk::folder::Listing;
use crate::disk::home::{Folder, Record};
use crate::disk::layout::Key;
use crate::disk::rename::Sought;
use crate::disk::{blocking, briefly};
use crate::events::{EventType, ObjectRef};

/// How many objects of one kind get an Event of their own when their deletions are held; the kind's own names the rest.
const EVENTS_EACH: usize = 20;

/// When to read again a file that was gone or bad at first sight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recheck {
    /// When it is read once more.
    pub(crate) due: Instant,
    /// Since when the file of an object in force is gone.
    pub(crate) gone: Option<SystemTime>,
}

impl Writer {
    /// Whether an object is in force whose deletion was not requested.
    pub(crate) fn is_in_force(&self, key: &Key) -> bool {
        let object = self.memory.get(key.info, &key.name);
        object.is_some_and(|object| !object.is_deleting())
    }

    /// The file of an object in force is gone: that counts only when it stays so.
    pub(crate) fn recheck_missing(&mut self, key: Key) {
        let due = Instant::now() + self.hold;
        let first = Recheck {
            due,
            gone: Some(SystemTime::now()),
        };
        let recheck = self.recheck.entry(key).or_insert(first);
        if recheck.gone.is_none() {
            *recheck = first;
        }
    }

    /// Decides about files that have been gone: answers those whose objects are to be deleted now.
    pub(crate) async fn weigh(&mut self, gone: Vec<(Key, Folder)>) -> Result<Vec<Key>, StoreError> {
        let (replaced, gone): (Vec<_>, Vec<_>) = gone
            .into_iter()
            .partition(|(_, folder)| matches!(folder, Folder::Other(_)));
        let replaced: Vec<Key> = replaced.into_iter().map(|(key, _)| key).collect();
        self.hold(&replaced, HeldReason::FolderReplaced);
        let gone = self
            .without_renamed(gone.into_iter().map(|(key, _)| key).collect())
            .await?;
        let now = Instant::now();
        self.deleted.retain(|(_, at)| now.duration_since(*at) < WINDOW);
        let mut kinds: BTreeMap<&'static str, Going> = BTreeMap::new();
        for key in &gone {
            kinds.entry(key.info.plural).or_default().going += 1;
        }
        for (plural, going) in &mut kinds {
            let lately = self
                .deleted
                .iter()
                .filter(|(deleted, _)| deleted == plural)
                .count();
            going.going += lately;
            going.of = self.count(plural) + lately;
        }
        let mass = weigh::held(&kinds);
        let (held, free): (Vec<Key>, Vec<Key>) =
            gone.into_iter().partition(|key| mass.contains(&key.info.plural));
        self.hold(&held, HeldReason::ManyAtOnce);
        // Those that were only inspected along with others have their own time.
        let due: Vec<Key> = free
            .into_iter()
            .filter(|key| !self.recheck.contains_key(key))
            .collect();
        self.deleted.extend(due.iter().map(|key| (key.info.plural, now)));
        Ok(due)
    }

    /// How many objects of a kind are in force and neither going nor held.
    fn count(&self, plural: &str) -> usize {
        let Some(info) = KINDS.iter().find(|info| info.plural == plural) else {
            return 0;
        };
        let (_, objects) = self.memory.list(info);
        let stays =
            |object: &Stored| !object.is_deleting() && !self.memory.is_held(&Key::new(info, object.name()));
        objects.iter().filter(|object| stays(object)).count()
    }

    /// Holds those whose file only has another name now; answers the others.
    async fn without_renamed(&mut self, gone: Vec<Key>) -> Result<Vec<Key>, StoreError> {
        if gone.is_empty() {
            return Ok(gone);
        }
        let sought: Vec<Sought> = gone
            .iter()
            .map(|key| Sought {
                key: key.clone(),
                since: self.gone_since(key),
                signature: self.files.get(key).and_then(|facts| facts.spec_file?.signature),
            })
            .collect();
        let disk = self.disk.clone();
        let renamed = blocking(move || disk.renamed(sought)).await?;
        for (key, to) in &renamed {
            self.hold_one(key, HeldReason::Renamed, Some(to.clone()));
        }
        Ok(gone
            .into_iter()
            .filter(|key| !renamed.contains_key(key))
            .collect())
    }

    fn gone_since(&self, key: &Key) -> Option<SystemTime> {
        let recheck = self.recheck.get(key).or_else(|| self.judging.get(key));
        recheck.and_then(|recheck| recheck.gone)
    }

    fn hold(&mut self, keys: &[Key], reason: HeldReason) {
        let mut kinds: BTreeMap<&'static str, Vec<&Key>> = BTreeMap::new();
        for key in keys {
            kinds.entry(key.info.plural).or_default().push(key);
        }
        for (plural, keys) in kinds {
            for key in keys.iter() {
                self.hold_one(key, reason, None);
            }
            let Some(info) = keys.first().map(|key| key.info) else {
                continue;
            };
            let names: Vec<&str> = keys
                .iter()
                .take(EVENTS_EACH)
                .map(|key| key.name.as_str())
                .collect();
            let more = keys.len().saturating_sub(names.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let message = format!(
                "the files of {} {} are gone at once ({}{more}): nothing is deleted until somebody confirms it; put the files \
                 back, or run `aegisctl confirm {plural}`",
                keys.len(),
                if keys.len() == 1 {
                    info.singular.as_str()
                } else {
                    plural
                },
                names.join(", "),
            );
            tracing::warn!(kind = info.kind, count = keys.len(), "{message}");
            self.events
                .record(&of_kind(info), EventType::Warning, "MassDeletionHeld", message);
            for key in keys.into_iter().take(EVENTS_EACH) {
                self.note(Note::warning(
                    key,
                    &self.uid(key),
                    "DeletionHeld",
                    format!("{} is gone together with others: {}", key.spec_file(), to_do(key)),
                ));
            }
        }
    }

    fn hold_one(&mut self, key: &Key, reason: HeldReason, renamed_to: Option<String>) {
        self.recheck.remove(key);
        if let Some(facts) = self.files.get_mut(key) {
            facts.spec_file = None;
        }
        if let Some(to) = &renamed_to {
            let message = format!(
                "{} was renamed to {to}, which still says metadata.name: {}: {}",
                key.spec_file(),
                key.name,
                to_do(key)
            );
            self.note(Note::warning(key, &self.uid(key), "FileRenamed", message));
        }
        self.memory.hold(
            key.clone(),
            HeldDeletion {
                kind: key.info.kind.to_owned(),
                plural: key.info.plural.to_owned(),
                name: key.name.clone(),
                since: self.clock.now(),
                reason,
                renamed_to,
            },
        );
        self.held_changed = true;
    }

    fn uid(&self, key: &Key) -> String {
        let object = self.memory.get(key.info, &key.name);
        object.map_or_else(String::new, |object| object.uid().to_owned())
    }

    /// Ends holds whose file is back or whose object goes.
    pub(crate) fn review_held(&mut self) {
        for (key, _) in self.memory.held() {
            let back = self
                .files
                .get(&key)
                .is_some_and(|facts| facts.spec_file.is_some());
            let stays = self.is_in_force(&key);
            if stays && !back {
                continue;
            }
            self.memory.release_held(&key);
            self.held_changed = true;
            if stays {
                let message = format!("{} is back: its deletion is not held any more", key.spec_file());
                self.note(Note::normal(&key, &self.uid(&key), "FileReturned", message));
            }
        }
    }

    /// Looks again at files that only had another name: where that file is gone, too, the object's is.
    pub(crate) async fn review_renamed(&mut self) -> Result<(), StoreError> {
        let renamed = |(key, held): (Key, HeldDeletion)| Some((key, held.renamed_to?));
        let renamed: Vec<(Key, String)> = self.memory.held().into_iter().filter_map(renamed).collect();
        if renamed.is_empty() {
            return Ok(());
        }
        let disk = self.disk.clone();
        let over = blocking(move || {
            let is_over = |(key, to): &(Key, String)| {
                !disk.still_says(key, to) && disk.folder(key.info) == Folder::Same
            };
            renamed
                .into_iter()
                .filter(is_over)
                .map(|(key, _)| key)
                .collect::<Vec<_>>()
        });
        for key in over.await? {
            self.memory.release_held(&key);
            self.held_changed = true;
            self.recheck_missing(key);
        }
        Ok(())
    }

    /// Inspects the folders themselves, as a listing found them.
    pub(crate) async fn review_folders(&mut self, listing: &Listing) -> Result<(), StoreError> {
        for info in KINDS.iter() {
            let Some(found) = listing.folders.get(info.plural).cloned() else {
                continue;
            };
            let found = match found {
                Folder::Other(id) if self.lacking(info, listing).is_empty() => {
                    self.disk.adopt(info, id);
                    Folder::Same
                }
                Folder::Missing if self.is_unknown(info) => {
                    let disk = self.disk.clone();
                    match blocking(move || disk.make_home(info)).await? {
                        Ok(()) => Folder::Same,
                        Err(error) => Folder::Unusable(format!("the folder cannot be made: {error}")),
                    }
                }
                found => found,
            };
            self.report_folder(info, &found);
        }
        Ok(())
    }

    /// Objects of a kind that should have a file, and have none by this listing.
    fn lacking(&self, info: &'static KindInfo, listing: &Listing) -> Vec<Key> {
        let listed: BTreeSet<&Key> = listing.specs.iter().map(|(key, _)| key).collect();
        let ours = self
            .files
            .iter()
            .filter(|(key, _)| key.info.plural == info.plural);
        let should = ours.filter(|(key, facts)| facts.accepted.is_some() && self.is_in_force(key));
        should
            .map(|(key, _)| key)
            .filter(|key| !listed.contains(key))
            .cloned()
            .collect()
    }

    /// Whether nothing of a kind is known, so that its folder may be any.
    pub(crate) fn is_unknown(&self, info: &KindInfo) -> bool {
        let dormant = self.dormant.keys().any(|key| key.info.plural == info.plural);
        !dormant && self.memory.is_empty(info)
    }

    /// Reports a folder that is not as it was loaded, or that it is well again.
    pub(crate) fn report_folder(&self, info: &'static KindInfo, found: &Folder) {
        let path = self.disk.dir.join(info.plural);
        let Some((reason, why)) = found.fault(&self.disk.dir, info.plural) else {
            if self.memory.mark_sound(&path) {
                let message = format!("the folder {} is in order again", info.plural);
                self.events
                    .record(&of_kind(info), EventType::Normal, "FolderReturned", message);
            }
            return;
        };
        let message = format!("{}: {why}", info.plural);
        let file = BrokenFile {
            path,
            kind: info.kind.to_owned(),
            name: String::new(),
            message: message.clone(),
        };
        if self.memory.mark_broken(file) {
            tracing::warn!(kind = info.kind, "{message}");
            self.events
                .record(&of_kind(info), EventType::Warning, reason, message);
        }
    }

    /// Makes sure that these kinds' folders are the ones that were loaded before anything is written to them. Answers
    /// why not, by the plural of the kind.
    pub(crate) async fn folders_in_order(
        &mut self,
        kinds: BTreeSet<&'static str>,
    ) -> Result<BTreeMap<&'static str, StoreError>, StoreError> {
        let infos: Vec<&'static KindInfo> = KINDS.iter().filter(|info| kinds.contains(info.plural)).collect();
        let disk = self.disk.clone();
        let found = briefly(move || {
            infos
                .into_iter()
                .map(|info| (info, disk.folder(info)))
                .collect::<Vec<_>>()
        });
        let found = found.await?;
        if found.iter().all(|(_, folder)| *folder == Folder::Same) {
            return Ok(BTreeMap::new());
        }
        let mut faults = BTreeMap::new();
        for (info, folder) in found {
            if folder == Folder::Same {
                continue;
            }
            let disk = self.disk.clone();
            let listing = blocking(move || disk.list_only(&[info])).await?;
            self.review_folders(&listing).await?;
            let disk = self.disk.clone();
            let folder = blocking(move || disk.folder(info)).await?;
            if let Some(error) = folder.error(&self.disk.dir, info.plural) {
                faults.insert(info.plural, error.into());
            }
        }
        Ok(faults)
    }

    /// Somebody confirms deletions of this kind: what is in the place of its folder is its folder from now on.
    pub(crate) async fn accept_folder(&mut self, info: &'static KindInfo) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        if let Folder::Other(id) = blocking(move || disk.folder(info)).await? {
            self.disk.adopt(info, id);
            self.report_folder(info, &Folder::Same);
        }
        Ok(())
    }

    /// Writes down what the next start must know, if that has changed.
    pub(crate) async fn keep_record(&mut self) {
        let occupied = KINDS.iter().filter(|info| !self.is_unknown(info));
        let record = Record {
            occupied: occupied.map(|info| info.plural.to_owned()).collect(),
            held: self.memory.held().into_iter().map(|(_, held)| held).collect(),
        };
        if record == self.record {
            self.held_changed = false;
            return;
        }
        let (disk, wanted) = (self.disk.clone(), record.clone());
        match blocking(move || wanted.write(&disk.dir)).await {
            Ok(Ok(())) => {
                self.record = record;
                self.held_changed = false;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the state directory's .folders cannot be written"),
            Err(_) => {}
        }
    }

    /// What was held before this start stays held; what else has lost its file meanwhile is judged as always, but at
    /// once. Answers what is to be deleted.
    pub(crate) async fn weigh_at_start(&mut self, gone: Vec<Key>) -> Result<Vec<Key>, StoreError> {
        let known: BTreeMap<(String, String), HeldDeletion> = self
            .record
            .held
            .iter()
            .map(|held| ((held.plural.clone(), held.name.clone()), held.clone()))
            .collect();
        let mut fresh = Vec::new();
        for key in gone {
            match known.get(&(key.info.plural.to_owned(), key.name.clone())) {
                Some(held) => self.memory.hold(key, held.clone()),
                None => {
                    let path = key.status_path(&self.disk.dir);
                    let written =
                        blocking(move || std::fs::metadata(path).and_then(|file| file.modified()).ok())
                            .await?;
                    let recheck = Recheck {
                        due: Instant::now(),
                        gone: written.or_else(|| Some(SystemTime::now())),
                    };
                    self.judging.insert(key.clone(), recheck);
                    fresh.push((key, Folder::Same));
                }
            }
        }
        for (key, held) in self.memory.held() {
            let message = format!("{} is still gone: {}", key.spec_file(), to_do(&key));
            tracing::warn!(kind = held.kind, name = held.name, "a deletion is held");
            self.note(Note::warning(&key, &self.uid(&key), "DeletionHeld", message));
        }
        let due = self.weigh(fresh).await;
        self.judging.clear();
        due
    }
}

/// What an Event about a whole kind is about.
fn of_kind(info: &KindInfo) -> ObjectRef {
    ObjectRef {
        kind: info.kind.to_owned(),
        name: info.plural.to_owned(),
        uid: String::new(),
    }
}

fn to_do(key: &Key) -> String {
    format!(
        "{}/{} stays in force; put the file back, or run `aegisctl confirm {}/{}` to delete it",
        key.info.singular, key.name, key.info.singular, key.name
    )
}
