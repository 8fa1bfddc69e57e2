//! Fixtures in YAML and made-up containers in, the real validate and plan, assertions on the steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aegis_api::create::clone_revision;
use aegis_api::lifecycle::{Cause, Death, LastEnd};
use aegis_api::meta::{LABEL_INSTANCE, LABEL_NAME, LABEL_REPLICA, LABEL_REVISION, LABEL_WORKLOAD};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::proposal::ContainerEvidence;
use aegis_api::workload::{Capture, DependencyStatus, Health, InstanceStatus, Rollout};
use aegis_api::{ConditionType, ContainerId, Reason, Time, Workload, WorkloadStatus, kinds, yaml};

use super::check::check;
use super::observed::{NetworkOwner, Observed, Rotation};
use super::plan::{Prepared, Step, plan};
use super::status::{Outcome, counted_ahead, next};
use super::validate::{ValidatedWorkload, validate};
use crate::host_limit::HostRuling;
use crate::probe::ProbeResult;

const NOW: &str = "2026-11-22T12:00:00Z";
const STARTED: &str = "2026-11-22T11:00:00Z";

pub(super) fn time(text: &str) -> Time {
    text.parse().unwrap()
}

pub(super) fn workload(spec: &str) -> Workload {
    let text =
        format!("apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: web\nspec:\n{spec}");
    let document = yaml::parse(&text).unwrap().remove(0);
    let (_, typed) = kinds::find("wl").unwrap().decode(document.value).unwrap();
    let mut workload = (*typed.downcast::<Workload>().unwrap()).clone();
    workload.metadata.generation = Some(1);
    workload
}

pub(super) const ADOPTS: &str = "  container: base\n  health:\n    http: {port: 8000}\n";

pub(super) fn container(name: &str) -> ContainerDetails {
    ContainerDetails {
        id: format!("{name:x<64}").into(),
        name: name.to_owned(),
        image: "app:1".to_owned(),
        image_id: "sha256:1".to_owned(),
        state: ContainerState::Running,
        started_at: Some(time(STARTED)),
        networks: BTreeMap::from([("net".to_owned(), Some("10.0.0.2".parse().unwrap()))]),
        ..ContainerDetails::default()
    }
}

fn replica(index: u32) -> ContainerDetails {
    let mut made = container(&format!("web-replica-{index}"));
    for (key, value) in [
        (LABEL_WORKLOAD, "web".to_owned()),
        (LABEL_INSTANCE, "me".to_owned()),
        (LABEL_REVISION, clone_revision(&container("base")).into()),
        (LABEL_REPLICA, index.to_string()),
    ] {
        made.labels.insert(key.to_owned(), value);
    }
    made
}

/// A world of one adopted container and so many replicas, all healthy.
pub(super) fn world(replicas: u32) -> Observed {
    let base = container("base");
    let replicas: Vec<ContainerDetails> = (1..=replicas).map(replica).collect();
    let healthy = ProbeResult {
        health: Health::Healthy,
        message: String::new(),
        ..ProbeResult::default()
    };
    let all = replicas.iter().chain([&base]);
    Observed {
        probe_results: all
            .clone()
            .map(|c| (c.id.clone(), healthy.clone()))
            .collect::<HashMap<_, _>>(),
        taken_names: all.map(|c| c.name.clone()).collect(),
        base: Some(base),
        replicas,
        removed_by_hand: false,
        vanishing: 0,
        rotations: Vec::new(),
        no_restarts: None,
        host: None,
        dependencies: Vec::new(),
        network_owner: None,
        strangers: Vec::new(),
        containers: Vec::new(),
        host_facts: HashMap::new(),
        has_image: None,
        adopted_by: None,
        own_networks: BTreeSet::new(),
        own_container: None,
        host_address: None,
        instance: "me".to_owned(),
        ends: HashMap::new(),
        heard_since: None,
        restarts_reported: false,
        restart_is_automatic: false,
        now: time(NOW),
    }
}

fn prepare(workload: &Workload, observed: Observed) -> (ValidatedWorkload, Prepared) {
    let validated = validate(workload, observed).unwrap();
    let prepared = check(&validated, plan(&validated));
    assert_eq!(prepared.refused, [], "the planner knows the rules");
    (validated, prepared)
}

fn words(prepared: &Prepared) -> Vec<String> {
    prepared.steps.iter().map(Step::words).collect()
}

fn leaving(prepared: &Prepared) -> BTreeSet<ContainerId> {
    prepared.draining.keys().cloned().collect()
}

/// What a load balancer says once it has drained all that leaves with this plan.
fn releases(prepared: &Prepared) -> BTreeMap<ContainerId, Option<Time>> {
    let ids = prepared.draining.keys().cloned();
    ids.map(|id| (id, Some(time(NOW)))).collect()
}

fn applied(plan: Prepared, done: Vec<Step>) -> Outcome {
    Outcome {
        plan,
        done,
        ..Outcome::default()
    }
}

/// The status that a pass leaves behind, as the next pass reads it.
fn remembered(workload: &mut Workload, observed: Observed) {
    let (validated, plan) = prepare(workload, observed);
    workload.status = Some(next(&validated, &applied(plan, Vec::new())));
}

pub(super) fn rotation(servers: &[&str]) -> Rotation {
    Rotation {
        name: "lb".to_owned(),
        serving: true,
        servers: servers.iter().map(|name| format!("{name:x<64}").into()).collect(),
        ..Rotation::default()
    }
}

#[test]
fn a_settled_workload_needs_nothing() {
    let (_, plan) = prepare(&workload(&format!("{ADOPTS}  replicas: 3\n")), world(2));
    assert_eq!(words(&plan), Vec::<String>::new());
    assert_eq!(plan.targets.len(), 3);
}

#[test]
fn i1_the_same_state_gives_the_same_plan() {
    let workload = workload(&format!("{ADOPTS}  replicas: 5\n"));
    let (_, one) = prepare(&workload, world(2));
    let (_, two) = prepare(&workload, world(2));
    assert_eq!(one, two);
}

#[test]
fn missing_replicas_are_made_under_the_lowest_free_names() {
    let mut observed = world(0);
    observed.taken_names.insert("web-replica-2".to_owned());
    let (_, plan) = prepare(&workload(&format!("{ADOPTS}  replicas: 4\n")), observed);
    assert_eq!(
        words(&plan),
        [
            "create web-replica-1",
            "create web-replica-3",
            "create web-replica-4"
        ]
    );
}

#[test]
fn the_replacement_of_a_replica_that_the_engine_is_removing_waits_for_its_name() {
    let mut observed = world(1);
    observed.vanishing = 1;
    observed.taken_names.insert("web-replica-2".to_owned());
    let workload = workload(&format!("{ADOPTS}  replicas: 3\n"));
    assert!(prepare(&workload, observed.clone()).1.steps.is_empty());
    observed.vanishing = 0;
    observed.taken_names.remove("web-replica-2");
    assert_eq!(words(&prepare(&workload, observed).1), ["create web-replica-2"]);
}

#[test]
fn surplus_replicas_go_from_the_top_and_unhealthy_ones_first() {
    let mut observed = world(3);
    let unhealthy = observed.replicas[0].id.clone();
    observed.probe_results.insert(
        unhealthy,
        ProbeResult {
            health: Health::Unhealthy,
            message: "500".to_owned(),
            ..ProbeResult::default()
        },
    );
    let (_, plan) = prepare(&workload(&format!("{ADOPTS}  replicas: 2\n")), observed);
    assert_eq!(words(&plan), ["remove web-replica-1", "remove web-replica-3"]);
}

