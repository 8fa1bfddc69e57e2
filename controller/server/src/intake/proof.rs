//! Who may post to which source: an AlertSource that names a proof is for who gives it, all others for who holds a token, as
//! everywhere else. Two layers: the outer one knows which of both it is before a body is read, the inner one reads it
//! within the bounds on requests.

use std::sync::Arc;

use aegis_api::alert_source::{AlertFormat, Authenticity};
use aegis_api::workload::ValueSource;
use aegis_api::{AlertSource, Kind as _};
use aegis_runtime::{EventType, ObjectRef};
use axum::body::Body;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::time::Instant;

use super::authenticity::{Claim, Unproved, check};
use super::bytes;
use crate::auth::{Identity, Role, Source, authorize};
use crate::body::AlertBody;
use crate::refusal::Refusal;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// The reason of events about requests that prove nothing.
const UNPROVED: &str = "UnprovedSender";

/// The source that a request has to prove it may post to.
#[derive(Clone)]
struct Demands(Arc<AlertSource>);

/// Lets a request pass to where it proves who it is, or has its token checked.
pub(crate) async fn admit(State(state): State<ServerState>, mut request: Request, next: Next) -> Response {
    let name = request.uri().path().strip_prefix("/webhook/").unwrap_or_default();
    let source = state.store.get::<AlertSource>(name);
    let source = source.filter(|source| source.spec.authenticity.is_some() && !source.is_deleting());
    let Some(source) = source else {
        return authorize(State(state), request, next).await;
    };
    request.extensions_mut().insert(Demands(source));
    next.run(request).await
}

/// Checks the proof that a source demands, and names its sender.
pub(crate) async fn prove(State(state): State<ServerState>, mut request: Request, next: Next) -> Response {
    let Some(Demands(source)) = request.extensions_mut().remove::<Demands>() else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<Peer>();
    let proxies = &state.config.trusted_proxies;
    let address = peer.map(|Peer(peer)| proxies.client(peer.ip(), request.headers()).to_string());
    let address = address.unwrap_or_default();
    if state.intake.failures.is_spent(&address, Instant::now()) {
        let why = "too many requests from this address proved nothing: try again in a moment";
        return Refusal::from(Status::too_many(why)).into_response();
    }
    let (parts, body) = request.into_parts();
    let mut unread = Request::new(body);
    unread.extensions_mut().extend(parts.extensions.clone());
    // Held until the answer: the body is read once more below, of the same bytes.
    let AlertBody { bytes, share: _share } = match AlertBody::from_request(unread, &state).await {
        Ok(body) => body,
        Err(status) => return Refusal::from(status).into_response(),
    };
    let proved = proved(&state, &source, &parts.headers, &bytes);
    if let Err(why) = proved {
        let _ = state.intake.failures.take(&address, Instant::now());
        return unproved(&state, &source, &why);
    }
    let mut request = Request::from_parts(parts, Body::from(bytes));
    let user: std::sync::Arc<str> = format!("alertsource:{}", source.name()).into();
    request.extensions_mut().insert(Identity {
        caller: std::sync::Arc::clone(&user),
        user,
        role: Role::Webhook,
        source: Source::Anonymous,
    });
    next.run(request).await
}

fn proved(
    state: &ServerState,
    source: &AlertSource,
    headers: &axum::http::HeaderMap,
    body: &[u8],
) -> Result<(), String> {
    let Some(demanded) = &source.spec.authenticity else {
        return Err(Unproved::Missing.as_str().to_owned());
    };
    let named = reference(demanded).ok_or("the source names no secret")?;
    let secret = (state.secrets)(named).map_err(|why| format!("its secret cannot be read: {why}"))?;
    let key = routing_key(source, body);
    let claim = Claim {
        headers,
        body,
        routing_key: key.as_deref(),
    };
    check(demanded, &secret, claim, aegis_clock::now()).map_err(|why| why.as_str().to_owned())
}

fn reference(demanded: &Authenticity) -> Option<&ValueSource> {
    let basic = demanded.basic.as_ref().map(|basic| &basic.password);
    let hmac = demanded.hmac.as_ref().map(|hmac| &hmac.secret);
    demanded.bearer.as_ref().or(basic).or(hmac)
}

/// What senders of PagerDuty's show; they can set no header.
fn routing_key(source: &AlertSource, body: &[u8]) -> Option<String> {
    if source.spec.format != AlertFormat::PagerDuty {
        return None;
    }
    let read = |text: &str| serde_json::from_str::<Shown>(text).ok()?.routing_key;
    let text = bytes::text(body);
    read(&text).or_else(|| read(&bytes::mended(&text)))
}

/// The one field of a body that is looked at before its sender is believed.
#[derive(Deserialize)]
struct Shown {
    routing_key: Option<String>,
}

fn unproved(state: &ServerState, source: &AlertSource, why: &str) -> Response {
    state.intake_metrics.unproved();
    tracing::warn!(source = source.name(), why, "a sender of alerts was refused");
    let message = format!("an alert at /webhook/{} was refused: {why}", source.name());
    let about = ObjectRef::of(source);
    state.events.record(&about, EventType::Warning, UNPROVED, message);
    let detail =
        "Unauthorized: this source asks its sender for a proof, as its spec.authenticity says".to_owned();
    Refusal::Plain(StatusCode::UNAUTHORIZED, detail).into_response()
}
