//! Signals become readings.

use aegis_api::Time;
use aegis_api::signals::{Outcome, Requests, Sample};
use std::time::Duration;

use super::super::Reading;
use super::super::Situation;
use super::super::measure::{Replica, Replicas, Requested, cores, errors, measure, set_apart};
use super::super::reading::Rate;
use super::{World, at, spec};
use aegis_api::WorkloadStatus;
use aegis_api::workload::InstanceStatus;

fn sample(secs: i64, cpu: f32, memory: u64) -> Sample {
    Sample {
        at: at(secs),
        cpu_percent: Some(cpu),
        throttled_percent: None,
        memory_bytes: memory,
        memory_limit_bytes: 0,
        net_rx_bytes: 0,
        net_tx_bytes: 0,
        pids: 1,
        pids_limit: 0,
    }
}

fn settled(since: Option<i64>) -> Replicas {
    Replicas {
        settled: since.map(at),
        serving: vec!["web".to_owned()],
        ..Replicas::default()
    }
}

/// One span of three seconds, with so many requests of so many milliseconds.
fn span(secs: i64, count: u32, millis: u32) -> Requests {
    let mut span = Requests::none(at(secs), Duration::from_secs(3));
    (0..count).for_each(|_| span.count(Outcome::Answered, millis));
    span
}

fn counted(since: i64, spans: Vec<Requests>) -> Requested {
    Requested::Since(at(since), spans)
}

#[test]
fn cpu_is_of_the_limit_and_of_the_time_since_the_last_replica_came() {
    let spec = spec("{metric: Cpu, percent: 50}", "metricWindow: 30s");
    let samples: Vec<Sample> = (0..10)
        .map(|step| sample(step * 3, if step < 5 { 30.0 } else { 12.0 }, 0))
        .collect();
    let replica = Replica {
        samples: &samples,
        cores: Some(0.3),
        memory_limit: None,
    };
    let of = |since: Option<i64>, now: i64| {
        let requested = Requested::Unknown(String::new());
        measure(
            &spec,
            0,
            std::slice::from_ref(&replica),
            &settled(since),
            &requested,
            at(now),
        )
    };
    let Reading::OfReplicas { percents, limited } = of(Some(12), 27) else {
        panic!()
    };
    assert!(limited);
    assert!(
        (percents[0].unwrap() - 40.0).abs() < 0.1,
        "{percents:?}: 12 % of 0.3 cores"
    );
    let Reading::OfReplicas { percents, .. } = of(None, 27) else {
        panic!()
    };
    assert!(
        percents[0].unwrap() > 60.0,
        "{percents:?}: what was before counts where none came"
    );
    assert!(
        matches!(of(Some(26), 27), Reading::Pending(_)),
        "no reading since yet"
    );
    let Reading::OfReplicas { percents, .. } = of(Some(12), 60) else {
        panic!()
    };
    assert_eq!(percents, [None], "readings that ended long ago say nothing");
}

#[test]
fn rates_are_of_whole_spans_whose_lines_have_arrived() {
    let spec = spec(
        "{metric: RequestsPerSecond, value: 1}, {metric: InFlight, value: 1}, {metric: LatencyP95, milliseconds: 100}",
        "metricWindow: 12s",
    );
    let spans: Vec<Requests> = (0..10).map(|step| span(step * 3, 30, 40)).collect();
    let read = |index: usize, since: Option<i64>, requested: &Requested, now: i64| {
        measure(&spec, index, &[], &settled(since), requested, at(now))
    };
    let requested = counted(-60, spans.clone());
    // At 29 the span of 27 is not over; that of 24 is.
    assert_eq!(
        read(0, None, &requested, 29),
        Reading::Total {
            now: 10.0,
            ahead: None,
            rate: None,
        }
    );
    let Reading::Total {
        now: in_flight,
        rate: Some(Rate { per_second: rate, .. }),
        ..
    } = read(1, None, &requested, 29)
    else {
        panic!()
    };
    assert!((rate - 10.0).abs() < 1e-9, "{rate}");
    assert!(
        (in_flight - 0.4).abs() < 1e-9,
        "{in_flight}: 10 a second of 40 ms"
    );
    let Reading::Latency {
        millis,
        rate: Rate { per_second, .. },
    } = read(2, None, &requested, 29)
    else {
        panic!()
    };
    assert!(
        (25.0..=50.0).contains(&millis) && (per_second - 10.0).abs() < 1e-9,
        "{millis}"
    );
    // Latency of before the last replica came says nothing of now.
    assert!(matches!(read(2, Some(24), &requested, 29), Reading::Pending(_)));
    assert!(matches!(read(0, Some(24), &requested, 29), Reading::Total { .. }));
    assert!(
        matches!(read(0, None, &counted(24, spans), 29), Reading::Pending(_)),
        "the count has just begun"
    );
    assert_eq!(
        read(0, None, &counted(-60, Vec::new()), 29),
        Reading::Total {
            now: 0.0,
            ahead: None,
            rate: None,
        }
    );
    let unknown = Requested::Unknown("the log is gone".to_owned());
    assert_eq!(
        read(0, None, &unknown, 29),
        Reading::Missing("cannot be measured: the log is gone".to_owned())
    );
    assert_eq!(
        errors(&spec, &requested, at(29)).map(|errors| errors.answered),
        Some(120)
    );
    assert_eq!(errors(&spec, &unknown, at(29)), None);
}

