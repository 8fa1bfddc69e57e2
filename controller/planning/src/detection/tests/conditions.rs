use aegis_api::signals::{HostSignals, Outcome, Requests, bounds};
use proptest::prelude::*;

use super::super::{HostCondition, Reading, Span};
use super::*;

use Verdict::{False, True, Unknown};

#[test]
fn only_what_was_not_requested_is_a_crash() {
    let well = container(&[], &[]);
    for (cause, code, wanted) in [
        (Cause::Process, 1, True),
        (Cause::Process, 137, True),
        (Cause::Process, 0, False),
        (Cause::Human, 137, False),
        (Cause::Controller, 137, False),
        (Cause::EngineStop, 143, False),
        (Cause::Unknown, 143, Unknown),
    ] {
        let deaths = [death(-5, cause, code)];
        let one = ContainerSignals {
            deaths: &deaths,
            ..well
        };
        assert_eq!(verdict(&Condition::Died, 0, one), wanted, "{cause:?} {code}");
        assert_eq!(
            verdict(&Condition::Died, 120, one),
            False,
            "long ago: {cause:?} {code}"
        );
        let mut acted = workload(0, &[]);
        acted.acted_at = Some(at(-4));
        acted.containers = std::slice::from_ref(&one);
        assert_eq!(
            Condition::Died.evaluate(&acted).verdict,
            False,
            "before the action"
        );
    }
}

#[test]
fn crashes_make_a_loop_only_within_ten_minutes_and_after_the_last_action() {
    let deaths: Vec<Death> = (0..5)
        .map(|n| death(-100 * n - 1, Cause::Process, 1))
        .rev()
        .collect();
    let condition = Condition::CrashLoop { crashes: 5.0 };
    let one = container(&[], &deaths);
    let found = of_one(&condition, 0, one);
    assert_eq!((found.verdict, found.value), (True, Some(5.0)), "{found:?}");
    assert_eq!(found.message, "web crashed 5 times within 10 min");
    assert_eq!(verdict(&condition, 300, one), False);
    assert_eq!(condition.span(), Span::Window);
}

#[test]
fn memory_kills_count_until_it_runs_again_and_a_minute_longer() {
    let kill = [Death {
        oom: true,
        ..death(-5, Cause::Process, 137)
    }];
    let back = ContainerSignals {
        oom_killed: true,
        started_at: Some(at(-4)),
        finished_at: Some(at(-5)),
        ..container(&[], &kill)
    };
    assert_eq!(verdict(&Condition::OutOfMemory, 0, back), True);
    assert_eq!(verdict(&Condition::OutOfMemory, 100, back), False);
    let gone = ContainerSignals {
        state: ContainerState::Exited,
        ..back
    };
    assert_eq!(verdict(&Condition::OutOfMemory, 100_000, gone), True);
}

#[test]
fn what_does_not_run_is_down_unless_a_person_left_it_so() {
    let down = ContainerSignals {
        state: ContainerState::Exited,
        exit_code: Some(1),
        ..container(&[], &[])
    };
    assert_eq!(
        of_one(&Condition::Down, 0, down).message,
        "web is exited with exit code 1"
    );
    assert_eq!(verdict(&Condition::Down, 0, down), True);
    let by_hand = ContainerSignals {
        stopped_by_hand: true,
        ..down
    };
    let paused = ContainerSignals {
        state: ContainerState::Paused,
        ..down
    };
    assert_eq!(verdict(&Condition::Down, 0, by_hand), False);
    assert_eq!(verdict(&Condition::Down, 0, paused), False);
    for load in [
        Condition::Cpu { percent: 85.0 },
        Condition::Memory { percent: 85.0 },
        Condition::Unhealthy,
    ] {
        assert_eq!(
            verdict(&load, 0, down),
            False,
            "{load:?}: what does not run uses nothing"
        );
    }
}

#[test]
fn a_probe_decides_only_once_it_has_a_verdict_and_the_start_period_is_over() {
    let well = container(&[], &[]);
    for (health, docker, starting, wanted) in [
        (Health::Healthy, None, false, False),
        (Health::Unhealthy, None, false, True),
        (Health::Unhealthy, None, true, False),
        (Health::Healthy, Some(true), false, True),
        (Health::Unknown, Some(false), false, False),
        (Health::Unknown, None, false, Unknown),
    ] {
        let one = ContainerSignals {
            health,
            docker_unhealthy: docker,
            starting,
            ..well
        };
        assert_eq!(
            verdict(&Condition::Unhealthy, 0, one),
            wanted,
            "{health:?} {docker:?}"
        );
    }
}