#[test]
fn i8_a_replica_goes_only_after_the_load_balancer_has_drained_it() {
    let mut workload = workload(&format!("{ADOPTS}  replicas: 2\n"));
    let mut observed = world(2);
    observed.rotations = vec![rotation(&["base", "web-replica-1", "web-replica-2"])];
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), Vec::<String>::new());
    assert_eq!(plan.draining.len(), 1);
    assert!(
        plan.waiting[0].contains("waiting for load balancer lb"),
        "{:?}",
        plan.waiting
    );

    // It says that it lets go, but the mark is not stored yet: that word was about an earlier life.
    observed.rotations[0].released = releases(&plan);
    assert!(prepare(&workload, observed.clone()).1.steps.is_empty());

    remembered(&mut workload, observed.clone());
    assert_eq!(
        words(&prepare(&workload, observed.clone()).1),
        ["remove web-replica-2"]
    );

    // It was to stay after all, and nginx may be about to take it back when it is to go once more.
    let rows = &mut workload.status.as_mut().unwrap().instances;
    let marked = rows.iter_mut().find(|row| row.draining).unwrap();
    assert_eq!(marked.draining_since, Some(time(NOW)));
    marked.draining_since = Some(time("2026-11-22T12:00:01Z"));
    assert!(prepare(&workload, observed).1.steps.is_empty());
}

#[test]
fn a_load_balancer_that_does_not_run_holds_nothing_up() {
    let mut workload = workload(&format!("{ADOPTS}  replicas: 1\n"));
    let mut observed = world(1);
    observed.rotations = vec![Rotation {
        serving: false,
        ..rotation(&["web-replica-1"])
    }];
    remembered(&mut workload, observed.clone());
    assert_eq!(words(&prepare(&workload, observed).1), ["remove web-replica-1"]);
}

#[test]
fn what_started_before_restarted_at_is_restarted_and_only_once() {
    let mut observed = world(0);
    let spec = format!("{ADOPTS}  restartedAt: 2026-11-22T11:59:59Z\n");
    assert_eq!(
        words(&prepare(&workload(&spec), observed.clone()).1),
        ["restart base"]
    );
    observed.base.as_mut().unwrap().started_at = Some(time("2026-11-22T11:59:59.5Z"));
    assert!(prepare(&workload(&spec), observed).1.steps.is_empty());
}

/// An adopted container and two clones, the first of which is paused.
fn paused() -> (Workload, Observed) {
    let mut workload = workload(&format!(
        "{ADOPTS}  replicas: 3\n  restart: {{unhealthyAfter: 20s}}\n"
    ));
    remembered(&mut workload, world(2));
    let mut observed = world(2);
    observed.replicas[0].state = ContainerState::Paused;
    (workload, observed)
}

#[test]
fn a_restart_that_is_due_while_a_container_is_paused_is_not_done_once_it_goes_on() {
    let (mut workload, mut observed) = paused();
    workload.spec.restarted_at = Some(time("2026-11-22T11:59:00Z"));
    let (validated, plan) = prepare(&workload, observed.clone());
    assert_eq!(
        plan.cannot[0].reason.as_str(),
        "ContainerPaused",
        "{:?}",
        plan.cannot
    );
    assert!(plan.cannot[0].remedy.contains("docker unpause web-replica-1"));
    workload.status = Some(next(&validated, &applied(plan, Vec::new())));

    observed.replicas[0].state = ContainerState::Running;
    let (validated, plan) = prepare(&workload, observed.clone());
    let first = |validated: &ValidatedWorkload| {
        let found = validated.instances.iter().find(|instance| instance.index == 1);
        found.unwrap().restart_asked
    };
    assert!(!first(&validated) && plan.cannot.is_empty(), "{:?}", plan.cannot);
    workload.status = Some(next(&validated, &applied(plan, Vec::new())));
    let (validated, _) = prepare(&workload, observed.clone());
    assert!(!first(&validated), "it is remembered");

    workload.spec.restarted_at = Some(time("2026-11-22T11:59:30Z"));
    let (validated, _) = prepare(&workload, observed);
    assert!(first(&validated), "a later one is another");
}

#[test]
fn a_pause_is_no_sickness_and_what_was_wrong_meanwhile_does_not_count_once_it_goes_on() {
    let (mut workload, mut observed) = paused();
    remembered(&mut workload, observed.clone());
    observed.now = time("2026-11-22T12:10:00Z");
    observed.replicas[0].state = ContainerState::Running;
    let id = observed.replicas[0].id.clone();
    let failing = ProbeResult {
        health: Health::Unhealthy,
        message: "no answer within 1000 ms".to_owned(),
        ..ProbeResult::default()
    };
    observed.probe_results.insert(id, failing);
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), Vec::<String>::new(), "it has just gone on");
    remembered(&mut workload, observed.clone());
    observed.now = time("2026-11-22T12:10:20Z");
    let (_, plan) = prepare(&workload, observed);
    let begun = !plan.draining.is_empty() || !plan.steps.is_empty();
    assert!(begun, "unhealthy for as long as allowed, since it goes on");
}

#[test]
fn scaling_in_takes_what_is_paused_or_unhealthy_first_also_in_the_middle_of_a_change() {
    for rollout in [false, true] {
        let (mut workload, observed) = paused();
        workload.spec.replicas = 2;
        if rollout {
            let status = workload.status.as_mut().unwrap();
            status.rollout = Some(Rollout {
                revision: clone_revision(&container("base")),
                restarted_at: None,
                since: time(NOW),
                progressed_at: time(NOW),
                ready: 2,
            });
        }
        let (_, plan) = prepare(&workload, observed);
        assert_eq!(words(&plan), ["remove web-replica-1"], "in a change: {rollout}");
    }
}

#[test]
fn i2_a_restart_that_was_cut_off_between_stop_and_start_is_only_started() {
    let mut observed = world(0);
    observed.base.as_mut().unwrap().state = ContainerState::Exited;
    let (_, plan) = prepare(
        &workload(&format!("{ADOPTS}  restartedAt: 2026-11-22T11:59:59Z\n")),
        observed,
    );
    let id = format!("{:x<64}", "base").into();
    assert_eq!(
        plan.steps,
        [Step::Start {
            id,
            name: "base".to_owned(),
            crashed: false
        }]
    );
}

#[test]
fn several_replicas_restart_one_after_the_other_drained_first() {
    let mut workload = workload(&format!(
        "{ADOPTS}  replicas: 3\n  restartedAt: 2026-11-22T11:59:59Z\n"
    ));
    let mut observed = world(2);
    observed.rotations = vec![rotation(&["base", "web-replica-1", "web-replica-2"])];
    let (_, first) = prepare(&workload, observed.clone());
    assert!(first.steps.is_empty());
    assert_eq!(
        leaving(&first),
        BTreeSet::from([observed.base.as_ref().unwrap().id.clone()])
    );

    remembered(&mut workload, observed.clone());
    observed.rotations[0].released = releases(&first);
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["restart base"]);

    // While the restarted one is not ready, the next one must wait.
    let base = observed.base.as_mut().unwrap();
    base.started_at = Some(time(NOW));
    let id = base.id.clone();
    observed.probe_results.insert(id.clone(), ProbeResult::default());
    let (_, waiting) = prepare(&workload, observed.clone());
    assert!(
        waiting.steps.is_empty() && waiting.draining.is_empty(),
        "{waiting:?}"
    );
    observed.probe_results.insert(
        id,
        ProbeResult {
            health: Health::Healthy,
            message: String::new(),
            ..ProbeResult::default()
        },
    );
    assert_eq!(
        leaving(&prepare(&workload, observed.clone()).1),
        BTreeSet::from([observed.replicas[0].id.clone()])
    );
}

#[test]
fn a_container_that_ends_is_started_at_once_and_then_ever_more_rarely() {
    let mut workload = workload(ADOPTS);
    let mut observed = world(0);
    observed.base.as_mut().unwrap().state = ContainerState::Exited;
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["start base"]);
    workload.status = Some(WorkloadStatus {
        instances: vec![InstanceStatus {
            name: "base".to_owned(),
            id: observed.base.as_ref().unwrap().id.clone(),
            index: 0,
            addresses: BTreeMap::new(),
            state: ContainerState::Running,
            health: Health::Healthy,
            revision: aegis_api::RevisionId::default(),
            draining: false,
            draining_since: None,
            leaving: None,
            ready_since: None,
            started_at: None,
            restarts: 2,
            last_restart_at: Some(time("2026-11-22T11:59:59Z")),
            recent_restarts: Vec::new(),
            counted_run: None,
            unhealthy_since: None,
            message: None,
            first_ready_at: None,
            starting: false,
            fruitless_restarts: 0,
            stopped_by_hand: None,
            missed_restart: None,
            cannot_restart: None,
        }],
        ..WorkloadStatus::default()
    });
    let (_, plan) = prepare(&workload, observed);
    assert!(plan.steps.is_empty());
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(9)));
}

