//! A stream over anything that is numbered and kept for a while. Owns the waiting; what is read, and what is reported
//! to a reader that fell behind, belongs to the caller. No I/O.

use std::collections::VecDeque;

use futures::StreamExt as _;
use futures::stream::{BoxStream, unfold};
use tokio::sync::watch;

/// The most items a reader takes at once, so that a slow one holds little.
pub(crate) const CHUNK: usize = 256;

/// What a reader found after its position.
pub(crate) enum Read<T> {
    /// These, in order, and the position after them. Empty: nothing new yet.
    Items(Vec<T>, u64),
    /// What comes next is no longer kept: the stream ends.
    End,
}

/// Yields what `read` finds after `position`, then waits for `news` and reads on. Ends when `read` says so or the
/// sender of `news` is gone and everything is read.
pub(crate) fn follow<T: Send + 'static>(
    position: u64,
    news: watch::Receiver<u64>,
    read: impl FnMut(u64) -> Read<T> + Send + 'static,
) -> BoxStream<'static, T> {
    let reader = Reader {
        position,
        news,
        read,
        waiting: VecDeque::new(),
    };
    unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    })
    .boxed()
}

struct Reader<T, F> {
    position: u64,
    news: watch::Receiver<u64>,
    read: F,
    waiting: VecDeque<T>,
}

impl<T, F: FnMut(u64) -> Read<T>> Reader<T, F> {
    async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(item);
            }
            // Marked as seen before reading: news that comes in between wakes us again.
            self.news.borrow_and_update();
            match (self.read)(self.position) {
                Read::Items(items, position) => {
                    self.position = position;
                    self.waiting = items.into();
                }
                Read::End => return None,
            }
            if self.waiting.is_empty() {
                self.news.changed().await.ok()?;
            }
        }
    }
}
