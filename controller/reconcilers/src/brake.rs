//! Automation pauses itself: durably, with a word to people. Does I/O, decides nothing.

use aegis_api::audit::Actor;
use aegis_api::automation::Pause;
use aegis_planning::hold::BLAST_RADIUS_PART;
use aegis_runtime::events::{EventType, ObjectRef};

use crate::context::Context;
use crate::own_incident::{self, OwnIncident};

/// Puts the brake on for the whole host, unless it is on already; it is taken off by people only. Answers whether it was
/// put on now.
pub(crate) async fn pause_all(context: &Context, about: &ObjectRef, reason: &str) -> bool {
    let automation = context.store.automation();
    if automation.paused().is_some() {
        return false;
    }
    let actor = Actor::system(BLAST_RADIUS_PART);
    let pause = Pause {
        by: actor.user.clone(),
        reason: reason
            .chars()
            .take(aegis_api::automation::LONGEST_REASON)
            .collect(),
        at: Some(context.clock.now()),
        until: None,
    };
    let text = format!("all automation is paused: {reason}; `aegisctl resume` resumes it");
    context
        .events
        .record(about, EventType::Warning, "AutomationPaused", text);
    if let Err(error) = automation.pause(actor, pause).await {
        // It holds all the same until this process ends.
        tracing::error!(%error, "the pause of all automation cannot be stored");
    }
    true
}

/// Requests approval where no incident does: the pause came from restarts by `spec.restart`.
pub(crate) async fn open_incident(context: &Context, workload: &str, reason: &str) {
    let id = format!("blast-radius {workload} {}", context.clock.now());
    let own = OwnIncident {
        name: &aegis_api::naming::own_incident("blast-radius", &id),
        workload,
        container: None,
        alert_type: "BLAST_RADIUS",
        fingerprint: "blast-radius",
        text: &format!("all automation is paused: {reason}"),
    };
    if let Err(error) = own_incident::open(&context.store, own).await {
        tracing::warn!(%workload, %error, "the incident about the pause of all automation cannot be opened");
    }
}
