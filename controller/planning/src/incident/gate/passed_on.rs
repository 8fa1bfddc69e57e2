//! Errors and slow answers do not say whose they are: a workload that is well passes on those of what it depends on, and a
//! restart of it costs its requests and cures nothing. Where nothing else is measured of it and it depends on something,
//! a human says who is at fault. Owns that rule. Pure.

use aegis_api::Reason;
use aegis_api::proposal::Action;

use super::dependency::{may_be_passed_on, names};
use super::{Case, Ruling};
use crate::incident::ladder;

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
    let workload = case.incident.target.as_deref().ok()?;
    let needed = names(case, workload);
    if needed.is_empty() {
        return None;
    }
    Some(Ruling::NeedsApproval {
        reason: Reason::PassedOn,
        message: format!(
            "errors or slow answers alone are measured, and they may come from what it depends on ({}): {action} requires approval",
            needed.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
}
