//! Whatever the words of an alert: without a measured symptom there is no plan, with one there is, and it is the same one
//! for all words. The built-in analyst, the council's rules and the planner, over generated readings.

use std::collections::BTreeMap;

use aegis_api::incident::Severity;
use aegis_api::lifecycle::{Cause, Death};
use aegis_api::policy::RunbookTerms;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence, MetricTrend, Seat, Trend};
use aegis_api::workload::Health;
use aegis_api::{IncidentStatus, Phase, Symptom, SymptomKind, Time};
use aegis_brain::{Brain, BrainConfig, Case, ReplicaBounds, RuleFile};
use aegis_planning::incident::phase::next;
use aegis_planning::incident::testing::{NOW, REPORT, approved, incident, judge};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// All that can be wrong, one kind of symptom each.
const WRONG: [SymptomKind; 15] = SymptomKind::ALL;

/// What a policy trusts, and what of it a person's own rule recognises.
const TRUSTED: &str = "SENSOR_FAULT";
const RULE: &str = r#"
- name: odd-hour
  title: The odd hour
  when: [{desiredReplicas: {atLeast: 7}}]
  action: RESTART
  confidence: 0.9
  rootCause: "It is the odd hour."
  justification: "That helps."
"#;

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

fn container(name: &str, wrong: Option<SymptomKind>, memory: u64, cpu: f64) -> ContainerEvidence {
    let well = ContainerEvidence {
        name: name.to_owned(),
        state: "running".to_owned(),
        health: Health::Healthy,
        cpu_percent: Some(cpu),
        memory_bytes: Some(memory),
        memory_limit_bytes: Some(1000 << 20),
        recent_error_lines: Some(0),
        ..ContainerEvidence::default()
    };
    let ended = ContainerEvidence {
        state: "exited".to_owned(),
        exit_code: Some(137),
        health: Health::Unhealthy,
        cpu_percent: None,
        memory_bytes: None,
        ..well.clone()
    };
    match wrong {
        Some(SymptomKind::Down) => ended,
        Some(SymptomKind::OutOfMemory) => ContainerEvidence {
            oom_killed: true,
            ..ended
        },
        Some(SymptomKind::ProbeFailing) => ContainerEvidence {
            health: Health::Unhealthy,
            ..well
        },
        Some(SymptomKind::MemoryHigh) => ContainerEvidence {
            memory_bytes: Some(950 << 20),
            ..well
        },
        Some(SymptomKind::MemoryGrowing) => ContainerEvidence {
            memory_bytes: Some(700 << 20),
            trend: Some(leak()),
            ..well
        },
        Some(SymptomKind::CpuHigh) => ContainerEvidence {
            cpu_percent: Some(97.0),
            ..well
        },
        Some(SymptomKind::NetworkLost) => ContainerEvidence {
            lost_network: Some(aegis_api::proposal::LostNetwork {
                network: "shop".to_owned(),
                command: Some("docker network connect shop web-1".to_owned()),
            }),
            ..well
        },
        Some(SymptomKind::ErrorBurst) => ContainerEvidence {
            recent_error_lines: Some(20),
            ..well
        },
        Some(SymptomKind::CrashLoop) => ContainerEvidence {
            deaths: crashes(),
            ..well
        },
        _ => well,
    }
}

fn now() -> Time {
    NOW.parse().unwrap()
}

/// Four crashes in the last minutes.
fn crashes() -> Vec<Death> {
    let ago = |minutes: i64| Time(now().0 - jiff::SignedDuration::from_mins(minutes));
    let one = |minutes| Death {
        at: Some(ago(minutes)),
        cause: Cause::Process,
        exit_code: 1,
        ..Death::default()
    };
    [8, 6, 4, 2].map(one).to_vec()
}

/// Thirty MiB a minute, of a limit of 1000.
fn leak() -> MetricTrend {
    MetricTrend {
        samples: 200,
        over_secs: 600,
        memory_mb: Some(Trend {
            first: 400.0,
            last: 700.0,
            min: 400.0,
            max: 700.0,
            per_minute: 30.0,
            per_minute_at_least: Some(29.0),
        }),
        cpu_percent: None,
    }
}

/// What is measured beside the containers.
fn outside(wrong: SymptomKind) -> Option<Symptom> {
    let is_outside = matches!(
        wrong,
        SymptomKind::HttpErrors | SymptomKind::HttpSlow | SymptomKind::ProcessLimit | SymptomKind::Trusted
    );
    is_outside.then(|| Symptom {
        kind: wrong,
        container: None,
        value: None,
        message: format!("{wrong:?} is measured"),
    })
}