#[test]
fn a_base_that_changed_replaces_its_replicas_one_at_a_time() {
    let mut observed = world(2);
    observed.base.as_mut().unwrap().image_id = "sha256:2".to_owned();
    let spec = format!("{ADOPTS}  replicas: 3\n  strategy: {{maxSurge: 0}}\n");
    let (_, plan) = prepare(&workload(&spec), observed);
    assert_eq!(words(&plan), ["remove web-replica-1"]);
}

/// A workload of three replicas from a template, all of an earlier revision, all in rotation.
fn outdated(strategy: &str) -> (Workload, Observed) {
    let spec = format!(
        "  template: {{image: 'app:2'}}\n  replicas: 3\n  health: {{http: {{port: 8000}}}}\n  strategy: {{type: {strategy}, maxSurge: 0}}\n"
    );
    let mut observed = world(3);
    observed.base = None;
    observed.rotations = vec![rotation(&["web-replica-1", "web-replica-2", "web-replica-3"])];
    (workload(&spec), observed)
}

#[test]
fn a_replica_of_another_revision_that_does_not_run_is_replaced_at_once() {
    for state in [
        ContainerState::Created,
        ContainerState::Exited,
        ContainerState::Restarting,
        ContainerState::Dead,
    ] {
        let (workload, mut observed) = outdated("RollingUpdate");
        observed.replicas[1].state = state;
        let (_, plan) = prepare(&workload, observed);
        assert_eq!(words(&plan), ["remove web-replica-2"], "{state:?}");
        assert!(plan.draining.is_empty(), "those that serve wait until it is back");
    }
}

#[test]
fn i8_a_replica_of_an_earlier_revision_leaves_rotation_before_it_goes_also_in_place() {
    for strategy in ["RollingUpdate", "InPlace"] {
        let (mut workload, mut observed) = outdated(strategy);
        let (_, plan) = prepare(&workload, observed.clone());
        assert_eq!(words(&plan), Vec::<String>::new(), "{strategy}");
        assert_eq!(
            leaving(&plan),
            BTreeSet::from([observed.replicas[0].id.clone()]),
            "{strategy}"
        );
        remembered(&mut workload, observed.clone());
        observed.rotations[0].released = releases(&plan);
        assert_eq!(
            words(&prepare(&workload, observed).1),
            ["remove web-replica-1"],
            "{strategy}"
        );
    }
}

#[test]
fn i8_no_further_replica_leaves_while_the_place_of_one_that_went_is_empty() {
    for strategy in ["RollingUpdate", "InPlace"] {
        let (workload, mut observed) = outdated(strategy);
        let gone = observed.replicas.remove(0);
        observed.taken_names.remove(&gone.name);
        let (_, plan) = prepare(&workload, observed);
        assert_eq!(words(&plan), ["create web-replica-1"], "{strategy}");
        assert!(plan.draining.is_empty(), "{strategy}: {plan:?}");
    }
}

#[test]
fn i8_what_does_not_serve_is_replaced_before_the_last_that_does() {
    for strategy in ["RollingUpdate", "InPlace"] {
        let (workload, mut observed) = outdated(strategy);
        let unhealthy = ProbeResult {
            health: Health::Unhealthy,
            message: "500".to_owned(),
            ..ProbeResult::default()
        };
        for replica in &observed.replicas[1..] {
            observed
                .probe_results
                .insert(replica.id.clone(), unhealthy.clone());
        }
        let away: BTreeSet<ContainerId> = observed.replicas[1..].iter().map(|c| c.id.clone()).collect();
        assert_eq!(leaving(&prepare(&workload, observed).1), away, "{strategy}");
    }
}

#[test]
fn i8_the_last_replica_goes_when_the_load_balancer_says_that_it_holds_it() {
    let (mut workload, mut observed) = outdated("RollingUpdate");
    workload.spec.replicas = 1;
    observed.replicas.truncate(1);
    observed.rotations = vec![rotation(&["web-replica-1"])];
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), Vec::<String>::new());
    remembered(&mut workload, observed.clone());
    observed.rotations[0].held = leaving(&plan);
    assert_eq!(words(&prepare(&workload, observed).1), ["remove web-replica-1"]);
}

#[test]
fn i8_what_was_held_as_the_last_stays_while_another_can_take_over() {
    // The load balancer looked when nothing was known of the other one, as after a restart of this controller.
    let mut workload = workload(&format!("{ADOPTS}  replicas: 1\n"));
    let mut observed = world(1);
    observed.rotations = vec![rotation(&["web-replica-1"])];
    let (_, plan) = prepare(&workload, observed.clone());
    remembered(&mut workload, observed.clone());
    assert_eq!(leaving(&plan), BTreeSet::from([observed.replicas[0].id.clone()]));
    observed.rotations[0].held = leaving(&plan);
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), Vec::<String>::new());
    assert!(
        plan.waiting[0].contains("waiting for load balancer"),
        "{:?}",
        plan.waiting
    );
    observed.rotations[0].released = releases(&plan);
    assert_eq!(words(&prepare(&workload, observed).1), ["remove web-replica-1"]);
}

#[test]
fn in_place_a_process_restarts_under_its_requests() {
    let mut observed = world(1);
    observed.rotations = vec![rotation(&["base", "web-replica-1"])];
    let spec = format!(
        "{ADOPTS}  replicas: 2\n  restartedAt: 2026-11-22T11:59:59Z\n  strategy: {{type: InPlace}}\n"
    );
    assert_eq!(words(&prepare(&workload(&spec), observed).1), ["restart base"]);
}

#[test]
fn i8_a_replica_that_only_waits_to_go_is_not_restarted_under_its_requests() {
    let mut workload = workload(&format!(
        "{ADOPTS}  replicas: 1\n  restartedAt: 2026-11-22T11:59:59Z\n  strategy: {{type: InPlace}}\n"
    ));
    let mut observed = world(1);
    observed.rotations = vec![rotation(&["base", "web-replica-1"])];
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["restart base"]);
    remembered(&mut workload, observed.clone());
    let base = observed.base.as_mut().unwrap();
    base.started_at = Some(time(NOW));
    observed.probe_results.remove(&base.id);
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), Vec::<String>::new(), "it carries the load");
    assert!(plan.draining.is_empty(), "{plan:?}");
}

#[test]
fn a_replica_that_was_taken_out_to_be_restarted_is_restarted() {
    // The first does not come back, and the stand-in has been waited for long enough: the second is next.
    let strategy = "strategy: {maxUnavailable: 0, maxSurge: 1, minHealthy: 0s}";
    let mut workload = workload(&format!(
        "{ADOPTS}  replicas: 3\n  restartedAt: 2026-11-22T11:59:00Z\n  {strategy}\n"
    ));
    let mut observed = world(3);
    observed.rotations = vec![rotation(&["web-replica-1", "web-replica-2", "web-replica-3"])];
    remembered(&mut workload, observed.clone());
    let base = observed.base.as_mut().unwrap();
    base.started_at = Some(time("2026-11-22T11:59:30Z"));
    observed.probe_results.remove(&base.id);
    observed.replicas[2].started_at = Some(time("2026-11-22T11:59:30Z"));
    observed.now = time("2026-11-22T12:01:00Z");
    remembered(&mut workload, observed.clone());
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(leaving(&plan), BTreeSet::from([observed.replicas[0].id.clone()]));
    remembered(&mut workload, observed.clone());
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(
        leaving(&plan),
        BTreeSet::from([observed.replicas[0].id.clone()]),
        "it stays taken out"
    );
}

#[test]
fn deletion_removes_replicas_and_leaves_the_adopted_container_alone() {
    let mut deleted = workload(&format!("{ADOPTS}  replicas: 3\n"));
    deleted.metadata.deletion_timestamp = Some(time(NOW).meta());
    let mut observed = world(2);
    observed.base.as_mut().unwrap().state = ContainerState::Exited;
    assert_eq!(
        words(&prepare(&deleted, observed).1),
        ["remove web-replica-1", "remove web-replica-2"]
    );
}

