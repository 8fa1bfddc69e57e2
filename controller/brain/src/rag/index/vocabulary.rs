//! Which terms are kept: the `max_features` that occur most. Owns their order; what a term counts for is the index's. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Orders terms: those that occur most first, then by code points.
pub(super) type Rank = (Reverse<u64>, Arc<str>);

/// The terms that are kept, and those that wait behind them.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    features: usize,
    kept: BTreeSet<Rank>,
    waiting: BTreeSet<Rank>,
}

impl Vocabulary {
    pub(super) fn new(features: usize) -> Self {
        Self {
            features,
            kept: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// How many are kept at most.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// The kept ones, first to last.
    pub(super) fn kept(&self) -> &BTreeSet<Rank> {
        &self.kept
    }

    /// Takes a term out, from where it is.
    pub(super) fn leave(&mut self, rank: &Rank, kept: bool) {
        if kept {
            self.kept.remove(rank);
        } else {
            self.waiting.remove(rank);
        }
    }

    /// Puts a term among those that wait.
    pub(super) fn wait(&mut self, rank: Rank) {
        self.waiting.insert(rank);
    }

    /// The next term that comes in (`true`) or goes out (`false`); `None` once the right ones are kept.
    pub(super) fn next_change(&mut self) -> Option<(Rank, bool)> {
        if self.kept.len() < self.features {
            let rank = self.waiting.pop_first()?;
            self.kept.insert(rank.clone());
            return Some((rank, true));
        }
        let (best, worst) = (self.waiting.first()?, self.kept.last()?);
        if worst <= best {
            return None;
        }
        let rank = self.kept.pop_last()?;
        self.waiting.insert(rank.clone());
        Some((rank, false))
    }
}
