//! The next step of an incident, as data. Pure: the same state gives the same step, also after a restart.

mod approval;
pub mod converge;
pub mod verify;

use std::time::Duration;

use aegis_api::incident::Plan;
use aegis_api::observed::ContainerState;
use aegis_api::policy::Mode;
use aegis_api::proposal::{Action, CouncilDecision, Seat};
use aegis_api::{ConditionType, Kind, Phase, Reason, Time, Workload, WorkloadStatus};

use super::gate::{self, Case, Ruling};
use super::remedy;
use super::validate::ValidatedIncident;
use crate::council;
use crate::host_limit::{self, HostRuling};
use crate::serving::is_in_rotation;

/// How long ago something may have been measured for it to be right before an action.
const FRESH: Duration = Duration::from_secs(5);
/// How often an incident begins at evidence again by itself; then a human decides.
pub const MOST_ANEW: u32 = 2;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Wait, and say for what.
    Hold {
        reason: Reason,
        message: String,
        until: Option<Time>,
    },
    /// Collect evidence and recall similar incidents; `then_hold` where the incident must wait right after.
    Investigate {
        then_hold: Option<(Reason, String, Option<Time>)>,
    },
    /// Measure anew what is wrong: what is about to be done was decided on what was seen before.
    Measure,
    /// Begin at evidence again, with an analysis and a council of this moment.
    BeginAnew { reason: String },
    /// Begin the analysis with the evidence at hand.
    BeginAnalysis,
    /// Ask the brain.
    Analyse,
    /// Ask one seat.
    Vote(Seat),
    /// Council and policy agree on this plan.
    Approve {
        plan: Plan,
        council: Option<CouncilDecision>,
        note: String,
    },
    /// A human must decide on this plan.
    AskHuman {
        plan: Plan,
        council: Option<CouncilDecision>,
        reason: Reason,
        message: String,
    },
    /// The plan, if one can be made, is not carried out; the ruling says what would have become of it.
    EndDryRun {
        plan: Option<Plan>,
        council: Option<CouncilDecision>,
        ruling: Ruling,
    },
    /// Apply the plan's patch.
    Execute(Plan),
    /// Docker has what the plan asks for.
    BeginVerification {
        plan: Plan,
        containers: Vec<String>,
        lb: Option<bool>,
    },
    /// Probe every container once.
    Attempt {
        workload: std::sync::Arc<Workload>,
        number: u32,
    },
    /// It is verified.
    Resolve,
    /// The plan did not help; try this action next.
    FallBack { error: String, action: Action },
    /// Nothing more can be tried, or nothing may be done.
    Fail {
        error: String,
        council: Option<CouncilDecision>,
    },
    /// Nothing to do until something changes or this time has passed.
    Wait(Option<Duration>),
}

impl Step {
    /// Whether the incident only waits after this step, so that another may work on the workload meanwhile. One that is
    /// approved, or measured for that, begins its work: until the store says so, too, the lease does.
    pub fn lets_go(&self, incident: &ValidatedIncident) -> bool {
        match self {
            Self::Hold { .. } | Self::Investigate { then_hold: Some(_) } => true,
            Self::Approve { .. } | Self::Measure => false,
            _ => incident.status.phase == Phase::AwaitingApproval,
        }
    }
}

pub fn plan(incident: &ValidatedIncident) -> Step {
    let workload = match &incident.target {
        Ok(workload) => workload,
        Err(error) => return fail(error.clone()),
    };
    match incident.status.phase {
        Phase::Received => receive(incident, workload),
        Phase::Analysing => analyse(incident, workload),
        Phase::CouncilReview => review(incident, workload),
        Phase::AwaitingApproval => approval::await_approval(incident, workload),
        Phase::Approved => approval::carry_out(incident, workload),
        Phase::Executing | Phase::Scaling => converge::converge(incident, workload),
        Phase::Verifying => verify::verify(incident, workload),
        Phase::Resolved | Phase::Failed => Step::Wait(None),
    }
}

fn fail(error: impl Into<String>) -> Step {
    Step::Fail {
        error: error.into(),
        council: None,
    }
}

fn receive(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let hold = hold(incident, workload);
    // What was seen before a hold may be what another incident has healed since: it is looked at again.
    let held_before = aegis_api::condition::is_true(&incident.status.conditions, ConditionType::Held);
    let fresh = incident.status.evidence.is_some() && !held_before;
    match hold {
        Some((reason, message, until)) if incident.status.evidence.is_some() => Step::Hold {
            reason,
            message,
            until,
        },
        then_hold if then_hold.is_some() || !fresh => Step::Investigate { then_hold },
        _ => Step::BeginAnalysis,
    }
}

/// Whether what is wrong was measured a moment ago.
fn is_fresh(incident: &ValidatedIncident) -> bool {
    let measured = incident.status.measured_at;
    measured.is_some_and(|at| at.age(incident.now) <= FRESH)
}

