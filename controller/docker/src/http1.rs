//! One HTTP/1.1 request over one fresh connection. Does I/O; knows neither Docker nor probes.
//!
//! The connection is driven by the caller that waits for the answer or reads its body, not by a task: nothing outlives
//! the caller, and nothing is pooled that an engine's restart could leave stale.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

type Connection<S> = http1::Connection<TokioIo<S>, Full<Bytes>>;

/// An answer's body; yields its chunks as they arrive.
pub(crate) struct Body<S: AsyncRead + AsyncWrite + Unpin> {
    incoming: Incoming,
    connection: Option<Pin<Box<Connection<S>>>>,
}

/// Sends `request` over `stream`; answers head and body.
pub(crate) async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<Body<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = Some(Box::pin(connection));
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = poll_fn(|context| {
        loop {
            if let Poll::Ready(response) = answer.as_mut().poll(context) {
                return Poll::Ready(response);
            }
            match drive(&mut connection, context) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // It ended in order; what it left behind is for the answer to take up.
                Poll::Ready(Ok(())) if connection.take().is_some() => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await?;
    Ok(response.map(|incoming| Body { incoming, connection }))
}

fn drive<S>(
    connection: &mut Option<Pin<Box<Connection<S>>>>,
    context: &mut Context<'_>,
) -> Poll<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match connection {
        Some(connection) => connection.as_mut().poll(context),
        None => Poll::Pending,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Body<S> {
    /// The next chunk; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Option<hyper::Result<Bytes>> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            match drive(&mut self.connection, context) {
                Poll::Ready(ended) => {
                    self.connection = None;
                    if let Err(error) = ended {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The body up to `limit` bytes, and whether that was all of it.
    pub(crate) async fn collect(&mut self, limit: usize) -> hyper::Result<(Vec<u8>, bool)> {
        let mut collected = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            let room = limit.saturating_sub(collected.len());
            if let Some(part) = chunk.get(..room).filter(|part| part.len() < chunk.len()) {
                collected.extend_from_slice(part);
                return Ok((collected, false));
            }
            collected.extend_from_slice(&chunk);
        }
        Ok((collected, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn request() -> Request<Full<Bytes>> {
        Request::get("/")
            .header("Host", "x")
            .body(Full::default())
            .unwrap()
    }

    async fn answered_with(answer: &'static str) -> hyper::Result<(u16, Vec<u8>, bool)> {
        let (near, mut far) = tokio::io::duplex(1024);
        let serve = async move {
            let mut asked = [0_u8; 512];
            let _ = far.read(&mut asked).await.unwrap();
            far.write_all(answer.as_bytes()).await.unwrap();
        };
        let ask = async {
            let mut response = send(near, request()).await?;
            let (body, whole) = response.body_mut().collect(4).await?;
            Ok((response.status().as_u16(), body, whole))
        };
        tokio::join!(ask, serve).0
    }

    #[tokio::test]
    async fn answers_are_read_whether_counted_chunked_or_ended_by_the_connection() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        ] {
            assert_eq!(
                answered_with(answer).await.unwrap(),
                (200, b"ok".to_vec(), true),
                "{answer}"
            );
        }
        let long = answered_with("HTTP/1.1 500 No\r\nConnection: close\r\n\r\n12345")
            .await
            .unwrap();
        assert_eq!(long, (500, b"1234".to_vec(), false));
    }

    #[tokio::test]
    async fn a_connection_that_ends_early_is_an_error_and_no_hang() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "garbage\r\n\r\n",
        ] {
            assert!(answered_with(answer).await.is_err(), "{answer:?}");
        }
    }
}
