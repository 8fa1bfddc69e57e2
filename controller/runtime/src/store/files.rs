//! What people write, taken over: their files are judged, and what is good comes into force. Nothing is acted on at
//! first sight if it may be half of a change: editors truncate before they write and remove before they rename.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use aegis_api::KINDS;
use tokio::time::Instant;

use super::batch::{Batch, OnDisk};
use super::change::{self, Outcome};
use super::writer::Writer;
use super::{BrokenFile, StoreError, Verb};
use crate::disk::blocking;
use crate::disk::folder::{Judged, Listing, Misnamed};
use crate::disk::layout::Key;
use crate::events::{EventType, ObjectRef};

/// When a file that was gone or bad at first sight is looked at again.
const SECOND_LOOK: Duration = Duration::from_millis(200);

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

impl Writer {
    /// Looks at these spec files. What is gone or bad at first sight is left for a second one.
    pub(crate) async fn examine(&mut self, keys: Vec<Key>, second_look: bool) -> Result<(), StoreError> {
        let known: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let digest = self
                    .files
                    .get(&key)
                    .and_then(|facts| facts.on_disk)
                    .map(|on_disk| on_disk.digest);
                (key, digest)
            })
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let disk = self.disk.clone();
        let judged = blocking(move || {
            let judge = |(key, known): (Key, _)| (disk.judge(&key, known), key);
            known.into_iter().map(judge).collect::<Vec<_>>()
        });
        let mut sure = Vec::new();
        for (judged, key) in judged.await? {
            if matches!(judged, Judged::Same(_) | Judged::Good { .. }) {
                self.suspects.remove(&key);
            }
            match judged {
                Judged::Same(signature) => self.recognise(&key, signature),
                Judged::Missing if !self.concerns(&key) => self.mark_sound(&key, ""),
                Judged::Missing | Judged::Bad { .. } if !second_look => {
                    // A suspect that is seen again before its time does not gain any.
                    self.suspects
                        .entry(key)
                        .or_insert_with(|| Instant::now() + SECOND_LOOK);
                }
                judged => sure.push((key, judged)),
            }
        }
        self.take_over(sure).await.map(|_| ())
    }

    /// The contents are known; only the file's dates are new.
    fn recognise(&mut self, key: &Key, signature: crate::disk::file::Signature) {
        if let Some(on_disk) = self.files.get_mut(key).and_then(|facts| facts.on_disk.as_mut()) {
            on_disk.signature = Some(signature);
        }
    }

    /// Whether it means anything to us that this file is gone.
    fn concerns(&self, key: &Key) -> bool {
        let on_disk = self.files.get(key).is_some_and(|facts| facts.on_disk.is_some());
        on_disk || self.dormant.contains_key(key) || self.memory.get(key.info, &key.name).is_some()
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
        let mut notes = Vec::new();
        let mut batch = Batch::new(&self.memory, &self.files, &mut self.revisions, self.clock.now());
        for (key, judged) in judged {
            let accepted = self.files.get(&key).and_then(|facts| facts.accepted);
            let current = batch.current(&key);
            let moment = batch.moment();
            match judged {
                Judged::Same(_) => {}
                Judged::Missing => {
                    seen.push((key.clone(), None));
                    match current {
                        Some(current) if current.is_deleting() && accepted.is_none() => {}
                        Some(current) => {
                            if let Ok(outcome) = change::mark_deleted(&current, moment) {
                                batch.stage_from_file(&key, outcome, None);
                            }
                        }
                        None if self.dormant.contains_key(&key) => batch.forget(&key),
                        None => {}
                    }
                }
                Judged::Good {
                    digest,
                    signature,
                    desired,
                } => {
                    let on_disk = OnDisk {
                        digest,
                        signature: Some(signature),
                        sound: true,
                    };
                    seen.push((key.clone(), Some(on_disk)));
                    let outcome = match &current {
                        // Made anew while the deleted one is still going: its turn comes then.
                        Some(current) if current.is_deleting() && accepted.is_none() => continue,
                        Some(current) => change::respecify(current, desired, moment),
                        None => {
                            let (mut system, status) = match self.dormant.get(&key) {
                                Some(file) => (file.metadata.clone(), file.status.clone()),
                                None => (change::new_system(moment), None),
                            };
                            system.generation += i64::from(self.dormant.contains_key(&key));
                            system.resource_version = moment.revision;
                            let build = |status| {
                                change::build(key.info, &key.name, system.clone(), desired.clone(), status)
                            };
                            let built = build(status).or_else(|_| build(None));
                            built.map(|object| Outcome::Put {
                                object,
                                verb: Verb::Added,
                                spec: true,
                            })
                        }
                    };
                    match outcome {
                        Ok(outcome) => batch.stage_from_file(&key, outcome, Some(digest)),
                        Err(error) => {
                            let uid = current.map(|current| current.uid().to_owned());
                            notes.push((broken(&self.disk.dir, &key, &error.to_string()), uid));
                        }
                    }
                }
                Judged::Bad {
                    digest,
                    signature,
                    message,
                } => {
                    seen.push((
                        key.clone(),
                        Some(OnDisk {
                            digest,
                            signature,
                            sound: false,
                        }),
                    ));
                    let uid = current.map(|current| current.uid().to_owned());
                    notes.push((broken(&self.disk.dir, &key, &message), uid));
                }
            }
        }
        let sealed = batch.seal();
        for (file, uid) in notes {
            self.mark_broken(file, uid.as_deref());
        }
        // Known before the write, so that the write knows what it replaces; unknown again if it fails.
        let mut before = Vec::new();
        for (key, on_disk) in seen {
            let facts = self.files.entry(key.clone()).or_default();
            before.push((key.clone(), facts.on_disk));
            facts.on_disk = on_disk;
        }
        let aftermath = self.carry_out(sealed).await?;
        for (key, on_disk) in before {
            if aftermath.failures.contains_key(&key) {
                self.files.entry(key).or_default().on_disk = on_disk.map(|known| OnDisk {
                    signature: None,
                    ..known
                });
                continue;
            }
            let on_disk = self.files.get(&key).and_then(|facts| facts.on_disk);
            let object = self.memory.get(key.info, &key.name);
            if object.is_some() || on_disk.is_none() {
                self.dormant.remove(&key);
            }
            if on_disk.is_none_or(|on_disk| on_disk.sound) {
                self.mark_sound(&key, object.as_ref().map_or("", |object| object.uid()));
            }
            self.tidy(&key);
        }
        for (key, error) in &aftermath.failures {
            let message = format!("what {} says is not in force: {error}", key.spec_file());
            self.note(Note::warning(key, "", "StateNotWritable", message));
        }
        Ok(aftermath.failures.into_values().next())
    }

    /// Compares a listing of every folder with what is known; answers the files worth a look.
    pub(crate) fn compare(&mut self, listing: &Listing) -> Vec<Key> {
        let mut worth: Vec<Key> = Vec::new();
        let mut listed = HashSet::new();
        for (key, signature) in &listing.specs {
            listed.insert(key);
            let known = self
                .files
                .get(key)
                .and_then(|facts| facts.on_disk)
                .and_then(|on_disk| on_disk.signature);
            if known != Some(*signature) {
                worth.push(key.clone());
            }
        }
        let known = self.files.iter().filter(|(_, facts)| facts.on_disk.is_some());
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
            let (_, objects) = self.memory.list(info);
            let old = objects.iter().filter(|object| object.resource_version <= since);
            let keys = old.map(|object| Key::new(info, object.name()));
            lost.extend(keys.filter(|key| !listed.contains(key)));
        }
        lost
    }

    pub(crate) fn compare_misnamed(&self, misnamed: &[Misnamed]) {
        let found: Vec<BrokenFile> = misnamed.iter().map(|file| self.misnamed_file(file)).collect();
        let known = self.memory.broken();
        for file in known
            .iter()
            .filter(|file| !is_spec(file) && !found.iter().any(|f| f.path == file.path))
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

    pub(crate) fn mark_broken(&self, file: BrokenFile, uid: Option<&str>) {
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

    pub(crate) fn mark_sound(&self, key: &Key, uid: &str) {
        if self.memory.mark_sound(&key.spec_path(&self.disk.dir)) && !uid.is_empty() {
            let message = format!("{} is valid again and in force", key.spec_file());
            self.note(Note::normal(key, uid, "FileRepaired", message));
        }
    }
}

fn broken(dir: &std::path::Path, key: &Key, message: &str) -> BrokenFile {
    BrokenFile {
        path: key.spec_path(dir),
        kind: key.info.kind.to_owned(),
        name: key.name.clone(),
        message: format!("{}: {message}", key.spec_file()),
    }
}

/// Whether a broken file is one that its name makes an object's.
fn is_spec(file: &BrokenFile) -> bool {
    use crate::disk::layout::FileName;
    let file_name = PathBuf::from(file.path.file_name().unwrap_or_default());
    matches!(FileName::of(&file_name.to_string_lossy()), FileName::Spec(_))
}
