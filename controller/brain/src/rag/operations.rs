//! What the terms of a text are where operations are meant: no word is dropped that tells trouble from its opposite.
//! "System is down" has terms, "disk full" and "disk is not full" have different ones, `ECONNREFUSED`, `0x80070005` and
//! `svc-a-12` are terms as a whole, and scripts without spaces are read in pairs of characters. Pure.

use std::collections::BTreeMap;

/// Words that say nothing of any trouble.
const FILLERS: [&str; 46] = [
    "a", "an", "and", "are", "as", "at", "be", "been", "being", "but", "by", "for", "from", "had", "has",
    "have", "he", "her", "his", "i", "in", "into", "is", "it", "its", "of", "on", "or", "our", "she", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "was", "we", "were",
    "with", "you",
];
/// Words that turn the next ones into their opposite.
const NEGATIONS: [&str; 10] = [
    "not", "no", "never", "without", "cannot", "cant", "isnt", "wasnt", "doesnt", "dont",
];
/// How many words a negation reaches.
const REACH: usize = 1;
/// What marks a word that is negated; it stands in no word.
const NEGATED: char = '\u{ac}';

/// How often each term occurs.
pub(super) fn terms(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    let mut before: Option<String> = None;
    let mut negated = 0;
    for token in tokens(text) {
        match token {
            Token::Word(word) if NEGATIONS.contains(&word.as_str()) => negated = REACH,
            Token::Word(word) if FILLERS.contains(&word.as_str()) => {}
            Token::Word(word) => {
                let stem = stem(&word);
                let term = if negated > 0 {
                    format!("{NEGATED}{stem}")
                } else {
                    stem
                };
                negated = usize::saturating_sub(negated, 1);
                if let Some(before) = before.replace(term.clone()) {
                    count(&mut counts, format!("{before} {term}"));
                }
                count(&mut counts, term);
            }
            Token::Whole(name) => count(&mut counts, name),
            Token::Pair(pair) => count(&mut counts, pair),
            Token::Break => (before, negated) = (None, 0),
        }
    }
    counts
}

fn count(counts: &mut BTreeMap<String, u32>, term: String) {
    *counts.entry(term).or_insert(0) += 1;
}

enum Token {
    /// A word, in small letters.
    Word(String),
    /// A name or code of several parts, whole: its parts follow as words.
    Whole(String),
    /// Two characters of a script that has no spaces.
    Pair(String),
    /// What no pair of words reaches over, and no negation.
    Break,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for run in text.split(char::is_whitespace) {
        let ends = run.ends_with(['.', ',', ';', ':', '!', '?', ')', '。', '、', '，']);
        let name = run.trim_matches(|c: char| !c.is_alphanumeric());
        if !name.is_empty() {
            push_name(name, &mut tokens);
        }
        if ends {
            tokens.push(Token::Break);
        }
    }
    tokens
}

fn push_name(name: &str, tokens: &mut Vec<Token>) {
    let parts = parts(name);
    let is_code = name.chars().any(|c| c.is_ascii_digit()) && name.chars().any(char::is_alphabetic);
    if name.is_ascii() && (parts.len() > 1 || is_code) && name.len() <= LONGEST && !has_break(name) {
        tokens.push(Token::Whole(format!("={}", name.to_lowercase())));
    }
    for part in parts {
        let word = part.to_lowercase();
        if word.chars().any(is_unspaced) {
            push_pairs(&word, tokens);
        } else if is_kept(&word) {
            tokens.push(Token::Word(word));
        }
    }
}

/// A longer name is a text that is not written twice.
const LONGEST: usize = 64;
/// Digits in a row from which a number is a time, a size or a process, and no code.
const VOLATILE: usize = 7;

/// Whether a word says something: a single letter does not, nor a number that is another one each time.
fn is_kept(word: &str) -> bool {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        return (2..VOLATILE).contains(&word.len());
    }
    word.chars().nth(1).is_some()
}

/// Whether a run is words around a mark, such as `down,restarting`, and no name.
fn has_break(name: &str) -> bool {
    name.contains([',', ';', '(', ')', '=', '"', '\''])
}

/// The parts of a name: at marks, and where small letters or digits turn into a capital.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in name.split(|c: char| !c.is_alphanumeric()) {
        let mut start = 0;
        let mut before = ' ';
        for (at, c) in piece.char_indices() {
            let turns = before.is_lowercase() && c.is_uppercase();
            let script = at > 0 && is_unspaced(before) != is_unspaced(c);
            if turns || script {
                parts.extend(piece.get(start..at));
                start = at;
            }
            before = c;
        }
        parts.extend(piece.get(start..));
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Scripts that are written without spaces between words, or with so long words that their middles matter.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff // Thai, Lao
        | 0x1000..=0x109f // Myanmar
        | 0x1780..=0x17ff // Khmer
        | 0x3040..=0x30ff // Hiragana, Katakana
        | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf // Han
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7af // Hangul
        | 0xf900..=0xfaff
        | 0x20000..=0x323af)
}

