//! No transition is made that the table does not have, and each of the table's is made: by incidents that are thrown
//! together of what may be said of one, and by every result that an effect can have.

use std::collections::BTreeSet;

use aegis_api::condition::Conditions;
use aegis_api::incident::{Approval, ApprovalDecision, Attempt, Execution, Override, Plan, Verification};
use aegis_api::observed::ContainerState;
use aegis_api::proposal::{Analysis, Evidence, Seat, Vote};
use aegis_api::workload::InstanceStatus;
use aegis_api::{ConditionType, Phase, Symptom, SymptomKind};

use super::super::TRANSITIONS;
use super::super::aftermath::Aftermath;
use super::super::measured::{Measured, after_measuring};
use super::super::phase::{
    Applied, Found, after_analysis, after_execution, after_investigation, after_learning, after_probe,
    after_settling, after_unlearning, after_vote, analysis_failed,
};
use super::super::transition::{Transition, applied};
use super::*;
use crate::hold::Hold;
use crate::incident::origin::opened;

/// So many incidents are thrown together.
const THROWS: usize = 10_000;

const OPEN: [Phase; 8] = [
    Phase::Received,
    Phase::Analysing,
    Phase::CouncilReview,
    Phase::AwaitingApproval,
    Phase::Approved,
    Phase::Executing,
    Phase::Scaling,
    Phase::Verifying,
];

/// The same throws at each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.throw(among.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.throw(times) == 0
    }
}

fn time(ago: u64) -> Time {
    let now: Time = NOW.parse().unwrap();
    Time(now.0.checked_sub(std::time::Duration::from_secs(ago)).unwrap())
}

/// A plan that is in the spec of a workload of three replicas, but for a restart that is still to come.
fn plan_to(action: Action) -> Plan {
    let mut plan: Plan = serde_json::from_value(serde_json::json!({
        "hash": "1", "action": action, "target": "web", "parentGeneration": 1, "patch": {}, "createdAt": NOW,
    }))
    .unwrap();
    match action {
        Action::Restart => plan.patch.restarted_at = Some(time(60)),
        Action::ScaleUp | Action::ScaleDown => plan.patch.replicas = Some(3),
        Action::Rollback | Action::Noop => {}
    }
    plan
}

fn symptom(kind: SymptomKind) -> Symptom {
    Symptom {
        kind,
        container: Some("web".to_owned()),
        value: None,
        message: "web is unhealthy".to_owned(),
    }
}

fn vote(role: Seat) -> Vote {
    serde_json::from_value(serde_json::json!({
        "role": role, "verdict": "APPROVED", "reasoning": "fine", "timestamp": NOW,
    }))
    .unwrap()
}

fn analysis(action: Action) -> Analysis {
    serde_json::from_value(serde_json::json!({
        "proposal": {"rootCause": "c", "action": action, "justification": "j", "confidence": 0.9, "replicaCount": 1},
        "reasoning": "r", "provider": "p", "model": "m", "latencyMs": 1, "at": NOW,
    }))
    .unwrap()
}

fn thrown(dice: &mut Dice, base: &[ValidatedIncident]) -> ValidatedIncident {
    let mut incident = base[dice.throw(base.len())].clone();
    incident.status.phase = dice.pick(&OPEN);
    what_is_known(dice, &mut incident);
    what_was_done(dice, &mut incident);
    what_people_say(dice, &mut incident);
    how_the_workload_is(dice, &mut incident);
    if dice.once_in(8) {
        incident.active_incident = Some("other".to_owned());
    }
    if dice.once_in(8) {
        incident.paused = Some(Hold {
            reason: Reason::Paused,
            message: "paused".to_owned(),
            until: None,
            by_itself: false,
        });
    }
    if dice.once_in(4) {
        incident.host.busy = ["a", "b"].map(str::to_owned).into();
        let conditions = &mut incident.status.conditions;
        Conditions::at(conditions, Some(1), time(9)).set(ConditionType::Held, true, Reason::HostBusy, "m");
    }
    if dice.once_in(16) {
        let status = &mut incident.status;
        status.phase = Phase::Resolved;
        (status.mitigated_at, status.finished_at) = (Some(time(dice.pick(&[10, 3000]))), Some(time(10)));
        incident.came_back_in = dice.once_in(2).then(|| "again".to_owned());
    }
    if dice.once_in(16) {
        incident.host.minute = ["a", "b", "c"].map(str::to_owned).into();
    }
    incident
}

