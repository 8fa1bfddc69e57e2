//! Cards that wait to be posted, oldest first; bounded in number and bytes. Where it is full the oldest card that
//! reports no end is dropped, and counted. Pure.

use std::collections::VecDeque;

use serde_json::Value;

use crate::stage::Mark;

/// Most cards that wait.
const MOST: usize = 256;
/// Most bytes of all that wait.
const MOST_BYTES: usize = 1024 * 1024;

/// A card that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// The incident's uid.
    pub(crate) uid: String,
    /// What counts as posted once it is, or given up.
    pub(crate) mark: Mark,
    /// Whether it reports the end, or asks somebody to act.
    pub(crate) vital: bool,
    /// What is posted.
    pub(crate) card: Value,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn new(uid: &str, mark: Mark, vital: bool, card: Value) -> Self {
        let bytes = card.to_string().len();
        Self {
            uid: uid.to_owned(),
            mark,
            vital,
            card,
            bytes,
        }
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    cards: VecDeque<Waiting>,
    bytes: usize,
    dropped: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, card: Waiting) {
        self.bytes += card.bytes;
        self.cards.push_back(card);
        while self.cards.len() > MOST || self.bytes > MOST_BYTES {
            let victim = self.cards.iter().position(|card| !card.vital).unwrap_or(0);
            let Some(dropped) = self.cards.remove(victim) else {
                break;
            };
            self.bytes -= dropped.bytes;
            self.dropped += 1;
        }
    }

    /// The card that is posted next; it stays until it is taken.
    pub(crate) fn front(&self) -> Option<&Waiting> {
        self.cards.front()
    }

    pub(crate) fn take(&mut self) -> Option<Waiting> {
        let card = self.cards.pop_front()?;
        self.bytes -= card.bytes;
        Some(card)
    }

    /// The newest entry of this incident that waits.
    pub(crate) fn newest(&self, uid: &str) -> Option<&Mark> {
        let of = self.cards.iter().rev().find(|card| card.uid == uid)?;
        Some(&of.mark)
    }

    pub(crate) fn len(&self) -> usize {
        self.cards.len()
    }

    /// How many were dropped since it was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Counts cards that were given up.
    pub(crate) fn count_dropped(&mut self, count: u64) {
        self.dropped += count;
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::Time;
    use aegis_api::incident::{Stage, TimelineEntry};
    use serde_json::json;

    use super::*;

    fn waiting(number: usize, vital: bool, size: usize) -> Waiting {
        let entry = TimelineEntry {
            ts: Time(jiff::Timestamp::UNIX_EPOCH),
            status: Stage::Received,
            message: number.to_string(),
            agent: None,
        };
        Waiting::new(
            &number.to_string(),
            Mark::of(&entry),
            vital,
            json!("x".repeat(size)),
        )
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_card_that_reports_no_end() {
        let mut outbox = Outbox::default();
        outbox.push(waiting(0, true, 10));
        for number in 1..=MOST {
            outbox.push(waiting(number, false, 10));
        }
        assert_eq!(outbox.len(), MOST);
        assert_eq!(outbox.front().unwrap().uid, "0");
        assert_eq!(outbox.take_dropped(), 1);
        outbox.take();
        assert_eq!(outbox.front().unwrap().uid, "2");
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let mut outbox = Outbox::default();
        for number in 0..100 {
            outbox.push(waiting(number, number % 2 == 0, MOST_BYTES / 10));
        }
        assert!(outbox.bytes <= MOST_BYTES);
        assert_eq!(
            outbox.bytes,
            outbox.cards.iter().map(|card| card.bytes).sum::<usize>()
        );
    }
}
