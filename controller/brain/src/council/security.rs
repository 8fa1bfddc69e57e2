//! The Security Officer's seat: what could this action break, and is it in proportion? Pure.

use aegis_api::proposal::{Action, Proposal, Verdict};

use super::SeatReview;
use crate::facts::{Facts, count};

pub(super) fn review(facts: Facts<'_>, proposal: &Proposal) -> SeatReview {
    let mut objections = protection(facts, proposal);
    objections.extend(match proposal.action {
        Action::Restart => disruption(facts, Action::Restart),
        Action::Rollback => disruption(facts, Action::Rollback),
        Action::ScaleUp => growth(facts, proposal.replica_count),
        Action::ScaleDown => shrinkage(facts, proposal.replica_count),
        Action::Noop => Vec::new(),
    });
    SeatReview::from_objections(objections, approval(proposal.action))
}

fn approval(action: Action) -> &'static str {
    match action {
        Action::Restart => "The restart stays within one workload that shows trouble, and can be repeated.",
        Action::Rollback => "The rollback goes to a revision that has run here before.",
        Action::ScaleUp => "The growth is in proportion and within the bounds.",
        Action::ScaleDown => "Enough healthy servers remain, and the bounds hold.",
        Action::Noop => "Doing nothing breaks nothing.",
    }
}

fn reject(reason: impl Into<String>) -> SeatReview {
    SeatReview::new(Verdict::Rejected, reason)
}

fn protection(facts: Facts<'_>, proposal: &Proposal) -> Vec<SeatReview> {
    if facts.case.protected && proposal.action != Action::Noop {
        return vec![reject("The workload is protected from automated actions.")];
    }
    Vec::new()
}

fn disruption(facts: Facts<'_>, action: Action) -> Vec<SeatReview> {
    if facts.symptoms().is_empty() {
        let reason = format!("{action} would interrupt a workload that shows no trouble at all.");
        return vec![reject(reason)];
    }
    let serving: Vec<_> = facts.serving().collect();
    match serving.as_slice() {
        [last] if facts.containers().len() > 1 && !is_sick(facts, &last.name) => {
            let reason = format!(
                "{action} would also take {}, the last of several servers that still works.",
                last.name
            );
            vec![SeatReview::new(Verdict::NeedsReview, reason)]
        }
        _ => Vec::new(),
    }
}

/// Whether the trouble is (also) this container's own.
fn is_sick(facts: Facts<'_>, name: &str) -> bool {
    let memory = facts
        .worst_memory()
        .is_some_and(|(container, percent)| container.name == name && percent >= crate::facts::MEMORY);
    let cpu = facts
        .worst_cpu()
        .is_some_and(|(container, percent)| container.name == name && percent >= crate::facts::CPU.0);
    let leak = facts
        .soonest_full()
        .is_some_and(|(container, minutes)| container.name == name && minutes < crate::facts::LEAK_MINUTES);
    memory || cpu || leak
}

fn growth(facts: Facts<'_>, by: u32) -> Vec<SeatReview> {
    let bounds = facts.case.replicas;
    let wanted = bounds.current.saturating_add(by);
    let mut objections = Vec::new();
    if wanted > bounds.max {
        objections.push(reject(format!(
            "{wanted} replicas are beyond the bound of {}.",
            bounds.max
        )));
    }
    if by > bounds.current.saturating_add(1) {
        let reason = format!(
            "From {} to {wanted} replicas in one step is out of proportion.",
            bounds.current
        );
        objections.push(reject(reason));
    }
    objections
}

fn shrinkage(facts: Facts<'_>, by: u32) -> Vec<SeatReview> {
    let bounds = facts.case.replicas;
    let mut objections = Vec::new();
    let least = bounds.min.max(1);
    match bounds.current.checked_sub(by) {
        Some(left) if left >= least => {}
        left => {
            let left = left.unwrap_or_default();
            objections.push(reject(format!("{left} replicas are below the bound of {least}.")));
        }
    }
    let (ready, desired) = (facts.ready(), facts.evidence().desired_replicas);
    if ready < desired {
        objections.push(reject(format!(
            "Only {ready} of {desired} replicas are ready: this is no time for fewer."
        )));
    }
    if count(facts.serving()) <= by {
        objections.push(reject("It could take down the last healthy server."));
    }
    objections
}