fn what_is_known(dice: &mut Dice, incident: &mut ValidatedIncident) {
    let status = &mut incident.status;
    status.symptoms = match dice.throw(3) {
        0 => Vec::new(),
        _ => vec![symptom(SymptomKind::ProbeFailing)],
    };
    status.measured_at = dice.pick(&[None, Some(time(60)), Some(time(0)), Some(time(0))]);
    status.started_over = u32::try_from(dice.throw(4)).unwrap();
    let generation = dice.pick(&[None, Some(1), Some(1), Some(0)]);
    status.evidence = (!dice.once_in(3)).then(|| Evidence {
        generation,
        ..Evidence::default()
    });
    let proposed = dice.pick(&[Action::Restart, Action::ScaleUp, Action::Noop, Action::Rollback]);
    status.analysis = (!dice.once_in(4)).then(|| analysis(proposed));
    if !dice.once_in(4) {
        status.votes = [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor]
            .map(vote)
            .into();
    }
}

fn what_was_done(dice: &mut Dice, incident: &mut ValidatedIncident) {
    let status = &mut incident.status;
    if dice.once_in(3) {
        let action = dice.pick(&[Action::ScaleUp, Action::Noop]);
        status.tried = serde_json::from_value(
            serde_json::json!([{"action": action, "planHash": "0", "error": "it did not help", "generation": 1}]),
        )
        .unwrap();
    }
    let action = match status.phase {
        Phase::Received | Phase::Analysing | Phase::CouncilReview => return,
        Phase::Scaling => Action::ScaleUp,
        Phase::Executing => dice.pick(&[Action::Restart, Action::Noop]),
        _ => dice.pick(&[Action::Restart, Action::ScaleUp, Action::Noop]),
    };
    status.plan = (!dice.once_in(16)).then(|| plan_to(action));
    status.waiting_since = dice.pick(&[None, Some(time(60)), Some(time(90_000))]);
    if matches!(status.phase, Phase::Executing | Phase::Scaling | Phase::Verifying) {
        status.execution = Some(Execution {
            applied_at: Some(time(dice.pick(&[1, 10, 300]))),
            generation: Some(1),
            ..Execution::default()
        });
    }
    if status.phase == Phase::Verifying && !dice.once_in(8) {
        let mut verification = Verification {
            started_at: Some(time(300)),
            deadline: dice.pick(&[None, Some(time(60))]),
            ..Verification::default()
        };
        let healthy = dice.once_in(2);
        for (number, ago) in (1..).zip([280, 200, 100, 5]) {
            verification.record(Attempt {
                number,
                at: time(ago),
                healthy,
                message: "as it went".to_owned(),
            });
        }
        status.verification = Some(verification);
    }
}

fn what_people_say(dice: &mut Dice, incident: &mut ValidatedIncident) {
    let spec = &mut Arc::make_mut(&mut incident.incident).spec;
    let chosen = |action| Override {
        action,
        replica_count: 1,
        by: "ada".to_owned(),
    };
    let decided = |decision| Approval {
        decision,
        by: "ada".to_owned(),
        plan_hash: "1".to_owned(),
    };
    match dice.throw(9) {
        0 => spec.override_ = Some(chosen(Action::Restart)),
        1 => spec.override_ = Some(chosen(Action::Noop)),
        2 | 3 => spec.approval = Some(decided(ApprovalDecision::Approve)),
        4 => spec.approval = Some(decided(ApprovalDecision::Reject)),
        _ => {}
    }
}

fn how_the_workload_is(dice: &mut Dice, incident: &mut ValidatedIncident) {
    if dice.once_in(16) {
        incident.target = Err(super::super::validate::NoTarget::Unnamed);
        return;
    }
    let mut workload = (**incident.target.as_ref().unwrap()).clone();
    let changed = dice.once_in(4);
    workload.metadata.generation = Some(if changed { 2 } else { 1 });
    if !dice.once_in(3) && incident.status.execution.is_some() {
        workload.spec.restarted_at = Some(time(60));
    }
    let well = |name: &str| InstanceStatus {
        started_at: Some(time(1)),
        ..row(name)
    };
    let mut rows = vec![
        well("web-replica-1"),
        well("web-replica-2"),
        well("web-replica-3"),
    ];
    if dice.once_in(8) {
        rows[0].state = ContainerState::Paused;
    }
    workload.status = (!dice.once_in(16)).then(|| WorkloadStatus {
        instances: rows,
        observed_generation: dice.pick(&[Some(2), None]),
        ..WorkloadStatus::default()
    });
    incident.target = Ok(Arc::new(workload));
}

