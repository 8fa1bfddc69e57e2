//! What is remembered for a while and of which there is never too much. Owns when what is over is dropped. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use aegis_api::Time;
use jiff::SignedDuration;

/// Values by key; at most so many, if their owner asks [`has_room`](Lately::has_room) before it inserts.
#[derive(Debug)]
pub(crate) struct Lately<K, V> {
    pub(crate) known: HashMap<K, V>,
    /// When those that are over were last dropped.
    dropped_at: Option<Time>,
}

impl<K, V> Default for Lately<K, V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            dropped_at: None,
        }
    }
}

impl<K: Eq + Hash, V> Lately<K, V> {
    /// Whether there are fewer than `most`. Where there are not, those that are over go first; all are passed over once in a
    /// while (`every`), not with each message of a storm.
    pub(crate) fn has_room(
        &mut self,
        most: usize,
        every: SignedDuration,
        now: Time,
        is_over: impl Fn(&V) -> bool,
    ) -> bool {
        let is_due = self
            .dropped_at
            .is_none_or(|at| now.0.duration_since(at.0).abs() >= every);
        if self.known.len() >= most && is_due {
            self.dropped_at = Some(now);
            self.known.retain(|_, value| !is_over(value));
        }
        self.known.len() < most
    }
}
