//! Start-up: reads every file, on several threads, into what the status files say is in force and how the spec files
//! differ from that. What the differences mean is decided where people's changes always are. Does I/O; blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_api::defaults::Defaults;
use aegis_api::{KINDS, Time};

use super::batch::{Facts, SpecFile};
use super::files::Note;
use super::object::Stored;
use super::sieve::Sieve;
use super::{Retention, StoreError};
use crate::disk::Disk;
use crate::disk::file::{self, Found};
use crate::disk::folder::{Judged, Known, Misnamed};
use crate::disk::layout::Key;
use crate::disk::status_file::{self, StatusFile};

/// Threads that read and decode.
const READERS: usize = 4;
/// Objects that wait to be taken in.
const WAITING: usize = 256;

/// What the files of a state directory say.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// What is in force by the status files.
    pub(crate) objects: Vec<Arc<Stored>>,
    pub(crate) facts: Vec<(Key, Facts)>,
    /// Sound status files whose object is not valid any more; until its spec file is repaired they only wait.
    pub(crate) dormant: Vec<(Key, StatusFile)>,
    /// Status files that say nothing and have no spec file.
    pub(crate) orphaned: Vec<Key>,
    /// Spec files that are not what the status files accepted.
    pub(crate) judged: Vec<(Key, Judged)>,
    pub(crate) misnamed: Vec<Misnamed>,
    pub(crate) notes: Vec<Note>,
    /// The highest revision that any file mentions.
    pub(crate) revision: u64,
    /// How many finished objects of each kind were removed as too many.
    pub(crate) retired: BTreeMap<&'static str, usize>,
    /// How many that have not finished were put aside as too many.
    pub(crate) aside: BTreeMap<&'static str, usize>,
}

/// Reads everything, and removes what is finished and too much before it is kept anywhere: a directory of any size is
/// loaded in the memory that its newest objects take.
pub(crate) fn load(disk: &Disk, retention: Retention, now: Time) -> Result<Loaded, StoreError> {
    disk.sweep()?;
    let listing = disk.list();
    for info in KINDS.iter() {
        let found = listing.folders.get(info.plural);
        // Nothing is decided on half of what there is.
        if let Some(error) = found.and_then(|folder| folder.error(&disk.dir, info.plural)) {
            return Err(error.into());
        }
    }
    let keys: BTreeSet<Key> = listing
        .specs
        .into_iter()
        .map(|(key, _)| key)
        .chain(listing.statuses)
        .collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let mut loaded = Loaded {
        misnamed: listing.misnamed,
        ..Loaded::default()
    };
    let mut sieve = Sieve::new(retention, now);
    read_all(disk, &keys, |entry| {
        if let Some(entry) = sieve.take(entry) {
            loaded.add(entry);
        }
    })?;
    let sifted = sieve.finish();
    loaded.revision = loaded.revision.max(sifted.revision);
    for entry in sifted.kept {
        loaded.add(entry);
    }
    for key in sifted.gone {
        match disk.remove_files(&key) {
            Ok(()) => *loaded.retired.entry(key.info.kind).or_default() += 1,
            Err(error) => {
                tracing::warn!(%error, "a finished object is kept: its files cannot be removed");
                loaded.add(Entry::read(disk, &key));
            }
        }
    }
    for key in sifted.aside {
        match disk.put_aside(&key) {
            Ok(()) => *loaded.aside.entry(key.info.kind).or_default() += 1,
            Err(error) => {
                tracing::warn!(%error, "an object over the cap is loaded: its files cannot be put aside");
                loaded.add(Entry::read(disk, &key));
            }
        }
    }
    disk.sync_folders(loaded.aside.keys().copied())?;
    disk.sync_folders(loaded.retired.keys().copied())?;
    loaded.judged.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(loaded)
}

/// Reads the files of these objects on several threads; `take` gets them one by one.
fn read_all(disk: &Disk, keys: &[Key], mut take: impl FnMut(Entry)) -> Result<(), StoreError> {
    let share = keys.len().div_ceil(READERS).max(1);
    let (sender, entries) = std::sync::mpsc::sync_channel(WAITING);
    std::thread::scope(|scope| {
        let readers: Vec<_> = keys
            .chunks(share)
            .map(|keys| {
                let sender = sender.clone();
                scope.spawn(move || {
                    // The receiver outlives its senders.
                    keys.iter().all(|key| sender.send(Entry::read(disk, key)).is_ok())
                })
            })
            .collect();
        drop(sender);
        entries.into_iter().for_each(&mut take);
        // A reader that panicked must not make its objects count as deleted.
        let joined = readers
            .into_iter()
            .map(|reader| reader.join().map_err(|_| StoreError::Closed));
        joined.collect::<Result<Vec<_>, _>>().map(|_| ())
    })
}

