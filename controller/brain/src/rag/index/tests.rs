use std::cmp::Reverse;
use std::collections::BTreeMap;

use aegis_api::RunbookEntrySpec;
use aegis_api::wire::RunbookView;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::rag::score::{idf, weight};

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Corpus {
    seed: u64,
    features: usize,
    documents: Vec<String>,
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Query {
    text: String,
    scores: Vec<f64>,
}

fn recorded() -> Vec<Corpus> {
    let text = include_str!("../../../testdata/retrieval/corpora.json");
    serde_json::from_str::<Recorded>(text).unwrap().cases
}

fn index(features: usize, documents: &[String]) -> Index {
    let mut index = Index::with_features(features, Terms::ScikitLearn);
    for (number, text) in documents.iter().enumerate() {
        index.upsert(&number.to_string(), text);
    }
    index
}

/// The score of each document; 0 for those that are no hit.
fn scores(index: &mut Index, documents: usize, query: &str) -> Vec<f64> {
    let mut scores = vec![0.0; documents];
    for hit in index.query(query, usize::MAX, 0.0) {
        scores[hit.id.parse::<usize>().unwrap()] = hit.score;
    }
    scores
}

#[track_caller]
fn same(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (document, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (ours - theirs).abs() <= tolerance,
            "{what}, document {document}: {ours} is not {theirs}"
        );
    }
}

#[test]
fn the_numbers_are_scikit_learns() {
    let corpora = recorded();
    assert!(corpora.len() >= 200);
    for corpus in corpora {
        let mut index = index(corpus.features, &corpus.documents);
        for query in corpus.queries {
            let ours = scores(&mut index, corpus.documents.len(), &query.text);
            let what = format!(
                "corpus {} of at most {} features, query {:?}",
                corpus.seed, corpus.features, query.text
            );
            same(&ours, &query.scores, 1e-9, &what);
            assert_eq!(best(&mut index, &query.text), ranking(&query.scores), "{what}");
        }
    }
}

/// The two documents that are answered, best first.
fn best(index: &mut Index, query: &str) -> Vec<usize> {
    let hits = index.query(query, 2, 0.05);
    hits.iter().map(|hit| hit.id.parse().unwrap()).collect()
}

/// The two highest scores above the threshold, the earlier document first where they are equal.
fn ranking(scores: &[f64]) -> Vec<usize> {
    let rounded = |score: &f64| (score * 1e12).round();
    let mut order: Vec<usize> = (0..scores.len()).filter(|n| scores[*n] > 0.05).collect();
    order.sort_by(|a, b| {
        rounded(&scores[*b])
            .total_cmp(&rounded(&scores[*a]))
            .then(a.cmp(b))
    });
    order.truncate(2);
    order
}

#[derive(Deserialize)]
struct RecordedRunbook {
    queries: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    text: String,
    answered: Vec<String>,
    scores: Vec<f64>,
}

#[test]
fn the_numbers_are_scikit_learns_on_a_real_runbook_as_it_is_imported() {
    let text = include_str!("../../../testdata/retrieval/runbook/runbook.json");
    let rows: Vec<RunbookView> = serde_json::from_str(text).unwrap();
    let text = include_str!("../../../testdata/retrieval/runbook/scores.json");
    let recorded: RecordedRunbook = serde_json::from_str(text).unwrap();
    assert!(rows.len() >= 60 && recorded.queries.len() >= 40);
    let ids: Vec<String> = rows.iter().map(|row| row.incident_id.clone()).collect();
    let mut index = Index::new();
    for row in rows {
        let entry: RunbookEntrySpec = serde_json::from_value(row.to_spec()).unwrap();
        index.upsert(&entry.incident_id, &crate::rag::document(&entry));
    }
    for query in recorded.queries {
        let found = index.query(&query.text, usize::MAX, 0.0);
        let score = |id: &String| {
            found
                .iter()
                .find(|hit| hit.id == *id)
                .map_or(0.0, |hit| hit.score)
        };
        let ours: Vec<f64> = ids.iter().map(score).collect();
        same(&ours, &query.scores, 1e-9, &query.text);
        let answered = index.query(&query.text, 2, 0.05);
        let answered: Vec<String> = answered.into_iter().map(|hit| hit.id).collect();
        assert_eq!(answered, query.answered, "{:?}", query.text);
    }
}

