//! The conditions that a Workload's status has after a pass: which of several troubles is reported, and what the pass says
//! where there is none. Pure.

use aegis_api::condition::Conditions;
use aegis_api::meta::LABEL_WORKLOAD;
use aegis_api::workload::Health;
use aegis_api::{ConditionType, Reason, WorkloadStatus};

use super::status::{Outcome, cannot};
use super::validate::{Instance, ReplicaSource, ValidatedWorkload};
use super::{restart_limit, stopped_by_hand};

/// A pass, and the status that it led to but for the conditions.
#[derive(Clone, Copy)]
struct Pass<'a> {
    workload: &'a ValidatedWorkload,
    outcome: &'a Outcome,
    status: &'a WorkloadStatus,
    /// As many containers serve as are desired, and nothing is under way.
    settled: bool,
}

/// Something that is wrong: why, and in human-readable words.
type Trouble = (Reason, String);

/// What can be wrong, in the order in which it binds: the first is reported as the reason of `Ready` and `Degraded`.
const TROUBLES: [fn(Pass<'_>) -> Option<Trouble>; 8] = [
    step_failed,
    cannot_restart,
    held,
    restart_limit,
    dependency_down,
    container_missing,
    unhealthy,
    out_of_reach,
];

/// Sets all conditions of a status whose other fields are as they will be stored.
pub(super) fn set(
    workload: &ValidatedWorkload,
    outcome: &Outcome,
    status: &mut WorkloadStatus,
    settled: bool,
) {
    let mut all = std::mem::take(&mut status.conditions);
    let pass = Pass {
        workload,
        outcome,
        status,
        settled,
    };
    let trouble = TROUBLES.iter().find_map(|trouble| trouble(pass));
    let stopped_by_hand = stopped_by_hand::message(workload);
    let rolled_back = rolled_back(pass);
    let mut conditions = Conditions::at(&mut all, Some(workload.generation), workload.now);
    ready(
        pass,
        &mut conditions,
        trouble.as_ref(),
        stopped_by_hand.as_deref(),
    );
    foreign(workload, &mut conditions);
    let is_theirs = stopped_by_hand.is_some() && trouble.is_none();
    progressing(pass, &mut conditions, rolled_back.as_deref(), is_theirs);
    degraded(&mut conditions, trouble, rolled_back, stopped_by_hand.is_some());
    paused(workload, &mut conditions);
    stopped_by_hand::condition(&mut conditions, stopped_by_hand, workload.removed_by_hand);
    status.conditions = all;
}

/// The engine did not do a step.
fn step_failed(pass: Pass<'_>) -> Option<Trouble> {
    let failed = pass.outcome.failed.first()?;
    let reason = match failed.is_transient {
        true => Reason::StepFailed,
        false => Reason::StepRefused,
    };
    let text = format!("cannot {}: {}", failed.step.words(), failed.message);
    Some((reason, text))
}

/// A requested stop could not be undone, or a start would fail.
fn cannot_restart(pass: Pass<'_>) -> Option<Trouble> {
    let cannot = cannot(pass.outcome);
    let reason = cannot.first()?.reason.reason();
    let all: Vec<String> = cannot.iter().map(ToString::to_string).collect();
    Some((reason, all.join("; ")))
}

/// Something is unhealthy, and nothing is restarted by itself.
fn held(pass: Pass<'_>) -> Option<Trouble> {
    let hold = pass
        .workload
        .no_restarts
        .as_ref()
        .filter(|_| pass.is_unhealthy())?;
    Some((
        hold.reason,
        format!("{}; {}", pass.unhealthy_message(), hold.message),
    ))
}

/// Something unhealthy was restarted too often.
fn restart_limit(pass: Pass<'_>) -> Option<Trouble> {
    let reached = pass.unhealthy_instances().filter_map(|instance| {
        let limit = restart_limit::reached(pass.workload, instance)?;
        Some(restart_limit::words(pass.workload, instance, limit))
    });
    let reached: Vec<String> = reached.collect();
    (!reached.is_empty()).then(|| (Reason::RestartLimit, reached.join("; ")))
}

/// Something is unhealthy, and what it needs is not well.
fn dependency_down(pass: Pass<'_>) -> Option<Trouble> {
    let roots = pass.workload.waits_for().filter(|_| pass.is_unhealthy())?;
    let text = format!("waits for what it needs: {roots}; {}", pass.unhealthy_message());
    Some((Reason::DependencyDown, text))
}

/// The container that is to be adopted is not there.
fn container_missing(pass: Pass<'_>) -> Option<Trouble> {
    let missing = matches!(pass.workload.source, ReplicaSource::Missing);
    let name = pass.workload.spec.container.as_ref().filter(|_| missing)?;
    let text = format!(
        "container {name} does not exist: start it, and it is adopted{}",
        kept_by(pass.status)
    );
    Some((Reason::ContainerMissing, text))
}

/// A probe fails.
fn unhealthy(pass: Pass<'_>) -> Option<Trouble> {
    let text = pass.unhealthy_message();
    (!text.is_empty()).then_some((Reason::Unhealthy, text))
}

/// Something cannot be probed from here.
fn out_of_reach(pass: Pass<'_>) -> Option<Trouble> {
    let instances = pass.workload.instances.iter();
    let hidden = instances.filter(|instance| instance.out_of_reach);
    let texts: Vec<String> = hidden
        .map(|instance| format!("{}: {}", instance.name, instance.message))
        .collect();
    (!texts.is_empty()).then(|| (Reason::ProbeUnreachable, texts.join("; ")))
}

impl<'a> Pass<'a> {
    /// What is unhealthy and was not stopped by a person.
    fn unhealthy_instances(self) -> impl Iterator<Item = &'a Instance> {
        let instances = self.workload.instances.iter();
        instances.filter(|instance| instance.health == Health::Unhealthy && !instance.is_stopped_by_hand())
    }

    fn is_unhealthy(self) -> bool {
        self.unhealthy_instances().next().is_some()
    }

    /// The containers that stay and whose probe fails, human-readable; empty where there are none.
    fn unhealthy_message(self) -> String {
        let rows = self.status.instances.iter();
        let unhealthy = rows.filter(|row| row.health == Health::Unhealthy && row.stopped_by_hand.is_none());
        let messages: Vec<String> = unhealthy
            .map(|row| format!("{}: {}", row.name, row.message.as_deref().unwrap_or("unhealthy")))
            .collect();
        messages.join("; ")
    }

    /// What is said of containers whose probe has said nothing yet.
    fn unknown(self) -> Vec<String> {
        let rows = self.status.instances.iter();
        let unknown = rows.filter(|row| row.health == Health::Unknown);
        unknown
            .filter_map(|row| Some(format!("{}: {}", row.name, row.message.as_deref()?)))
            .collect()
    }
}

