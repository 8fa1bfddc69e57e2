//! Bytes into lines, however they were cut on the way. Owns the buffer and its bound. Pure.
//!
//! Line ends are ASCII, and no byte of a UTF-8 sequence of several is, so lines can be separated before anything is
//! decoded: a character that arrives in halves is whole again once its line is.

/// A line ends with CRLF, LF or CR.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    after_cr: bool,
    longest: usize,
}

/// A line, or what is left of the stream, is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong(pub(crate) usize);

impl Lines {
    /// Lines of at most `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            after_cr: false,
            longest,
        }
    }

    /// Takes bytes in and hands each line that is complete to `line`, without its end.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                rest = after;
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (piece, after) = rest
                .split_at_checked(end.unwrap_or(rest.len()))
                .unwrap_or((rest, &[]));
            if self.buffer.len().saturating_add(piece.len()) > self.longest {
                return Err(TooLong(self.longest));
            }
            self.buffer.extend_from_slice(piece);
            let Some((ending, after)) = after.split_first() else {
                break;
            };
            self.after_cr = *ending == b'\r';
            line(&self.buffer);
            self.buffer.clear();
            rest = after;
        }
        Ok(())
    }

    /// What came after the last line end.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::new(100);
        for chunk in chunks {
            lines
                .push(chunk, |line| {
                    found.push(String::from_utf8_lossy(line).into_owned());
                })
                .unwrap();
        }
        found
    }

    #[test]
    fn all_three_line_ends_count_also_when_they_are_cut_in_two() {
        assert_eq!(
            lines(&[b"a\r\nb\nc\rd\n\n\r\re"]),
            ["a", "b", "c", "d", "", "", ""]
        );
        assert_eq!(lines(&[b"a\r", b"\nb\r", b"c\n"]), ["a", "b", "c"]);
        assert_eq!(lines(&[b"a\r", b"", b"\n", b"\n"]), ["a", ""]);
    }

    #[test]
    fn a_character_that_comes_in_halves_is_whole_again() {
        assert_eq!(lines(&[b"\xc3", b"\xa9\xf0\x9f", b"\xa6", b"\x80\n"]), ["é🦀"]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut lines = Lines::new(10);
        assert_eq!(lines.push(b"0123456789", |_| {}), Ok(()));
        assert_eq!(lines.push(b"0", |_| {}), Err(TooLong(10)));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            text in "[ab\u{e9}\u{1f980}\r\n]{0,40}", cuts in prop::collection::vec(1_usize..5, 0..40),
        ) {
            let bytes = text.as_bytes();
            let whole = lines(&[bytes]);
            let mut chunks = Vec::new();
            let mut rest = bytes;
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(lines(&chunks), whole);
        }
    }
}