#[test]
fn i3_a_container_of_another_workload_or_of_this_controller_is_not_adopted() {
    let mut observed = world(0);
    let labels = &mut observed.base.as_mut().unwrap().labels;
    for (key, value) in [(LABEL_WORKLOAD, "other"), (LABEL_NAME, "base")] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    assert!(
        validate(&workload(ADOPTS), observed)
            .unwrap_err()
            .to_string()
            .contains("made for workload other")
    );
    let mut observed = world(0);
    observed.own_container = Some(observed.base.as_ref().unwrap().id.get(..12).unwrap().to_owned());
    assert!(
        validate(&workload(ADOPTS), observed)
            .unwrap_err()
            .to_string()
            .contains("cannot restart itself")
    );
}

#[test]
fn a_missing_base_stops_nothing_else_and_is_reported() {
    let mut observed = world(1);
    observed.base = None;
    let workload = workload(&format!("{ADOPTS}  replicas: 2\n"));
    let (validated, plan) = prepare(&workload, observed);
    assert!(plan.steps.is_empty(), "{plan:?}");
    let status = next(&validated, &applied(plan, Vec::new()));
    let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "ContainerMissing")
    );
}

#[test]
fn i1_a_base_that_was_removed_by_hand_is_reported_so_until_there_is_one_again() {
    let mut workload = workload(ADOPTS);
    let mut pass = |removed_by_hand: bool, is_there: bool| {
        let mut observed = world(0);
        observed.removed_by_hand = removed_by_hand;
        observed.base = observed.base.filter(|_| is_there);
        let (validated, plan) = prepare(&workload, observed);
        let status = next(&validated, &applied(plan, Vec::new()));
        let found = aegis_api::condition::find(&status.conditions, ConditionType::StoppedByHand);
        let found = found.map(|it| (it.status.clone(), it.reason.clone()));
        workload.status = Some(status);
        found
    };
    let removed = Some(("True".to_owned(), "Removed".to_owned()));
    assert_eq!(pass(false, true), None);
    assert_eq!(pass(true, false), removed);
    assert_eq!(
        pass(false, false),
        removed,
        "what was heard is forgotten with a restart, what is stored is not"
    );
    assert_eq!(
        pass(false, true),
        Some(("False".to_owned(), "Started".to_owned()))
    );
    assert_eq!(
        pass(false, false),
        Some(("False".to_owned(), "Started".to_owned())),
        "gone for an unknown cause"
    );
}

/// A workload of so many replicas from a template, of which the world has those of an earlier revision, in rotation.
fn rolling(replicas: u32, strategy: &str) -> (Workload, Observed) {
    let spec = format!(
        "  template: {{image: 'app:2'}}\n  replicas: {replicas}\n  health: {{http: {{port: 8000}}}}\n  strategy: {{{strategy}}}\n"
    );
    let mut observed = world(replicas);
    observed.base = None;
    let names: Vec<String> = (1..=replicas)
        .map(|index| format!("web-replica-{index}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    observed.rotations = vec![rotation(&names)];
    (workload(&spec), observed)
}

/// Adds a running replica of the revision of the template.
fn successor(workload: &Workload, observed: &mut Observed, index: u32, health: Health) -> ContainerId {
    let mut made = replica(index);
    let revision = aegis_api::create::template_revision(workload.spec.template.as_ref().unwrap());
    made.labels.insert(LABEL_REVISION.to_owned(), revision.into());
    observed.taken_names.insert(made.name.clone());
    let result = ProbeResult {
        health,
        message: "503".to_owned(),
        ..ProbeResult::default()
    };
    observed.probe_results.insert(made.id.clone(), result);
    let id = made.id.clone();
    observed.replicas.push(made);
    id
}

#[test]
fn i8_the_first_of_a_new_revision_must_be_ready_before_any_of_the_old_one_leaves() {
    let (mut workload, mut observed) = rolling(2, "");
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["create web-replica-3"]);
    assert!(plan.draining.is_empty(), "{plan:?}");

    remembered(&mut workload, observed.clone());
    let id = successor(&workload, &mut observed, 3, Health::Unhealthy);
    let (_, plan) = prepare(&workload, observed.clone());
    assert!(plan.steps.is_empty() && plan.draining.is_empty(), "{plan:?}");

    observed.probe_results.get_mut(&id).unwrap().health = Health::Healthy;
    let (_, plan) = prepare(&workload, observed);
    assert_eq!(
        leaving(&plan).len(),
        2,
        "proven: now as many as maxUnavailable and maxSurge allow"
    );
}

#[test]
fn with_max_unavailable_zero_one_leaves_for_each_that_came() {
    let (workload, mut observed) = rolling(2, "maxUnavailable: 0");
    successor(&workload, &mut observed, 3, Health::Healthy);
    let (_, plan) = prepare(&workload, observed);
    assert_eq!(leaving(&plan).len(), 1, "{plan:?}");
}

#[test]
fn i8_a_new_replica_counts_only_after_min_healthy() {
    let (workload, mut observed) = rolling(2, "minHealthy: 10s");
    successor(&workload, &mut observed, 3, Health::Healthy);
    let (_, plan) = prepare(&workload, observed);
    assert!(plan.draining.is_empty(), "{plan:?}");
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(10)));
}

#[test]
fn i8_the_only_replica_restarts_behind_a_stand_in() {
    let (mut workload, mut observed) = rolling(1, "");
    workload.spec.restarted_at = Some(time("2026-11-22T11:59:59Z"));
    observed.replicas.clear();
    let only = successor(&workload, &mut observed, 1, Health::Healthy);
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["create web-replica-2"]);
    assert!(plan.draining.is_empty());
    remembered(&mut workload, observed.clone());

    let stand_in = successor(&workload, &mut observed, 2, Health::Healthy);
    observed.replicas[1].started_at = Some(time(NOW));
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(leaving(&plan), BTreeSet::from([only.clone()]));
    remembered(&mut workload, observed.clone());
    observed.rotations = vec![Rotation {
        released: BTreeMap::from([(only.clone(), Some(time(NOW)))]),
        ..rotation(&["web-replica-2"])
    }];
    assert_eq!(
        words(&prepare(&workload, observed.clone()).1),
        ["restart web-replica-1"]
    );
    remembered(&mut workload, observed.clone());

    // Until it is back, the stand-in stays.
    observed.replicas[0].started_at = Some(time(NOW));
    observed.probe_results.get_mut(&only).unwrap().health = Health::Unknown;
    let (_, plan) = prepare(&workload, observed.clone());
    assert!(plan.steps.is_empty() && plan.draining.is_empty(), "{plan:?}");
    remembered(&mut workload, observed.clone());
    observed.probe_results.get_mut(&only).unwrap().health = Health::Healthy;
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(leaving(&plan), BTreeSet::from([stand_in]));
    observed.replicas.truncate(1);
    remembered(&mut workload, observed);
    assert_eq!(workload.status.unwrap().rollout, None);
}

#[test]
fn no_stand_in_for_who_is_in_no_rotation_or_alone_writes_a_volume_or_restarts_in_place() {
    let restart = |strategy: &str, mounts: serde_json::Value, served: bool| {
        let mut observed = world(0);
        let base = observed.base.as_mut().unwrap();
        base.mounts = mounts;
        if served {
            observed.rotations = vec![rotation(&["base"])];
        }
        let spec = format!("{ADOPTS}  restartedAt: 2026-11-22T11:59:59Z\n  strategy: {{{strategy}}}\n");
        words(&prepare(&workload(&spec), observed).1)
    };
    let volume = serde_json::json!([{"Type": "volume", "Destination": "/data", "RW": true}]);
    let config = serde_json::json!([{"Type": "bind", "Destination": "/etc/app", "RW": false}]);
    assert_eq!(restart("", config, true), ["create web-replica-1"]);
    assert_eq!(restart("", volume, true), ["restart base"]);
    assert_eq!(restart("", serde_json::json!([]), false), ["restart base"]);
    assert_eq!(
        restart("maxSurge: 0", serde_json::json!([]), true),
        ["restart base"]
    );
    assert_eq!(
        restart("type: InPlace", serde_json::json!([]), true),
        ["restart base"]
    );
}

