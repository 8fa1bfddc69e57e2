//! Who may do what: tokens, browser sessions, four roles, one middleware. Who holds which token is [`Tokens`]'; what a
//! role may do, [`permissions`]'. Secrets are kept as SHA-256 and compared in constant time.

use std::net::IpAddr;
use std::sync::Arc;

use aegis_api::access::TokenRow;
use aegis_api::audit::Actor;
use aegis_runtime::Store;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::config::ServerConfig;
use crate::refusal::refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

mod acting;
mod admin;
mod anonymous;
mod attributes;
mod credentials;
pub(crate) mod limiter;
mod permissions;
pub(crate) mod private_file;
mod record;
mod role;
pub(crate) mod routes;
mod secret;
mod sessions;
#[cfg(test)]
mod tests;
mod token_routes;
mod tokens;
mod webhook;

pub(crate) use acting::Acting;
use admin::AdminToken;
use attributes::Attributes;
pub(crate) use credentials::{BEARER_PROTOCOL, shows_token};
use limiter::Limiter;
pub(crate) use limiter::network;
pub(crate) use permissions::need;
pub use record::Refusals;
use record::{Recorder, What};
pub(crate) use role::Need;
pub use role::Role;
use secret::Digest;
use sessions::Sessions;
use sessions::file::SessionFile;
pub use tokens::{TokenError, Tokens};
use webhook::WebhookToken;

/// The name of the token of the first start.
const ADMIN: &str = "admin";
/// The same of the token that posts alerts.
const WEBHOOK: &str = "webhook";
/// The user of requests without a token, where that is allowed.
const ANONYMOUS: &str = "system:anonymous";
/// How the headers begin by which clients of Kubernetes ask to be taken for somebody else.
const IMPERSONATE: &str = "impersonate-";
/// What a page sends with every request: its session's secret.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) user: Arc<str>,
    pub(crate) role: Role,
    /// Of the token.
    digest: Digest,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) user: Arc<str>,
    pub(crate) role: Role,
    pub(crate) source: Source,
    /// Whom what is open at once is counted for: the user, or without a token the address.
    pub(crate) caller: Arc<str>,
}

/// How they showed it.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Anonymous,
    Token(Holder),
    Session {
        key: Digest,
        session: Box<sessions::Session>,
    },
}

impl Identity {
    /// Whether this verb on this path, or on objects of this group and kind, is allowed.
    pub(crate) fn may(&self, verb: &str, path: &str, kind: Option<(&str, &str)>) -> bool {
        need(verb, path, kind).is_of(self.role)
    }

    fn anonymous(role: Role) -> Self {
        Self {
            user: ANONYMOUS.into(),
            role,
            source: Source::Anonymous,
            caller: ANONYMOUS.into(),
        }
    }

    fn token(holder: Holder) -> Self {
        Self {
            user: Arc::clone(&holder.user),
            role: holder.role,
            caller: Arc::clone(&holder.user),
            source: Source::Token(holder),
        }
    }

    /// When what it showed ends in any case.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        match &self.source {
            Source::Anonymous => None,
            Source::Token(holder) => holder.expires_at,
            Source::Session { session, .. } => Some(session.expires_at),
        }
    }

    /// The holder of the token behind it; `None` if none was sent.
    fn holder(&self) -> Option<&Holder> {
        match &self.source {
            Source::Anonymous => None,
            Source::Token(holder) => Some(holder),
            Source::Session { session, .. } => Some(&session.holder),
        }
    }
}

/// The tokens that are accepted, and the sessions they began.
pub(crate) struct Auth {
    admin: AdminToken,
    webhook: WebhookToken,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    session_file: SessionFile,
    limiter: Limiter,
    recorder: Recorder,
    anonymous: Option<Role>,
    /// Counts what ended before its time: revoked tokens, closed sessions.
    ended: watch::Sender<u64>,
    steps: aegis_clock::Steps,
}

/// The holder of a token of the command line or of the first start: it never expires.
fn builtin_holder(user: &str, role: Role, token: &secrecy::SecretString) -> Holder {
    Holder {
        user: user.into(),
        role,
        digest: Digest::of(token.expose_secret()),
        expires_at: None,
    }
}

impl Auth {
    pub(crate) fn new(config: &ServerConfig, tokens: Tokens) -> Self {
        let sessions = Sessions::default();
        let now = aegis_clock::timestamp();
        let session_file = SessionFile::open(tokens.folder(), &sessions, now);
        Self {
            admin: AdminToken::open(tokens.folder(), &config.admin_token),
            webhook: WebhookToken::open(tokens.folder(), config.webhook_token.as_ref(), now),
            tokens,
            sessions,
            session_file,
            limiter: Limiter::default(),
            recorder: Recorder::default(),
            anonymous: config.anonymous_role,
            ended: watch::Sender::new(0),
            steps: aegis_clock::Steps::since(now, std::time::Instant::now()),
        }
    }

