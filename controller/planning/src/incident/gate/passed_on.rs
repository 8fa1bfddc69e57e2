//! Errors and slow answers do not say whose they are: a workload that is well passes on those of what it depends on, and a
//! restart of it costs its requests and cures nothing. Where nothing else is measured of it and it depends on something, a human
//! decides, who is shown whose errors they are as far as logs say it: words of a log are no measurement of who is at fault. What
//! comes from another workload waits for that. Owns those rules; who is at fault is found in [`origin`]. Pure.

use aegis_api::incident::Origin;
use aegis_api::proposal::Action;
use aegis_api::{Kind, Phase, Reason, SymptomKind};

use super::dependency::{LONGEST, OF_LOGS, OF_REQUESTS, age, may_be_passed_on, names};
use super::{Case, Ruling};
use crate::incident::{ladder, origin};

/// An incident about what is at fault for what others' clients get is acted on only while both are measured: errors of its own
/// in its log, and of theirs in the requests.
pub(super) fn not_measured(case: &Case<'_>) -> Option<Ruling> {
    let dependent = case.incident.dependent.as_ref()?;
    let measured = |kind| {
        case.incident
            .status
            .symptoms
            .iter()
            .any(|symptom| symptom.kind == kind)
    };
    let lacks = if !measured(SymptomKind::HttpErrors) {
        "no errors of its clients are measured".to_owned()
    } else if !measured(SymptomKind::ErrorBurst) {
        "its log reports none".to_owned()
    } else if !origin::is_own(case.incident) {
        let found = case.incident.status.origin.as_ref();
        found.map_or_else(|| "it is not known whose they are".to_owned(), Origin::words)
    } else {
        return None;
    };
    Some(Ruling::NotMeasured {
        message: format!(
            "it was found to be at fault in incident {}, and now {lacks}",
            dependent.incident
        ),
    })
}

/// The workload at fault comes first, whatever is proposed.
pub(super) fn under_way(case: &Case<'_>) -> Option<Ruling> {
    let mut symptoms = case.incident.status.symptoms.iter();
    if !symptoms.all(|symptom| may_be_passed_on(symptom.kind)) {
        // It has trouble of its own by now.
        return None;
    }
    let (found, _) = origin::elsewhere(case.incident)?;
    let about = case.incident.origin_incident.as_ref()?;
    let ended = about.status.as_ref().and_then(|status| status.finished_at);
    let helped = about
        .status
        .as_ref()
        .is_some_and(|status| status.phase == Phase::Resolved);
    let mut symptoms = case.incident.status.symptoms.iter();
    let window = match symptoms.any(|symptom| symptom.kind == SymptomKind::ErrorBurst) {
        true => OF_LOGS,
        false => OF_REQUESTS,
    };
    let waits = match ended {
        None => age(case) < LONGEST,
        // What was measured may be of before.
        Some(ended) => helped && ended.apart(case.incident.now) < window,
    };
    waits.then(|| Ruling::Wait {
        reason: Reason::PassedOn,
        message: format!("{}; incident {} is about that", found.words(), about.name()),
    })
}

