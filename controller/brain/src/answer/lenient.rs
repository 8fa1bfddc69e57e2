//! Reads an object as models write them where JSON's own grammar does not let it pass: comments, single and curly quotes,
//! names without quotes, Python's words, stray backslashes, a last comma, a last brace that is missing. Owns what is
//! forgiven, and only where one reading is possible; where there are two, it says so. Pure, and linear in the text.

use serde_json::Value;

use super::object::Pairs;

/// How deep an object may be nested.
const DEPTH: usize = 32;

/// An object as it was read.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) pairs: Pairs,
    /// Where it ends.
    pub(super) end: usize,
    /// What its comments say: they may name another answer.
    pub(super) comments: String,
    /// The last name and value, where the text ends right behind a value that might have gone on, as 1 might be 12.
    pub(super) cut: Option<(String, Value)>,
}

/// The object that `text` begins with.
pub(super) fn read(text: &str) -> Option<Object> {
    let mut reader = Reader::new(text);
    let pairs = reader.object(1)?;
    let last = pairs.last().cloned();
    Some(Object {
        end: reader.at,
        comments: reader.comments,
        cut: last.filter(|_| reader.missing && reader.bare),
        pairs: Pairs(pairs),
    })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    comments: String,
    /// The last value had no end of its own, and nothing came behind it.
    bare: bool,
    /// The outermost brace is missing.
    missing: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            comments: String::new(),
            bare: false,
            missing: false,
        }
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Passes over white space and comments.
    fn skip(&mut self) -> Option<()> {
        loop {
            let blank = self.rest().len() - self.rest().trim_start().len();
            self.at += blank;
            let rest = self.rest();
            let (comment, taken) = if let Some(comment) = rest.strip_prefix("//").or(rest.strip_prefix('#')) {
                let line = comment.lines().next().unwrap_or_default();
                (line.to_owned(), rest.len() - comment.len() + line.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let (inner, _) = comment.split_once("*/")?;
                (inner.to_owned(), inner.len() + 4)
            } else {
                return Some(());
            };
            self.comments.push_str(&comment);
            self.comments.push('\n');
            self.at += taken;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Vec<(String, Value)>> {
        if depth > DEPTH || !self.eat('{') {
            return None;
        }
        let mut pairs = Vec::new();
        loop {
            self.skip()?;
            if self.eat('}') || self.ends(depth, &pairs) {
                return Some(pairs);
            }
            let key = self.key()?;
            self.skip()?;
            if !self.eat(':') {
                return None;
            }
            self.skip()?;
            let value = self.value(depth)?;
            self.bare &= self.rest().is_empty();
            pairs.push((key, value));
            self.skip()?;
            if !self.eat(',') && self.peek() != Some('}') && !self.ends(depth, &pairs) {
                return None;
            }
        }
    }

    /// Whether the text ends here, and with it an object that lacks its last brace only.
    fn ends(&mut self, depth: usize, pairs: &[(String, Value)]) -> bool {
        let over = matches!(self.rest().trim(), "" | "```");
        self.missing |= over;
        over && depth == 1 && !pairs.is_empty()
    }

    fn key(&mut self) -> Option<String> {
        if let Some(quote) = self.peek().and_then(closing) {
            let key = self.string(quote)?;
            // A backslash that is kept is part of no name.
            return (!key.contains('\\')).then_some(key);
        }
        self.word()
    }

    fn word(&mut self) -> Option<String> {
        let word: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        self.at += word.len();
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            .then_some(word)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.bare = false;
        let first = self.peek()?;
        if let Some(quote) = closing(first) {
            return self.string(quote).map(Value::from);
        }
        match first {
            '{' => self
                .object(depth + 1)
                .map(|pairs| Value::Object(pairs.into_iter().collect())),
            '[' => self.list(depth),
            '0'..='9' | '+' | '-' | '.' => self.number(),
            _ => {
                let word = self.word()?;
                self.bare = true;
                Some(match word.as_str() {
                    "null" | "None" | "undefined" | "nil" => Value::Null,
                    "true" | "True" => Value::Bool(true),
                    "false" | "False" => Value::Bool(false),
                    _ => Value::from(word),
                })
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip()?;
            if self.eat(']') {
                self.bare = false;
                return Some(Value::Array(items));
            }
            if depth > DEPTH {
                return None;
            }
            items.push(self.value(depth + 1)?);
            self.skip()?;
            if !self.eat(',') && self.peek() != Some(']') {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let token: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            .collect();
        self.at += token.len();
        self.bare = true;
        if self.eat('%') {
            return Some(Value::from(format!("{token}%")));
        }
        let plain = token.strip_prefix('+').unwrap_or(&token);
        let padded = if plain.starts_with('.') {
            format!("0{plain}")
        } else {
            plain.to_owned()
        };
        serde_json::from_str::<serde_json::Number>(&padded)
            .ok()
            .map(Value::Number)
    }

    /// A text up to this quote, whose first quote is still to be read.
    fn string(&mut self, quote: Quote) -> Option<String> {
        self.next()?;
        let (mut text, mut before) = (String::new(), ' ');
        loop {
            let c = self.next()?;
            match c {
                '\\' => self.escape(&mut text)?,
                c if quote.ends.contains(&c) && !quote.is_apostrophe => return Some(text),
                c if quote.ends.contains(&c) => {
                    let after = self.rest().trim_start().chars().next();
                    let closes = matches!(after, None | Some(',' | '}' | ']' | ':'));
                    let next = self.peek().unwrap_or(' ');
                    match (closes, before.is_alphanumeric() && next.is_alphanumeric()) {
                        (true, _) => return Some(text),
                        (false, true) => text.push(c),
                        // It may end the text, and it may be part of it.
                        (false, false) => return None,
                    }
                }
                c if c == quote.begins => return None,
                c => text.push(c),
            }
            before = c;
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.next()?;
        match c {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => self.unit(text),
            // A path of Windows, such as C:\Windows: the backslash is meant.
            c if c.is_alphanumeric() => text.extend(['\\', c]),
            // Markdown escapes what would be markup: the backslash is not meant.
            c => text.push(c),
        }
        Some(())
    }

    fn unit(&mut self, text: &mut String) {
        let hex = |text: &str| {
            let digits = text.get(..4)?;
            digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then_some(())?;
            u32::from_str_radix(digits, 16).ok()
        };
        let Some(first) = hex(self.rest()) else {
            text.push_str("\\u");
            return;
        };
        self.at += 4;
        let low = self.rest().strip_prefix("\\u").and_then(hex);
        match (first, low) {
            (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                self.at += 6;
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            _ => text.push(char::from_u32(first).unwrap_or('\u{fffd}')),
        }
    }
}

/// How a quoted text begins and ends.
#[derive(Debug, Clone, Copy)]
struct Quote {
    begins: char,
    ends: &'static [char],
    /// It also stands in the middle of words.
    is_apostrophe: bool,
}

fn closing(begins: char) -> Option<Quote> {
    let (ends, is_apostrophe): (&[char], bool) = match begins {
        '"' => (&['"'], false),
        '\u{201c}' => (&['\u{201d}'], false),
        '\u{201e}' => (&['\u{201c}', '\u{201d}'], false),
        '\'' => (&['\''], true),
        '\u{2018}' => (&['\u{2019}'], true),
        _ => return None,
    };
    Some(Quote {
        begins,
        ends,
        is_apostrophe,
    })
}

/// A text whose quotes are escaped, as if it stood in another text, taken out of that.
pub(super) fn unescaped(text: &str) -> Option<String> {
    if !text.contains("{\\\"") && !text.contains("{\\n") {
        return None;
    }
    let mut reader = Reader::new(text);
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = reader.next() {
        if c == '\\' {
            reader.escape(&mut plain)?;
        } else {
            plain.push(c);
        }
    }
    Some(plain)
}