/// What can come of it.
fn outcomes(incident: &ValidatedIncident, next: Next) -> Vec<Transition> {
    let now = incident.now;
    let unread = || {
        let held = HeldFor {
            reason: Reason::EngineUnavailable,
            message: "no answer".to_owned(),
            until: None,
        };
        Transition::held(incident, held, now)
    };
    let effect = match next {
        Next::Wait(_) => return Vec::new(),
        Next::Transition(transition) => return vec![transition],
        Next::Effect(effect) => effect,
    };
    match effect {
        Effect::Investigate { then_hold } => {
            let found = Found {
                origin: None,
                evidence: Box::default(),
                symptoms: Vec::new(),
                similar: Vec::new(),
            };
            vec![unread(), after_investigation(incident, found, then_hold, now)]
        }
        Effect::Measure => {
            let measured = |symptoms| {
                let measured = Measured {
                    origin: None,
                    symptoms,
                    readings: "r".to_owned(),
                    at: now,
                };
                after_measuring(incident, measured, now)
            };
            vec![
                unread(),
                measured(Vec::new()),
                measured(vec![symptom(SymptomKind::ProbeFailing)]),
                measured(vec![symptom(SymptomKind::MemoryHigh)]),
            ]
        }
        Effect::OpenOrigin { name, .. } => vec![opened(incident, name, now)],
        Effect::Analyse => vec![
            after_analysis(Box::new(analysis(Action::Restart)), now),
            analysis_failed(incident, "no model answers", now),
        ],
        Effect::Vote(seat) => vec![
            after_vote(incident, vote(seat), now),
            analysis_failed(incident, "there is no analysis to vote on", now),
        ],
        Effect::PauseAll { then, .. } => vec![then],
        Effect::Execute(plan) => {
            let done = Applied::Done {
                generation: 2,
                replaced: None,
            };
            let stale = Applied::Stale("somebody changed it".to_owned());
            [done, stale]
                .map(|applied| after_execution(incident, &plan, applied, now))
                .into()
        }
        Effect::Probe { number } => {
            let proof = (true, "200".to_owned());
            vec![after_probe(
                incident,
                number,
                proof,
                Aftermath::Cleared(String::new()),
                now,
            )]
        }
        Effect::Learn => vec![after_learning(incident, None, now)],
        Effect::Settle(settlement) => vec![after_settling(incident, settlement, now)],
        Effect::Unlearn(setback) => [None, Some(3)]
            .map(|withdrawn| after_unlearning(incident, setback.clone(), withdrawn, now))
            .into(),
    }
}

#[test]
fn i1_every_transition_of_the_table_is_made_and_no_other() {
    let policies = ["Auto", "Auto", "Approve", "DryRun", "'Off'"].map(|mode| {
        format!(
            "{{mode: {mode}, cooldown: 0s, replicas: {{min: 1, max: 9}}, fallback: [SCALE_UP, RESTART, ROLLBACK]}}"
        )
    });
    let base = policies.map(|policy| judge(vec![incident(REPORT, "{workload: web}")], &policy));
    let (mut dice, mut made) = (Dice(1), BTreeSet::new());
    for _ in 0..THROWS {
        let incident = thrown(&mut dice, &base);
        let step = next(&incident);
        assert_eq!(next(&incident), step, "the same state, the same answer");
        for transition in outcomes(&incident, step) {
            let row = (incident.status.phase, transition.what, transition.to);
            assert!(TRANSITIONS.contains(&row), "{row:?}: {incident:#?}");
            let status = applied(&incident, Some(transition));
            assert_eq!(status.phase, row.2);
            assert_eq!(status.finished_at.is_some(), status.phase.is_end(), "{row:?}");
            made.insert(row);
        }
    }
    let never: Vec<_> = TRANSITIONS.iter().filter(|row| !made.contains(row)).collect();
    assert!(never.is_empty(), "never made: {never:?}");
}

#[test]
fn every_phase_is_reached_and_only_an_end_leads_nowhere() {
    let mut reached = BTreeSet::from([Phase::default()]);
    while let Some((.., to)) = TRANSITIONS
        .iter()
        .find(|(from, _, to)| reached.contains(from) && !reached.contains(to))
    {
        reached.insert(*to);
    }
    assert_eq!(reached, Phase::ALL.into());
    for phase in Phase::ALL {
        let goes_on = TRANSITIONS
            .iter()
            .any(|(from, _, to)| *from == phase && to != from);
        assert_eq!(goes_on, !phase.is_end(), "{phase:?}");
    }
}

#[test]
fn the_table_that_people_read_is_the_one_that_is_checked() {
    let source = include_str!("../../incident.rs");
    let mut rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let spelled = |phase: &Phase| phase.as_str().to_owned();
    let said: BTreeSet<(String, String, String)> = rows
        .skip(1)
        .flat_map(|row| {
            let header = header.clone();
            let cells = row.clone().into_iter().zip(header).skip(1);
            let cells = cells.filter(|(cell, _)| !cell.is_empty());
            let said = cells.flat_map(move |(cell, from)| {
                let what = row[0].to_owned();
                cell.split(", ")
                    .map(|to| if to == "stays" { from } else { to })
                    .map(|to| (from.to_owned(), what.clone(), to.to_owned()))
                    .collect::<Vec<_>>()
            });
            said.collect::<Vec<_>>()
        })
        .collect();
    let known = TRANSITIONS
        .iter()
        .map(|(from, what, to)| (spelled(from), format!("{what:?}"), spelled(to)));
    assert_eq!(said, known.collect());
}
