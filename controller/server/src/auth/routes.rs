//! `/auth`: how a browser gets a session and ends it, and who one is.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::access::{LinkMade, SessionView};
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::record::{UNKNOWN, What};
use super::role::Need;
use super::secret::Digest;
use super::sessions::{Begun, Invited};
use super::{Identity, Source, acting, credentials, token_routes};
use crate::body;
use crate::refusal::Refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// The largest body here, bytes.
const LIMIT: usize = 4096;
/// How long one who comes in may take for what they send, and for a place to be free.
const ENTER: Duration = Duration::from_secs(5);
/// Who takes longer than this for what they send needs a place of the slow ones.
const AT_ONCE: Duration = Duration::from_millis(500);
const TOO_MANY: &str = "too many logins failed: wait a moment";
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
        .route("/auth/tokens/{name}/rotate", post(token_routes::rotate))
}

/// Routes that begin a session: the caller has none yet.
pub(crate) fn open_routes() -> Router<ServerState> {
    Router::new()
        .route("/auth/login", post(login))
        .route("/auth/once", get(follow))
        .route("/auth/once/redeem", post(redeem))
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
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let sender = Sender::new(peer, parts.headers);
    let now = state.auth.now();
    let body = sent(&state, body).await?;
    let entry = sender.enter(&state).await?;
    let address = entry.address;
    let login: Login = serde_json::from_slice(&body)
        .map_err(|_| Status::bad_request("the body is not {\"token\": \"…\"}"))?;
    let digest = Digest::of(login.token.expose_secret().trim());
    let Some(holder) = state.auth.holder(&digest, now) else {
        tracing::warn!(%address, "a login with an unknown token");
        sender.failed(&state, "its token is not known").await;
        return Err(entry.refused(Status::unauthorized()).into());
    };
    if !Need::Read.is_of(holder.role) {
        let message = format!(
            "a token of the role {} begins no session: log in with a viewer's, an operator's or an admin's",
            holder.role
        );
        sender.failed(&state, &message).await;
        return Err(Status::forbidden(message).into());
    }
    state.auth.limiter.succeeded(address);
    Ok(begin(&state, &sender, holder.into(), What::Login, now).await)
}

/// What somebody sends who comes in: before they take a place of the entrance, which all who share their address need.
async fn sent(state: &ServerState, body: Body) -> Result<Bytes, Status> {
    let mut reading = pin!(body::read(body, LIMIT, ENTER));
    if let Ok(read) = tokio::time::timeout(AT_ONCE, &mut reading).await {
        return read;
    }
    let place = state.slow_entrance.try_acquire();
    let _place =
        place.map_err(|_| Status::too_many("too many are logging in slowly: try again in a moment"))?;
    reading.await
}

/// A place of the entrance, while somebody is let in.
struct Entry {
    address: IpAddr,
    /// How long the next try has to wait, where too many failed.
    seconds: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Entry {
    /// What one is answered whose token is not valid.
    fn refused(&self, status: Status) -> Status {
        match self.seconds {
            Some(seconds) => Status::come_back(TOO_MANY, seconds),
            None => status,
        }
    }
}

/// Whom a request comes from, as far as a trusted proxy says.
pub(super) fn address(state: &ServerState, peer: Option<Peer>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
    state.config.trusted_proxies.client(peer, headers)
}

/// Who wants to come in.
struct Sender {
    peer: Option<Peer>,
    headers: HeaderMap,
}

impl Sender {
    fn new(peer: Peered, headers: HeaderMap) -> Self {
        Self {
            peer: peer.map(|Extension(peer)| peer),
            headers,
        }
    }

    /// Counts a try, and gives it a place of the entrance. Of an address that failed too often few at a time are looked at:
    /// somebody else may share it, and a valid token is taken.
    async fn enter(&self, state: &ServerState) -> Result<Entry, Status> {
        let address = address(state, self.peer, &self.headers);
        let refused = state.auth.limiter.attempt(address, Instant::now()).err();
        let place = match refused {
            None => tokio::time::timeout(ENTER, Arc::clone(&state.entrance).acquire_owned())
                .await
                .ok()
                .and_then(Result::ok),
            Some(_) => Arc::clone(&state.late_entrance).try_acquire_owned().ok(),
        };
        let place = place.ok_or_else(|| match refused {
            Some(seconds) => Status::come_back(TOO_MANY, seconds),
            None => Status::too_many("too many are logging in: try again in a moment"),
        })?;
        Ok(Entry {
            address,
            seconds: refused,
            _place: place,
        })
    }

    async fn failed(&self, state: &ServerState, why: &str) {
        let actor = acting::unknown(self.peer, &self.headers, &state.config.trusted_proxies);
        let why = Some(why.to_owned());
        let recorder = &state.auth.recorder;
        recorder
            .record(&state.store, What::LoginFailed, actor, UNKNOWN, why)
            .await;
    }

    async fn did(&self, state: &ServerState, identity: &Identity, what: What) {
        let actor = acting::actor(identity, self.peer, &self.headers, &state.config.trusted_proxies);
        let recorder = &state.auth.recorder;
        recorder
            .record(&state.store, what, actor, &identity.user, None)
            .await;
    }

