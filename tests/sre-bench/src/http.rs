//! The smallest HTTP client that will do: one request a connection, over TCP or a Unix socket, bounded in time and bytes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Most bytes of an answer.
const LARGEST: usize = 16 << 20;

/// A request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// `Host` header, and where the connection goes over TCP.
    pub host: &'a str,
    /// Value of `Authorization`.
    pub authorization: Option<String>,
    /// Type of the body.
    pub content_type: &'a str,
    /// Body.
    pub body: Bytes,
    /// How long the whole may take.
    pub timeout: Duration,
}

impl<'a> Ask<'a> {
    /// A GET, within two seconds.
    pub fn get(host: &'a str, path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            host,
            authorization: None,
            content_type: "application/json",
            body: Bytes::new(),
            timeout: Duration::from_secs(2),
        }
    }

    /// A POST of JSON, within two seconds.
    pub fn post(host: &'a str, path: &'a str, body: &serde_json::Value) -> Self {
        Self {
            method: Method::POST,
            body: body.to_string().into(),
            ..Self::get(host, path)
        }
    }

    /// Sends it to its host over TCP.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub async fn send(self) -> anyhow::Result<(u16, Bytes)> {
        let timeout = self.timeout;
        let host = self.host;
        let answer = async {
            let stream = TcpStream::connect(host).await?;
            exchange(stream, self).await
        };
        timed(timeout, answer).await.with_context(|| host.to_owned())
    }

    /// Sends it over a Unix socket.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub async fn send_unix(self, socket: &Path) -> anyhow::Result<(u16, Bytes)> {
        let timeout = self.timeout;
        let answer = async {
            let stream = UnixStream::connect(socket).await?;
            exchange(stream, self).await
        };
        timed(timeout, answer)
            .await
            .with_context(|| socket.display().to_string())
    }
}

async fn timed<T>(limit: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer within {limit:?}"),
    }
}

async fn exchange<S>(stream: S, ask: Ask<'_>) -> anyhow::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        .header("host", ask.host)
        .header("content-type", ask.content_type)
        .header("connection", "close");
    if let Some(value) = ask.authorization {
        request = request.header("authorization", value);
    }
    let request = request.body(Full::new(ask.body))?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        anyhow::Ok((status, body))
    };
    // The connection is driven here, so that it ends with the request.
    tokio::pin!(answer);
    tokio::select! {
        done = &mut answer => done,
        _ = connection => answer.await,
    }
}
