//! Lets inhibited alerts go: when what they were taken to follow from is over, or five minutes passed, and their sender has
//! not said that they are over, each opens an incident of its own. What a detector measures is let go by the detector.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::audit::Actor;
use aegis_api::facets::key;
use aegis_api::incident::JoinedAlert;
use aegis_api::{ContainerName, Incident, Kind as _, Time};
use aegis_planning::correlation::inhibition::inhibits;
use tokio_util::sync::CancellationToken;

use crate::compat::{Alert, take_at};
use crate::state::ServerState;

/// How often it is looked whether anything is to be let go. Looking is a search by a key that few incidents have.
const EVERY: Duration = Duration::from_secs(5);

/// Lets alerts go until `shutdown`.
pub async fn release(state: ServerState, shutdown: CancellationToken) {
    while shutdown
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        open_released(&state, aegis_clock::now()).await;
    }
}

/// Opens an incident for each alert that nothing inhibits any more.
pub(super) async fn open_released(state: &ServerState, now: Time) {
    for root in state.store.find::<Incident>(key::INHIBITS) {
        if inhibits(&root, now) {
            continue;
        }
        let held: Vec<&JoinedAlert> = root
            .spec
            .source
            .joined
            .iter()
            .filter(|alert| alert.is_held() && alert.detector.is_none())
            .collect();
        for joined in held {
            if let Some(container) = &joined.inhibited {
                one(state, &root, joined, container.clone(), now).await;
            }
        }
    }
}

async fn one(
    state: &ServerState,
    root: &Arc<Incident>,
    joined: &JoinedAlert,
    container: ContainerName,
    now: Time,
) {
    let store = state.store.acting(Actor::system("webhook"));
    let alert = Alert::released(root, joined, container);
    // A refusal is tried again with the next look.
    if let Err(refusal) = take_at(state, &store, &alert, Some(now)).await {
        tracing::warn!(
            incident = root.name(),
            ?refusal,
            "an alert that is inhibited no more waits"
        );
        return;
    }
    let id = joined.incident_id.clone();
    let noted = store.edit_spec::<Incident, _>(root.name(), move |current| {
        let mut spec = current.spec.clone();
        let mut joined = spec.source.joined.iter_mut();
        if let Some(alert) = joined.find(|alert| alert.incident_id == id) {
            alert.released_at = Some(now);
        }
        Ok(spec)
    });
    if let Err(error) = noted.await {
        tracing::warn!(incident = root.name(), %error, "it is not noted that an alert was let go");
    }
}
