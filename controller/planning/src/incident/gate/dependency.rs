//! Errors and slow answers are often those of what a workload depends on: to restart the workload then cures nothing and costs
//! its requests. So what it depends on comes first, for as long as that is not well and its traces are in what is measured.
//! Owns that rule. Pure.

use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::symptom::SymptomClass;
use aegis_api::workload::{DependencyStatus, Health};
use aegis_api::{Kind, Reason, SymptomKind, Time, Workload};

use super::{Case, Ruling};
use crate::incident::origin;

/// How far back requests are counted, and a moment for the last of them to be logged.
pub(super) const OF_REQUESTS: Duration = Duration::from_secs(65);
/// How long it waits: then a human is asked, for what it waits for may never come.
pub(super) const LONGEST: Duration = Duration::from_secs(900);
/// How far back a log is read.
pub(super) const OF_LOGS: Duration = Duration::from_secs(305);

pub(super) fn down(case: &Case<'_>) -> Option<Ruling> {
    let symptoms = &case.incident.status.symptoms;
    if symptoms.is_empty() || !symptoms.iter().all(|symptom| may_be_passed_on(symptom.kind)) {
        return None;
    }
    let workload = case.incident.target.as_deref().ok()?;
    let message = trouble(case, workload)
        .or_else(|| came_back(case, workload))
        .or_else(|| not_known_yet(case, workload))?;
    let reason = Reason::DependencyDown;
    if age(case) >= LONGEST {
        let message = format!("{message}, for longer than {} min", LONGEST.as_secs() / 60);
        return Some(Ruling::NeedsApproval { reason, message });
    }
    let message = format!("{message}: that comes first");
    Some(Ruling::Wait { reason, message })
}

/// Whether a symptom may be the trace of what is wrong with another: requests fail or wait, or the log says so.
pub(super) fn may_be_passed_on(kind: SymptomKind) -> bool {
    matches!(kind.class(), SymptomClass::Errors | SymptomClass::Latency)
}

/// How long the incident has been open; at least how far the clock was set back since.
pub(super) fn age(case: &Case<'_>) -> Duration {
    let opened = case.incident.incident.metadata.creation_timestamp.as_ref();
    opened.map_or(Duration::ZERO, |opened| case.incident.now.apart(Time(opened.0)))
}

/// Names of all that requests may need beside the workload itself, as far as is known. What only completes before it starts
/// answers none.
pub(super) fn names<'a>(case: &'a Case<'_>, workload: &'a Workload) -> Vec<&'a str> {
    let rows = workload.status.iter().flat_map(|status| &status.dependencies);
    let completes: Vec<&str> = rows
        .filter(|row| row.completes)
        .filter_map(|row| row.workload.as_deref())
        .collect();
    let workloads = needed(case, workload).map(Kind::name);
    let workloads = workloads.filter(|name| !completes.contains(name));
    let (_, listed) = listed(workload);
    let others = listed.filter(|row| row.workload.is_none() && !row.completes);
    workloads.chain(others.map(|row| row.name.as_str())).collect()
}

/// What is listed in the workload's status as needed: what it can do without, and what not.
fn listed(
    workload: &Workload,
) -> (
    impl Iterator<Item = &DependencyStatus>,
    impl Iterator<Item = &DependencyStatus>,
) {
    let is_optional = |row: &&DependencyStatus| {
        let mut optional = workload.spec.optional_dependencies.iter();
        optional.any(|optional| optional.as_str() == row.name)
    };
    let rows = || workload.status.iter().flat_map(|status| &status.dependencies);
    (
        rows().filter(is_optional),
        rows().filter(move |row| !is_optional(row)),
    )
}

/// What the workload cannot do without, of the Workloads that it depends on.
fn needed<'a>(case: &'a Case<'_>, workload: &'a Workload) -> impl Iterator<Item = &'a Workload> + Clone {
    let (optional, _) = listed(workload);
    let optional: Vec<&str> = optional.filter_map(|row| row.workload.as_deref()).collect();
    let all = case.incident.dependencies.iter().map(|needed| &**needed);
    all.filter(move |needed| !optional.contains(&needed.name()))
}

