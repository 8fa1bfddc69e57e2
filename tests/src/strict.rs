//! Clients that repeat nothing: each request is asked once, over a connection that is kept, and whatever the other side does
//! to that connection without having announced it is a failure.
//!
//! A close is announced by `Connection: close` on the answer before. Streams (server-sent events, WebSockets) that end before
//! their own end are failures, too.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::eventually;

/// Requests over one connection at most: then the client itself opens another.
const REQUESTS: u32 = 200;
/// Requests that a connection has to be kept for, unless nginx announces its close.
const KEPT: u32 = 100;
/// Clients that ask over connections that are kept; half of them POST.
const ASKING: u32 = 6;
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Messages of one WebSocket, and the pause between two.
const MESSAGES: u32 = 20;
const MESSAGE_PAUSE: Duration = Duration::from_millis(50);
/// What [`crate::binaries`]' echo sends in answer to `/events`.
const EVENTS: usize = 10;

/// What strict clients saw.
#[derive(Debug, Clone, Default)]
pub struct StrictTally {
    /// GET and POST that were answered with 200.
    pub answered: u32,
    /// POST among these.
    pub posts: u32,
    /// Streams of events that came to their end.
    pub streams: u32,
    /// WebSockets that came to their end.
    pub sockets: u32,
    /// Connections that were opened for GET and POST.
    pub connections: u32,
    /// Clients that have kept one of these for [`KEPT`] requests.
    pub kept: BTreeSet<u32>,
    /// Closes that an answer had announced.
    pub announced: u32,
    /// Closes that nothing had announced: the client's next request would be, or was, lost.
    pub closed: Vec<String>,
    /// All other failures.
    pub failed: Vec<String>,
}

impl StrictTally {
    /// Whether there is something of each sort: of each client that asks a connection that was kept, POST, streams and
    /// WebSockets.
    pub fn is_whole(&self) -> bool {
        let kept = u32::try_from(self.kept.len()) == Ok(ASKING);
        kept && self.posts > 0 && self.streams > 0 && self.sockets > 0
    }

    /// One row of a report.
    pub fn row(&self) -> String {
        format!(
            "{} answered, {} of them POST, over {} new connections (one was kept for {KEPT} requests by {} of \
             {ASKING} clients, {} closes announced), {} event streams, {} WebSockets, {} closed unannounced, {} failed{}",
            self.answered,
            self.posts,
            self.connections,
            self.kept.len(),
            self.announced,
            self.streams,
            self.sockets,
            self.closed.len(),
            self.failed.len(),
            match self.failed.is_empty() {
                true => String::new(),
                false => format!(": {:?}", self.failed.iter().take(5).collect::<Vec<_>>()),
            }
        )
    }
}

type Shared = Arc<Mutex<StrictTally>>;

/// Strict clients at work until they are stopped.
#[derive(Debug)]
pub struct StrictLoad {
    tally: Shared,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl StrictLoad {
    /// Starts clients of each sort against an address.
    pub fn on(address: SocketAddr) -> Self {
        let tally = Shared::default();
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..ASKING {
            clients.spawn(ask_on_and_on(address, number, tally.clone(), stop.clone()));
        }
        for _ in 0..2 {
            clients.spawn(stream_on_and_on(address, tally.clone(), stop.clone()));
            clients.spawn(echo_on_and_on(address, tally.clone(), stop.clone()));
        }
        Self { tally, stop, clients }
    }

    /// What was seen since the last time.
    pub fn take(&self) -> StrictTally {
        std::mem::take(&mut *lock(&self.tally))
    }

    /// What was seen since the last time, once there is something of each sort.
    pub async fn take_whole(&self) -> StrictTally {
        eventually(
            "each client has kept a connection, and streams have ended",
            async || {
                let tally = lock(&self.tally);
                match tally.is_whole() {
                    true => Ok(()),
                    false => Err(tally.row()),
                }
            },
        )
        .await;
        self.take()
    }

    /// Lets everything under way end.
    pub async fn stop(mut self) -> StrictTally {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client ends");
        }
        lock(&self.tally).clone()
    }
}

