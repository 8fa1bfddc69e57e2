//! An answer that comes in pieces, such as a model's words. Owns its text, held once and shared by the frames of its
//! pieces, and the bound of it. No I/O.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::wire::{AiRestart, AiStream, FrameType};

use super::frame::{Draft, Said};
use super::{Feed, log_unserialisable};

/// What part of the feed's bytes one answer may take.
const PART: usize = 8;
/// Published once in place of what an answer says beyond that.
const CUT: &str = "\n[the answer goes on; the rest is not shown]\n";

/// The text of one answer. Escaped as it stands in a JSON string, so that any part of it is put into a message as it is.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id: u64,
    text: Mutex<String>,
    /// Number of the newest frame of it.
    newest: AtomicU64,
    /// Bytes of it that the ring counts. Only touched under the ring's lock.
    counted: AtomicUsize,
}

impl Answer {
    fn new() -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            text: Mutex::default(),
            newest: AtomicU64::new(0),
            counted: AtomicUsize::new(0),
        })
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        read(&self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends, up to `most` bytes in all; answers from where to where it now stands.
    fn append(&self, escaped: &str, most: usize) -> Option<(usize, usize)> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let from = text.len();
        if from.saturating_add(escaped.len()) > most {
            return None;
        }
        text.push_str(escaped);
        Some((from, text.len()))
    }

    /// The ring took in a frame of it, with the text up to `to`: bytes that it counts for the first time.
    pub(super) fn taken(&self, seq: u64, to: usize) -> usize {
        self.newest.store(seq, Ordering::Relaxed);
        to.saturating_sub(self.counted.fetch_max(to, Ordering::Relaxed))
    }

    /// The ring dropped a frame of it: bytes that go with it, which is all where it was the newest.
    pub(super) fn dropped(&self, seq: u64) -> usize {
        if self.newest() == seq {
            self.counted.swap(0, Ordering::Relaxed)
        } else {
            0
        }
    }
}

/// A part of an answer's text.
pub(super) fn between(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// Publishes an answer piece by piece, as `ai.stream` frames.
#[derive(Debug)]
pub struct LiveAnswer {
    feed: Feed,
    incident_id: String,
    /// The revision of the store that must have been published before.
    after: u64,
    answer: Arc<Answer>,
    is_cut: bool,
}

impl Feed {
    /// An answer about an incident, with nothing said yet.
    pub fn live_answer(&self, incident_id: &str) -> LiveAnswer {
        self.live_answer_after(incident_id, 0)
    }

    /// The same; its words are published after what the store's changes up to this revision mean.
    pub fn live_answer_after(&self, incident_id: &str, after: u64) -> LiveAnswer {
        LiveAnswer {
            feed: self.clone(),
            incident_id: incident_id.to_owned(),
            after,
            answer: Answer::new(),
            is_cut: false,
        }
    }
}

impl LiveAnswer {
    /// Publishes the next words. Of an answer that takes more than its part of the feed the rest is not shown, and the
    /// last words say so.
    pub fn say(&mut self, words: &str) {
        if self.is_cut {
            return;
        }
        let most = self.feed.limit() / PART;
        let escaped = escaped(words);
        if let Some(range) = self.answer.append(&escaped, most) {
            self.publish(&escaped, range, None);
            return;
        }
        self.is_cut = true;
        let cut = self::escaped(CUT);
        if let Some(range) = self.answer.append(&cut, most.saturating_add(cut.len())) {
            self.publish(&cut, range, None);
        }
    }

    /// What was said so far does not count, and another answer begins. Clients that only ever append show these words;
    /// `restart` is machine-readable.
    pub fn restart(&mut self, words: &str, restart: AiRestart) {
        self.answer = Answer::new();
        self.is_cut = false;
        self.publish(&escaped(words), (0, 0), Some(restart));
    }

    fn publish(&self, chunk: &str, (from, to): (usize, usize), restart: Option<AiRestart>) {
        let id = Some(self.incident_id.as_str());
        // The chunk is put in as it is: it is escaped already, and where it stands must be known.
        let data = AiStream {
            incident_id: self.incident_id.clone(),
            chunk: String::new(),
            full_text: None,
            restart,
        };
        match Draft::new(id, &data) {
            Ok(mut draft) => {
                draft.said = draft.put_chunk(chunk).map(|at| Said {
                    answer: Arc::clone(&self.answer),
                    from,
                    to,
                    chunk: at,
                });
                self.feed.append_after(self.after, draft);
            }
            Err(error) => log_unserialisable(FrameType::AiStream, &error),
        }
    }
}

/// As it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    quoted.pop();
    if !quoted.is_empty() {
        quoted.remove(0);
    }
    quoted
}
