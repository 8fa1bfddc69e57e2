//! Bytes of an answer into JSON documents, whatever frame they come in: servers stream when they were not asked to, do not
//! when they were, and label either as the other. The first byte tells. Owns that distinction; pure.

use super::lines::{Lines, TooLong};
use super::sse::{Event, Events};

/// How much of what is no answer is kept to be quoted.
const QUOTED: usize = 4096;

/// Separates documents.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
    longest: usize,
}

#[derive(Debug)]
enum State {
    /// Only blanks so far, or half a byte order mark.
    Start(Vec<u8>),
    /// Server-sent events, and what they began with.
    Events(Events, Vec<u8>),
    /// A document a line. What is not complete by its line is one document over several lines.
    Lines(Lines),
    Whole(Vec<u8>),
    /// A web page, from its beginning.
    Page(Vec<u8>),
}

/// What bytes came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) events: Vec<Event>,
    /// Whether something of a document came, although none is complete.
    pub(super) partial: bool,
}

impl Frames {
    /// Documents and lines have at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            state: State::Start(Vec::new()),
            longest,
        }
    }

    /// Takes bytes in and hands out the documents that are complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Framed, TooLong> {
        if let State::Start(begin) = &mut self.state {
            begin.extend_from_slice(bytes);
            if begin.len() > self.longest {
                return Err(TooLong(self.longest));
            }
            let Some(first) = first_byte(begin) else {
                return Ok(Framed::default());
            };
            let begin = std::mem::take(begin);
            self.state = match first {
                b'{' | b'[' => State::Lines(Lines::new(self.longest)),
                b'<' => State::Page(Vec::new()),
                _ => State::Events(Events::new(self.longest), Vec::new()),
            };
            return self.take(&begin);
        }
        self.take(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Framed, TooLong> {
        match &mut self.state {
            State::Start(_) => Ok(Framed::default()),
            State::Events(events, begin) => {
                if begin.len() < QUOTED {
                    begin.extend(bytes.iter().take(QUOTED.saturating_sub(begin.len())));
                }
                Ok(Framed {
                    events: events.push(bytes)?,
                    partial: false,
                })
            }
            State::Page(page) => {
                page.extend(bytes.iter().take(QUOTED.saturating_sub(page.len())));
                Ok(Framed::default())
            }
            State::Whole(whole) => {
                if whole.len().saturating_add(bytes.len()) > self.longest.saturating_mul(8) {
                    return Err(TooLong(self.longest.saturating_mul(8)));
                }
                whole.extend_from_slice(bytes);
                Ok(Framed {
                    events: Vec::new(),
                    partial: true,
                })
            }
            State::Lines(lines) => {
                let mut complete: Vec<Vec<u8>> = Vec::new();
                lines.push(bytes, |line| complete.push(line.to_vec()))?;
                let mut events = Vec::new();
                let mut spread: Option<Vec<u8>> = None;
                for line in complete {
                    match &mut spread {
                        Some(whole) => {
                            whole.extend_from_slice(&line);
                            whole.push(b'\n');
                        }
                        None if is_document(&line) || blank(&line) => events.extend(document(&line)),
                        None if closes_line(&line) => events.extend(document(&line)),
                        None => spread = Some([line.as_slice(), b"\n"].concat()),
                    }
                }
                if let Some(mut whole) = spread {
                    whole.extend_from_slice(lines.rest());
                    self.state = State::Whole(whole);
                }
                let partial = !blank(bytes);
                Ok(Framed { events, partial })
            }
        }
    }

    /// Bytes that wait for the end of their document.
    pub(super) fn waiting(&self) -> usize {
        match &self.state {
            State::Whole(whole) => whole.len(),
            State::Lines(lines) => lines.rest().len(),
            State::Start(begin) => begin.len(),
            State::Events(..) | State::Page(_) => 0,
        }
    }

    /// What the end of the stream completes: a document without its line end, an event without its blank line.
    pub(super) fn finish(&mut self) -> Vec<Event> {
        match &mut self.state {
            State::Start(_) | State::Page(_) => Vec::new(),
            State::Events(events, _) => events.finish().into_iter().collect(),
            State::Lines(lines) => document(lines.rest()).into_iter().collect(),
            State::Whole(whole) => document(whole).into_iter().collect(),
        }
    }

    /// What came in the place of an answer, if it was none: a web page, or a text.
    pub(super) fn instead(&self) -> Option<&[u8]> {
        match &self.state {
            State::Page(page) => Some(page),
            State::Events(events, begin) if events.is_unused() => Some(begin),
            _ => None,
        }
    }
}

