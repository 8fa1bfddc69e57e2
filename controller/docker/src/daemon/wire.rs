//! Plain requests to the engine's API over its socket. Does I/O.
//!
//! Used where bollard's models stand in the way: they drop fields they do not know (a clone must keep them), refuse a whole
//! answer for one unknown word, and its stream decoder takes the output of a terminal for frame headers.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use super::abridged::Abridged;
use super::failure;
use crate::engine::{EngineError, EngineResult};
use crate::http1::{self, Link};

/// An answer with more is nonsense: 10,000 containers make about 20 MiB.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
const ERROR_LIMIT: usize = 64 * 1024;
const CONNECT_BOUND: Duration = Duration::from_secs(5);

/// Where the engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    Tcp(String),
}

fn boxed(stream: impl Link + 'static) -> Box<dyn Link> {
    Box::new(stream)
}

/// The body of an answer.
pub(super) struct Body(http1::Body<Box<dyn Link>>);

impl Endpoint {
    /// Reads an address as `DOCKER_HOST` has it.
    pub(super) fn parse(host: &str) -> EngineResult<Self> {
        let tcp = host
            .strip_prefix("tcp://")
            .or_else(|| host.strip_prefix("http://"));
        match (host.strip_prefix("unix://"), tcp) {
            (Some(path), _) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            (_, Some(address)) if !address.is_empty() => {
                Ok(Self::Tcp(address.trim_end_matches('/').to_owned()))
            }
            _ => {
                let message = format!(
                    "{host:?} is no engine address: use unix:///path/to/socket or tcp://host:port (without TLS)"
                );
                Err(failure::refused("connect to the engine", message))
            }
        }
    }

    async fn connect(&self, operation: &str) -> EngineResult<Box<dyn Link>> {
        let connect = async {
            let link = match self {
                Self::Unix(path) => UnixStream::connect(path).await.map(boxed),
                Self::Tcp(address) => TcpStream::connect(address).await.map(boxed),
            };
            link.map_err(|error| failure::unreachable(operation, format!("{self}: {error}")))
        };
        failure::bounded(operation, CONNECT_BOUND, connect).await
    }

    /// Sends a request; answers the body of a success.
    pub(super) async fn send(
        &self,
        operation: &str,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> EngineResult<Body> {
        let content = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("Host", "docker")
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(content)))
            .map_err(|error| failure::odd(operation, error.to_string()))?;
        let link = self.connect(operation).await?;
        let response = http1::send(link, request)
            .await
            .map_err(|error| failure::transport(operation, &error))?;
        success(operation, response).await
    }

    /// GET of a JSON document.
    pub(super) async fn get(&self, operation: &str, target: &str) -> EngineResult<Value> {
        self.send(operation, Method::GET, target, None)
            .await?
            .json(operation)
            .await
    }

    /// The same of a list of containers, of which what their authors made endless is left out.
    pub(super) async fn get_abridged<T>(
        &self,
        operation: &str,
        target: &str,
        read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> EngineResult<T> {
        let mut body = self.send(operation, Method::GET, target, None).await?;
        let (mut abridged, mut text) = (Abridged::default(), Vec::new());
        while let Some(chunk) = body.chunk(operation).await {
            abridged.feed(&chunk?, &mut text);
            if text.len() > BODY_LIMIT {
                return Err(too_long(operation));
            }
        }
        read(&text).map_err(|error| no_json(operation, &error))
    }

    /// GET of a JSON document of which `read` takes what it wants.
    pub(super) async fn get_with<T>(
        &self,
        operation: &str,
        target: &str,
        read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> EngineResult<T> {
        let body = self.send(operation, Method::GET, target, None).await?;
        read(&body.text(operation).await?).map_err(|error| no_json(operation, &error))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

async fn success(operation: &str, response: Response<http1::Body<Box<dyn Link>>>) -> EngineResult<Body> {
    let status = response.status();
    let mut body = response.into_body();
    if status.is_success() {
        return Ok(Body(body));
    }
    let (text, _) = body
        .collect(ERROR_LIMIT)
        .await
        .map_err(|error| failure::transport(operation, &error))?;
    let message = match serde_json::from_slice::<Value>(&text) {
        Ok(value) => value
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        Err(_) => String::from_utf8_lossy(&text).into_owned(),
    };
    Err(failure::status(operation, status.as_u16(), &message))
}

impl Body {
    /// The next chunk; `None` at the end.
    pub(super) async fn chunk(&mut self, operation: &str) -> Option<EngineResult<Bytes>> {
        let chunk = self.0.chunk().await?;
        Some(chunk.map_err(|error| failure::transport(operation, &error)))
    }

    pub(super) async fn json(self, operation: &str) -> EngineResult<Value> {
        let text = self.text(operation).await?;
        serde_json::from_slice(&text).map_err(|error| no_json(operation, &error))
    }

    async fn text(mut self, operation: &str) -> EngineResult<Vec<u8>> {
        let (text, whole) = self
            .0
            .collect(BODY_LIMIT)
            .await
            .map_err(|error| failure::transport(operation, &error))?;
        if !whole {
            return Err(too_long(operation));
        }
        Ok(text)
    }
}

fn too_long(operation: &str) -> EngineError {
    failure::odd(operation, format!("the answer is longer than {BODY_LIMIT} bytes"))
}

fn no_json(operation: &str, error: &serde_json::Error) -> EngineError {
    failure::odd(operation, format!("the answer is no JSON: {error}"))
}

/// A value for a query or path segment: everything but letters, digits and `-_.~` percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_host_has_them() {
        assert_eq!(
            Endpoint::parse("unix:///run/docker.sock").unwrap(),
            Endpoint::Unix("/run/docker.sock".into())
        );
        assert_eq!(
            Endpoint::parse("tcp://127.0.0.1:2375").unwrap(),
            Endpoint::Tcp("127.0.0.1:2375".to_owned())
        );
        for host in ["", "ssh://host", "unix://", "/run/docker.sock", "tcp://"] {
            assert!(
                Endpoint::parse(host)
                    .unwrap_err()
                    .to_string()
                    .contains("unix:///path"),
                "{host}"
            );
        }
    }

    #[test]
    fn values_cannot_leave_their_place_in_a_target() {
        assert_eq!(
            encoded("/etc/x y&path=/?#%"),
            "%2Fetc%2Fx%20y%26path%3D%2F%3F%23%25"
        );
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_unreachable_and_named() {
        let place = Endpoint::parse("unix:///nowhere/docker.sock").unwrap();
        let error = place
            .get("list containers", "/containers/json")
            .await
            .unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(
            error.to_string().contains("list containers")
                && error.to_string().contains("/nowhere/docker.sock"),
            "{error}"
        );
    }
}