#[test]
fn what_grows_leads_on_by_a_line_and_what_falls_does_not() {
    let of = |count: fn(u32) -> u32| {
        let spec = spec(
            "{metric: RequestsPerSecond, value: 1}",
            "metricWindow: 24s, headStart: 12s",
        );
        let spans: Vec<Requests> = (0..9)
            .map(|step| span(i64::from(step) * 3, count(step), 5))
            .collect();
        measure(&spec, 0, &[], &settled(None), &counted(-60, spans), at(29))
    };
    let Reading::Total { now, ahead, .. } = of(|step| 30 + 3 * step) else {
        panic!()
    };
    assert!(
        ahead.is_some_and(|ahead| ahead > now * 1.2 && ahead <= now * 2.0),
        "{now} {ahead:?}"
    );
    assert!(matches!(
        of(|step| 60 - 3 * step),
        Reading::Total { ahead: None, .. }
    ));
    assert!(matches!(of(|_| 30), Reading::Total { ahead: None, .. }));
}

#[test]
fn memory_needs_a_limit_and_cpu_limits_are_read_in_both_spellings() {
    let spec = spec("{metric: Memory, percent: 50}", "");
    let samples = [sample(0, 1.0, 60)];
    let of = |memory_limit: Option<u64>| {
        let replica = Replica {
            samples: &samples,
            cores: None,
            memory_limit,
        };
        measure(
            &spec,
            0,
            &[replica],
            &settled(None),
            &Requested::Unknown(String::new()),
            at(1),
        )
    };
    assert_eq!(
        of(Some(100)),
        Reading::OfReplicas {
            percents: vec![Some(60.0)],
            limited: true
        }
    );
    assert!(matches!(of(None), Reading::Missing(why) if why.contains("memory limit")));
    let limit = |json: &str| cores(&serde_json::from_str(json).unwrap());
    assert_eq!(limit(r#"{"NanoCpus": 300000000}"#), Some(0.3));
    assert_eq!(
        limit(r#"{"NanoCpus": 0, "CpuQuota": 50000, "CpuPeriod": 100000}"#),
        Some(0.5)
    );
    assert_eq!(limit(r#"{"CpuQuota": -1}"#), None);
    let _: Time = at(0);
}

#[test]
fn where_no_replica_serves_requests_cannot_be_measured_and_are_not_none() {
    for target in [
        "{metric: RequestsPerSecond, value: 1}",
        "{metric: InFlight, value: 1}",
        "{metric: LatencyP95, milliseconds: 100}",
    ] {
        let spec = spec(target, "metricWindow: 24s");
        let nothing = counted(-60, Vec::new());
        let read = measure(&spec, 0, &[], &Replicas::default(), &nothing, at(29));
        assert!(matches!(read, Reading::Missing(_)), "{target}: {read:?}");
    }
}

#[test]
fn one_slow_answer_among_few_is_no_latency_that_adds_replicas() {
    let spec = spec("{metric: LatencyP95, milliseconds: 100}", "metricWindow: 24s");
    let of = |count: u32| {
        let spans = vec![span(12, count, 4000)];
        match measure(&spec, 0, &[], &settled(None), &counted(-60, spans), at(29)) {
            Reading::Latency { millis, .. } => millis,
            other => panic!("{other:?}"),
        }
    };
    assert!(of(19) <= 100.0, "{}", of(19));
    assert!(of(20) > 1000.0, "{}", of(20));
}

/// Rows of a workload: the second and the third one as they are given.
fn rows(second: &str, third: &str, asked: i64) -> WorkloadStatus {
    let row = |index: u32, rest: &str| -> InstanceStatus {
        let text = format!(
            "{{name: web-{index}, id: {}, index: {index}, state: running, health: Healthy, revision: r, startedAt: '{}'}}",
            "a".repeat(64),
            at(-900)
        );
        let mut value = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
        let rest = aegis_api::yaml::parse(&format!("{{{rest}}}"))
            .unwrap()
            .remove(0)
            .value;
        for (key, field) in rest.as_object().unwrap() {
            value[key] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    };
    let text = format!(
        "{{demands: [{{generation: 1, at: '{}', replicas: 3}}]}}",
        at(asked)
    );
    let value = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
    WorkloadStatus {
        instances: vec![row(1, ""), row(2, second), row(3, third)],
        ..serde_json::from_value(value).unwrap()
    }
}

#[test]
fn what_comes_is_awaited_and_what_ends_again_and_again_or_is_long_overdue_is_missing() {
    let young = format!("health: Unhealthy, startedAt: '{}'", at(-10));
    let old = "health: Unhealthy".to_owned();
    let loops = |how: &str| format!("{young}, {how}");
    let taken_out = |how: &str| format!("health: Unknown, stoppedByHand: '{}', {how}", at(-600));
    // (second, third, demanded at, serving, warming, missing)
    for (second, third, asked, serving, warming, missing) in [
        (String::new(), String::new(), -900, 3, 0, 0),
        (young.clone(), String::new(), -10, 2, 1, 0),
        (young.clone(), young.clone(), -10, 1, 2, 0),
        (old, String::new(), -900, 2, 0, 1),
        (loops("restarts: 2"), String::new(), -10, 2, 0, 1),
        (loops("restarts: 1"), String::new(), -10, 2, 1, 0),
        (loops("fruitlessRestarts: 1"), String::new(), -10, 2, 0, 1),
        (loops("state: restarting"), String::new(), -10, 2, 0, 1),
        // What a person took out is not expected.
        (taken_out("state: exited"), String::new(), -900, 2, 0, 0),
        (
            "health: Unknown, state: paused".to_owned(),
            String::new(),
            -900,
            2,
            0,
            0,
        ),
        ("draining: true".to_owned(), String::new(), -10, 2, 1, 0),
        ("draining: true".to_owned(), String::new(), -900, 2, 0, 1),
    ] {
        let status = rows(&second, &third, asked);
        let found = set_apart(&status, 3, None, aegis_api::Duration::from_secs(0), at(0));
        assert_eq!(
            (found.serving.len(), found.warming, found.missing),
            (serving, warming, missing),
            "{second} | {third} | {asked}"
        );
    }
    // One that comes back again and again does not make what is measured begin again.
    let back = format!("readySince: '{}'", at(-1));
    let settled = |rest: &str| {
        let status = rows(&format!("{back}{rest}"), "", -900);
        set_apart(&status, 3, None, aegis_api::Duration::from_secs(0), at(0)).settled
    };
    assert_eq!(settled(""), Some(at(-1)));
    assert_eq!(settled(", restarts: 2"), Some(at(-900)));
}

#[test]
fn a_replica_that_crashes_again_and_again_does_not_keep_latency_from_scaling_out() {
    let spec = spec("{metric: LatencyP95, milliseconds: 100}", "metricWindow: 24s");
    let status = rows(
        "",
        &format!("health: Unhealthy, startedAt: '{}', fruitlessRestarts: 3", at(25)),
        -900,
    );
    let replicas = set_apart(&status, 3, None, spec.warm_up, at(29));
    let spans = (0..8).map(|step| span(step * 3, 30, 190)).collect();
    let reading = measure(&spec, 0, &[], &replicas, &counted(-60, spans), at(29));
    let mut world = World::new(spec, 3);
    let situation = Situation {
        serving: 2,
        warming: replicas.warming,
        readings: vec![reading],
        ..Situation::default()
    };
    let decision = world.pass(29, &situation);
    assert_eq!(decision.status.desired, 4, "{}", decision.status.message);
}

#[test]
fn a_replica_that_does_not_serve_for_long_counts_as_idle_when_scaling_out_and_as_on_target_when_scaling_in() {
    let spec = spec("{metric: Cpu, percent: 50}", "metricWindow: 24s");
    let status = rows("", "health: Unhealthy", -900);
    let replicas = set_apart(&status, 3, None, spec.warm_up, at(29));
    // (percent of each of the two that serve, desired of three)
    for (percent, desired) in [
        // 160 of two, 0 of the third: 53 % in the mean, within the tolerance. Of the two alone 4 would follow.
        (80.0, 3),
        // 200 of two: 67 % in the mean.
        (100.0, 4),
        // 40 of two and 50 of the third: 30 %. Of the two alone 1 would follow.
        (20.0, 2),
        // 80 and 50: 43 %.
        (40.0, 3),
    ] {
        let samples: Vec<Sample> = (0..10).map(|step| sample(step * 3, percent, 0)).collect();
        let replica = Replica {
            samples: &samples,
            cores: Some(1.0),
            memory_limit: None,
        };
        let containers = [replica.clone(), replica];
        let unknown = Requested::Unknown(String::new());
        let reading = measure(&spec, 0, &containers, &replicas, &unknown, at(29));
        let mut world = World::new(spec.clone(), 3);
        let situation = Situation {
            serving: 2,
            warming: replicas.warming,
            readings: vec![reading],
            ..Situation::default()
        };
        let decision = world.pass(29, &situation);
        assert_eq!(
            decision.status.desired, desired,
            "{percent} %: {}",
            decision.status.message
        );
    }
}

#[test]
fn a_replica_counts_once_its_probe_passes_it_is_in_rotation_and_its_warm_up_is_over() {
    let ready = |secs: i64| format!("startedAt: '{}', readySince: '{}'", at(secs - 5), at(secs));
    let starting = format!("health: Unknown, startedAt: '{}'", at(-3));
    let all = ["web-1", "web-2", "web-3"];
    // (the third row, in rotation, warmUp, now; serving, warming, settled)
    for (third, rotation, warm_up, now, serving, warming, settled) in [
        // Its probe has not passed yet, with and without a load balancer.
        (&starting, None, 0, 0, 2, 1, -900),
        (&starting, Some(&all[..]), 0, 0, 2, 1, -900),
        // It has, and nothing more is to be awaited.
        (&ready(-1), None, 0, 0, 3, 0, -1),
        (&ready(-1), Some(&all[..]), 0, 0, 3, 0, -1),
        // No load balancer sends it requests yet.
        (&ready(-1), Some(&all[..2]), 0, 0, 2, 1, -900),
        // It warms up, from when its probe passed, not from its start.
        (&ready(-1), None, 30, 28, 2, 1, -870),
        (&ready(-1), None, 30, 29, 3, 0, 29),
        (&ready(-1), Some(&all[..]), 30, 28, 2, 1, -870),
        (&ready(-1), Some(&all[..]), 30, 29, 3, 0, 29),
        // Its warm-up is over, and it is in no rotation: both count.
        (&ready(-1), Some(&all[..2]), 30, 40, 2, 1, -870),
        // None is in rotation.
        (&ready(-1), Some(&all[..0]), 0, 0, 0, 1, i64::MIN),
    ] {
        let status = rows("", third, -10);
        let rotation: Option<Vec<String>> =
            rotation.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let warm_up = aegis_api::Duration::from_secs(warm_up);
        let found = set_apart(&status, 3, rotation.as_deref(), warm_up, at(now));
        let settled = (settled > i64::MIN).then(|| at(settled));
        assert_eq!(
            (found.serving.len(), found.warming, found.settled),
            (serving, warming, settled),
            "{third} {rotation:?} {warm_up} at {now}"
        );
    }
}

#[test]
fn a_replica_that_does_not_count_yet_adds_no_other_one_and_takes_none_away() {
    let spec = spec("{metric: Cpu, percent: 50}", "warmUp: 30s, metricWindow: 24s");
    // Two are busy, the third is ready since a second ago and idle: (now, percent of the two; desired of three).
    for (now, percent, desired) in [
        // It warms up: 200 % of the two and nothing of the third are 67 % in the mean: 4, and not 3 × 100/50 = 6.
        (20, 100.0, 4),
        // 120 % of three are 40 %, below the target while those two are above it: nothing changes.
        (20, 60.0, 3),
        // It is over, and what the third uses counts: (200 + 100)/3 = 100 %: 6.
        (60, 100.0, 6),
    ] {
        let status = rows(
            "",
            &format!("startedAt: '{}', readySince: '{}'", at(-5), at(-1)),
            -10,
        );
        let replicas = set_apart(&status, 3, None, spec.warm_up, at(now));
        let samples: Vec<Sample> = (-20..20)
            .map(|step| sample(now + step * 3 - 58, percent, 0))
            .collect();
        let replica = Replica {
            samples: &samples,
            cores: None,
            memory_limit: None,
        };
        let containers = vec![replica; replicas.serving.len()];
        let unknown = Requested::Unknown(String::new());
        let reading = measure(&spec, 0, &containers, &replicas, &unknown, at(now));
        let mut world = World::new(spec.clone(), 3);
        let situation = Situation {
            serving: u32::try_from(replicas.serving.len()).unwrap(),
            warming: replicas.warming,
            readings: vec![reading],
            ..Situation::default()
        };
        let decision = world.pass(now, &situation);
        assert_eq!(
            decision.status.desired, desired,
            "at {now} with {percent} %: {}",
            decision.status.message
        );
    }
}
