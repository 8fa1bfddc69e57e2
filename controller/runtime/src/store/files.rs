//! What people write, taken over: their files are judged, and what is good comes into force. Nothing is acted on at
//! first sight if it may be half of a change: editors truncate before they write and remove before they rename.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::KINDS;
use aegis_api::defaults::Defaults;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batch::{Batch, SpecFile};
use super::change::{self, Moment, Outcome};
use super::object::{Desired, System};
use super::vanished::Recheck;
use super::writer::Writer;
use super::{BrokenFile, StoreError, Verb};
use crate::disk::folder::{Judged, Known, Listing, Misnamed};
use crate::disk::home::Folder;
use crate::disk::layout::{FileName, Key};
use crate::disk::status_file::StatusFile;
use crate::events::{EventType, ObjectRef};
use crate::offload::offload;

/// When a file that was bad at first sight is read again; one of an object in force that is gone has longer.
const RECHECK_AFTER: Duration = Duration::from_millis(200);

/// The longest message about a broken file, in characters.
const MESSAGE_LIMIT: usize = 900;

/// An event to be recorded.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) about: ObjectRef,
    pub(crate) kind: EventType,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Note {
    pub(crate) fn warning(key: &Key, uid: &str, reason: &'static str, message: String) -> Self {
        Self {
            about: about(key, uid),
            kind: EventType::Warning,
            reason,
            message,
        }
    }

    pub(crate) fn normal(key: &Key, uid: &str, reason: &'static str, message: String) -> Self {
        Self {
            about: about(key, uid),
            kind: EventType::Normal,
            reason,
            message,
        }
    }
}

fn about(key: &Key, uid: &str) -> ObjectRef {
    ObjectRef {
        kind: key.info.kind.to_owned(),
        name: key.name.clone(),
        uid: uid.to_owned(),
    }
}

/// A spec file and its folder as they were found.
#[derive(Debug)]
pub(crate) struct Inspected {
    key: Key,
    /// What it was compared with.
    known: Option<Known>,
    judged: Judged,
    folder: Folder,
    /// What is in its place is no object by itself.
    foreign: bool,
}

