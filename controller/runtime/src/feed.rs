//! The feed: the one stream of frames that people watch live (`/ws`, `aegisctl watch`). Owns their numbering and a
//! memory of them that is bounded in bytes; a slow subscriber is notified of what it missed and never waited for. No I/O.
//!
//! What happened is kept in order and replayed. What only shows the current state (metrics, containers, topology) is kept
//! as the newest frame of each type. At the bound the oldest frames of what happened go: a subscriber that had not read
//! them is sent `lagged`, one that comes back for them gets a snapshot.

mod answer;
mod frame;
mod parked;
mod ring;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aegis_api::wire::{FrameType, Payload};
use futures::Stream;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::follow::{Read, follow};
use frame::Draft;
use parked::Parked;
use ring::Ring;

pub use answer::LiveAnswer;
pub use frame::Frame;

/// How many bytes of frames are kept by default.
pub const BYTES: usize = 8 << 20;

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// The next frame.
    Frame(Arc<Frame>),
    /// So many numbers were given to frames that are no longer kept; the next item is the oldest that is left.
    Lagged(u64),
}

/// The feed. Clones share it.
#[derive(Debug, Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stream: String,
    ring: Mutex<Ring>,
    parked: Mutex<Parked>,
    latest: watch::Sender<u64>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::bounded(BYTES)
    }
}

impl Feed {
    /// A feed that keeps at most so many bytes of frames.
    pub fn bounded(bytes: usize) -> Self {
        let inner = Inner {
            stream: uuid::Uuid::new_v4().simple().to_string(),
            ring: Mutex::new(Ring::new(bytes)),
            parked: Mutex::default(),
            latest: watch::Sender::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Which counting its numbers belong to: another one in every process.
    pub fn stream(&self) -> &str {
        &self.inner.stream
    }

    /// Publishes a frame to every subscriber; never waits. It is serialised here, once.
    pub fn publish<P: Payload>(&self, incident_id: Option<&str>, data: &P) {
        match Draft::new(incident_id, data) {
            Ok(draft) => self.append(draft),
            Err(error) => log_unserialisable(data.frame_type(), &error),
        }
    }

    /// Says that what the store's changes up to this revision mean has been published.
    pub fn published_up_to(&self, revision: u64) {
        let mut parked = self.inner.parked();
        for draft in parked.published_up_to(revision) {
            self.append(draft);
        }
    }

    /// Publishes a frame once the store's changes up to a revision have been published: words about an incident never
    /// come before the change that they belong to. Where no publisher follows the store, or it is far behind, at once.
    fn append_after(&self, revision: u64, draft: Draft) {
        let mut parked = self.inner.parked();
        for draft in parked.park(revision, draft) {
            self.append(draft);
        }
    }

    fn append(&self, draft: Draft) {
        let seq = self.inner.ring().push(draft);
        // Under contention an older number may be sent last; readers read until nothing is left, so none is lost.
        self.inner.latest.send_replace(seq);
    }

    /// Frames after number `since`, then new ones; without `since` only new ones.
    pub fn subscribe(&self, since: Option<u64>) -> Subscription {
        let news = self.inner.latest.subscribe();
        let (position, too_old) = {
            let ring = self.inner.ring();
            match since {
                None => (ring.seq, false),
                // A number from the future is one of an earlier process.
                Some(since) if since > ring.seq || since < ring.floor => (ring.seq, true),
                Some(since) => (since, false),
            }
        };
        let inner = Arc::clone(&self.inner);
        let stream = follow(position, news, move |position| inner.read(position));
        Subscription { stream, too_old }
    }

    /// The number of the newest frame; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.inner.ring().seq
    }

    /// Bytes of frames that are kept now: never more than [`limit`](Self::limit).
    pub fn bytes(&self) -> usize {
        self.inner.ring().bytes
    }

    /// Bytes of frames that are kept at most.
    pub fn limit(&self) -> usize {
        self.inner.ring().limit()
    }
}

impl Inner {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, position: u64) -> Read<FeedItem> {
        let ring = self.ring();
        let mut items = Vec::new();
        let mut position = position;
        if position < ring.floor {
            items.push(FeedItem::Lagged(ring.floor - position));
            position = ring.floor;
        }
        let frames = ring.after(position);
        position = frames.last().map_or(position, |frame| frame.seq);
        items.extend(frames.into_iter().map(FeedItem::Frame));
        Read::Items(items, position)
    }
}

fn log_unserialisable(kind: FrameType, error: &serde_json::Error) {
    tracing::error!(
        "a frame {} is not published, as it cannot be written as JSON: {error}",
        kind.as_str()
    );
}

/// One reader of the feed.
pub struct Subscription {
    stream: BoxStream<'static, FeedItem>,
    too_old: bool,
}

impl Subscription {
    /// Whether the requested number is no longer (or not yet) kept: the reader needs a snapshot, and gets only frames
    /// published from now on.
    pub fn too_old(&self) -> bool {
        self.too_old
    }
}

impl Stream for Subscription {
    type Item = FeedItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FeedItem>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("too_old", &self.too_old)
            .finish_non_exhaustive()
    }
}
