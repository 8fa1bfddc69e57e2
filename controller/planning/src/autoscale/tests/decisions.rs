//! What is decided when something is lost, paused, held or started again.

use aegis_api::Reason;

use super::super::{Errors, IncidentHold, Rate, Reading, Situation, held_by_incident};
use super::{World, at, percents, serving, spec, total};

const RPS: &str = "{metric: RequestsPerSecond, value: 10}";
const BOTH: &str = "{metric: RequestsPerSecond, value: 10}, {metric: Cpu, percent: 50}";

fn lost() -> Reading {
    Reading::Missing("cannot be measured: the log is gone".to_owned())
}

#[test]
fn the_largest_answer_wins_and_each_row_says_what_it_asks_for() {
    let mut world = World::new(spec(BOTH, ""), 2);
    let decision = world.pass(0, &serving(2, vec![total(50.0), percents(&[60.0, 60.0])]));
    assert_eq!((decision.reason, decision.status.desired), (Reason::ScaledOut, 5));
    let asked: Vec<_> = decision.status.targets.iter().map(|row| row.desired).collect();
    assert_eq!(asked, [Some(5), Some(3)]);
    assert_eq!(
        decision.status.message,
        "RequestsPerSecond 50, of 10 a replica needs 5"
    );
}

#[test]
fn without_all_its_metrics_it_scales_out_but_never_in() {
    // (readings, replicas, desired, reason)
    for (readings, replicas, desired, reason) in [
        (vec![lost(), lost()], 4, 4, Reason::MetricUnavailable),
        (
            vec![lost(), percents(&[10.0; 4])],
            4,
            4,
            Reason::MetricUnavailable,
        ),
        (vec![total(5.0), lost()], 4, 4, Reason::MetricUnavailable),
        (vec![lost(), percents(&[100.0; 4])], 4, 8, Reason::ScaledOut),
        (vec![total(70.0), lost()], 4, 7, Reason::ScaledOut),
        (vec![total(40.0), percents(&[10.0; 4])], 4, 4, Reason::OnTarget),
        (vec![total(5.0), percents(&[10.0; 4])], 4, 1, Reason::ScaledIn),
    ] {
        let mut world = World::new(spec(BOTH, ""), replicas);
        let decision = world.pass(0, &serving(replicas, readings.clone()));
        assert_eq!(
            (decision.status.desired, decision.reason),
            (desired, reason),
            "{readings:?}"
        );
    }
}

#[test]
fn a_fallback_is_in_force_once_the_metric_was_lost_for_long_enough_also_across_a_restart() {
    for (behavior, replicas, desired) in [
        ("Static", 3, 6),
        ("Static", 8, 6),
        ("CurrentReplicasIfHigher", 3, 6),
        ("CurrentReplicasIfHigher", 8, 8),
        ("CurrentReplicasIfLower", 3, 3),
        ("CurrentReplicasIfLower", 8, 6),
    ] {
        let fallback = format!("fallback: {{after: 60s, replicas: 6, behavior: {behavior}}}");
        let mut world = World::new(spec(RPS, &fallback), replicas);
        assert_eq!(
            world.pass(0, &serving(replicas, vec![lost()])).status.desired,
            replicas
        );
        assert_eq!(
            world.pass(59, &serving(replicas, vec![lost()])).status.desired,
            replicas
        );
        world.restart();
        let decision = world.pass(60, &serving(replicas, vec![lost()]));
        assert_eq!(
            decision.status.desired, desired,
            "{behavior} from {replicas}: {}",
            decision.status.message
        );
        // Read for the first time again, it has been away for no shorter.
        let first = Reading::Pending("is being read for the first time".to_owned());
        let still = world.pass(61, &serving(world.replicas, vec![first])).status;
        assert_eq!(still.targets[0].lost_since, Some(at(0)));
        let back = world.pass(62, &serving(world.replicas, vec![total(30.0)]));
        assert_eq!(back.status.targets[0].lost_since, None);
        assert_eq!(back.status.desired, 3);
    }
}

