//! The index: documents, their terms, and what does not depend on the query. Owns what is kept between queries; a
//! query fits nothing anew but corrects what its own terms change. Pure, in memory.
//!
//! scikit-learn keeps the `max_features` terms that occur most in corpus and query together. Which of several terms
//! that occur equally often it keeps depends there on an unstable sort; here the first in order of code points.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use super::score::{cosine, idf, weight};
use super::tokens;

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
    features: usize,
    slots: HashMap<String, usize>,
    documents: BTreeMap<usize, Document>,
    added: usize,
    terms: BTreeMap<Arc<str>, Term>,
    fitted: OnceLock<Fitted>,
}

#[derive(Debug, Clone)]
struct Document {
    id: String,
    terms: Vec<Arc<str>>,
}

/// A term of the corpus: how often it occurs in all, and in which documents how often.
#[derive(Debug, Clone, Default)]
struct Term {
    occurrences: u64,
    postings: BTreeMap<usize, u32>,
}

/// What follows from the corpus alone, but with the query counted as a document.
#[derive(Debug, Clone, Default)]
struct Fitted {
    /// Squared length of each document's vector.
    lengths: HashMap<usize, f64>,
    /// Every term, the ones to keep first.
    order: Vec<Rank>,
}

/// Orders terms: those that occur most first, then by code points.
type Rank = (Reverse<u64>, Arc<str>);

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
            features,
            slots: HashMap::new(),
            documents: BTreeMap::new(),
            added: 0,
            terms: BTreeMap::new(),
            fitted: OnceLock::new(),
        }
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Adds a document behind all others, or replaces the one of this id where it stands.
    pub fn upsert(&mut self, id: &str, text: &str) {
        let slot = self.slots.get(id).copied().unwrap_or_else(|| {
            self.added += 1;
            self.added
        });
        self.remove(id);
        let mut names = Vec::new();
        for (name, count) in tokens::terms(text) {
            let name: Arc<str> = name.into();
            let term = self.terms.entry(Arc::clone(&name)).or_default();
            term.occurrences += u64::from(count);
            term.postings.insert(slot, count);
            names.push(name);
        }
        self.documents.insert(
            slot,
            Document {
                id: id.to_owned(),
                terms: names,
            },
        );
        self.slots.insert(id.to_owned(), slot);
        self.fitted.take();
    }

    /// Takes a document out; one that is not there stays out.
    pub fn remove(&mut self, id: &str) {
        let Some(slot) = self.slots.remove(id) else { return };
        self.fitted.take();
        let Some(document) = self.documents.remove(&slot) else {
            return;
        };
        for name in document.terms {
            if let Some(term) = self.terms.get_mut(&name) {
                term.occurrences -= term.postings.remove(&slot).map_or(0, u64::from);
                if term.postings.is_empty() {
                    self.terms.remove(&name);
                }
            }
        }
    }

    /// The `top` documents that resemble the text most and more than `threshold`, best first; of equal ones the one
    /// that was added first.
    pub fn query(&self, text: &str, top: usize, threshold: f64) -> Vec<Hit> {
        let query = tokens::terms(text);
        let fitted = self.fitted.get_or_init(|| self.fit());
        let kept = Kept::new(self, fitted, &query);
        let n = self.documents_with_query();
        let (mut products, mut longer, mut query_squared) = (BTreeMap::new(), HashMap::new(), 0.0);
        for (name, count) in &query {
            let term = self.terms.get(name.as_str());
            let before = idf(n, term.map_or(0, Term::df));
            let after = idf(n, term.map_or(0, Term::df).saturating_add(1));
            let of_query = weight(*count, after);
            let (was, is) = (self.kept_before(fitted, name, term), kept.query_term(name));
            if is {
                query_squared += of_query * of_query;
            }
            for (slot, tf) in term.iter().flat_map(|term| &term.postings) {
                let of_document = weight(*tf, after);
                if is {
                    *products.entry(*slot).or_insert(0.0) += of_query * of_document;
                }
                let change = f64::from(u8::from(is)) * of_document.powi(2)
                    - f64::from(u8::from(was)) * weight(*tf, before).powi(2);
                *longer.entry(*slot).or_insert(0.0) += change;
            }
        }
        for (name, sign) in kept.others {
            let term = self.terms.get(&name);
            let idf = idf(n, term.map_or(0, Term::df));
            for (slot, tf) in term.iter().flat_map(|term| &term.postings) {
                *longer.entry(*slot).or_insert(0.0) += sign * weight(*tf, idf).powi(2);
            }
        }
        let scored = products.into_iter().map(|(slot, product)| {
            let length = fitted.lengths.get(&slot).copied().unwrap_or_default();
            (
                slot,
                cosine(
                    product,
                    query_squared,
                    length + longer.get(&slot).copied().unwrap_or_default(),
                ),
            )
        });
        self.best(scored.filter(|(_, score)| *score > threshold).collect(), top)
    }

    fn best(&self, mut scored: Vec<(usize, f64)>, top: usize) -> Vec<Hit> {
        scored.sort_by(|(a_slot, a), (b_slot, b)| b.total_cmp(a).then(a_slot.cmp(b_slot)));
        let hits = scored.into_iter().take(top).filter_map(|(slot, score)| {
            let document = self.documents.get(&slot)?;
            Some(Hit {
                id: document.id.clone(),
                score,
            })
        });
        hits.collect()
    }

    fn documents_with_query(&self) -> u32 {
        u32::try_from(self.documents.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    fn fit(&self) -> Fitted {
        let ranks = self
            .terms
            .iter()
            .map(|(name, term)| (Reverse(term.occurrences), Arc::clone(name)));
        let mut order: Vec<Rank> = ranks.collect();
        order.sort_unstable();
        let mut fitted = Fitted {
            lengths: HashMap::with_capacity(self.documents.len()),
            order,
        };
        let n = self.documents_with_query();
        for (name, term) in &self.terms {
            if self.kept_before(&fitted, name, Some(term)) {
                let idf = idf(n, term.df());
                for (slot, tf) in &term.postings {
                    *fitted.lengths.entry(*slot).or_insert(0.0) += weight(*tf, idf).powi(2);
                }
            }
        }
        fitted
    }

    /// Whether a term is kept when only the corpus counts.
    fn kept_before(&self, fitted: &Fitted, name: &str, term: Option<&Term>) -> bool {
        let Some(term) = term else { return false };
        match self
            .features
            .checked_sub(1)
            .and_then(|last| fitted.order.get(last))
        {
            Some((Reverse(occurrences), last)) => {
                (Reverse(term.occurrences), name) <= (Reverse(*occurrences), &**last)
            }
            None => true,
        }
    }
}

impl Term {
    fn df(&self) -> u32 {
        u32::try_from(self.postings.len()).unwrap_or(u32::MAX)
    }
}

/// Which terms are kept when the query counts, too, as the difference to the corpus alone.
struct Kept<'q> {
    /// The query's terms that are kept; `None` where all are.
    of_query: Option<BTreeSet<&'q str>>,
    /// Other terms that come in (+1) or go out (−1).
    others: Vec<(Arc<str>, f64)>,
}