/// What else has changed the workload's spec since the evidence, or since this incident's own last action: what was
/// proposed was not proposed for this.
fn overtaken(incident: &ValidatedIncident, workload: &Workload) -> Option<String> {
    let status = &incident.status;
    let known = match status.tried.last() {
        Some(tried) => tried.withdrawn.or(tried.generation),
        None => status.evidence.as_ref().and_then(|evidence| evidence.generation),
    };
    let known = known.filter(|known| *known != workload.generation())?;
    Some(format!(
        "somebody changed workload {} from generation {known} to {} meanwhile",
        workload.name(),
        workload.generation()
    ))
}

/// A proposal that something has overtaken is made anew, and not for ever: then a human decides, if something is still
/// wrong right then. `None` where nothing is.
fn begin_anew(
    incident: &ValidatedIncident,
    workload: &Workload,
    action: Action,
    council: Option<CouncilDecision>,
    reason: String,
) -> Option<Step> {
    // What a ladder tries next was chosen in the policy: no analysis would choose another.
    if incident.status.tried.is_empty() && incident.status.begun_anew <= MOST_ANEW {
        return Some(Step::BeginAnew { reason });
    }
    if !is_fresh(incident) {
        return Some(Step::Measure);
    }
    if incident.status.symptoms.is_empty() {
        return None;
    }
    Some(
        match remedy::prescribe(incident, workload, action, proposed_count(incident)) {
            Ok(plan) => Step::AskHuman {
                plan,
                council,
                reason: Reason::SpecChanged,
                message: format!("{reason}: {action} needs a human"),
            },
            Err(error) => Step::Fail { error, council },
        },
    )
}

/// By how many the proposal scales; a rung of the ladder goes one step.
fn proposed_count(incident: &ValidatedIncident) -> u32 {
    let analysis = incident.status.analysis.as_ref();
    analysis
        .filter(|_| incident.status.tried.is_empty())
        .map_or(1, |analysis| analysis.proposal.replica_count)
}

/// Which containers somebody paused, and what to do about it; `None` where nobody did.
pub(crate) fn paused_containers(workload: &Workload) -> Option<String> {
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let paused = rows
        .filter(|row| row.state == ContainerState::Paused)
        .map(|row| row.name.as_str());
    let paused: Vec<&str> = paused.collect();
    let names = paused.join(", ");
    (!paused.is_empty()).then(|| {
        format!(
            "{names} {} paused: whoever paused it must unpause it (`docker unpause {}`) before anything can be done",
            if paused.len() == 1 { "is" } else { "are" },
            paused.join(" ")
        )
    })
}

/// Why the incident must not begin yet.
fn hold(incident: &ValidatedIncident, workload: &Workload) -> Option<(Reason, String, Option<Time>)> {
    if workload.status.is_none() {
        return Some((
            Reason::WorkloadNotObserved,
            format!("workload {} has not been looked at yet", workload.name()),
            None,
        ));
    }
    if let Some(rival) = &incident.rival {
        return Some((
            Reason::RemediationUnderWay,
            format!("incident {rival} is being remedied on the same workload"),
            None,
        ));
    }
    if incident.incident.spec.override_.is_some() {
        return None;
    }
    if incident.policy.mode == Mode::Off {
        return Some((
            Reason::AutomationOff,
            format!(
                "policy {} has mode Off: nothing is analysed or done",
                incident.policy_name
            ),
            None,
        ));
    }
    let until = gate::cooldown_until(incident)?;
    Some((
        Reason::Cooldown,
        format!("cooldown after the last action on the workload until {until}"),
        Some(until),
    ))
}

fn analyse(incident: &ValidatedIncident, workload: &Workload) -> Step {
    ordered(incident, workload).unwrap_or(Step::Analyse)
}

/// What a person chose in place of all proposals, if anybody did.
fn ordered(incident: &ValidatedIncident, workload: &Workload) -> Option<Step> {
    let chosen = incident.incident.spec.override_.as_ref()?;
    let (action, count) = (chosen.action, chosen.replica_count);
    Some(conclude(
        incident,
        workload,
        action,
        count,
        None,
        Some(&chosen.by),
    ))
}

fn review(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let status = &incident.status;
    if let Some(step) = ordered(incident, workload) {
        return step;
    }
    if let Some(last) = status.tried.last() {
        // A rung of the ladder is a human's choice made in advance, in the policy, and the council has spoken already:
        // where it had not agreed, a human who approved the first plan has not approved this one, too.
        let untried = incident
            .policy
            .fallback
            .iter()
            .find(|action| !status.tried.iter().any(|tried| tried.action == **action));
        return match untried {
            Some(action) => conclude(incident, workload, *action, 1, status.council.clone(), None),
            None => fail(last.error.clone()),
        };
    }
    let Some(analysis) = &status.analysis else {
        return Step::Analyse;
    };
    let council = &incident.policy.council;
    let next = council
        .seats
        .iter()
        .find(|seat| !status.votes.iter().any(|vote| vote.role == **seat));
    if let Some(seat) = next {
        return Step::Vote(*seat);
    }
    let decision = council::decide(status.votes.clone(), &council.seats, council.quorum);
    let proposal = &analysis.proposal;
    conclude(
        incident,
        workload,
        proposal.action,
        proposal.replica_count,
        Some(decision),
        None,
    )
}

