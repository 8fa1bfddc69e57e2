//! A changed spec and a world in, what is shown before anything is done out.

use super::super::tests::{ADOPTS, container, rotation, time, workload, world};
use super::*;

fn planned(spec: &str, observed: Observed) -> WorkloadPlan {
    preview(&workload(spec), observed).unwrap()
}

fn steps(plan: &WorkloadPlan) -> Vec<String> {
    let words = |step: &PlannedStep| format!("{} {}", step.action.as_str(), step.container);
    plan.steps.iter().map(words).collect()
}

/// Behind a load balancer that sends requests to all of them.
fn balanced(replicas: u32) -> Observed {
    let names: Vec<String> = (1..=replicas)
        .map(|index| format!("web-replica-{index}"))
        .collect();
    let names: Vec<&str> = std::iter::once("base")
        .chain(names.iter().map(String::as_str))
        .collect();
    Observed {
        rotations: vec![rotation(&names)],
        ..world(replicas)
    }
}

#[test]
fn more_replicas_are_made_and_nothing_else_is_touched() {
    let plan = planned(&format!("{ADOPTS}  replicas: 4\n"), balanced(1));
    assert_eq!(steps(&plan), ["create web-replica-2", "create web-replica-3"]);
    assert_eq!(plan.untouched, ["base", "web-replica-1"]);
    let clients = (
        plan.clients.serving_before,
        plan.clients.serving_least,
        plan.clients.serving_after,
    );
    assert_eq!(clients, (2, 2, 4));
    assert_eq!(plan.clients.message, "nothing that runs is stopped");
    assert!(plan.complete && plan.waiting.is_empty(), "{plan:#?}");
}

#[test]
fn fewer_replicas_leave_rotation_first_and_go_from_the_top() {
    let plan = planned(&format!("{ADOPTS}  replicas: 1\n"), balanced(2));
    let mut all = steps(&plan);
    all.sort_unstable();
    assert_eq!(all, ["remove web-replica-1", "remove web-replica-2"]);
    assert_eq!(plan.untouched, ["base"]);
    assert_eq!((plan.clients.serving_least, plan.complete), (1, true));
    assert!(
        plan.clients
            .message
            .starts_with("no request is dropped: lb drains"),
        "{}",
        plan.clients.message
    );
    // It is not drained where nothing stands before it.
    let plan = planned(&format!("{ADOPTS}  replicas: 1\n"), world(1));
    assert!(
        plan.clients
            .message
            .contains("open requests to web-replica-1 are cut off"),
        "{plan:#?}"
    );
}

#[test]
fn one_behind_a_load_balancer_has_a_stand_in_while_it_is_restarted_and_one_alone_does_not_answer() {
    let restart = format!("{ADOPTS}  restartedAt: '2026-11-22T11:59:00Z'\n");
    let plan = planned(&restart, balanced(0));
    assert_eq!(
        steps(&plan),
        ["create web-replica-1", "restart base", "remove web-replica-1"]
    );
    assert_eq!(
        (plan.clients.serving_least, plan.complete),
        (1, true),
        "{plan:#?}"
    );
    let plan = planned(&restart, world(0));
    assert_eq!(steps(&plan), ["restart base"]);
    assert_eq!(plan.clients.serving_least, 0);
    assert_eq!(plan.clients.message, "web does not answer while base is stopped");
}

#[test]
fn a_new_template_replaces_replicas_one_after_the_other() {
    let template =
        |image: &str| format!("  template: {{image: '{image}', networks: [net]}}\n  replicas: 2\n");
    let first = planned(
        &template("app:1"),
        Observed {
            base: None,
            taken_names: BTreeSet::new(),
            ..world(0)
        },
    );
    assert_eq!(steps(&first), ["create web-replica-1", "create web-replica-2"]);
    let mut there = Foreseen::new(
        &workload(&template("app:1")),
        Observed {
            base: None,
            taken_names: BTreeSet::new(),
            ..world(0)
        },
    );
    while !matches!(there.pass().unwrap(), Progress::Settled) {}
    let mut changed = workload(&template("app:2"));
    changed.status = there.workload.status.clone();
    changed.metadata.generation = Some(2);
    let plan = preview(&changed, there.world).unwrap();
    let (made, gone): (Vec<_>, Vec<_>) = plan
        .steps
        .iter()
        .partition(|step| step.action == PlannedAction::Create);
    assert_eq!((made.len(), gone.len(), plan.complete), (2, 2, true), "{plan:#?}");
    assert_eq!(
        plan.steps.first().map(|step| step.action),
        Some(PlannedAction::Create)
    );
    // As many as `maxUnavailable` says may be missing.
    assert_eq!(plan.clients.serving_least, 1, "{plan:#?}");
}