#[test]
fn scaling_in_waits_for_its_window_and_a_restart_begins_the_window_again() {
    let mut world = World::new(spec(RPS, "scaleDownWindow: 60s"), 4);
    let idle = |world: &World| serving(world.replicas, vec![total(10.0)]);
    assert_eq!(world.pass(0, &idle(&world)).reason, Reason::Stabilizing);
    assert_eq!(world.pass(58, &idle(&world)).reason, Reason::Stabilizing);
    world.restart();
    assert_eq!(
        world.pass(60, &idle(&world)).reason,
        Reason::Stabilizing,
        "nothing is known of before"
    );
    assert_eq!(world.pass(118, &idle(&world)).reason, Reason::Stabilizing);
    let decision = world.pass(122, &idle(&world));
    assert_eq!((decision.reason, world.replicas), (Reason::ScaledIn, 1));
    // The highest answer of the window counts.
    let mut world = World::new(spec(RPS, "scaleDownWindow: 60s"), 4);
    for (secs, rate) in [(0, 40.0), (20, 25.0), (40, 15.0), (59, 10.0)] {
        world.pass(secs, &serving(4, vec![total(rate)]));
    }
    assert_eq!(world.replicas, 4);
    world.pass(62, &serving(4, vec![total(10.0)]));
    assert_eq!(world.replicas, 3, "25 a second were requested 42 s ago");
}

#[test]
fn scaling_out_waits_for_its_window_where_it_has_one() {
    let mut world = World::new(spec(RPS, "scaleUpWindow: 10s"), 1);
    let busy = serving(1, vec![total(30.0)]);
    assert_eq!(world.pass(0, &busy).reason, Reason::Stabilizing);
    assert_eq!(world.pass(8, &busy).reason, Reason::Stabilizing);
    assert_eq!(world.pass(11, &busy).reason, Reason::ScaledOut);
    assert_eq!(world.replicas, 3);
}

#[test]
fn each_direction_can_be_paused_alone_and_the_other_goes_on() {
    let (up, down) = (
        "scaleUp: {selectPolicy: Disabled}",
        "scaleDown: {selectPolicy: Disabled}",
    );
    for (rest, rate, desired, reason) in [
        (up, 90.0, 4, Reason::DirectionPaused),
        (up, 10.0, 1, Reason::ScaledIn),
        (down, 10.0, 4, Reason::DirectionPaused),
        (down, 90.0, 8, Reason::ScaledOut),
    ] {
        let mut world = World::new(spec(RPS, rest), 4);
        let decision = world.pass(0, &serving(4, vec![total(rate)]));
        assert_eq!(
            (decision.status.desired, decision.reason),
            (desired, reason),
            "{rest} at {rate}"
        );
    }
}

#[test]
fn policies_bound_what_changes_within_their_periods_as_documented() {
    let pods = "policies: [{type: Pods, value: 1, period: 60s}]";
    let most = |select: &str| {
        format!(
            "policies: [{{type: Pods, value: 1, period: 60s}}, {{type: Percent, value: 50, period: 60s}}], selectPolicy: {select}"
        )
    };
    for (rest, replicas, rate, first, second) in [
        ("scaleUp: {}".to_owned(), 1, 100.0, 5, 5),
        ("scaleUp: {}".to_owned(), 6, 100.0, 10, 10),
        (format!("scaleUp: {{{pods}}}"), 2, 100.0, 3, 3),
        (format!("scaleUp: {{{}}}", most("Max")), 4, 100.0, 6, 6),
        (format!("scaleUp: {{{}}}", most("Min")), 4, 100.0, 5, 5),
        (format!("scaleDown: {{{pods}}}"), 8, 10.0, 7, 7),
        (format!("scaleDown: {{{}}}", most("Max")), 8, 10.0, 4, 4),
        (format!("scaleDown: {{{}}}", most("Min")), 8, 10.0, 7, 7),
    ] {
        let mut world = World::new(spec(RPS, &rest), replicas);
        world.pass(0, &serving(replicas, vec![total(rate)]));
        assert_eq!(world.replicas, first, "{rest}");
        world.pass(10, &serving(first, vec![total(rate)]));
        assert_eq!(world.replicas, second, "{rest}: within the period nothing more");
        let before = world.replicas;
        world.pass(70, &serving(before, vec![total(rate)]));
        let settled = if rate > 50.0 {
            world.replicas > before || before == 10
        } else {
            world.replicas < before
        };
        assert!(
            settled,
            "{rest}: after the period it goes on from {before}: {}",
            world.replicas
        );
    }
}

