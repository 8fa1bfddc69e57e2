//! The policy gate: deterministic, after the model and stronger than it. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::policy::{FreezeWindow, Mode, Weekday};
use aegis_api::proposal::{Action, CouncilDecision, Verdict};
use aegis_brain::redact::bound;

use super::validate::ValidatedIncident;

const HOUR: Duration = Duration::from_secs(3600);
/// How much of a reviewer's objection the incident's error repeats, in characters.
const REASON: usize = 400;

/// What policy says of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Go ahead.
    Allow,
    /// A human must decide.
    NeedsApproval { reason: &'static str, message: String },
    /// Say what would be done, and do nothing.
    DryRun,
    /// Not at all.
    Refuse { message: String },
}

/// Judges an action; `by_human` when a person chose or approved it, which skips council, budget and freeze, never what
/// is forbidden outright.
pub(super) fn rule(
    incident: &ValidatedIncident,
    action: Action,
    council: Option<&CouncilDecision>,
    by_human: bool,
) -> Ruling {
    let policy = &incident.policy;
    let name = &incident.policy_name;
    if action != Action::Noop
        && !policy.allowed_actions.is_empty()
        && !policy.allowed_actions.contains(&action)
    {
        let allowed: Vec<&str> = policy
            .allowed_actions
            .iter()
            .map(|action| action.as_str())
            .collect();
        return Ruling::Refuse {
            message: format!(
                "policy {name} does not allow {action}: it allows {}",
                allowed.join(", ")
            ),
        };
    }
    if action != Action::Noop && policy.mode == Mode::DryRun {
        return Ruling::DryRun;
    }
    if by_human {
        return Ruling::Allow;
    }
    match council.map(|decision| (decision.final_verdict, decision)) {
        Some((Verdict::Approved, _)) => {}
        Some((Verdict::Rejected, decision)) => {
            return Ruling::Refuse {
                message: format!(
                    "the council rejected {action}: {}{}",
                    decision.summary,
                    reasons(decision)
                ),
            };
        }
        Some((Verdict::NeedsReview, decision)) => {
            return Ruling::NeedsApproval {
                reason: "CouncilNeedsReview",
                message: decision.summary.clone(),
            };
        }
        None => {
            return Ruling::NeedsApproval {
                reason: "CouncilNeedsReview",
                message: format!("no council has agreed to {action}"),
            };
        }
    }
    if action == Action::Noop {
        return Ruling::Allow;
    }
    let failures = failures_in_a_row(incident, action);
    if failures >= 2 {
        let message = format!(
            "{action} failed {failures} times in a row on this workload in the last day: the same fix is not tried a third time without a human"
        );
        return Ruling::NeedsApproval {
            reason: "FailedBefore",
            message,
        };
    }
    if incident
        .target
        .as_ref()
        .is_ok_and(|workload| workload.spec.replicas == 0)
    {
        let message = format!(
            "the workload is asked for with 0 replicas, so none of it should run: {action} needs a human"
        );
        return Ruling::NeedsApproval {
            reason: "ScaledToZero",
            message,
        };
    }
    if incident.protected {
        let message = format!("the workload is protected: {action} needs a human");
        return Ruling::NeedsApproval {
            reason: "Protected",
            message,
        };
    }
    match policy.mode {
        Mode::Auto => {}
        Mode::Approve => {
            return Ruling::NeedsApproval {
                reason: "ApprovalMode",
                message: format!("policy {name} asks a human before {action}"),
            };
        }
        Mode::DryRun | Mode::Off => {
            return Ruling::NeedsApproval {
                reason: "AutomationOff",
                message: format!("policy {name} leaves {action} to a human"),
            };
        }
    }
    if let Some(window) = policy
        .freeze_windows
        .iter()
        .find(|window| is_frozen(window, incident.now))
    {
        let message = format!(
            "freeze window {}–{} UTC {}",
            window.start, window.end, window.reason
        );
        return Ruling::NeedsApproval {
            reason: "FreezeWindow",
            message: message.trim_end().to_owned(),
        };
    }
    let used = actions_in_hour(incident);
    if used >= policy.actions_per_hour {
        let message = format!(
            "{used} of {} actions on this workload were used in the last hour: it may be flapping",
            policy.actions_per_hour
        );
        return Ruling::NeedsApproval {
            reason: "BudgetExhausted",
            message,
        };
    }
    Ruling::Allow
}

