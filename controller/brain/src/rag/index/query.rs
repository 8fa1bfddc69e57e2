//! A query against the index: what its own terms change in the vocabulary and in the documents' lengths, and the cosines
//! that come of it. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use super::length::{Among, term_weight};
use super::vocabulary::Rank;
use super::{Document, Hit, Index, Term, narrow, wide};
use crate::rag::score::{cosine, idf, weight};

/// A document's sums while a query runs.
#[derive(Clone, Copy, Default)]
struct Running {
    product: f64,
    /// What the query's terms change in the squared length.
    longer: f64,
}

impl Index {
    /// The `top` documents that resemble the text most and more than `threshold`, best first; of equal ones the one
    /// that was added first.
    pub fn query(&mut self, text: &str, top: usize, threshold: f64) -> Vec<Hit> {
        self.measure();
        let query = self.reading.of(text);
        let kept = Kept::new(self, &query);
        let n = narrow(self.len()).saturating_add(1);
        let mut running = vec![Running::default(); self.documents.len()];
        let mut query_squared = 0.0;
        for (name, count) in &query {
            let term = self.terms.get(name.as_str());
            let (was, is) = (term.is_some_and(|term| term.kept), kept.has(name));
            let df = term.map_or(0, Term::df);
            let (before, after) = (idf(n, df), idf(n, df.saturating_add(1)));
            let of_query = weight(*count, after);
            if is {
                query_squared += of_query * of_query;
            }
            if !(was || is) {
                continue;
            }
            let product = if is { of_query * after } else { 0.0 };
            let longer = square_if(is, after) - square_if(was, before);
            for posting in term.iter().flat_map(|term| &term.postings) {
                if let Some(running) = running.get_mut(wide(posting.slot)) {
                    let weight = term_weight(posting.tf);
                    running.product += product * weight;
                    running.longer += longer * weight * weight;
                }
            }
        }
        for rank in kept.leaving {
            let Some(term) = self.terms.get(&rank.1) else {
                continue;
            };
            let idf = idf(n, term.df());
            for posting in &term.postings {
                if let Some(running) = running.get_mut(wide(posting.slot)) {
                    running.longer -= (term_weight(posting.tf) * idf).powi(2);
                }
            }
        }
        let among = Among::new(n);
        let documents = running.iter().zip(&self.lengths).enumerate();
        let scored = documents.filter_map(|(slot, (running, length))| {
            let matches = running.product > 0.0;
            let squared = matches.then(|| length.squared(among) + running.longer)?;
            let score = cosine(running.product, query_squared, squared);
            let document = (score > threshold).then(|| self.documents.get(slot))?;
            Some((document?.as_ref()?, score))
        });
        best(scored.collect(), top)
    }
}

fn square_if(counts: bool, idf: f64) -> f64 {
    if counts { idf * idf } else { 0.0 }
}

fn best(mut scored: Vec<(&Document, f64)>, top: usize) -> Vec<Hit> {
    // What differs by less than this is equal but for the order in which its sums were rounded.
    let coarse = |score: f64| (score * 1e12).round();
    let order = |(a_document, a): &(&Document, f64), (b_document, b): &(&Document, f64)| {
        coarse(*b)
            .total_cmp(&coarse(*a))
            .then(a_document.age.cmp(&b_document.age))
    };
    if top < scored.len() {
        scored.select_nth_unstable_by(top, order);
        scored.truncate(top);
    }
    scored.sort_by(order);
    let hits = scored.into_iter().map(|(document, score)| Hit {
        id: document.id.clone(),
        score,
    });
    hits.collect()
}

/// Which terms are kept when the query counts, too, as the difference to the corpus alone.
struct Kept<'q> {
    /// The query's terms that are kept.
    of_query: HashSet<&'q str>,
    /// Other terms that have to make room for them: a term that is in the query occurs more often by it, so none comes in.
    leaving: Vec<Rank>,
}

impl<'q> Kept<'q> {
    fn new(index: &Index, query: &'q BTreeMap<String, u32>) -> Self {
        let mut wanted: Vec<(Reverse<u64>, &'q str)> = query
            .iter()
            .map(|(name, count)| {
                let known = index.terms.get(name.as_str()).map_or(0, |term| term.occurrences);
                (Reverse(known + u64::from(*count)), name.as_str())
            })
            .collect();
        wanted.sort_unstable();
        let own = |name: &&String| index.terms.get(name.as_str()).is_some_and(|term| term.kept);
        let others = index.vocabulary.kept().len() - query.keys().filter(own).count();
        let free = index.vocabulary.features().saturating_sub(others);
        let mut of_query: HashSet<&str> = wanted.iter().take(free).map(|(_, name)| *name).collect();
        let mut leaving = Vec::new();
        let last_first = index.vocabulary.kept().iter().rev();
        let mut last_first = last_first.filter(|rank| !query.contains_key(&*rank.1));
        for (occurrences, name) in wanted.into_iter().skip(free) {
            let Some(rank) = last_first.next() else { break };
            if (rank.0, &*rank.1) < (occurrences, name) {
                break;
            }
            leaving.push(rank.clone());
            of_query.insert(name);
        }
        Self { of_query, leaving }
    }

    fn has(&self, name: &str) -> bool {
        self.of_query.contains(name)
    }
}
