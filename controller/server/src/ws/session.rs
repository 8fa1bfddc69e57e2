//! One client's session: replay, frames as they come, signs of life. A slow client loses frames and is notified; it is
//! never waited for, since it reads from the feed's own bounded memory.

use std::collections::HashMap;
use std::time::Duration;

use aegis_api::wire::{Heartbeat, HeartbeatStatus, Lagged, Payload};
use aegis_runtime::{FeedItem, Subscription};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::message::{self, Delivery};
use super::{Wishes, snapshot};
use crate::auth::Identity;
use crate::lasting;
use crate::sight::Sight;
use crate::state::ServerState;

/// How often the server sends a ping.
const PING: Duration = Duration::from_secs(30);
/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(90);
/// How long one message may take to leave.
const SEND: Duration = Duration::from_secs(15);

/// Why a session ends.
enum End {
    /// The client went, or can no longer be reached.
    Gone,
    /// The client should be sent this close code and reason.
    Close(u16, &'static str),
}

/// Serves one client until it goes or the server does.
pub(super) async fn run(socket: WebSocket, state: &ServerState, identity: &Identity, wishes: &Wishes) {
    let start = start(state.feed.stream(), state.feed.seq(), wishes);
    let now = state.feed.seq();
    let frames = state.feed.subscribe(Some(start));
    let position = if frames.too_old() { now } else { start };
    let mut session = Session {
        socket,
        position,
        delivery: delivery(state, wishes),
        sight: Sight::of(identity),
        names_stream: wishes.stream.is_some(),
        heard: Instant::now(),
    };
    if let Err(End::Close(code, reason)) = session.serve(state, identity, frames).await {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        // A client that cannot be notified is gone anyway.
        if let Err(End::Gone) = session.send(close).await {
            tracing::debug!(reason, "a client was gone before it could be notified");
        }
    }
}

/// With the text so far, unless the client opts out.
fn delivery(state: &ServerState, wishes: &Wishes) -> Delivery {
    match wishes.full_text.as_deref() {
        Some("0" | "false") => Delivery::Lean,
        _ => Delivery::Full {
            spare: room(state),
            known: HashMap::new(),
        },
    }
}

/// Bytes that the growing texts may come to, so that with them a replay is no larger than the feed may be.
fn room(state: &ServerState) -> usize {
    state.feed.limit().saturating_sub(state.feed.bytes())
}

/// The number after which frames are sent. One of another stream means nothing here: then it is the beginning.
fn start(stream: &str, latest: u64, wishes: &Wishes) -> u64 {
    let known = wishes.stream.as_deref().filter(|known| !known.is_empty());
    match wishes.since {
        Some(_) if known.is_some_and(|known| known != stream) => 0,
        Some(since) => since,
        None => latest,
    }
}

/// No client stays on whose token or session has ended.
const ENDED: End = End::Close(close_code::POLICY, "the session has ended: log in again");

struct Session {
    socket: WebSocket,
    position: u64,
    delivery: Delivery,
    sight: Sight,
    /// Clients of the earlier system are not sent what they did not request.
    names_stream: bool,
    heard: Instant,
}

impl Session {
    async fn serve(
        &mut self,
        state: &ServerState,
        identity: &Identity,
        mut frames: Subscription,
    ) -> Result<(), End> {
        let mut unwelcome = std::pin::pin!(lasting::unwelcome(state, identity));
        let greeting = Heartbeat {
            status: HeartbeatStatus::Connected,
            stream: self.names_stream.then(|| state.feed.stream().to_owned()),
        };
        self.own(&greeting).await?;
        if frames.too_old() {
            self.own(&snapshot::of(state)).await?;
        }
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = state.shutdown.cancelled() => return Err(End::Close(close_code::AWAY, "the server is going away")),
                () = &mut unwelcome => return Err(ENDED),
                received = self.socket.recv() => self.received(received).await?,
                _ = ping.tick() => {
                    state.auth.used(identity, state.auth.now()).await;
                    self.ping().await?;
                }
                item = frames.next() => match item {
                    Some(item) => self.item(state, item).await?,
                    None => return Err(End::Close(close_code::AWAY, "the feed has ended")),
                },
            }
        }
    }

    async fn item(&mut self, state: &ServerState, item: FeedItem) -> Result<(), End> {
        match item {
            FeedItem::Frame(frame) => {
                self.position = frame.seq;
                if let Some(text) = self.delivery.message(&frame) {
                    let text = message::shown(self.sight, frame.kind, text);
                    self.send(Message::Text(text)).await?;
                }
                if self.position == state.feed.seq() {
                    self.delivery.caught_up(room(state));
                }
                Ok(())
            }
            FeedItem::Lagged(missed) => {
                self.position = self.position.saturating_add(missed);
                self.own(&Lagged { missed }).await
            }
        }
    }

    async fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            None | Some(Err(_) | Ok(Message::Close(_))) => Err(End::Gone),
            Some(Ok(Message::Text(text))) if text.trim() == "ping" => {
                let alive = Heartbeat {
                    status: HeartbeatStatus::Alive,
                    stream: None,
                };
                self.own(&alive).await
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > IDLE {
            return Err(End::Close(close_code::POLICY, "no sign of life"));
        }
        self.send(Message::Ping(bytes::Bytes::new())).await
    }

    async fn own(&mut self, data: &impl Payload) -> Result<(), End> {
        let text = message::own(self.position, data);
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_in_its_own_stream_only() {
        let start = |since, stream: Option<&str>| {
            let wishes = Wishes {
                since,
                stream: stream.map(str::to_owned),
                full_text: None,
            };
            super::start("this", 50, &wishes)
        };
        assert_eq!(start(None, None), 50);
        assert_eq!(start(Some(7), None), 7, "a client that knows no streams");
        assert_eq!(start(Some(7), Some("")), 7);
        assert_eq!(start(Some(7), Some("this")), 7);
        assert_eq!(start(Some(7), Some("another")), 0);
        assert_eq!(start(None, Some("another")), 50);
    }
}
