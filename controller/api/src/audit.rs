//! The audit log's format: one JSON object a line, each sealed with the hash of the one before. Owns what a record holds
//! and how the chain is checked, for the controller that writes it and for the one that verifies it elsewhere. Pure.
//!
//! A line ends in `,"hash":"<SHA-256>"}`, and the hash is of the line's bytes before that. `prev` inside those bytes is the
//! hash of the line before, so none can be edited, removed, added or moved without breaking all that follow.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::Time;
use crate::redact::{REDACTED, bound, redact};

/// What the first line names as the one before it.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Between the sealed bytes of a line and its hash.
const SEAL: &str = ",\"hash\":\"";
/// The end of a line.
const END: &str = "\"}";
/// The largest picture of an object that is kept whole, bytes.
const LARGEST: usize = 16 << 10;
/// The longest text of a caller's that is kept, characters.
const LONGEST: usize = 200;

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Actor {
    /// The token's name, or `system:…`.
    pub user: String,
    /// Its role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The address the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The program, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The incident on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

impl Actor {
    /// A part of the controller.
    pub fn system(part: &str) -> Self {
        Self {
            user: format!("system:{part}"),
            role: None,
            from: None,
            with: None,
            incident: None,
        }
    }

    /// The controller, acting for an incident.
    pub fn incident(name: &str) -> Self {
        Self {
            incident: Some(name.to_owned()),
            ..Self::system("controller")
        }
    }
}

/// One change, before it is written.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Who.
    pub actor: Actor,
    /// `create`, `update`, `delete`, …
    pub verb: &'static str,
    /// Of what; `Token` for tokens, `AuditLog` for the log itself.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The version that the change made.
    pub resource_version: Option<u64>,
    /// As it was and as it is, from [`picture`].
    pub before: Option<Value>,
    /// See `before`.
    pub after: Option<Value>,
    /// What else there is to say.
    pub note: Option<String>,
}

impl Entry {
    /// An entry that is about no object of the store.
    pub fn about(actor: Actor, verb: &'static str, kind: &str, name: &str) -> Self {
        Self {
            actor,
            verb,
            kind: kind.to_owned(),
            name: name.to_owned(),
            resource_version: None,
            before: None,
            after: None,
            note: None,
        }
    }

    /// The line of this entry, without a line end, and its hash.
    pub fn seal(&self, seq: u64, at: Time, prev: &str) -> (String, String) {
        let mut actor = self.actor.clone();
        actor.with = actor.with.map(|with| bound(&redact(&with), LONGEST));
        let mut fields = vec![
            ("seq", json!(seq)),
            ("at", json!(at)),
            ("actor", json!(actor)),
            ("verb", json!(self.verb)),
            ("kind", json!(self.kind)),
            ("name", json!(self.name)),
        ];
        fields.extend(
            self.resource_version
                .map(|version| ("resourceVersion", json!(version))),
        );
        fields.extend(self.before.clone().map(|before| ("before", before)));
        fields.extend(self.after.clone().map(|after| ("after", after)));
        fields.extend(
            self.note
                .as_ref()
                .map(|note| ("note", json!(bound(note, LONGEST)))),
        );
        fields.push(("prev", json!(prev)));
        let mut line = String::from("{");
        for (index, (name, value)) in fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing into a String does not fail.
            write!(line, "{comma}\"{name}\":{value}").unwrap_or_default();
        }
        let hash = sha256(line.as_bytes());
        line.push_str(SEAL);
        line.push_str(&hash);
        line.push_str(END);
        (line, hash)
    }
}