    /// What the clock shows. Where it was set since the last look, sessions, links and the former webhook token are moved
    /// with it first: they last by the time that passes.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(aegis_clock::timestamp(), std::time::Instant::now())
    }

    fn at(&self, now: Timestamp, passed: std::time::Instant) -> Timestamp {
        if let Some(step) = self.steps.look(now, passed) {
            tracing::warn!(seconds = step.as_secs(), "the clock was set");
            self.sessions.move_by(step);
            self.webhook.move_by(step);
        }
        now
    }

    /// Whose token this is. Every one is compared, whichever matches.
    fn holder(&self, digest: &Digest, now: Timestamp) -> Option<Holder> {
        let named = self.tokens.find(digest, now).map(|known| Holder {
            user: known.name,
            role: known.role,
            digest: known.digest,
            expires_at: known.expires_at,
        });
        let mut found = named;
        if let Some(holder) = self.admin.holder(now).filter(|holder| holder.digest.is(digest)) {
            found = Some(holder);
        }
        self.webhook.find(digest, now).or(found)
    }

    /// Gives a token another secret, and ends what the former one began.
    async fn rotate(
        &self,
        name: &str,
        expires_at: Option<Timestamp>,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        let made = match name {
            ADMIN => self.admin.rotate(expires_at, by, now).await?,
            name => self.tokens.rotate(name, expires_at, now).await?,
        };
        self.sessions.revoke(name);
        self.end(now).await;
        Ok(made)
    }

    /// Gives the webhook token another secret; the former one stays good for so long.
    async fn rotate_webhook(
        &self,
        grace: SignedDuration,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        let made = self.webhook.rotate(grace, by, now).await?;
        self.end(now).await;
        Ok(made)
    }

    /// Takes the token of the first start out of force, and ends what it began.
    async fn revoke_admin(&self, now: Timestamp) -> Result<(), TokenError> {
        self.admin.revoke().await?;
        self.sessions.revoke(ADMIN);
        self.end(now).await;
        Ok(())
    }

    /// Whether who sent these headers shows that they may read.
    pub(crate) fn may_read(&self, headers: &HeaderMap) -> bool {
        let identity = self.identify(headers, self.now());
        identity.is_ok_and(|identity| {
            Need::Read.is_of(identity.role) && !matches!(identity.source, Source::Anonymous)
        })
    }

    /// Counts a token that is not valid; refuses its sender in other words after too many.
    fn guessed(&self, address: Option<IpAddr>, headers: &HeaderMap, status: Status) -> Status {
        let Some(address) = address.filter(|_| shows_token(headers)) else {
            return status;
        };
        match self.limiter.attempt(address, tokio::time::Instant::now()) {
            Ok(()) => status,
            Err(seconds) => Status::come_back("too many tokens that are not valid: wait a moment", seconds),
        }
    }

    /// Who sent these headers. A token that is wrong is refused also where none is needed.
    fn identify(&self, headers: &HeaderMap, now: Timestamp) -> Result<Identity, Status> {
        if let Some(token) = credentials::token(headers) {
            // Nothing, or what is no token at all, is compared with none.
            if token.trim().is_empty() {
                return Err(Status::unauthorized());
            }
            let holder = self.holder(&Digest::of(&token), now);
            return holder.map(Identity::token).ok_or_else(Status::unauthorized);
        }
        // The cookie alone, which every port of this host is sent, is none.
        let secret = credentials::session_secret(headers);
        let mut cookies = credentials::cookies(headers);
        let session = secret.and_then(|secret| {
            cookies.find_map(|cookie| self.proved_session(Digest::of(&cookie), secret, now))
        });
        session
            .or_else(|| self.anonymous.map(Identity::anonymous))
            .ok_or_else(|| match (credentials::cookies(headers).next(), secret) {
                (Some(_), None) => Status::unproved_session(),
                _ => Status::unauthorized(),
            })
    }

    /// The session of a cookie, if the request shows its secret, too.
    fn proved_session(&self, key: Digest, secret: &str, now: Timestamp) -> Option<Identity> {
        let known = self.sessions.is_proved(&key, secret);
        known.then(|| self.session(key, now)).flatten()
    }

    /// The session of a cookie, while its token is good.
    fn session(&self, key: Digest, now: Timestamp) -> Option<Identity> {
        let session = self.sessions.touch(&key, now)?;
        let holder = self.holder(&session.holder.digest, now);
        if holder.is_none_or(|holder| holder.user != session.holder.user) {
            self.sessions.end(&key);
            return None;
        }
        Some(Identity {
            caller: Arc::clone(&session.holder.user),
            user: Arc::clone(&session.holder.user),
            role: session.holder.role,
            source: Source::Session {
                key,
                session: Box::new(session),
            },
        })
    }

    /// Whether an authenticated client may stay; the call counts as a use of its session.
    pub(crate) fn still(&self, identity: &Identity) -> bool {
        let now = self.now();
        match &identity.source {
            Source::Anonymous => true,
            Source::Token(holder) => self.holder(&holder.digest, now).is_some(),
            Source::Session { key, .. } => self.session(*key, now).is_some(),
        }
    }

    /// Changes whenever [`Self::still`] may have become false before its time.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Writes which sessions there are, after one began.
    async fn began(&self, now: Timestamp) {
        self.session_file.save(&self.sessions, now).await;
    }

    /// Makes open connections check their authorization again, and writes which sessions are left.
    async fn end(&self, now: Timestamp) {
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
        self.session_file.save(&self.sessions, now).await;
    }

    /// Records a change that is refused to its sender.
    async fn refused(&self, store: &Store, actor: Actor, method: &Method, path: &str, code: StatusCode) {
        if matches!(code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let note = Some(format!("{}", code.as_u16()));
            let about = format!("{method} {path}");
            self.recorder
                .record(store, What::Refused, actor, &about, note)
                .await;
        }
    }

    /// Records a request that claims to be Slack's and is not.
    pub(crate) async fn forged(
        &self,
        state: &ServerState,
        peer: Option<Peer>,
        headers: &HeaderMap,
        path: &str,
    ) {
        let actor = acting::unknown(peer, headers, &state.config.trusted_proxies);
        let note = Some("its signature is none of Slack's".to_owned());
        let recording = self
            .recorder
            .record(&state.store, What::Forged, actor, path, note);
        recording.await;
    }

    /// Notes that a token or a session was used; writes it now and then.
    pub(crate) async fn used(&self, identity: &Identity, now: Timestamp) {
        if matches!(identity.source, Source::Session { .. }) && self.sessions.are_due(now) {
            self.session_file.save(&self.sessions, now).await;
        }
        let Some(holder) = identity.holder() else { return };
        if self.tokens.used(&holder.digest, now)
            && let Err(error) = self.tokens.write_uses().await
        {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(source, "when tokens were last used is not written: {error}");
        }
    }
}

