//! What the policies in force say about the notifications of an incident, and whether what it failed at is still wrong.
//! Reads the store; the rules are `aegis_planning`'s.

use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::{ConditionType, Detector, Incident, Kind as _, RemediationPolicy, Workload, condition};
use aegis_notify::{Update, Wishes};
use aegis_planning::governing::governing;
use aegis_planning::incident::gate::is_frozen;
use aegis_runtime::Store;

use crate::silenced;

type Asked<T> = Arc<dyn Fn(&Incident) -> T + Send + Sync>;

/// What the policy of an incident's workload says now; `cooldown` is what counts where none says it.
pub(super) fn wishes(store: Store, cooldown: aegis_api::Duration) -> Asked<Wishes> {
    Arc::new(move |incident| {
        let Some(name) = incident.workload() else {
            return Wishes::default();
        };
        let policies = store.list::<RemediationPolicy>();
        let workload = store.get::<Workload>(name.as_str());
        let labels = workload
            .and_then(|workload| workload.metadata.labels.clone())
            .unwrap_or_default();
        let deadline = store.defaults().verification_deadline;
        let policy = governing(&policies, &[], name.as_str(), &labels, cooldown, deadline)
            .spec
            .notify;
        let now = aegis_clock::now();
        let quiet = policy.quiet_hours.iter().any(|window| is_frozen(window, now));
        Wishes { policy, quiet }
    })
}

/// Whether what an incident failed at is still wrong, and no later incident of the workload speaks for it.
pub(super) fn is_ongoing(store: Store) -> Asked<bool> {
    Arc::new(move |incident| {
        let Some(name) = incident.workload() else {
            return false;
        };
        let created = |incident: &Incident| incident.metadata.creation_timestamp.clone();
        let later = |other: &Arc<Incident>| {
            other.workload() == Some(name)
                && other.metadata.uid != incident.metadata.uid
                && created(other) >= created(incident)
        };
        let Some(workload) = store.get::<Workload>(name.as_str()) else {
            return false;
        };
        if store
            .find::<Incident>(&key::workload(name.as_str()))
            .iter()
            .any(later)
            || is_silenced_now(&store, incident)
        {
            return false;
        }
        let fires = |detector: &Arc<Detector>| {
            let rows = detector.status.iter().flat_map(|status| &status.workloads);
            rows.into_iter()
                .any(|row| row.firing && row.workload.as_deref() == Some(workload.name()))
        };
        let conditions = workload.status.as_ref().map(|status| &status.conditions[..]);
        let is_ready = condition::is_true(conditions.unwrap_or_default(), ConditionType::Ready);
        !is_ready || store.list::<Detector>().iter().any(fires)
    })
}

/// Whether a silence is in force for it now: one that began after it failed counts, too.
fn is_silenced_now(store: &Store, incident: &Incident) -> bool {
    let mut open = incident.clone();
    if let Some(status) = &mut open.status {
        status.finished_at = None;
    }
    let now = aegis_clock::now();
    let heard = silenced::heard(store, Update::Changed(Arc::new(open)), now);
    matches!(heard.as_slice(), [Update::Silenced(_)])
}
