//! A body that goes on: cut into lines as they arrive. Pure over a byte stream.

use futures::stream::{BoxStream, Stream, StreamExt, TryStreamExt};

/// The longest line, in bytes; the rest of a longer one is dropped.
const MAX_LINE: usize = 16 << 20;

struct State<S> {
    bytes: S,
    buffer: Vec<u8>,
    ended: bool,
}

/// Lines without their ends; a last one without an end counts. Invalid UTF-8 is replaced.
pub(super) fn split<S, B, E>(bytes: S) -> BoxStream<'static, Result<String, E>>
where
    S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
    B: AsRef<[u8]> + Send,
    E: Send + 'static,
{
    let state = State {
        bytes,
        buffer: Vec::new(),
        ended: false,
    };
    let chunks = futures::stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(lines) = take_lines(&mut state.buffer) {
                return Ok(Some((lines, state)));
            }
            if state.ended {
                return Ok(None);
            }
            match state.bytes.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    state.buffer.extend_from_slice(chunk.as_ref());
                    if state.buffer.len() > MAX_LINE {
                        state.buffer.truncate(MAX_LINE);
                        state.buffer.push(b'\n');
                    }
                }
                None => {
                    state.ended = true;
                    if !state.buffer.is_empty() {
                        state.buffer.push(b'\n');
                    }
                }
            }
        }
    });
    chunks
        .map_ok(|lines| futures::stream::iter(lines.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Takes every finished line out of the buffer; `None` if there is none.
fn take_lines(buffer: &mut Vec<u8>) -> Option<Vec<String>> {
    let end = buffer.iter().rposition(|byte| *byte == b'\n')?;
    let rest = buffer.split_off(end + 1);
    let text = String::from_utf8_lossy(buffer).into_owned();
    *buffer = rest;
    Some(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(chunks: &[&'static str]) -> Vec<String> {
        let chunks: Vec<Result<&'static str, ()>> = chunks.iter().map(|chunk| Ok(*chunk)).collect();
        split(futures::stream::iter(chunks)).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_chunks_end() {
        assert_eq!(
            lines_of(&["a\nb", "c\r\n", "\n", "d"]).await,
            ["a", "bc", "", "d"]
        );
        assert!(lines_of(&[]).await.is_empty());
    }

    #[tokio::test]
    async fn an_error_ends_the_lines_after_those_that_came() {
        let chunks = [Ok("a\n"), Err("cut")];
        let lines: Vec<_> = split(futures::stream::iter(chunks)).collect().await;
        assert_eq!(lines, [Ok("a".to_owned()), Err("cut")]);
    }
}
