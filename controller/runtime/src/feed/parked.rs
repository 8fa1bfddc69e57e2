//! Frames that wait for the change of the store that they belong to. Bounded: of who is far behind nothing is waited for.
//! Pure.

use super::frame::Draft;

/// How many frames wait at most.
const MOST: usize = 256;

/// Frames in the order in which they were given, and how far the store's changes have been told.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// Nothing while nobody follows the store.
    told: Option<u64>,
    waiting: Vec<(u64, Draft)>,
}

impl Parked {
    /// Takes a frame that belongs after a revision; answers what may be published now.
    pub(super) fn park(&mut self, after: u64, draft: Draft) -> Vec<Draft> {
        self.waiting.push((after, draft));
        if self.told.is_none() || self.waiting.len() > MOST {
            return self.release(|_| true);
        }
        self.due()
    }

    /// Takes note that changes up to a revision have been told; answers what may be published now.
    pub(super) fn told(&mut self, revision: u64) -> Vec<Draft> {
        self.told = self.told.max(Some(revision));
        self.due()
    }

    fn due(&mut self) -> Vec<Draft> {
        let told = self.told;
        self.release(|after| told.is_none_or(|told| after <= told))
    }

    fn release(&mut self, is_due: impl Fn(u64) -> bool) -> Vec<Draft> {
        self.waiting
            .extract_if(.., |(after, _)| is_due(*after))
            .map(|(_, draft)| draft)
            .collect()
    }
}