/// What those who rejected say, each reason once.
fn reasons(decision: &CouncilDecision) -> String {
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

/// How often an action was done on the workload and did not help, since it last did: in whichever incident.
fn failures_in_a_row(incident: &ValidatedIncident, action: Action) -> usize {
    let done = incident.history.iter().rev().filter(|done| done.action == action);
    done.filter(|done| done.verified.is_some())
        .take_while(|done| done.verified == Some(false))
        .count()
}

/// Actions on the workload in the last hour, those of this incident's earlier rungs included.
fn actions_in_hour(incident: &ValidatedIncident) -> u32 {
    let earlier = incident.history.iter().map(|action| action.at);
    let own = incident
        .status
        .tried
        .iter()
        .filter(|tried| tried.action != Action::Noop)
        .filter_map(|tried| tried.applied_at);
    let recent = earlier.chain(own).filter(|at| at.age(incident.now) <= HOUR);
    u32::try_from(recent.count()).unwrap_or(u32::MAX)
}

/// Until when automation must leave the workload alone after the last action on it.
pub(super) fn cooldown_until(incident: &ValidatedIncident) -> Option<Time> {
    let last = incident.history.iter().map(|action| action.at).max()?;
    let until = last.plus(incident.policy.cooldown);
    (until > incident.now).then_some(until)
}

/// Whether `now` lies in the weekly window.
fn is_frozen(window: &FreezeWindow, now: Time) -> bool {
    let now = now.0.to_zoned(jiff::tz::TimeZone::UTC);
    let (Some(start), Some(end)) = (minutes(&window.start), minutes(&window.end)) else {
        return false;
    };
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    let begins_on = |day: jiff::civil::Weekday| {
        window.days.is_empty() || window.days.iter().any(|wanted| weekday(*wanted) == day)
    };
    let today = now.weekday();
    if start < end {
        return begins_on(today) && (start..end).contains(&minute);
    }
    (begins_on(today) && minute >= start) || (begins_on(today.previous()) && minute < end)
}

fn minutes(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    Some(hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?)
}

fn weekday(day: Weekday) -> jiff::civil::Weekday {
    match day {
        Weekday::Mon => jiff::civil::Weekday::Monday,
        Weekday::Tue => jiff::civil::Weekday::Tuesday,
        Weekday::Wed => jiff::civil::Weekday::Wednesday,
        Weekday::Thu => jiff::civil::Weekday::Thursday,
        Weekday::Fri => jiff::civil::Weekday::Friday,
        Weekday::Sat => jiff::civil::Weekday::Saturday,
        Weekday::Sun => jiff::civil::Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Weekday], start: &str, end: &str) -> FreezeWindow {
        FreezeWindow {
            days: days.to_vec(),
            start: start.to_owned(),
            end: end.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_freeze_window_may_cross_midnight() {
        let night = window(&[Weekday::Fri], "22:00", "06:00");
        // 2026-11-20 is a Friday.
        assert!(is_frozen(&night, "2026-11-20T23:00:00Z".parse().unwrap()));
        assert!(is_frozen(&night, "2026-11-21T05:59:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-21T06:00:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-21T23:00:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-20T05:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_window_without_days_holds_every_day() {
        let lunch = window(&[], "12:00", "13:00");
        assert!(is_frozen(&lunch, "2026-11-22T12:30:00Z".parse().unwrap()));
        assert!(!is_frozen(&lunch, "2026-11-22T13:00:00Z".parse().unwrap()));
    }
}