#[test]
fn what_waits_for_people_and_what_cannot_be_done_are_shown() {
    let missing = Observed {
        base: None,
        taken_names: BTreeSet::new(),
        ..world(0)
    };
    let plan = planned(&format!("{ADOPTS}  replicas: 3\n"), missing);
    assert!(plan.steps.is_empty() && !plan.complete, "{plan:#?}");
    let mut gone = container("base");
    gone.host_config = serde_json::json!({"AutoRemove": true});
    let observed = Observed {
        base: Some(gone),
        ..world(0)
    };
    let plan = planned(
        &format!("{ADOPTS}  restartedAt: '2026-11-22T11:59:00Z'\n"),
        observed,
    );
    assert!(plan.steps.is_empty() && !plan.complete, "{plan:#?}");
    assert!(
        matches!(plan.refused.as_slice(), [why] if why.contains("base")),
        "{plan:#?}"
    );
}

#[test]
fn the_first_pass_of_a_preview_is_the_plan_of_the_next_reconcile_and_asking_twice_changes_nothing() {
    let spec = format!("{ADOPTS}  replicas: 3\n");
    let (asked, observed) = (workload(&spec), balanced(0));
    let validated = validate(&asked, observed.clone()).unwrap();
    let next: Vec<String> = check(&validated, plan(&validated))
        .steps
        .iter()
        .map(Step::words)
        .collect();
    let shown = preview(&asked, observed.clone()).unwrap();
    let first = shown.steps.iter().filter(|step| step.pass == 1);
    let first: Vec<String> = first
        .map(|step| format!("{} {}", step.action.as_str(), step.container))
        .collect();
    assert_eq!(first, next);
    assert_eq!(preview(&asked, observed).unwrap(), shown);
    assert!(time("2026-11-22T12:00:00Z") == world(0).now);
}

#[test]
fn a_restart_that_is_asked_for_a_moment_ahead_is_shown_and_one_of_tomorrow_is_waited_for() {
    let at = |time: &str| format!("{ADOPTS}  restartedAt: '{time}'\n");
    let plan = planned(&at("2026-11-22T12:00:02Z"), world(0));
    assert_eq!(
        (steps(&plan), plan.complete),
        (vec!["restart base".to_owned()], true)
    );
    let plan = planned(&at("2026-11-23T12:00:00Z"), world(0));
    assert!(plan.steps.is_empty() && !plan.complete, "{plan:#?}");
    assert!(plan.waiting[0].contains("2026-11-23"), "{plan:#?}");
}

#[test]
fn what_is_restarted_in_place_under_its_requests_is_said_to_cut_them_off() {
    let spec = format!(
        "{ADOPTS}  replicas: 3\n  strategy: {{type: InPlace}}\n  restartedAt: '2026-11-22T11:59:00Z'\n"
    );
    let plan = planned(&spec, balanced(2));
    assert_eq!((plan.steps.len(), plan.complete), (3, true), "{plan:#?}");
    assert!(
        plan.clients
            .message
            .starts_with("lb does not drain base, web-replica-1"),
        "{plan:#?}"
    );
}

#[test]
fn an_unhealthy_container_that_is_about_to_be_restarted_anyway_is_shown() {
    let mut observed = balanced(1);
    observed.probe_results.insert(
        container("base").id,
        ProbeResult {
            health: Health::Unhealthy,
            message: "refused".to_owned(),
            ..ProbeResult::default()
        },
    );
    let mut asked = workload(&format!(
        "{ADOPTS}  replicas: 2\n  restart: {{unhealthyAfter: 30s}}\n"
    ));
    let validated = validate(&asked, observed.clone()).unwrap();
    asked.status = Some(status::next(&validated, &Outcome::default()));
    let plan = preview(&asked, observed).unwrap();
    assert!(
        steps(&plan).contains(&"restart base".to_owned()) && plan.complete,
        "{plan:#?}"
    );
}

#[test]
fn a_change_of_very_many_is_shown_as_far_as_it_was_computed() {
    let plan = planned(
        &format!("{ADOPTS}  replicas: 200\n  restartedAt: '2026-11-22T11:59:00Z'\n"),
        balanced(199),
    );
    assert!(
        !plan.complete
            && plan
                .waiting
                .iter()
                .any(|why| why.contains("only the first steps")),
        "{:?}",
        plan.waiting
    );
}