/// What keeps the networks of a container that is gone, for the one that tears them down.
fn kept_by(status: &WorkloadStatus) -> String {
    match status.instances.len() {
        0 => String::new(),
        count => format!(
            " ({count} clones of it go on serving and stay on its networks until the Workload is deleted)"
        ),
    }
}

/// That a revision was rolled back, human-readable.
fn rolled_back(pass: Pass<'_>) -> Option<String> {
    let rejected = pass.status.rejected.as_ref()?;
    Some(format!(
        "revision {} was rolled back and {} runs: {}; it is tried again once spec.template is changed",
        rejected.revision,
        pass.status.revision.as_deref().unwrap_or("the one before"),
        rejected.reason
    ))
}

fn ready(
    pass: Pass<'_>,
    conditions: &mut Conditions<'_>,
    trouble: Option<&Trouble>,
    stopped_by_hand: Option<&str>,
) {
    let ready = format!(
        "{} of {} ready",
        pass.status.ready_replicas, pass.workload.spec.replicas
    );
    let waiting = &pass.outcome.plan.waiting;
    let (reason, message) = match (trouble, stopped_by_hand) {
        (Some((reason, text)), _) => (*reason, format!("{ready}; {text}")),
        (None, Some(text)) => (Reason::StoppedByHand, format!("{ready}; {text}")),
        (None, None) if pass.settled && pass.status.rejected.is_some() => (Reason::RolledBack, ready),
        (None, None) if pass.settled => (Reason::Ready, ready),
        (None, None) if pass.workload.deleting => (Reason::Deleting, waiting.join("; ")),
        (None, None) => {
            let all = [vec![ready], pass.unknown(), waiting.clone()];
            (Reason::Progressing, all.concat().join("; "))
        }
    };
    let is_ready = pass.settled && trouble.is_none();
    conditions.set(ConditionType::Ready, is_ready, reason, message);
}

/// Containers that carry the labels of the workload's replicas and are none.
fn foreign(workload: &ValidatedWorkload, conditions: &mut Conditions<'_>) {
    let kind = ConditionType::ForeignContainers;
    if workload.strangers.is_empty() {
        conditions.remove(kind);
        return;
    }
    let message = format!(
        "{} left alone: {LABEL_WORKLOAD}={} says it was made for this workload, its name does not (run from a committed image, duplicated, or renamed); \
         remove it, or recreate it without the labels io.aegisops.*, or give it its name back with docker rename",
        workload.strangers.join(", "),
        workload.name,
    );
    conditions.set(kind, true, Reason::NotOurs, message);
}

/// `is_theirs`: people stopped what is missing, and nothing else is wrong.
fn progressing(pass: Pass<'_>, conditions: &mut Conditions<'_>, rolled_back: Option<&str>, is_theirs: bool) {
    let (status, reason) = match (rolled_back, pass.settled) {
        (Some(_), _) => (false, Reason::RolloutFailed),
        (None, true) => (false, Reason::Settled),
        (None, false) if is_theirs => (false, Reason::StoppedByHand),
        (None, false) => (true, Reason::Working),
    };
    let waiting = || pass.outcome.plan.waiting.join("; ");
    let message = rolled_back.map_or_else(waiting, str::to_owned);
    conditions.set(ConditionType::Progressing, status, reason, message);
}

fn degraded(
    conditions: &mut Conditions<'_>,
    trouble: Option<Trouble>,
    rolled_back: Option<String>,
    stopped_by_hand: bool,
) {
    let (status, reason, message) = match (trouble, rolled_back) {
        (Some((reason, text)), _) => (true, reason, text),
        (None, Some(text)) => (true, Reason::RolledBack, text),
        // As the spec desires it.
        (None, None) if stopped_by_hand => (false, Reason::StoppedByHand, String::new()),
        (None, None) => (false, Reason::Healthy, String::new()),
    };
    conditions.set(ConditionType::Degraded, status, reason, message);
}

/// Whether a pause holds automation; a workload that was never paused has no such condition.
fn paused(workload: &ValidatedWorkload, conditions: &mut Conditions<'_>) {
    let kind = ConditionType::Paused;
    let hold = workload.no_restarts.as_ref();
    match hold.filter(|hold| hold.reason == Reason::Paused) {
        Some(hold) => {
            conditions.set(kind, true, Reason::Paused, hold.message.clone());
        }
        None if conditions.is_true(kind) => {
            conditions.set(kind, false, Reason::Resumed, "");
        }
        None => {}
    }
}