    /// Whether the browser speaks TLS: with this server, or as a trusted proxy before it says.
    fn is_https(&self, state: &ServerState) -> bool {
        let config = &state.config;
        config.tls || config.trusted_proxies.said(self.peer, &self.headers).is_https()
    }
}

/// Begins a session; answers its cookie, and for the page, this once, its secret.
async fn begin(
    state: &ServerState,
    sender: &Sender,
    invited: Invited,
    what: What,
    now: Timestamp,
) -> Response {
    let Begun {
        cookie,
        secret,
        session,
    } = state.auth.sessions.begin(invited, now);
    state.auth.began(now).await;
    let seconds = session.expires_at.duration_since(now).as_secs();
    let set = credentials::cookie(&cookie, seconds, sender.is_https(state));
    let identity = Identity {
        caller: session.holder.user.clone(),
        user: session.holder.user.clone(),
        role: session.holder.role,
        source: Source::Session {
            key: Digest::of(cookie.expose_secret()),
            session: Box::new(session),
        },
    };
    sender.did(state, &identity, what).await;
    tracing::info!(
        user = &*identity.user,
        role = identity.role.as_str(),
        ?what,
        "logged in"
    );
    let view = SessionView {
        csrf_token: Some(secret.expose_secret().to_owned()),
        ..describe(&identity)
    };
    ([(SET_COOKIE, set)], Json(view)).into_response()
}

async fn session(Extension(identity): Extension<Identity>) -> Json<SessionView> {
    Json(describe(&identity))
}

/// Without the secret of the session: what the cookie alone is answered must not complete it.
fn describe(identity: &Identity) -> SessionView {
    let expires_at = match &identity.source {
        Source::Anonymous => None,
        Source::Token(holder) => holder.expires_at,
        Source::Session { session, .. } => Some(session.expires_at),
    };
    SessionView {
        user: identity.user.to_string(),
        role: identity.role,
        csrf_token: None,
        expires_at: expires_at.map(Time),
    }
}

async fn logout(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    peer: Peered,
    headers: HeaderMap,
) -> Response {
    let sender = Sender::new(peer, headers);
    if let Source::Session { key, .. } = &identity.source {
        state.auth.sessions.end(key);
        state.auth.end(state.auth.now()).await;
        sender.did(&state, &identity, What::Logout).await;
    }
    let cookie = credentials::no_cookie(sender.is_https(&state));
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

/// Makes a link that begins one session as its maker. Made from a session, what it begins ends with that one.
async fn once(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    peer: Peered,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let holder = identity.holder().cloned();
    let holder = holder.ok_or_else(|| Status::forbidden("a login link needs an owner: send your token"))?;
    let ends = match &identity.source {
        Source::Session { session, .. } => Some(session.expires_at),
        Source::Anonymous | Source::Token(_) => None,
    };
    let role = holder.role;
    let (code, expires_at) = state
        .auth
        .sessions
        .code(Invited { holder, ends }, state.auth.now());
    Sender::new(peer, headers)
        .did(&state, &identity, What::LinkMade)
        .await;
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

/// The link: leads to the page, which trades the code for a session once it knows that none is replaced without being
/// asked. Nothing is spent by looking, as previews do. What follows `#` reaches no server and no log.
async fn follow(
    State(state): State<ServerState>,
    peer: Peered,
    method: Method,
    headers: HeaderMap,
    Query(once): Query<Once>,
) -> Result<Response, Refusal> {
    if method != Method::GET {
        return Err(Status::method_not_allowed().into());
    }
    let (sender, now) = (Sender::new(peer, headers), state.auth.now());
    let entry = sender.enter(&state).await?;
    let address = entry.address;
    if !state.auth.sessions.knows(&once.code, now) {
        tracing::warn!(%address, "a link that is spent or unknown");
        sender.failed(&state, "its link is spent or not known").await;
        if let Some(seconds) = entry.seconds {
            return Err(Status::come_back(TOO_MANY, seconds).into());
        }
        let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        return Ok((StatusCode::UNAUTHORIZED, kind, SPENT).into_response());
    }
    state.auth.limiter.succeeded(address);
    let to = [(LOCATION, format!("/login#once={}", once.code))];
    Ok((StatusCode::SEE_OTHER, to).into_response())
}

/// Trades a link's code for a session.
async fn redeem(
    State(state): State<ServerState>,
    peer: Peered,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (sender, now) = (Sender::new(peer, parts.headers), state.auth.now());
    let body = sent(&state, body).await?;
    let entry = sender.enter(&state).await?;
    let address = entry.address;
    let once: Once = serde_json::from_slice(&body)
        .map_err(|_| Status::bad_request("the body is not {\"code\": \"…\"}"))?;
    let invited = state.auth.sessions.redeem(&once.code, now);
    let invited = invited.filter(|invited| state.auth.holder(&invited.holder.digest, now).is_some());
    let Some(invited) = invited else {
        tracing::warn!(%address, "a login with a link that is spent or unknown");
        sender.failed(&state, "its link is spent or not known").await;
        return Err(entry.refused(Status::spent_link()).into());
    };
    state.auth.limiter.succeeded(address);
    Ok(begin(&state, &sender, invited, What::LinkRedeemed, now).await)
}
