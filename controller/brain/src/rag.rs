//! Retrieval: which runbook entries resemble a text. Number for number scikit-learn's
//! `TfidfVectorizer(stop_words="english", max_features=5000, ngram_range=(1, 2), sublinear_tf=True)` fitted on the
//! corpus and the query together, and cosine similarity. That is what clients of the earlier system get; what incidents are
//! given is weighed alike, of terms that serve operations. Owns the texts that are indexed; the parts own the numbers:
//! `tokens` and `operations` what a term is, `score` what it weighs, `index` which are kept and how it all is kept up to
//! date. Pure.

mod index;
#[cfg(test)]
mod judged;
mod operations;
mod score;
mod tokens;

use std::collections::BTreeMap;

use aegis_api::RunbookEntrySpec;
use aegis_api::wire::RunbookView;

pub use index::{Hit, Index};

/// How similar an entry must be, as the earlier system had it.
pub const THRESHOLD: f64 = 0.05;
/// The same by the words of operations. More words are shared there, of which many say little: at 0.1 the judged pairs lose
/// none that should be found.
pub const OPERATIONS_THRESHOLD: f64 = 0.1;

/// What counts as a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terms {
    /// What does for scikit-learn, with its list of stop words.
    ScikitLearn,
    /// What tells one trouble from another.
    Operations,
}

impl Terms {
    /// How often each term occurs in a text.
    fn of(self, text: &str) -> BTreeMap<String, u32> {
        match self {
            Self::ScikitLearn => tokens::terms(text),
            Self::Operations => operations::terms(text),
        }
    }
}

/// Whether a text has a word to search for: nothing is similar to one of stop words and signs.
pub fn has_words(text: &str) -> bool {
    let kinds = [Terms::ScikitLearn, Terms::Operations];
    kinds.iter().any(|kind| !kind.of(text).is_empty())
}

/// The text of an entry that operations are searched by: what was seen and what it was. What helped is left out, so that
/// entries are found by their symptoms.
pub fn document(entry: &RunbookEntrySpec) -> String {
    [&entry.alert_type, &entry.logs, &entry.root_cause]
        .map(String::as_str)
        .join(" ")
}

/// The text of an entry as the earlier system indexed it: all of it that is not empty, in small letters.
pub fn whole_document(entry: &RunbookEntrySpec) -> String {
    let entry = RunbookView::from(entry);
    let parts = [
        entry.logs.as_str(),
        &entry.alert_type,
        &entry.root_cause,
        entry.action.as_str(),
        &entry.justification,
        &entry.severity,
        &entry.container_name,
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(half: &str, mut index: Index, threshold: f64) -> judged::Outcome {
        let judged = judged::read(half);
        for (number, pair) in judged.iter().enumerate() {
            index.upsert(&number.to_string(), pair.seen);
        }
        judged::judge(&judged, |question| {
            let hits = index.query(question, 2, threshold);
            hits.iter().map(|hit| hit.id.parse().unwrap()).collect()
        })
    }

    #[test]
    fn words_of_operations_find_more_and_mistake_less() {
        let half = include_str!("../testdata/retrieval/judged/dev.tsv");
        let plain = outcome(half, Index::new(), THRESHOLD);
        let operations = outcome(half, Index::for_operations(), OPERATIONS_THRESHOLD);
        println!(
            "{}\n{}",
            plain.line("scikit-learn", "dev"),
            operations.line("operations", "dev")
        );
        assert!(operations.found > plain.found, "{operations:?} {plain:?}");
        assert!(
            operations.false_friends < plain.false_friends,
            "{operations:?} {plain:?}"
        );
        assert!(
            operations.found * 100 >= operations.entries * 95,
            "{operations:?}"
        );
    }

    fn best(documents: &[&str], question: &str) -> Option<String> {
        let mut index = Index::for_operations();
        documents.iter().for_each(|text| index.upsert(text, text));
        index
            .query(question, 1, OPERATIONS_THRESHOLD)
            .pop()
            .map(|hit| hit.id)
    }

    #[test]
    fn what_the_field_reports_lost_is_found() {
        let documents = [
            "SYSTEM_DOWN system is down system down",
            "disk is full",
            "disk is not full",
            "数据库连接池已耗尽请求超时",
            "connect ECONNREFUSED 10.0.0.1",
            "svc-a-12 is gone",
        ];
        for (question, expected) in [
            ("system is down", documents[0]),
            ("disk full", documents[1]),
            ("the disk is not full", documents[2]),
            ("数据库连接池耗尽", documents[3]),
            ("econnrefused", documents[4]),
            ("svc-a-12", documents[5]),
        ] {
            assert_eq!(
                best(&documents, question).as_deref(),
                Some(expected),
                "{question}"
            );
        }
        assert_eq!(
            best(&["consumer hangs", "x y"], "consumers hanging").as_deref(),
            Some("consumer hangs")
        );
    }
}
