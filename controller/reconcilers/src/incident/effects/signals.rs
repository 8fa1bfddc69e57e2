//! What the signals show of an incident's workload beside its evidence: what the load balancer's clients meet, and how
//! near its limit of processes a container is. Reads what is measured already.

use aegis_api::signals::{ContainerSignals, WorkloadSignals, bounds};
use aegis_api::symptom::SymptomKind;
use aegis_api::workload::InstanceStatus;
use aegis_api::{Kind, Workload, WorkloadStatus};
use aegis_planning::detection::{Finding, Verdict, from_signals};
use aegis_planning::incident::validate::{Dependent, ValidatedIncident};
use aegis_planning::set_back;

use crate::context::Context;

/// How long requests may be under way that met what was restarted.
const IN_FLIGHT: aegis_api::Duration = aegis_api::Duration::from_secs(3);

/// Each kind with what was found since the last action, gravest first.
pub(super) type Signals = [(SymptomKind, Finding); 3];

/// Reads them.
pub(super) fn read(context: &Context, incident: &ValidatedIncident, workload: &Workload) -> Signals {
    let default = WorkloadStatus::default();
    let status = workload.status.as_ref().unwrap_or(&default);
    let execution = incident.status.execution.as_ref();
    let acted_at = [
        status.demands.last().map(|demand| demand.at),
        execution.and_then(|execution| execution.applied_at),
    ];
    let (now, set_at) = (context.clock.now(), context.clock.set_at());
    let acted_at = acted_at.into_iter().flatten();
    let acted_at = acted_at.map(|at| set_back::time(at, set_at, now)).max();
    let traffic = context.samples.traffic();
    // What is at fault for the errors of others has no requests of its own here: those of their clients count.
    let dependent = incident.dependent.as_ref();
    let counted = match dependent {
        Some(dependent) => dependent.workload.as_deref(),
        None => Some(workload.name()),
    };
    // Those that met it while it was away say nothing of what it is like since.
    let back = execution
        .and_then(|execution| execution.converged_at)
        .filter(|_| dependent.is_some());
    let acted_at = acted_at.max(back.map(|at| set_back::time(at, set_at, now).plus(IN_FLIGHT)));
    let requests = counted.and_then(|name| traffic.within(name, now, bounds::REQUESTS_WITHIN.std()));
    context.samples.history().with(|view| {
        let rows = status.instances.iter().filter(|row| row.leaving.is_none());
        let containers: Vec<ContainerSignals<'_>> = rows
            .map(|row| ContainerSignals {
                samples: view.samples(&row.name),
                ..of_row(row)
            })
            .collect();
        let found = from_signals(&WorkloadSignals {
            now,
            containers: &containers,
            desired: workload.spec.replicas,
            ready: status.ready_replicas,
            changing: false,
            acted_at,
            requests: requests.as_deref(),
            in_rotation: None,
            missing: None,
        });
        match dependent {
            Some(dependent) => through(found, dependent),
            None => found,
        }
    })
}

/// The same as measured through a workload that depends on this one: of slow answers nothing is known, they may be its own.
fn through(found: Signals, dependent: &Dependent) -> Signals {
    let by = dependent.workload.as_deref().unwrap_or("what depends on it");
    found.map(|(kind, finding)| {
        let finding = match kind {
            SymptomKind::HttpErrors => Finding {
                message: format!("through {by}, {}", finding.message),
                ..finding
            },
            SymptomKind::HttpSlow => Finding {
                verdict: Verdict::Unknown,
                value: None,
                ..finding
            },
            _ => finding,
        };
        (kind, finding)
    })
}

/// What the workload's status says of a container.
fn of_row(row: &InstanceStatus) -> ContainerSignals<'_> {
    ContainerSignals {
        name: &row.name,
        state: row.state,
        exit_code: None,
        oom_killed: false,
        started_at: row.started_at,
        finished_at: None,
        health: row.health,
        docker_unhealthy: None,
        lost_network: None,
        starting: row.starting,
        stopped_by_hand: row.stopped_by_hand.is_some(),
        memory_limit_bytes: None,
        samples: &[],
        history: &[],
        deaths: &[],
        error_lines: None,
        matching_lines: None,
    }
}