fn case(words: &Words, wrong: Option<SymptomKind>, memory: u64, cpu: f64) -> Case {
    let alert_type = match wrong {
        // Here the type is what is trusted; the other words choose nothing.
        Some(SymptomKind::Trusted) => TRUSTED.to_owned(),
        _ => words.alert_type.clone(),
    };
    let first = (wrong != Some(SymptomKind::ReplicasMissing)).then(|| container("web-1", wrong, memory, cpu));
    let others = ["web-2", "web-3"].map(|name| container(name, None, memory, cpu));
    let desired = if wrong == Some(SymptomKind::Rule) { 7 } else { 3 };
    let ready = if wrong == Some(SymptomKind::Rule) {
        7
    } else {
        2 + u32::from(first.is_some())
    };
    let others = match wrong {
        Some(SymptomKind::Rule) => (2..=7)
            .map(|n| container(&format!("web-{n}"), None, memory, cpu))
            .collect(),
        _ => others.to_vec(),
    };
    Case {
        incident: "inc".to_owned(),
        alert_type,
        severity: Severity::Critical,
        logs: words.logs.clone(),
        details: words.details.clone(),
        workload: "web".to_owned(),
        container: None,
        evidence: Evidence {
            collected_at: Some(now()),
            containers: first.into_iter().chain(others).collect(),
            desired_replicas: desired,
            ready_replicas: ready,
            generation: Some(1),
            ..Evidence::default()
        },
        measured: wrong.and_then(outside).into_iter().collect(),
        trusted: match wrong {
            Some(SymptomKind::Trusted) => vec![Action::Restart],
            _ => Vec::new(),
        },
        balancers: Vec::new(),
        recalled: Vec::new(),
        replicas: ReplicaBounds {
            min: 1,
            max: 9,
            current: desired,
        },
        protected: false,
        tried: Vec::new(),
        terms: RunbookTerms::default(),
        now: now(),
    }
}

/// What is done in the end, if the whole council agrees; and what was measured.
async fn done(brain: &Brain, case: &Case) -> (Action, Vec<SymptomKind>) {
    let symptoms = brain.symptoms(case);
    let kinds = symptoms.iter().map(|symptom| symptom.kind).collect();
    let analysis = brain.analyse(case, &mut |_| {}).await.unwrap();
    let mut votes = Vec::new();
    for seat in [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor] {
        votes.push(brain.review(seat, case, &analysis, &votes).await);
    }
    let mut report = incident(REPORT, "{phase: COUNCIL_REVIEW, workload: web}");
    report.spec.alert_type.clone_from(&case.alert_type);
    "webhook".clone_into(&mut report.spec.source.kind);
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
        "{cooldown: 0s, confirmWithin: 0s, replicas: {min: 1, max: 9},
            trustedAlerts: [{source: webhook, alertType: SENSOR_FAULT, actions: [RESTART]}]}",
    ));
    let action = approved(&step).map_or(Action::Noop, |(plan, _)| plan.action);
    (action, kinds)
}

#[test]
fn i13_words_alone_never_make_a_plan_and_a_measured_symptom_makes_the_same_one_whatever_the_words() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let brain = Brain::new(BrainConfig::default()).unwrap();
    brain.set_rules([RuleFile::parse("rules/odd.yaml", RULE).unwrap()]);
    let mut runner = TestRunner::new(Config::with_cases(400));
    let counts = std::cell::RefCell::new(BTreeMap::<SymptomKind, (u32, u32)>::new());
    let plain = Words {
        alert_type: "ALERT".to_owned(),
        logs: String::new(),
        details: BTreeMap::new(),
    };
    let readings = (
        words(),
        prop::sample::select(WRONG.to_vec()),
        10_u64..350,
        0.0_f64..50.0,
    );
    runner
        .run(&readings, |(words, wrong, memory, cpu)| {
            let memory = memory << 20;
            let (action, measured) = runtime.block_on(done(&brain, &case(&words, None, memory, cpu)));
            prop_assert_eq!((action, measured), (Action::Noop, Vec::new()));
            let wrong = Some(wrong);
            let (action, measured) = runtime.block_on(done(&brain, &case(&words, wrong, memory, cpu)));
            let (of_plain, _) = runtime.block_on(done(&brain, &case(&plain, wrong, memory, cpu)));
            prop_assert!(
                measured.iter().any(|kind| Some(*kind) == wrong),
                "{:?}: {:?}",
                wrong,
                measured
            );
            prop_assert_eq!(action, of_plain, "the words choose nothing");
            if let Some(kind) = wrong {
                let mut counts = counts.borrow_mut();
                let (planned, cases) = counts.entry(kind).or_default();
                *cases += 1;
                *planned += u32::from(action != Action::Noop);
            }
            Ok(())
        })
        .unwrap();
    let counts = counts.into_inner();
    assert_eq!(counts.len(), WRONG.len(), "every kind was thrown: {counts:?}");
    let (planned, cases) = counts
        .values()
        .fold((0, 0), |sum, (planned, cases)| (sum.0 + planned, sum.1 + cases));
    assert!(
        planned * 10 >= cases * 3,
        "only {planned} of {cases} measured symptoms led to a plan: {counts:?}"
    );
}