fn lock(tally: &Shared) -> std::sync::MutexGuard<'_, StrictTally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Lost {
    Closed(String),
    Failed(String),
}

async fn ask_on_and_on(address: SocketAddr, client: u32, tally: Shared, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let connection = match TcpStream::connect(address).await {
            Ok(connection) => connection,
            Err(error) => {
                lock(&tally).failed.push(format!("connect: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        lock(&tally).connections += 1;
        match keep_asking(connection, client, &tally, &stop).await {
            Ok(()) => {}
            Err(Lost::Closed(what)) => lock(&tally).closed.push(what),
            Err(Lost::Failed(what)) => lock(&tally).failed.push(what),
        }
    }
}

async fn keep_asking(
    mut connection: TcpStream,
    client: u32,
    tally: &Shared,
    stop: &AtomicBool,
) -> Result<(), Lost> {
    let post = client % 2 == 1;
    let request = match post {
        true => "POST /order HTTP/1.1\r\nHost: strict\r\nContent-Length: 5\r\n\r\nhello",
        false => "GET /item HTTP/1.1\r\nHost: strict\r\n\r\n",
    };
    for number in 0..REQUESTS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = timeout(ANSWER_WITHIN, ask(&mut connection, request)).await;
        let answer = asked.map_err(|_| Lost::Failed("no answer".to_owned()))??;
        if answer.status != 200 {
            return Err(Lost::Failed(format!(
                "{request:.4} {}: {:.200}",
                answer.status, answer.body
            )));
        }
        {
            let mut tally = lock(tally);
            tally.answered += 1;
            tally.posts += u32::from(post);
            if number + 1 == KEPT {
                tally.kept.insert(client);
            }
        }
        if answer.closes {
            lock(tally).announced += 1;
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        of_idle(&connection).map_err(|lost| match lost {
            Lost::Closed(what) => Lost::Closed(format!("after {number} requests, {what}")),
            failed @ Lost::Failed(_) => failed,
        })?;
    }
    Ok(())
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it announces that the connection is closed after it.
    pub(crate) closes: bool,
    pub(crate) body: String,
}

/// Whether the other side has closed an idle connection, or sent what nothing had requested.
fn of_idle(connection: &TcpStream) -> Result<(), Lost> {
    let mut byte = [0];
    match connection.try_read(&mut byte) {
        Ok(0) => Err(Lost::Closed("while it was idle".to_owned())),
        Ok(_) => Err(Lost::Failed("an answer that nothing had asked".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(Lost::Closed(error.to_string())),
    }
}

/// Connections that are kept between the requests of many clients: a request takes one that is idle, or opens another.
#[derive(Debug)]
pub(crate) struct Connections {
    address: SocketAddr,
    idle: Mutex<Vec<Idle>>,
    opened: AtomicU32,
}

#[derive(Debug)]
struct Idle {
    connection: TcpStream,
    requests: u32,
    since: Instant,
}

/// How long a client keeps one that it does not use: less than nginx keeps it over a reload, which is 1 s less than a drain may
/// take (`drainTimeout`), and 5 s at most. One that pauses for longer meets closed connections (docs/workloads.md).
const IDLE_FOR: Duration = Duration::from_secs(3);

impl Connections {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Mutex::default(),
            opened: AtomicU32::new(0),
        }
    }

    /// How many were opened.
    pub(crate) fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request without a body, over whichever connection; `Err` says what went wrong. Nothing is repeated.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.ask(path).await.map_err(|lost| match lost {
            Lost::Closed(what) => format!("closed unannounced, {what}"),
            Lost::Failed(what) => what,
        })
    }

    async fn ask(&self, path: &str) -> Result<Answer, Lost> {
        let known = {
            let mut idle = self.idle();
            idle.retain(|one| one.since.elapsed() < IDLE_FOR);
            idle.pop()
        };
        let (mut connection, requests) = match known {
            Some(one) => {
                of_idle(&one.connection)?;
                (one.connection, one.requests)
            }
            None => {
                let opened = TcpStream::connect(self.address).await;
                self.opened.fetch_add(1, Ordering::Relaxed);
                (
                    opened.map_err(|error| Lost::Failed(format!("connect: {error}")))?,
                    0,
                )
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: strict\r\n\r\n");
        let asked = timeout(ANSWER_WITHIN, ask(&mut connection, &request)).await;
        let answer = asked.map_err(|_| Lost::Failed("no answer".to_owned()))??;
        if !answer.closes && requests + 1 < REQUESTS {
            self.idle().push(Idle {
                connection,
                requests: requests + 1,
                since: Instant::now(),
            });
        }
        Ok(answer)
    }
}

async fn ask(connection: &mut TcpStream, request: &str) -> Result<Answer, Lost> {
    let closed = |error: std::io::Error| Lost::Closed(format!("under a request: {error}"));
    connection.write_all(request.as_bytes()).await.map_err(closed)?;
    let mut bytes = Vec::new();
    let head_end = loop {
        let mut piece = [0; 4096];
        match connection.read(&mut piece).await.map_err(closed)? {
            0 if bytes.is_empty() => return Err(Lost::Closed("under a request".to_owned())),
            0 => return Err(Lost::Failed("an answer was cut off".to_owned())),
            count => bytes.extend_from_slice(&piece[..count]),
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(field, value)| (field == name).then(|| value.trim().to_owned()))
    };
    let length: usize = value("content-length")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Lost::Failed(format!("an answer without a length: {head}")))?;
    let mut body = bytes[head_end..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4096];
        match connection.read(&mut piece).await {
            Ok(0) | Err(_) => return Err(Lost::Failed("an answer was cut off".to_owned())),
            Ok(count) => body.extend_from_slice(&piece[..count]),
        }
    }
    Ok(Answer {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        closes: value("connection").is_some_and(|value| value == "close"),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn stream_on_and_on(address: SocketAddr, tally: Shared, stop: Arc<AtomicBool>) {
    let http = crate::api::http_client();
    while !stop.load(Ordering::Relaxed) {
        let url = format!("http://{address}/events");
        let read = async {
            let answer = http.get(&url).header("connection", "close").send().await;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
            match text.matches("data:").count() {
                EVENTS => Ok(()),
                count => Err(format!("{status}, {count} events of {EVENTS}: {text:.100}")),
            }
        };
        match timeout(ANSWER_WITHIN, read).await {
            Ok(Ok(())) => lock(&tally).streams += 1,
            Ok(Err(what)) => lock(&tally).failed.push(format!("events: {what}")),
            Err(_) => lock(&tally).failed.push("events: no end".to_owned()),
        }
    }
}

async fn echo_on_and_on(address: SocketAddr, tally: Shared, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let talk = async {
            let url = format!("ws://{address}/echo");
            let (mut socket, _) = tokio_tungstenite::connect_async(&url)
                .await
                .map_err(|error| error.to_string())?;
            for number in 0..MESSAGES {
                let sent = Message::text(number.to_string());
                socket
                    .send(sent.clone())
                    .await
                    .map_err(|error| error.to_string())?;
                match socket.next().await {
                    Some(Ok(message)) if message == sent => {}
                    other => return Err(format!("message {number} came back as {other:?}")),
                }
                tokio::time::sleep(MESSAGE_PAUSE).await;
            }
            // The application may be the first to hang up then.
            let _ = socket.close(None).await;
            Ok(())
        };
        match timeout(ANSWER_WITHIN, talk).await {
            Ok(Ok(())) => lock(&tally).sockets += 1,
            Ok(Err(what)) => lock(&tally).failed.push(format!("WebSocket: {what}")),
            Err(_) => lock(&tally).failed.push("WebSocket: no echo".to_owned()),
        }
    }
}
