//! RECEIVED: evidence is collected and similar incidents are recalled, unless, or until, something holds the incident.

use aegis_api::incident::{Origin, Stage};
use aegis_api::policy::Mode;
use aegis_api::proposal::{Evidence, Retrieved};
use aegis_api::{ConditionType, Kind, Phase, Reason, Symptom, Time, Workload};

use super::super::conclude::under_way;
use super::super::gate;
use super::super::ladder;
use super::super::next::{Effect, Next};
use super::super::origin;
use super::super::own_restarts;
use super::super::readings::describe_container;
use super::super::relapse::{self, Mitigated};
use super::super::transition::{Field, HeldFor, Transition, What};
use super::super::validate::ValidatedIncident;
use crate::set_back;

/// How long an incident waits before it has begun; what holds it says so meanwhile.
const WAITS_AT_MOST: aegis_api::Duration = aegis_api::Duration::from_secs(24 * 3600);

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let is_seen = incident.status.evidence.is_some();
    // What was seen before a hold may be what another incident has healed since: it is looked at again.
    let held_before = aegis_api::condition::is_true(&incident.status.conditions, ConditionType::Held);
    match hold(incident, workload) {
        Some(held) if has_waited(incident) => {
            let message = held.message;
            let error = format!(
                "it waited for {WAITS_AT_MOST} ({message}): nothing was done; report it again if it is still wrong"
            );
            ladder::fail(incident, error)
        }
        Some(held) if is_seen => Transition::held(incident, held, incident.now).into(),
        then_hold if then_hold.is_some() || !is_seen || held_before => {
            Next::Effect(Effect::Investigate { then_hold })
        }
        _ => analysis_begins(incident, What::AnalysisBegun, incident.now).into(),
    }
}

/// Whether it is held for as long as anything is.
fn has_waited(incident: &ValidatedIncident) -> bool {
    let held = aegis_api::condition::find(&incident.status.conditions, ConditionType::Held);
    let since = held
        .filter(|held| held.status == "True")
        .map(|held| Time(held.last_transition_time.0));
    since.is_some_and(|since| set_back::age(since, incident.now, &incident.leaps) >= WAITS_AT_MOST.std())
}

/// Why the incident must not begin yet.
fn hold(incident: &ValidatedIncident, workload: &Workload) -> Option<HeldFor> {
    let held = |reason, message| HeldFor {
        reason,
        message,
        until: None,
    };
    if workload.status.is_none() {
        let message = format!("workload {} has not been looked at yet", workload.name());
        return Some(held(Reason::WorkloadNotObserved, message));
    }
    if let Some(active_incident) = &incident.active_incident {
        return Some(held(Reason::RemediationUnderWay, under_way(active_incident)));
    }
    if incident.incident.spec.override_.is_some() {
        return None;
    }
    if incident.policy.mode == Mode::Off {
        let message = format!(
            "policy {} has mode Off: nothing is analysed or done",
            incident.policy_name
        );
        return Some(held(Reason::AutomationOff, message));
    }
    if let Some(held) = own_restarts::hold(incident, workload) {
        return Some(held);
    }
    let until = gate::cooldown_until(incident)?;
    Some(HeldFor {
        reason: Reason::Cooldown,
        message: format!("cooldown after the last action on the workload until {until}"),
        until: Some(until),
    })
}

/// What an investigation brought to light.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub evidence: Box<Evidence>,
    /// What is wrong, gravest first.
    pub symptoms: Vec<Symptom>,
    /// Where errors come from, where that matters.
    pub origin: Option<Origin>,
    /// Entries of the runbook, the most similar first.
    pub similar: Vec<Retrieved>,
}

/// It is analysed, or held right away.
pub fn after_investigation(
    incident: &ValidatedIncident,
    found: Found,
    then_hold: Option<HeldFor>,
    now: Time,
) -> Transition {
    let Found {
        evidence,
        symptoms,
        origin,
        similar,
    } = found;
    let seen: Vec<String> = evidence.containers.iter().map(describe_container).collect();
    let after = match then_hold {
        Some(held) => Transition::held(incident, held, now),
        None => analysis_begins(incident, What::Investigated, now),
    };
    let workload = incident.target.as_ref().ok();
    let workload = workload.and_then(|workload| workload.name().parse().ok());
    let again = relapse::of(incident, &symptoms);
    let investigated = Transition::new(What::Investigated, Phase::Received, now)
        .log(Stage::EvidenceCollected, seen.join("; "))
        .log(Stage::RagRetrieval, recalled(&similar))
        .set(Field::Symptoms(symptoms))
        .set(Field::MeasuredAt(evidence.collected_at))
        .set(Field::Evidence(Some(evidence)))
        .set(Field::Retrieved(similar))
        .set(Field::Workload(workload));
    let investigated = origin::found(investigated, incident, origin);
    match again {
        Some(earlier) => came_back(investigated, incident, earlier).then(after),
        None => none_before(investigated, incident).then(after),
    }
}

/// It is a story of its own, also where it was taken for a relapse before.
fn none_before(transition: Transition, incident: &ValidatedIncident) -> Transition {
    let transition = transition.set(Field::Relapse(None, 0));
    match aegis_api::condition::is_true(&incident.status.conditions, ConditionType::CureNeeded) {
        true => transition.condition(ConditionType::CureNeeded, false, Reason::Released, ""),
        false => transition,
    }
}

/// It is what an earlier incident cleared, and from the third time on a human should find a cure.
fn came_back(transition: Transition, incident: &ValidatedIncident, earlier: &Mitigated) -> Transition {
    let times = earlier.relapses.saturating_add(1);
    let Mitigated {
        incident: name,
        action,
        at,
        ..
    } = earlier;
    let text =
        format!("it came back, {times} time(s) in a row: {action} cleared it at {at}, in incident {name}");
    let is_news = incident.status.relapse_of.as_ref() != Some(name);
    let mut transition = transition.set(Field::Relapse(Some(name.clone()), times));
    if is_news {
        transition = transition.log(Stage::EvidenceCollected, text.clone());
    }
    if times < relapse::NO_CURE_AFTER {
        return transition;
    }
    let asks = format!(
        "{text}; {action} is no cure: please find the cause, meanwhile it is repeated within the budget, with growing pauses"
    );
    transition.condition(ConditionType::CureNeeded, true, Reason::CameBack, asks)
}

fn analysis_begins(incident: &ValidatedIncident, what: What, now: Time) -> Transition {
    Transition::new(what, Phase::Analysing, now)
        .release(incident)
        .log(Stage::Analysing, "the evidence is being analysed")
}

/// The similar entries, for display.
fn recalled(similar: &[Retrieved]) -> String {
    let name = |hit: &Retrieved| {
        let doubt = if hit.recommended {
            ""
        } else {
            ", no longer recommended"
        };
        format!("{} ({:.2}{doubt})", hit.entry, hit.score)
    };
    let names: Vec<String> = similar.iter().map(name).collect();
    if names.is_empty() {
        "no similar incident in the runbook".to_owned()
    } else {
        format!("similar: {}", names.join(", "))
    }
}