#[test]
fn a_restart_that_waits_too_long_for_its_stand_in_goes_on_without() {
    let mut observed = world(0);
    observed.rotations = vec![rotation(&["base"])];
    let mut workload = workload(&format!("{ADOPTS}  restartedAt: 2026-11-22T11:59:59Z\n"));
    remembered(&mut workload, observed.clone());
    let mut stand_in = replica(1);
    stand_in.started_at = Some(time(NOW));
    observed.replicas = vec![stand_in];
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(15)));
    assert!(plan.steps.is_empty(), "{plan:?}");
    observed.now = time("2026-11-22T12:00:15Z");
    let steps = words(&prepare(&workload, observed).1);
    assert!(steps.contains(&"restart base".to_owned()), "{steps:?}");
}

/// As `rolling`, in the middle of the change to `app:2`, after `app:1` had been ready.
fn changing(strategy: &str) -> (Workload, Observed, ContainerId) {
    let (mut workload, mut observed) = rolling(2, strategy);
    let wanted = workload.spec.template.clone();
    workload.spec.template.as_mut().unwrap().image = "app:1".parse().unwrap();
    observed.replicas.clear();
    successor(&workload, &mut observed, 1, Health::Healthy);
    successor(&workload, &mut observed, 2, Health::Healthy);
    remembered(&mut workload, observed.clone());
    workload.spec.template = wanted;
    remembered(&mut workload, observed.clone());
    let id = successor(&workload, &mut observed, 3, Health::Unhealthy);
    (workload, observed, id)
}

fn reject(workload: &Workload, observed: Observed) -> Option<String> {
    let mut workload = workload.clone();
    remembered(&mut workload, observed);
    workload.status.unwrap().rejected.map(|rejected| rejected.reason)
}

#[test]
fn a_revision_that_does_not_get_ready_in_time_is_rolled_back_and_the_last_good_one_runs() {
    let (mut workload, mut observed, bad) = changing("progressDeadline: 1m");
    assert_eq!(reject(&workload, observed.clone()), None);
    let plan = prepare(&workload, observed.clone()).1;
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(60)));
    observed.now = time("2026-11-22T12:01:00Z");
    remembered(&mut workload, observed.clone());
    let status = workload.status.clone().unwrap();
    let reason = status.rejected.unwrap().reason;
    assert!(reason.contains("within 1m (web-replica-3: 503)"), "{reason}");

    let (validated, plan) = prepare(&workload, observed.clone());
    assert_eq!(leaving(&plan), BTreeSet::from([bad]));
    assert_eq!(validated.image.as_deref(), Some("app:1"));
    let gone = observed.replicas.pop().unwrap();
    observed.taken_names.remove(&gone.name);
    remembered(&mut workload, observed.clone());
    let status = workload.status.clone().unwrap();
    let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "RolledBack")
    );
    let images: Vec<&str> = status
        .revisions
        .iter()
        .map(|known| known.image.as_str())
        .collect();
    assert_eq!(images, ["app:2", "app:1"], "what runs is the newest");

    // Another template is another try.
    workload.spec.template.as_mut().unwrap().image = "app:3".parse().unwrap();
    assert_eq!(words(&prepare(&workload, observed).1), ["create web-replica-3"]);
}

#[test]
fn a_revision_that_came_while_nothing_ran_is_proven_by_containers_and_rolled_back_without() {
    let (mut workload, mut observed, _) = changing("progressDeadline: 1m");
    let wanted = workload.spec.template.clone();
    let rows = workload.status.as_mut().unwrap();
    rows.revisions.truncate(1);
    (rows.rollout, rows.instances) = (None, Vec::new());
    observed.replicas.clear();
    observed.taken_names.clear();
    workload.spec.replicas = 0;
    remembered(&mut workload, observed.clone());
    let known = &workload.status.as_ref().unwrap().revisions;
    assert_eq!(known.last().unwrap().image, "app:2");
    assert!(!known.last().unwrap().was_ready, "no containers prove nothing");

    (workload.spec.replicas, workload.spec.template) = (2, wanted);
    for index in [1, 2] {
        successor(&workload, &mut observed, index, Health::Unhealthy);
    }
    remembered(&mut workload, observed.clone());
    assert_eq!(reject(&workload, observed.clone()), None);
    observed.now = time("2026-11-22T12:01:00Z");
    let reason = reject(&workload, observed).unwrap();
    assert!(reason.contains("within 1m (web-replica-1: 503)"), "{reason}");
}

#[test]
fn a_revision_that_ends_twice_or_becomes_unhealthy_is_rolled_back_at_once() {
    let (mut workload, mut observed, id) = changing("");
    observed.probe_results.get_mut(&id).unwrap().health = Health::Healthy;
    remembered(&mut workload, observed.clone());
    assert_eq!(reject(&workload, observed.clone()), None);
    observed.probe_results.get_mut(&id).unwrap().health = Health::Unhealthy;
    let reason = reject(&workload, observed).unwrap();
    assert!(reason.contains("was ready and is no more"), "{reason}");

    let (mut workload, mut observed, _) = changing("");
    observed.replicas[2].state = ContainerState::Exited;
    remembered(&mut workload, observed.clone());
    assert_eq!(reject(&workload, observed.clone()), None, "once may be chance");
    let rows = &mut workload.status.as_mut().unwrap().instances;
    rows.iter_mut()
        .find(|row| row.name == "web-replica-3")
        .unwrap()
        .restarts = 1;
    let reason = reject(&workload, observed).unwrap();
    assert!(reason.contains("web-replica-3 ended again"), "{reason}");
}

#[test]
fn a_revision_that_ran_once_is_not_rolled_back_for_a_later_fault() {
    let (mut workload, mut observed, id) = changing("progressDeadline: 1m");
    let revision = workload.status.as_mut().unwrap().revisions.last_mut().unwrap();
    revision.was_ready = true;
    observed.now = time("2026-11-22T12:05:00Z");
    observed.probe_results.get_mut(&id).unwrap().health = Health::Unhealthy;
    assert_eq!(reject(&workload, observed), None);
}

/// A workload whose only container is unhealthy since 11:59:00, with this restart policy and these restarts behind it.
fn unhealthy(policy: &str, restarts: &[&str]) -> (Workload, Observed) {
    let mut workload = workload(&format!("{ADOPTS}  restart: {policy}\n"));
    let mut observed = world(0);
    let base = observed.base.as_ref().unwrap();
    let result = ProbeResult {
        health: Health::Unhealthy,
        message: "503".to_owned(),
        ..ProbeResult::default()
    };
    observed.probe_results.insert(base.id.clone(), result);
    remembered(&mut workload, observed.clone());
    let row = &mut workload.status.as_mut().unwrap().instances[0];
    row.unhealthy_since = Some(time("2026-11-22T11:59:00Z"));
    row.recent_restarts = restarts.iter().map(|at| time(at)).collect();
    row.restarts = u32::try_from(restarts.len()).unwrap();
    row.last_restart_at = row.recent_restarts.last().copied();
    let seen = ContainerEvidence {
        id: row.id.clone(),
        started_at: row.started_at,
        ..ContainerEvidence::default()
    };
    workload.status.as_mut().unwrap().captures = vec![Capture {
        container: seen,
        ..Capture::default()
    }];
    (workload, observed)
}

#[test]
fn what_an_unhealthy_container_looks_like_is_kept_before_its_restart_once_a_run() {
    let (mut workload, observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
    let captures = std::mem::take(&mut workload.status.as_mut().unwrap().captures);
    let (validated, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["inspect base before its restart"]);
    let mut outcome = applied(plan.clone(), plan.steps);
    outcome.captures = captures;
    let status = next(&validated, &outcome);
    assert!(status.instances[0].recent_restarts.is_empty() && status.instances[0].restarts == 0);
    workload.status = Some(status);
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["restart base"]);

    // An earlier run of the same container is another story.
    let captures = &mut workload.status.as_mut().unwrap().captures;
    captures[0].container.started_at = Some(time("2026-11-22T10:00:00Z"));
    let again = words(&prepare(&workload, observed).1);
    assert_eq!(again, ["inspect base before its restart"]);
}

fn database(trouble: Option<&str>) -> DependencyStatus {
    DependencyStatus {
        completes: false,
        name: "db".to_owned(),
        workload: Some("db".to_owned()),
        containers: Vec::new(),
        trouble: trouble.map(str::to_owned),
    }
}

