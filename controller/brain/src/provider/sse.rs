//! Server-sent events, to the letter of the WHATWG HTML standard (§9.2.6). Owns the grammar; what an event means is the
//! provider's business. Pure.

use super::lines::{Lines, TooLong};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; `message` where the server names none.
    pub(crate) kind: String,
    /// Its data lines, joined by line feeds.
    pub(crate) data: String,
}

/// Reads a stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    lines: Lines,
    pending: Pending,
    longest: usize,
    unused: bool,
}

#[derive(Debug, Default)]
struct Pending {
    started: bool,
    kind: String,
    data: Option<String>,
    too_long: bool,
}

impl Events {
    /// Events whose lines and whose data have at most `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            lines: Lines::new(longest),
            pending: Pending::default(),
            longest,
            unused: true,
        }
    }

    /// Takes bytes in and hands out the events that are complete. An event without its blank line never is.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let (pending, longest) = (&mut self.pending, self.longest);
        self.lines
            .push(bytes, |line| events.extend(pending.line(line, longest)))?;
        if self.pending.too_long {
            return Err(TooLong(self.longest));
        }
        self.unused &= events.is_empty();
        Ok(events)
    }

    /// The event that the end of the stream left without its blank line. The standard drops it: its data
    /// count only where they prove to be complete.
    pub(crate) fn finish(&mut self) -> Option<Event> {
        let rest = self.lines.rest().to_vec();
        let event = match self.pending.line(&rest, self.longest) {
            Some(event) => Some(event),
            None => self.pending.dispatch(),
        };
        self.unused &= event.is_none();
        event
    }

    /// Whether not a single event has come.
    pub(crate) fn is_unused(&self) -> bool {
        self.unused
    }
}

impl Pending {
    fn line(&mut self, line: &[u8], longest: usize) -> Option<Event> {
        // A byte order mark may open the stream.
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(after) if !self.started => after,
            _ => line,
        };
        self.started = true;
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.append(value, longest),
            "event" => value.clone_into(&mut self.kind),
            // A comment has no name, `id` and `retry` are about reconnecting, and others are to be ignored.
            _ => {}
        }
        None
    }

    fn append(&mut self, value: &str, longest: usize) {
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) if data.len().saturating_add(value.len()) < longest => {
                data.push('\n');
                data.push_str(value);
            }
            Some(_) => self.too_long = true,
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = self.data.take()?;
        let kind = if kind.is_empty() {
            "message".to_owned()
        } else {
            kind
        };
        Some(Event { kind, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::new(1000);
        let read = chunks.iter().flat_map(|chunk| events.push(chunk).unwrap());
        read.map(|event| {
            if event.kind == "message" {
                event.data
            } else {
                format!("{}={}", event.kind, event.data)
            }
        })
        .collect()
    }

    #[test]
    fn fields_are_read_to_the_letter() {
        assert_eq!(read(&[b"data: a\n\ndata:b\n\ndata:  c\n\n"]), ["a", "b", " c"]);
        assert_eq!(read(&[b"data: a\ndata: b\ndata\n\n"]), ["a\nb\n"]);
        assert_eq!(
            read(&[b"event: error\ndata: x: y\n\ndata: z\n\n"]),
            ["error=x: y", "z"]
        );
        assert_eq!(
            read(&[b": keep-alive\n\n:\ndata: a\n:x\nid: 1\nretry: 5\nfoo: bar\nfoo\n\n"]),
            ["a"]
        );
        assert_eq!(
            read(&[b"event: x\n\ndata: a\n\n"]),
            ["a"],
            "a type without data is forgotten"
        );
        assert_eq!(
            read(&[b"data\n\ndata:\n\n\n\n"]),
            ["", ""],
            "empty data is data, a blank line is not"
        );
        assert!(read(&[b" data: a\n\nDATA: b\n\n"]).is_empty(), "names are exact");
    }

    #[test]
    fn every_line_end_and_every_cut_gives_the_same_events() {
        let text = "\u{feff}data: {\"é\": 1}\n: c\ndata: 🦀\n\nevent: e\ndata: x\n\ndata: [DONE]\n\n";
        let expected = ["{\"é\": 1}\n🦀", "e=x", "[DONE]"];
        for ending in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', ending);
            assert_eq!(read(&[text.as_bytes()]), expected);
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes), expected, "{ending:?} byte by byte");
        }
    }

    #[test]
    fn only_one_byte_order_mark_and_only_at_the_start_is_dropped() {
        assert_eq!(
            read(&["\u{feff}\u{feff}data: a\n\ndata: b\n\n\u{feff}data: c\n\n".as_bytes()]),
            ["b"]
        );
    }

    #[test]
    fn an_event_that_the_end_of_the_stream_cuts_off_is_none() {
        assert_eq!(read(&[b"data: a\n\ndata: b\n"]), ["a"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_lose_nothing_else() {
        assert_eq!(read(&[b"data: a\xffb\n\ndata: c\n\n"]), ["a\u{fffd}b", "c"]);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::new(10);
        assert!(events.push(b"data: 1\ndata: 2\n").is_ok());
        assert_eq!(
            events.push(b"data: 345\ndata: 567\ndata: 890\n"),
            Err(TooLong(10))
        );
        assert_eq!(Events::new(10).push(b"data: 12345678"), Err(TooLong(10)));
    }
}