impl Writer {
    /// Reads these spec files. What is gone or bad at first sight is left for a recheck.
    pub(crate) async fn examine(&mut self, keys: Vec<Key>, is_recheck: bool) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let inspected = self.inspection(keys).await.map_err(|_| StoreError::Closed)?;
        self.weigh_inspected(inspected, is_recheck).await
    }

    /// Acts on what was read while changes went on; of what was changed meanwhile, answers which files to read again.
    pub(crate) async fn examined(&mut self, inspected: Vec<Inspected>) -> Result<Vec<Key>, StoreError> {
        let (current, outdated): (Vec<Inspected>, Vec<Inspected>) = inspected
            .into_iter()
            .partition(|inspected| self.known(&inspected.key) == inspected.known);
        self.weigh_inspected(current, false).await?;
        Ok(outdated.into_iter().map(|inspected| inspected.key).collect())
    }

    async fn weigh_inspected(
        &mut self,
        inspected: Vec<Inspected>,
        is_recheck: bool,
    ) -> Result<(), StoreError> {
        let (mut sure, mut gone) = (Vec::new(), Vec::new());
        for Inspected {
            key,
            judged,
            folder,
            foreign,
            ..
        } in inspected
        {
            if matches!(judged, Judged::Same(_) | Judged::Good { .. }) {
                self.recheck.remove(&key);
            }
            match judged {
                Judged::Same(signature) => self.recognise(&key, signature),
                Judged::Bad { .. } if foreign && !self.concerns(&key) => self.mark_sound(&key, ""),
                // A folder that is not there says nothing about what people want.
                Judged::Missing if !matches!(folder, Folder::Same | Folder::Other(_)) => {
                    self.recheck.remove(&key);
                    self.report_folder(key.info, &folder);
                }
                Judged::Missing if !self.concerns(&key) => self.mark_sound(&key, ""),
                Judged::Missing if self.memory.is_held(&key) => {}
                Judged::Missing if self.is_in_force(&key) && is_recheck => gone.push((key, folder)),
                Judged::Missing if self.is_in_force(&key) => self.recheck_missing(key),
                Judged::Missing | Judged::Bad { .. } if !is_recheck => {
                    // One that is read again before it is due does not gain time.
                    self.recheck.entry(key).or_insert_with(|| Recheck {
                        due: Instant::now() + RECHECK_AFTER,
                        gone: None,
                    });
                }
                judged => sure.push((key, judged)),
            }
        }
        let deleted = self.weigh(gone).await?;
        self.judging.clear();
        sure.extend(deleted.into_iter().map(|key| (key, Judged::Missing)));
        self.take_over(sure).await.map(|_| ())
    }

    fn known(&self, key: &Key) -> Option<Known> {
        self.files.get(key)?.spec_file.map(SpecFile::known)
    }

    /// Reads these spec files beside what goes on here.
    pub(crate) fn inspection(&self, keys: Vec<Key>) -> JoinHandle<Vec<Inspected>> {
        let known: Vec<_> = keys.into_iter().map(|key| (self.known(&key), key)).collect();
        let disk = self.disk.clone();
        offload(move || {
            let judged: Vec<_> = known
                .into_iter()
                .map(|(known, key)| (disk.judge(&key, known), known, key))
                .collect();
            // Asked afterwards: a folder that goes away in between takes all its files with it.
            let folders: HashMap<_, _> = KINDS
                .iter()
                .map(|info| (info.plural, disk.folder(info)))
                .collect();
            let in_place = disk.is_in_place();
            let found = judged.into_iter().map(|(judged, known, key)| Inspected {
                foreign: matches!(judged, Judged::Bad { .. }) && disk.is_foreign(&key),
                folder: match folders.get(key.info.plural) {
                    Some(folder) if in_place => folder.clone(),
                    _ => Folder::Away,
                },
                judged,
                known,
                key,
            });
            found.collect()
        })
    }

    /// The contents are known; only the file's dates are new.
    fn recognise(&mut self, key: &Key, signature: crate::disk::file::Signature) {
        if let Some(spec_file) = self.files.get_mut(key).and_then(|facts| facts.spec_file.as_mut()) {
            spec_file.signature = Some(signature);
        }
    }

    /// Whether it means anything to us that this file is gone.
    fn concerns(&self, key: &Key) -> bool {
        let spec_file = self.files.get(key).is_some_and(|facts| facts.spec_file.is_some());
        spec_file || self.dormant.contains_key(key) || self.memory.get(key.info, &key.name).is_some()
    }

    /// Acts on what files say. Answers the first failure to write; what failed is tried again with the next rescan.
    pub(crate) async fn take_over(
        &mut self,
        judged: Vec<(Key, Judged)>,
    ) -> Result<Option<StoreError>, StoreError> {
        if judged.is_empty() {
            return Ok(None);
        }
        let mut seen = Vec::new();
        let mut broken = Vec::new();
        let mut batch = Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            self.clock.now(),
        );
        for (key, judged) in judged {
            let spec_file = judged.spec_file();
            if let Err(message) = consider(&mut batch, self.dormant.get(&key), &key, judged) {
                broken.push((key.clone(), message));
            }
            seen.push((key, spec_file));
        }
        let sealed = batch.seal();
        for (key, message) in broken {
            self.mark_unfit(&key, &message);
        }
        // Known before the write, so that the write knows what it replaces.
        for (key, spec_file) in &mut seen {
            let facts = self.files.entry(key.clone()).or_default();
            std::mem::swap(&mut facts.spec_file, spec_file);
        }
        let aftermath = self.carry_out(sealed).await?;
        for (key, before) in seen {
            match aftermath.failures.get(&key) {
                // As if it had not been read; without a signature the next rescan does.
                Some(error) => {
                    let message = format!("what {} says is not in force: {error}", key.spec_file());
                    self.note(Note::warning(&key, "", "StateNotWritable", message));
                    let before = before.map(|before| SpecFile {
                        signature: None,
                        ..before
                    });
                    self.files.entry(key).or_default().spec_file = before;
                }
                None => self.settled(&key),
            }
        }
        Ok(aftermath.failures.into_values().next())
    }

    /// What is to be tidied up once a file and what is in force agree, or the file is known to be broken.
    fn settled(&mut self, key: &Key) {
        let spec_file = self.files.get(key).and_then(|facts| facts.spec_file);
        let object = self.memory.get(key.info, &key.name);
        if object.is_some() || spec_file.is_none() {
            self.dormant.remove(key);
        }
        if spec_file.is_none_or(|spec_file| spec_file.sound) {
            self.mark_sound(key, object.as_ref().map_or("", |object| object.uid()));
        }
        if spec_file.is_none() && object.is_none() {
            self.files.remove(key);
        }
    }

    /// Compares a listing of every folder with what is known; answers the files to be read.
    pub(crate) fn compare(&mut self, listing: &Listing) -> Vec<Key> {
        let mut worth: Vec<Key> = Vec::new();
        let mut listed = HashSet::new();
        for (key, signature) in &listing.specs {
            listed.insert(key);
            let known = self
                .files
                .get(key)
                .and_then(|facts| facts.spec_file)
                .and_then(|spec_file| spec_file.signature);
            if known != *signature || known.is_none() {
                worth.push(key.clone());
            }
        }
        let known = self.files.iter().filter(|(_, facts)| facts.spec_file.is_some());
        worth.extend(
            known
                .map(|(key, _)| key)
                .filter(|key| !listed.contains(key))
                .cloned(),
        );
        self.compare_misnamed(&listing.misnamed);
        worth
    }

    /// Objects, not newer than this revision, whose status file a listing does not have.
    pub(crate) fn without_status(&self, listing: &Listing, since: u64) -> Vec<Key> {
        let listed: HashSet<&Key> = listing.statuses.iter().collect();
        let mut lost = Vec::new();
        for info in KINDS.iter() {
            if listing.folders.get(info.plural) != Some(&Folder::Same) {
                continue;
            }
            let (_, objects) = self.memory.list(info);
            let old = objects.iter().filter(|object| object.resource_version <= since);
            let keys = old.map(|object| Key::new(info, object.name()));
            // One that is on its way was not lost.
            let is_lost = |key: &Key| {
                let path = key.status_path(&self.disk.dir);
                !listed.contains(key) && !self.disk.behind.has(&path) && path.symlink_metadata().is_err()
            };
            lost.extend(keys.filter(is_lost));
        }
        lost
    }

    pub(crate) fn compare_misnamed(&self, misnamed: &[Misnamed]) {
        let found: Vec<BrokenFile> = misnamed.iter().map(|file| self.misnamed_file(file)).collect();
        let known = self.memory.broken();
        for file in known
            .iter()
            .filter(|file| KINDS.iter().any(|info| info.kind == file.kind))
            .filter(|file| {
                !file.name.is_empty() && !is_spec(file) && !found.iter().any(|f| f.path == file.path)
            })
        {
            self.memory.mark_sound(&file.path);
        }
        for file in found {
            self.mark_broken(file, None);
        }
    }

    fn misnamed_file(&self, file: &Misnamed) -> BrokenFile {
        BrokenFile {
            path: self.disk.dir.join(file.info.plural).join(&file.file_name),
            kind: file.info.kind.to_owned(),
            name: file.name.clone(),
            message: format!("{}/{}: {}", file.info.plural, file.file_name, file.message),
        }
    }

    fn mark_broken(&self, file: BrokenFile, uid: Option<&str>) {
        let about = ObjectRef {
            kind: file.kind.clone(),
            name: file.name.clone(),
            uid: uid.unwrap_or_default().to_owned(),
        };
        let consequence = match uid {
            Some(_) => "its last good version stays in force",
            None => "nothing of it is in force",
        };
        let message = format!("{} ({consequence})", file.message);
        if self.memory.mark_broken(file) {
            self.events
                .record(&about, EventType::Warning, "InvalidFile", message);
        }
    }

    fn mark_unfit(&self, key: &Key, message: &str) {
        let object = self.memory.get(key.info, &key.name);
        let file = BrokenFile {
            path: key.spec_path(&self.disk.dir),
            kind: key.info.kind.to_owned(),
            name: key.name.clone(),
            message: bounded(format!("{}: {message}", key.spec_file())),
        };
        self.mark_broken(file, object.as_ref().map(|object| object.uid()));
    }

    pub(crate) fn mark_sound(&self, key: &Key, uid: &str) {
        if self.memory.mark_sound(&key.spec_path(&self.disk.dir)) && !uid.is_empty() {
            let message = format!("{} is valid again and in force", key.spec_file());
            self.note(Note::normal(key, uid, "FileRepaired", message));
        }
    }
}

