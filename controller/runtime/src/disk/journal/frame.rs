//! The format of the journal: records one after the other, each whole or not there. Pure.
//!
//! A record begins at a multiple of [`ALIGN`] with a prefix (mark, epoch, number, lengths, SHA-256 of all that), then a
//! head in JSON that says what follows, then the contents of files and the lines of the audit log as they are. It is the
//! next one only if it has the epoch of the one before and the number after it: what an earlier use of the same file left
//! behind never is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::disk::digest::Digest;
use crate::disk::layout::Key;

/// Records begin at multiples of this, bytes: what is durable shares no block with what is being written.
pub(crate) const ALIGN: usize = 4096;
const MAGIC: &[u8; 8] = b"aegisj1\n";
const PREFIX: usize = 8 + 16 + 8 + 8 + 8 + 32;

/// Which opening of the directory wrote a record.
pub(crate) type Epoch = [u8; 16];

/// What becomes of a spec file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SpecPart {
    /// It stays as it is.
    Kept,
    /// It goes, if it is this version.
    Removed { known: Option<Digest> },
    /// It is written, in the place of this version.
    Put {
        replaces: Option<Digest>,
        digest: Digest,
        bytes: usize,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    #[serde(default)]
    audit: usize,
    #[serde(default)]
    objects: Vec<ObjectHead>,
    #[serde(default)]
    undone: Vec<UndoneHead>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ObjectHead {
    kind: String,
    name: String,
    spec: SpecPart,
    /// Bytes of the status file; absent: it goes.
    #[serde(default)]
    status: Option<usize>,
    /// The version of the spec file that is in force by this.
    #[serde(default)]
    accepted: Option<Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UndoneHead {
    record: u64,
    kind: String,
    name: String,
}

/// A record before it has a number.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    head: Head,
    body: Vec<u8>,
}

impl Draft {
    /// Takes in what becomes of one object's files.
    pub(crate) fn object(
        &mut self,
        key: &Key,
        spec: (SpecPart, &[u8]),
        status: Option<&[u8]>,
        accepted: Option<Digest>,
    ) {
        let (spec, text) = spec;
        self.head.objects.push(ObjectHead {
            kind: key.info.plural.to_owned(),
            name: key.name.clone(),
            spec,
            status: status.map(<[u8]>::len),
            accepted,
        });
        self.body.extend_from_slice(text);
        self.body.extend_from_slice(status.unwrap_or_default());
    }

    /// What an earlier record says of this object did not come to be.
    pub(crate) fn undone(&mut self, record: u64, key: &Key) {
        self.head.undone.push(UndoneHead {
            record,
            kind: key.info.plural.to_owned(),
            name: key.name.clone(),
        });
    }

    /// The lines of the audit log that go with it; taken in last.
    pub(crate) fn audit(&mut self, lines: &[u8]) {
        self.head.audit = lines.len();
        self.body.extend_from_slice(lines);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.objects.is_empty() && self.head.undone.is_empty() && self.head.audit == 0
    }

    /// The record's bytes, up to a multiple of [`ALIGN`].
    pub(crate) fn seal(&self, epoch: &Epoch, number: u64) -> Result<Vec<u8>, serde_json::Error> {
        let head = serde_json::to_vec(&self.head)?;
        let mut record = Vec::with_capacity(padded(PREFIX + head.len() + self.body.len()));
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(epoch);
        record.extend_from_slice(&number.to_le_bytes());
        record.extend_from_slice(&length(head.len()));
        record.extend_from_slice(&length(self.body.len()));
        let seal = sum(&record, &head, &self.body);
        record.extend_from_slice(&seal);
        record.extend_from_slice(&head);
        record.extend_from_slice(&self.body);
        record.resize(padded(record.len()), 0);
        Ok(record)
    }
}

fn length(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}

/// Up to a multiple of [`ALIGN`].
pub(crate) fn padded(length: usize) -> usize {
    length.div_ceil(ALIGN).saturating_mul(ALIGN)
}

fn sum(prefix: &[u8], head: &[u8], body: &[u8]) -> [u8; 32] {
    let mut sum = Sha256::new();
    for part in [prefix, head, body] {
        sum.update(part);
    }
    sum.finalize().into()
}

/// A record as it was read.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
    pub(crate) objects: Vec<ObjectRecord>,
    /// Earlier records and the objects of theirs that did not come to be.
    pub(crate) undone: Vec<(u64, Key)>,
    /// Lines of the audit log, each with its end.
    pub(crate) audit: Arc<[u8]>,
}

/// What a record says of one object's files.
#[derive(Debug)]
pub(crate) struct ObjectRecord {
    pub(crate) key: Key,
    pub(crate) spec: SpecPart,
    /// Of a spec file that is written.
    pub(crate) text: Vec<u8>,
    pub(crate) status: Option<Vec<u8>>,
    pub(crate) accepted: Option<Digest>,
}