fn first_byte(begin: &[u8]) -> Option<u8> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if begin.len() < MARK.len() && MARK.starts_with(begin) {
        return None;
    }
    let text = begin.strip_prefix(MARK).unwrap_or(begin);
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn is_document(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(unmarked(line)).is_ok()
}

/// Whether a line that cannot be read ends as a document would: it is a broken one, and no piece of a longer one.
fn closes_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.len() > 1 && line.ends_with(b"}")
}

fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn document(bytes: &[u8]) -> Option<Event> {
    let text = unmarked(bytes).trim_ascii();
    (!text.is_empty()).then(|| Event {
        kind: "message".to_owned(),
        data: String::from_utf8_lossy(text).into_owned(),
    })
}

/// What a text that is no answer is, in words that help.
pub(super) fn described(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lower = text.to_lowercase();
    if !lower
        .trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t'])
        .starts_with('<')
    {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        return format!("it is no JSON: {words}");
    }
    let title = lower.find("<title").and_then(|at| {
        let (_, inner) = text.get(at..)?.split_once('>')?;
        let (title, _) = inner.split_once('<')?;
        Some(title.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    let signs = [
        "sign in",
        "sign-in",
        "signin",
        "log in",
        "log-in",
        "login",
        "single sign-on",
        "password",
        "captcha",
    ];
    let what = if signs.iter().any(|sign| lower.contains(sign)) {
        "a sign-in page answered, and no model"
    } else {
        "a web page answered, and no model"
    };
    match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("{what}: \"{title}\""),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Option<String>) {
        let mut frames = Frames::new(10_000);
        let mut read: Vec<String> = Vec::new();
        for piece in bytes.chunks(piece) {
            read.extend(
                frames
                    .push(piece)
                    .unwrap()
                    .events
                    .into_iter()
                    .map(|event| event.data),
            );
        }
        read.extend(frames.finish().into_iter().map(|event| event.data));
        (read, frames.instead().map(described))
    }

    #[test]
    fn the_first_byte_tells_in_what_frame_an_answer_comes() {
        let cases: [(&str, &[&str]); 9] = [
            ("data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]),
            ("\n\n: ping\n\ndata: {\"a\":1}\n\n", &["{\"a\":1}"]),
            ("data: {\"a\":1}\n\ndata: {\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}\r\n\r\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
            ("\u{feff}  {\"a\":1}", &["{\"a\":1}"]),
            (
                "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n",
                &["{\n  \"a\": {\n    \"b\": 1\n  }\n}"],
            ),
            ("{\"a\": oops}\n{\"b\":2}\n", &["{\"a\": oops}", "{\"b\":2}"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            for piece in [1, 7, 1000] {
                assert_eq!(read(text.as_bytes(), piece).0, expected, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for (text, expected) in [
            (
                "<html><head><title>Sign in · Corp SSO</title>",
                "a sign-in page answered, and no model: \"Sign in · Corp SSO\"",
            ),
            (
                "<!DOCTYPE html>\n<TITLE>It\n works!</TITLE>",
                "a web page answered, and no model: \"It works!\"",
            ),
            (
                "  <html><body>please log in",
                "a sign-in page answered, and no model",
            ),
            ("no healthy\nupstream", "it is no JSON: no healthy upstream"),
        ] {
            for piece in [1, 1000] {
                assert_eq!(
                    read(text.as_bytes(), piece),
                    (vec![], Some(expected.to_owned())),
                    "{text}"
                );
            }
        }
        assert_eq!(read(b"data: x\n\n", 100).1, None);
    }

    #[test]
    fn a_document_without_end_is_given_up() {
        let mut frames = Frames::new(100);
        assert!(frames.push(&[b' '; 99]).is_ok());
        assert_eq!(frames.push(b"  "), Err(TooLong(100)));
        let mut frames = Frames::new(100);
        frames.push(b"{\n").unwrap();
        let ends = (0..100).find_map(|_| frames.push(&[b'x'; 90]).err());
        assert_eq!(ends, Some(TooLong(800)));
        let mut frames = Frames::new(100);
        for _ in 0..1000 {
            frames.push(b"<p>hello</p>").unwrap();
        }
        assert!(frames.instead().unwrap().len() <= QUOTED);
    }
}
