//! The rules of the gate, one function each: `None` where the rule has nothing against the action. Pure.

use aegis_api::incident::{CONTROLLER, RESTART_LIMIT};
use aegis_api::observed::ContainerState;
use aegis_api::policy::Mode;
use aegis_api::proposal::{Action, CouncilDecision, Verdict};
use aegis_api::redact::bound;
use aegis_api::{ConditionType, Kind, Reason, Workload, condition};

use super::super::detected::Firing;
use super::super::readings::readings;
use super::super::{clearing, confirmation, relapse};
use super::budget::failures_in_a_row;
use super::window::is_frozen;
use super::{Case, Ruling};
use crate::governing::Doubt;

/// How much of a reviewer's objection the incident's error repeats, in characters.
const REASON: usize = 400;

fn needs_approval(reason: Reason, message: impl Into<String>) -> Option<Ruling> {
    let message = message.into();
    Some(Ruling::NeedsApproval { reason, message })
}

pub(super) fn paused(case: &Case<'_>) -> Option<Ruling> {
    let hold = case.incident.paused.as_ref()?;
    needs_approval(hold.reason, hold.message.clone())
}

/// Which containers somebody paused, and what to do about it; `None` where none is.
pub(crate) fn paused_containers(workload: &Workload) -> Option<String> {
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let paused = rows
        .filter(|row| row.state == ContainerState::Paused)
        .map(|row| row.name.as_str());
    let paused: Vec<&str> = paused.collect();
    let names = paused.join(", ");
    (!paused.is_empty()).then(|| {
        format!(
            "{names} {} paused: unpause it first (`docker unpause {}`): nothing can be done before",
            if paused.len() == 1 { "is" } else { "are" },
            paused.join(" ")
        )
    })
}

/// Nothing can be done to a paused container, and what is requested meanwhile would happen to it once it is unpaused.
pub(super) fn container_paused(case: &Case<'_>) -> Option<Ruling> {
    let workload = case.incident.target.as_ref().ok()?;
    let message = paused_containers(workload)?;
    Some(Ruling::Refuse {
        message: format!("{message}; nothing was done"),
    })
}

/// A detector fires, and nothing is measured that an action could clear: that is neither nothing nor a reason to act.
/// What ended and was started again since is well.
pub(super) fn detector_fires(case: &Case<'_>) -> Option<Ruling> {
    let Firing { detector, message } = case.incident.detected.as_ref()?.other.as_ref()?;
    if !case.incident.status.symptoms.is_empty() {
        return None;
    }
    needs_approval(
        Reason::DetectorFires,
        format!(
            "detector {detector} fires ({message}), and nothing else is measured: no action is known to clear that"
        ),
    )
}

/// No action without a symptom that the controller itself has measured.
pub(super) fn not_measured(case: &Case<'_>) -> Option<Ruling> {
    let status = &case.incident.status;
    if !status.symptoms.is_empty() {
        return None;
    }
    let first = status.evidence.as_ref();
    let read = match first.filter(|evidence| evidence.collected_at == status.measured_at) {
        Some(evidence) => format!(": {}", readings(evidence)),
        None => " when it was measured again".to_owned(),
    };
    Some(Ruling::NotMeasured {
        message: format!(
            "nothing measured speaks for {}: no symptom was found{read}",
            case.action
        ),
    })
}

/// Nothing was measured of what was reported, and the policy asks a human then.
pub(super) fn unconfirmed(case: &Case<'_>) -> Option<Ruling> {
    if !confirmation::requires_approval(case.incident) {
        return None;
    }
    needs_approval(
        Reason::Unconfirmed,
        format!(
            "nothing was measured of what was reported: policy {} asks a human before it ends",
            case.incident.policy_name
        ),
    )
}

/// What cannot clear anything of what is measured is not tried.
pub(super) fn cannot_clear(case: &Case<'_>) -> Option<Ruling> {
    let message = clearing::cannot_clear(case.incident, case.action)?;
    needs_approval(Reason::CannotClear, message)
}

