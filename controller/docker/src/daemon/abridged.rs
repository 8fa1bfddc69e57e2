//! What the engine says of containers, without what a container's author made endless: labels, commands and mounts have no
//! bound in Docker, and one container's must not keep the others from being seen. Works on bytes as they come, so that no
//! more is held than is kept. Pure.
//!
//! Lists and events alike have what authors write in objects and lists of the third level (`[{"Labels": {…}}]`,
//! `{"Actor": {"Attributes": {…}}}`), or in texts above it (`"Command"`). Of the former, entries are left out whole; of the
//! latter the beginning stays.

/// Longest text above the third level, bytes as written; of a longer one the beginning is kept.
const TEXT: usize = 16 * 1024;
/// Of a text that was cut.
const CUT: usize = usize::MAX;
/// Longest entry of an object or a list of the third level, bytes; a longer one is left out. All networks of a container
/// are one.
const ENTRY: usize = 64 * 1024;
/// Most of all entries of one, bytes; further ones are left out.
const ENTRIES: usize = 128 * 1024;
/// Most of those entries beyond that which the controller itself reads, bytes.
const OURS: usize = 16 * 1024;
/// What their keys begin with. `name` and `exitCode` stand beside labels in events.
const READ_HERE: [&[u8]; 11] = [
    b"\"io.aegisops.",
    b"\"com.docker.compose.",
    b"\"com.centurylinklabs.watchtower.",
    b"\"name\"",
    b"\"oldName\"",
    b"\"exitCode\"",
    b"\"signal\"",
    b"\"image\"",
    b"\"container\"",
    b"\"execDuration\"",
    b"\"type\"",
];
/// The level at which entries are left out.
const LEVEL: usize = 3;

/// Reads JSON in chunks, writes it abridged. Of what is no JSON no more is kept than of what is.
#[derive(Debug, Default)]
pub(super) struct Abridged {
    /// How many objects and lists are open.
    level: usize,
    text: Text,
    /// The present entry of an object or list of the third level.
    entry: Vec<u8>,
    /// Whether that is longer than it may be.
    is_long: bool,
    /// Of the present object or list of the third level: bytes kept, and of those beyond its bound.
    kept: usize,
    ours: usize,
    has_entries: bool,
}

/// Where in a text the reader is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// In none.
    #[default]
    Outside,
    /// In one of which so many bytes are kept.
    Within(usize),
    /// The same, after a backslash.
    Escaped(usize),
}

impl Abridged {
    /// Takes up a chunk, and adds to `out` what is kept of it.
    pub(super) fn feed(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = chunk.split_first() {
            if let Text::Within(_) = self.text {
                let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
                let plain = chunk.iter().position(ends).unwrap_or(chunk.len());
                if let Some((run, rest)) = chunk.split_at_checked(plain).filter(|(run, _)| !run.is_empty()) {
                    self.within(run, out);
                    chunk = rest;
                    continue;
                }
            }
            self.take(byte, out);
            chunk = rest;
        }
    }

    /// Bytes of a text, with neither its end nor an escape among them.
    fn within(&mut self, run: &[u8], out: &mut Vec<u8>) {
        let Text::Within(kept) = self.text else { return };
        if self.level >= LEVEL {
            return self.entry(run);
        }
        if kept == CUT {
            return;
        }
        let (fits, rest) = run.split_at(TEXT.saturating_sub(kept).min(run.len()));
        // A sign of several bytes stays whole.
        let sign = rest
            .iter()
            .take_while(|byte| (0x80..0xc0).contains(*byte))
            .count();
        out.extend_from_slice(fits);
        out.extend(rest.iter().take(sign));
        self.text = match rest.len() > sign {
            true => Text::Within(CUT),
            false => Text::Within(kept.saturating_add(run.len())),
        };
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.text, byte) {
            (Text::Outside, b'"') => self.text = Text::Within(0),
            (Text::Within(_), b'"') => self.text = Text::Outside,
            (Text::Within(kept), _) => {
                self.text = Text::Escaped(kept);
                // A backslash is kept with what it stands before, or not at all.
                return;
            }
            (Text::Escaped(kept), escaped) => {
                // Six bytes: the digits of `\u1234` are signs of their own, and must not be cut off.
                let fits = kept.saturating_add(6) <= TEXT || self.level >= LEVEL;
                self.text = Text::Within(if fits { kept.saturating_add(2) } else { CUT });
                if fits {
                    self.put(&[b'\\', escaped], out);
                }
                return;
            }
            (Text::Outside, b'{' | b'[') => {
                self.put(&[byte], out);
                self.level = self.level.saturating_add(1);
                if self.level == LEVEL {
                    (self.kept, self.ours, self.has_entries) = (0, 0, false);
                }
                return;
            }
            (Text::Outside, b'}' | b']') => {
                if self.level == LEVEL {
                    self.end_entry(out);
                }
                self.level = self.level.saturating_sub(1);
            }
            (Text::Outside, b',') if self.level == LEVEL => return self.end_entry(out),
            (Text::Outside, _) => {}
        }
        self.put(&[byte], out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.level >= LEVEL {
            self.entry(bytes);
        } else {
            out.extend_from_slice(bytes);
        }
    }

