//! Automation pauses itself: durably, with a word to people. Does I/O, decides nothing.

use aegis_api::audit::Actor;
use aegis_api::automation::Pause;
use aegis_api::incident::CONTROLLER;
use aegis_api::naming::hashed;
use aegis_api::{API_VERSION, kinds};
use aegis_runtime::events::{EventType, ObjectRef};
use serde_json::json;

use crate::context::Context;
use crate::hold::BLAST_RADIUS_PART;

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
    let text = format!("all automation is paused: {reason}; `aegisctl resume` lets it go on");
    context
        .events
        .record(about, EventType::Warning, "AutomationPaused", text);
    if let Err(error) = automation.pause(actor, pause).await {
        // It holds all the same until this process ends.
        tracing::error!(%error, "the pause of all automation cannot be stored");
    }
    true
}

/// Calls a human where no incident does: the pause came from restarts by `spec.restart`.
pub(crate) async fn open_incident(context: &Context, workload: &str, reason: &str) {
    let Some(info) = kinds::find("Incident") else {
        return;
    };
    let id = format!("blast-radius {workload} {}", context.clock.now());
    let name = format!(
        "blast-radius-{}",
        hashed(&id).rsplit('-').next().unwrap_or_default()
    );
    let logs: String = format!("all automation is paused: {reason}")
        .chars()
        .take(4096)
        .collect();
    let incident = json!({
        "apiVersion": API_VERSION, "kind": "Incident", "metadata": {"name": name},
        "spec": {
            "workloadRef": workload,
            "alertType": "BLAST_RADIUS",
            "severity": "critical",
            "logs": logs,
            "source": {"kind": CONTROLLER, "fingerprint": "blast-radius", "incidentId": name},
        },
    });
    if let Err(error) = context.store.create(info, incident, false).await {
        tracing::warn!(%workload, %error, "the incident about the pause of all automation cannot be opened");
    }
}
