//! Probes of a container's own address: one GET, or one TCP connection. Does I/O; needs no engine.

mod kept;

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::probe::HttpRequest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::engine::{HttpAnswer, ProbeError};
use crate::http1::{self, Link};
use crate::tls;

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

/// Asks once, over a connection of its own; redirects are not followed. `bound` covers everything up to the last byte.
pub async fn http_ask(request: &HttpRequest, bound: Duration) -> Result<HttpAnswer, ProbeError> {
    within(request, bound, ask_once(request)).await
}

/// What comes of asking within `bound`.
async fn within(
    request: &HttpRequest,
    bound: Duration,
    ask: impl Future<Output = Result<(u16, String), String>>,
) -> Result<HttpAnswer, ProbeError> {
    let began = Instant::now();
    match timeout(bound, ask).await {
        Ok(Ok((status, body))) => Ok(HttpAnswer {
            status,
            body,
            latency: began.elapsed(),
        }),
        Ok(Err(failure)) => Err(ProbeError(format!("{}: {failure}", request.words()))),
        Err(_) => Err(ProbeError(format!(
            "{}: no answer within {} ms",
            request.words(),
            bound.as_millis()
        ))),
    }
}

/// Whether `address` accepts a connection within `bound`.
pub async fn tcp_connect(address: SocketAddr, bound: Duration) -> Result<(), ProbeError> {
    match timeout(bound, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ProbeError(format!("connect to {address}: {}", words(&error)))),
        Err(_) => Err(ProbeError(format!(
            "connect to {address}: no answer within {} ms",
            bound.as_millis()
        ))),
    }
}

async fn ask_once(asked: &HttpRequest) -> Result<(u16, String), String> {
    let request = head(asked, true)?;
    let answered = exchange(connect(asked).await?, request).await?;
    Ok((answered.status, answered.body))
}

/// Asks over a fresh connection that may be kept.
async fn ask_fresh(asked: &HttpRequest) -> Result<Answered, String> {
    let request = head(asked, false)?;
    exchange(connect(asked).await?, request).await
}

/// The request; `last` is the only one of its connection.
fn head(asked: &HttpRequest, last: bool) -> Result<Request<Full<Bytes>>, String> {
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
    request.body(Full::default()).map_err(|error| error.to_string())
}

/// Whether the probe's own headers say something of this name.
fn names(asked: &HttpRequest, name: &str) -> bool {
    asked.headers.keys().any(|own| own.eq_ignore_ascii_case(name))
}

async fn connect(asked: &HttpRequest) -> Result<Connection, String> {
    let stream = TcpStream::connect(asked.address)
        .await
        .map_err(|error| words(&error))?;
    let link: Box<dyn Link> = if asked.tls {
        Box::new(tls::connect(stream, asked.host.as_deref(), asked.address.ip()).await?)
    } else {
        Box::new(stream)
    };
    Connection::over(link).await.map_err(failed)
}

async fn exchange(connection: Connection, request: Request<Full<Bytes>>) -> Result<Answered, String> {
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
fn failed(error: hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The error without its number.
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string(),
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