    fn entry(&mut self, bytes: &[u8]) {
        if self.entry.len().saturating_add(bytes.len()) > ENTRY {
            self.is_long = true;
            self.entry.clear();
        }
        if !self.is_long {
            self.entry.extend_from_slice(bytes);
        }
    }

    fn end_entry(&mut self, out: &mut Vec<u8>) {
        let entry = self.entry.trim_ascii();
        let size = entry.len();
        if size > 0 && !std::mem::take(&mut self.is_long) {
            let is_ours = READ_HERE.iter().any(|key| entry.starts_with(key));
            let count = if self.kept.saturating_add(size) <= ENTRIES {
                Some(&mut self.kept)
            } else if is_ours && self.ours.saturating_add(size) <= OURS {
                Some(&mut self.ours)
            } else {
                None
            };
            if let Some(count) = count {
                *count = count.saturating_add(size);
                if std::mem::replace(&mut self.has_entries, true) {
                    out.push(b',');
                }
                out.extend_from_slice(entry);
            }
        }
        self.is_long = false;
        self.entry.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn abridged(text: &[u8], piece: usize) -> Vec<u8> {
        let (mut abridged, mut out) = (Abridged::default(), Vec::new());
        for chunk in text.chunks(piece) {
            abridged.feed(chunk, &mut out);
        }
        out
    }

    fn read(value: &Value) -> Value {
        let text = value.to_string();
        let whole = abridged(text.as_bytes(), text.len());
        for piece in [1, 7, 4096] {
            assert_eq!(abridged(text.as_bytes(), piece), whole, "in pieces of {piece}");
        }
        serde_json::from_slice(&whole).unwrap()
    }

    #[test]
    fn what_is_of_usual_size_is_read_as_it_is() {
        let rows = json!([
            {"Id": "a\"b\\c\u{1f600}\n", "Names": ["/web", "/é"], "Labels": {"a": "x,}]{[", "b\"": "", "c": "\\\""},
             "Ports": [{"PrivatePort": 80}, {"PrivatePort": 81}], "NetworkSettings": {"Networks": {"n": {"IP": "1"}}},
             "Mounts": [], "Created": 1, "Size": null, "Odd": [[], {}, [1, [2]]]},
            {}, [], 7, "x"
        ]);
        assert_eq!(read(&rows), rows);
        let pretty = serde_json::to_string_pretty(&rows).unwrap();
        let out = abridged(pretty.as_bytes(), 11);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), rows);
    }

    #[test]
    fn one_containers_labels_and_command_hide_no_other_and_nothing_that_the_controller_reads() {
        let many: serde_json::Map<String, Value> = (0..20_000)
            .map(|number| (format!("k{number}"), json!("v".repeat(20))))
            .chain([
                ("io.aegisops.workload".to_owned(), json!("web")),
                ("huge".to_owned(), json!("A".repeat(2_000_000))),
                ("zz".to_owned(), json!("\"".repeat(100_000))),
            ])
            .collect();
        let rows = json!([
            {"Id": "1", "Command": "é\\\"\u{0001}".repeat(50_000), "Labels": many, "State": "running",
             "Mounts": (0..50_000).map(|n| json!({"Source": format!("/{n}")})).collect::<Vec<_>>()},
            {"Id": "2", "Labels": {"team": "a"}, "State": "exited"},
        ]);
        let out = read(&rows);
        assert!(out.to_string().len() < 400_000, "{}", out.to_string().len());
        assert_eq!(out[1], rows[1]);
        assert_eq!(
            (&out[0]["Id"], &out[0]["State"]),
            (&json!("1"), &json!("running"))
        );
        assert_eq!(out[0]["Labels"]["io.aegisops.workload"], "web");
        assert_eq!(out[0]["Labels"]["huge"], Value::Null);
        let command = out[0]["Command"].as_str().unwrap();
        assert!(rows[0]["Command"].as_str().unwrap().starts_with(command) && command.len() > 1000);
    }

    #[test]
    fn an_event_keeps_whose_it_is_and_how_it_ended_whatever_its_labels_are() {
        let mut attributes: serde_json::Map<String, Value> = (0..30_000)
            .map(|number| (format!("a{number}"), json!("v")))
            .collect();
        attributes.insert("exitCode".to_owned(), json!("137"));
        attributes.insert("name".to_owned(), json!("web"));
        let event = json!({"Type": "container", "Action": "die", "Actor": {"ID": "ab", "Attributes": attributes}, "time": 1});
        let out = read(&event);
        assert_eq!(out["Actor"]["Attributes"]["exitCode"], "137");
        assert_eq!(out["Actor"]["Attributes"]["name"], "web");
        assert_eq!((&out["Actor"]["ID"], &out["time"]), (&json!("ab"), &json!(1)));
        assert!(out.to_string().len() < 200_000);
        let two = format!("{event}\n{}\n", json!({"Action": "start"}));
        let out = abridged(two.as_bytes(), 100);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    }

    #[test]
    fn of_what_is_no_json_little_is_held() {
        for odd in ["[{\"a\":{\"x", "]]]]}}}}{{{{", "\\\\\\", "[[[[[[[[["] {
            let text = odd.repeat(200_000);
            let mut state = Abridged::default();
            state.feed(text.as_bytes(), &mut Vec::new());
            assert!(state.entry.len() <= ENTRY);
        }
    }
}