#[test]
fn who_sets_replicas_is_answered_what_becomes_of_that_number() {
    let workload = |spec: &str, replicas: u32| -> aegis_api::Workload {
        let autoscale = serde_json::to_value(super::read(spec)).unwrap();
        serde_json::from_value(serde_json::json!({
            "apiVersion": aegis_api::API_VERSION, "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"template": {"image": "a"}, "replicas": replicas, "autoscale": autoscale},
        }))
        .unwrap()
    };
    let bounds = format!("min: 2, max: 10, targets: [{RPS}]");
    for (spec, replicas, words) in [
        (&bounds, 5, "autoscaled: 5 are held for 10m"),
        (
            &bounds,
            20,
            "20 are outside of spec.autoscale's 2 to 10, so 10 are held for 10m",
        ),
        (
            &bounds,
            1,
            "1 are outside of spec.autoscale's 2 to 10, so 2 are held for 10m",
        ),
        (&bounds, 3, "has 3 already: nothing is held"),
        (&bounds, 0, "with 0 replicas that is switched off"),
        (
            &format!("{bounds}, holdAfterManual: 0s"),
            20,
            "decides at once, 2 to 10",
        ),
    ] {
        let note =
            crate::autoscale::manual_note(&workload(&format!("{{{spec}}}"), 3), replicas, at(0)).unwrap();
        assert!(note.contains(words), "{replicas}: {note}");
    }
}

#[test]
fn a_person_s_number_is_held_for_its_time_and_a_restart_does_not_forget_it() {
    let mut world = World::new(spec(RPS, ""), 2);
    let busy = |world: &World| serving(world.replicas, vec![total(90.0)]);
    world.pass(0, &serving(2, vec![total(20.0)]));
    world.set(3);
    let decision = world.pass(10, &busy(&world));
    assert_eq!(
        (decision.reason, decision.active, world.replicas),
        (Reason::ManualHold, false, 3)
    );
    assert!(
        decision.status.message.contains("a person set 3 replicas"),
        "{}",
        decision.status.message
    );
    assert_eq!(
        decision.status.wanted,
        Some(9),
        "what it would do is shown all the same"
    );
    world.restart();
    assert_eq!(world.pass(600, &busy(&world)).reason, Reason::ManualHold);
    assert_eq!(world.pass(611, &busy(&world)).reason, Reason::ScaledOut);
    // Its own change is no person's word.
    assert_ne!(world.pass(613, &busy(&world)).reason, Reason::ManualHold);
    // Back to what it was once set to by itself is a person's word, too.
    let own = world.replicas;
    world.set(2);
    assert_eq!(world.pass(620, &busy(&world)).reason, Reason::ManualHold);
    world.set(own);
    let decision = world.pass(1000, &busy(&world));
    assert_eq!(decision.status.manual_until, Some(at(1600)));
}

#[test]
fn with_no_time_to_hold_a_person_s_number_is_where_it_goes_on_from() {
    let mut world = World::new(spec(RPS, "holdAfterManual: 0s"), 2);
    world.pass(0, &serving(2, vec![total(20.0)]));
    world.set(7);
    assert_eq!(
        world.pass(2, &serving(7, vec![total(20.0)])).reason,
        Reason::ScaledIn
    );
}

#[test]
fn zero_replicas_switch_it_off_and_one_more_switches_it_on() {
    let mut world = World::new(spec(RPS, "holdAfterManual: 0s"), 0);
    let decision = world.pass(0, &serving(0, vec![total(90.0)]));
    assert_eq!(
        (decision.reason, decision.change, decision.active),
        (Reason::ScaledToZero, None, false)
    );
    world.set(1);
    assert_eq!(
        world.pass(2, &serving(1, vec![total(90.0)])).reason,
        Reason::ScaledOut
    );
}

#[test]
fn an_incident_s_plan_holds_both_directions_for_its_time_and_is_no_person() {
    let mut world = World::new(spec(RPS, ""), 2);
    world.pass(0, &serving(2, vec![total(20.0)]));
    world.set(5);
    let incident = |whole: bool, floor: u32| {
        Some(IncidentHold {
            whole,
            floor,
            message: "incident/inc-1".to_owned(),
        })
    };
    let with = |replicas: u32, rate: f64, incident: Option<IncidentHold>| Situation {
        incident,
        incident_generations: vec![2],
        ..serving(replicas, vec![total(rate)])
    };
    for rate in [10.0, 90.0] {
        let decision = world.pass(10, &with(5, rate, incident(true, 0)));
        assert_eq!(
            (decision.reason, decision.change),
            (Reason::RemediationUnderWay, None),
            "at {rate}"
        );
    }
    // It has ended, and what it set is not undone before that has settled; more is.
    assert_eq!(
        world.pass(20, &with(5, 10.0, incident(false, 5))).reason,
        Reason::RemediationUnderWay
    );
    assert_eq!(
        world.pass(30, &with(5, 70.0, incident(false, 5))).status.desired,
        7
    );
    assert_eq!(
        world.pass(40, &with(7, 10.0, incident(false, 5))).status.desired,
        5
    );
    let decision = world.pass(50, &with(5, 10.0, None));
    assert_eq!(
        (
            decision.reason,
            decision.status.desired,
            decision.status.manual_until
        ),
        (Reason::ScaledIn, 1, None)
    );
}