/// scikit-learn's way, written down plainly: fit on corpus and query, then compare.
fn refit(features: usize, documents: &[String], query: &str) -> Vec<f64> {
    let counts: Vec<BTreeMap<String, u32>> = documents
        .iter()
        .map(String::as_str)
        .chain([query])
        .map(crate::rag::tokens::terms)
        .collect();
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (term, count) in counts.iter().flatten() {
        *totals.entry(term).or_default() += u64::from(*count);
    }
    let mut vocabulary: Vec<(&str, u64)> = totals.into_iter().collect();
    vocabulary.sort_by_key(|(_, total)| Reverse(*total));
    vocabulary.truncate(features);
    let n = u32::try_from(counts.len()).unwrap();
    let vector = |counts: &BTreeMap<String, u32>, df: &dyn Fn(&str) -> u32| -> Vec<f64> {
        let weights = vocabulary
            .iter()
            .map(|(term, _)| counts.get(*term).map_or(0.0, |tf| weight(*tf, idf(n, df(term)))));
        let weights: Vec<f64> = weights.collect();
        let length = weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
        weights
            .into_iter()
            .map(|weight| if length > 0.0 { weight / length } else { 0.0 })
            .collect()
    };
    let df =
        |term: &str| u32::try_from(counts.iter().filter(|counts| counts.contains_key(term)).count()).unwrap();
    let vectors: Vec<Vec<f64>> = counts.iter().map(|counts| vector(counts, &df)).collect();
    let (query, documents) = vectors.split_last().unwrap();
    documents
        .iter()
        .map(|document| document.iter().zip(query).map(|(a, b)| a * b).sum())
        .collect()
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["aa", "bb", "cc", "dd", "ee", "ff", "the", "x"]),
        0..12,
    )
    .prop_map(|words| words.join(" "))
}

#[derive(Debug, Clone)]
enum Edit {
    Upsert(usize, String),
    Remove(usize),
    Query(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (0_usize..8, words()).prop_map(|(id, text)| Edit::Upsert(id, text)),
        1 => (0_usize..8).prop_map(Edit::Remove),
        2 => words().prop_map(Edit::Query),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_edits_a_query_answers_as_a_fit_from_scratch(edits in prop::collection::vec(edit(), 1..40), features in 1_usize..40) {
        let mut index = Index::with_features(features, Terms::ScikitLearn);
        let mut corpus: Vec<(usize, String)> = Vec::new();
        for edit in edits {
            match edit {
                Edit::Upsert(id, text) => {
                    index.upsert(&id.to_string(), &text);
                    match corpus.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, known)) => *known = text,
                        None => corpus.push((id, text)),
                    }
                }
                Edit::Remove(id) => {
                    index.remove(&id.to_string());
                    corpus.retain(|(known, _)| *known != id);
                }
                Edit::Query(query) => {
                    let texts: Vec<String> = corpus.iter().map(|(_, text)| text.clone()).collect();
                    let ours = scores(&mut index, 8, &query);
                    let ours: Vec<f64> = corpus.iter().map(|(id, _)| ours[*id]).collect();
                    same(&ours, &refit(features, &texts, &query), 1e-9, &query);
                }
            }
            prop_assert_eq!(index.len(), corpus.len());
        }
    }
}

#[test]
fn the_best_come_first_and_equal_ones_in_the_order_they_were_added() {
    let mut index = Index::new();
    for (id, text) in [
        ("b", "oom killed"),
        ("a", "oom killed"),
        ("c", "oom killed process again"),
        ("d", "disk full"),
    ] {
        index.upsert(id, text);
    }
    let found = |index: &mut Index, top| {
        index
            .query("oom killed", top, 0.05)
            .into_iter()
            .map(|hit| hit.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&mut index, 9), ["b", "a", "c"]);
    assert_eq!(found(&mut index, 2), ["b", "a"]);
    index.upsert("b", "oom killed");
    assert_eq!(
        found(&mut index, 2),
        ["b", "a"],
        "an entry that is replaced keeps its place"
    );
    index.remove("b");
    index.remove("b");
    assert_eq!(
        (found(&mut index, 2), index.len()),
        (vec!["a".to_owned(), "c".to_owned()], 3)
    );
}

#[test]
fn only_what_is_above_the_threshold_is_a_hit() {
    let mut index = Index::new();
    index.upsert("same", "connection refused");
    let score = index.query("connection refused", 1, 0.05)[0].score;
    assert!((score - 1.0).abs() < 1e-12);
    assert!(index.query("connection refused", 1, score).is_empty());
    assert!(index.query("", 2, 0.0).is_empty() && Index::new().query("connection", 2, 0.0).is_empty());
}

#[test]
fn the_limit_of_5000_terms_holds_as_in_a_fit_from_scratch() {
    // Two documents share a common vocabulary; the rest brings far more than 5,000 terms that occur once.
    let documents: Vec<String> = (0..60_u32)
        .map(|n| {
            let rare: Vec<String> = (0..80)
                .map(|k| format!("w{:05}", (n * 7919 + k * 104_729) % 99_991))
                .collect();
            format!(
                "out of memory killed process web {} out of memory",
                rare.join(" ")
            )
        })
        .collect();
    let mut index = index(FEATURES, &documents);
    let query = format!("memory killed {} brand new words", documents[17]);
    let ours = scores(&mut index, documents.len(), &query);
    same(
        &ours,
        &refit(FEATURES, &documents, &query),
        1e-9,
        "60 long documents",
    );
}
