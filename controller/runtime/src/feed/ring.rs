//! What the feed remembers: what happened, oldest first, up to a bound in bytes; and of what only shows the current state,
//! the newest frame of each type. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aegis_api::wire::FrameType;

use super::frame::{Draft, Frame};

/// The most that a reader takes at once, so that a slow one holds little: frames, and their bytes. One frame at least.
pub(super) const BATCH: (usize, usize) = (crate::follow::CHUNK, 64 * 1024);

#[derive(Debug)]
pub(super) struct Ring {
    limit: usize,
    pub(super) seq: u64,
    pub(super) bytes: usize,
    /// Number of the newest frame that was dropped; what a newer one of its type replaced does not count.
    pub(super) floor: u64,
    happened: VecDeque<Arc<Frame>>,
    stands: BTreeMap<FrameType, Arc<Frame>>,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            seq: 0,
            bytes: 0,
            floor: 0,
            happened: VecDeque::new(),
            stands: BTreeMap::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Numbers a frame and takes it in; the oldest go where there is no room for it. One that is larger than the bound by
    /// itself goes with them: its readers are notified that they missed something.
    pub(super) fn push(&mut self, draft: Draft) -> u64 {
        self.seq += 1;
        let frame = Arc::new(draft.number(self.seq));
        self.bytes = self.bytes.saturating_add(frame.bytes());
        if let Some(said) = &frame.said {
            self.bytes = self.bytes.saturating_add(said.answer.taken(frame.seq, said.to));
        }
        if frame.kind.is_periodic() {
            if let Some(older) = self.stands.insert(frame.kind, frame) {
                self.subtract(&older);
            }
        } else {
            self.happened.push_back(frame);
        }
        while self.bytes > self.limit {
            let Some(oldest) = self.happened.pop_front().or_else(|| self.largest()) else {
                break;
            };
            self.subtract(&oldest);
            self.floor = self.floor.max(oldest.seq);
        }
        self.seq
    }

    /// Where what happened is gone, and what stands is still too much.
    fn largest(&mut self) -> Option<Arc<Frame>> {
        let largest = self.stands.values().max_by_key(|frame| frame.bytes())?.kind;
        self.stands.remove(&largest)
    }

    fn subtract(&mut self, frame: &Frame) {
        let text = frame
            .said
            .as_ref()
            .map_or(0, |said| said.answer.dropped(frame.seq));
        self.bytes = self.bytes.saturating_sub(frame.bytes()).saturating_sub(text);
    }

    /// The next frames after `position`, as many as a reader takes at once.
    pub(super) fn after(&self, position: u64) -> Vec<Arc<Frame>> {
        let start = self.happened.partition_point(|frame| frame.seq <= position);
        let mut stands: Vec<&Arc<Frame>> = self
            .stands
            .values()
            .filter(|frame| frame.seq > position)
            .collect();
        stands.sort_by_key(|frame| frame.seq);
        let mut happened = self.happened.range(start..).peekable();
        let mut stands = stands.into_iter().peekable();
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while taken.len() < BATCH.0 && bytes < BATCH.1 {
            let next = match (happened.peek(), stands.peek()) {
                (Some(one), Some(other)) if one.seq > other.seq => stands.next(),
                (Some(_), _) => happened.next(),
                (None, _) => stands.next(),
            };
            let Some(frame) = next else { break };
            bytes = bytes.saturating_add(frame.bytes());
            taken.push(Arc::clone(frame));
        }
        taken
    }
}