fn push_pairs(word: &str, tokens: &mut Vec<Token>) {
    let characters: Vec<char> = word.chars().collect();
    if let [only] = characters[..] {
        tokens.push(Token::Pair(only.to_string()));
    }
    for pair in characters.windows(2) {
        tokens.push(Token::Pair(pair.iter().collect()));
    }
}

/// A word without the endings that English hangs on: `hangs`, `hanging` and `hang` are one, as are `refused` and `refuse`.
fn stem(word: &str) -> String {
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let has_vowel = |stem: &str| stem.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    let long = |stem: &&str| stem.len() >= 3 && has_vowel(stem);
    let plain = word
        .strip_suffix("ies")
        .filter(long)
        .map(|stem| format!("{stem}y"))
        .or_else(|| {
            let cut = word
                .strip_suffix('s')
                .filter(|stem| !stem.ends_with(['s', 'u', 'i']));
            cut.filter(long).map(str::to_owned)
        })
        .unwrap_or_else(|| word.to_owned());
    let cut = plain
        .strip_suffix("ing")
        .or_else(|| plain.strip_suffix("ed"))
        .filter(long);
    let Some(cut) = cut else {
        return plain
            .strip_suffix('e')
            .filter(long)
            .map_or(plain.clone(), str::to_owned);
    };
    // `stopped` is `stop`, and `filled` stays `fill`.
    let mut last = cut.chars().rev();
    match (last.next(), last.next()) {
        (Some(a), Some(b)) if a == b && !matches!(a, 'l' | 's' | 'z' | 'e' | 'o') => {
            cut.strip_suffix(a).unwrap_or(cut).to_owned()
        }
        _ => cut.strip_suffix('e').unwrap_or(cut).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, term: &str) -> bool {
        terms(text).contains_key(term)
    }

    #[test]
    fn words_that_tell_trouble_are_terms() {
        for (text, term) in [
            ("the system is down", "system down"),
            ("call back never", "call back"),
            ("full", "full"),
            ("SYSTEM_DOWN", "system down"),
            ("SystemDown", "system down"),
        ] {
            assert!(has(text, term), "{text}: {:?}", terms(text));
        }
    }

    #[test]
    fn an_opposite_is_another_term() {
        assert!(has("disk is full", "disk full") && !has("disk is not full", "full"));
        assert!(has("disk is not full", "\u{ac}full") && has("no disk is full", "full"));
        assert!(!has("no, disk full", "\u{ac}disk"));
    }

    #[test]
    fn names_and_codes_are_terms_as_a_whole_and_in_parts() {
        for (text, term) in [
            ("connect ECONNREFUSED 10.0.3.7:5432", "econnrefus"),
            ("connect ECONNREFUSED 10.0.3.7:5432", "5432"),
            ("failed with 0x80070005.", "=0x80070005"),
            ("(svc-a-12)", "=svc-a-12"),
            ("svc-a-12", "svc"),
            ("ORA-12541: no listener", "=ora-12541"),
            ("NoSuchMethodError", "method error"),
        ] {
            assert!(has(text, term), "{term} is not in {:?}", terms(text));
        }
        assert!(
            !has("pid 17672256001", "17672256001"),
            "what differs each time is no term"
        );
        assert!(
            !has(&"a-".repeat(100), "=a"),
            "nor is a name that is not written twice"
        );
    }

    #[test]
    fn scripts_without_spaces_are_read_in_pairs_of_characters() {
        assert!(has("数据库连接池耗尽", "连接") && has("数据库连接池", "库连"));
        assert!(has("pod内存不足", "pod") && has("pod内存不足", "内存"));
        assert_eq!(terms("満").len(), 1);
    }

    #[test]
    fn endings_do_not_part_words() {
        for [a, b] in [
            ["consumer hangs", "consumers hanging"],
            ["connection refused", "connections refuse"],
            ["worker stopped", "workers stop"],
            ["restarting", "restart"],
            ["retries", "retry"],
            ["verbindungspools", "verbindungspool"],
        ] {
            assert_eq!(terms(a), terms(b));
        }
        for word in ["ssl", "bus", "sbin", "status", "process", "string", "red"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn a_text_without_words_has_no_terms_and_any_text_is_read() {
        assert!(terms(" . \u{0} a ! the").is_empty());
        for (text, has_words) in [
            ("", false),
            ("is it the", false),
            ("?! a", false),
            ("not", false),
            ("it is down", true),
            ("oom", true),
        ] {
            assert_eq!(crate::rag::has_words(text), has_words, "{text}");
        }
        for text in ["\u{301}\u{200d}🦀", "----", "ﬁ-ﬀ", "a\u{0}b", "İİ-x"] {
            terms(text);
        }
    }
}
