//! Opens the Incident of an episode, or joins the one that is open. Stores specs, and decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::detector::DetectorWorkload;
use aegis_api::facets::key;
use aegis_api::incident::{IncidentSpec, JoinedAlert, Source};
use aegis_api::naming::hashed;
use aegis_api::scalar::{ContainerName, ResourceName};
use aegis_api::{Detector, Incident, Kind, Time};
use aegis_planning::detection::Condition;
use aegis_planning::detection::episode::{
    DETECTOR, DETECTOR_LABEL, fingerprint, host_fingerprint, is_joined, is_repeated_by,
};
use aegis_planning::set_back;
use aegis_runtime::Store;
use aegis_runtime::store::StoreError;

/// Trouble of one class on one workload, for as long as it lasts.
#[derive(Debug)]
pub(super) struct Episode<'a> {
    detector: &'a Detector,
    /// Absent where it is about the host.
    workload: Option<(ResourceName, &'a Condition)>,
    since: Time,
    row: &'a DetectorWorkload,
}

impl<'a> Episode<'a> {
    /// Of a row that fires. `condition` is that of a workload.
    pub(super) fn of(
        detector: &'a Detector,
        condition: Option<&'a Condition>,
        row: &'a DetectorWorkload,
    ) -> Option<Self> {
        let workload = match (condition, &row.workload) {
            (Some(condition), Some(name)) => Some((name.parse().ok()?, condition)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(Self {
            detector,
            workload,
            since: row.since?,
            row,
        })
    }

    /// The name of its incident. The same for the same episode: a crash between opening it and the status opens no second one.
    pub(super) fn name(&self) -> String {
        let about = self.workload.as_ref();
        let about = about.map_or("", |(workload, _)| workload.as_str());
        hashed(&format!("{about} {} {}", self.detector.name(), self.since))
    }

    /// The workload that it is about, and what holds of that; `None` where it is about the host.
    pub(super) fn about(&self) -> Option<(&str, &'a Condition)> {
        let (workload, condition) = self.workload.as_ref()?;
        Some((workload.as_str(), condition))
    }

    /// What is kept of it on the incident that inhibits it.
    pub(super) fn joined(&self) -> Option<JoinedAlert> {
        let (workload, _) = self.workload.as_ref()?;
        // A workload may have no container just now: its name stands for it.
        let container = self.container().or_else(|| workload.as_str().parse().ok());
        Some(JoinedAlert {
            incident_id: self.name(),
            fingerprint: self.fingerprint(),
            alert_type: self.detector.spec.alert_type.clone(),
            severity: self.detector.spec.severity,
            logs: self.row.message.clone(),
            inhibited: Some(container?),
            detector: Some(self.detector.name().parse().ok()?),
            ..JoinedAlert::default()
        })
    }

    /// Its incident, and whether it was opened now.
    pub(super) async fn incident(
        &self,
        store: &Store,
        now: Time,
        set_at: Time,
    ) -> Result<(ResourceName, bool), StoreError> {
        let name = self.name();
        if store.get::<Incident>(&name).is_none()
            && let Some(known) = self.known(store, now, set_at).await?
        {
            return Ok((known, false));
        }
        let is_new = match store.add::<Incident>(&name, &self.spec(&name)).await {
            Ok(_) => true,
            Err(StoreError::AlreadyExists { .. }) => false,
            Err(error) => return Err(error),
        };
        let name = name.parse().map_err(|_| StoreError::NotFound {
            kind: "Incident".to_owned(),
            name,
        })?;
        Ok((name, is_new))
    }

    /// The open incident that it joins; else the one about the same that ended a short while ago without an action, on
    /// which it is counted. What ended ahead of now ended when the clock was set back.
    async fn known(
        &self,
        store: &Store,
        now: Time,
        set_at: Time,
    ) -> Result<Option<ResourceName>, StoreError> {
        let joined = self.open_one(store);
        if let Some(name) = joined.and_then(|incident| incident.name().parse().ok()) {
            return Ok(Some(name));
        }
        let fingerprint = self.fingerprint();
        let condition = self.workload.as_ref().map(|(_, condition)| *condition);
        let same = store.find::<Incident>(&key::fingerprint(&fingerprint));
        let mut settled = same.into_iter().map(|it| set_back::incident(it, set_at, now));
        let repeated = settled.find(|it| is_repeated_by(it, self.detector.name(), condition, now));
        let Some(repeated) = repeated else {
            return Ok(None);
        };
        let counted = store.edit_spec::<Incident, _>(repeated.name(), |current| {
            let mut spec = current.spec.clone();
            spec.count = spec.count.saturating_add(1);
            Ok(spec)
        });
        counted.await?;
        Ok(repeated.name().parse().ok())
    }

    /// The open incident that it joins.
    fn open_one(&self, store: &Store) -> Option<Arc<Incident>> {
        let (workload, condition) = self.workload.as_ref()?;
        let about = store.find::<Incident>(&key::workload(workload.as_str()));
        let mut all = about.into_iter();
        all.find(|it| is_joined(it, workload.as_str(), condition.class()))
    }

    /// Whether it has an incident already.
    pub(super) fn has_incident(&self, store: &Store) -> bool {
        store.get::<Incident>(&self.name()).is_some() || self.open_one(store).is_some()
    }

    fn fingerprint(&self) -> String {
        match &self.workload {
            Some((workload, condition)) => fingerprint(workload.as_str(), condition.class()),
            None => host_fingerprint(self.detector.name()),
        }
    }

    fn spec(&self, name: &str) -> IncidentSpec {
        let mut labels = BTreeMap::from([(DETECTOR_LABEL.to_owned(), self.detector.name().to_owned())]);
        if let Some(value) = self.row.value {
            labels.insert("value".to_owned(), value.to_string());
        }
        IncidentSpec {
            workload_ref: self.workload.as_ref().map(|(workload, _)| workload.clone()),
            container_name: self.container(),
            alert_type: self.detector.spec.alert_type.clone(),
            severity: self.detector.spec.severity,
            logs: self.row.message.clone(),
            source: Source {
                kind: DETECTOR.to_owned(),
                fingerprint: self.fingerprint(),
                incident_id: name.to_owned(),
                labels,
                ..Source::default()
            },
            starts_at: Some(self.since),
            count: 1,
            approval: None,
            override_: None,
        }
    }

    /// The container that decided, where it was one.
    fn container(&self) -> Option<ContainerName> {
        self.row.container.as_ref()?.parse().ok()
    }
}
