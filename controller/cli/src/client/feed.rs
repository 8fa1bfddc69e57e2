//! The live event stream: frames from `/ws` in order, over lost connections, each once. Does I/O; prints nothing.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::wire::FrameType;
use futures::{SinkExt, StreamExt};
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::{CONNECT_TIMEOUT, Client, root_cause, status::ApiStatus};
use crate::error::CliError;

/// How long a connection may say nothing before it is asked whether it is alive.
const PING_AFTER: Duration = Duration::from_secs(20);
/// Unanswered questions after which it is taken for lost.
const MAX_PINGS: u32 = 3;
/// How long a new connection may say nothing before the caller learns that there is nothing to catch up on.
const QUIET_AFTER: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
const MAX_MESSAGE: usize = 16 << 20;

/// One frame of the wire contract.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) incident_id: Option<String>,
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) timestamp: Option<Time>,
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    /// As it came.
    #[serde(skip)]
    pub(crate) raw: String,
}

/// A time that cannot be read is none: the frame is worth more than its time.
fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

/// What a feed yields.
#[derive(Debug)]
pub(crate) enum FeedItem {
    Frame(Box<Frame>),
    /// Frames may be missing: the server counts from 1 again, or this client was too slow for it.
    Gap,
    /// A new connection has nothing to report for now: what there was to catch up on is through.
    Quiet,
    /// The connection is gone; the next item comes from a new one.
    Lost {
        cause: String,
    },
}

/// What a message is, beside what was yielded already.
enum News {
    Known,
    Next,
    AfterGap,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The stream and where it stands.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Client,
    socket: Option<Socket>,
    /// Up to which frame everything was handed out: its number, and a time at which it was the last one.
    last: Option<(u64, Option<Time>)>,
    /// What those numbers count in: another one in every process of the controller.
    stream: Option<String>,
    waiting: Option<Box<Frame>>,
    retry: Duration,
    /// A new connection that has said nothing yet.
    fresh: bool,
    pings: u32,
}

impl Feed {
    /// Connects. A first connection that fails is an error; later ones are tried again.
    pub(crate) async fn connect(client: &Client) -> Result<Self, CliError> {
        let mut feed = Self {
            client: client.clone(),
            socket: None,
            last: None,
            stream: None,
            waiting: None,
            retry: FIRST_RETRY,
            fresh: false,
            pings: 0,
        };
        feed.socket = Some(feed.open().await?);
        Ok(feed)
    }

    /// The next item. Errors are those that another try would not mend.
    pub(crate) async fn next(&mut self) -> Result<FeedItem, CliError> {
        if let Some(frame) = self.waiting.take() {
            return Ok(FeedItem::Frame(frame));
        }
        loop {
            let Some(socket) = self.socket.as_mut() else {
                match self.reconnect().await? {
                    Some(lost) => return Ok(lost),
                    None => continue,
                }
            };
            let limit = if self.fresh { QUIET_AFTER } else { PING_AFTER };
            let message = match tokio::time::timeout(limit, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Ok(self.lose(root_cause(&error))),
                Ok(None) => return Ok(self.lose("the connection was closed".to_owned())),
                Err(_) if self.fresh => {
                    self.fresh = false;
                    return Ok(FeedItem::Quiet);
                }
                Err(_) => {
                    self.pings += 1;
                    let sent = socket.send(Message::text("ping")).await;
                    if self.pings > MAX_PINGS || sent.is_err() {
                        return Ok(self.lose("it stopped answering".to_owned()));
                    }
                    continue;
                }
            };
            self.pings = 0;
            match message {
                Message::Text(text) => {
                    if let Some(item) = self.receive(text.as_str())? {
                        return Ok(item);
                    }
                }
                Message::Close(_) => return Ok(self.lose("the connection was closed".to_owned())),
                _ => {}
            }
        }
    }