#[test]
fn a_spin_is_busy_and_does_not_answer() {
    let (busy, idle) = ([sample(0, 99.0, 10.0)], [sample(0, 9.0, 10.0)]);
    let spin = Condition::Spin {
        percent: bounds::CPU_PERCENT,
    };
    for (samples, health, wanted) in [
        (&busy, Health::Unhealthy, True),
        (&busy, Health::Healthy, False),
        (&busy, Health::Unknown, Unknown),
        (&idle, Health::Unhealthy, False),
    ] {
        let one = ContainerSignals {
            health,
            ..container(samples, &[])
        };
        assert_eq!(verdict(&spin, 1, one), wanted, "{health:?}");
    }
}

#[test]
fn the_worst_container_decides_and_is_named() {
    let (low, high) = ([sample(0, 1.0, 50.0)], [sample(0, 1.0, 90.0)]);
    let unread = ContainerSignals {
        name: "c",
        ..container(&[], &[])
    };
    let all = [
        ContainerSignals {
            name: "a",
            ..container(&low, &[])
        },
        ContainerSignals {
            name: "b",
            ..container(&high, &[])
        },
        unread,
    ];
    let condition = Condition::Memory { percent: 84.5 };
    let found = condition.evaluate(&workload(1, &all));
    assert_eq!(
        (found.verdict, found.container.as_deref(), found.value),
        (True, Some("b"), Some(90.0))
    );
    let some = [all[0], unread];
    assert_eq!(
        condition.evaluate(&workload(1, &some)).verdict,
        Unknown,
        "one is not known"
    );
    assert_eq!(condition.evaluate(&workload(1, &[])).verdict, False);
}

#[test]
fn limits_that_are_not_there_cannot_be_near() {
    let full = [Sample {
        pids: 95,
        pids_limit: 100,
        ..sample(0, 1.0, 99.0)
    }];
    let one = container(&full, &[]);
    assert_eq!(verdict(&Condition::Pids { percent: 90.0 }, 1, one), True);
    let free = [sample(0, 1.0, 99.0)];
    let unlimited = ContainerSignals {
        memory_limit_bytes: None,
        ..container(&free, &[])
    };
    assert_eq!(verdict(&Condition::Pids { percent: 90.0 }, 1, unlimited), False);
    assert_eq!(verdict(&Condition::Memory { percent: 84.5 }, 1, unlimited), False);
    assert_eq!(
        verdict(&Condition::Throttled { percent: 25.0 }, 1, unlimited),
        False
    );
    let held = [Sample {
        throttled_percent: Some(60.0),
        ..free[0]
    }];
    assert_eq!(
        verdict(&Condition::Throttled { percent: 25.0 }, 1, container(&held, &[])),
        True
    );
}

#[test]
fn lines_are_counted_over_all_containers_and_an_unread_log_is_not_good() {
    let one = |lines| ContainerSignals {
        error_lines: lines,
        ..container(&[], &[])
    };
    let burst = Condition::ErrorBurst { lines: 8.0 };
    for (lines, wanted) in [
        ([Some(5), Some(3)], True),
        ([Some(5), Some(2)], False),
        ([Some(5), None], Unknown),
        ([Some(9), None], True),
    ] {
        assert_eq!(
            burst.evaluate(&workload(0, &lines.map(one))).verdict,
            wanted,
            "{lines:?}"
        );
    }
}

#[test]
fn replicas_are_missed_unless_a_change_is_under_way_or_people_left_them_out() {
    let by_hand = [ContainerSignals {
        stopped_by_hand: true,
        ..container(&[], &[])
    }];
    let base = WorkloadSignals {
        desired: 3,
        ready: 1,
        ..workload(0, &[])
    };
    let missing = Condition::ReplicasMissing.evaluate(&base);
    assert_eq!((missing.verdict, missing.value), (True, Some(2.0)));
    let changing = WorkloadSignals {
        changing: true,
        ..base
    };
    let left = WorkloadSignals {
        desired: 2,
        containers: &by_hand,
        ..base
    };
    assert_eq!(Condition::ReplicasMissing.evaluate(&changing).verdict, False);
    assert_eq!(Condition::ReplicasMissing.evaluate(&left).verdict, False);
}