/// What did not last is repeated with growing pauses.
pub(super) fn relapsed(case: &Case<'_>) -> Option<Ruling> {
    let until = relapse::pauses_until(case.incident, case.action)?;
    let (relapses, unclear) = (case.incident.status.relapses, case.incident.inconclusive_in_a_row);
    let action = case.action;
    let message = if relapses >= unclear {
        format!(
            "{action} cleared this before and it came back, {relapses} time(s) in a row: not again before {until}"
        )
    } else {
        format!(
            "whether {action} helped could not be measured, {unclear} time(s) in a row: not again before {until}"
        )
    };
    Some(Ruling::Wait {
        reason: Reason::Relapsed,
        message,
    })
}

/// What people stopped is theirs until they hand it back; what somebody asked to stop may be theirs.
pub(super) fn stopped_by_hand(case: &Case<'_>) -> Option<Ruling> {
    let workload = case.incident.target.as_ref().ok()?;
    let rows = || workload.status.iter().flat_map(|status| &status.instances);
    let Some(row) = rows().find(|row| row.stopped_by_hand.is_some()) else {
        let open = rows().find(|row| case.incident.stopped.contains(&row.id))?;
        return Some(Ruling::Wait {
            reason: Reason::StoppedByHand,
            message: format!("{} was asked to stop: who did that shows soon", open.name),
        });
    };
    let name = &row.name;
    needs_approval(
        Reason::StoppedByHand,
        format!(
            "{name} was stopped by hand: {} requires approval (`docker start {name}` hands it back)",
            case.action
        ),
    )
}

/// Automatic restarts have ended: what is left is a human's, whatever is proposed.
pub(super) fn restart_limit(case: &Case<'_>) -> Option<Ruling> {
    let spec = &case.incident.incident.spec;
    let asks = spec.alert_type == RESTART_LIMIT && spec.source.kind == CONTROLLER;
    let workload = case.incident.target.as_ref().ok();
    let conditions = workload
        .and_then(|workload| workload.status.as_ref())
        .map(|status| &status.conditions);
    let reached = conditions.is_some_and(|conditions| {
        condition::is_true_for(conditions, ConditionType::Degraded, Reason::RestartLimit)
    });
    // It took the place of the incident that would have asked.
    let is_episode = case
        .incident
        .detected
        .as_ref()
        .is_some_and(|detected| detected.counts_crashes);
    let restarts = case.action == Action::Restart;
    let binds = asks || (reached && (restarts || (is_episode && case.action == Action::Noop)));
    if !binds {
        return None;
    }
    needs_approval(
        Reason::RestartLimit,
        format!(
            "automatic restarts have ended without success: {} requires approval",
            case.action
        ),
    )
}

pub(super) fn not_allowed(case: &Case<'_>) -> Option<Ruling> {
    let allowed = &case.incident.policy.allowed_actions;
    if allowed.is_empty() || allowed.contains(&case.action) {
        return None;
    }
    let allowed: Vec<&str> = allowed.iter().map(|action| action.as_str()).collect();
    Some(Ruling::Refuse {
        message: format!(
            "policy {} does not allow {}: it allows {}",
            case.incident.policy_name,
            case.action,
            allowed.join(", ")
        ),
    })
}

/// A restart that could not be undone is not tried, and a dry run says so, too.
pub(super) fn cannot_restart(case: &Case<'_>) -> Option<Ruling> {
    let workload = case.incident.target.as_ref().ok()?;
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    // Only what runs is stopped by it, and what leaves need not come back.
    let stopped = rows.filter(|row| row.state == ContainerState::Running && !row.draining);
    let obstacles: Vec<&str> = stopped.filter_map(|row| row.cannot_restart.as_deref()).collect();
    (case.action == Action::Restart && !obstacles.is_empty()).then(|| Ruling::Refuse {
        message: format!("RESTART cannot be done: {}", obstacles.join("; ")),
    })
}

pub(super) fn council_rejected(case: &Case<'_>) -> Option<Ruling> {
    let decision = case
        .council
        .filter(|decision| decision.final_verdict == Verdict::Rejected)?;
    Some(Ruling::Refuse {
        message: format!(
            "the council rejected {}: {}{}",
            case.action,
            decision.summary,
            objections(decision)
        ),
    })
}

