//! I14: what a detector finds and what an incident measures are the same. The brain judges evidence, the planner signals:
//! of the same readings both must say the same, whatever they are.

use std::time::Duration;

use aegis_api::lifecycle::{Cause, Death};
use aegis_api::observed::ContainerState;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence, LostNetwork, RecentAction};
use aegis_api::signals::{ContainerSignals, Sample, WorkloadSignals, bounds};
use aegis_api::workload::Health;
use aegis_api::{SymptomKind, Time};
use aegis_planning::detection::{Condition, Verdict};
use proptest::prelude::*;

const STATES: [ContainerState; 4] = [
    ContainerState::Running,
    ContainerState::Exited,
    ContainerState::Paused,
    ContainerState::Restarting,
];
const HEALTH: [Health; 3] = [Health::Unknown, Health::Healthy, Health::Unhealthy];
const CAUSES: [Cause; 3] = [Cause::Process, Cause::Human, Cause::Controller];

fn at(secs: i64) -> Time {
    Time(jiff::Timestamp::from_second(1_900_000_000 + secs).unwrap())
}

fn deaths() -> impl Strategy<Value = Vec<Death>> {
    let one = (0_i64..1200, 0_usize..3, 0_i64..3).prop_map(|(ago, cause, exit_code)| Death {
        at: Some(at(-ago)),
        cause: CAUSES[cause],
        exit_code,
        ..Death::default()
    });
    proptest::collection::vec(one, 0..8).prop_map(|mut deaths| {
        deaths.sort_by_key(|death| death.at);
        deaths
    })
}

/// One container: everything that either side reads.
fn container() -> impl Strategy<Value = ContainerEvidence> {
    let run = (0_usize..4, any::<bool>(), -100_i64..0, -100_i64..0, 0_i64..3);
    let health = (0_usize..3, 0_usize..3);
    let load = (0_u16..200, 0_u64..120, any::<bool>(), 0_u32..12);
    (run, health, load, deaths(), any::<bool>()).prop_map(|(run, health, load, deaths, cut_off)| {
        let (state, oom_killed, started, finished, exit_code) = run;
        let (cpu, memory, limited, errors) = load;
        ContainerEvidence {
            name: "web".to_owned(),
            state: STATES[state].as_str().to_owned(),
            exit_code: Some(exit_code),
            oom_killed,
            started_at: Some(at(started)),
            finished_at: Some(at(finished)),
            health: HEALTH[health.0],
            docker_health: [None, Some("healthy"), Some("unhealthy")][health.1].map(str::to_owned),
            cpu_percent: (state == 0).then_some(f64::from(cpu)),
            memory_bytes: (state == 0).then_some(memory << 20),
            memory_limit_bytes: limited.then_some(100 << 20),
            recent_error_lines: Some(errors),
            deaths,
            lost_network: cut_off.then(|| LostNetwork {
                network: "shop".to_owned(),
                command: None,
            }),
            ..ContainerEvidence::default()
        }
    })
}

fn sample(container: &ContainerEvidence) -> Option<Sample> {
    let cpu = container.cpu_percent.unwrap_or_default();
    Some(Sample {
        at: at(0),
        cpu_percent: Some(format!("{cpu}").parse().unwrap()),
        throttled_percent: None,
        memory_bytes: container.memory_bytes?,
        memory_limit_bytes: container.memory_limit_bytes.unwrap_or_default(),
        net_rx_bytes: 0,
        net_tx_bytes: 0,
        pids: 1,
        pids_limit: 0,
    })
}

fn signals<'a>(container: &'a ContainerEvidence, samples: &'a [Sample]) -> ContainerSignals<'a> {
    ContainerSignals {
        name: &container.name,
        state: ContainerState::from_word(&container.state),
        exit_code: container.exit_code,
        oom_killed: container.oom_killed,
        started_at: container.started_at,
        finished_at: container.finished_at,
        health: container.health,
        docker_unhealthy: container
            .docker_health
            .as_ref()
            .map(|health| health == "unhealthy"),
        starting: false,
        stopped_by_hand: false,
        memory_limit_bytes: container.memory_limit_bytes,
        samples,
        history: &[],
        deaths: &container.deaths,
        error_lines: container.recent_error_lines,
        matching_lines: None,
        lost_network: container.lost_network.as_ref().map(|lost| lost.network.as_str()),
    }
}

