//! What the journal has and the files do not, put in place at the start. Does I/O; blocks.
//!
//! After a kill everything up to the [`Mark`] is in place, and only what follows is inspected. After a loss of power any
//! file of the journal may be an earlier version, empty or torn. What is none of that was written by a person, and stays:
//! it is taken over as any change by hand is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, Epoch, ObjectRecord, Record, SpecPart};
use super::{FILES, FOLDER, MARK, Segment, offset};
use crate::disk::behind::Behind;
use crate::disk::digest::Digest;
use crate::disk::file::{self, Found};
use crate::disk::layout::{FileName, Key, is_temporary_of};
use crate::disk::status_file::{self, StatusFile};
use crate::disk::{Disk, DiskError, spec_file};

/// Up to which record everything is in place, said while the power is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) boot: String,
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
    /// The same of status files, which come later.
    pub(crate) statuses: u64,
}

/// What a [`Mark`] says that counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InPlace {
    specs: u64,
    statuses: u64,
}

impl Mark {
    pub(crate) fn render(&self) -> String {
        format!("{} {:020} {:020}\n", self.start(), self.number, self.statuses)
    }

    fn start(&self) -> String {
        let mut start = format!("{} ", self.boot);
        for byte in self.epoch {
            // Writing into a String does not fail.
            write!(start, "{byte:02x}").unwrap_or_default();
        }
        start
    }

    fn placed(text: &str, boot: &str, epoch: Epoch) -> Option<InPlace> {
        let mut numbers = text.split_whitespace().skip(2).map(str::parse);
        let number = numbers.next()?.ok()?;
        let mark = Self {
            boot: boot.to_owned(),
            epoch,
            number,
            // An earlier version has both in place at once.
            statuses: numbers.next().unwrap_or(Ok(number)).ok()?,
        };
        let (now, earlier) = (mark.render(), format!("{} {number:020}\n", mark.start()));
        (now == text || earlier == text).then_some(InPlace {
            specs: mark.number,
            statuses: mark.statuses,
        })
    }
}

/// What an earlier process left in the journal.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Lines of the audit log, in order; those that it has already among them.
    pub(crate) audit: Vec<Arc<[u8]>>,
    /// How many files were put in place.
    pub(crate) placed: usize,
    /// What a person may have to know.
    pub(crate) notes: Vec<String>,
    /// Names of temporary files, by the plural of the kind in whose folder they are.
    temporary: BTreeMap<&'static str, Vec<String>>,
}

/// What all records together say of one object's files.
#[derive(Default)]
struct Final<'a> {
    spec: Option<(SpecPart, &'a [u8])>,
    status: Option<&'a [u8]>,
    /// Versions of the spec file that are the controller's.
    known: Vec<Digest>,
    /// Contents of those of them that the journal has.
    texts: Vec<&'a [u8]>,
    /// The version of the spec file that is in force by the status.
    accepted: Option<Digest>,
    inspect_spec: bool,
    inspect_status: bool,
}

impl Disk {
    /// Puts in place what the journal has, and goes on in it: what is in place is made durable when there is time.
    pub(crate) fn replay(&self) -> Result<Replay, DiskError> {
        let folder = self.dir.join(FOLDER);
        let failed = |source| DiskError::io(&folder, source);
        let (mut records, mut segments) = read_all(&folder).map_err(failed)?;
        records.sort_by_key(|record| record.number);
        let Some((epoch, number)) = records.last().map(|record| (record.epoch, record.number)) else {
            return Ok(Replay::default());
        };
        let mark = std::fs::read_to_string(folder.join(MARK)).unwrap_or_default();
        let placed = Mark::placed(&mark, &self.faults.boot(), epoch);
        let mut replay = Replay {
            audit: records.iter().map(|record| Arc::clone(&record.audit)).collect(),
            temporary: self.temporary_files(),
            ..Replay::default()
        };
        let mut touched = BTreeSet::new();
        for (key, last) in &summed(&records, placed) {
            let mut put_right =
                |last_try| self.put_right(key, last, (placed.is_none(), last_try), &mut replay);
            let put = match put_right(false) {
                // What the journal's files have been given ahead is of use here.
                Err(error) if error.is_full() => {
                    release_space(&mut segments).map_err(failed)?;
                    put_right(true)
                }
                put => put,
            };
            touched.extend(put?.into_iter().map(PathBuf::into_os_string));
        }
        if replay.placed > 0 {
            tracing::info!(
                files = replay.placed,
                "put in place what an earlier process had only in its journal"
            );
        }
        let is_whole = self.behind.is_empty();
        self.journal()
            .adopt(segments, (epoch, number), &touched, is_whole);
        Ok(replay)
    }