#[test]
fn a_symptom_is_not_treated_while_the_root_is_not_well() {
    let (workload, mut observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
    observed.dependencies = vec![database(Some("no container of it is ready"))];
    let (validated, plan) = prepare(&workload, observed.clone());
    assert!(plan.steps.is_empty(), "{plan:?}");
    let status = next(&validated, &applied(plan, Vec::new()));
    let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "DependencyDown");
    assert!(
        ready.message.contains("db (no container of it is ready)"),
        "{}",
        ready.message
    );

    // Nor is it started again after it ended because of the root.
    let mut ended = observed.clone();
    ended.base.as_mut().unwrap().state = ContainerState::Exited;
    assert!(prepare(&workload, ended).1.steps.is_empty());

    observed.dependencies = vec![database(None)];
    assert_eq!(words(&prepare(&workload, observed).1), ["restart base"]);
}

#[test]
fn i6_while_automation_is_paused_or_the_workload_protected_nothing_is_restarted_by_itself() {
    for reason in [Reason::Paused, Reason::Protected] {
        let (workload, mut observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
        observed.no_restarts = Some(crate::hold::Hold {
            reason,
            message: "ada said so".to_owned(),
            until: None,
            by_itself: false,
        });
        let (validated, plan) = prepare(&workload, observed.clone());
        assert!(plan.steps.is_empty(), "unhealthy: {plan:?}");
        let status = next(&validated, &applied(plan, Vec::new()));
        let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.reason, reason);
        assert!(ready.message.contains("ada said so"), "{}", ready.message);
        let paused = aegis_api::condition::is_true(&status.conditions, ConditionType::Paused);
        assert_eq!(paused, reason == Reason::Paused);

        let mut ended = observed.clone();
        ended.base.as_mut().unwrap().state = ContainerState::Exited;
        assert!(prepare(&workload, ended.clone()).1.steps.is_empty(), "ended");
        let mut cut_off = observed.clone();
        cut_off.network_owner = Some(NetworkOwner {
            name: "vpn".to_owned(),
            started_at: Some(time("2026-11-22T11:30:00Z")),
        });
        assert!(prepare(&workload, cut_off).1.steps.is_empty(), "cut off");

        // What people request goes on.
        let mut asked = workload.clone();
        asked.spec.restarted_at = Some(time("2026-11-22T11:59:59Z"));
        assert_eq!(words(&prepare(&asked, ended).1), ["start base"]);
        let mut scaled = workload.clone();
        scaled.spec.replicas = 2;
        assert_eq!(words(&prepare(&scaled, observed).1), ["create web-replica-1"]);
    }
}

/// A reboot while automation has paused by itself brings everything back; what we stopped comes back in any case.
#[test]
fn i2_what_ended_is_started_where_automation_paused_by_itself_and_what_we_stopped_always() {
    let held = |by_itself| crate::hold::Hold {
        reason: Reason::Paused,
        message: "paused".to_owned(),
        until: None,
        by_itself,
    };
    let (workload, mut observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
    observed.no_restarts = Some(held(true));
    assert!(
        prepare(&workload, observed.clone()).1.steps.is_empty(),
        "unhealthy"
    );
    let base = observed.base.as_mut().unwrap();
    base.state = ContainerState::Exited;
    base.finished_at = Some(time("2026-11-22T11:59:30Z"));
    let id = base.id.clone();
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["start base"]);

    observed.no_restarts = Some(held(false));
    assert!(
        prepare(&workload, observed.clone()).1.steps.is_empty(),
        "a person's"
    );
    let mut ours = observed.clone();
    let death = Death {
        cause: Cause::Controller,
        ..Death::default()
    };
    ours.ends.insert(id, LastEnd::Known(death));
    assert_eq!(words(&prepare(&workload, ours).1), ["start base"]);

    // A controller that died in between has heard of nothing, and knows it from what was stored.
    for (taken, started) in [("2026-11-22T11:59:29Z", true), ("2026-11-22T11:58:00Z", false)] {
        let mut workload = workload.clone();
        workload.status.as_mut().unwrap().captures[0].taken_at = Some(time(taken));
        let plan = prepare(&workload, observed.clone()).1;
        assert_eq!(!plan.steps.is_empty(), started, "{taken}: {plan:?}");
    }
}

#[test]
fn i6_an_incidents_restart_is_one_more_attempt_and_a_persons_gives_all_of_them_again() {
    for (restart_is_automatic, counted) in [(true, 3), (false, 0)] {
        let (mut workload, mut observed) = unhealthy(
            "{unhealthyAfter: 30s}",
            &["2026-11-22T11:40:00Z", "2026-11-22T11:50:00Z"],
        );
        workload.spec.restarted_at = Some(time("2026-11-22T11:59:59Z"));
        observed.restart_is_automatic = restart_is_automatic;
        let (validated, plan) = prepare(&workload, observed);
        let steps = plan.steps.clone();
        assert_eq!(words(&plan), ["restart base"]);
        let row = next(&validated, &applied(plan, steps)).instances[0].clone();
        assert_eq!(row.recent_restarts.len(), counted, "{restart_is_automatic}");
        assert_eq!(row.restarts > 0, restart_is_automatic);
    }
}

#[test]
fn i6_what_is_unhealthy_waits_where_the_host_allows_no_more_and_one_workload_too_many_puts_the_brake_on() {
    for (ruling, pauses) in [
        (HostRuling::Busy("two at a time".to_owned()), false),
        (HostRuling::Exhausted("30 of 30".to_owned()), false),
        (HostRuling::BlastRadius("the fourth".to_owned()), true),
    ] {
        let (mut workload, mut observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
        observed.host = Some(ruling.clone());
        let taken_at = |workload: &mut Workload, at: &str| {
            workload.status.as_mut().unwrap().captures[0].taken_at = Some(time(at));
        };
        // What has been inspected a moment ago has had its turn; that does not stand for ever.
        taken_at(&mut workload, "2026-11-22T11:59:58Z");
        assert_eq!(words(&prepare(&workload, observed.clone()).1), ["restart base"]);
        taken_at(&mut workload, "2026-11-22T11:58:58Z");
        let (_, plan) = prepare(&workload, observed.clone());
        assert!(plan.steps.is_empty(), "{ruling:?}: {plan:?}");
        assert!(
            !plan.waiting.is_empty() && plan.look_again.is_some(),
            "{ruling:?}"
        );
        assert_eq!(plan.pause_all.is_some(), pauses, "{ruling:?}");
        // What ended is started all the same.
        observed.base.as_mut().unwrap().state = ContainerState::Exited;
        assert_eq!(
            words(&prepare(&workload, observed).1),
            ["start base"],
            "{ruling:?}"
        );
    }
}

#[test]
fn what_shares_a_network_is_restarted_after_the_owner_of_it_has_been() {
    let workload = workload(ADOPTS);
    let mut observed = world(0);
    let owner = |started: &str| {
        Some(NetworkOwner {
            name: "vpn".to_owned(),
            started_at: Some(time(started)),
        })
    };
    observed.network_owner = owner("2026-11-22T10:00:00Z");
    assert!(prepare(&workload, observed.clone()).1.steps.is_empty());
    observed.network_owner = owner("2026-11-22T11:30:00Z");
    observed.dependencies = vec![database(Some("vpn fails its probe"))];
    assert!(prepare(&workload, observed.clone()).1.steps.is_empty());
    observed.dependencies = vec![database(None)];
    assert_eq!(words(&prepare(&workload, observed.clone()).1), ["restart base"]);
    observed.base.as_mut().unwrap().started_at = Some(time("2026-11-22T11:31:00Z"));
    assert!(prepare(&workload, observed).1.steps.is_empty());
}

#[test]
fn what_is_unhealthy_for_longer_than_allowed_is_restarted_and_counted() {
    let (quiet, observed) = unhealthy("{}", &[]);
    assert_eq!(
        words(&prepare(&quiet, observed).1),
        Vec::<String>::new(),
        "only where the spec says so"
    );
    let (patient, observed) = unhealthy("{unhealthyAfter: 90s}", &[]);
    let (_, plan) = prepare(&patient, observed);
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(30)));
    let (workload, observed) = unhealthy("{unhealthyAfter: 30s, attempts: 3}", &[]);
    let (validated, plan) = prepare(&workload, observed);
    assert_eq!(words(&plan), ["restart base"]);
    let done = plan.steps.clone();
    let status = next(&validated, &applied(plan, done));
    let row = &status.instances[0];
    assert_eq!(
        (row.restarts, row.recent_restarts.as_slice()),
        (1, &[time(NOW)][..])
    );
}