/// Stages what a file means for its object. The error says why the file cannot be in force.
fn consider(
    batch: &mut Batch<'_>,
    dormant: Option<&StatusFile>,
    key: &Key,
    judged: Judged,
) -> Result<(), String> {
    let current = batch.current(key);
    let moment = batch.moment();
    let as_text = |error: StoreError| error.to_string();
    // Deleted by hand and held by finalizers: what is recreated meanwhile has its turn afterwards.
    let going = batch.is_orphan(key) && current.as_ref().is_some_and(|current| current.is_deleting());
    match (judged, current) {
        (Judged::Same(_), _) => {}
        (Judged::Bad { message, .. }, _) => return Err(message),
        (Judged::Missing | Judged::Good { .. }, _) if going => {}
        (Judged::Missing, Some(current)) => {
            let outcome = change::mark_deleted(&current, moment).map_err(as_text)?;
            batch.stage_from_file(key, outcome, None);
        }
        (Judged::Missing, None) if dormant.is_some() => batch.forget(key),
        (Judged::Missing, None) => {}
        (Judged::Good { digest, desired, .. }, Some(current)) => {
            let outcome = change::respecify(&current, desired, moment).map_err(as_text)?;
            batch.stage_from_file(key, outcome, Some(digest));
        }
        (Judged::Good { digest, desired, .. }, None) => {
            let outcome = appear(key, &desired, dormant, moment, batch.defaults()).map_err(as_text)?;
            batch.stage_from_file(key, outcome, Some(digest));
        }
    }
    Ok(())
}

