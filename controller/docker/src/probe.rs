//! Probes of a container's own address: one GET, or one TCP connection. Does I/O; needs no engine.

mod grpc;
mod kept;

use std::error::Error as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aegis_api::probe::{Failing, HttpRequest};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::engine::{HttpAnswer, ProbeError};
use crate::http1::{self, Link};
use crate::tls;

pub use grpc::grpc_check;
pub use kept::KeptConnection;

/// How much of a body is kept.
const BODY_LIMIT: usize = 64 * 1024;

type Connection = http1::Connection<Box<dyn Link>>;

/// What was answered, and the connection where it can take another request.
struct Answered {
    status: u16,
    body: String,
    connection: Option<Connection>,
}

/// Why there was no answer: for programs, and human-readable.
type Failure = (Failing, String);

/// Asks once, over a connection of its own; redirects are not followed. `bound` covers everything up to the last byte.
pub async fn http_ask(request: &HttpRequest, bound: Duration) -> Result<HttpAnswer, ProbeError> {
    let connected = Connected::default();
    within(request, bound, &connected, ask_once(request, &connected)).await
}

/// Whether any connection has come about since a probe began: silence before and after are two things.
#[derive(Debug, Default)]
struct Connected(AtomicBool);

impl Connected {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn silence(&self) -> Failing {
        match self.0.load(Ordering::Relaxed) {
            true => Failing::Silent,
            false => Failing::Unreachable,
        }
    }
}

/// What comes of asking within `bound`.
async fn within(
    request: &HttpRequest,
    bound: Duration,
    connected: &Connected,
    ask: impl Future<Output = Result<(u16, String), Failure>>,
) -> Result<HttpAnswer, ProbeError> {
    let began = Instant::now();
    let (failing, failure) = match timeout(bound, ask).await {
        Ok(Ok((status, body))) => {
            return Ok(HttpAnswer {
                status,
                body,
                latency: began.elapsed(),
            });
        }
        Ok(Err(failure)) => failure,
        Err(_) => (connected.silence(), silence(bound)),
    };
    Err(ProbeError {
        failing,
        text: format!("{}: {failure}", request.words()),
    })
}

fn silence(bound: Duration) -> String {
    format!("no answer within {} ms", bound.as_millis())
}

/// Whether `address` accepts a connection within `bound`.
pub async fn tcp_connect(address: SocketAddr, bound: Duration) -> Result<(), ProbeError> {
    let (failing, failure) = match timeout(bound, TcpStream::connect(address)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => refused(&error),
        Err(_) => (Failing::Unreachable, silence(bound)),
    };
    Err(ProbeError {
        failing,
        text: format!("connect to {address}: {failure}"),
    })
}

async fn ask_once(asked: &HttpRequest, connected: &Connected) -> Result<(u16, String), Failure> {
    let request = head(asked, true)?;
    let answered = exchange(connect(asked, connected).await?, request).await?;
    Ok((answered.status, answered.body))
}

/// Asks over a fresh connection that may be kept.
async fn ask_fresh(asked: &HttpRequest, connected: &Connected) -> Result<Answered, Failure> {
    let request = head(asked, false)?;
    exchange(connect(asked, connected).await?, request).await
}

/// The request; `last` is the only one of its connection.
fn head(asked: &HttpRequest, last: bool) -> Result<Request<Full<Bytes>>, Failure> {
    let address = asked.address.to_string();
    let host = asked.host.as_deref().unwrap_or(&address);
    let mut request = Request::get(&asked.path).header("Host", host);
    if last {
        request = request.header("Connection", "close");
    }
    let usual = [
        ("User-Agent", concat!("aegisops/", env!("CARGO_PKG_VERSION"))),
        ("Accept", "*/*"),
    ];
    for (name, value) in usual.into_iter().filter(|(name, _)| !names(asked, name)) {
        request = request.header(name, value);
    }
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::default());
    request.map_err(|error| (Failing::Broken, error.to_string()))
}

/// Whether the probe's own headers say something of this name.
fn names(asked: &HttpRequest, name: &str) -> bool {
    asked.headers.keys().any(|own| own.eq_ignore_ascii_case(name))
}