/// What of it is not well now. One replica of several is no trouble of those that use it.
fn trouble(case: &Case<'_>, workload: &Workload) -> Option<String> {
    let needed = needed(case, workload);
    let own = needed.clone().find_map(|needed| {
        let status = needed.status.as_ref()?;
        if status.ready_replicas > 0 || needed.spec.replicas == 0 {
            return None;
        }
        let mut rows = status.instances.iter();
        let failing = rows.find(|row| row.health == Health::Unhealthy || row.unhealthy_since.is_some());
        // What cannot be probed may be well.
        let mut rows = status.instances.iter();
        match failing {
            Some(row) => Some(format!("{} fails its probe", row.name)),
            None if rows.all(|row| row.state != ContainerState::Running) => {
                Some(format!("no container of {} is ready", needed.name()))
            }
            None => None,
        }
    });
    // What is no Workload is listed in the status of those that need it.
    own.or_else(|| {
        let listed = needed.chain([workload]).flat_map(|needed| &needed.status);
        let mut listed = listed.flat_map(|status| &status.dependencies);
        listed.find_map(|dependency| Some(format!("{}: {}", dependency.name, dependency.trouble.as_ref()?)))
    })
}

/// What of it was not well a moment ago, so that what was measured may be of then.
fn came_back(case: &Case<'_>, workload: &Workload) -> Option<String> {
    let of_log = |kind| kind == SymptomKind::ErrorBurst;
    let mut symptoms = case.incident.status.symptoms.iter();
    // Its own errors that go on now are no traces of another's.
    let is_own = origin::is_own(case.incident);
    let window = match !is_own && symptoms.any(|symptom| of_log(symptom.kind)) {
        true => OF_LOGS,
        false => OF_REQUESTS,
    };
    needed(case, workload).find_map(|needed| {
        let ready = needed.status.iter().flat_map(|status| &status.instances);
        let mut ready = ready.filter_map(|row| Some((row, row.ready_since?)));
        let first = ready.next()?;
        // Another served all the while.
        let mut all = std::iter::once(first).chain(ready);
        let is_back = all.all(|(_, since)| since.apart(case.incident.now) < window);
        is_back.then(|| format!("{} is ready only since a moment ago", first.0.name))
    })
}