pub(super) fn council_needs_review(case: &Case<'_>) -> Option<Ruling> {
    const REASON: Reason = Reason::CouncilNeedsReview;
    let Some(decision) = case.council else {
        return needs_approval(REASON, format!("no council has agreed to {}", case.action));
    };
    match decision.final_verdict {
        Verdict::Approved => None,
        Verdict::NeedsReview | Verdict::Rejected => needs_approval(REASON, decision.summary.clone()),
    }
}

pub(super) fn failed_before(case: &Case<'_>) -> Option<Ruling> {
    let action = case.action;
    let failures = failures_in_a_row(case.incident, action);
    if failures < 2 {
        return None;
    }
    needs_approval(
        Reason::FailedBefore,
        format!(
            "{action} failed {failures} times in a row on this workload in the last day: the same fix is not tried a third time without a human"
        ),
    )
}

pub(super) fn scaled_to_zero(case: &Case<'_>) -> Option<Ruling> {
    let workload = case.incident.target.as_ref().ok()?;
    if workload.spec.replicas != 0 {
        return None;
    }
    needs_approval(
        Reason::ScaledToZero,
        format!(
            "spec.replicas is 0, so none of it should run: {} requires approval",
            case.action
        ),
    )
}

pub(super) fn protected(case: &Case<'_>) -> Option<Ruling> {
    if !case.incident.protected {
        return None;
    }
    needs_approval(
        Reason::Protected,
        format!("the workload is protected: {} requires approval", case.action),
    )
}

pub(super) fn no_policy(case: &Case<'_>) -> Option<Ruling> {
    if case.incident.doubt != Some(Doubt::NoPolicy) {
        return None;
    }
    let workload = case.incident.target.as_ref().ok()?.name();
    needs_approval(
        Reason::NoPolicy,
        format!("no RemediationPolicy governs {workload}: apply one (examples/quickstart/policy.yaml)"),
    )
}

pub(super) fn broken_policy(case: &Case<'_>) -> Option<Ruling> {
    let Some(Doubt::Broken { message }) = &case.incident.doubt else {
        return None;
    };
    needs_approval(
        Reason::BrokenPolicy,
        format!(
            "a policy file that may govern the workload is broken, so {} requires approval until it is repaired: {}",
            case.action,
            bound(message, REASON)
        ),
    )
}

pub(super) fn approval_mode(case: &Case<'_>) -> Option<Ruling> {
    if case.incident.policy.mode != Mode::Approve {
        return None;
    }
    needs_approval(
        Reason::ApprovalMode,
        format!(
            "policy {} asks a human before {}",
            case.incident.policy_name, case.action
        ),
    )
}

pub(super) fn automation_off(case: &Case<'_>) -> Option<Ruling> {
    if case.incident.policy.mode != Mode::Off {
        return None;
    }
    needs_approval(
        Reason::AutomationOff,
        format!(
            "policy {} leaves {} to a human",
            case.incident.policy_name, case.action
        ),
    )
}

pub(super) fn freeze_window(case: &Case<'_>) -> Option<Ruling> {
    let mut windows = case.incident.policy.freeze_windows.iter();
    let window = windows.find(|window| is_frozen(window, case.incident.now))?;
    let message = format!(
        "freeze window {}–{} UTC {}",
        window.start, window.end, window.reason
    );
    needs_approval(Reason::FreezeWindow, message.trim_end())
}

pub(super) fn budget_exhausted(case: &Case<'_>) -> Option<Ruling> {
    let used = case.incident.actions_in_hour;
    let budget = case.incident.policy.actions_per_hour;
    if used < budget {
        return None;
    }
    needs_approval(
        Reason::BudgetExhausted,
        format!("{used} of {budget} actions on this workload were used in the last hour: it may be flapping"),
    )
}

/// What those who rejected say, each reason once.
fn objections(decision: &CouncilDecision) -> String {
    let against = decision
        .votes
        .iter()
        .filter(|vote| vote.verdict == Verdict::Rejected);
    let mut said: Vec<&str> = against.map(|vote| vote.reasoning.as_str()).collect();
    said.dedup();
    said.into_iter()
        .map(|reason| format!(" {}", bound(reason, REASON)))
        .collect()
}
