//! `/auth/tokens`: making, listing, rotating and revoking tokens.

use aegis_api::Time;
use aegis_api::access::{TokenList, TokenMade, TokenRow, TokenWanted};
use aegis_api::audit::{Actor, Entry};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::acting::actor;
use super::tokens::TokenError;
use super::webhook::WebhookToken;
use super::{ADMIN, Identity, WEBHOOK};
use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// The largest body here, bytes.
const LIMIT: usize = 4096;

pub(super) async fn list(State(state): State<ServerState>) -> Json<TokenList> {
    let now = state.auth.now();
    Json(TokenList {
        tokens: state.auth.tokens.list(now),
        former_webhook_token: state.auth.webhook.former(now),
    })
}

pub(super) async fn create(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Response, Refusal> {
    let wanted: TokenWanted = serde_json::from_slice(&body?.0)
        .map_err(|error| Status::bad_request(format!("the body is no token that can be made: {error}")))?;
    let now = state.auth.now();
    let expires_at = end(wanted.expires_at, wanted.ttl_seconds, now);
    let made = state
        .auth
        .tokens
        .create(&wanted.name, wanted.role, expires_at, &identity.user, now)
        .await;
    let (row, secret) = made.map_err(|error| refused(&error))?;
    let peer = peer.map(|Extension(peer)| peer);
    let actor = actor(&identity, peer, &headers, &state.config.trusted_proxies);
    if let Err(status) = record(&state, actor, "create", &row).await {
        // No client has seen it: a token without an audit record is withdrawn.
        state
            .auth
            .tokens
            .revoke(&row.name, now)
            .await
            .map_err(|error| refused(&error))?;
        return Err(status.into());
    }
    tracing::info!(
        user = &*identity.user,
        token = row.name,
        role = row.role.as_str(),
        "made a token"
    );
    Ok(made_answer(row, &secret, None))
}

fn made_answer(row: TokenRow, secret: &SecretString, former_good_until: Option<Time>) -> Response {
    let made = TokenMade {
        row,
        token: secret.expose_secret().to_owned(),
        former_good_until,
    };
    (StatusCode::CREATED, Json(made)).into_response()
}

pub(super) async fn revoke(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let now = state.auth.now();
    if name == ADMIN {
        let peer = peer.map(|Extension(peer)| peer);
        let actor = actor(&identity, peer, &headers, &state.config.trusted_proxies);
        return revoke_admin(&state, actor, now).await;
    }
    if let Some(row) = state.auth.tokens.list(now).iter().find(|row| row.name == name) {
        let peer = peer.map(|Extension(peer)| peer);
        let actor = actor(&identity, peer, &headers, &state.config.trusted_proxies);
        record(&state, actor, "delete", row).await?;
    }
    let revoked = state.auth.tokens.revoke(&name, now).await;
    let row = revoked.map_err(|error| refused(&error))?;
    state.auth.sessions.revoke(&row.name);
    state.auth.end(now).await;
    tracing::info!(user = &*identity.user, token = row.name, "revoked a token");
    Ok(Json(row).into_response())
}

/// Revokes the token of the first start, if another admin has one.
async fn revoke_admin(state: &ServerState, actor: Actor, now: Timestamp) -> Result<Response, Refusal> {
    if !state.auth.tokens.has_admin(now) {
        let message = "the admin token is the only one of an admin: make another one first \
                       (aegisctl token create NAME --role admin), or rotate it";
        return Err(Status::new(StatusCode::CONFLICT, "Conflict", message).into());
    }
    let about = json!({"role": "admin"});
    record_change(state, actor, "delete", ADMIN, about).await?;
    state
        .auth
        .revoke_admin(now)
        .await
        .map_err(|error| refused(&error))?;
    tracing::info!("revoked the admin token");
    Ok(Json(json!({"name": ADMIN, "role": "admin", "revoked": true})).into_response())
}

/// Until when a token is to be good.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    expires_at: Option<Time>,
    #[serde(default)]
    ttl_seconds: Option<u32>,
    /// How long the former webhook token stays good.
    #[serde(default)]
    grace_seconds: Option<u32>,
}