impl Loaded {
    fn add(&mut self, entry: Entry) {
        let Entry {
            key,
            judged,
            status,
            object,
            garbage,
            notes,
        } = entry;
        self.notes.extend(notes);
        if let Some(status) = status {
            self.revision = self.revision.max(status.metadata.resource_version);
            let mut facts = Facts {
                spec_file: None,
                accepted: status.accepted_file,
            };
            match object {
                Some(object) => self.objects.push(Arc::new(object)),
                None => self.dormant.push((key.clone(), *status)),
            }
            if let (Judged::Same(signature), Some(digest)) = (&judged, facts.accepted) {
                facts.spec_file = Some(SpecFile {
                    digest,
                    signature: Some(*signature),
                    sound: true,
                });
            }
            self.facts.push((key.clone(), facts));
        } else if garbage && matches!(judged, Judged::Missing) {
            self.orphaned.push(key);
            return;
        }
        if !matches!(judged, Judged::Same(_)) {
            self.judged.push((key, judged));
        }
    }
}

/// One object's files as they were found.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) judged: Judged,
    /// The status file, if it is sound.
    pub(super) status: Option<Box<StatusFile>>,
    /// What the status file says is in force, if that is still valid.
    pub(super) object: Option<Stored>,
    /// Whether there is a status file that is not sound.
    garbage: bool,
    notes: Vec<Note>,
}

impl Entry {
    fn read(disk: &Disk, key: &Key) -> Self {
        let mut notes = Vec::new();
        let found = read_status(disk, key);
        let garbage = matches!(found, Some(Err(_)));
        let status = match found {
            Some(Ok(file)) => Some(Box::new(file)),
            Some(Err(message)) => {
                notes.push(Note::warning(key, "", "InvalidStatusFile", message));
                None
            }
            None => None,
        };
        let object = status
            .as_ref()
            .and_then(|file| restore(key, file, &disk.defaults, &mut notes));
        // What is not valid any more is judged afresh, to say why.
        let accepted = status.as_ref().and_then(|file| file.accepted_file);
        let accepted = accepted.filter(|_| object.is_some());
        let known = accepted.map(|digest| Known {
            digest,
            signature: None,
        });
        Self {
            key: key.clone(),
            judged: disk.judge(key, known),
            status,
            object,
            garbage,
            notes,
        }
    }
}

fn read_status(disk: &Disk, key: &Key) -> Option<Result<StatusFile, String>> {
    let path = key.status_path(&disk.dir);
    if let Some(behind) = disk.behind.waiting(&path) {
        return Some(StatusFile::parse(key, &behind.bytes));
    }
    let why = match file::read(&path, status_file::MAX_BYTES, &disk.dir) {
        Ok(Found::Missing) => return None,
        Ok(Found::Unfit(why)) => why,
        Ok(Found::TooLarge(_)) => format!("it has more than {} bytes", status_file::MAX_BYTES),
        Err(error) => format!("it cannot be read: {error}"),
        Ok(Found::Contents(_, bytes)) => match StatusFile::parse(key, &bytes) {
            Ok(file) => return Some(Ok(file)),
            Err(why) => why,
        },
    };
    let kept = match file::keep_beside(&path, &disk.dir, &disk.faults) {
        Ok(()) => "; it is kept with the ending .rejected",
        Err(_) => "",
    };
    Some(Err(format!(
        "{} does not hold what the controller wrote: {why}{kept}",
        key.status_file()
    )))
}

/// The object that a status file holds. `None`: what it accepted is not valid any more.
fn restore(key: &Key, file: &StatusFile, defaults: &Arc<Defaults>, notes: &mut Vec<Note>) -> Option<Stored> {
    let build = |status| {
        Stored::build(
            key.info,
            &key.name,
            file.metadata.clone(),
            file.accepted.clone(),
            status,
            defaults,
        )
    };
    if let Ok(object) = build(file.status.clone()) {
        return Some(object);
    }
    let object = build(None).ok()?;
    let message = format!(
        "the status in {} is not one of a {}: it is reset",
        key.status_file(),
        key.info.kind
    );
    notes.push(Note::warning(key, object.uid(), "InvalidStatusFile", message));
    Some(object)
}
