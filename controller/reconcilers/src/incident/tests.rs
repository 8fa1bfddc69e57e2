//! Incidents in YAML, with the status that earlier passes left; the real validate and plan, assertions on the step.

mod asking;
mod by_hand;
mod hearsay;
mod injections;
mod known;
mod measured;
mod proposals;
mod repeats;
mod sender;
mod verifying;
mod waiting;
mod ward;

use std::sync::Arc;

use aegis_api::proposal::Action;
use aegis_api::workload::{InstanceStatus, Leaving};
use aegis_api::{
    Incident, IncidentStatus, Kind, RemediationPolicy, Symptom, SymptomKind, Time, Workload, WorkloadStatus,
    kinds, yaml,
};
use aegis_docker_fake::{FakeEngine, RunSpec};

use super::dereference::Observed;
use super::leases::Leases;
use super::lets_go;
use super::plan::{Step, plan};
use super::validate::{ValidatedIncident, validate};
use super::{apply, evidence};
use crate::context::Settings;

const NOW: &str = "2026-11-22T12:00:00Z";

fn object<K: Kind>(kind: &str, name: &str, spec: &str) -> K {
    let text =
        format!("apiVersion: aegisops.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let document = yaml::parse(&text).unwrap().remove(0);
    let (_, typed) = kinds::find(kind).unwrap().decode(document.value).unwrap();
    (*typed.downcast::<K>().unwrap()).clone()
}

pub(super) fn incident(spec: &str, status: &str) -> Incident {
    let status: IncidentStatus =
        serde_json::from_value(yaml::parse(status).unwrap().remove(0).value).unwrap();
    let mut incident: Incident = object("Incident", "inc", spec);
    incident.status = Some(match status.measured_at {
        Some(_) => status,
        None => found_sick(status),
    });
    incident
}

/// It was measured just now that the workload's probe fails.
fn found_sick(status: IncidentStatus) -> IncidentStatus {
    IncidentStatus {
        symptoms: vec![Symptom {
            kind: SymptomKind::ProbeFailing,
            container: Some("web-replica-1".to_owned()),
            value: None,
            message: "web-replica-1 runs but fails its health check".to_owned(),
        }],
        measured_at: Some(NOW.parse().unwrap()),
        ..status
    }
}

/// What comes next for an incident about a settled workload of three replicas.
pub(super) fn step(incident: Incident, policy: &str) -> Step {
    plan(&judge(vec![incident], policy, &Leases::default()))
}

/// A policy that lets automation act, unless it says otherwise.
fn acting(policy: &str) -> String {
    match policy.contains("mode:") {
        true => policy.to_owned(),
        false => policy.replacen('{', "{mode: Auto, ", 1),
    }
}

/// The first of these incidents, validated.
pub(super) fn judge(incidents: Vec<Incident>, policy: &str, leases: &Leases) -> ValidatedIncident {
    let mut workload: Workload = object("Workload", "web", "{replicas: 3, template: {image: 'app:1'}}");
    workload.metadata.generation = Some(1);
    workload.status = Some(Default::default());
    let incidents: Vec<Arc<Incident>> = incidents.into_iter().map(Arc::new).collect();
    let observed = Observed {
        stopped: std::collections::BTreeSet::new(),
        workloads: vec![Arc::new(workload)],
        policies: vec![Arc::new(object::<RemediationPolicy>(
            "RemediationPolicy",
            "all",
            &acting(policy),
        ))],
        broken_policies: Vec::new(),
        incidents: incidents.clone(),
        balancers: Vec::new(),
        paused: None,
        resumed: None,
        reading: crate::host_reading::HostReading::default(),
        settings: Arc::new(Settings::default()),
        awake_since: "2026-11-22T00:00:00Z".parse().unwrap(),
        now: NOW.parse::<Time>().unwrap(),
    };
    validate(&incidents[0], &observed, leases, |_| false)
}

pub(super) const REPORT: &str = "{workloadRef: web, alertType: odd}";
const LADDER: &str = "{fallback: [RESTART]}";

/// A NOOP that did not help, with what the council had said of it.
fn after_a_noop(verdict: &str) -> String {
    format!(
        "
phase: COUNCIL_REVIEW
workload: web
council: {{votes: [], finalVerdict: {verdict}, consensus: '', summary: the council's words}}
tried: [{{action: NOOP, planHash: '1', error: it did not help}}]
"
    )
}

#[test]
fn a_rung_of_the_ladder_follows_by_itself_where_the_council_had_agreed() {
    let step = step(incident(REPORT, &after_a_noop("APPROVED")), LADDER);
    assert!(
        matches!(&step, Step::Approve { plan, .. } if plan.action == Action::Restart),
        "{step:?}"
    );
}

#[test]
fn i5_a_rung_after_a_plan_that_only_a_human_approved_waits_for_a_human_again() {
    let step = step(incident(REPORT, &after_a_noop("NEEDS_REVIEW")), LADDER);
    assert!(
        matches!(&step, Step::AskHuman { plan, reason: "CouncilNeedsReview", .. } if plan.action == Action::Restart),
        "{step:?}"
    );
}

#[test]
fn i5_a_rung_that_no_council_was_ever_asked_about_waits_for_a_human() {
    let status = "
phase: COUNCIL_REVIEW
workload: web
tried: [{action: SCALE_UP, planHash: '1', error: it did not help}]
";
    let step = step(incident(REPORT, status), LADDER);
    assert!(
        matches!(&step, Step::AskHuman { plan, .. } if plan.action == Action::Restart),
        "{step:?}"
    );
}

/// A plan that had not taken effect in time.
fn too_late(action: &str) -> String {
    format!(
        "
phase: EXECUTING
workload: web
plan: {{hash: '1', action: {action}, target: web, parentGeneration: 1, patch: {{}}, createdAt: '2026-11-22T11:00:00Z'}}
execution: {{appliedAt: '2026-11-22T11:00:00Z', generation: 2}}
"
    )
}

#[test]
fn a_restart_that_the_workload_refuses_ends_the_incident_at_once_with_the_reason() {
    for (reason, status, ends) in [
        ("AutoRemove", "True", true),
        ("NetworkOwnerGone", "True", true),
        ("PortTaken", "True", true),
        ("Unhealthy", "True", false),
        ("AutoRemove", "False", false),
    ] {
        let asked = incident(REPORT, &too_late("RESTART"));
        let mut incident = judge(vec![asked], LADDER, &Leases::default());
        let now = incident.now;
        let execution = incident.status.execution.as_mut().unwrap();
        execution.applied_at = Some(now);
        let workload = std::sync::Arc::make_mut(incident.target.as_mut().unwrap());
        let degraded = serde_json::json!({"type": "Degraded", "status": status, "reason": reason, "lastTransitionTime": now,
            "message": "web was started with --rm, so stopping it deletes it: run it anew"});
        let status = workload.status.get_or_insert_default();
        status.observed_generation = Some(2);
        status.conditions = vec![serde_json::from_value(degraded).unwrap()];
        let step = plan(&incident);
        let ended = matches!(&step, Step::Fail { error, .. } if error.starts_with("RESTART cannot be done: web was started with --rm"));
        assert_eq!(ended, ends, "{reason}: {step:?}");
    }
}

#[test]
fn an_action_that_a_human_chose_is_not_repeated_and_not_followed_by_the_ladder() {
    let chosen =
        "{workloadRef: web, alertType: odd, override: {action: SCALE_UP, replicaCount: 1, by: operator}}";
    let step = step(incident(chosen, &too_late("SCALE_UP")), LADDER);
    assert!(matches!(step, Step::Fail { .. }), "{step:?}");
}

#[test]
fn an_action_that_a_human_chose_while_another_was_under_way_comes_next() {
    let chosen = "{workloadRef: web, alertType: odd, override: {action: NOOP, by: operator}}";
    let step = step(incident(chosen, &too_late("SCALE_UP")), LADDER);
    assert!(
        matches!(
            step,
            Step::FallBack {
                action: Action::Noop,
                ..
            }
        ),
        "{step:?}"
    );
}

#[test]
fn i6_of_two_that_a_human_approves_at_once_the_second_waits_although_the_first_is_not_stored_yet() {
    let waits = "
phase: AWAITING_APPROVAL
workload: web
plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:00:00Z'}
";
    let approved =
        "{workloadRef: web, alertType: odd, approval: {decision: Approve, by: operator, planHash: '1'}}";
    let (one, mut other) = (incident(approved, waits), incident(approved, waits));
    other.metadata.name = Some("other".to_owned());
    let leases = Leases::default();

    let first = judge(vec![one.clone(), other.clone()], "{}", &leases);
    let begins = plan(&first);
    assert!(matches!(begins, Step::Approve { .. }), "{begins:?}");
    assert!(!lets_go(&first, &begins));

    let second = judge(vec![other, one], "{}", &leases);
    let asks = plan(&second);
    assert!(
        matches!(
            asks,
            Step::AskHuman {
                reason: "RemediationUnderWay",
                ..
            }
        ),
        "{asks:?}"
    );
    assert!(lets_go(&second, &asks));
}

#[test]
fn i6_a_plan_that_need_not_be_approved_any_more_keeps_the_cooldown_after_another_incident() {
    let waits = |parent: u8| {
        format!(
            "
phase: AWAITING_APPROVAL
workload: web
council: {{votes: [], finalVerdict: APPROVED, consensus: '', summary: ''}}
plan: {{hash: '1', action: RESTART, target: web, parentGeneration: {parent}, patch: {{replicas: 7}}, createdAt: '2026-11-22T11:00:00Z'}}
"
        )
    };
    let done = "
phase: RESOLVED
workload: web
finishedAt: '2026-11-22T11:59:55Z'
plan: {hash: '2', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:59:50Z'}
execution: {appliedAt: '2026-11-22T11:59:50Z'}
";
    let mut other = incident(REPORT, done);
    other.metadata.name = Some("other".to_owned());
    let next = |parent: u8, cooldown: &str| {
        let incidents = vec![incident(REPORT, &waits(parent)), other.clone()];
        plan(&judge(
            incidents,
            &format!("{{cooldown: {cooldown}}}"),
            &Leases::default(),
        ))
    };
    assert_eq!(
        next(1, "30s"),
        Step::Wait(Some(std::time::Duration::from_secs(20)))
    );
    assert!(matches!(next(1, "5s"), Step::BeginAnew { .. }));
    // Made for the workload as it was before the other incident: it begins anew at once, and keeps the cooldown there.
    let anew = next(0, "30s");
    assert!(matches!(anew, Step::BeginAnew { .. }), "{anew:?}");
    let begun = incident(REPORT, "{phase: RECEIVED, workload: web}");
    let held = plan(&judge(
        vec![begun, other.clone()],
        "{cooldown: 30s}",
        &Leases::default(),
    ));
    assert!(
        matches!(
            &held,
            Step::Investigate {
                then_hold: Some(("Cooldown", ..))
            }
        ),
        "{held:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn i7_evidence_and_proof_ask_where_this_controller_reaches_the_container() {
    let engine = FakeEngine::default();
    let own = RunSpec::new("controller", "aegis:1").network("shared");
    let own = engine.run_container(&own).unwrap();
    let app = RunSpec::new("app", "app:1").network("closed").network("shared");
    let id = engine.run_container(&app).unwrap();
    let networks = engine.peek("app").unwrap().networks;
    let reached = networks["shared"].unwrap();
    assert_ne!(
        networks.values().flatten().next(),
        Some(&reached),
        "the other network comes first"
    );
    let settings = Settings {
        own_container: Some(own[..12].to_owned()),
        ..Settings::default()
    };
    let (context, _state) = crate::context::tests::over(&engine, settings).await;
    let spec = "{container: app, health: {http: {port: 8000}}}";
    let mut workload: Workload = object("Workload", "web", spec);
    let addresses = networks
        .iter()
        .map(|(network, ip)| (network.clone(), ip.unwrap().to_string()));
    let row = InstanceStatus {
        id,
        addresses: addresses.collect(),
        ..row("app")
    };
    workload.status = Some(WorkloadStatus {
        instances: vec![row],
        ..WorkloadStatus::default()
    });

    let incident = judge(vec![incident(REPORT, "{}")], "{}", &Leases::default());
    let evidence = evidence::collect(&context, &incident, &workload).await.unwrap();
    let probe = evidence.containers[0].probe.clone().unwrap();
    assert!(probe.contains(&reached.to_string()), "{probe}");
    let answers = apply::ask_all(&context, &workload).await;
    let (Ok(proof) | Err(proof)) = &answers[0];
    assert!(proof.contains(&reached.to_string()), "{proof}");
}

#[test]
fn who_is_asked_for_with_no_replicas_is_scaled_up_by_nobody_but_a_human() {
    let mut incident = judge(vec![restart_agreed()], "{}", &Leases::default());
    let mut workload: Workload = object("Workload", "web", "{replicas: 0, template: {image: 'app:1'}}");
    assert!(!apply::proof(&workload, &[]).0, "nobody has looked yet");
    workload.metadata.generation = Some(1);
    workload.status = Some(WorkloadStatus::default());
    let (healthy, words) = apply::proof(&workload, &[]);
    assert!(healthy, "{words}");

    incident.target = Ok(Arc::new(workload.clone()));
    let step = plan(&incident);
    let Step::AskHuman { reason, message, .. } = &step else {
        panic!("{step:?}")
    };
    assert_eq!(*reason, "ScaledToZero");
    assert!(message.contains("asked for with 0 replicas"), "{message}");

    workload.spec.replicas = 1;
    assert!(
        !apply::proof(&workload, &[]).0,
        "one is asked for and none is there"
    );
}

#[test]
fn what_was_stopped_to_be_removed_is_no_evidence() {
    let stopped = |name: &str, leaving| InstanceStatus {
        state: "exited".to_owned(),
        leaving,
        ..row(name)
    };
    let rows = [
        stopped("removed", Some(Leaving::ScaleIn)),
        stopped("restarting", Some(Leaving::Restart)),
        stopped("crashed", None),
        InstanceStatus {
            leaving: Some(Leaving::ScaleIn),
            ..row("drains")
        },
    ];
    let told = evidence::worth_a_look(&rows);
    let names: Vec<&str> = told.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["restarting", "crashed", "drains"]);
}

#[tokio::test]
async fn evidence_holds_how_the_load_went_and_who_stands_beside() {
    let engine = FakeEngine::default();
    let id = engine
        .run_container(&RunSpec::new("app", "app:1").network("shared"))
        .unwrap();
    for (name, network) in [("sound", "shared"), ("broken", "shared"), ("far", "elsewhere")] {
        engine
            .run_container(&RunSpec::new(name, "other:1").network(network))
            .unwrap();
    }
    engine.crash("broken", 1).unwrap();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let mut workload: Workload = object("Workload", "web", "{container: app}");
    workload.metadata.generation = Some(7);
    workload.status = Some(WorkloadStatus {
        instances: vec![InstanceStatus { id, ..row("app") }],
        ..WorkloadStatus::default()
    });
    let now = context.clock.now();
    for step in 0..5_u64 {
        let load = crate::history::Load {
            at: now.plus(aegis_api::Duration::from_secs(step * 60)),
            cpu_percent: Some(1.0),
            memory_bytes: (10 + step * 10) << 20,
            memory_limit_bytes: 100 << 20,
            net_rx_bytes: 0,
            net_tx_bytes: 0,
        };
        context.samples.history().add(load.at, [("app", load)]);
    }

    let incident = judge(vec![incident(REPORT, "{}")], "{}", &Leases::default());
    let evidence = evidence::collect(&context, &incident, &workload).await.unwrap();
    let container = &evidence.containers[0];
    let memory = container.trend.as_ref().unwrap().memory_mb.unwrap();
    assert_eq!((memory.first, memory.last, memory.per_minute), (10.0, 50.0, 10.0));
    assert_eq!(evidence.generation, Some(7));
    let beside: Vec<(&str, bool)> = evidence
        .neighbours
        .iter()
        .map(|neighbour| (neighbour.name.as_str(), neighbour.in_trouble))
        .collect();
    assert_eq!(beside, [("broken", true), ("sound", false)]);
}

/// Another incident, over since, whose restart of the same workload helped or did not.
fn restarted_before(name: &str, at: &str, phase: &str) -> Incident {
    let status = format!(
        "
phase: {phase}
workload: web
plan: {{hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {{}}, createdAt: '{at}'}}
execution: {{appliedAt: '{at}', generation: 2}}
"
    );
    let mut other = incident(REPORT, &status);
    other.metadata.name = Some(name.to_owned());
    other
}

/// An incident whose council agreed to a restart.
fn restart_agreed() -> Incident {
    let seats = ["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"];
    let votes = seats.map(|seat| {
        format!("{{role: {seat}, verdict: APPROVED, reasoning: fine, timestamp: '2026-11-22T11:59:00Z'}}")
    });
    let proposal = "{rootCause: it hangs, action: RESTART, justification: so, confidence: 0.9}";
    let status = format!(
        "
phase: COUNCIL_REVIEW
workload: web
analysis: {{proposal: {proposal}, reasoning: r, provider: p, model: m, latencyMs: 1, at: '2026-11-22T11:59:00Z'}}
votes: [{}]
",
        votes.join(", ")
    );
    incident(REPORT, &status)
}

#[test]
fn a_fix_that_failed_twice_in_other_incidents_of_the_workload_is_not_tried_a_third_time() {
    let next = |others: &[(&str, &str)]| {
        let mut all = vec![restart_agreed()];
        for (number, (at, phase)) in others.iter().enumerate() {
            all.push(restarted_before(&format!("before-{number}"), at, phase));
        }
        plan(&judge(all, "{}", &Leases::default()))
    };
    let (one, two) = ("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z");
    let step = next(&[(one, "FAILED"), (two, "FAILED")]);
    let Step::AskHuman { reason, message, .. } = &step else {
        panic!("{step:?}")
    };
    assert_eq!(*reason, "FailedBefore");
    assert!(message.contains("RESTART failed 2 times in a row"), "{message}");
    for sound in [
        &[(one, "FAILED")][..],
        &[(one, "FAILED"), (two, "RESOLVED")],
        &[("2026-11-20T09:00:00Z", "FAILED"), (two, "FAILED")],
    ] {
        let step = next(sound);
        assert!(matches!(step, Step::Approve { .. }), "{sound:?}: {step:?}");
    }
}

fn row(name: &str) -> InstanceStatus {
    serde_json::from_value(serde_json::json!({
        "name": name, "id": format!("id-{name}"), "index": 0, "state": "running", "health": "Healthy", "revision": "r",
    }))
    .unwrap()
}