#[test]
fn what_was_decided_and_not_carried_out_is_decided_again_and_counts_once() {
    let one = "scaleUp: {policies: [{type: Pods, value: 1, period: 60s}]}";
    let mut world = World::new(spec(RPS, one), 2);
    let busy = |world: &World| serving(world.replicas, vec![total(90.0)]);
    let first = world.decide(0, &busy(&world));
    assert_eq!(first.change.map(|change| (change.from, change.to)), Some((2, 3)));
    // The controller ended between the status and the spec.
    world.restart();
    let again = world.decide(2, &busy(&world));
    assert_eq!(
        again.change.map(|change| (change.from, change.to)),
        Some((2, 3)),
        "the policy does not count it"
    );
    assert_eq!(again.status.changes.len(), 1);
    // Carried out this time, and nothing says so but the spec.
    world.set(3);
    world.restart();
    let decision = world.pass(4, &busy(&world));
    assert_eq!((decision.reason, decision.change), (Reason::RateLimited, None));
    assert_eq!(
        (decision.status.changes.len(), decision.status.manual_until),
        (1, None)
    );
}

#[test]
fn a_person_who_is_faster_than_the_write_wins() {
    let mut world = World::new(spec(RPS, ""), 2);
    let decided = world.decide(0, &serving(2, vec![total(50.0)]));
    assert_eq!(decided.change.map(|change| change.to), Some(5));
    world.set(8);
    let decision = world.pass(2, &serving(8, vec![total(50.0)]));
    assert_eq!(decision.reason, Reason::ManualHold);
    assert_eq!(decision.status.changes, []);
}

#[test]
fn a_pause_holds_and_the_person_s_time_runs_on_beneath_it() {
    let mut world = World::new(spec(RPS, ""), 2);
    world.pass(0, &serving(2, vec![total(20.0)]));
    world.set(3);
    let paused = Situation {
        pause: Some((Reason::Paused, "all automation is paused".to_owned())),
        ..serving(3, vec![total(90.0)])
    };
    assert_eq!(world.pass(10, &paused).reason, Reason::Paused);
    assert_eq!(
        world.pass(300, &serving(3, vec![total(90.0)])).reason,
        Reason::ManualHold
    );
    assert_eq!(
        world.pass(700, &serving(3, vec![total(90.0)])).reason,
        Reason::ScaledOut
    );
}

#[test]
fn many_errors_hold_scaling_in_and_both_directions_where_that_is_desired() {
    let with = |percent: f64, answered: u32, rate: f64| Situation {
        errors: Some(Errors { percent, answered }),
        ..serving(4, vec![total(rate)])
    };
    for (holds, situation, reason) in [
        ("ScaleDown", with(5.0, 100, 10.0), Reason::ErrorBrake),
        ("ScaleDown", with(5.0, 100, 90.0), Reason::ScaledOut),
        ("ScaleDown", with(4.9, 100, 10.0), Reason::ScaledIn),
        ("ScaleDown", with(50.0, 19, 10.0), Reason::ScaledIn),
        ("Both", with(5.0, 100, 90.0), Reason::ErrorBrake),
        ("Both", with(5.0, 100, 10.0), Reason::ErrorBrake),
        ("Both", with(90.0, 100, 40.0), Reason::OnTarget),
    ] {
        let mut world = World::new(
            spec(RPS, &format!("errorBrake: {{percent: 5, holds: {holds}}}")),
            4,
        );
        assert_eq!(world.pass(0, &situation).reason, reason, "{holds}: {situation:?}");
    }
}

#[test]
fn bounds_hold_at_once_and_what_is_beyond_them_is_said() {
    let mut world = World::new(spec(RPS, ""), 14);
    let decision = world.pass(0, &serving(14, vec![lost()]));
    assert_eq!(
        (decision.status.desired, decision.reason),
        (10, Reason::AtMaximum)
    );
    let decision = world.pass(2, &serving(10, vec![total(900.0)]));
    assert_eq!(
        (decision.status.desired, decision.reason, decision.status.wanted),
        (10, Reason::AtMaximum, Some(90))
    );
}