/// Replicas that serve, as the brain counts them.
fn serving(containers: &[ContainerEvidence]) -> u32 {
    let serves = |it: &&ContainerEvidence| {
        let fails = it.health == Health::Unhealthy || it.docker_health.as_deref() == Some("unhealthy");
        let passes = it.health == Health::Healthy || it.docker_health.as_deref() == Some("healthy");
        it.state == "running" && passes && !fails
    };
    aegis_planning::ledger::count(containers.iter().filter(serves).count())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn i14_detectors_and_incidents_agree_on_what_is_wrong(
        containers in proptest::collection::vec(container(), 1..4),
        missing in 0_u32..2, acted in proptest::option::of(61_i64..700),
    ) {
        let desired = u32::try_from(containers.len()).unwrap() + missing;
        let acted_at = acted.map(|ago| at(-ago));
        let evidence = Evidence {
            collected_at: Some(at(0)),
            containers: containers.clone(),
            desired_replicas: desired,
            ready_replicas: serving(&containers),
            recent_actions: acted_at.into_iter().map(|at| RecentAction {
                incident: None, alert_type: None, action: Action::Restart, replicas: None, at, verified: None, relapsed: false }).collect(),
            ..Evidence::default()
        };
        let measured = aegis_brain::symptoms_of(&evidence);
        let samples: Vec<Vec<Sample>> = containers.iter().map(|it| sample(it).into_iter().collect()).collect();
        let all: Vec<ContainerSignals<'_>> = containers.iter().zip(&samples).map(|(it, samples)| signals(it, samples)).collect();
        let signals = WorkloadSignals {
            now: at(0),
            containers: &all,
            desired,
            ready: serving(&containers),
            changing: false,
            acted_at,
            requests: None,
            in_rotation: None,
            missing: None,
        };
        for (kind, condition) in [
            (SymptomKind::OutOfMemory, Condition::OutOfMemory),
            (SymptomKind::MemoryHigh, Condition::Memory { percent: bounds::MEMORY_PERCENT }),
            (SymptomKind::Down, Condition::Down),
            (SymptomKind::ProbeFailing, Condition::Unhealthy),
            (SymptomKind::NetworkLost, Condition::NetworkLost),
            (SymptomKind::CrashLoop, Condition::CrashLoop { crashes: bounds::CRASH_LOOP.into() }),
            (SymptomKind::CpuHigh, Condition::Cpu { percent: bounds::CPU_PERCENT }),
            (SymptomKind::ErrorBurst, Condition::ErrorBurst { lines: bounds::ERROR_BURST.into() }),
            (SymptomKind::ReplicasMissing, Condition::ReplicasMissing),
        ] {
            let (held, found) = (measured.iter().any(|it| it.kind == kind), condition.evaluate(&signals));
            prop_assert_eq!(held, found.verdict == Verdict::True, "{:?}: {:?} and {:?}", kind, measured, found);
        }
    }

    /// A leak by the readings of a quarter of an hour is one by the evidence that is taken from them.
    #[test]
    fn i14_a_leak_is_a_leak_for_both(start in 10.0..80.0_f64, per_minute in -2.0..8.0_f64, count in 20_i32..300) {
        let history = aegis_signals::rings::History::default();
        let limit = 1000_u64 << 20;
        for n in 0..count {
            let percent = (start + per_minute * f64::from(n * 3) / 60.0).clamp(1.0, 100.0);
            let tenths: u64 = format!("{:.0}", percent * 10.0).parse().unwrap();
            let now = at(i64::from(n) * 3);
            history.add(now, [("web", Sample {
                at: now, cpu_percent: Some(1.0), throttled_percent: None, memory_bytes: tenths << 20,
                memory_limit_bytes: limit, net_rx_bytes: 0, net_tx_bytes: 0, pids: 1, pids_limit: 0,
            })]);
        }
        let now = at(i64::from(count) * 3 - 3);
        let samples = history.with(|view| view.samples("web").to_vec());
        let one = ContainerEvidence {
            name: "web".to_owned(),
            state: "running".to_owned(),
            memory_bytes: samples.last().map(|sample| sample.memory_bytes),
            memory_limit_bytes: Some(limit),
            trend: history.trend("web", None),
            ..ContainerEvidence::default()
        };
        let evidence = Evidence { collected_at: Some(now), containers: vec![one.clone()], ..Evidence::default() };
        let measured = aegis_brain::symptoms_of(&evidence).iter().any(|it| it.kind == SymptomKind::MemoryGrowing);
        let all = [signals(&one, &samples)];
        let signals = WorkloadSignals {
            now, containers: &all, desired: 1, ready: 1, changing: false, acted_at: None, requests: None, in_rotation: None, missing: None,
        };
        let found = Condition::MemoryGrowth { minutes: bounds::LEAK_MINUTES }.evaluate(&signals);
        // Before five minutes a detector does not know; what it does find, an incident measures, too.
        if found.verdict == Verdict::True {
            prop_assert!(measured, "{:?}", found);
        }
        if Duration::from_secs(u64::try_from(count).unwrap() * 3) > Duration::from_secs(310) {
            prop_assert_eq!(measured, found.verdict == Verdict::True, "{:?} {:?}", found, one.trend);
        }
    }
}
