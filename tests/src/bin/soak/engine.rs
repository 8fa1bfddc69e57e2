//! An engine that has no containers, behind a socket that goes away and comes back. Answers just what a controller asks of an
//! engine at rest.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// How often it goes away, and how long before the end of each period.
const PERIOD: u64 = 180;
const AWAY: u64 = 20;

#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(socket: &Path) -> Result<Self> {
        let engine = Self {
            socket: socket.to_owned(),
            serving: Mutex::new(None),
        };
        engine.up();
        anyhow::ensure!(
            engine.is_up(),
            "the engine's socket {} cannot be made",
            socket.display()
        );
        Ok(engine)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn is_up(&self) -> bool {
        self.serving.lock().expect("the lock is not poisoned").is_some()
    }

    pub(crate) fn step(&self, elapsed: Duration) {
        if elapsed.as_secs() % PERIOD < PERIOD - AWAY {
            self.up();
            return;
        }
        let serving = self.serving.lock().expect("the lock is not poisoned").take();
        if let Some(serving) = serving {
            serving.abort();
            drop(std::fs::remove_file(&self.socket));
        }
    }

    pub(crate) fn up(&self) {
        let mut serving = self.serving.lock().expect("the lock is not poisoned");
        if serving.is_none()
            && let Ok(listener) = UnixListener::bind(&self.socket)
        {
            *serving = Some(tokio::spawn(serve(listener)));
        }
    }
}

/// Connections end with the listener.
async fn serve(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: UnixStream) {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            let mut some = [0; 4096];
            match stream.read(&mut some).await {
                Ok(count) if count > 0 => read.extend_from_slice(&some[..count]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        if path.contains("/events") {
            let begun =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            if stream.write_all(begun).await.is_err() {
                return;
            }
            // Nothing ever happens; it lasts until either side goes away.
            let mut rest = [0; 64];
            while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
            return;
        }
        let (status, body) = answer(path);
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nApi-Version: 1.43\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(path: &str) -> (&'static str, &'static str) {
    let path = path.split('?').next().unwrap_or_default();
    match path {
        _ if path.ends_with("/_ping") => ("200 OK", "\"OK\""),
        _ if path.ends_with("/version") => (
            "200 OK",
            r#"{"Version":"24.0.0","ApiVersion":"1.43","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#,
        ),
        _ if path.ends_with("/info") => (
            "200 OK",
            r#"{"ID":"soak","Name":"soak","CgroupVersion":"2","NCPU":2,"MemTotal":8000000000}"#,
        ),
        _ if path.ends_with("/containers/json")
            | path.ends_with("/networks")
            | path.ends_with("/images/json") =>
        {
            ("200 OK", "[]")
        }
        _ => ("404 Not Found", r#"{"message":"No such container"}"#),
    }
}