/// A new object, or one that waited for its file to be repaired.
fn appear(
    key: &Key,
    desired: &Desired,
    dormant: Option<&StatusFile>,
    moment: Moment,
    defaults: &Arc<Defaults>,
) -> Result<Outcome, StoreError> {
    let (system, status) = match dormant {
        Some(file) => {
            let generation = file.metadata.generation + 1;
            let system = System {
                generation,
                resource_version: moment.revision,
                ..file.metadata.clone()
            };
            (system, file.status.clone())
        }
        None => (change::new_system(moment), None),
    };
    let build = |status| {
        change::build(
            key.info,
            &key.name,
            system.clone(),
            desired.clone(),
            status,
            defaults,
        )
    };
    let object = build(status).or_else(|_| build(None))?;
    Ok(Outcome::Put {
        object,
        verb: Verb::Added,
        spec: true,
    })
}

/// A file with a long list of errors is still reported in short.
fn bounded(mut message: String) -> String {
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
        message.truncate(cut);
        message.push('…');
    }
    message
}

/// Whether a broken file is one that its name makes an object's.
fn is_spec(file: &BrokenFile) -> bool {
    let file_name = file.path.file_name().unwrap_or_default();
    matches!(FileName::of(&file_name.to_string_lossy()), FileName::Spec(_))
}
