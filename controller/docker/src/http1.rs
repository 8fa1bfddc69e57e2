//! HTTP/1.1 requests, one at a time over one connection. Does I/O; knows neither Docker nor probes.
//!
//! The connection is driven by the caller that waits for the answer or reads its body, not by a task: nothing outlives
//! the caller. Who wants to send another request over it keeps it ([`Body::into_kept`]), and must expect that the other
//! side closes it meanwhile.

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

/// A byte stream.
pub(crate) trait Link: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Link for T {}

type Driver<S> = Pin<Box<http1::Connection<TokioIo<S>, Full<Bytes>>>>;

/// A connection that can take a request.
pub(crate) struct Connection<S: AsyncRead + AsyncWrite + Unpin> {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Driver<S>>,
}

/// An answer's body; yields its chunks as they arrive.
pub(crate) struct Body<S: AsyncRead + AsyncWrite + Unpin> {
    incoming: Incoming,
    connection: Connection<S>,
}

/// Sends `request` over `stream`; answers head and body.
pub(crate) async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<Body<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Connection::over(stream).await?.send(request).await
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// A connection over this stream, on which nothing was sent yet.
    pub(crate) async fn over(stream: S) -> hyper::Result<Self> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// Sends `request`; answers head and body.
    pub(crate) async fn send(mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Body<S>>> {
        let response = {
            let driver = &mut self.driver;
            let mut answer = std::pin::pin!(self.sender.send_request(request));
            poll_fn(|context| {
                loop {
                    if let Poll::Ready(response) = answer.as_mut().poll(context) {
                        return Poll::Ready(response);
                    }
                    match drive(driver, context) {
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        // It ended in order; what it left behind is for the answer to take up.
                        Poll::Ready(Ok(())) if driver.take().is_some() => {}
                        _ => return Poll::Pending,
                    }
                }
            })
            .await?
        };
        Ok(response.map(|incoming| Body {
            incoming,
            connection: self,
        }))
    }

    /// Itself, if it can take another request: the other side has not closed it, as far as is known.
    pub(crate) async fn open(mut self) -> Option<Self> {
        let is_open = poll_fn(|context| {
            if drive(&mut self.driver, context).is_ready() {
                self.driver = None;
            }
            let can_send = matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())));
            Poll::Ready(can_send && self.driver.is_some())
        });
        is_open.await.then_some(self)
    }
}

fn drive<S>(driver: &mut Option<Driver<S>>, context: &mut Context<'_>) -> Poll<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match driver {
        Some(driver) => driver.as_mut().poll(context),
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
            match drive(&mut self.connection.driver, context) {
                Poll::Ready(ended) => {
                    self.connection.driver = None;
                    if let Err(error) = ended {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The connection that it came over, for another request. Only after the whole body was read; `None` where the
    /// other side closes it, or was not heard to the end.
    pub(crate) async fn into_kept(self) -> Option<Connection<S>> {
        self.connection.open().await
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
    async fn a_connection_takes_another_request_unless_the_other_side_closes_it() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let (near, mut far) = tokio::io::duplex(1024);
        let serve = async {
            for answer in [whole, whole, last] {
                let mut asked = [0_u8; 512];
                let _ = far.read(&mut asked).await.unwrap();
                far.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let ask = async {
            let mut connection = Some(Connection::over(near).await.unwrap());
            let mut kept = Vec::new();
            for _ in 0..3 {
                let mut response = connection.take().unwrap().send(request()).await.unwrap();
                assert_eq!(
                    response.body_mut().collect(9).await.unwrap(),
                    (b"ok".to_vec(), true)
                );
                connection = response.into_body().into_kept().await;
                kept.push(connection.is_some());
            }
            kept
        };
        assert_eq!(tokio::join!(ask, serve).0, [true, true, false]);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_while_it_was_kept_is_not_used_again() {
        let (near, mut far) = tokio::io::duplex(1024);
        let serve = async move {
            let mut asked = [0_u8; 512];
            let _ = far.read(&mut asked).await.unwrap();
            far.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
            far
        };
        let ask = async {
            let connection = Connection::over(near).await.unwrap();
            let mut response = connection.send(request()).await.unwrap();
            response.body_mut().collect(9).await.unwrap();
            response.into_body().into_kept().await.unwrap()
        };
        let (kept, far) = tokio::join!(ask, serve);
        let kept = kept.open().await.unwrap();
        drop(far);
        assert!(kept.open().await.is_none());
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