/// Lets a request pass if its sender may make it; leaves the [`Identity`] in its extensions. A change that is refused, here
/// or further on where the kind or the page's origin is known, is recorded.
pub(crate) async fn authorize(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let peer = request.extensions().get().copied();
    let proxies = &state.config.trusted_proxies;
    let changes = !permissions::is_safe(&method);
    let mut actor = changes.then(|| acting::unknown(peer, request.headers(), proxies));
    let response = admitted(&state, request, next, &mut actor).await;
    if let Some(actor) = actor {
        let code = response.status();
        state
            .auth
            .refused(&state.store, actor, &method, &path, code)
            .await;
    }
    response
}

/// The answer to a request; `actor` is given its sender's name, where that is known.
async fn admitted(
    state: &ServerState,
    mut request: Request,
    next: Next,
    actor: &mut Option<Actor>,
) -> Response {
    let (path, now) = (request.uri().path().to_owned(), state.auth.now());
    let headers = request.headers();
    if headers.keys().any(|name| name.as_str().starts_with(IMPERSONATE)) {
        return refusal(&path, Status::no_impersonation());
    }
    let peer = request.extensions().get().copied();
    let address = routes::address(state, peer, headers);
    let identity = match state.auth.identify(headers, now) {
        Ok(identity) => anonymous::narrowed(state, identity, peer.map(|_| address)),
        Err(status) => Err(state.auth.guessed(peer.map(|_| address), headers, status)),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(status) => return refusal(&path, status),
    };
    state.auth.used(&identity, now).await;
    if let Some(actor) = actor {
        acting::name(actor, &identity);
    }
    let method = request.method().clone();
    let attributes = Attributes::of(&method, &path, request.uri().query());
    let need = attributes.need();
    if !need.is_of(identity.role) {
        return refusal(&path, attributes.forbidden(&identity.user, identity.role, need));
    }
    let (user, role) = (Arc::clone(&identity.user), identity.role.as_str());
    request.extensions_mut().insert(identity);
    let response = next.run(request).await;
    if actor.is_some() && need != Need::Known {
        let code = response.status().as_u16();
        tracing::info!(user = &*user, role, %method, path, code, "asked to change");
    }
    response
}
