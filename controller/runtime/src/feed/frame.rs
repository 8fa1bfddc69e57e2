//! One frame: what it is about, and its message as it goes over the wire, serialised once for every client. Pure.

use std::sync::Arc;

use aegis_api::Time;
use aegis_api::wire::{FrameType, Payload};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, between};

/// What a frame costs beside its text: itself, its place in the ring, and what the allocator adds.
const OVERHEAD: usize = 256;
/// Room for `,"seq":18446744073709551615}`.
const NUMBER: usize = 28;

/// One frame. Its text is held once for all its readers.
#[derive(Debug)]
pub struct Frame {
    /// Its number; rises from frame to frame, from 1 at the start of the process.
    pub seq: u64,
    /// What it is about.
    pub kind: FrameType,
    /// The incident it belongs to.
    pub incident_id: Option<String>,
    message: Bytes,
    pub(super) said: Option<Said>,
}

/// The words that an `ai.stream` frame adds to its answer.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) answer: Arc<Answer>,
    /// From where to where they stand in the answer's text.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where the text of `chunk` stands in the message.
    pub(super) chunk: (usize, usize),
}

/// A frame before it has a number.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) kind: FrameType,
    incident_id: Option<String>,
    text: Vec<u8>,
    pub(super) said: Option<Said>,
}

#[derive(Serialize)]
struct Head<'a, T: ?Sized> {
    r#type: FrameType,
    incident_id: Option<&'a str>,
    data: &'a T,
    timestamp: Time,
}

/// What is read back of a message.
#[derive(Deserialize)]
struct Body<T> {
    data: T,
    timestamp: Time,
}

impl Draft {
    /// A frame with these contents.
    pub(super) fn new<P: Payload>(incident_id: Option<&str>, data: &P) -> Result<Self, serde_json::Error> {
        let kind = data.frame_type();
        let mut text = serde_json::to_vec(&Head {
            r#type: kind,
            incident_id,
            data,
            timestamp: aegis_clock::now(),
        })?;
        // Its last brace: the number goes before it.
        text.pop();
        text.shrink_to(text.len().saturating_add(NUMBER));
        Ok(Self {
            kind,
            incident_id: incident_id.map(str::to_owned),
            text,
            said: None,
        })
    }

    /// Puts a text that is escaped already where an empty `chunk` stands; answers from where to where it now does.
    pub(super) fn put_chunk(&mut self, escaped: &str) -> Option<(usize, usize)> {
        const EMPTY: &[u8] = br#""chunk":""#;
        let mut places = self.text.windows(EMPTY.len());
        let at = places
            .position(|place| place == EMPTY)?
            .checked_add(EMPTY.len())?;
        self.text.reserve_exact(escaped.len().saturating_add(NUMBER));
        self.text.splice(at..at, escaped.bytes());
        Some((at, at.checked_add(escaped.len())?))
    }

    /// The frame with its number.
    pub(super) fn number(mut self, seq: u64) -> Frame {
        self.text
            .extend_from_slice(format!(",\"seq\":{seq}}}").as_bytes());
        Frame {
            seq,
            kind: self.kind,
            incident_id: self.incident_id,
            message: Bytes::from(self.text),
            said: self.said,
        }
    }
}

impl Frame {
    /// The message, as clients that opt out of `full_text` get it. Clones share it.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// The contents, read back from the message.
    pub fn data(&self) -> Value {
        let message: Value = serde_json::from_slice(&self.message).unwrap_or_default();
        message.get("data").cloned().unwrap_or_default()
    }

    /// The contents as what they are, and when it was published; `None` where they are something else.
    pub fn read<T: DeserializeOwned>(&self) -> Option<(T, Time)> {
        let body: Body<T> = serde_json::from_slice(&self.message).ok()?;
        Some((body.data, body.timestamp))
    }

    /// Bytes that it holds of its own.
    pub(super) fn bytes(&self) -> usize {
        let id = self.incident_id.as_ref().map_or(0, String::len);
        self.message.len().saturating_add(id).saturating_add(OVERHEAD)
    }

    /// Of an `ai.stream` frame: which answer it belongs to, and where its words begin in that answer's text, in bytes.
    pub fn answer(&self) -> Option<(u64, usize)> {
        self.said.as_ref().map(|said| (said.answer.id, said.from))
    }

    /// Bytes of the answer's text up to the end of this frame's words; 0 for a frame of another type.
    pub fn full_text_bytes(&self) -> usize {
        self.said.as_ref().map_or(0, |said| said.to)
    }

    /// Whether a newer frame of the same answer says all that this one does. The first frame of an answer that takes
    /// another's place never is: it says why.
    pub fn is_superseded(&self) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| said.from < said.to && said.answer.newest() > self.seq)
    }

    /// The message of an `ai.stream` frame with `full_text`, its `chunk` being the words after `sent` bytes of the answer
    /// (which is where [`answer`](Self::answer) says, unless frames before it were left out). `None` for other types.
    pub fn with_full_text(&self, sent: usize) -> Option<String> {
        let said = self.said.as_ref()?;
        let text = std::str::from_utf8(&self.message).ok()?;
        let (before, rest) = text.split_at_checked(said.chunk.0)?;
        let (chunk, after) = rest.split_at_checked(said.chunk.1.checked_sub(said.chunk.0)?)?;
        let after = after.strip_prefix('"')?;
        Some(said.answer.read(|answer| {
            let full = between(answer, 0, said.to);
            let chunk = if sent < said.from {
                between(answer, sent, said.to)
            } else {
                chunk
            };
            let mut message = String::with_capacity(text.len() + chunk.len() + full.len() + 16);
            for part in [before, chunk, "\",\"full_text\":\"", full, "\"", after] {
                message.push_str(part);
            }
            message
        }))
    }
}