/// An alert may come before the probe of what is at fault has failed often enough.
fn not_known_yet(case: &Case<'_>, workload: &Workload) -> Option<String> {
    case.incident.incident.metadata.creation_timestamp.as_ref()?;
    // What is at fault for others' errors was found in what was measured since they began.
    let linked = case.incident.dependent.as_ref();
    let began = linked.and(case.incident.incident.spec.starts_at);
    let age = age(case).max(began.map_or(Duration::ZERO, |began| began.age(case.incident.now)));
    let slow = needed(case, workload).find(|needed| {
        let probe = needed.spec.health.as_ref();
        let failed = probe.map(|probe| {
            let once = probe.interval.std().saturating_add(probe.timeout.std());
            once.saturating_mul(probe.failure_threshold)
        });
        failed.is_some_and(|failed| age < failed)
    })?;
    Some(format!("whether {} is well shows soon", slow.name()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::Time;
    use aegis_api::proposal::Action;
    use serde_json::{Value, json};

    use super::*;
    use crate::incident::testing::{self, NOW, REPORT, incident, judge};
    use crate::incident::validate::ValidatedIncident;

    fn db(instance: &Value, ready: u32) -> Arc<Workload> {
        let mut row = json!({"name": "db", "id": "d", "index": 0, "state": "running", "health": "Healthy", "revision": "r"});
        for (key, value) in instance.as_object().unwrap() {
            row[key] = value.clone();
        }
        let spec = json!({"container": "db", "health": {"http": {"path": "/health", "port": 1}, "interval": "2s", "timeout": "1s", "failureThreshold": 3}});
        let status = json!({"readyReplicas": ready, "instances": [row]});
        let workload = json!({"metadata": {"name": "db"}, "spec": spec, "status": status});
        Arc::new(serde_json::from_value(workload).unwrap())
    }

    /// What is made of a restart of web, which needs db, for these symptoms; the incident is as old as that.
    fn ruled(symptoms: &[SymptomKind], needed: &Arc<Workload>, age: u64) -> Option<String> {
        let mut about = incident(REPORT, "{}");
        let now: Time = NOW.parse().unwrap();
        let opened = now.0 - Duration::from_secs(age);
        about.metadata.creation_timestamp = serde_json::from_value(json!(opened.to_string())).unwrap();
        let mut judged: ValidatedIncident = judge(vec![about], "{mode: Auto}");
        judged.dependencies = vec![Arc::clone(needed)];
        judged.status.symptoms = testing::symptoms(symptoms);
        let case = Case {
            incident: &judged,
            action: Action::Restart,
            council: None,
            by_human: false,
        };
        match down(&case) {
            Some(Ruling::Wait { reason, message }) => {
                assert_eq!(reason, Reason::DependencyDown);
                Some(message)
            }
            Some(Ruling::NeedsApproval { reason, message }) => {
                assert_eq!(reason, Reason::DependencyDown);
                Some(format!("a human: {message}"))
            }
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_and_slow_answers_wait_while_what_the_workload_depends_on_is_not_well() {
        use SymptomKind::{Down, ErrorBurst, HttpErrors, HttpSlow, MemoryHigh, ProbeFailing};
        let failing = db(&json!({"health": "Unhealthy"}), 0);
        let gone = db(&json!({"state": "exited", "health": "Unknown"}), 0);
        for kinds in [
            &[HttpErrors][..],
            &[HttpSlow],
            &[ErrorBurst],
            &[HttpErrors, HttpSlow],
        ] {
            let waits = ruled(kinds, &failing, 600).unwrap();
            assert!(waits.contains("db fails its probe"), "{waits}");
            let waits = ruled(kinds, &gone, 600).unwrap();
            assert!(waits.contains("no container of db is ready"), "{waits}");
        }
        // What is wrong with the workload itself is no matter of others.
        for kinds in [&[Down][..], &[ProbeFailing], &[HttpErrors, MemoryHigh]] {
            assert_eq!(ruled(kinds, &failing, 600), None, "{kinds:?}");
        }
        assert_eq!(ruled(&[HttpErrors], &db(&json!({}), 1), 600), None);
    }

    #[test]
    fn what_was_measured_while_a_dependency_was_away_is_not_held_against_the_workload() {
        use SymptomKind::{ErrorBurst, HttpErrors};
        let back = |seconds: u64| {
            let now: Time = NOW.parse().unwrap();
            let since = (now.0 - Duration::from_secs(seconds)).to_string();
            db(&json!({"readySince": since}), 1)
        };
        assert!(ruled(&[HttpErrors], &back(50), 600).is_some());
        assert_eq!(ruled(&[HttpErrors], &back(70), 600), None);
        // A log is read further back.
        assert!(ruled(&[ErrorBurst], &back(70), 600).is_some());
        assert_eq!(ruled(&[ErrorBurst], &back(310), 600), None);
    }

    #[test]
    fn an_alert_that_comes_before_the_probe_of_a_dependency_has_failed_waits_for_it() {
        let well = db(&json!({}), 1);
        assert!(ruled(&[SymptomKind::HttpErrors], &well, 3).is_some());
        assert_eq!(ruled(&[SymptomKind::HttpErrors], &well, 10), None);
    }

    #[test]
    fn what_it_waits_for_in_vain_is_put_before_a_human_in_the_end() {
        let failing = db(&json!({"health": "Unhealthy"}), 0);
        let waits = |age| ruled(&[SymptomKind::HttpErrors], &failing, age).unwrap();
        assert!(!waits(899).starts_with("a human"), "{}", waits(899));
        assert!(waits(900).starts_with("a human"), "{}", waits(900));
    }

    #[test]
    fn a_dependency_that_serves_with_one_replica_less_or_cannot_be_probed_holds_nothing_back() {
        let (kinds, old) = (&[SymptomKind::HttpErrors], 600);
        assert_eq!(ruled(kinds, &db(&json!({"health": "Unhealthy"}), 1), old), None);
        assert_eq!(ruled(kinds, &db(&json!({"health": "Unknown"}), 0), old), None);
        assert!(ruled(kinds, &db(&json!({"health": "Unhealthy"}), 0), old).is_some());
    }
}
