//! What an incident's status says of what was reported, whatever becomes of it: who sent it, about which container, and
//! what the sender says since. Pure. It proves nothing and decides nothing.

use aegis_api::incident::{IncidentSpec, Stage, TimelineEntry};
use aegis_api::redact::bound;
use aegis_api::{ConditionType, IncidentStatus, Reason, Time, condition};

use super::transition::{Stated, add};

/// Most lines of a timeline that say what a sender said later.
const HEARD: usize = 20;

/// Notes what is not noted yet.
pub(super) fn note(status: &mut IncidentStatus, spec: &IncidentSpec, at: Time) {
    if status.timeline.is_empty() {
        received(status, spec, at);
    }
    heard(status, spec, at);
}

fn log(status: &mut IncidentStatus, at: Time, message: String) {
    let entry = TimelineEntry {
        ts: at,
        status: Stage::Received,
        message,
        agent: None,
    };
    add(&mut status.timeline, entry);
}

/// The first line: what was reported, by whom, about which container, and whether it was there before.
fn received(status: &mut IncidentStatus, spec: &IncidentSpec, at: Time) {
    let source = &spec.source;
    let from = source.kind.as_str();
    let from = if from.is_empty() { "a resource" } else { from };
    let mut text = format!("{} reported by {from}", bound(&spec.alert_type, 100));
    if let (Some(naming), Some(container)) = (&source.naming, &spec.container_name) {
        let said = naming.message(container.as_str());
        text.push_str(&format!("; {said}"));
        let condition = Stated {
            kind: ConditionType::ContainerNamed,
            status: !naming.by_default,
            reason: if naming.by_default {
                Reason::DefaultTarget
            } else {
                Reason::NamedByAlert
            },
            message: said,
        };
        condition.set(status, at);
    }
    if let Some(previous) = &source.previous {
        text.push_str(&format!("; the same alert was incident {previous} before"));
    }
    log(status, at, text);
}

/// What the sender says since: that it is over, or that it fires again.
fn heard(status: &mut IncidentStatus, spec: &IncidentSpec, at: Time) {
    let resolved_at = spec.source.resolved_at;
    let known = condition::is_true(&status.conditions, ConditionType::SenderResolved);
    let (reason, text) = match (resolved_at, known) {
        (Some(at), false) => (
            Reason::Resolved,
            format!("the sender says that it is over since {at}"),
        ),
        (None, true) => (
            Reason::FiresAgain,
            "the sender says that it fires again".to_owned(),
        ),
        _ => return,
    };
    let condition = Stated {
        kind: ConditionType::SenderResolved,
        status: resolved_at.is_some(),
        reason,
        message: text.clone(),
    };
    condition.set(status, at);
    say(status, at, text);
}

/// One line more of what was heard later. A sender that cannot make up its mind, or a silence, pushes out nothing else.
pub(super) fn say(status: &mut IncidentStatus, at: Time, text: String) {
    let heard = status
        .timeline
        .iter()
        .filter(|entry| entry.status == Stage::Received);
    if heard.count() <= HEARD {
        log(status, at, text);
    }
}