    fn temporary_files(&self) -> BTreeMap<&'static str, Vec<String>> {
        let of = |info: &aegis_api::KindInfo| {
            let entries = std::fs::read_dir(self.dir.join(info.plural))
                .into_iter()
                .flatten()
                .flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names
                .filter(|name| FileName::of(name) == FileName::Temporary)
                .collect()
        };
        aegis_api::KINDS
            .iter()
            .map(|info| (info.plural, of(info)))
            .collect()
    }

    /// Answers the files that must be durable before the journal is emptied.
    fn put_right(
        &self,
        key: &Key,
        last: &Final<'_>,
        (power_lost, last_try): (bool, bool),
        replay: &mut Replay,
    ) -> Result<Vec<PathBuf>, DiskError> {
        let (spec, status) = (key.spec_path(&self.dir), key.status_path(&self.dir));
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| DiskError::io(path, source)
        };
        let mut touched = vec![status.clone()];
        // After a loss of power, temporary files of a batch that never came to be are there, too.
        if last.inspect_spec && !power_lost {
            self.keep_displaced(key, last, replay).map_err(fail(&spec))?;
        }
        if let Some((part, text)) = last.spec {
            let target = file::writable(&spec, &self.dir).map_err(fail(&spec))?;
            touched.push(target.clone());
            let found = file::read(&spec, spec_file::MAX_BYTES, &self.dir).map_err(fail(&spec))?;
            let ours = last.inspect_spec && last.is_ours(&found, part, power_lost);
            match part {
                SpecPart::Put { digest, .. } if ours && found.digest() != Some(digest) => {
                    let prepared = file::prepare(&target, text, &self.faults);
                    let placed = prepared.and_then(|prepared| prepared.place(&self.faults));
                    placed.map_err(fail(&spec))?;
                    replay.placed += 1;
                }
                SpecPart::Removed { .. } if ours && !matches!(found, Found::Missing) => {
                    file::remove(&spec, &self.faults).map_err(fail(&spec))?;
                    replay.placed += 1;
                }
                _ => {}
            }
        }
        if last.inspect_status {
            let found = file::read(&status, status_file::MAX_BYTES, &self.dir).map_err(fail(&status))?;
            match last.status {
                Some(text) if found.digest() != Some(Digest::of(text)) && !is_newer(key, &found, text) => {
                    let behind = Behind {
                        key: key.clone(),
                        bytes: text.into(),
                        accepted: last.accepted,
                    };
                    match self.place_one(&status, &behind) {
                        Ok(()) => replay.placed += 1,
                        // It is served all the same: the journal has it.
                        Err(error) if last_try && error.is_full() => self.behind.put(status, behind),
                        Err(error) => return Err(error),
                    }
                }
                None if !matches!(found, Found::Missing) => {
                    file::remove(&status, &self.faults).map_err(fail(&status))?;
                    replay.placed += 1;
                }
                _ => {}
            }
        }
        Ok(touched)
    }

    /// A crash right after two files changed places leaves the replaced one under a temporary name; if that was no version
    /// of the controller's, it is somebody's work.
    fn keep_displaced(&self, key: &Key, last: &Final<'_>, replay: &mut Replay) -> io::Result<()> {
        let spec = key.spec_path(&self.dir);
        let file_name = spec
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mine = replay
            .temporary
            .get(key.info.plural)
            .into_iter()
            .flatten()
            .filter(|name| is_temporary_of(name, &file_name));
        let mine: Vec<String> = mine.cloned().collect();
        for name in mine {
            let path = spec.with_file_name(name);
            if last.is_controllers(&file::read(&path, spec_file::MAX_BYTES, &self.dir)?) {
                continue;
            }
            let kept = spec.with_file_name(format!("{file_name}.rejected"));
            self.faults.step("rename", &kept)?;
            std::fs::rename(path, kept)?;
            replay.notes.push(format!(
                "{} was saved by hand while the controller wrote it and ended: that version is kept with the ending .rejected",
                key.spec_file()
            ));
        }
        Ok(())
    }
}

impl Final<'_> {
    /// Whether what lies there is the controller's to replace: a version of its own, or what a loss of power left of one.
    fn is_ours(&self, found: &Found, part: SpecPart, power_lost: bool) -> bool {
        if matches!(found, Found::Missing) {
            // Where there was one before, somebody has removed it.
            return power_lost
                || matches!(
                    part,
                    SpecPart::Put { replaces: None, .. } | SpecPart::Removed { .. }
                );
        }
        let known = found.digest().is_some_and(|digest| self.known.contains(&digest));
        known || power_lost && self.is_torn(found)
    }

    fn is_controllers(&self, found: &Found) -> bool {
        let known = found.digest().is_some_and(|digest| self.known.contains(&digest));
        known || matches!(found, Found::Missing) || self.is_torn(found)
    }

    fn is_torn(&self, found: &Found) -> bool {
        let Found::Contents(_, bytes) = found else {
            return false;
        };
        bytes.is_empty() || self.texts.iter().any(|text| is_torn(bytes, text))
    }
}

/// Whether a status file that was found is of a later version than the journal's: in a copy that was made while the
/// controller ran, files may be ahead of the journal.
fn is_newer(key: &Key, found: &Found, text: &[u8]) -> bool {
    let version = |bytes: &[u8]| StatusFile::parse(key, bytes).map(|file| file.metadata.resource_version);
    match found {
        Found::Contents(_, bytes) => {
            matches!((version(bytes), version(text)), (Ok(found), Ok(ours)) if found > ours)
        }
        Found::Missing | Found::TooLarge(_) | Found::Unfit(_) => false,
    }
}

