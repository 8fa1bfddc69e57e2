//! nginx's configuration as directives with their places, as far as it takes to find a few of them: words, quotes, comments,
//! `;`, `{` and `}`. Text that is no configuration has some directives or none; nginx judges it. Pure.

use std::ops::Range;

/// Lines that are no comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim_start);
    lines.filter(|line| !line.starts_with('#'))
}

/// Whether a template uses a value of this name. Its comments do not count: they may be copied.
pub(super) fn mentions(template: &str, value: &str) -> bool {
    lines(template).any(|line| line.contains(value))
}

/// How a directive ends, or that a block does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// `;`
    Statement,
    /// `{`
    Opens,
    /// `}`, of a block; there are no words.
    Closes,
}

/// `name args… ;`, `name args… {` or `}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// The name and its arguments, without quotes.
    pub words: Vec<String>,
    /// Line of the first word, from 1.
    pub line: usize,
    /// Where it is, the end included.
    pub range: Range<usize>,
    pub end: End,
}

impl Directive {
    /// The only argument of a statement of this name.
    pub(super) fn only_argument(&self, name: &str) -> Option<&str> {
        match self.words.as_slice() {
            [first, argument] if first == name && self.end == End::Statement => Some(argument),
            _ => None,
        }
    }
}

/// The directives of a text, in their order.
pub(super) fn directives(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut words: Vec<String> = Vec::new();
    let (mut start, mut line) = (0, 1);
    while let Some(sign) = reader.skip_to_token() {
        let (begin, at_line) = (reader.at, reader.line);
        let end = match sign {
            ';' => Some(End::Statement),
            '{' => Some(End::Opens),
            '}' => Some(End::Closes),
            _ => None,
        };
        if words.is_empty() {
            (start, line) = (begin, at_line);
        }
        let Some(end) = end else {
            words.push(reader.word());
            continue;
        };
        reader.next();
        found.push(Directive {
            words: std::mem::take(&mut words),
            line,
            range: start..reader.at,
            end,
        });
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at = self.at.saturating_add(sign.len_utf8());
        if sign == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(sign)
    }

    /// Over white space and comments.
    fn skip_to_token(&mut self) -> Option<char> {
        loop {
            match self.peek()? {
                '#' => while self.next().is_some_and(|sign| sign != '\n') {},
                sign if sign.is_whitespace() => {
                    self.next();
                }
                sign => return Some(sign),
            }
        }
    }

    /// In quotes to the same quote; else to what ends a word. A backslash takes the meaning of what follows it.
    fn word(&mut self) -> String {
        let quote = self.peek().filter(|sign| matches!(sign, '"' | '\''));
        if quote.is_some() {
            self.next();
        }
        let mut word = String::new();
        while let Some(sign) = self.peek() {
            let is_end = match quote {
                Some(quote) => sign == quote,
                None => sign.is_whitespace() || matches!(sign, ';' | '{') && !word.ends_with('$'),
            };
            if is_end {
                break;
            }
            self.next();
            match sign {
                '\\' => word.extend(self.next()),
                _ => word.push(sign),
            }
        }
        if quote.is_some() {
            self.next();
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_with_their_lines_over_comments_quotes_and_variables() {
        let text = "# include /a;\nuser  www;\nhttp {\n  include \"/b/*.conf\" ; # c;\n  log_format x '{;}' \"\\\"\";\n  \
                    set $a ${b};\n}\n";
        let shown: Vec<(String, usize, End)> = directives(text)
            .into_iter()
            .map(|one| (one.words.join("|"), one.line, one.end))
            .collect();
        let one = |words: &str, line, end| (words.to_owned(), line, end);
        assert_eq!(
            shown,
            [
                one("user|www", 2, End::Statement),
                one("http", 3, End::Opens),
                one("include|/b/*.conf", 4, End::Statement),
                one("log_format|x|{;}|\"", 5, End::Statement),
                one("set|$a|${b}", 6, End::Statement),
                one("", 7, End::Closes),
            ]
        );
    }

    #[test]
    fn whatever_text_there_is_the_reading_ends() {
        for text in [
            "",
            "{{{",
            "}}}",
            "a 'b",
            "\\",
            "a\\",
            "\u{feff}ü\u{2028};",
            "#",
            "${",
            ";;;",
        ] {
            let found = directives(text);
            assert!(found.len() <= text.len(), "{text}");
            for one in found {
                assert!(text.get(one.range.clone()).is_some(), "{text} {one:?}");
            }
        }
    }
}
