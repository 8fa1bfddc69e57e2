//! Which web pages may act through a visitor's browser: those this server (or a proxy before it) served, and those the
//! configuration names. Programs send no Origin and pass. Pure but for the middleware.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{HOST, HeaderMap, ORIGIN};
use axum::middleware::Next;
use axum::response::Response;

use crate::proxies::Forwarded;
use crate::refusal::refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// Refuses changes, and WebSockets, that a page of another origin requests.
pub(crate) async fn check(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let (peer, headers) = (request.extensions().get::<Peer>().copied(), request.headers());
    let forwarded = state.config.trusted_proxies.said(peer, headers);
    if (!reads || path == "/ws") && !allowed(headers, forwarded, &state.config.allowed_origins) {
        return refusal(
            path,
            Status::forbidden("pages of this origin may not use this server"),
        );
    }
    next.run(request).await
}

/// Whether the sender is no browser, or a page of this very origin, or of an allowed one.
fn allowed(headers: &HeaderMap, forwarded: Forwarded<'_>, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else { return false };
    if origins
        .iter()
        .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let mut hosts = forwarded.host().into_iter().chain(host);
    hosts.any(|host| same(scheme, authority, host.trim()))
}

fn same(scheme: &str, a: &str, b: &str) -> bool {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::{TrustedProxies, TrustedProxy};
    use axum::http::{HeaderName, HeaderValue};

    fn from(peer: [u8; 4], pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers: HeaderMap = headers.collect();
        let proxies: TrustedProxies = vec!["10.0.0.2".parse::<TrustedProxy>().unwrap()].into();
        let forwarded = proxies.said(Some(Peer((peer, 1).into())), &headers);
        allowed(&headers, forwarded, &["https://ops.example.org".to_owned()])
    }

    fn case(pairs: &[(&'static str, &'static str)]) -> bool {
        from([10, 0, 0, 2], pairs)
    }

    #[test]
    fn only_a_trusted_proxy_says_which_host_was_requested() {
        let pairs = [
            ("host", "aegis-agent:8001"),
            ("x-forwarded-host", "cockpit:3000"),
            ("origin", "http://cockpit:3000"),
        ];
        assert!(from([10, 0, 0, 2], &pairs));
        assert!(!from([10, 0, 0, 3], &pairs));
    }

    #[test]
    fn programs_and_our_own_pages_pass_and_other_pages_do_not() {
        assert!(case(&[("host", "127.0.0.1:8001")]));
        assert!(case(&[
            ("host", "127.0.0.1:8001"),
            ("origin", "http://127.0.0.1:8001")
        ]));
        assert!(case(&[("host", "LOCALHOST:80"), ("origin", "http://localhost")]));
        assert!(case(&[
            ("host", "aegis-agent:8001"),
            ("x-forwarded-host", "cockpit:3000"),
            ("origin", "http://cockpit:3000")
        ]));
        assert!(case(&[
            ("host", "127.0.0.1:8001"),
            ("origin", "https://ops.example.org")
        ]));
        assert!(!case(&[
            ("host", "127.0.0.1:8001"),
            ("origin", "http://evil.example")
        ]));
        assert!(!case(&[
            ("host", "127.0.0.1:8001"),
            ("origin", "http://127.0.0.1:9999")
        ]));
        assert!(!case(&[("host", "127.0.0.1:8001"), ("origin", "null")]));
    }
}