/// Whether these bytes are a part of the text, where the rest has not come to the disk.
fn is_torn(bytes: &[u8], text: &[u8]) -> bool {
    let mut pairs = bytes.iter().zip(text);
    bytes.len() <= text.len() && pairs.all(|(byte, wanted)| byte == wanted || *byte == 0)
}

#[expect(
    clippy::mutable_key_type,
    reason = "a key is compared by kind and name; what its row of the table compiles lazily takes no part"
)]
fn summed(records: &[Record], placed: Option<InPlace>) -> BTreeMap<Key, Final<'_>> {
    let undone: BTreeSet<&(u64, Key)> = records.iter().flat_map(|record| &record.undone).collect();
    let mut finals: BTreeMap<Key, Final<'_>> = BTreeMap::new();
    for record in records {
        let inspect = (
            placed.is_none_or(|placed| record.number > placed.specs),
            placed.is_none_or(|placed| record.number > placed.statuses),
        );
        for object in &record.objects {
            if !undone.contains(&(record.number, object.key.clone())) {
                let last = finals.entry(object.key.clone()).or_default();
                last.add(object, inspect);
            }
        }
    }
    finals
}

impl<'a> Final<'a> {
    fn add(&mut self, object: &'a ObjectRecord, inspect: (bool, bool)) {
        let (inspect_spec, inspect_status) = inspect;
        match object.spec {
            SpecPart::Put { replaces, digest, .. } => {
                self.known.extend(replaces);
                self.known.push(digest);
                self.texts.push(object.text.as_slice());
            }
            SpecPart::Removed { known } => self.known.extend(known),
            SpecPart::Kept => {}
        }
        match (object.spec, self.spec) {
            // Somebody's version of the file has come into force since, or its absence.
            (SpecPart::Kept, Some((SpecPart::Put { digest, .. }, _))) if object.accepted != Some(digest) => {
                self.spec = None;
            }
            (SpecPart::Kept, _) => {}
            (part, _) => {
                self.spec = Some((part, object.text.as_slice()));
                self.inspect_spec = inspect_spec;
            }
        }
        self.status = object.status.as_deref();
        self.accepted = object.accepted;
        self.inspect_status = inspect_status;
    }
}

fn release_space(segments: &mut [Segment]) -> io::Result<()> {
    for segment in segments {
        if let Some(file) = &segment.file {
            file.set_len(offset(segment.used))?;
            segment.size = segment.used;
        }
    }
    Ok(())
}

/// The records of both files, and the files, the one with the newest record last.
fn read_all(folder: &Path) -> io::Result<(Vec<Record>, Vec<Segment>)> {
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for name in FILES {
        let mut segment = Segment::new(folder.join(name));
        let mut newest = 0;
        match std::fs::read(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(bytes) => {
                let (records, used) = frame::read(&bytes);
                newest = records.last().map_or(0, |record| record.number);
                segment.file = Some(file::open_private(&segment.path)?);
                segment.size = bytes.len();
                segment.used = used;
                all.extend(records);
            }
        }
        found.push((newest, segment));
    }
    found.sort_by_key(|(newest, _)| *newest);
    Ok((all, found.into_iter().map(|(_, segment)| segment).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_only_while_the_power_is_on_and_for_the_same_journal() {
        let mark = Mark {
            boot: "boot-1".to_owned(),
            epoch: [3; 16],
            number: 42,
            statuses: 7,
        };
        let text = mark.render();
        let placed = InPlace {
            specs: 42,
            statuses: 7,
        };
        assert_eq!(Mark::placed(&text, "boot-1", [3; 16]), Some(placed));
        let earlier = format!("boot-1 {} {:020}\n", "03".repeat(16), 9);
        let both = InPlace {
            specs: 9,
            statuses: 9,
        };
        assert_eq!(Mark::placed(&earlier, "boot-1", [3; 16]), Some(both));
        for (boot, epoch) in [("boot-2", [3; 16]), ("boot-1", [4; 16])] {
            assert_eq!(Mark::placed(&text, boot, epoch), None);
        }
        for garbage in ["", "boot-1", "\0\0\0\0", "boot-1 x 42\n", "boot-1 x 42 7\n"] {
            assert_eq!(Mark::placed(garbage, "boot-1", [3; 16]), None, "{garbage:?}");
        }
    }

    #[test]
    fn what_a_loss_of_power_leaves_of_a_file_is_no_persons_work() {
        let text = b"metadata: {name: web}\nspec: {replicas: 2}\n";
        assert!(is_torn(b"", text) && is_torn(&text[..20], text));
        assert!(is_torn(&[0; 12], text));
        let mut middle = text.to_vec();
        middle[5..15].fill(0);
        assert!(is_torn(&middle, text));
        let longer = [&text[..], &b"# mine\n"[..]].concat();
        let other = b"metadata: {name: web}\nspec: {replicas: 3}\n";
        for persons in [&other[..], &b"# mine\n"[..], &longer[..]] {
            assert!(!is_torn(persons, text), "{persons:?}");
        }
    }
}
