//! The connection over which one container is asked again and again. Does I/O.
//!
//! A connection a probe costs more than the probe. But a probe must find out when an application accepts no connections
//! any more, and must not be what keeps others from being served: a server that answers one connection at a time would
//! serve no other client while ours is open. So the second probe of a run opens another connection beside the first, and only
//! where both are answered is one kept; every fifth probe has a fresh one; and what a kept connection does not answer a
//! fresh one is asked before that counts as a failure. Who wants none sends `Connection: close` in `health.http.headers`.

use std::pin::pin;
use std::time::Duration;

use aegis_api::probe::HttpRequest;
use futures::future::{Either, select};
use tokio::time::timeout;

use super::{Answered, Connected, Connection, Failure, ask_fresh, ask_once, exchange, head, names, within};
use crate::engine::{HttpAnswer, ProbeError};

/// Probes over one connection before there is a fresh one.
const MOST_USES: u32 = 5;
/// How long a server may take to answer a second connection while the first is open.
const BESIDE: Duration = Duration::from_millis(250);

/// The connection to one run of one container, if it can be kept.
#[derive(Default)]
pub struct KeptConnection {
    keeping: Keeping,
    connection: Option<Connection>,
    /// Probes that it has carried.
    uses: u32,
}

/// Whether a connection can be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Keeping {
    /// Nothing was answered yet.
    #[default]
    Unknown,
    /// With the next answer it is tried.
    Untried,
    Yes,
    /// The server closes it, or serves one connection at a time.
    No,
}

impl std::fmt::Debug for KeptConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptConnection")
            .field("keeping", &self.keeping)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

impl KeptConnection {
    /// Asks as [`super::http_ask`] does. The first connection that is kept is tried after the answer, once in a run: that
    /// takes at most a quarter of a second.
    pub async fn ask(&mut self, asked: &HttpRequest, bound: Duration) -> Result<HttpAnswer, ProbeError> {
        if names(asked, "connection") {
            self.keeping = Keeping::No;
        }
        let connected = Connected::default();
        let answer = within(
            asked,
            bound,
            &connected,
            self.answer(asked, bound / 2, &connected),
        )
        .await?;
        match self.keeping {
            Keeping::Unknown => self.keeping = Keeping::Untried,
            Keeping::Untried => self.try_beside(asked).await,
            Keeping::Yes | Keeping::No => {}
        }
        Ok(answer)
    }

    async fn answer(
        &mut self,
        asked: &HttpRequest,
        half: Duration,
        connected: &Connected,
    ) -> Result<(u16, String), Failure> {
        match self.keeping {
            Keeping::Unknown | Keeping::No => return ask_once(asked, connected).await,
            Keeping::Untried | Keeping::Yes => {}
        }
        let Some(connection) = self.usable().await else {
            let answered = ask_fresh(asked, connected).await?;
            return Ok(self.keep(answered, 1));
        };
        // One came about, whatever becomes of the next.
        connected.set();
        let uses = self.uses.saturating_add(1);
        let mut kept = pin!(exchange(connection, head(asked, false)?));
        match timeout(half, &mut kept).await {
            Ok(Ok(answered)) => return Ok(self.keep(answered, uses)),
            // It was closed meanwhile, which says nothing about the application.
            Ok(Err(_)) => return Ok(self.keep(ask_fresh(asked, connected).await?, 1)),
            Err(_) => {}
        }
        // It may lead nowhere any more, and the application be slow as well: which of them answers counts.
        let fresh = pin!(ask_fresh(asked, connected));
        match select(kept, fresh).await {
            Either::Left((Ok(answered), _)) => Ok(self.keep(answered, uses)),
            Either::Left((Err(_), fresh)) => Ok(self.keep(fresh.await?, 1)),
            Either::Right((answered, _)) => Ok(self.keep(answered?, 1)),
        }
    }

    /// The connection, if it has uses left and is open. It is closed before there is a fresh one.
    async fn usable(&mut self) -> Option<Connection> {
        let connection = self.connection.take().filter(|_| self.uses < MOST_USES)?;
        connection.open().await
    }

    fn keep(&mut self, answered: Answered, uses: u32) -> (u16, String) {
        let Answered {
            status,
            body,
            connection,
        } = answered;
        (self.connection, self.uses) = (connection, uses);
        (status, body)
    }

