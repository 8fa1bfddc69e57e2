//! What the terms of a text are: lower-cased runs of two or more word characters that are no stop words, and each pair
//! of neighbours among them. As scikit-learn's `CountVectorizer` with `token_pattern=r"(?u)\b\w\w+\b"`,
//! `stop_words="english"` and `ngram_range=(1, 2)`. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// scikit-learn's English stop words (318), one a line, from Glasgow's information retrieval group.
const STOP_WORDS: &str = include_str!("stop_words.txt");

static STOPS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| STOP_WORDS.lines().collect());

/// How often each term occurs.
pub(super) fn terms(text: &str) -> BTreeMap<String, u32> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = words(&lower).filter(|word| !STOPS.contains(word)).collect();
    let mut counts = BTreeMap::new();
    for word in &words {
        *counts.entry((*word).to_owned()).or_insert(0_u32) += 1;
    }
    for pair in words.windows(2) {
        *counts.entry(pair.join(" ")).or_insert(0_u32) += 1;
    }
    counts
}

fn words(lower: &str) -> impl Iterator<Item = &str> {
    lower
        .split(|c: char| !is_word(c))
        .filter(|run| run.chars().nth(1).is_some())
}

/// Python's `\w`: the general categories L and N, and the underscore. (Rust's `is_alphanumeric` goes by the property
/// Alphabetic, which holds for some marks and symbols, too.)
fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    c.is_numeric() || (c.is_alphabetic() && LETTERS.is_match(c.encode_utf8(&mut [0; 4])))
}

#[expect(
    clippy::expect_used,
    reason = "the pattern is a constant, which every test here compiles"
)]
static LETTERS: LazyLock<regex::Regex> =
    LazyLock::new(|| regex::Regex::new(r"^\p{L}$").expect("a valid pattern"));

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<(String, u32)> {
        terms(text).into_iter().collect()
    }

    fn pairs(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
        expected
            .iter()
            .map(|(term, count)| ((*term).to_owned(), *count))
            .collect()
    }

    #[test]
    fn single_characters_and_stop_words_are_left_out_before_neighbours_are_paired() {
        let expected = [
            ("killed", 1),
            ("killed memory", 1),
            ("memory", 1),
            ("process", 1),
            ("process killed", 1),
        ];
        assert_eq!(listed("A process is KILLED: out of memory"), pairs(&expected));
    }

    #[test]
    fn repeated_terms_are_counted() {
        assert_eq!(listed("oom oom oom"), pairs(&[("oom", 3), ("oom oom", 2)]));
    }

    #[test]
    fn words_are_runs_of_letters_digits_and_underscores_of_any_script() {
        assert_eq!(
            listed("x_1 ß9, x-1"),
            pairs(&[("x_1", 1), ("x_1 ß9", 1), ("ß9", 1)])
        );
        assert_eq!(listed("память ①②").len(), 3);
    }

    #[test]
    fn marks_that_only_rust_calls_alphabetic_part_words() {
        // U+0903 and U+24D0 have the property Alphabetic but are a mark and a symbol.
        assert_eq!(
            listed("ab\u{903}cd"),
            pairs(&[("ab", 1), ("ab cd", 1), ("cd", 1)])
        );
        assert_eq!(listed("\u{24d0}\u{24d1}"), pairs(&[]));
    }

    #[test]
    fn there_are_318_stop_words() {
        assert_eq!(STOPS.len(), 318);
    }

    #[test]
    fn a_text_without_words_has_no_terms() {
        assert_eq!(listed(" . \u{0} a ! the"), pairs(&[]));
    }
}
