//! Refuses what a browser sends under a name that is not ours: a page whose name was made to stand for our address (DNS
//! rebinding) would else be taken for a page of ours. Which names are ours is the configuration's. Pure but for the
//! middleware.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;

use crate::auth;
use crate::refusal::refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// Answers 421 to what is meant for another host. What shows a token passes, for whatever name its sender knows us by:
/// a page of another name has none, and what it makes up is refused further on. Probes are for everybody.
pub(crate) async fn check(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let headers = request.headers();
    let passes = matches!(path, "/healthz" | "/livez" | "/readyz") || auth::shows_token(headers) || {
        let peer = request.extensions().get::<Peer>().copied();
        let forwarded = state.config.trusted_proxies.said(peer, headers);
        is_ours(&state, forwarded.host(), headers)
    };
    if passes {
        next.run(request).await
    } else {
        refusal(path, Status::misdirected())
    }
}

/// Every browser says which host it means; a client of HTTP/1.0 need not.
fn is_ours(state: &ServerState, forwarded: Option<&str>, headers: &HeaderMap) -> bool {
    let takes = |host: &str| state.config.own_hosts.takes(host.trim());
    match forwarded {
        Some(host) => takes(host),
        None => headers
            .get_all(HOST)
            .iter()
            .all(|host| host.to_str().is_ok_and(takes)),
    }
}
