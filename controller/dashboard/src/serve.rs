//! HTTP: one page, its style, and whether the process lives. Owns the headers. Nothing here takes input but `?still`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::hosts::OwnHosts;
use anyhow::Context as _;
use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::args::Args;
use crate::board::Board;
use crate::door;
use crate::page::Pages;

const STYLE: &str = include_str!("../templates/style.css");
const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
/// How long the check may take.
const CHECK: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Served {
    board: Arc<Board>,
    pages: Arc<Pages>,
    hosts: Arc<OwnHosts>,
}

pub(crate) async fn run(args: &Args, board: Arc<Board>, pages: Pages) -> anyhow::Result<()> {
    let listen = args.listen;
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.with_context(|| {
        format!(
            "cannot listen on {listen}: is the port taken? move it with --listen or AEGIS_DASHBOARD_LISTEN"
        )
    })?;
    tracing::info!("serving on http://{listen}");
    let served = Served {
        board,
        pages: Arc::new(pages),
        hosts: Arc::new(args.own_hosts()),
    };
    door::serve(listener, router(served)).await;
    Ok(())
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/", get(page))
        .route(
            "/style.css",
            get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)),
        )
        .route("/healthz", get(async || "ok"))
        .with_state(served.clone())
        .layer(from_fn_with_state(served, host))
        .layer(from_fn(guard))
}

/// Refuses what a browser requests under a name that is not ours: a page whose name was made to stand for our address
/// would else read this one. A sign of life is for everybody.
async fn host(State(served): State<Served>, request: Request, next: Next) -> Response {
    let named = request.headers().get_all(HOST).iter();
    let mut ours = named.map(|host| host.to_str().is_ok_and(|host| served.hosts.takes(host.trim())));
    if request.uri().path() == "/healthz" || ours.all(|ours| ours) {
        return next.run(request).await;
    }
    let message = "this dashboard is not known by the name in Host: reach it by an address or localhost, or add the name to \
                   AEGIS_PUBLIC_HOSTS (--public-hosts)\n";
    (StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

/// Reads only, and headers that keep a browser from doing more with a page than it should.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if matches!(*request.method(), Method::GET | Method::HEAD) {
        next.run(request).await
    } else {
        let allow = [("allow", "GET, HEAD")];
        (StatusCode::METHOD_NOT_ALLOWED, allow, "this page only shows\n").into_response()
    };
    response.headers_mut().extend(ALWAYS);
    response
}

async fn page(State(served): State<Served>, RawQuery(query): RawQuery) -> Response {
    let still = query.is_some_and(|query| query == "still");
    match served
        .pages
        .render(&served.board.known(), still, Timestamp::now())
    {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!("{error:#}");
            let message = "the page cannot be rendered; the log of the dashboard says why\n";
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// Whether a dashboard answers there.
pub(crate) async fn check(listen: SocketAddr) -> ExitCode {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect((ip, listen.port())).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head.ends_with(b" 200"))
    };
    match tokio::time::timeout(CHECK, asked).await {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use clap::Parser as _;
    use tower::ServiceExt as _;

    async fn answer(method: &str, path: &str) -> Response {
        answer_to("127.0.0.1:8501", method, path).await
    }

    async fn answer_to(host: &str, method: &str, path: &str) -> Response {
        let pages = Pages::new(&crate::args::Args::parse_from(["aegis-dashboard"])).unwrap();
        let served = Served {
            board: Arc::default(),
            pages: Arc::new(pages),
            hosts: Arc::new(OwnHosts::new(["ops.example.org"])),
        };
        let request = Request::builder()
            .header("host", host)
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        router(served).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn no_page_of_another_origin_includes_or_frames_one_of_here() {
        for path in ["/", "/style.css", "/healthz", "/no-such-page"] {
            let response = answer("GET", path).await;
            for (name, value) in [
                ("cross-origin-resource-policy", "same-origin"),
                ("x-frame-options", "DENY"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(
                    response.headers().get(name).map(HeaderValue::as_bytes),
                    Some(value.as_bytes()),
                    "{path}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_page_of_another_name_reads_nothing_here() {
        for (host, path, status) in [
            ("evil.example", "/", 421),
            ("evil.example:8501", "/style.css", 421),
            ("evil.example", "/healthz", 200),
            ("localhost:8501", "/", 200),
            ("192.168.1.5:8501", "/", 200),
            ("ops.example.org", "/", 200),
        ] {
            let response = answer_to(host, "GET", path).await;
            assert_eq!(response.status().as_u16(), status, "{host} {path}");
        }
    }

    #[tokio::test]
    async fn every_answer_has_the_headers_and_nothing_but_reading_is_allowed() {
        for (method, path, status) in [
            ("GET", "/", 200),
            ("HEAD", "/", 200),
            ("GET", "/?still", 200),
            ("GET", "/style.css", 200),
            ("GET", "/healthz", 200),
            ("GET", "/etc/passwd", 404),
            ("POST", "/", 405),
            ("DELETE", "/healthz", 405),
        ] {
            let response = answer(method, path).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            for (name, value) in &ALWAYS {
                assert_eq!(response.headers().get(name), Some(value), "{method} {path}");
            }
        }
    }
}
