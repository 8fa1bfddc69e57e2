//! `/ws`: the feed over a WebSocket. Who may connect and how many is decided here; what they get, in `session`.

mod message;
mod session;
mod snapshot;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::auth::{BEARER_PROTOCOL, Identity};
use crate::places::Full;
use crate::refusal::Refusal;
use crate::request::Asked;
use crate::state::{MAX_CLIENTS, ServerState};

/// The sub-protocol we speak. Clients that send a token as a second one name this first.
const PROTOCOL: &str = "aegis.v1";
/// The largest message a client may send, bytes: `ping` is all there is to say.
const LARGEST: usize = 4096;
/// How much may wait in a client's own buffer, bytes: more than the largest message, a snapshot, can have.
const BUFFER: usize = 32 << 20;

/// What a client wishes.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wishes {
    /// Replay frames after this one.
    #[serde(default)]
    since: Option<u64>,
    /// The stream that `since` counts in; empty to learn its name. Of another stream's frames, those of an earlier
    /// process, none is replayed: everything of this one is.
    #[serde(default)]
    stream: Option<String>,
    /// `0`: leave the growing text out of `ai.stream`.
    #[serde(default)]
    full_text: Option<String>,
}

pub(crate) async fn handler(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    Asked(wishes): Asked<Wishes>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let mut upgrade = upgrade.map_err(|rejection| {
        Refusal::Plain(
            StatusCode::UPGRADE_REQUIRED,
            format!("this is a WebSocket: {}", rejection.body_text()),
        )
    })?;
    let room = state.clients.take(&identity.caller).map_err(|full| {
        let detail = match full {
            Full::All => format!("there are {MAX_CLIENTS} WebSocket clients already: try again later"),
            Full::Yours => "you have too many WebSockets open: close some".to_owned(),
        };
        Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    if let Some(protocol) = selected(&upgrade) {
        upgrade.set_selected_protocol(protocol);
    }
    let upgrade = upgrade
        .max_message_size(LARGEST)
        .max_frame_size(LARGEST)
        .max_write_buffer_size(BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        session::run(socket, &state, &identity, &wishes).await;
        drop(room);
    }))
}

/// Browsers fail a connection whose server picks none of the sub-protocols they offer.
fn selected(upgrade: &WebSocketUpgrade) -> Option<HeaderValue> {
    let offered: Vec<String> = upgrade
        .requested_protocols()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|protocol| protocol.trim().to_owned()))
        .collect();
    let ours = offered.iter().find(|protocol| *protocol == PROTOCOL);
    let chosen = ours.or_else(|| {
        offered
            .iter()
            .find(|protocol| protocol.starts_with(BEARER_PROTOCOL))
    })?;
    HeaderValue::from_str(chosen).ok()
}

#[cfg(test)]
mod tests;