/// Policy and plan: what is to happen with an action that somebody proposed or chose.
fn conclude(
    incident: &ValidatedIncident,
    workload: &Workload,
    action: Action,
    count: u32,
    council: Option<CouncilDecision>,
    human: Option<&str>,
) -> Step {
    let by_itself = human.is_none() && action != Action::Noop;
    if by_itself {
        let overtaken = overtaken(incident, workload)
            .and_then(|reason| begin_anew(incident, workload, action, council.clone(), reason));
        if let Some(step) = overtaken {
            return step;
        }
        if !is_fresh(incident) {
            // Who waits until others are done is measured when its turn has come.
            return still_waits(incident, workload).unwrap_or(Step::Measure);
        }
    }
    let ruling = gate::judge(&Case {
        incident,
        action,
        council: council.as_ref(),
        by_human: human.is_some(),
    });
    let left_alone = incident
        .status
        .tried
        .iter()
        .rfind(|tried| tried.action == Action::Noop);
    if let (Ruling::NotMeasured { message }, Some(tried)) = (&ruling, left_alone) {
        // Leaving it as it is was tried, and its probe did not prove it well: no symptom, and no proof either.
        let error = format!("{}; {message}", tried.error);
        return Step::Fail { error, council };
    }
    let (action, count) = match &ruling {
        Ruling::NotMeasured { .. } => (Action::Noop, 0),
        _ => (action, count),
    };
    if let Ruling::Refuse { message } = ruling {
        return Step::Fail {
            error: message,
            council,
        };
    }
    let plan = remedy::prescribe(incident, workload, action, count);
    if let Ruling::DryRun(ruling) = ruling {
        let (plan, ruling) = match plan {
            Ok(plan) => (Some(plan), *ruling),
            Err(message) => (None, Ruling::Refuse { message }),
        };
        return Step::EndDryRun {
            plan,
            council,
            ruling,
        };
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return Step::Fail { error, council },
    };
    match ruling {
        Ruling::NotMeasured { message: note } => Step::Approve { plan, council, note },
        Ruling::Allow if by_itself && incident.status.begun_anew > MOST_ANEW => Step::AskHuman {
            plan,
            council,
            reason: Reason::ChangedTooOften,
            message: format!(
                "{action} was decided on {MOST_ANEW} times, and each time something had changed meanwhile"
            ),
        },
        Ruling::Allow => {
            let note = match human {
                Some(by) => format!("{} chose {action}", if by.is_empty() { "a human" } else { by }),
                None => format!("policy {} allows {action}", incident.policy_name),
            };
            Step::Approve { plan, council, note }
        }
        Ruling::NeedsApproval { reason, message } => Step::AskHuman {
            plan,
            council,
            reason,
            message,
        },
        Ruling::Wait { reason, message } => Step::Hold {
            reason,
            message,
            until: None,
        },
        Ruling::DryRun(ruling) => Step::EndDryRun {
            plan: Some(plan),
            council,
            ruling: *ruling,
        },
        Ruling::Refuse { message } => Step::Fail {
            error: message,
            council,
        },
    }
}

/// Held on, where it waits for its turn and others still have theirs.
fn still_waits(incident: &ValidatedIncident, workload: &Workload) -> Option<Step> {
    if !host_limit::waits_for_its_turn(&incident.status) {
        return None;
    }
    match host_limit::judge(&incident.limits, &incident.host, workload.name())? {
        HostRuling::Busy(message) => Some(Step::Hold {
            reason: Reason::HostBusy,
            message,
            until: None,
        }),
        HostRuling::Exhausted(_) | HostRuling::BlastRadius(_) => None,
    }
}

/// Whether every load balancer that names the workload sends requests to just its present containers.
fn in_rotation(incident: &ValidatedIncident, status: &WorkloadStatus) -> bool {
    let target = incident.target.as_ref();
    let target = target.map(|workload| workload.name()).unwrap_or_default();
    is_in_rotation(&incident.balancers, target, &status.instances)
}

/// The next rung of the ladder that was not tried yet, or the end.
fn fall_back(incident: &ValidatedIncident, error: String) -> Step {
    let current = incident.status.plan.as_ref().map(|plan| plan.action);
    let tried = |action: Action| {
        current == Some(action) || incident.status.tried.iter().any(|tried| tried.action == action)
    };
    let status = &incident.status;
    let nothing_was_wrong = current == Some(Action::Noop)
        && incident.incident.spec.override_.is_none()
        && status
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.proposal.action != Action::Noop);
    if nothing_was_wrong && status.tried.is_empty() && status.begun_anew < MOST_ANEW {
        // Something was proposed, and nothing spoke for it then.
        return Step::BeginAnew { reason: error };
    }
    let next = match &incident.incident.spec.override_ {
        // Whoever takes an incident into their own hands has it there: the ladder does not go on behind their back.
        Some(chosen) => Some(chosen.action).filter(|action| !tried(*action)),
        None => incident
            .policy
            .fallback
            .iter()
            .copied()
            .find(|action| !tried(*action)),
    };
    match next {
        Some(action) => Step::FallBack { error, action },
        None => fail(error),
    }
}
