//! Episodes that are taken to follow from a dependency that does not serve: they open no incident, and are listed and counted
//! on the root's. Which are is planned (`aegis_planning::correlation::inhibition`). Stores specs of incidents, and decides nothing.
//!
//! No progress is kept: an episode that fires and has no incident is asked about in each pass, so that it opens one as soon
//! as nothing inhibits it any more.

use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::incident::JoinedAlert;
use aegis_api::{Detector, Incident, Kind, LoadBalancer, Time, Workload};
use aegis_planning::correlation::inhibition::{inhibits_measured, may_follow, roots};
use aegis_runtime::Store;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::store::StoreError;

use super::episode::Episode;
use crate::context::Context;

/// The reason of events about it, as of alerts that are inhibited.
const INHIBITED: &str = "Inhibited";

/// Whether an episode is inhibited now; it is listed on the incident that inhibits it.
pub(super) async fn is_inhibited(
    context: &Context,
    episode: &Episode<'_>,
    now: Time,
) -> Result<bool, StoreError> {
    let store = &context.store;
    let Some((workload, condition)) = episode.about().filter(|_| !episode.has_incident(store)) else {
        return Ok(false);
    };
    if !may_follow(condition.class()) {
        return Ok(false);
    }
    let workloads = store.list::<Workload>();
    let about = roots(&workloads, &store.list::<LoadBalancer>(), workload)
        .into_iter()
        .filter_map(|root| store.get::<Workload>(&root));
    let mut all = about.flat_map(|root| {
        let incidents = store.find::<Incident>(&key::workload(root.name()));
        incidents
            .into_iter()
            .map(move |incident| (Arc::clone(&root), incident))
    });
    let name = episode.name();
    let has_place = |incident: &Incident| {
        let source = &incident.spec.source;
        source.can_hold() || source.joined.iter().any(|known| known.incident_id == name)
    };
    let found = all.find(|(root, incident)| {
        inhibits_measured(incident, root, condition.class(), now) && has_place(incident)
    });
    let (Some((_, root)), Some(joined)) = (found, episode.joined()) else {
        return Ok(false);
    };
    if !root
        .spec
        .source
        .joined
        .iter()
        .any(|known| known.incident_id == name)
    {
        let message = format!(
            "{} about {workload} is silenced: {workload} depends on what this is about",
            joined.alert_type
        );
        list(store, &root, joined).await?;
        let about = ObjectRef::of(&*root);
        context
            .events
            .record(&about, EventType::Normal, INHIBITED, message);
    }
    Ok(true)
}

/// Lists an episode on the root's incident, and counts it there, once.
async fn list(store: &Store, root: &Incident, joined: JoinedAlert) -> Result<(), StoreError> {
    let listed = store.edit_spec::<Incident, _>(root.name(), move |current| {
        let mut spec = current.spec.clone();
        let mut known = spec.source.joined.iter();
        // Where there is no place by now it is not listed, and comes again.
        if !known.any(|known| known.incident_id == joined.incident_id) && spec.source.can_hold() {
            spec.count = spec.count.saturating_add(1);
            spec.source.join(joined);
        }
        Ok(spec)
    });
    listed.await.map(|_| ())
}

/// Notes on the incidents that list episodes of this detector which of them are over, and which have an incident of their
/// own now. `held` are the names of those that fire and are inhibited, `opened` of those that fire and are not.
pub(super) async fn note(
    store: &Store,
    detector: &str,
    held: &[String],
    opened: &[String],
    now: Time,
) -> Result<(), StoreError> {
    for root in store.find::<Incident>(key::INHIBITS) {
        let mut joined = root.spec.source.joined.iter();
        if !joined.any(|alert| is_held_by(alert, detector) && !held.contains(&alert.incident_id)) {
            continue;
        }
        let ids = root.spec.source.joined.iter().map(|alert| &alert.incident_id);
        // One that was opened right before a crash is noted now.
        let has_own = |id: &&String| opened.contains(id) || store.get::<Incident>(id).is_some();
        let opened: Vec<String> = ids.filter(has_own).cloned().collect();
        let (held, detector) = (held.to_vec(), detector.to_owned());
        let noted = store.edit_spec::<Incident, _>(root.name(), move |current| {
            let mut spec = current.spec.clone();
            let joined = spec.source.joined.iter_mut();
            for alert in joined.filter(|alert| is_held_by(alert, &detector)) {
                if opened.contains(&alert.incident_id) {
                    alert.released_at = Some(now);
                } else if !held.contains(&alert.incident_id) {
                    alert.resolved_at = Some(now);
                }
            }
            Ok(spec)
        });
        match noted.await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether anything is listed that a detector must follow up.
pub(super) fn follows(store: &Store, detector: &Detector) -> bool {
    let mut roots = store.find::<Incident>(key::INHIBITS).into_iter();
    roots.any(|root| {
        let mut joined = root.spec.source.joined.iter();
        joined.any(|alert| is_held_by(alert, detector.name()))
    })
}

/// Whether it is an episode of this detector that is listed and not over.
fn is_held_by(alert: &JoinedAlert, detector: &str) -> bool {
    let by = alert.detector.as_ref();
    alert.is_held() && by.is_some_and(|name| name.as_str() == detector)
}
