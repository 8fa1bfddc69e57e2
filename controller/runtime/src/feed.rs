//! The feed: the one stream of frames that people watch live (`/ws`, `aegisctl watch`). Owns their numbering and a
//! bounded memory of them; a slow subscriber is told how many it missed and never waited for. No I/O.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aegis_api::Time;
use futures::Stream;
use futures::stream::BoxStream;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::follow::{CHUNK, Read, follow};

/// How many frames are kept by default.
pub const CAPACITY: usize = 8192;

/// What a frame is about. Serialises to the wire's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum FrameType {
    /// An incident was opened.
    #[serde(rename = "incident.new")]
    IncidentNew,
    /// An incident's status moved.
    #[serde(rename = "status.update")]
    StatusUpdate,
    /// The analyst says what it looks at.
    #[serde(rename = "ai.thinking")]
    AiThinking,
    /// The analyst's words as they come.
    #[serde(rename = "ai.stream")]
    AiStream,
    /// The analysis is complete.
    #[serde(rename = "ai.complete")]
    AiComplete,
    /// One seat voted.
    #[serde(rename = "council.vote")]
    CouncilVote,
    /// The council decided.
    #[serde(rename = "council.decision")]
    CouncilDecision,
    /// A container was acted on.
    #[serde(rename = "docker.action")]
    DockerAction,
    /// Replicas came or went.
    #[serde(rename = "scale.event")]
    ScaleEvent,
    /// A verification attempt was made.
    #[serde(rename = "health.check")]
    HealthCheck,
    /// An incident was resolved.
    #[serde(rename = "resolved")]
    Resolved,
    /// An incident failed.
    #[serde(rename = "failed")]
    Failed,
    /// Container metrics.
    #[serde(rename = "metrics")]
    Metrics,
    /// The containers of the host.
    #[serde(rename = "container.list")]
    ContainerList,
    /// The topology.
    #[serde(rename = "topology")]
    Topology,
    /// A sign of life.
    #[serde(rename = "heartbeat")]
    Heartbeat,
    /// A reconcile ran.
    #[serde(rename = "reconcile")]
    Reconcile,
    /// A resource changed.
    #[serde(rename = "resource")]
    Resource,
}

/// One frame, as it goes over the wire.
#[derive(Debug, Clone, Serialize)]
pub struct Frame {
    /// Its number; rises by one from frame to frame, from 1 at the start of the process.
    pub seq: u64,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: FrameType,
    /// The incident it belongs to.
    pub incident_id: Option<String>,
    /// The contents, by type.
    pub data: Value,
    /// When it was published.
    pub timestamp: Time,
}

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// The next frame.
    Frame(Arc<Frame>),
    /// So many frames were overwritten before they could be read; the next item is the oldest that is left.
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
    capacity: usize,
    frames: Mutex<Frames>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Frames {
    seq: u64,
    kept: VecDeque<Arc<Frame>>,
}

impl Feed {
    /// A feed that keeps `capacity` frames.
    pub fn new(capacity: usize) -> Self {
        let inner = Inner {
            stream: uuid::Uuid::new_v4().simple().to_string(),
            capacity: capacity.max(1),
            frames: Mutex::default(),
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

    /// Publishes a frame to every subscriber; never waits.
    pub fn publish(&self, kind: FrameType, incident_id: Option<&str>, data: Value) {
        let incident_id = incident_id.map(str::to_owned);
        let timestamp = Time(jiff::Timestamp::now());
        let mut frames = self.inner.frames();
        frames.seq += 1;
        let seq = frames.seq;
        if frames.kept.len() == self.inner.capacity {
            frames.kept.pop_front();
        }
        frames.kept.push_back(Arc::new(Frame {
            seq,
            kind,
            incident_id,
            data,
            timestamp,
        }));
        drop(frames);
        // Under contention an older number may be sent last; readers read until nothing is left, so none is lost.
        self.inner.latest.send_replace(seq);
    }

    /// Frames after number `since`, then new ones; without `since` only new ones.
    pub fn subscribe(&self, since: Option<u64>) -> Subscription {
        let news = self.inner.latest.subscribe();
        let (position, too_old) = {
            let frames = self.inner.frames();
            match since {
                None => (frames.seq, false),
                // A number from the future is one of an earlier process.
                Some(since) if since > frames.seq => (frames.seq, true),
                Some(since) => match frames.oldest() {
                    oldest if since + 1 < oldest => (frames.seq, true),
                    _ => (since, false),
                },
            }
        };
        let inner = Arc::clone(&self.inner);
        let stream = follow(position, news, move |position| inner.read(position));
        Subscription { stream, too_old }
    }

    /// The number of the newest frame; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.inner.frames().seq
    }
}

impl Inner {
    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, position: u64) -> Read<FeedItem> {
        let frames = self.frames();
        let oldest = frames.oldest();
        let mut items = Vec::new();
        let mut position = position;
        if position + 1 < oldest {
            items.push(FeedItem::Lagged(oldest - position - 1));
            position = oldest - 1;
        }
        let skip = usize::try_from(position + 1 - oldest).unwrap_or(usize::MAX);
        for frame in frames.kept.iter().skip(skip).take(CHUNK) {
            position = frame.seq;
            items.push(FeedItem::Frame(Arc::clone(frame)));
        }
        Read::Items(items, position)
    }
}