/// What people write of an object, as the log keeps it: secrets taken out; by its hash alone where it is large.
pub fn picture(object: &Value) -> Value {
    let text = object.get("spec").map(Value::to_string).unwrap_or_default();
    if text.len() > LARGEST {
        return json!({"bytes": text.len(), "sha256": sha256(text.as_bytes())});
    }
    let mut seen = Map::new();
    for pointer in ["labels", "annotations"] {
        if let Some(part) = object.pointer(&format!("/metadata/{pointer}")) {
            seen.insert(pointer.to_owned(), cleaned(pointer, part));
        }
    }
    if let Some(spec) = object.get("spec") {
        seen.insert("spec".to_owned(), cleaned("spec", spec));
    }
    Value::Object(seen)
}

/// A value without secrets: those that look like one, and those whose name says so.
fn cleaned(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() && is_secret(name) => REDACTED.into(),
        Value::String(text) => redact(text).into_owned().into(),
        Value::Array(items) => items.iter().map(|item| cleaned(name, item)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), cleaned(name, value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "api_key",
        "credential",
        "private_key",
    ];
    words.iter().any(|word| name.contains(word)) || name.ends_with("_key") || name.ends_with("_pass")
}

/// How far a chain has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The number that the next line must have.
    pub next: u64,
    /// The hash that it must name.
    pub prev: String,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            next: 1,
            prev: GENESIS.to_owned(),
        }
    }
}

impl Chain {
    /// Takes the next line in, if it is the next one and as it was written.
    pub fn check(&mut self, line: &str) -> Result<Value, String> {
        let (record, seq, hash) = unsealed(line)?;
        if seq != self.next {
            let next = self.next;
            return Err(format!(
                "this is record {seq}, and {next} should be here: records were removed or moved"
            ));
        }
        if record.get("prev").and_then(Value::as_str) != Some(&self.prev) {
            return Err(format!(
                "record {seq} does not follow the one before it: one of both was replaced"
            ));
        }
        self.next = seq.saturating_add(1);
        self.prev = hash;
        Ok(record)
    }

    /// The chain after this line, whatever was before it.
    pub fn after(line: &str) -> Result<Self, String> {
        let (_, seq, hash) = unsealed(line)?;
        Ok(Self {
            next: seq.saturating_add(1),
            prev: hash,
        })
    }
}

/// Where a log begins whose first records were removed: a record of the log itself, by the verb [`PRUNED`], of which a
/// copy lies beside it. The chain is checked from there on, and must contain that record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What the first record that is kept must continue.
    pub begins: Chain,
    /// The record, as it is written.
    pub line: String,
}

/// Verb of the record that says up to where the log was removed.
pub const PRUNED: &str = "prune";

impl Checkpoint {
    /// The record that is written before anything is removed. The record before `begins` is the last that goes.
    pub fn entry(begins: &Chain) -> Entry {
        let last = begins.next.saturating_sub(1);
        let mut entry = Entry::about(Actor::system("retention"), PRUNED, "AuditLog", "audit");
        entry.before = Some(json!({"seq": last, "hash": begins.prev}));
        entry.note = Some(format!(
            "records up to {last} were removed: the log is kept up to a size and an age"
        ));
        entry
    }

    /// Reads the copy of such a record.
    pub fn read(line: &str) -> Result<Self, String> {
        let line = line.trim_end();
        let (record, seq, _) = unsealed(line)?;
        let last = record.pointer("/before/seq").and_then(Value::as_u64);
        let hash = record.pointer("/before/hash").and_then(Value::as_str);
        let is_one = record.get("verb").and_then(Value::as_str) == Some(PRUNED);
        match (last, hash) {
            (Some(last), Some(hash)) if is_one && last < seq => Ok(Self {
                begins: Chain {
                    next: last.saturating_add(1),
                    prev: hash.to_owned(),
                },
                line: line.to_owned(),
            }),
            _ => Err("this record says nothing of what was removed".to_owned()),
        }
    }
}