    fn receive(&mut self, text: &str) -> Result<Option<FeedItem>, CliError> {
        let mut frame: Box<Frame> = serde_json::from_str(text).map_err(|error| CliError::Protocol {
            server: self.client.server().to_owned(),
            cause: format!("a message of its event stream is no frame ({error})"),
        })?;
        text.clone_into(&mut frame.raw);
        // The connection's own words: their number is that of the last frame before them.
        let news = match FrameType::of(&frame.kind) {
            Some(FrameType::Heartbeat | FrameType::Lagged | FrameType::Snapshot) => self.position(&frame),
            _ => self.place(&frame),
        };
        let item = match news {
            News::Known => return Ok(None),
            News::Next => FeedItem::Frame(frame),
            News::AfterGap => {
                self.waiting = Some(frame);
                FeedItem::Gap
            }
        };
        Ok(Some(item))
    }

    /// Where the server says that this connection stands.
    fn position(&mut self, frame: &Frame) -> News {
        let Some(seq) = frame.seq else { return News::Next };
        let stream = frame.data.get("stream").and_then(Value::as_str);
        let other = self
            .stream
            .as_deref()
            .zip(stream)
            .is_some_and(|(before, now)| before != now);
        if stream.is_some() {
            self.stream = stream.map(str::to_owned);
        }
        let elsewhere = other || (self.fresh && self.last.is_some_and(|(last, _)| last != seq));
        self.last = Some((seq, frame.timestamp));
        if elsewhere || FrameType::of(&frame.kind) == Some(FrameType::Lagged) {
            News::AfterGap
        } else {
            News::Next
        }
    }

    /// Whether a frame was yielded before.
    fn place(&mut self, frame: &Frame) -> News {
        self.retry = FIRST_RETRY;
        let Some(seq) = frame.seq else { return News::Next };
        let mut news = News::Next;
        if let Some((last, last_time)) = self.last
            && seq <= last
        {
            // A number seen before, at a later time: the controller restarted and counts from 1 again.
            let newer = frame
                .timestamp
                .zip(last_time)
                .is_some_and(|(this, last)| this > last);
            if !newer {
                return News::Known;
            }
            news = News::AfterGap;
        }
        self.last = Some((seq, frame.timestamp.or(self.last.and_then(|(_, time)| time))));
        news
    }

    fn lose(&mut self, cause: String) -> FeedItem {
        self.socket = None;
        FeedItem::Lost { cause }
    }

    /// One try, after a pause that grows. `Some`: it failed, and another try is worth while.
    async fn reconnect(&mut self) -> Result<Option<FeedItem>, CliError> {
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        match self.open().await {
            Ok(socket) => {
                self.socket = Some(socket);
                self.fresh = true;
                self.pings = 0;
                Ok(None)
            }
            Err(CliError::Unreachable { cause, .. }) => Ok(Some(FeedItem::Lost { cause })),
            Err(error) => Err(error),
        }
    }

    async fn open(&self) -> Result<Socket, CliError> {
        let client = &self.client;
        let since = self.last.map(|(seq, _)| seq.to_string());
        let mut query = vec![("full_text", "0")];
        query.extend(since.as_deref().map(|since| ("since", since)));
        query.push(("stream", self.stream.as_deref().unwrap_or_default()));
        let mut url = client.url(&["ws"], &query);
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let protocol = |cause: String| CliError::Protocol {
            server: client.server().to_owned(),
            cause,
        };
        url.set_scheme(scheme)
            .map_err(|()| protocol("its URL has no event stream".to_owned()))?;
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|error| protocol(error.to_string()))?;
        if let Some(authorization) = &client.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let tls = client.tls.clone().map(Connector::Rustls);
        let connecting = tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, tls);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(explain(client, error)),
            Err(_) => Err(client.unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }
}

fn explain(client: &Client, error: WsError) -> CliError {
    let server = client.server().to_owned();
    let WsError::Http(response) = error else {
        return client.unreachable(root_cause(&error));
    };
    let code = response.status().as_u16();
    let body = response.into_body().unwrap_or_default();
    match (code, ApiStatus::parse(code, &String::from_utf8_lossy(&body))) {
        (401, _) => CliError::Unauthorized {
            server,
            token_sent: client.authorization.is_some(),
        },
        // A proxy in front of a controller that restarts.
        (502..=504, _) => client.unreachable(format!("it says {code}")),
        (_, Some(status)) => CliError::Api(Box::new(status)),
        (_, None) => CliError::Protocol {
            server,
            cause: format!("its event stream says {code}"),
        },
    }
}
