//! The policy gate: deterministic, after the model and stronger than it. A list of named rules; the first that has
//! something against an action decides. Pure: it reads nothing but the case and changes nothing.

mod budget;
mod dependency;
mod host;
mod passed_on;
mod rules;
#[cfg(test)]
mod tests;
mod window;

pub use window::is_frozen;

use aegis_api::Reason;
use aegis_api::policy::Mode;
use aegis_api::proposal::{Action, CouncilDecision};

use super::validate::ValidatedIncident;

pub(crate) use budget::cooldown_until;
pub(super) use rules::paused_containers;

/// What policy says of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Go ahead.
    Allow,
    /// Nothing measured is wrong: nothing is done, and the workload's own probe must prove that nothing is wrong.
    NotMeasured { message: String },
    /// A human must decide.
    NeedsApproval { reason: Reason, message: String },
    /// Do nothing, and say what would have been ruled otherwise.
    DryRun(Box<Ruling>),
    /// Not yet: it goes on by itself when others have done.
    Wait { reason: Reason, message: String },
    /// Not at all.
    Refuse { message: String },
}

/// One action on one incident, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub incident: &'a ValidatedIncident,
    pub action: Action,
    pub council: Option<&'a CouncilDecision>,
    /// A person chose the action or approved the plan.
    pub by_human: bool,
}

/// Whom a rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binds {
    /// People, too: what is forbidden outright.
    Everybody,
    /// Automation only: a person who orders the action has answered it.
    Automation,
}

/// Which actions a rule applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concerns {
    /// All, NOOP among them.
    Anything,
    /// Those that change the workload: NOOP passes.
    Changes,
}

/// A named rule.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    binds: Binds,
    concerns: Concerns,
    judge: fn(&Case<'_>) -> Option<Ruling>,
}

impl Rule {
    /// What the rule has against the case, if anything.
    fn objection(&self, case: &Case<'_>) -> Option<Ruling> {
        let bound = self.binds == Binds::Everybody || !case.by_human;
        let concerned = self.concerns == Concerns::Anything || case.action != Action::Noop;
        if !bound || !concerned {
            return None;
        }
        let ruling = (self.judge)(case)?;
        tracing::debug!(rule = self.name, incident = case.incident.name(), action = %case.action, ?ruling, "the gate decided");
        Some(ruling)
    }
}

const fn rule(
    name: &'static str,
    binds: Binds,
    concerns: Concerns,
    judge: fn(&Case<'_>) -> Option<Ruling>,
) -> Rule {
    Rule {
        name,
        binds,
        concerns,
        judge,
    }
}

/// Every rule, in the order in which they bind.
const RULES: &[Rule] = {
    use Binds::{Automation, Everybody};
    use Concerns::{Anything, Changes};
    &[
        rule("ContainerPaused", Everybody, Anything, rules::container_paused),
        rule("DetectorFires", Automation, Anything, rules::detector_fires),
        rule("Unconfirmed", Automation, Anything, rules::unconfirmed),
        // No human is asked about what nothing speaks for.
        rule("NotMeasured", Automation, Changes, rules::not_measured),
        rule("OriginNotMeasured", Automation, Changes, passed_on::not_measured),
        rule("StoppedByHand", Automation, Changes, rules::stopped_by_hand),
        // Nor about what is the trouble of another workload.
        rule("OriginUnderWay", Automation, Anything, passed_on::under_way),
        rule("DependencyDown", Automation, Changes, dependency::down),
        rule("RestartLimit", Automation, Anything, rules::restart_limit),
        rule("Paused", Automation, Changes, rules::paused),
        rule("NotAllowed", Everybody, Changes, rules::not_allowed),
        rule("CannotRestart", Everybody, Changes, rules::cannot_restart),
        rule("CouncilRejected", Automation, Anything, rules::council_rejected),
        rule(
            "CouncilNeedsReview",
            Automation,
            Anything,
            rules::council_needs_review,
        ),
        rule("CannotClear", Automation, Changes, rules::cannot_clear),
        rule("PassedOn", Automation, Changes, passed_on::passed_on),
        rule("FailedBefore", Automation, Changes, rules::failed_before),
        rule("ScaledToZero", Automation, Changes, rules::scaled_to_zero),
        rule("Protected", Automation, Changes, rules::protected),
        rule("NoPolicy", Automation, Changes, rules::no_policy),
        rule("BrokenPolicy", Automation, Changes, rules::broken_policy),
        rule("ApprovalMode", Automation, Changes, rules::approval_mode),
        rule("AutomationOff", Automation, Changes, rules::automation_off),
        rule("FreezeWindow", Automation, Changes, rules::freeze_window),
        rule("BudgetExhausted", Automation, Changes, rules::budget_exhausted),
        rule("HostShort", Automation, Changes, host::host_short),
        rule(
            "HostBudgetExhausted",
            Automation,
            Changes,
            host::host_budget_exhausted,
        ),
        rule("Relapsed", Automation, Changes, rules::relapsed),
        // Those that would be acted on: all others allow it.
        rule("BlastRadius", Automation, Changes, host::blast_radius),
        rule("HostBusy", Automation, Changes, host::host_busy),
    ]
};

/// Judges an action: what the first rule that objects says, else go ahead. A dry run is judged like the real one, and
/// no order makes it one.
pub fn judge(case: &Case<'_>) -> Ruling {
    let mut objections = RULES.iter().filter_map(|rule| rule.objection(case));
    let ruling = objections.next().unwrap_or(Ruling::Allow);
    // Where nothing is wrong nothing is done in earnest either.
    let acts = case.action != Action::Noop && !matches!(ruling, Ruling::NotMeasured { .. });
    match case.incident.policy.mode {
        Mode::DryRun if acts => Ruling::DryRun(Box::new(ruling)),
        Mode::DryRun | Mode::Auto | Mode::Approve | Mode::Off => ruling,
    }
}
