//! Frames that wait for the change of the store that they belong to. Bounded: a publisher that is far
//! behind is not waited for. Pure.

use super::frame::Draft;

/// How many frames wait at most.
const MOST: usize = 256;

/// Frames in the order in which they were given, and how far the store's changes have been published.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// `None` while no publisher follows the store.
    published: Option<u64>,
    waiting: Vec<(u64, Draft)>,
}

impl Parked {
    /// Takes a frame that belongs after a revision; answers what may be published now.
    pub(super) fn park(&mut self, after: u64, draft: Draft) -> Vec<Draft> {
        self.waiting.push((after, draft));
        if self.published.is_none() || self.waiting.len() > MOST {
            return self.release(|_| true);
        }
        self.due()
    }

    /// Takes note that changes up to a revision have been published; answers what may be published now.
    pub(super) fn published_up_to(&mut self, revision: u64) -> Vec<Draft> {
        self.published = self.published.max(Some(revision));
        self.due()
    }

    fn due(&mut self) -> Vec<Draft> {
        let published = self.published;
        self.release(|after| published.is_none_or(|published| after <= published))
    }

    fn release(&mut self, is_due: impl Fn(u64) -> bool) -> Vec<Draft> {
        self.waiting
            .extract_if(.., |(after, _)| is_due(*after))
            .map(|(_, draft)| draft)
            .collect()
    }
}
