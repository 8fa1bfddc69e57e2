//! Retrieval: which runbook entries resemble a text. Number for number scikit-learn's
//! `TfidfVectorizer(stop_words="english", max_features=5000, ngram_range=(1, 2), sublinear_tf=True)` fitted on the
//! corpus and the query together, and cosine similarity. Owns the text that is indexed; the parts own the numbers:
//! `tokens` what a term is, `score` what it weighs, `index` which are kept and how it all is kept up to date. Pure.

mod index;
mod score;
mod tokens;

use aegis_api::RunbookEntrySpec;

pub use index::{Hit, Index};

/// The text of an entry that is indexed: what was seen and what it was. What helped is left out, so that entries are
/// found by their symptoms.
pub fn document(entry: &RunbookEntrySpec) -> String {
    [&entry.alert_type, &entry.logs, &entry.root_cause]
        .map(String::as_str)
        .join(" ")
}
