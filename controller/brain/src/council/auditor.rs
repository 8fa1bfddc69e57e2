//! The Auditor's seat: does the evidence carry the proposal? Pure.

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
    let symptoms = facts.trouble();
    match proposal.action {
        Action::Restart => {
            let leak = facts.leak().into_iter().collect();
            carried(&[symptoms, facts.strain(), leak].concat(), "RESTART")
        }
        Action::Rollback if !facts.evidence().can_roll_back => {
            Err(reject("There is no earlier revision to go back to."))
        }
        Action::Rollback => carried(&symptoms, "ROLLBACK"),
        Action::ScaleUp => carried(&facts.strain(), "SCALE_UP"),
        Action::ScaleDown => idleness(facts),
        Action::Noop => quiet(&symptoms, proposal.confidence < least_confidence),
    }
}

fn carried(grounds: &[String], action: &str) -> Result<String, SeatReview> {
    if grounds.is_empty() {
        return Err(reject(format!("Nothing in the evidence speaks for {action}.")));
    }
    Ok(format!("The evidence carries {action}: {}.", grounds.join("; ")))
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
        "The evidence carries SCALE_DOWN: {name}, the busiest, idles at {percent:.1} % of a core."
    ))
}

/// Doing nothing is right where nothing is wrong. A NOOP that requires a human itself is not rejected, so that the
/// human gets it.
fn quiet(symptoms: &[String], unsure: bool) -> Result<String, SeatReview> {
    if symptoms.is_empty() {
        return Ok("The evidence shows no trouble.".to_owned());
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
    if facts.was_tried(action) {
        return Some(reject(format!(
            "{action} was tried in this incident and did not help."
        )));
    }
    let failures = facts.failures(action);
    if failures >= 2 {
        return Some(reject(format!("{action} failed {failures} times lately.")));
    }
    let reason = || format!("{action} is what was done last, and it did not help.");
    facts
        .just_failed(action)
        .then(|| SeatReview::new(Verdict::NeedsReview, reason()))
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