pub(super) fn passed_on(case: &Case<'_>) -> Option<Ruling> {
    let action = case.action;
    let symptoms = case.incident.status.symptoms.iter();
    let mut clears = symptoms
        .filter(|symptom| symptom.kind.is_cleared_by(action))
        .peekable();
    clears.peek()?;
    if !clears.all(|symptom| may_be_passed_on(symptom.kind)) {
        return None;
    }
    // What began with a revision is that revision's, and the one before served.
    if action == Action::Rollback && ladder::is_new(&case.incident.status) {
        return None;
    }
    let found = case.incident.status.origin.as_ref();
    if let Some(dependent) = &case.incident.dependent {
        return Some(Ruling::NeedsApproval {
            reason: Reason::PassedOn,
            message: format!(
                "that it is at fault for the errors of incident {} is what logs say{}: {action} requires approval",
                dependent.incident,
                found.map_or_else(String::new, |found| format!(" ({})", found.words()))
            ),
        });
    }
    let workload = case.incident.target.as_deref().ok()?;
    let needed = names(case, workload);
    // Without anything that it is known to depend on, only what its log blames speaks for another.
    let blames = found.is_some_and(|found| !found.blamed.is_empty());
    if needed.is_empty() && !blames {
        return None;
    }
    let why = match (found, needed.is_empty()) {
        (Some(found), true) => format!("errors or slow answers alone are measured; {}", found.message),
        (found, _) => {
            let found = found.map(|found| format!("; {}", found.words()));
            format!(
                "errors or slow answers alone are measured, and they may come from what it depends on ({}){}",
                needed.join(", "),
                found.unwrap_or_default()
            )
        }
    };
    Some(Ruling::NeedsApproval {
        reason: Reason::PassedOn,
        message: format!("{why}: {action} requires approval"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::incident::Origin;
    use aegis_api::{SymptomKind, Workload};
    use serde_json::{Value, json};

    use super::*;
    use crate::incident::testing::{REPORT, incident, judge, symptoms};

    /// What is made of an action for these symptoms of a workload that depends on this.
    fn ruled(
        kinds: &[SymptomKind],
        action: Action,
        rows: &Value,
        spec: &Value,
        evidence: &str,
    ) -> Option<String> {
        let about = incident(REPORT, evidence);
        let mut judged = judge(vec![about], "{mode: Auto}");
        let name = json!({"name": "web", "generation": 1});
        let workload: Workload =
            serde_json::from_value(json!({"metadata": name, "spec": spec, "status": {"dependencies": rows}}))
                .unwrap();
        judged.target = Ok(Arc::new(workload));
        let needed = rows
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|row| row["workload"].as_str());
        judged.dependencies = needed
            .map(|name| {
                let needed = json!({"metadata": {"name": name}, "spec": {"container": name}, "status": {"readyReplicas": 1}});
                Arc::new(serde_json::from_value(needed).unwrap())
            })
            .collect();
        judged.status.symptoms = symptoms(kinds);
        let case = Case {
            incident: &judged,
            action,
            council: None,
            by_human: false,
        };
        match passed_on(&case)? {
            Ruling::NeedsApproval {
                reason: Reason::PassedOn,
                message,
            } => Some(message),
            other => panic!("{other:?}"),
        }
    }

    const OLD: &str = "{}";
    const NEW: &str =
        "{evidence: {collectedAt: '2026-11-22T12:00:00Z', canRollBack: true, revisionAgeSecs: 60}}";

    #[test]
    fn errors_and_slow_answers_alone_of_what_depends_on_others_are_a_humans_whatever_is_proposed() {
        use SymptomKind::{ErrorBurst, HttpErrors, HttpSlow};
        let spec = json!({"container": "web"});
        let as_workload = json!([{"name": "db", "workload": "db"}]);
        let as_container = json!([{"name": "legacy-db", "containers": ["legacy-db"]}]);
        for rows in [&as_workload, &as_container] {
            for (kinds, action) in [
                (&[HttpErrors][..], Action::Restart),
                (&[ErrorBurst], Action::Restart),
                (&[HttpErrors, HttpSlow], Action::Restart),
                (&[HttpErrors, HttpSlow], Action::Rollback),
                (&[HttpSlow], Action::ScaleUp),
                (&[HttpSlow], Action::Rollback),
            ] {
                let asks = ruled(kinds, action, rows, &spec, OLD).unwrap();
                let name = rows[0]["name"].as_str().unwrap();
                assert!(asks.contains(name) && asks.contains(action.as_str()), "{asks}");
            }
        }
    }

    #[test]
    fn what_is_its_own_is_acted_on_whatever_it_passes_on_beside() {
        use SymptomKind::{CpuHigh, Down, HttpErrors, HttpSlow, MemoryHigh, ProbeFailing, Rule, Trusted};
        let (spec, rows) = (
            json!({"container": "web"}),
            json!([{"name": "db", "workload": "db"}]),
        );
        for own in [Down, MemoryHigh, ProbeFailing, Rule, Trusted] {
            assert_eq!(
                ruled(&[own, HttpErrors], Action::Restart, &rows, &spec, OLD),
                None,
                "{own:?}"
            );
        }
        assert_eq!(
            ruled(&[CpuHigh, HttpSlow], Action::ScaleUp, &rows, &spec, OLD),
            None
        );
        // CPU that no restart clears is no reason for one.
        assert!(ruled(&[CpuHigh, HttpErrors], Action::Restart, &rows, &spec, OLD).is_some());
        // What the action cannot clear at all is another rule's.
        assert_eq!(ruled(&[HttpErrors], Action::ScaleUp, &rows, &spec, OLD), None);
        assert_eq!(ruled(&[], Action::Restart, &rows, &spec, OLD), None);
    }

    #[test]
    fn what_depends_on_nothing_or_can_do_without_it_and_a_revision_that_is_new_answer_for_their_errors() {
        let (errors, rows) = (
            &[SymptomKind::HttpErrors],
            json!([{"name": "db", "workload": "db"}]),
        );
        let plain = json!({"container": "web"});
        assert_eq!(ruled(errors, Action::Restart, &json!([]), &plain, OLD), None);
        let optional = json!({"container": "web", "dependsOn": ["db"], "optionalDependencies": ["db"]});
        assert_eq!(ruled(errors, Action::Restart, &rows, &optional, OLD), None);
        let migrations = json!([{"name": "migrate", "completes": true}, {"name": "seed", "workload": "seed", "completes": true}]);
        assert_eq!(ruled(errors, Action::Restart, &migrations, &plain, OLD), None);
        assert_eq!(ruled(errors, Action::Rollback, &rows, &plain, NEW), None);
        assert!(ruled(errors, Action::Restart, &rows, &plain, NEW).is_some());
        assert!(ruled(errors, Action::Rollback, &rows, &plain, OLD).is_some());
    }

    /// An incident about api, which needs cache, with this origin.
    fn about(
        kinds: &[SymptomKind],
        origin: Option<Origin>,
        needs: bool,
    ) -> crate::incident::validate::ValidatedIncident {
        let mut judged = judge(
            vec![incident("{workloadRef: web, alertType: odd}", OLD)],
            "{mode: Auto}",
        );
        let rows = match needs {
            true => json!([{"name": "cache", "workload": "cache"}]),
            false => json!([]),
        };
        let workload = json!({"metadata": {"name": "web", "generation": 1}, "spec": {"container": "web"}, "status": {"dependencies": rows}});
        judged.target = Ok(Arc::new(serde_json::from_value(workload).unwrap()));
        let cache = json!({"metadata": {"name": "cache"}, "spec": {"container": "cache"}, "status": {"readyReplicas": 1}});
        judged.dependencies = match needs {
            true => vec![Arc::new(serde_json::from_value(cache).unwrap())],
            false => Vec::new(),
        };
        judged.status.symptoms = symptoms(kinds);
        judged.status.origin = origin;
        judged
    }

    fn case(incident: &crate::incident::validate::ValidatedIncident, action: Action) -> Case<'_> {
        Case {
            incident,
            action,
            council: None,
            by_human: false,
        }
    }

    fn named(workload: &str) -> Origin {
        Origin {
            workload: Some(workload.parse().unwrap()),
            message: format!("{workload} logs errors"),
            own_errors: true,
            ..Origin::default()
        }
    }

    fn asks(ruling: Option<Ruling>) -> Option<String> {
        match ruling? {
            Ruling::NeedsApproval { message, .. } => Some(message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn i13_words_of_a_log_restart_nothing_and_a_human_is_shown_whose_errors_they_are() {
        let kinds = [SymptomKind::HttpErrors];
        let ruled = |origin, needs| asks(passed_on(&case(&about(&kinds, origin, needs), Action::Restart)));
        let asked = ruled(Some(named("web")), true).unwrap();
        assert!(asked.contains("web logs errors"), "{asked}");
        let asked = ruled(Some(named("cache")), true).unwrap();
        assert!(asked.contains("come from cache: cache logs errors"), "{asked}");
        // That it does not serve says nothing of whose errors they are.
        let sick = Origin {
            own_errors: false,
            ..named("web")
        };
        assert!(ruled(Some(sick), true).is_some());
        assert!(ruled(None, true).is_some());
        // It depends on nothing that is known: only whom its log blames speaks for another.
        assert_eq!(ruled(None, false), None);
        assert_eq!(ruled(Some(Origin::default()), false), None);
        let blames = Origin {
            message: "logs blame pay.example.com, which is no workload".to_owned(),
            blamed: vec!["pay.example.com".to_owned()],
            ..Origin::default()
        };
        let asked = ruled(Some(blames), false).unwrap();
        assert!(asked.contains("pay.example.com"), "{asked}");
    }

    #[test]
    fn the_one_at_fault_comes_first_while_its_incident_is_open_and_for_a_moment_after_it_helped() {
        let now: aegis_api::Time = crate::incident::testing::NOW.parse().unwrap();
        let ago = |seconds| aegis_api::Time(now.0 - std::time::Duration::from_secs(seconds)).to_string();
        let waits = |origin: Origin, status: &Value, opened: u64, action| {
            let mut judged = about(&[SymptomKind::HttpErrors], Some(origin), true);
            let other = json!({"metadata": {"name": "other"}, "spec": {"workloadRef": "cache", "alertType": "x"}, "status": status});
            judged.origin_incident = Some(Arc::new(serde_json::from_value(other).unwrap()));
            let mut own = (*judged.incident).clone();
            own.metadata.creation_timestamp = serde_json::from_value(json!(ago(opened))).unwrap();
            judged.incident = Arc::new(own);
            match under_way(&case(&judged, action)) {
                Some(Ruling::Wait {
                    reason: Reason::PassedOn,
                    message,
                }) => Some(message),
                None => None,
                Some(other) => panic!("{other:?}"),
            }
        };
        let open = json!({"phase": "EXECUTING", "timeline": []});
        let ended =
            |phase: &str, seconds| json!({"phase": phase, "timeline": [], "finishedAt": ago(seconds)});
        for action in [Action::Restart, Action::Noop] {
            let said = waits(named("cache"), &open, 60, action).unwrap();
            assert!(
                said.contains("cache") && said.contains("incident other"),
                "{said}"
            );
        }
        let restart =
            |status: &Value, opened| waits(named("cache"), status, opened, Action::Restart).is_some();
        assert!(!restart(&open, 900), "not for ever");
        assert!(restart(&ended("RESOLVED", 64), 60) && !restart(&ended("RESOLVED", 65), 60));
        assert!(!restart(&ended("FAILED", 1), 60));
        assert_eq!(
            waits(named("web"), &open, 60, Action::Restart),
            None,
            "it is its own"
        );
    }

    #[test]
    fn i13_what_is_at_fault_for_others_is_left_alone_unless_its_log_and_their_clients_both_get_errors_and_they_are_its_own()
     {
        use SymptomKind::{ErrorBurst, HttpErrors};
        let ruled = |kinds: &[SymptomKind], origin: Option<Origin>, linked: bool| {
            let mut judged = about(kinds, origin, true);
            judged.dependent = linked.then(|| crate::incident::validate::Dependent {
                incident: "front".parse().unwrap(),
                workload: Some("front".to_owned()),
            });
            matches!(
                not_measured(&case(&judged, Action::Restart)),
                Some(Ruling::NotMeasured { .. })
            )
        };
        let own = || Some(named("web"));
        assert!(!ruled(&[HttpErrors, ErrorBurst], own(), true));
        assert!(ruled(&[ErrorBurst], own(), true));
        assert!(ruled(&[HttpErrors], own(), true));
        assert!(ruled(&[HttpErrors, ErrorBurst], Some(named("cache")), true));
        assert!(ruled(&[HttpErrors, ErrorBurst], None, true));
        // Any other incident is none of this rule's.
        assert!(!ruled(&[ErrorBurst], None, false));
    }
}
