//! The Auditor's seat: does the evidence carry the proposal? The symptom that the action is to clear must be measured, the
//! action must be able to clear it, and the same must not have failed here lately. Pure.

use aegis_api::proposal::{Action, Proposal, Verdict};

use super::SeatReview;
use crate::facts::{CPU, CPU_IDLE, Facts};
use crate::redact::bound;

/// `least_confidence` is where a proposer counts as sure of itself.
pub(super) fn review(facts: Facts<'_>, proposal: &Proposal, least_confidence: f64) -> SeatReview {
    let (grounds, objection) = match support(facts, proposal, least_confidence) {
        Ok(grounds) => (grounds, None),
        Err(objection) => (String::new(), Some(objection)),
    };
    let further = repetition(facts, proposal.action)
        .into_iter()
        .chain(completeness(facts));
    SeatReview::from_objections(objection.into_iter().chain(further).collect(), grounds)
}

fn reject(reason: impl Into<String>) -> SeatReview {
    SeatReview::new(Verdict::Rejected, reason)
}

/// What in the evidence speaks for the action; if nothing does, the objection.
fn support(facts: Facts<'_>, proposal: &Proposal, least_confidence: f64) -> Result<String, SeatReview> {
    let action = proposal.action;
    if action == Action::Noop {
        return quiet(facts, proposal.confidence < least_confidence);
    }
    if action == Action::Rollback && !facts.evidence().can_roll_back {
        return Err(reject("There is no earlier revision to go back to."));
    }
    let Some(symptom) = facts.cleared_by(action) else {
        return Err(unsupported(facts, action));
    };
    let idle = match action {
        Action::ScaleDown => idleness(facts)?,
        _ => String::new(),
    };
    let (message, record) = (symptom.message, record(facts, action));
    Ok(format!(
        "The evidence carries {action}, which can clear what is measured: {message}.{idle}{record}"
    ))
}

fn unsupported(facts: Facts<'_>, action: Action) -> SeatReview {
    let symptoms = facts.trouble();
    if symptoms.is_empty() {
        return reject(format!(
            "Nothing in the evidence speaks for {action}: no symptom is measured."
        ));
    }
    reject(format!(
        "{action} can clear nothing of what is measured: {}.",
        symptoms.join("; ")
    ))
}

/// How the action turned out here lately.
fn record(facts: Facts<'_>, action: Action) -> String {
    match (facts.failures(action), facts.relapses(action)) {
        (0, 0) => " It has neither failed nor relapsed here lately.".to_owned(),
        (failures, 0) => format!(" It failed {failures} times here lately."),
        (_, relapses) => format!(
            " What it clears came back {relapses} times lately: it keeps {} serving, and a cure is needed.",
            facts.case.workload
        ),
    }
}

fn idleness(facts: Facts<'_>) -> Result<String, SeatReview> {
    let Some((container, percent)) = facts.worst_cpu().filter(|_| facts.cpu_known()) else {
        return Err(reject(
            "The evidence does not show that there are too many replicas.",
        ));
    };
    let name = &container.name;
    if percent >= CPU.1 {
        return Err(reject(format!(
            "{name} is busy, with {percent:.1} % of a core: this is no time for fewer."
        )));
    }
    if percent >= CPU_IDLE {
        let reason = format!("{name} uses {percent:.1} % of a core: neither busy nor idle.");
        return Err(SeatReview::new(Verdict::NeedsReview, reason));
    }
    Ok(format!(
        " {name}, the busiest, idles at {percent:.1} % of a core."
    ))
}

/// Doing nothing is right where nothing is wrong. A NOOP that requires a human itself is not rejected, so that the
/// human gets it, and neither does it end unseen where something else is the patient.
fn quiet(facts: Facts<'_>, unsure: bool) -> Result<String, SeatReview> {
    let symptoms = facts.trouble();
    if symptoms.is_empty() {
        return match facts.elsewhere() {
            Some(patient) => Err(SeatReview::new(
                Verdict::NeedsReview,
                format!("No symptom of the workload is measured, but there is trouble elsewhere: {patient}."),
            )),
            None => Ok("The evidence shows no trouble.".to_owned()),
        };
    }
    let reason = format!("NOOP leaves this as it is: {}.", symptoms.join("; "));
    let verdict = if unsure {
        Verdict::NeedsReview
    } else {
        Verdict::Rejected
    };
    Err(SeatReview::new(verdict, reason))
}

fn repetition(facts: Facts<'_>, action: Action) -> Option<SeatReview> {
    if action == Action::Noop {
        return None;
    }
    if facts.is_tried_out(action) {
        return Some(reject(format!(
            "{action} was tried in this incident and did not help."
        )));
    }
    let failures = facts.failures(action);
    if failures >= 2 {
        return Some(reject(format!("{action} failed {failures} times lately.")));
    }
    if facts.just_failed(action) {
        let reason = format!("{action} is what was done last, and it did not help.");
        return Some(SeatReview::new(Verdict::NeedsReview, reason));
    }
    // What keeps a service up until it is cured may be repeated; a load that outgrows each new replica may not.
    let relapses = facts.relapses(action);
    (action == Action::ScaleUp && relapses > 0).then(|| {
        let reason =
            format!("The load came back {relapses} times after {action}: more replicas are no cure.");
        SeatReview::new(Verdict::NeedsReview, reason)
    })
}

fn completeness(facts: Facts<'_>) -> Option<SeatReview> {
    let gaps = &facts.evidence().gaps;
    if !gaps.is_empty() {
        let named: Vec<String> = gaps.iter().take(3).map(|gap| bound(gap, 200)).collect();
        return Some(SeatReview::new(
            Verdict::NeedsReview,
            format!("The evidence has gaps: {}.", named.join("; ")),
        ));
    }
    let evidence = facts.evidence();
    let blind =
        evidence.containers.is_empty() && (evidence.desired_replicas > 0 || evidence.collected_at.is_none());
    blind.then(|| SeatReview::new(Verdict::NeedsReview, "No container was seen at all."))
}
