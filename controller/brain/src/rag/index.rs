//! The index: documents, their terms, and everything of their vectors that does not depend on the query. Owns what is
//! kept between queries. A document that comes or goes changes what its own terms touch and nothing else: there is no
//! fit. Pure, in memory.
//!
//! scikit-learn keeps the `max_features` terms that occur most in corpus and query together. Which of several terms
//! that occur equally often it keeps depends there on an unstable sort; here the first in order of code points.

mod length;
mod query;
mod vocabulary;

use std::collections::HashMap;
use std::sync::Arc;

use super::tokens;
use length::{Length, term_weight};
use vocabulary::{Rank, Vocabulary};

/// `max_features`.
const FEATURES: usize = 5000;

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
    free: Vec<usize>,
    added: u64,
    terms: HashMap<Arc<str>, Term>,
    vocabulary: Vocabulary,
}

#[derive(Debug, Clone)]
struct Document {
    id: String,
    /// How many documents had been added before it.
    age: u64,
    terms: Vec<Arc<str>>,
    /// Of the kept terms.
    length: Length,
}

/// A term of the corpus: how often it occurs in all, and in which documents how often.
#[derive(Debug, Clone, Default)]
struct Term {
    occurrences: u64,
    /// By slot.
    postings: Vec<(usize, u32)>,
    kept: bool,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An index of no document.
    pub fn new() -> Self {
        Self::with_features(FEATURES)
    }

    fn with_features(features: usize) -> Self {
        Self {
            slots: HashMap::new(),
            documents: Vec::new(),
            free: Vec::new(),
            added: 0,
            terms: HashMap::new(),
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
        let counts = tokens::terms(text);
        let mut names = Vec::with_capacity(counts.len());
        for (name, count) in counts {
            let name: Arc<str> = match self.terms.get_key_value(name.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => name.into(),
            };
            self.change(&name, |term| {
                term.occurrences += u64::from(count);
                if let Err(place) = term.postings.binary_search_by_key(&slot, |(slot, _)| *slot) {
                    term.postings.insert(place, (slot, count));
                }
            });
            names.push(name);
        }
        let document = Some(Document {
            id: id.to_owned(),
            age,
            terms: names,
            length: Length::default(),
        });
        match self.documents.get_mut(slot) {
            Some(place) => *place = document,
            None => self.documents.push(document),
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
        let names = self
            .documents
            .get(slot)
            .and_then(Option::as_ref)
            .map(|document| document.terms.clone());
        for name in names.unwrap_or_default() {
            self.change(&name, |term| {
                if let Ok(place) = term.postings.binary_search_by_key(&slot, |(slot, _)| *slot) {
                    let (_, count) = term.postings.remove(place);
                    term.occurrences -= u64::from(count);
                }
            });
        }
        self.free.push(slot);
        let document = self.documents.get_mut(slot).and_then(Option::take);
        document.map(|document| document.age)
    }

    /// Changes a term while it counts for nobody; it takes part again once the vocabulary is settled.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Term)) {
        let term = self.terms.entry(Arc::clone(name)).or_default();
        self.vocabulary.leave(&term.rank(name), term.kept);
        if std::mem::take(&mut term.kept) {
            count(&mut self.documents, term, -1.0);
        }
        change(term);
        if term.postings.is_empty() {
            self.terms.remove(name);
        } else {
            self.vocabulary.wait(term.rank(name));
        }
    }

    /// Keeps the terms that occur most, and counts those that came in and went out.
    fn settle(&mut self) {
        while let Some((rank, kept)) = self.vocabulary.next_change() {
            if let Some(term) = self.terms.get_mut(&rank.1) {
                term.kept = kept;
                count(&mut self.documents, term, if kept { 1.0 } else { -1.0 });
            }
        }
    }
}

/// Counts a term into the lengths of its documents, or out of them.
fn count(documents: &mut [Option<Document>], term: &Term, sign: f64) {
    for (slot, tf) in &term.postings {
        if let Some(Some(document)) = documents.get_mut(*slot) {
            document.length.add(term_weight(*tf), term.df(), sign);
        }
    }
}

impl Term {
    fn df(&self) -> u32 {
        u32::try_from(self.postings.len()).unwrap_or(u32::MAX)
    }

    fn rank(&self, name: &Arc<str>) -> Rank {
        (std::cmp::Reverse(self.occurrences), Arc::clone(name))
    }
}

#[cfg(test)]
mod tests;