async fn connect(asked: &HttpRequest, connected: &Connected) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(asked.address)
        .await
        .map_err(|error| refused(&error))?;
    connected.set();
    let link: Box<dyn Link> = if asked.tls {
        let tls = tls::connect(stream, asked.host.as_deref(), asked.address.ip()).await;
        Box::new(tls.map_err(|failure| (Failing::Broken, failure))?)
    } else {
        Box::new(stream)
    };
    Connection::over(link).await.map_err(failed)
}

async fn exchange(connection: Connection, request: Request<Full<Bytes>>) -> Result<Answered, Failure> {
    let mut response = connection.send(request).await.map_err(failed)?;
    let (body, whole) = response.body_mut().collect(BODY_LIMIT).await.map_err(failed)?;
    let status = response.status().as_u16();
    Ok(Answered {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
        connection: match whole {
            true => response.into_body().into_kept().await,
            false => None,
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err has it")]
fn failed(error: hyper::Error) -> Failure {
    let text = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    (Failing::Broken, text)
}

/// Why no connection came about; the error without its number.
fn refused(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionRefused => (Failing::Refused, "connection refused".to_owned()),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => (Failing::Refused, error.to_string()),
        ErrorKind::HostUnreachable => (Failing::Unreachable, "no route to host".to_owned()),
        // A route that leads nowhere, a firewall here, no such network.
        _ => (Failing::Unreachable, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const SECOND: Duration = Duration::from_secs(1);

    async fn http_get(address: SocketAddr, path: &str, bound: Duration) -> Result<HttpAnswer, ProbeError> {
        http_ask(&HttpRequest::new(address, path), bound).await
    }

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_get_names_its_host_and_is_not_led_elsewhere() {
        let (listener, address) = listening().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream
                .write_all(
                    b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 2\r\n\r\nno",
                )
                .await
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let (answer, asked) = tokio::join!(http_get(address, "/health?x=1", SECOND), serve);
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (302, "no"));
        assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.to_lowercase().contains(&format!("host: {address}\r\n")),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_get_names_the_host_and_headers_that_it_is_given() {
        let (listener, address) = listening().await;
        let mut request = HttpRequest::new(address, "/health");
        request.host = Some("shop.example.test".to_owned());
        request.headers = [("X-Forwarded-Proto", "https"), ("user-agent", "kube-probe/1.32")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).to_lowercase()
        };
        let (answer, asked) = tokio::join!(http_ask(&request, SECOND), serve);
        assert_eq!(answer.unwrap().status, 204);
        for line in [
            "host: shop.example.test\r\n",
            "x-forwarded-proto: https\r\n",
            "user-agent: kube-probe/1.32\r\n",
        ] {
            assert_eq!(asked.matches(line).count(), 1, "{asked}");
        }
        assert!(!asked.contains("aegisops"), "{asked}");
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_distinguished_from_silence() {
        let (listener, address) = listening().await;
        let mut request = HttpRequest::new(address, "/");
        request.tls = true;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        };
        let (answer, ()) = tokio::join!(http_ask(&request, SECOND), serve);
        let failure = answer.unwrap_err().to_string();
        assert!(
            failure.starts_with(&format!("GET https://{address}/: TLS: ")),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn a_huge_body_is_cut_off() {
        let (listener, address) = listening().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
        };
        let (answer, ()) = tokio::join!(http_get(address, "/", 5 * SECOND), serve);
        assert_eq!(answer.unwrap().body.len(), BODY_LIMIT);
    }

    #[tokio::test]
    async fn silence_and_refusal_name_the_address() {
        let (listener, address) = listening().await;
        tcp_connect(address, SECOND).await.unwrap();
        let silent = http_get(address, "/", Duration::from_millis(30))
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(silent, format!("GET http://{address}/: no answer within 30 ms"));
        drop(listener);
        let refused = http_get(address, "/", SECOND).await.unwrap_err().to_string();
        assert_eq!(refused, format!("GET http://{address}/: connection refused"));
        assert!(tcp_connect(address, SECOND).await.is_err());
        assert!(http_get(address, "no path", SECOND).await.is_err());
    }
}
