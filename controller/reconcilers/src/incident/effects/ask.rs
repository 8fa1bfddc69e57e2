//! Asks the brain: the words it streams go to the feed as they come, and nothing waits for
//! an answer that is not needed any more. Changes nothing; does I/O through the brain.

use std::sync::atomic::{AtomicBool, Ordering};

use aegis_api::precedence::Urgency;
use aegis_api::proposal::{Analysis, Seat, Vote};
use aegis_api::wire::{AiRestart, incident_id};
use aegis_api::{Incident, Kind, Reason};
use aegis_brain::{Brain, BrainError, Case, Chunk};
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::slot::aside;
use futures::StreamExt;

use super::super::IncidentReconciler;

/// One analysis; `None` where it is not needed any more.
pub(in crate::incident) async fn analyse(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    case: &Case,
) -> Option<Result<Analysis, BrainError>> {
    let id = incident_id(&incident.incident);
    // People read that it is analysed before they read the words.
    let version = incident.incident.metadata.resource_version.as_deref();
    let revision = version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default();
    let mut live = reconciler.context.feed.live_answer_after(id, revision);
    let heard = AtomicBool::new(false);
    let mut on_chunk = |chunk: Chunk<'_>| {
        heard.store(true, Ordering::Relaxed);
        match chunk {
            Chunk::Text(text) => live.say(text),
            Chunk::Restart { provider, reason } => {
                let restart = AiRestart {
                    provider: provider.to_owned(),
                    reason: reason.to_owned(),
                };
                // For clients that only ever append, the chunk says it, too.
                live.restart(&format!("\n[{provider}: {reason}]\n"), restart);
            }
        }
    };
    let brain = for_policy(reconciler, incident);
    let analysis = brain.analyse(case, &mut on_chunk);
    cancel_if_superseded(reconciler, incident, &heard, analysis).await
}

/// One seat's vote; `None` where it is not needed any more.
pub(super) async fn vote(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    case: &Case,
    seat: Seat,
    analysis: &Analysis,
) -> Option<Vote> {
    let brain = for_policy(reconciler, incident);
    let vote = brain.review(seat, case, analysis, &incident.status.votes);
    // Nothing is heard of a vote before it is there.
    let heard = AtomicBool::new(false);
    cancel_if_superseded(reconciler, incident, &heard, vote).await
}

/// The brain as the incident's policy wants it; as the controller has it, where the policy names an unknown provider.
fn for_policy(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Brain {
    reconciler
        .brain
        .under(&incident.policy.analysis)
        .unwrap_or_else(|error| {
            let message = format!(
                "policy {}: spec.analysis: {error}; the controller's own order is asked instead",
                incident.policy_name
            );
            let about = ObjectRef::of(&*incident.incident);
            let events = &reconciler.context.events;
            events.record(
                &about,
                EventType::Warning,
                Reason::UnknownProvider.as_str(),
                message,
            );
            Brain::clone(&reconciler.brain)
        })
}

/// The answer; or an end of the question, where it is superseded.
async fn cancel_if_superseded<T>(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    heard: &AtomicBool,
    answer: impl Future<Output = T>,
) -> Option<T> {
    // A model that hangs keeps no other incident from its execution or verification.
    aside(async {
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = superseded(reconciler, incident, heard) => None,
        }
    })
    .await
}

/// Whether the answer is not needed any more: the incident went away, or a human chose an action meanwhile. Or it became
/// critical before a word was heard: then it is asked again, and waits no longer among those that are not.
fn is_superseded(now: Option<&Incident>, asked: &Incident, heard: bool) -> bool {
    let urgency = |incident: &Incident| Urgency::from(incident.spec.severity);
    now.is_none_or(|now| {
        let overtakes = urgency(now) == Urgency::Urgent && urgency(asked) == Urgency::Ordinary;
        now.metadata.uid != asked.metadata.uid
            || now.spec.override_ != asked.spec.override_
            || (overtakes && !heard)
    })
}

async fn superseded(reconciler: &IncidentReconciler, incident: &ValidatedIncident, heard: &AtomicBool) {
    let store = &reconciler.context.store;
    let is_superseded = || {
        let now = store.get::<Incident>(incident.incident.name());
        is_superseded(now.as_deref(), &incident.incident, heard.load(Ordering::Relaxed))
    };
    while !is_superseded() {
        if let Ok(mut changes) = store.watch(None) {
            while !is_superseded() && changes.next().await.is_some() {}
        }
        // A watch ends when it falls behind, or for good when the store closes.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::incident::Severity;
    use aegis_planning::incident::testing::{REPORT, incident};

    use super::*;

    #[test]
    fn a_question_about_what_becomes_critical_is_asked_again_unless_the_answer_has_begun() {
        let asked = incident(REPORT, "{}");
        let mut graver = asked.clone();
        graver.spec.severity = Severity::Critical;
        assert!(is_superseded(Some(&graver), &asked, false));
        assert!(!is_superseded(Some(&graver), &asked, true));
        assert!(
            !is_superseded(Some(&graver), &graver, false),
            "it was asked as such"
        );
        assert!(!is_superseded(Some(&asked), &asked, false));
        assert!(is_superseded(None, &asked, true), "it is gone");
    }
}
