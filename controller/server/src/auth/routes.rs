//! `/auth`: how a browser gets a session and ends it, and who one is.

use std::net::{IpAddr, Ipv4Addr};

use aegis_api::Time;
use aegis_api::access::{LinkMade, SessionView};
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::role::Need;
use super::secret::Digest;
use super::{Holder, Identity, Source, credentials, limiter, token_routes};
use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// The largest body here, bytes.
const LIMIT: usize = 4096;
/// What a link says that is no longer good. Nothing of the request is in it.
const SPENT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>AegisOps</title>\
<p>This link has been used or has expired. <code>aegisctl token once</code> makes a new one, \
or <a href=\"/\">log in with a token</a>.</html>";

type Peered = Option<Extension<Peer>>;

/// Routes that need a role.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/auth/session", get(session))
        .route("/auth/logout", post(logout))
        .route("/auth/tokens", get(token_routes::list).post(token_routes::create))
        .route("/auth/tokens/{name}", delete(token_routes::revoke))
}

/// Routes that begin a session: the caller has none yet.
pub(crate) fn open_routes() -> Router<ServerState> {
    Router::new()
        .route("/auth/login", post(login))
        .route("/auth/once", get(redeem))
}

/// The one route that is open to ask and guarded to make.
pub(crate) fn once_route() -> Router<ServerState> {
    Router::new().route("/auth/once", post(once))
}

#[derive(Deserialize)]
struct Login {
    #[serde(deserialize_with = "secret")]
    token: SecretString,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

async fn login(
    State(state): State<ServerState>,
    peer: Peered,
    headers: HeaderMap,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let address = attempt(&state, peer, &headers)?;
    let login: Login = serde_json::from_slice(&body?.0)
        .map_err(|_| Status::bad_request("the body is not {\"token\": \"…\"}"))?;
    let digest = Digest::of(login.token.expose_secret().trim());
    let Some(holder) = state.auth.holder(&digest, now) else {
        tracing::warn!(%address, "a login with an unknown token");
        return Err(Status::unauthorized().into());
    };
    if !Need::Read.is_of(holder.role) {
        let message = format!(
            "a token of the role {} begins no session: it only posts alerts",
            holder.role
        );
        return Err(Status::forbidden(message).into());
    }
    state.auth.limiter.succeeded(address);
    let (cookie, identity) = begin(&state, holder, &headers, now).await;
    tracing::info!(user = &*identity.user, role = identity.role.as_str(), %address, "logged in");
    Ok(([(SET_COOKIE, cookie)], Json(describe(&identity))).into_response())
}

/// Counts a try; refuses it if there were too many.
fn attempt(state: &ServerState, peer: Peered, headers: &HeaderMap) -> Result<IpAddr, Status> {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(Peer(peer))| {
        peer.ip()
    });
    let address = limiter::client(peer, headers);
    let allowed = state.auth.limiter.attempt(address, tokio::time::Instant::now());
    allowed.map_err(|seconds| Status::come_back("too many logins failed: wait a moment", seconds))?;
    Ok(address)
}

/// Begins a session; answers its cookie.
async fn begin(
    state: &ServerState,
    holder: Holder,
    headers: &HeaderMap,
    now: Timestamp,
) -> (String, Identity) {
    let (secret, session) = state.auth.sessions.begin(holder, now);
    state.auth.began(now).await;
    let seconds = session.expires_at.duration_since(now).as_secs();
    let cookie = credentials::cookie(&secret, seconds, credentials::is_https(headers));
    let identity = Identity {
        user: session.holder.user.clone(),
        role: session.holder.role,
        source: Source::Session {
            key: Digest::of(secret.expose_secret()),
            session: Box::new(session),
        },
    };
    (cookie, identity)
}

async fn session(Extension(identity): Extension<Identity>) -> Json<SessionView> {
    Json(describe(&identity))
}

fn describe(identity: &Identity) -> SessionView {
    let (csrf, expires_at) = match &identity.source {
        Source::Anonymous => (None, None),
        Source::Token(holder) => (None, holder.expires_at),
        Source::Session { session, .. } => (Some(session.csrf.expose_secret()), Some(session.expires_at)),
    };
    SessionView {
        user: identity.user.to_string(),
        role: identity.role,
        csrf_token: csrf.map(str::to_owned),
        expires_at: expires_at.map(Time),
    }
}

async fn logout(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
) -> Response {
    if let Source::Session { key, .. } = &identity.source {
        state.auth.sessions.end(key);
        state.auth.end(Timestamp::now()).await;
    }
    let cookie = credentials::no_cookie(credentials::is_https(&headers));
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

/// Makes a link that begins one session as its maker.
async fn once(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
) -> Result<Response, Refusal> {
    let holder = identity.holder().cloned();
    let holder = holder.ok_or_else(|| Status::forbidden("a login link needs an owner: send your token"))?;
    let role = holder.role;
    let (code, expires_at) = state.auth.sessions.code(holder, Timestamp::now());
    let link = LinkMade {
        path: format!("/auth/once?code={}", code.expose_secret()),
        code: code.expose_secret().to_owned(),
        role,
        expires_at: Time(expires_at),
    };
    Ok((StatusCode::CREATED, Json(link)).into_response())
}

#[derive(Deserialize)]
struct Once {
    #[serde(default)]
    code: String,
}

/// The link: trades its code for a session and leaves for a URL without it.
async fn redeem(
    State(state): State<ServerState>,
    peer: Peered,
    method: Method,
    headers: HeaderMap,
    Query(once): Query<Once>,
) -> Result<Response, Refusal> {
    if method != Method::GET {
        // Previews look before people do.
        return Err(Status::method_not_allowed().into());
    }
    let now = Timestamp::now();
    let address = attempt(&state, peer, &headers)?;
    let holder = state.auth.sessions.redeem(&once.code, now);
    let holder = holder.filter(|holder| state.auth.holder(&holder.digest, now).is_some());
    let Some(holder) = holder else {
        tracing::warn!(%address, "a login with a link that is spent or unknown");
        let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        return Ok((StatusCode::UNAUTHORIZED, kind, SPENT).into_response());
    };
    state.auth.limiter.succeeded(address);
    let (cookie, identity) = begin(&state, holder, &headers, now).await;
    tracing::info!(user = &*identity.user, role = identity.role.as_str(), %address, "logged in by link");
    let headers = [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