#[test]
fn latency_scales_in_by_one_and_not_to_where_replicas_were_too_slow() {
    let target = "{metric: LatencyP95, milliseconds: 300}";
    let slow = |millis: f64, rate: f64| Reading::Latency {
        millis,
        rate: Rate {
            per_second: rate,
            is_steady: true,
        },
    };
    let mut world = World::new(spec(target, ""), 1);
    // One replica answers 20 a second and is too slow at that.
    world.pass(0, &serving(1, vec![slow(900.0, 20.0)]));
    assert_eq!(world.replicas, 3);
    let coming = Situation {
        warming: 2,
        ..serving(1, vec![slow(2000.0, 20.0)])
    };
    let decision = world.pass(2, &coming);
    assert_eq!(
        (decision.reason, world.replicas),
        (Reason::WarmingUp, 3),
        "those that come were not counted yet"
    );
    world.pass(10, &serving(3, vec![slow(40.0, 30.0)]));
    assert_eq!(world.replicas, 2, "by one");
    world.restart();
    let decision = world.pass(20, &serving(2, vec![slow(40.0, 30.0)]));
    assert_eq!(
        (decision.reason, world.replicas),
        (Reason::OnTarget, 2),
        "30 a second were too many for one"
    );
    world.pass(30, &serving(2, vec![slow(20.0, 15.0)]));
    assert_eq!(world.replicas, 1, "15 are fewer than 17 in 20");
}

#[test]
fn a_target_near_all_of_a_limit_can_be_missed_all_the_same() {
    for (percent, used, desired) in [(95, 100.0, 3), (95, 97.0, 2), (90, 96.0, 3), (50, 54.0, 2)] {
        let mut world = World::new(spec(&format!("{{metric: Cpu, percent: {percent}}}"), ""), 2);
        world.pass(0, &serving(2, vec![percents(&[used; 2])]));
        assert_eq!(world.replicas, desired, "{used} of {percent}");
    }
}

#[test]
fn a_head_start_scales_out_for_what_is_coming_and_never_in() {
    let mut world = World::new(spec(RPS, "headStart: 30s"), 2);
    let growing = Reading::Total {
        now: 20.0,
        ahead: Some(38.0),
        rate: None,
    };
    let decision = world.pass(0, &serving(2, vec![growing]));
    assert_eq!(decision.status.desired, 4);
    assert_eq!(
        decision.status.message,
        "RequestsPerSecond 20, soon 38, of 10 a replica needs 4"
    );
}

#[test]
fn an_incident_holds_the_replicas_while_it_acts_and_not_while_it_waits_or_is_decided_on_for_long() {
    let held = |reason: &str| {
        format!(
            "{{type: Held, status: 'True', reason: {reason}, message: m, lastTransitionTime: '2026-11-22T12:00:00Z'}}"
        )
    };
    let of = |phase: &str, condition: Option<&str>, seconds: i64| {
        let conditions = condition.map(held).unwrap_or_default();
        let text = format!(
            "{{phase: {phase}, workload: web, conditions: [{conditions}], evidence: {{collectedAt: '{}'}}}}",
            at(0)
        );
        let status = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
        let spec = serde_json::json!({"workloadRef": "web", "alertType": "a"});
        let mut incident = aegis_api::Incident::new("inc-1", serde_json::from_value(spec).unwrap());
        incident.status = Some(serde_json::from_value(status).unwrap());
        held_by_incident(&[std::sync::Arc::new(incident)], "web", at(seconds)).is_some_and(|hold| hold.whole)
    };
    for (phase, condition, seconds, holds) in [
        ("RECEIVED", None, 0, false),
        ("ANALYSING", None, 0, true),
        ("ANALYSING", None, 299, true),
        ("ANALYSING", None, 300, false),
        ("COUNCIL_REVIEW", None, 10, true),
        ("COUNCIL_REVIEW", None, 86_400, false),
        ("COUNCIL_REVIEW", Some("Confirming"), 10, false),
        ("COUNCIL_REVIEW", Some("DependencyDown"), 10, false),
        ("COUNCIL_REVIEW", Some("HostBusy"), 10, false),
        ("AWAITING_APPROVAL", None, 10, false),
        ("APPROVED", None, 86_400, true),
        ("APPROVED", Some("Paused"), 10, false),
        ("EXECUTING", None, 86_400, true),
        ("SCALING", None, 10, true),
        ("VERIFYING", None, 86_400, true),
        ("RESOLVED", None, 10, false),
        ("FAILED", None, 10, false),
    ] {
        assert_eq!(
            of(phase, condition, seconds),
            holds,
            "{phase} {condition:?} after {seconds} s"
        );
    }
}
