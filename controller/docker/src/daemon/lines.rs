//! Log output to lines: the engine's multiplexed frames, or the bare bytes of a terminal. Pure, and bounded whatever the
//! container writes.
//!
//! A frame is `[stream, 0, 0, 0, length: 4 bytes, big endian]` and `length` bytes; a terminal has no frames.

use std::collections::VecDeque;

use aegis_api::observed::LogLine;

/// What is kept of a line.
const LINE_LIMIT: usize = 16 * 1024;
const HEADER: usize = 8;

/// Turns chunks into lines.
#[derive(Debug)]
pub(super) struct Lines {
    framed: bool,
    header: Vec<u8>,
    /// Of the current frame: whether it is standard error, and the bytes still to come.
    frame: (bool, usize),
    /// What is known of the current line of either stream; the output of a terminal counts as standard output.
    partial: [Vec<u8>; 2],
    ready: VecDeque<LogLine>,
}

impl Lines {
    pub(super) fn new(tty: bool) -> Self {
        Self {
            framed: !tty,
            header: Vec::new(),
            frame: (false, 0),
            partial: Default::default(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn next(&mut self) -> Option<LogLine> {
        self.ready.pop_front()
    }

    /// Takes up a chunk.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) {
        if !self.framed {
            return self.text(false, chunk);
        }
        while !chunk.is_empty() {
            let (stderr, missing) = self.frame;
            if missing > 0 {
                let (payload, rest) = chunk.split_at(missing.min(chunk.len()));
                self.frame.1 -= payload.len();
                self.text(stderr, payload);
                chunk = rest;
                continue;
            }
            let (part, rest) = chunk.split_at((HEADER - self.header.len()).min(chunk.len()));
            self.header.extend_from_slice(part);
            chunk = rest;
            if let [stream, _, _, _, a, b, c, d] = *self.header.as_slice() {
                let length = u32::from_be_bytes([a, b, c, d]);
                self.frame = (stream == 2, usize::try_from(length).unwrap_or(usize::MAX));
                self.header.clear();
            }
        }
    }

    /// The output has ended: what is left is a line, too.
    pub(super) fn finish(&mut self) {
        for stderr in [false, true] {
            if !self.partial_of(stderr).is_empty() {
                self.end_line(stderr);
            }
        }
    }

    fn partial_of(&mut self, stderr: bool) -> &mut Vec<u8> {
        let [stdout_line, stderr_line] = &mut self.partial;
        if stderr { stderr_line } else { stdout_line }
    }

    fn text(&mut self, stderr: bool, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let line = self.partial_of(stderr);
            let room = LINE_LIMIT.saturating_sub(line.len());
            line.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                self.end_line(stderr);
            }
        }
    }

    fn end_line(&mut self, stderr: bool) {
        let mut line = std::mem::take(self.partial_of(stderr));
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.ready.push_back(LogLine {
            stderr,
            text: String::from_utf8_lossy(&line).into_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tty: bool, chunks: &[&[u8]]) -> Vec<(bool, String)> {
        let mut lines = Lines::new(tty);
        chunks.iter().for_each(|chunk| lines.feed(chunk));
        lines.finish();
        std::iter::from_fn(|| lines.next())
            .map(|line| (line.stderr, line.text))
            .collect()
    }

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload].concat()
    }

    #[test]
    fn frames_are_put_together_however_they_are_cut() {
        let bytes = [
            frame(1, b"one\ntw"),
            frame(2, b"bad\r\n"),
            frame(1, b"o\n"),
            frame(1, b""),
            frame(1, b"end"),
        ]
        .concat();
        let whole = [
            (false, "one".to_owned()),
            (true, "bad".to_owned()),
            (false, "two".to_owned()),
            (false, "end".to_owned()),
        ];
        assert_eq!(read(false, &[&bytes]), whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(false, &single), whole);
    }

    #[test]
    fn what_a_terminal_prints_is_never_taken_for_a_frame() {
        assert_eq!(
            read(true, &[b"\x01\xff\xff\xff\xff\xff\xff\xffhi\r\nyou"]).len(),
            2
        );
        assert_eq!(
            read(true, &[b"a\xff", b"b\n"]),
            [(false, "a\u{fffd}b".to_owned())]
        );
    }

    #[test]
    fn a_line_without_end_is_cut_and_not_kept_in_memory() {
        let long = vec![b'x'; 10 * LINE_LIMIT];
        let mut lines = Lines::new(true);
        lines.feed(&long);
        assert!(lines.partial[0].len() <= LINE_LIMIT);
        lines.feed(b"\nnext\n");
        assert_eq!(lines.next().unwrap().text.len(), LINE_LIMIT);
        assert_eq!(lines.next().unwrap().text, "next");
    }

    #[test]
    fn a_frame_header_with_an_absurd_length_is_survived() {
        let mut bytes = vec![9, 0, 0, 0, 255, 255, 255, 255];
        bytes.extend_from_slice(b"still text\n");
        assert_eq!(read(false, &[&bytes]), [(false, "still text".to_owned())]);
        assert!(read(false, &[b"\x01\x00"]).is_empty());
    }
}