#[test]
fn i2_a_restart_is_counted_before_it_begins_and_once_wherever_the_controller_dies() {
    let (mut workload, mut observed) = unhealthy("{unhealthyAfter: 30s, delay: 10m}", &[]);
    let (validated, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["restart base"]);
    let ahead = counted_ahead(&validated, &plan).unwrap();
    let counted = |status: &WorkloadStatus| {
        let row = &status.instances[0];
        (row.restarts, row.recent_restarts.clone(), row.fruitless_restarts)
    };
    workload.status.as_mut().unwrap().instances = ahead;
    let one = counted(workload.status.as_ref().unwrap());
    assert_eq!((one.0, one.1.as_slice(), one.2), (1, &[time(NOW)][..], 1));

    // It dies before the stop: the same plan again, without a pause, and nothing more is counted.
    let (again, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["restart base"]);
    assert_eq!(counted_ahead(&again, &plan), None);
    let done = plan.steps.clone();
    assert_eq!(counted(&next(&again, &applied(plan, done))), one);

    // Or between stop and start.
    let base = observed.base.as_mut().unwrap();
    base.state = ContainerState::Exited;
    base.finished_at = Some(time(NOW));
    let (again, plan) = prepare(&workload, observed.clone());
    assert_eq!(words(&plan), ["start base"]);
    let done = plan.steps.clone();
    assert_eq!(counted(&next(&again, &applied(plan, done))), one);

    // Or after the start, before the status: it counts all the same, and another one has its pause.
    let base = observed.base.as_mut().unwrap();
    base.started_at = Some(time(NOW));
    let (again, plan) = prepare(&workload, observed.clone());
    assert!(plan.steps.is_empty(), "{plan:?}");
    assert_eq!(counted(&next(&again, &applied(plan, Vec::new()))), one);
    let base = observed.base.as_mut().unwrap();
    base.finished_at = Some(time("2026-11-22T12:00:30Z"));
    observed.now = time("2026-11-22T12:01:00Z");
    let (_, plan) = prepare(&workload, observed);
    assert!(plan.steps.is_empty() && !plan.waiting.is_empty(), "{plan:?}");
}

#[test]
fn i2_a_restart_that_the_engine_refuses_is_not_counted() {
    let (workload, observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
    let (validated, plan) = prepare(&workload, observed);
    assert!(counted_ahead(&validated, &plan).is_some());
    let status = next(&validated, &applied(plan, Vec::new()));
    assert_eq!(
        (status.instances[0].restarts, status.instances[0].counted_run),
        (0, None)
    );
}

#[test]
fn i6_since_when_something_is_unhealthy_outlives_a_restart_of_the_controller() {
    // What was known when somebody resumed automation stays known: it pauses nothing again.
    let (workload, mut observed) = unhealthy("{unhealthyAfter: 30s}", &[]);
    let base = observed.base.as_ref().unwrap().id.clone();
    let verdict =
        |observed: &mut Observed, health| observed.probe_results.get_mut(&base).unwrap().health = health;
    let since = Some(time("2026-11-22T11:59:00Z"));
    verdict(&mut observed, Health::Unknown);
    let (validated, plan) = prepare(&workload, observed.clone());
    assert_eq!(validated.instances[0].unhealthy_since, since);
    assert!(
        plan.steps.is_empty(),
        "nothing is done about what was not measured: {plan:?}"
    );
    verdict(&mut observed, Health::Unhealthy);
    assert_eq!(
        prepare(&workload, observed.clone()).0.instances[0].unhealthy_since,
        since
    );
    verdict(&mut observed, Health::Healthy);
    assert_eq!(prepare(&workload, observed).0.instances[0].unhealthy_since, None);
}

#[test]
fn pauses_between_restarts_grow_or_stay_as_asked() {
    let last = ["2026-11-22T11:59:40Z", "2026-11-22T11:59:50Z"];
    for (backoff, left) in [("Exponential", Some(10)), ("Constant", None)] {
        let policy = format!("{{unhealthyAfter: 1s, delay: 10s, backoff: {backoff}}}");
        let (workload, observed) = unhealthy(&policy, &last);
        let (_, plan) = prepare(&workload, observed);
        assert_eq!(
            plan.look_again,
            left.map(std::time::Duration::from_secs),
            "{backoff}"
        );
        assert_eq!(plan.steps.is_empty(), left.is_some(), "{backoff}");
    }
}

#[test]
fn i6_after_so_many_restarts_a_container_is_left_to_a_human_who_can_still_restart_it() {
    let restarts = ["2026-11-22T11:10:00Z", "2026-11-22T11:30:00Z"];
    let policy = "{unhealthyAfter: 1s, attempts: 2, window: 1h}";
    let (mut workload, mut observed) = unhealthy(policy, &restarts);
    let (validated, plan) = prepare(&workload, observed.clone());
    assert!(plan.steps.is_empty(), "{plan:?}");
    assert_eq!(
        plan.look_again,
        Some(std::time::Duration::from_secs(600)),
        "the first one is forgotten then"
    );
    let status = next(&validated, &applied(plan, Vec::new()));
    let degraded = aegis_api::condition::find(&status.conditions, ConditionType::Degraded).unwrap();
    assert_eq!(degraded.reason, "RestartLimit");
    assert!(
        degraded.message.contains("left to a human"),
        "{}",
        degraded.message
    );

    // Also one that ended.
    observed.base.as_mut().unwrap().state = ContainerState::Exited;
    assert!(prepare(&workload, observed.clone()).1.steps.is_empty());
    workload.spec.restarted_at = Some(time("2026-11-22T11:59:59Z"));
    assert_eq!(words(&prepare(&workload, observed).1), ["start base"]);
}

/// The base ended 5 s ago, and this is how.
fn ended(end: LastEnd) -> Observed {
    let mut observed = world(0);
    let base = observed.base.as_mut().unwrap();
    base.state = ContainerState::Exited;
    base.exit_code = 143;
    base.finished_at = Some(time("2026-11-22T11:59:55Z"));
    observed.ends.insert(base.id.clone(), end);
    observed.heard_since = Some(time(STARTED));
    observed
}

fn by(cause: Cause) -> LastEnd {
    LastEnd::Known(Death {
        at: Some(time("2026-11-22T11:59:55Z")),
        cause,
        exit_code: 143,
        ..Death::default()
    })
}

#[test]
fn i6_what_a_person_stopped_stays_stopped_and_says_how_to_hand_it_back() {
    let mut adopting = workload(ADOPTS);
    let (validated, plan) = prepare(&adopting, ended(by(Cause::Human)));
    assert!(words(&plan).is_empty(), "{plan:?}");
    let status = next(&validated, &applied(plan, Vec::new()));
    for kind in [ConditionType::Ready, ConditionType::StoppedByHand] {
        let condition = aegis_api::condition::find(&status.conditions, kind).unwrap();
        assert!(condition.message.contains("docker start base"), "{condition:?}");
        assert!(
            condition.message.contains("aegisctl restart workload/web"),
            "{condition:?}"
        );
    }
    let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "StoppedByHand")
    );
    assert!(!aegis_api::condition::is_true(
        &status.conditions,
        ConditionType::Degraded
    ));
    adopting.status = Some(status);

    // After a restart of this controller only the status knows how it ended.
    let unheard = || {
        let mut observed = ended(LastEnd::Unseen);
        observed.heard_since = Some(time(NOW));
        observed
    };
    assert!(words(&prepare(&adopting, unheard()).1).is_empty());
    // That it ended once more, while it was not observed, is another end.
    let mut again = unheard();
    again.base.as_mut().unwrap().finished_at = Some(time("2026-11-22T11:59:58Z"));
    assert_eq!(words(&prepare(&adopting, again).1), ["start base"]);

    // The one that starts it hands it back, with all its attempts.
    let mut restarted = adopting.clone();
    restarted.spec.restarted_at = Some(time("2026-11-22T11:59:58Z"));
    assert_eq!(words(&prepare(&restarted, unheard()).1), ["start base"]);
    let mut started = world(0);
    started.base.as_mut().unwrap().started_at = Some(time("2026-11-22T11:59:59Z"));
    let (validated, plan) = prepare(&adopting, started);
    let status = next(&validated, &applied(plan, Vec::new()));
    assert!(!aegis_api::condition::is_true(
        &status.conditions,
        ConditionType::StoppedByHand
    ));
    assert!(
        aegis_api::condition::is_true(&status.conditions, ConditionType::Ready),
        "{status:?}"
    );
}