/// A line's record, number and hash, if it is as it was written.
fn unsealed(line: &str) -> Result<(Value, u64, String), String> {
    let sealed = line.strip_suffix(END).and_then(|line| line.rsplit_once(SEAL));
    let (body, hash) = sealed.ok_or_else(|| "this is no record: it has no hash at its end".to_owned())?;
    if sha256(body.as_bytes()) != hash {
        return Err("this record was changed: its hash is another".to_owned());
    }
    let record: Value = serde_json::from_str(line).map_err(|error| format!("this is no record: {error}"))?;
    let seq = record.get("seq").and_then(Value::as_u64);
    let seq = seq.ok_or_else(|| "this record has no number".to_owned())?;
    Ok((record, seq, hash.to_owned()))
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: u64) -> Vec<String> {
        let mut prev = GENESIS.to_owned();
        let line = |seq| {
            let entry = Entry::about(Actor::incident("i1"), "update", "Workload", &format!("web-{seq}"));
            let (line, hash) = entry.seal(seq, Time(jiff::Timestamp::UNIX_EPOCH), &prev);
            prev = hash;
            line
        };
        (1..=count).map(line).collect()
    }

    fn broken_at(lines: &[String]) -> Option<usize> {
        let mut chain = Chain::default();
        lines.iter().position(|line| chain.check(line).is_err())
    }

    #[test]
    fn an_edit_a_removal_and_a_swap_are_found_where_they_are() {
        let sound = lines(5);
        assert_eq!(broken_at(&sound), None);
        let mut edited = sound.clone();
        edited[2] = edited[2].replace("web-3", "web-9");
        assert_eq!(broken_at(&edited), Some(2));
        let mut removed = sound.clone();
        removed.remove(2);
        assert_eq!(broken_at(&removed), Some(2));
        let mut swapped = sound.clone();
        swapped.swap(1, 2);
        assert_eq!(broken_at(&swapped), Some(1));
        // Written again with a right hash of its own, it is the next one that does not follow.
        let mut forged = sound.clone();
        let entry = Entry::about(Actor::system("forger"), "update", "Workload", "web");
        let prev = Chain::after(&sound[1]).unwrap().prev;
        forged[2] = entry.seal(3, Time(jiff::Timestamp::UNIX_EPOCH), &prev).0;
        assert_eq!(broken_at(&forged), Some(3));
    }

    #[test]
    fn a_log_without_its_beginning_is_verified_from_its_checkpoint_on() {
        let mut all = lines(5);
        let begins = Chain::after(&all[2]).unwrap();
        let (line, _) = Checkpoint::entry(&begins).seal(
            6,
            Time(jiff::Timestamp::UNIX_EPOCH),
            &Chain::after(&all[4]).unwrap().prev,
        );
        all.push(line.clone());
        let checkpoint = Checkpoint::read(&format!("{line}\n")).unwrap();
        assert_eq!(checkpoint.begins, begins);
        let mut chain = checkpoint.begins.clone();
        assert!(all[3..].iter().all(|line| chain.check(line).is_ok()));
        let mut chain = checkpoint.begins;
        assert!(chain.check(&all[4]).is_err(), "a record is missing");
        assert!(Checkpoint::read(&all[3]).is_err(), "no record of a removal");
        assert!(Checkpoint::read(&line.replace("\"seq\":3", "\"seq\":2")).is_err());
    }

    #[test]
    fn secrets_are_not_in_the_picture_and_a_large_object_is_named_by_its_hash() {
        let object = json!({"metadata": {"name": "web", "labels": {"team": "a"}},
            "spec": {"template": {"env": {"DB_PASSWORD": "hunter2", "MODE": "fast", "URL": "http://me:hunter2@db/x"}}},
            "status": {"phase": "x"}});
        let picture = picture(&object).to_string();
        assert!(
            !picture.contains("hunter2") && !picture.contains("phase"),
            "{picture}"
        );
        assert!(picture.contains("fast") && picture.contains("team"), "{picture}");
        let large = super::picture(&json!({"spec": {"logs": "x ".repeat(LARGEST)}}));
        assert!(large["sha256"].is_string() && large.to_string().len() < LARGEST);
    }
}
