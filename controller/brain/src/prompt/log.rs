//! Logs, made short: lines of one pattern are counted instead of repeated, and of what is still too long the end is
//! kept. Owns what counts as one pattern. Pure.

use std::collections::HashMap;

use serde::Serialize;

/// Most characters of one line.
const LINE: usize = 400;

/// Lines of one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// The last of them.
    pub(super) text: String,
    /// How many there were.
    pub(super) count: usize,
    /// The first of them, where it reads differently: numbers may have grown.
    pub(super) first: Option<String>,
}

/// A log as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    pub(super) lines: Vec<Line>,
    /// Lines that did not fit, from the log's beginning.
    pub(super) left_out: usize,
}

/// The lines of a log, those of one pattern together where the last of them stood.
pub(super) fn collapse(text: &str) -> Vec<Line> {
    let mut found: Vec<Option<Line>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        let text: String = line.chars().take(LINE).collect();
        let place = places.entry(pattern(&text)).or_insert(usize::MAX);
        let before = found.get_mut(*place).and_then(Option::take);
        *place = found.len();
        let (count, first) = match before {
            Some(line) => (line.count + 1, Some(line.first.unwrap_or(line.text))),
            None => (1, None),
        };
        found.push(Some(Line { text, count, first }));
    }
    let lines = found.into_iter().flatten();
    lines
        .map(|line| Line {
            first: line.first.filter(|first| *first != line.text),
            ..line
        })
        .collect()
}

/// The last lines that fit into `chars` characters.
pub(super) fn fit(lines: &[Line], chars: usize) -> Shown {
    let mut left = chars;
    let kept = lines.iter().rev().take_while(|line| {
        let first = line.first.as_ref().map_or(0, |first| first.chars().count());
        let marks = if line.count > 1 { 32 } else { 1 };
        let cost = line.text.chars().count() + first + marks;
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    });
    let mut kept: Vec<Line> = kept.cloned().collect();
    kept.reverse();
    let left_out = lines.len() - kept.len();
    let left_out = lines.iter().take(left_out).map(|line| line.count).sum();
    Shown {
        lines: kept,
        left_out,
    }
}

/// A line without what differs from one to the next: words with a digit in them, such as times, ids and sizes.
fn pattern(line: &str) -> String {
    let mut pattern = String::with_capacity(line.len());
    let mut word = String::new();
    for c in line.chars().chain(std::iter::once(' ')) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        if word.chars().any(|c| c.is_ascii_digit()) {
            pattern.push('#');
        } else {
            pattern.push_str(&word);
        }
        word.clear();
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("{}×{}", line.text, line.count))
            .collect()
    }

    #[test]
    fn lines_of_one_pattern_are_counted() {
        let lines = collapse(
            "12:00:01 started\n12:00:02 GET /a?id=7 500\nleak 10MB\n12:00:03 GET /a?id=81 500\n\nleak 20MB\nleak 30MB\nkilled\n",
        );
        assert_eq!(
            shown(&lines),
            [
                "12:00:01 started×1",
                "12:00:03 GET /a?id=81 500×2",
                "leak 30MB×3",
                "killed×1"
            ]
        );
        assert_eq!(lines[2].first.as_deref(), Some("leak 10MB"));
        assert_eq!(lines[3].first, None);
    }

    #[test]
    fn lines_that_are_equal_have_no_first() {
        assert_eq!(
            collapse("a\na\na"),
            [Line {
                text: "a".into(),
                count: 3,
                first: None
            }]
        );
    }

    #[test]
    fn the_end_is_kept_and_what_is_left_out_is_counted() {
        let text = "one\none\ntwo\nthree\nfour";
        let all = fit(&collapse(text), 100);
        assert_eq!((all.lines.len(), all.left_out), (4, 0));
        let some = fit(&collapse(text), 11);
        assert_eq!(
            (shown(&some.lines), some.left_out),
            (vec!["three×1".into(), "four×1".into()], 3)
        );
        assert_eq!(fit(&collapse(text), 0).left_out, 5);
    }
}
