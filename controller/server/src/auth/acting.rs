//! The store on behalf of the sender of a request, so that the audit log names them.

use std::convert::Infallible;

use aegis_api::audit::Actor;
use aegis_runtime::Store;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use super::record::UNKNOWN;
use super::{ANONYMOUS, Identity};
use crate::proxies::TrustedProxies;
use crate::serve::Peer;
use crate::state::ServerState;

/// What kubectl calls the command that sends a request.
const COMMAND: &str = "kubectl-command";

/// The store, acting for the sender.
pub(crate) struct Acting(pub(crate) Store);

impl FromRequestParts<ServerState> for Acting {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, Infallible> {
        let identity = parts.extensions.get::<Identity>();
        let actor = identity.map_or_else(
            || Actor::system("unknown"),
            |identity| {
                let peer = parts.extensions.get::<Peer>().copied();
                actor(identity, peer, &parts.headers, &state.config.trusted_proxies)
            },
        );
        Ok(Self(state.store.acting(actor)))
    }
}

/// Who this is to the audit log.
pub(super) fn actor(
    identity: &Identity,
    peer: Option<Peer>,
    headers: &HeaderMap,
    proxies: &TrustedProxies,
) -> Actor {
    let mut actor = unknown(peer, headers, proxies);
    name(&mut actor, identity);
    actor
}

/// Gives a sender its name.
pub(super) fn name(actor: &mut Actor, identity: &Identity) {
    actor.user = identity.user.to_string();
    actor.role = Some(identity.role.as_str().to_owned());
}

/// Who sent a request that shows no token.
pub(super) fn unknown(peer: Option<Peer>, headers: &HeaderMap, proxies: &TrustedProxies) -> Actor {
    let program = [COMMAND, USER_AGENT.as_str()]
        .into_iter()
        .find_map(|name| headers.get(name)?.to_str().ok());
    Actor {
        from: peer.map(|Peer(peer)| proxies.client(peer.ip(), headers).to_string()),
        with: program.map(str::to_owned),
        ..Actor::system(UNKNOWN)
    }
}

/// Whether anyone at all could have sent it.
pub(super) fn is_stranger(actor: &Actor) -> bool {
    actor.user == ANONYMOUS || actor.user == Actor::system(UNKNOWN).user
}
