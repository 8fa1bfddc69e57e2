//! What people are not notified of: incidents under a silence. Asks the planner, and decides nothing itself.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::{Incident, Kind, Silence, Time, Workload};
use aegis_notify::Update;
use aegis_planning::correlation::silence::{in_force, silencing_incident};
use aegis_runtime::Store;

/// How often it is inspected whether a silence began or ended by the clock.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// An update in which what is silenced is marked as such.
pub(crate) fn heard(store: &Store, update: Update, now: Time) -> Vec<Update> {
    let silences = store.list::<Silence>();
    if silences.is_empty() {
        return vec![update];
    }
    let workloads = store.list();
    let is_silenced = |incident: &Incident| is_silenced(&silences, &workloads, incident, now);
    match update {
        Update::All(all) => {
            let (silenced, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| is_silenced(it));
            let silenced = silenced.into_iter().map(Update::Silenced);
            std::iter::once(Update::All(rest)).chain(silenced).collect()
        }
        Update::Changed(incident) if is_silenced(&incident) => vec![Update::Silenced(incident)],
        other => vec![other],
    }
}

/// Whether people do not hear of an incident.
fn is_silenced(
    silences: &[Arc<Silence>],
    workloads: &[Arc<Workload>],
    incident: &Incident,
    now: Time,
) -> bool {
    silencing_incident(silences, workloads, incident, now).is_some()
}

/// Which silences are in force.
pub(crate) fn standing(store: &Store, now: Time) -> Vec<String> {
    let silences = store.list::<Silence>();
    let standing = silences.iter().filter(|silence| in_force(&silence.spec, now));
    standing.map(|silence| silence.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_silenced_incident_is_not_heard_of_nor_one_that_ended_under_a_silence_and_is_so_once_it_is_over() {
        let silence: Silence = serde_json::from_value(
            json!({"metadata": {"name": "s"}, "spec": {"owner": "ada", "reason": "x",
            "workloads": {"names": ["web"]}, "until": "2026-11-29T12:00:00Z"}}),
        )
        .unwrap();
        let workload: Workload =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"container": "web"}}))
                .unwrap();
        let (silences, workloads) = ([Arc::new(silence)], [Arc::new(workload)]);
        let silenced = |of: &str, status: Value, now: &str| {
            let incident: Incident = serde_json::from_value(json!({"metadata": {"name": "i"},
                "spec": {"workloadRef": of, "alertType": "x"}, "status": status}))
            .unwrap();
            is_silenced(&silences, &workloads, &incident, now.parse().unwrap())
        };
        let ended = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": "2026-11-29T11:30:00Z"});
        assert!(silenced("web", Value::Null, "2026-11-29T11:00:00Z"));
        assert!(!silenced("db", Value::Null, "2026-11-29T11:00:00Z"));
        assert!(
            !silenced("web", Value::Null, "2026-11-29T12:00:00Z"),
            "what is still open is heard of then"
        );
        assert!(silenced("web", ended, "2026-11-29T13:00:00Z"));
    }
}