#[test]
fn requests_are_judged_from_twenty_on_and_what_is_not_counted_is_unknown() {
    let span = |failed: u32, well: u32, millis: u32| {
        let mut span = Requests::none(at(-30), std::time::Duration::from_secs(3));
        (0..failed).for_each(|_| span.count(Outcome::Failed, millis));
        (0..well).for_each(|_| span.count(Outcome::Answered, millis));
        span
    };
    let errors = Condition::HttpErrors { percent: 2.0 };
    let slow = Condition::HttpLatency { millis: 1000.0 };
    for (spans, bad, late) in [
        (None, Unknown, Unknown),
        (Some(vec![]), Unknown, Unknown),
        (Some(vec![span(19, 0, 5000)]), Unknown, Unknown),
        (Some(vec![span(4, 10, 3), span(0, 36, 3)]), True, False),
        // One that is well has as many in a minute of two hundred.
        (Some(vec![span(3, 10, 3), span(0, 37, 3)]), Unknown, False),
        (Some(vec![span(20, 0, 3)]), True, False),
        (Some(vec![span(0, 100, 2000)]), False, True),
        (Some(vec![span(0, 3, 2000), span(0, 37, 3)]), False, Unknown),
        (Some(vec![span(0, 5, 2000), span(0, 35, 3)]), False, True),
        (Some(vec![span(1, 99, 3)]), False, False),
    ] {
        let signals = WorkloadSignals {
            requests: spans.as_deref(),
            ..workload(0, &[])
        };
        assert_eq!(errors.evaluate(&signals).verdict, bad, "{spans:?}");
        assert_eq!(slow.evaluate(&signals).verdict, late, "{spans:?}");
    }
    // What was seen before an action needs no proof that it is no chance.
    let spans = [span(1, 10, 3), span(0, 3, 2000), span(0, 36, 3)];
    for (acted, bad, late) in [
        (None, Unknown, Unknown),
        (Some(-60), True, True),
        (Some(-301), Unknown, Unknown),
    ] {
        let signals = WorkloadSignals {
            requests: Some(&spans),
            acted_at: acted.map(at),
            ..workload(0, &[])
        };
        assert_eq!(errors.evaluate(&signals).verdict, bad, "{acted:?}");
        assert_eq!(slow.evaluate(&signals).verdict, late, "{acted:?}");
    }
    // Clients that go away are neither: they make no ratio better or worse, and are named.
    let mut cancelled = span(4, 46, 3);
    (0..50).for_each(|_| cancelled.count(Outcome::Cancelled, 60_000));
    let spans = [cancelled];
    let signals = WorkloadSignals {
        requests: Some(&spans),
        ..workload(0, &[])
    };
    let found = errors.evaluate(&signals);
    assert_eq!((found.verdict, found.value), (True, Some(8.0)));
    assert!(
        found
            .message
            .ends_with("50 more were cancelled by their clients (499)"),
        "{found:?}"
    );
    assert_eq!(slow.evaluate(&signals).verdict, False);
    for (servers, wanted) in [(None, Unknown), (Some(0), True), (Some(1), False)] {
        let signals = WorkloadSignals {
            in_rotation: servers,
            ..workload(0, &[])
        };
        assert_eq!(Condition::NoServer.evaluate(&signals).verdict, wanted);
    }
}

#[test]
fn a_container_that_is_cut_off_is_found_while_it_runs() {
    let lost = ContainerSignals {
        lost_network: Some("shop"),
        ..container(&[], &[])
    };
    let found = of_one(&Condition::NetworkLost, 0, lost);
    assert_eq!(found.verdict, True);
    assert_eq!(
        found.message,
        "web is connected to no network, and was made for shop"
    );
    let down = ContainerSignals {
        state: ContainerState::Exited,
        ..lost
    };
    assert_eq!(verdict(&Condition::NetworkLost, 0, down), False);
    assert_eq!(verdict(&Condition::NetworkLost, 0, container(&[], &[])), False);
}