/// The records at the beginning of a file, and how many bytes they take. What follows them is none.
pub(crate) fn read(mut bytes: &[u8]) -> (Vec<Record>, usize) {
    let (mut records, mut used): (Vec<Record>, usize) = (Vec::new(), 0);
    while let Some((record, length)) = first(bytes) {
        let follows =
            |last: &Record| last.epoch == record.epoch && last.number.checked_add(1) == Some(record.number);
        if records.last().is_some_and(|last| !follows(last)) {
            break;
        }
        records.push(record);
        used = used.saturating_add(length);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    (records, used)
}

fn first(bytes: &[u8]) -> Option<(Record, usize)> {
    let prefix: &[u8; PREFIX] = bytes.first_chunk()?;
    let (sealed, seal) = prefix.split_last_chunk::<32>()?;
    let rest = sealed.strip_prefix(MAGIC)?;
    let (epoch, rest) = rest.split_first_chunk::<16>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (head_length, rest) = rest.split_first_chunk::<8>()?;
    let (body_length, _) = rest.split_first_chunk::<8>()?;
    let size = |length: &[u8; 8]| usize::try_from(u64::from_le_bytes(*length)).ok();
    let (head_length, body_length) = (size(head_length)?, size(body_length)?);
    let length = PREFIX.checked_add(head_length)?.checked_add(body_length)?;
    let (head, body) = bytes.get(PREFIX..length)?.split_at_checked(head_length)?;
    if sum(sealed, head, body) != *seal {
        return None;
    }
    let head: Head = serde_json::from_slice(head).ok()?;
    let record = understood(*epoch, u64::from_le_bytes(*number), head, body)?;
    Some((record, padded(length)))
}

fn understood(epoch: Epoch, number: u64, head: Head, mut body: &[u8]) -> Option<Record> {
    let mut take = |length: usize| {
        let (taken, rest) = body.split_at_checked(length)?;
        body = rest;
        Some(taken)
    };
    let mut objects = Vec::with_capacity(head.objects.len());
    for object in head.objects {
        let text = match object.spec {
            SpecPart::Put { bytes, .. } => take(bytes)?.to_vec(),
            SpecPart::Kept | SpecPart::Removed { .. } => Vec::new(),
        };
        let status = match object.status {
            Some(length) => Some(take(length)?.to_vec()),
            None => None,
        };
        // A kind that this version does not know has no files here.
        let Some(info) = aegis_api::kinds::find(&object.kind) else {
            continue;
        };
        objects.push(ObjectRecord {
            key: Key::new(info, object.name),
            spec: object.spec,
            text,
            status,
            accepted: object.accepted,
        });
    }
    let known = |undone: UndoneHead| {
        let info = aegis_api::kinds::find(&undone.kind)?;
        Some((undone.record, Key::new(info, undone.name)))
    };
    let undone = head.undone.into_iter().filter_map(known).collect();
    Some(Record {
        epoch,
        number,
        objects,
        undone,
        audit: take(head.audit)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = [7; 16];

    fn key(name: &str) -> Key {
        Key::new(aegis_api::kinds::find("wl").unwrap(), name)
    }

    fn record(number: u64, text: &[u8]) -> Vec<u8> {
        let mut draft = Draft::default();
        let digest = Digest::of(text);
        let spec = SpecPart::Put {
            replaces: None,
            digest,
            bytes: text.len(),
        };
        draft.object(&key("web"), (spec, text), Some(b"{}"), Some(digest));
        draft.object(&key("gone"), (SpecPart::Removed { known: None }, b""), None, None);
        draft.undone(3, &key("old"));
        draft.audit(b"a line\n");
        draft.seal(&EPOCH, number).unwrap()
    }

    fn numbers(bytes: &[u8]) -> Vec<u64> {
        read(bytes).0.iter().map(|record| record.number).collect()
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let bytes = record(5, b"spec: {}\n");
        let (records, used) = read(&bytes);
        assert_eq!((records.len(), used), (1, bytes.len()));
        let [web, gone] = records[0].objects.as_slice() else {
            panic!("{records:?}")
        };
        assert_eq!(
            (web.text.as_slice(), web.status.as_deref()),
            (&b"spec: {}\n"[..], Some(&b"{}"[..]))
        );
        assert_eq!(web.accepted, Some(Digest::of(b"spec: {}\n")));
        assert_eq!(
            (&gone.key, gone.spec),
            (&key("gone"), SpecPart::Removed { known: None })
        );
        assert_eq!(records[0].undone, [(3, key("old"))]);
        assert_eq!(&*records[0].audit, b"a line\n");
    }

    #[test]
    fn what_an_earlier_use_of_the_file_left_behind_is_never_the_next_record() {
        let (one, two) = (record(1, b"a"), record(2, b"b"));
        assert_eq!(numbers(&[one.clone(), two.clone()].concat()), [1, 2]);
        assert_eq!(numbers(&[record(9, b"a"), two].concat()), [9]);
        let mut other = Draft::default();
        other.audit(b"x\n");
        let other = other.seal(&[8; 16], 2).unwrap();
        assert_eq!(numbers(&[one, other].concat()), [1]);
    }

    #[test]
    fn a_torn_record_ends_the_journal_wherever_it_is_torn() {
        let (one, two) = (record(1, b"a"), record(2, &[b'x'; 9000]));
        let whole = [one.clone(), two.clone()].concat();
        let end = two.iter().rposition(|byte| *byte != 0).unwrap() + one.len();
        for cut in (one.len()..=end).step_by(97).chain([end]) {
            assert_eq!(numbers(&whole[..cut]), [1], "cut at {cut}");
            let mut zeroed = whole.clone();
            zeroed[cut..].fill(0);
            assert_eq!(numbers(&zeroed), [1], "zeroes from {cut}");
        }
        assert_eq!(numbers(&whole), [1, 2]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_bad_to_be_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0_usize..200, to in proptest::num::u8::ANY) {
            read(&bytes);
            let mut damaged = record(1, b"spec");
            damaged[at] = to;
            let (records, _) = read(&damaged);
            proptest::prop_assert!(records.is_empty() || damaged == record(1, b"spec"));
        }
    }
}