    /// Tries whether the server answers another connection while this one is open.
    async fn try_beside(&mut self, asked: &HttpRequest) {
        let Some(_first) = self.connection.take() else {
            self.keeping = Keeping::No;
            return;
        };
        let beside = timeout(BESIDE, ask_fresh(asked, &Connected::default())).await;
        let second = beside.ok().and_then(Result::ok);
        self.connection = second.and_then(|answered| answered.connection);
        self.uses = 1;
        self.keeping = match self.connection {
            Some(_) => Keeping::Yes,
            None => Keeping::No,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    async fn listening() -> (TcpListener, HttpRequest) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = HttpRequest::new(listener.local_addr().unwrap(), "/health");
        (listener, request)
    }

    /// Answers every request of a connection until the other side closes it.
    async fn serve(mut stream: TcpStream) {
        let mut asked = [0; 1024];
        while stream.read(&mut asked).await.is_ok_and(|length| length > 0) {
            let last = String::from_utf8_lossy(&asked).contains("Connection: close")
                || String::from_utf8_lossy(&asked).contains("connection: close");
            stream.write_all(OK).await.unwrap();
            if last {
                return;
            }
        }
    }

    /// Serves every connection beside the others; answers how many there were.
    fn serving(listener: TcpListener) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        count
    }

    #[tokio::test]
    async fn ten_probes_of_a_server_that_serves_several_at_a_time_take_four_connections() {
        let (listener, request) = listening().await;
        let count = serving(listener);
        let mut kept = KeptConnection::default();
        for _ in 0..10 {
            let answer = kept.ask(&request, SECOND).await.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        }
        // The first, the second and the one beside it, and one more after each five uses.
        assert_eq!(count.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_probe_that_sends_connection_close_has_a_fresh_connection_each_time() {
        let (listener, mut request) = listening().await;
        request
            .headers
            .insert("connection".to_owned(), "close".to_owned());
        let count = serving(listener);
        let mut kept = KeptConnection::default();
        for _ in 0..5 {
            kept.ask(&request, SECOND).await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn a_server_that_serves_one_connection_at_a_time_is_left_free_for_others() {
        let (listener, request) = listening().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream).await;
            }
        });
        let mut kept = KeptConnection::default();
        for _ in 0..4 {
            kept.ask(&request, SECOND).await.unwrap();
        }
        // Another client is served at once, since no connection of ours is open.
        assert!(kept.connection.is_none());
        super::super::http_ask(&request, SECOND).await.unwrap();
    }

    #[tokio::test]
    async fn an_application_that_accepts_no_more_is_noticed_though_what_it_accepted_is_answered() {
        let (listener, request) = listening().await;
        let mut kept = KeptConnection::default();
        let ask = async {
            for _ in 0..2 {
                kept.ask(&request, SECOND).await.unwrap();
            }
        };
        let accept = async {
            for _ in 0..3 {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream));
            }
        };
        tokio::join!(ask, accept);
        assert_eq!(kept.keeping, Keeping::Yes);
        drop(listener);
        let mut answers = Vec::new();
        for _ in 0..MOST_USES {
            answers.push(kept.ask(&request, SECOND).await.is_ok());
        }
        assert_eq!(answers, [true, true, true, true, false]);
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_or_leads_nowhere_is_no_failure() {
        let (listener, request) = listening().await;
        let mut kept = KeptConnection::default();
        let (over, mut is_over) = tokio::sync::watch::channel(());
        let watched = is_over.clone();
        let accept = async {
            // Each answers one request, and is silent then until it is closed; the last ones answer on.
            for number in 0..5 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut closed = watched.clone();
                tokio::spawn(async move {
                    if number == 4 {
                        return serve(stream).await;
                    }
                    let mut asked = [0; 1024];
                    let _ = stream.read(&mut asked).await.unwrap();
                    stream.write_all(OK).await.unwrap();
                    if number != 3 {
                        let _ = closed.changed().await;
                    } else {
                        // Reads on, and never answers.
                        while stream.read(&mut asked).await.is_ok_and(|length| length > 0) {}
                    }
                });
            }
        };
        let ask = async {
            for _ in 0..2 {
                kept.ask(&request, SECOND).await.unwrap();
            }
            assert_eq!(kept.keeping, Keeping::Yes);
            // The other side closes what is kept: a fresh one answers.
            over.send(()).unwrap();
            is_over.changed().await.unwrap();
            kept.ask(&request, SECOND).await.unwrap();
            // That one is silent: a fresh one is asked beside it, and answers within the bound.
            kept.ask(&request, SECOND).await.unwrap();
        };
        tokio::join!(ask, accept);
        assert!(kept.connection.is_some());
    }
}
