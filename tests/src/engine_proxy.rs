//! A Docker socket that can be cut and mended, so that an engine can be away for one controller while everybody else's
//! goes on.

use std::path::{Path, PathBuf};

use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// The socket. It is cut at first.
#[derive(Debug)]
pub struct EngineProxy {
    path: PathBuf,
    forwarding: Option<JoinHandle<()>>,
}

impl EngineProxy {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("engine.sock"),
            forwarding: None,
        }
    }

    /// As `--docker-host` wants it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// The engine answers from now on.
    pub fn mend(&mut self) {
        let listener = UnixListener::bind(&self.path).expect("a socket in the world's folder");
        self.forwarding = Some(tokio::spawn(forward(listener)));
    }

    /// The engine is away from now on; every connection breaks.
    pub async fn cut(&mut self) {
        std::fs::remove_file(&self.path).expect("the socket is there");
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.abort();
            // It ends by being told to, which is an error to whoever waits for it.
            let _ = forwarding.await;
        }
    }
}

async fn forward(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut far) = UnixStream::connect(engine_socket()).await {
                // Either side may hang up at any time.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let path = host.strip_prefix("unix://");
    let path = path.unwrap_or_else(|| panic!("only a unix socket can be cut, and DOCKER_HOST is {host}"));
    PathBuf::from(path)
}