impl<'q> Kept<'q> {
    fn new(index: &Index, fitted: &Fitted, query: &'q BTreeMap<String, u32>) -> Self {
        let new = query
            .keys()
            .filter(|name| !index.terms.contains_key(name.as_str()))
            .count();
        if index.terms.len() + new <= index.features {
            return Self {
                of_query: None,
                others: Vec::new(),
            };
        }
        let before: Vec<(Reverse<u64>, &str)> = query
            .keys()
            .filter_map(|name| {
                Some((
                    Reverse(index.terms.get(name.as_str())?.occurrences),
                    name.as_str(),
                ))
            })
            .collect();
        let mut after: Vec<(Reverse<u64>, &'q str)> = query
            .iter()
            .map(|(name, count)| {
                let known = index.terms.get(name.as_str()).map_or(0, |term| term.occurrences);
                (Reverse(known + u64::from(*count)), name.as_str())
            })
            .collect();
        after.sort_unstable();
        // A query term is kept if fewer than `features` terms come before it: query terms, and others.
        let others_before = |rank: &(Reverse<u64>, &str)| {
            let all = fitted
                .order
                .partition_point(|(occurrences, name)| (*occurrences, &**name) < *rank);
            all - before.iter().filter(|known| *known < rank).count()
        };
        let kept = after
            .iter()
            .enumerate()
            .take_while(|(place, rank)| place + others_before(rank) < index.features);
        let of_query: BTreeSet<&str> = kept.map(|(_, (_, name))| *name).collect();
        let others = Self::others(index, fitted, query, index.features - of_query.len());
        Self {
            of_query: Some(of_query),
            others,
        }
    }

    /// Terms outside the query that are in the first `wanted` of their kind but not among the corpus' own first, or
    /// the other way round.
    fn others(
        index: &Index,
        fitted: &Fitted,
        query: &BTreeMap<String, u32>,
        wanted: usize,
    ) -> Vec<(Arc<str>, f64)> {
        let (first, rest) = fitted.order.split_at(index.features.min(fitted.order.len()));
        let is_other = |rank: &&Rank| !query.contains_key(&*rank.1);
        let now = first.iter().filter(is_other).count();
        if wanted >= now {
            let entering = rest.iter().filter(is_other).take(wanted - now);
            return entering.map(|(_, name)| (Arc::clone(name), 1.0)).collect();
        }
        let leaving = first.iter().rev().filter(is_other).take(now - wanted);
        leaving.map(|(_, name)| (Arc::clone(name), -1.0)).collect()
    }

    fn query_term(&self, name: &str) -> bool {
        self.of_query.as_ref().is_none_or(|kept| kept.contains(name))
    }
}

#[cfg(test)]
mod tests;
