//! The listener: accepts connections, bounds how many and how slow they may be, and ends them on shutdown.

mod doors;
mod stalled;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::reach::{AlertsOnly, Local};
use crate::tls::Tls;
pub(crate) use doors::Pass;
use doors::{Doors, Entered, Side};
use stalled::WriteTimeout;

/// Where a request came from: the other end of its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// How long a client may take to send the head of a request, or stay idle between two.
const HEAD: Duration = Duration::from_secs(60);
/// The same on a connection of the reserve.
const RESERVE_HEAD: Duration = Duration::from_secs(5);
/// The largest head of a request, bytes.
const HEAD_BYTES: usize = 64 << 10;
/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// What a client gets that speaks HTTP to a server that speaks HTTPS.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 37\r\n\r\n\
                           this server speaks HTTPS: use https:\n";
/// How long requests under way may take to end on shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// Pause after the system refused a new connection (for lack of file descriptors, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener`, with TLS where there is a certificate, until `shutdown`, then lets requests under way end,
/// for ten seconds at most. `workloads`: of whose networks no crowd keeps others out.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    workloads: AlertsOnly,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let doors = Arc::new(Doors::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => note(ended),
            accepted = accept(&listener) => match accepted {
                // Where there is no room for it, it ends here.
                Ok((stream, peer)) => if let Some(entered) = doors.enter(peer.ip(), side(&workloads, peer, &stream)) {
                    let ends = Ends { peer: Peer(peer), local: stream.local_addr().ok().map(Local) };
                    let (router, shutdown) = (router.clone(), shutdown.clone());
                    match tls.clone() {
                        None => connections.spawn(connection(stream, ends, router, shutdown, entered)),
                        Some(tls) => connections.spawn(encrypted(tls, stream, ends, router, shutdown, entered)),
                    };
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("connections that did not end in time are cut");
    }
    Ok(())
}

fn side(workloads: &AlertsOnly, peer: SocketAddr, stream: &TcpStream) -> Side {
    let local = stream.local_addr().ok().map(|local| local.ip());
    match workloads.holds(Some(peer.ip()), local) {
        true => Side::Workloads,
        false => Side::Others,
    }
}

/// Where a connection comes from and which address of ours it was made to.
#[derive(Debug, Clone, Copy)]
struct Ends {
    peer: Peer,
    local: Option<Local>,
}

/// One connection, after its handshake.
async fn encrypted(
    tls: Tls,
    mut stream: TcpStream,
    ends: Ends,
    router: Router,
    shutdown: CancellationToken,
    entered: Entered,
) -> hyper::Result<()> {
    let handshake = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            stream.write_all(SPEAK_TLS).await?;
            stream.shutdown().await?;
            // What it had sent is read, or the answer could be lost with the connection.
            let rest = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
            tokio::io::copy(&mut stream.take(rest), &mut tokio::io::sink()).await?;
            return Err(io::Error::other("it speaks no TLS"));
        }
        tls.acceptor().accept(stream).await
    };
    let handshake = tokio::time::timeout(HANDSHAKE, handshake);
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = shutdown.cancelled() => return Ok(()),
    };
    match shaken {
        Ok(Ok(stream)) => connection(stream, ends, router, shutdown, entered).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %ends.peer.0, "a TLS connection could not be made");
            Ok(())
        }
        Err(_) => {
            tracing::debug!(peer = %ends.peer.0, "a TLS handshake took too long");
            Ok(())
        }
    }
}

/// One connection, until its client goes; on shutdown until the request under way is answered.
async fn connection<S>(
    stream: S,
    Ends { peer, local }: Ends,
    router: Router,
    shutdown: CancellationToken,
    entered: Entered,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let pass = entered.pass;
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(pass);
        if let Some(local) = local {
            request.extensions_mut().insert(local);
        }
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if pass == Pass::Full { HEAD } else { RESERVE_HEAD })
        .keep_alive(pass == Pass::Full)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(
            TokioIo::new(WriteTimeout::new(stream)),
            TowerToHyperService::new(service),
        )
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    drop(entered);
    ended
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    Ok((stream, peer))
}

/// A connection that ends badly is the client's affair; a panic in one is ours.
fn note(ended: Result<hyper::Result<()>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(error) => tracing::error!(%error, "a connection's task failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn on_shutdown_requests_under_way_are_answered_and_idle_connections_end() {
        let (begun, begin) = tokio::sync::oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let gate = Arc::new(tokio::sync::Notify::new());
        let wait = Arc::clone(&gate);
        let begun = Arc::new(begun);
        let slow = async move || {
            begun.lock().unwrap().take().unwrap().send(()).unwrap();
            wait.notified().await;
            "done"
        };
        let router = Router::new().route("/slow", axum::routing::get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(
            listener,
            None,
            router,
            AlertsOnly::default(),
            shutdown.clone(),
        ));
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        begin.await.unwrap();
        shutdown.cancel();
        gate.notify_one();
        let mut text = String::new();
        busy.read_to_string(&mut text).await.unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("done"),
            "{text}"
        );
        serving.await.unwrap().unwrap();
        assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