#[test]
fn the_host_is_judged_by_its_fuller_file_system() {
    let disk = |free: u64| aegis_api::signals::Disk {
        bytes: Some((free, 100)),
        inodes: None,
    };
    let host = HostSignals {
        memory: Some((10, 100)),
        engine_disk: Some(disk(50)),
        state_disk: Some(disk(5)),
        ..HostSignals::default()
    };
    let full = HostCondition::Disk { percent: 90.0 }.evaluate(&host, at(0));
    assert_eq!((full.verdict, full.value), (True, Some(95.0)));
    assert!(full.message.contains("state directory"), "{full:?}");
    let judged = |condition: HostCondition, host| condition.evaluate(&host, at(10)).verdict;
    assert_eq!(judged(HostCondition::Inodes { percent: 90.0 }, host), Unknown);
    assert_eq!(judged(HostCondition::Memory { percent: 95.0 }, host), False);
    assert_eq!(
        judged(HostCondition::Memory { percent: 95.0 }, HostSignals::default()),
        Unknown
    );
    assert_eq!(judged(HostCondition::EngineAway, host), False);
    let away = HostSignals {
        engine_away_since: Some(at(0)),
        ..host
    };
    assert_eq!(judged(HostCondition::EngineAway, away), True);
}

#[test]
fn what_is_odd_is_so_against_its_own_past() {
    let noise = |n: i64| f32::from(i8::try_from(n * 7 % 11).unwrap());
    let history: Vec<Minute> = (-600..-16)
        .map(|n| minute(n, 20.0 + noise(n.rem_euclid(16)), 40.0))
        .collect();
    let condition = Condition::Anomaly {
        reading: Reading::Cpu,
        factor: bounds::ANOMALY_FACTOR,
    };
    let now = |cpu: f32| -> Vec<Sample> { (0..20).map(|n| sample(n * 3, cpu, 40.0)).collect() };
    let judged = |newest: &[Sample], history: &[Minute]| {
        let one = ContainerSignals {
            history,
            ..container(newest, &[])
        };
        of_one(&condition, 60, one)
    };
    assert_eq!(judged(&now(25.0), &history).verdict, False);
    let odd = judged(&now(80.0), &history);
    assert_eq!(odd.verdict, True, "{odd:?}");
    let mut spike = now(25.0);
    spike[19].cpu_percent = Some(100.0);
    assert_eq!(judged(&spike, &history).verdict, False, "one odd reading is none");
    assert_eq!(
        judged(&now(80.0), &history[..60]).verdict,
        Unknown,
        "too little is known of it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Level conditions go by the newest reading and nothing else, whatever came before, and no reading of now is Unknown.
    #[test]
    fn a_level_is_what_was_read_last(
        before in proptest::collection::vec((0.0..100.0_f32, 0.0..100.0_f64), 0..50),
        cpu in 0.0..200.0_f32, memory in 0.0..100.0_f64, old in 0_i64..300,
    ) {
        let mut samples: Vec<Sample> = (0..).zip(before).map(|(n, (cpu, memory))| sample(n * 3 - 300, cpu, memory)).collect();
        samples.push(sample(0, cpu, memory));
        let one = container(&samples, &[]);
        let fresh = old <= 90;
        let wanted = |bad: bool| match (fresh, bad) {
            (false, _) => Unknown,
            (true, true) => True,
            (true, false) => False,
        };
        prop_assert_eq!(verdict(&Condition::Cpu { percent: 85.0 }, old, one), wanted(cpu >= 85.0));
        let used = of_one(&Condition::Memory { percent: 84.5 }, old, one);
        prop_assert_eq!(used.verdict, wanted(used.value.unwrap_or_default() >= 84.5));
    }

    /// Whatever is not measured never comes out as good, and nothing panics.
    #[test]
    fn what_is_not_measured_is_never_good(state in 0_usize..2, n in 0_usize..3) {
        let blind = ContainerSignals {
            state: [ContainerState::Running, ContainerState::Unknown][state],
            health: Health::Unknown,
            error_lines: None,
            ..container(&[], &[])
        };
        let all = vec![blind; n + 1];
        let signals = workload(0, &all);
        for condition in [
            Condition::Spin { percent: 85.0 }, Condition::Memory { percent: 84.5 }, Condition::Cpu { percent: 85.0 },
            Condition::MemoryGrowth { minutes: 30.0 }, Condition::Throttled { percent: 25.0 }, Condition::Unhealthy,
            Condition::ErrorBurst { lines: 8.0 }, Condition::LogPattern { lines: 1.0 },
            Condition::Anomaly { reading: Reading::Memory, factor: 6.0 },
        ] {
            prop_assert_eq!(condition.evaluate(&signals).verdict, Unknown, "{:?}", condition);
        }
    }
}
