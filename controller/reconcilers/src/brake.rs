//! Automation pauses itself: durably, with a word to people. Does I/O, decides nothing.

use aegis_api::audit::Actor;
use aegis_api::automation::Pause;
use aegis_runtime::events::{EventType, ObjectRef};

use crate::context::Context;

/// Who that is to the audit log.
const PART: &str = "blast-radius";

/// Puts the brake on for the whole host, unless it is on already; it is taken off by people only.
pub(crate) async fn pause_all(context: &Context, about: &ObjectRef, reason: &str) {
    let automation = context.store.automation();
    if automation.paused().is_some() {
        return;
    }
    let actor = Actor::system(PART);
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
}