#[test]
fn what_crashed_is_started_at_once_and_what_was_asked_to_stop_waits_for_the_verdict() {
    let adopting = workload(ADOPTS);
    for cause in [
        Cause::Process,
        Cause::Controller,
        Cause::EngineStop,
        Cause::Unknown,
    ] {
        let (_, plan) = prepare(&adopting, ended(by(cause)));
        assert_eq!(words(&plan), ["start base"], "{cause:?}");
    }
    let open = LastEnd::Open {
        at: time("2026-11-22T11:59:55Z"),
        until: time("2026-11-22T12:00:10Z"),
    };
    let (_, plan) = prepare(&adopting, ended(open));
    assert!(words(&plan).is_empty(), "{plan:?}");
    assert_eq!(plan.look_again, Some(std::time::Duration::from_secs(10)));
}

#[test]
fn i6_a_start_of_what_a_person_stopped_is_refused_in_every_plan() {
    let (validated, _) = prepare(&workload(ADOPTS), ended(by(Cause::Human)));
    let id = validated.instances[0].id.clone();
    let plan = Prepared {
        steps: vec![Step::Start {
            name: id.to_string(),
            id,
            crashed: true,
        }],
        ..Prepared::default()
    };
    let checked = check(&validated, plan);
    assert_eq!(checked.refused[0].reason, "a person stopped it");
}

#[test]
fn i6_a_container_that_never_gets_healthy_is_restarted_three_times_and_then_a_human_is_asked_once() {
    let (mut workload, mut observed) = unhealthy("{unhealthyAfter: 1s, delay: 0s}", &[]);
    let mut restarts = 0;
    let mut reports = BTreeSet::new();
    for minute in 0..60 {
        observed.now = Time(time(NOW).0 + jiff::SignedDuration::from_secs(minute * 120));
        let (validated, plan) = prepare(&workload, observed.clone());
        reports.extend(plan.reports.iter().map(|report| report.name.clone()));
        let steps = plan.steps.clone();
        restarts += steps
            .iter()
            .filter(|step| matches!(step, Step::RestartUnhealthy { .. }))
            .count();
        let captures = steps
            .iter()
            .filter(|step| matches!(step, Step::Capture { .. }))
            .map(|_| Capture {
                container: ContainerEvidence {
                    id: validated.instances[0].id.clone(),
                    started_at: validated.instances[0].started_at,
                    ..ContainerEvidence::default()
                },
                ..Capture::default()
            });
        let mut outcome = applied(plan, steps.clone());
        outcome.captures = captures.collect();
        workload.status = Some(next(&validated, &outcome));
        if steps
            .iter()
            .any(|step| matches!(step, Step::RestartUnhealthy { .. }))
        {
            observed.base.as_mut().unwrap().started_at = Some(observed.now);
        }
    }
    assert_eq!((restarts, reports.len()), (3, 1), "{reports:?}");
    let conditions = &workload.status.as_ref().unwrap().conditions;
    let degraded = aegis_api::condition::find(conditions, ConditionType::Degraded).unwrap();
    assert_eq!(degraded.reason, "RestartLimit");
    assert!(
        degraded.message.contains("another restart cannot help"),
        "{}",
        degraded.message
    );

    // While the incident is open there is no second one; a person's restart gives it all its attempts again.
    observed.restarts_reported = true;
    assert_eq!(prepare(&workload, observed.clone()).1.reports, []);
    workload.spec.restarted_at = Some(observed.now);
    let (validated, plan) = prepare(&workload, observed);
    let steps = plan.steps.clone();
    assert_eq!(words(&plan), ["restart base"]);
    let row = next(&validated, &applied(plan, steps)).instances.remove(0);
    assert_eq!((row.restarts, row.fruitless_restarts), (0, 0));
}

#[test]
fn i6_restarts_have_a_limit_without_anybodys_asking_for_one() {
    let ten: Vec<String> = (10..20)
        .map(|minute| format!("2026-11-22T11:{minute}:00Z"))
        .collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    let (workload, mut observed) = unhealthy("{unhealthyAfter: 1s}", &ten);
    let base = observed.base.as_mut().unwrap();
    base.state = ContainerState::Exited;
    let (_, plan) = prepare(&workload, observed.clone());
    assert_eq!((words(&plan).len(), plan.reports.len()), (0, 1), "{plan:?}");
    let (workload, _) = unhealthy("{attempts: 11}", &ten);
    assert_eq!(words(&prepare(&workload, observed).1), ["start base"]);
}

#[test]
fn i3_i8_a_plan_that_breaks_a_rule_is_refused_with_the_reason() {
    let (mut two, mut observed) = rolling(2, "");
    two.spec.template.as_mut().unwrap().image = "app:1".parse().unwrap();
    observed.replicas.clear();
    successor(&two, &mut observed, 1, Health::Healthy);
    successor(&two, &mut observed, 2, Health::Healthy);
    let (validated, _) = prepare(&two, observed.clone());
    let refusal = |validated: &ValidatedWorkload, steps: Vec<Step>| {
        let plan = Prepared {
            steps,
            ..Prepared::default()
        };
        let checked = check(validated, plan);
        checked
            .refused
            .into_iter()
            .map(|refused| refused.reason)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let id = |index: usize| observed.replicas[index].id.clone();
    let remove = |id: ContainerId| Step::Remove {
        name: id.to_string(),
        id,
    };
    let restart = |id: ContainerId| Step::Restart {
        name: id.to_string(),
        id,
    };
    let create = |index: u32, name: &str| Step::Create {
        index,
        name: name.to_owned(),
    };
    assert!(refusal(&validated, vec![remove("bystander".into())]).contains("none of this workload's"));
    assert!(refusal(&validated, vec![remove(id(0))]).contains("load balancer lb still sends it requests"));
    assert!(refusal(&validated, vec![restart(id(0))]).contains("has started since spec.restartedAt"));
    assert!(refusal(&validated, vec![create(3, "somebody")]).contains("no name of a replica"));
    assert!(refusal(&validated, vec![create(1, "web-replica-1")]).contains("is taken"));
    let three = vec![create(3, "web-replica-3"), create(4, "web-replica-4")];
    assert!(refusal(&validated, three).contains("more than replicas and maxSurge allow (3)"));
    let mut free = validated;
    free.rotations.clear();
    assert_eq!(refusal(&free, vec![remove(id(0))]), "");
    assert!(
        refusal(&free, vec![remove(id(0)), remove(id(1))]).contains("0 would be left serving, 1 must be")
    );

    let (adopting, _) = prepare(&workload(ADOPTS), world(0));
    let base = adopting.instances[0].id.clone();
    assert!(refusal(&adopting, vec![remove(base)]).contains("adopted"));
}

#[test]
fn i3_a_replica_of_an_earlier_version_is_still_ours_by_its_name_and_no_other_is() {
    use aegis_api::create::is_ours;
    let mut labels = replica(1).labels;
    for (name, ours) in [
        ("web-replica-1", true),
        ("web-replica-2", false),
        ("web-replica-", false),
        ("web-replica-x", false),
        ("other-replica-1", false),
        ("look", false),
    ] {
        assert_eq!(is_ours(name, &labels, "web", "me"), ours, "{name}");
    }
    labels.insert(LABEL_NAME.to_owned(), "web-replica-1".to_owned());
    assert!(is_ours("web-replica-1", &labels, "web", "me"));
    assert!(!is_ours("web-replica-1", &labels, "web", "another"));
    assert!(!is_ours("web-replica-1", &labels, "shop", "me"));
    assert!(!is_ours("web-replica-2", &labels, "web", "me"));
}