/// Gives a token another secret, which is in this answer alone; what the former one began ends.
pub(super) async fn rotate(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Response, Refusal> {
    let body = body?.0;
    let wanted: Wanted = match body.is_empty() {
        true => Wanted::default(),
        false => serde_json::from_slice(&body).map_err(|error| {
            Status::bad_request(format!("the body is not {{\"ttlSeconds\": …}}: {error}"))
        })?,
    };
    let now = state.auth.now();
    let peer = peer.map(|Extension(peer)| peer);
    let actor = actor(&identity, peer, &headers, &state.config.trusted_proxies);
    if name == WEBHOOK {
        return rotate_webhook(&state, &identity, actor, &wanted, now).await;
    }
    if wanted.grace_seconds.is_some() {
        let message = "graceSeconds: is for the webhook token; what others began ends at once";
        return Err(refused(&TokenError::Invalid(message.to_owned())));
    }
    let expires_at = end(wanted.expires_at, wanted.ttl_seconds, now);
    let known = name == ADMIN || state.auth.tokens.list(now).iter().any(|row| row.name == name);
    if !known {
        return Err(refused(&TokenError::Unknown(name)));
    }
    let about = json!({"rotated": true, "expiresAt": expires_at.map(Time)});
    record_change(&state, actor, "update", &name, about).await?;
    let made = state.auth.rotate(&name, expires_at, &identity.user, now).await;
    let (row, secret) = made.map_err(|error| refused(&error))?;
    tracing::info!(user = &*identity.user, token = row.name, "rotated a token");
    Ok(made_answer(row, &secret, None))
}

/// The same of the webhook token, whose senders are given the new one while the former one is still good.
async fn rotate_webhook(
    state: &ServerState,
    identity: &Identity,
    actor: Actor,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Response, Refusal> {
    if wanted.expires_at.is_some() || wanted.ttl_seconds.is_some() {
        let message = "the webhook token has no end: graceSeconds says how long the former one stays good";
        return Err(refused(&TokenError::Invalid(message.to_owned())));
    }
    let grace = WebhookToken::grace(wanted.grace_seconds).map_err(|error| refused(&error))?;
    if !state.auth.webhook.is_there() {
        return Err(refused(&TokenError::Unknown(WEBHOOK.to_owned())));
    }
    let until = Time(now.saturating_add(grace).unwrap_or(now));
    let about = json!({"rotated": true, "formerGoodUntil": until});
    record_change(state, actor.clone(), "update", WEBHOOK, about).await?;
    let made = state.auth.rotate_webhook(grace, &identity.user, now).await;
    let (row, secret) = match made {
        Ok(made) => made,
        Err(error) => {
            let about = json!({"rotated": false, "failed": error.to_string()});
            if let Err(status) = record_change(state, actor, "update", WEBHOOK, about).await {
                tracing::error!("that the webhook token was not rotated is not recorded: {status:?}");
            }
            return Err(refused(&error));
        }
    };
    tracing::info!(user = &*identity.user, token = row.name, %until, "rotated a token");
    Ok(made_answer(row, &secret, Some(until)))
}

/// When a token ends, of what was wished for.
fn end(at: Option<Time>, seconds: Option<u32>, now: Timestamp) -> Option<Timestamp> {
    let lifetime = seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
    at.map(|time| time.0)
        .or_else(|| lifetime.and_then(|life| now.checked_add(life).ok()))
}

/// Writes a token to the audit log, without its secret.
async fn record(state: &ServerState, actor: Actor, verb: &'static str, row: &TokenRow) -> Result<(), Status> {
    let about = json!({"role": row.role, "expiresAt": row.expires_at});
    record_change(state, actor, verb, &row.name, about).await
}

async fn record_change(
    state: &ServerState,
    actor: Actor,
    verb: &'static str,
    name: &str,
    about: Value,
) -> Result<(), Status> {
    let mut entry = Entry::about(actor, verb, "Token", name);
    if verb == "delete" {
        entry.before = Some(about);
    } else {
        entry.after = Some(about);
    }
    let written = state.store.audit().append(vec![entry]).await;
    written.map_err(|error| {
        Status::internal(format!(
            "the audit log cannot take the change, so it is not made: {error}"
        ))
    })
}

fn refused(error: &TokenError) -> Refusal {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    let message = format!("{error}{}", source.unwrap_or_default());
    let status = match error {
        TokenError::Invalid(_) => Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message),
        TokenError::Taken(_) => Status::new(StatusCode::CONFLICT, "AlreadyExists", message),
        TokenError::Unknown(_) => Status::new(StatusCode::NOT_FOUND, "NotFound", message),
        TokenError::Disk { .. } | TokenError::Damaged { .. } => {
            tracing::error!("{message}");
            Status::internal(message)
        }
    };
    status.into()
}
