//! A Docker socket that can be cut and mended, so that an engine can be away for one controller while everybody else's
//! goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

/// The socket. It is cut at first.
#[derive(Debug)]
pub struct EngineProxy {
    path: PathBuf,
    forwarding: Option<JoinHandle<()>>,
    lines: Lines,
}

/// What the connections of one socket share.
#[derive(Debug, Clone)]
struct Lines {
    /// Breaks every connection there is.
    breaks: broadcast::Sender<()>,
    /// Answers to changing calls that are still to be kept back.
    swallowed: Arc<AtomicU32>,
}

impl EngineProxy {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("engine.sock"),
            forwarding: None,
            lines: Lines {
                breaks: broadcast::channel(1).0,
                swallowed: Arc::default(),
            },
        }
    }

    /// As `--docker-host` wants it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// The engine answers from now on.
    pub fn mend(&mut self) {
        let listener = UnixListener::bind(&self.path).expect("a socket in the world's folder");
        self.forwarding = Some(tokio::spawn(forward(listener, self.lines.clone())));
    }

    /// The engine is away from now on; every connection breaks.
    pub async fn cut(&mut self) {
        std::fs::remove_file(&self.path).expect("the socket is there");
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.abort();
            // It ends because it was aborted, which its waiter sees as an error.
            let _ = forwarding.await;
        }
    }

    /// Every connection breaks, the stream of events among them; new ones are taken at once.
    pub fn break_connections(&self) {
        // No receiver means that there is no connection to break.
        let _ = self.lines.breaks.send(());
    }

    /// The next calls that change something take effect, and their answers never arrive: the connection breaks instead.
    pub fn swallow_answers(&self, count: u32) {
        self.lines.swallowed.store(count, Ordering::SeqCst);
    }

    /// Answers that are still to be kept back.
    pub fn to_swallow(&self) -> u32 {
        self.lines.swallowed.load(Ordering::SeqCst)
    }
}

async fn forward(listener: UnixListener, lines: Lines) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (lines, mut broken) = (lines.clone(), lines.breaks.subscribe());
        connections.spawn(async move {
            if let Ok(far) = UnixStream::connect(engine_socket()).await {
                tokio::select! {
                    () = carry(near, far, &lines.swallowed) => {}
                    _ = broken.recv() => {}
                }
            }
        });
    }
}

/// Carries bytes both ways until either side hangs up, or an answer is to be kept back.
async fn carry(near: UnixStream, far: UnixStream, swallowed: &AtomicU32) {
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let changes = AtomicU32::new(0);
    let to_engine = pump(&mut near_in, &mut far_out, |bytes| {
        // One request after the other: whatever begins with a method begins a request.
        if bytes.starts_with(b"POST /") {
            changes.store(1, Ordering::SeqCst);
        }
        true
    });
    let from_engine = pump(&mut far_in, &mut near_out, |_| {
        let changed = changes.swap(0, Ordering::SeqCst) == 1;
        let left = |count: u32| count.checked_sub(1);
        !(changed
            && swallowed
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .is_ok())
    });
    // The engine may hang up after its answer, a client may close its half and still wait for one.
    tokio::select! {
        () = from_engine => {}
        () = async { to_engine.await; std::future::pending().await } => {}
    }
}

/// Carries bytes one way while `goes_on` says so.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    goes_on: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        if !goes_on(bytes) || to.write_all(bytes).await.is_err() {
            return;
        }
    }
    // Gone is gone: no peer is left to report a failure to.
    let _ = to.shutdown().await;
}

fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let path = host.strip_prefix("unix://");
    let path = path.unwrap_or_else(|| panic!("only a unix socket can be cut, and DOCKER_HOST is {host}"));
    PathBuf::from(path)
}
