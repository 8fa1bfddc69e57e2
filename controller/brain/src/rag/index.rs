//! The index: documents, their terms, and everything of their vectors that does not depend on the query. Owns what is
//! kept between queries. A document that comes or goes changes what its own terms touch and nothing else: there is no
//! fit. Pure, in memory.
//!
//! The lengths of the other documents that hold one of those terms change as well. The next query makes up for that, so
//! that each term is gone through once however many documents came in between.
//!
//! scikit-learn keeps the `max_features` terms that occur most in corpus and query together. Which of several terms
//! that occur equally often it keeps depends there on an unstable sort; here the first in order of code points.

mod length;
mod query;
mod vocabulary;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Terms;
use length::{Length, Rarity, term_weight};
use vocabulary::{Rank, Vocabulary};

/// `max_features`.
const FEATURES: usize = 5000;

/// As many where rare terms count, such as a code that occurred once.
const OPERATIONS_FEATURES: usize = 200_000;

/// A document that resembles the query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// Cosine similarity, 0 to 1.
    pub score: f64,
}

/// Documents by id, ready to be asked which resemble a text.
#[derive(Debug, Clone)]
pub struct Index {
    slots: HashMap<String, usize>,
    /// By slot; a slot that became free is used again.
    documents: Vec<Option<Document>>,
    /// By slot, of the terms as they were last counted.
    lengths: Vec<Length>,
    free: Vec<usize>,
    added: u64,
    terms: HashMap<Arc<str>, Term>,
    /// What counts as a term.
    reading: Terms,
    /// Terms that are counted otherwise than they stand now.
    stale: HashSet<Arc<str>>,
    vocabulary: Vocabulary,
}

#[derive(Debug, Clone)]
struct Document {
    id: String,
    /// How many documents had been added before it.
    age: u64,
    terms: Vec<Arc<str>>,
}

/// A term of the corpus: how often it occurs in all, and in which documents how often.
#[derive(Debug, Clone, Default)]
struct Term {
    occurrences: u64,
    /// By slot.
    postings: Vec<Posting>,
    kept: bool,
    /// In how many documents it was when it was counted into their lengths; none: it is not in them.
    counted: Option<u32>,
}

/// A document that holds a term. Small, as there are as many as words in all documents.
#[derive(Debug, Clone, Copy)]
struct Posting {
    slot: u32,
    tf: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An index of no document, whose numbers are scikit-learn's.
    pub fn new() -> Self {
        Self::with_features(FEATURES, Terms::ScikitLearn)
    }

    /// An index of no document, for the words of operations.
    pub fn for_operations() -> Self {
        Self::with_features(OPERATIONS_FEATURES, Terms::Operations)
    }

    fn with_features(features: usize, reading: Terms) -> Self {
        Self {
            slots: HashMap::new(),
            documents: Vec::new(),
            lengths: Vec::new(),
            free: Vec::new(),
            added: 0,
            terms: HashMap::new(),
            reading,
            stale: HashSet::new(),
            vocabulary: Vocabulary::new(features),
        }
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a document behind all others, or replaces the one of this id where it stands.
    pub fn upsert(&mut self, id: &str, text: &str) {
        let age = self.remove_document(id).unwrap_or_else(|| {
            self.added += 1;
            self.added
        });
        let slot = self.free.pop().unwrap_or(self.documents.len());
        let number = narrow(slot);
        let counts = self.reading.of(text);
        let mut names = Vec::with_capacity(counts.len());
        let mut length = Length::default();
        for (name, tf) in counts {
            let name: Arc<str> = match self.terms.get_key_value(name.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => name.into(),
            };
            self.change(&name, |term| {
                term.occurrences += u64::from(tf);
                if let Err(place) = term.place(number) {
                    term.postings.insert(place, Posting { slot: number, tf });
                }
                if let Some(df) = term.counted {
                    length.change(term_weight(tf), None, Some(Rarity::of(df)));
                }
            });
            names.push(name);
        }
        let document = Some(Document {
            id: id.to_owned(),
            age,
            terms: names,
        });
        match (self.documents.get_mut(slot), self.lengths.get_mut(slot)) {
            (Some(place), Some(measured)) => (*place, *measured) = (document, length),
            _ => {
                self.documents.push(document);
                self.lengths.push(length);
            }
        }
        self.slots.insert(id.to_owned(), slot);
        self.settle();
    }

    /// Takes a document out; one that is not there stays out.
    pub fn remove(&mut self, id: &str) {
        if self.remove_document(id).is_some() {
            self.settle();
        }
    }

    /// Takes a document out and answers its age. The vocabulary is to be settled afterwards.
    fn remove_document(&mut self, id: &str) -> Option<u64> {
        let slot = self.slots.remove(id)?;
        let document = self.documents.get_mut(slot).and_then(Option::take)?;
        let number = narrow(slot);
        for name in document.terms {
            self.change(&name, |term| {
                if let Ok(place) = term.place(number) {
                    let Posting { tf, .. } = term.postings.remove(place);
                    term.occurrences -= u64::from(tf);
                }
            });
        }
        self.free.push(slot);
        Some(document.age)
    }

    /// Changes a term, which then waits for a place in the vocabulary.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Term)) {
        let term = self.terms.entry(Arc::clone(name)).or_default();
        self.vocabulary.leave(&term.rank(name), term.kept);
        term.kept = false;
        change(term);
        self.stale.insert(Arc::clone(name));
        if term.postings.is_empty() {
            self.terms.remove(name);
        } else {
            self.vocabulary.wait(term.rank(name));
        }
    }

    /// Keeps the terms that occur most.
    fn settle(&mut self) {
        while let Some((rank, kept)) = self.vocabulary.next_change() {
            if let Some(term) = self.terms.get_mut(&rank.1) {
                term.kept = kept;
                self.stale.insert(rank.1);
            }
        }
    }

    /// Brings the lengths up to date.
    fn measure(&mut self) {
        for name in self.stale.drain() {
            let Some(term) = self.terms.get_mut(&name) else {
                continue;
            };
            let (was, is) = (term.counted, term.kept.then(|| term.df()));
            if was == is {
                continue;
            }
            let (then, now) = (was.map(Rarity::of), is.map(Rarity::of));
            for posting in &term.postings {
                if let Some(length) = self.lengths.get_mut(wide(posting.slot)) {
                    length.change(term_weight(posting.tf), then, now);
                }
            }
            term.counted = is;
        }
    }
}

impl Term {
    fn df(&self) -> u32 {
        narrow(self.postings.len())
    }

    /// Where the posting of a slot is, or belongs.
    fn place(&self, slot: u32) -> Result<usize, usize> {
        self.postings.binary_search_by_key(&slot, |posting| posting.slot)
    }

    fn rank(&self, name: &Arc<str>) -> Rank {
        (std::cmp::Reverse(self.occurrences), Arc::clone(name))
    }
}

/// Slots and counts of documents, of which there are never 2³².
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn wide(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
