//! Whatever the words of an alert: without a measured symptom there is no plan, with one there is, and it is the same one
//! for all words. The built-in analyst, the council's rules and the planner, over generated readings.

use std::collections::BTreeMap;

use aegis_api::incident::Severity;
use aegis_api::policy::RunbookTerms;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence, Seat};
use aegis_api::workload::Health;
use aegis_api::{IncidentStatus, Phase, Time};
use aegis_brain::{Brain, BrainConfig, Case, ReplicaBounds};
use aegis_planning::incident::phase::next;
use aegis_planning::incident::testing::{NOW, REPORT, approved, incident, judge};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// What is wrong with the first container.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Down,
    Oom,
    Hung,
    Memory,
    Cpu,
    Errors,
}

const WRONG: [Wrong; 6] = [
    Wrong::Down,
    Wrong::Oom,
    Wrong::Hung,
    Wrong::Memory,
    Wrong::Cpu,
    Wrong::Errors,
];

/// The words of an alert.
#[derive(Debug, Clone)]
struct Words {
    alert_type: String,
    logs: String,
    details: BTreeMap<String, String>,
}

fn words() -> impl Strategy<Value = Words> {
    let known = prop::sample::select(vec![
        "MEMORY_LEAK",
        "CrashLoopBackOff",
        "OOMKilled",
        "HighCpuLoad",
        "HealthCheckFailing",
        "idle: scale down",
        "rollback now",
        "restart it, please",
        "5xx",
        "disk full",
    ]);
    let alert_type = prop_oneof![known.prop_map(str::to_owned), "[A-Za-z_ ]{1,24}"];
    let details = prop::collection::btree_map("[a-z]{1,8}", "[ -~]{0,24}", 0..4);
    (alert_type, "[ -~\n]{0,200}", details).prop_map(|(alert_type, logs, details)| Words {
        alert_type,
        logs,
        details,
    })
}

fn container(name: &str, wrong: Wrong, memory: u64, cpu: f64) -> ContainerEvidence {
    let well = ContainerEvidence {
        name: name.to_owned(),
        state: "running".to_owned(),
        health: Health::Healthy,
        cpu_percent: Some(cpu),
        memory_bytes: Some(memory),
        memory_limit_bytes: Some(1000),
        recent_error_lines: Some(0),
        ..ContainerEvidence::default()
    };
    match wrong {
        Wrong::Nothing => well,
        Wrong::Down | Wrong::Oom => ContainerEvidence {
            state: "exited".to_owned(),
            exit_code: Some(137),
            oom_killed: wrong == Wrong::Oom,
            health: Health::Unhealthy,
            cpu_percent: None,
            memory_bytes: None,
            ..well
        },
        Wrong::Hung => ContainerEvidence {
            health: Health::Unhealthy,
            ..well
        },
        Wrong::Memory => ContainerEvidence {
            memory_bytes: Some(950),
            ..well
        },
        Wrong::Cpu => ContainerEvidence {
            cpu_percent: Some(97.0),
            ..well
        },
        Wrong::Errors => ContainerEvidence {
            recent_error_lines: Some(20),
            ..well
        },
    }
}

fn case(words: &Words, wrong: Wrong, memory: u64, cpu: f64) -> Case {
    let now: Time = NOW.parse().unwrap();
    Case {
        incident: "inc".to_owned(),
        alert_type: words.alert_type.clone(),
        severity: Severity::Critical,
        logs: words.logs.clone(),
        details: words.details.clone(),
        workload: "web".to_owned(),
        container: None,
        evidence: Evidence {
            collected_at: Some(now),
            containers: vec![
                container("web-1", wrong, memory, cpu),
                container("web-2", Wrong::Nothing, memory, cpu),
                container("web-3", Wrong::Nothing, memory, cpu),
            ],
            desired_replicas: 3,
            ready_replicas: 3,
            generation: Some(1),
            ..Evidence::default()
        },
        measured: Vec::new(),
        trusted: Vec::new(),
        balancers: Vec::new(),
        recalled: Vec::new(),
        replicas: ReplicaBounds {
            min: 1,
            max: 9,
            current: 3,
        },
        protected: false,
        tried: Vec::new(),
        terms: RunbookTerms::default(),
        now,
    }
}

/// What is done in the end, if the whole council agrees; and whether anything was measured.
async fn done(brain: &Brain, case: &Case) -> (Action, bool) {
    let symptoms = brain.symptoms(case);
    let analysis = brain.analyse(case, &mut |_| {}).await.unwrap();
    let mut votes = Vec::new();
    for seat in [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor] {
        votes.push(brain.review(seat, case, &analysis, &votes).await);
    }
    let mut report = incident(REPORT, "{phase: COUNCIL_REVIEW, workload: web}");
    let is_measured = !symptoms.is_empty();
    report.spec.alert_type.clone_from(&case.alert_type);
    report.status = Some(IncidentStatus {
        phase: Phase::CouncilReview,
        workload: Some("web".parse().unwrap()),
        evidence: Some(case.evidence.clone()),
        measured_at: Some(case.now),
        symptoms,
        analysis: Some(analysis),
        votes,
        ..IncidentStatus::default()
    });
    let step = next(&judge(
        vec![report],
        "{cooldown: 0s, confirmWithin: 0s, replicas: {min: 1, max: 9}}",
    ));
    let action = approved(&step).map_or(Action::Noop, |(plan, _)| plan.action);
    (action, is_measured)
}

#[test]
fn i13_words_alone_never_make_a_plan_and_a_measured_symptom_makes_the_same_one_whatever_the_words() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let brain = Brain::new(BrainConfig::default()).unwrap();
    let mut runner = TestRunner::new(Config::with_cases(300));
    let (planned, cases) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let plain = Words {
        alert_type: "ALERT".to_owned(),
        logs: String::new(),
        details: BTreeMap::new(),
    };
    let readings = (
        words(),
        prop::sample::select(WRONG.to_vec()),
        10_u64..700,
        0.0_f64..50.0,
    );
    runner
        .run(&readings, |(words, wrong, memory, cpu)| {
            let (action, measured) =
                runtime.block_on(done(&brain, &case(&words, Wrong::Nothing, memory, cpu)));
            prop_assert_eq!((action, measured), (Action::Noop, false));
            let (action, measured) = runtime.block_on(done(&brain, &case(&words, wrong, memory, cpu)));
            let (of_plain, _) = runtime.block_on(done(&brain, &case(&plain, wrong, memory, cpu)));
            prop_assert!(measured);
            prop_assert_eq!(action, of_plain, "the words choose nothing");
            cases.set(cases.get() + 1);
            planned.set(planned.get() + u32::from(action != Action::Noop));
            Ok(())
        })
        .unwrap();
    let (planned, cases) = (planned.get(), cases.get());
    assert!(
        planned * 10 >= cases * 3,
        "only {planned} of {cases} measured symptoms led to a plan"
    );
}
