//! The listener: so many connections in all and from one peer, and none that dawdles. A client can hold no more than
//! that.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Most connections at once, and of them from one peer: all browsers, where the engine publishes the port.
const ALL: usize = 256;
const EACH: usize = 128;
/// How long a client may take to send the head of a request, or stay idle between two.
const HEAD: Duration = Duration::from_secs(15);
/// The largest head, bytes; hyper takes no smaller buffer than 8 KiB.
const HEAD_BYTES: usize = 16 << 10;
/// How long a connection lasts, however busy: a page is loaded every few seconds, and may come by another.
const LIFE: Duration = Duration::from_secs(120);
/// Pause after the system refused a new connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    let inside = Arc::new(Inside::default());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            // Where there is no room for it, it ends here.
            Ok((stream, peer)) => {
                if let Some(entered) = inside.enter(peer) {
                    connections.spawn(connection(stream, router.clone(), entered));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection; how it ends is the client's affair.
async fn connection(stream: TcpStream, router: Router, _entered: Entered) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(LIFE, served).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How many are inside, by peer.
#[derive(Debug, Default)]
struct Inside(Mutex<HashMap<IpAddr, usize>>);

/// One that is inside, until it is dropped.
#[derive(Debug)]
struct Entered {
    inside: Arc<Inside>,
    peer: IpAddr,
}

impl Inside {
    fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Entered> {
        let peer = peer.ip().to_canonical();
        // Nothing that runs under this lock can leave it half done.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.values().fold(0_usize, |all, one| all.saturating_add(*one));
        let one = counts.get(&peer).copied().unwrap_or_default();
        if all >= ALL || one >= EACH {
            return None;
        }
        counts.insert(peer, one.saturating_add(1));
        Some(Entered {
            inside: Arc::clone(self),
            peer,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.inside.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = counts.get_mut(&self.peer) {
            *one = one.saturating_sub(1);
            if *one == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn one_peer_leaves_room_to_others_and_all_together_are_bounded() {
        let inside = Arc::new(Inside::default());
        let crowd = |last: u8| -> Vec<Entered> {
            let peer = SocketAddr::from(([10, 0, 0, last], 1));
            (0..1000).map_while(|_| inside.enter(peer)).collect()
        };
        let (one, two, three) = (crowd(1), crowd(2), crowd(3));
        assert_eq!((one.len(), two.len(), three.len()), (EACH, ALL - EACH, 0));
        drop((one, two));
        assert!(inside.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_holds_what_it_can_is_refused_more_and_another_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "page"));
        tokio::spawn(serve(listener, router));
        let mut held = Vec::new();
        for _ in 0..=EACH {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        let mut refused = held.pop().unwrap();
        assert_eq!(refused.read(&mut [0; 8]).await.unwrap_or_default(), 0);
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let mut other = socket.connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut other, request)
            .await
            .unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("page"),
            "{text}"
        );
    }
}