impl Frames {
    /// Number of the oldest frame that is kept; the next one's if none is.
    fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.seq + 1, |frame| frame.seq)
    }
}

/// One reader of the feed.
pub struct Subscription {
    stream: BoxStream<'static, FeedItem>,
    too_old: bool,
}

impl Subscription {
    /// Whether the number asked for is no longer (or not yet) kept: the reader needs a snapshot, and gets only frames
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::json;

    fn publish(feed: &Feed, count: u64) {
        for n in 0..count {
            feed.publish(FrameType::Heartbeat, None, json!({"n": n}));
        }
    }

    fn ready(subscription: &mut Subscription) -> Vec<String> {
        let mut items = Vec::new();
        while let Some(Some(item)) = subscription.next().now_or_never() {
            items.push(match item {
                FeedItem::Frame(frame) => frame.seq.to_string(),
                FeedItem::Lagged(count) => format!("lagged {count}"),
            });
        }
        items
    }

    #[test]
    fn a_frame_is_spelled_as_the_contract_says() {
        let feed = Feed::new(4);
        feed.publish(FrameType::CouncilVote, Some("inc-1"), json!({"vote": 1}));
        let mut subscription = feed.subscribe(Some(0));
        let Some(Some(FeedItem::Frame(frame))) = subscription.next().now_or_never() else {
            panic!("no frame")
        };
        let wire = serde_json::to_value(&*frame).unwrap();
        assert_eq!(wire["type"], "council.vote");
        assert_eq!(wire["incident_id"], "inc-1");
        assert_eq!(wire["seq"], 1);
        assert!(wire["timestamp"].is_string());
    }

    #[test]
    fn a_subscriber_replays_from_a_number_and_then_follows() {
        let feed = Feed::new(8);
        publish(&feed, 3);
        let mut from_one = feed.subscribe(Some(1));
        let mut new_only = feed.subscribe(None);
        assert!(!from_one.too_old());
        assert_eq!(ready(&mut from_one), ["2", "3"]);
        assert!(ready(&mut new_only).is_empty());
        publish(&feed, 1);
        assert_eq!(ready(&mut from_one), ["4"]);
        assert_eq!(ready(&mut new_only), ["4"]);
        assert_eq!(feed.seq(), 4);
    }

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed() {
        let feed = Feed::new(4);
        let mut subscription = feed.subscribe(None);
        publish(&feed, 10);
        assert_eq!(ready(&mut subscription), ["lagged 6", "7", "8", "9", "10"]);
    }

    #[test]
    fn a_number_that_is_no_longer_kept_or_of_another_process_says_so() {
        let feed = Feed::new(4);
        publish(&feed, 10);
        assert!(!feed.subscribe(Some(6)).too_old());
        assert!(feed.subscribe(Some(5)).too_old());
        assert!(feed.subscribe(Some(11)).too_old());
        assert!(!Feed::new(4).subscribe(Some(0)).too_old());
    }

    #[test]
    fn every_feed_counts_in_a_stream_of_its_own() {
        let feed = Feed::new(4);
        assert_eq!(feed.stream(), feed.clone().stream());
        assert_ne!(feed.stream(), Feed::new(4).stream());
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let feed = Feed::new(4);
        let mut subscription = feed.subscribe(None);
        let waiting = tokio::spawn(async move { subscription.next().await });
        tokio::task::yield_now().await;
        publish(&feed, 1);
        assert!(matches!(waiting.await.unwrap(), Some(FeedItem::Frame(_))));
    }
}
