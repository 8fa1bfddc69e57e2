//! The next step of an incident, as data. Pure: the same state gives the same step, also after a restart.

mod approval;

use std::time::Duration;

use aegis_api::incident::{ApprovalDecision, Plan, Verification};
use aegis_api::policy::Mode;
use aegis_api::proposal::{Action, CouncilDecision, Seat};
use aegis_api::workload::Health;
use aegis_api::{Kind, Phase, Time, Workload, WorkloadStatus};

use super::gate::{self, Case, Ruling};
use super::remedy;
use super::validate::{REMEDIATION_UNDER_WAY, ValidatedIncident};

/// How long a change may take to show in Docker before it counts as failed.
const CONVERGE_WITHIN: Duration = Duration::from_secs(120);
/// Pause after a failed verification attempt: doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Wait, and say for what.
    Hold {
        reason: &'static str,
        message: String,
        until: Option<Time>,
    },
    /// Collect evidence and recall similar incidents; `then_hold` where the incident must wait right after.
    Investigate {
        then_hold: Option<(&'static str, String, Option<Time>)>,
    },
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
        reason: &'static str,
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

pub(super) fn plan(incident: &ValidatedIncident) -> Step {
    let workload = match &incident.target {
        Ok(workload) => workload,
        Err(error) => return fail(error.clone()),
    };
    match incident.status.phase {
        Phase::Received => receive(incident, workload),
        Phase::Analysing => analyse(incident, workload),
        Phase::CouncilReview => review(incident, workload),
        Phase::AwaitingApproval => approval::await_approval(incident, workload),
        Phase::Approved => match &incident.status.plan {
            Some(plan) => execute(incident, plan),
            None => fail("the plan is missing from the status"),
        },
        Phase::Executing | Phase::Scaling => converge(incident, workload),
        Phase::Verifying => verify(incident, workload),
        Phase::Resolved | Phase::Failed => Step::Wait(None),
    }
}

fn fail(error: impl Into<String>) -> Step {
    Step::Fail {
        error: error.into(),
        council: None,
    }
}

/// What automation approved before the brake was put on waits; what a human ordered does not.
fn execute(incident: &ValidatedIncident, plan: &Plan) -> Step {
    let spec = &incident.incident.spec;
    let approved = spec.approval.as_ref().is_some_and(|approval| {
        approval.plan_hash == plan.hash && approval.decision == ApprovalDecision::Approve
    });
    match &incident.paused {
        Some(hold) if spec.override_.is_none() && !approved && plan.action != Action::Noop => Step::Hold {
            reason: hold.reason,
            message: hold.message.clone(),
            until: None,
        },
        _ => Step::Execute(plan.clone()),
    }
}

fn receive(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let hold = hold(incident, workload);
    // What was seen before a hold may be what another incident has healed since: it is looked at again.
    let held_before = aegis_api::condition::is_true(&incident.status.conditions, "Held");
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

/// Why the incident must not begin yet.
fn hold(incident: &ValidatedIncident, workload: &Workload) -> Option<(&'static str, String, Option<Time>)> {
    if workload.status.is_none() {
        return Some((
            "WorkloadNotObserved",
            format!("workload {} has not been looked at yet", workload.name()),
            None,
        ));
    }
    if let Some(rival) = &incident.rival {
        return Some((
            REMEDIATION_UNDER_WAY,
            format!("incident {rival} is being remedied on the same workload"),
            None,
        ));
    }
    if incident.incident.spec.override_.is_some() {
        return None;
    }
    if incident.policy.mode == Mode::Off {
        return Some((
            "AutomationOff",
            format!(
                "policy {} has mode Off: nothing is analysed or done",
                incident.policy_name
            ),
            None,
        ));
    }
    let until = gate::cooldown_until(incident)?;
    Some((
        "Cooldown",
        format!("cooldown after the last action on the workload until {until}"),
        Some(until),
    ))
}

fn analyse(incident: &ValidatedIncident, workload: &Workload) -> Step {
    match &incident.incident.spec.override_ {
        Some(chosen) => conclude(
            incident,
            workload,
            chosen.action,
            chosen.replica_count,
            None,
            Some(&chosen.by),
        ),
        None => Step::Analyse,
    }
}

fn review(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let status = &incident.status;
    if let Some(chosen) = &incident.incident.spec.override_ {
        return conclude(
            incident,
            workload,
            chosen.action,
            chosen.replica_count,
            None,
            Some(&chosen.by),
        );
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
    let decision = aegis_brain::council::decide(status.votes.clone(), &council.seats, council.quorum);
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
    let ruling = gate::judge(&Case {
        incident,
        action,
        council: council.as_ref(),
        by_human: human.is_some(),
    });
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

fn converge(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let (Some(plan), Some(execution)) = (&incident.status.plan, &incident.status.execution) else {
        return fail("the plan is missing from the status");
    };
    if !remedy::is_applied(&plan.patch, &workload.spec) {
        return fail(format!(
            "somebody changed workload {} (generation {}) before the plan had taken effect",
            plan.target,
            workload.generation()
        ));
    }
    let status = workload.status.clone().unwrap_or_default();
    if let Some(containers) = converged(incident, plan, execution.generation, &status, workload) {
        let lb = (!incident.balancers.is_empty()).then(|| in_rotation(incident, &status));
        return Step::BeginVerification {
            plan: plan.clone(),
            containers,
            lb,
        };
    }
    let began = execution.applied_at.unwrap_or(incident.now);
    let left = CONVERGE_WITHIN.saturating_sub(began.age(incident.now));
    if left.is_zero() {
        let ready = aegis_api::condition::find(&status.conditions, "Ready")
            .map(|ready| ready.message.clone())
            .unwrap_or_default();
        return fall_back(
            incident,
            format!(
                "{} had not taken effect after {} s: {ready}",
                plan.action,
                CONVERGE_WITHIN.as_secs()
            ),
        );
    }
    Step::Wait(Some(left))
}

/// The containers that the change was about, once all carry it.
fn converged(
    incident: &ValidatedIncident,
    plan: &Plan,
    generation: Option<i64>,
    status: &WorkloadStatus,
    workload: &Workload,
) -> Option<Vec<String>> {
    if status.observed_generation < generation {
        return None;
    }
    let rows = &status.instances;
    let names = || acted_on(incident, plan, status);
    match plan.action {
        Action::Noop => Some(names()),
        Action::Restart => {
            let wanted = plan.patch.restarted_at?;
            let all = rows
                .iter()
                .all(|row| row.state == "running" && row.started_at.is_some_and(|start| start >= wanted));
            (all && !rows.is_empty()).then(names)
        }
        Action::ScaleUp | Action::ScaleDown | Action::Rollback => {
            let wanted = workload.spec.replicas;
            let staying = rows
                .iter()
                .filter(|row| !row.draining && row.health == Health::Healthy)
                .count();
            let exact = rows.len() == staying && u32::try_from(staying).ok() == Some(wanted);
            let updated = plan.action != Action::Rollback || status.updated_replicas == wanted;
            (exact && updated && in_rotation(incident, status)).then(names)
        }
    }
}

/// Names of the containers that a plan which has taken effect made, removed or restarted; of a NOOP, all.
fn acted_on(incident: &ValidatedIncident, plan: &Plan, status: &WorkloadStatus) -> Vec<String> {
    let rows = || status.instances.iter().filter(|row| !row.draining);
    match plan.action {
        Action::ScaleUp => rows()
            .filter(|row| row.started_at.is_some_and(|start| start >= plan.created_at))
            .map(|row| row.name.clone())
            .collect(),
        Action::ScaleDown => {
            let seen = incident
                .status
                .evidence
                .iter()
                .flat_map(|evidence| &evidence.containers);
            seen.filter(|before| !rows().any(|row| row.id == before.id))
                .map(|before| before.name.clone())
                .collect()
        }
        Action::Restart => {
            // A stand-in was made for the restart, not restarted.
            let evidence = incident.status.evidence.as_ref();
            let seen = |id: &str| {
                evidence.is_none_or(|evidence| evidence.containers.iter().any(|before| before.id == id))
            };
            rows()
                .filter(|row| seen(&row.id))
                .map(|row| row.name.clone())
                .collect()
        }
        Action::Rollback | Action::Noop => rows().map(|row| row.name.clone()).collect(),
    }
}

/// Whether every load balancer that names the workload sends requests to just its present containers.
fn in_rotation(incident: &ValidatedIncident, status: &WorkloadStatus) -> bool {
    let target = incident
        .target
        .as_ref()
        .map(|workload| workload.name())
        .unwrap_or_default();
    incident.balancers.iter().all(|lb| {
        let servers = lb
            .status
            .as_ref()
            .map(|status| status.servers.as_slice())
            .unwrap_or_default();
        let ours: Vec<_> = servers
            .iter()
            .filter(|server| server.workload == target)
            .collect();
        let present = status.instances.iter().filter(|row| !row.draining).all(|row| {
            ours.iter().any(|server| {
                let ip = server
                    .address
                    .rsplit_once(':')
                    .map(|(ip, _)| ip.trim_matches(['[', ']']))
                    .unwrap_or_default();
                server.id == row.id && row.addresses.values().any(|address| address == ip)
            })
        });
        present
            && ours
                .iter()
                .all(|server| status.instances.iter().any(|row| row.id == server.id))
    })
}

fn verify(incident: &ValidatedIncident, workload: &std::sync::Arc<Workload>) -> Step {
    let Some(verification) = &incident.status.verification else {
        return fail("the verification is missing from the status");
    };
    let status = workload.status.clone().unwrap_or_default();
    let steady = verified(incident, verification);
    if steady && in_rotation(incident, &status) {
        return Step::Resolve;
    }
    let now = incident.now;
    if verification.deadline.is_some_and(|deadline| now >= deadline) {
        let last = verification
            .attempts
            .last()
            .map(|attempt| attempt.message.clone())
            .unwrap_or_default();
        let what = if steady {
            "the load balancer does not have it in rotation".to_owned()
        } else {
            last
        };
        return fall_back(incident, format!("not verified before the deadline: {what}"));
    }
    let number = verification
        .attempts
        .last()
        .map_or(1, |last| last.number.saturating_add(1));
    let due = match verification.attempts.last() {
        None => Duration::ZERO,
        Some(last) => {
            let doublings = number.saturating_sub(2).min(16);
            let pause = FIRST_PAUSE
                .saturating_mul(1 << doublings)
                .min(LAST_PAUSE)
                .saturating_sub(last.at.age(now));
            // The attempt that completes the soak is not put off beyond it, least of all beyond the deadline.
            soak_end(incident, verification)
                .filter(|end| *end > last.at)
                .map_or(pause, |end| pause.min(end.until(now)))
        }
    };
    if due.is_zero() {
        Step::Attempt {
            workload: std::sync::Arc::clone(workload),
            number,
        }
    } else {
        Step::Wait(Some(due))
    }
}

/// When the soak is over if every attempt passes from now on; `None` while none passes.
fn soak_end(incident: &ValidatedIncident, verification: &Verification) -> Option<Time> {
    let since = verification.healthy_since?;
    Some(since.plus(incident.policy.verification.soak))
}

/// Whether the attempts so far are the proof that policy asks for: enough in a row, over the whole soak.
fn verified(incident: &ValidatedIncident, verification: &Verification) -> bool {
    let wanted = &incident.policy.verification;
    let (Some(since), Some(newest)) = (verification.healthy_since, verification.attempts.last()) else {
        return false;
    };
    verification.passes >= wanted.successes && since.age(newest.at) >= wanted.soak.std()
}

/// The next rung of the ladder that was not tried yet, or the end.
fn fall_back(incident: &ValidatedIncident, error: String) -> Step {
    let current = incident.status.plan.as_ref().map(|plan| plan.action);
    let tried = |action: Action| {
        current == Some(action) || incident.status.tried.iter().any(|tried| tried.action == action)
    };
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
