//! Opens the Incident of an episode, or joins the one that is open. Stores specs, and decides nothing.

use std::collections::BTreeMap;

use aegis_api::detector::DetectorWorkload;
use aegis_api::incident::{IncidentSpec, Source};
use aegis_api::naming::hashed;
use aegis_api::scalar::{ContainerName, ResourceName};
use aegis_api::symptom::SymptomClass;
use aegis_api::{Detector, Incident, Kind, Time};
use aegis_planning::detection::episode::{DETECTOR, fingerprint, host_fingerprint, is_joined};
use aegis_planning::incident::detected::DETECTOR_LABEL;
use aegis_runtime::Store;
use aegis_runtime::store::StoreError;

/// Trouble of one class on one workload, for as long as it lasts.
#[derive(Debug)]
pub(super) struct Episode<'a> {
    detector: &'a Detector,
    /// Absent where it is about the host.
    workload: Option<(ResourceName, SymptomClass)>,
    since: Time,
    row: &'a DetectorWorkload,
}

impl<'a> Episode<'a> {
    /// Of a row that fires. `class` is that of the trouble of a workload.
    pub(super) fn of(
        detector: &'a Detector,
        class: Option<SymptomClass>,
        row: &'a DetectorWorkload,
    ) -> Option<Self> {
        let workload = match (class, &row.workload) {
            (Some(class), Some(name)) => Some((name.parse().ok()?, class)),
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

    /// Its incident, and whether it was opened now.
    pub(super) async fn incident(&self, store: &Store) -> Result<(ResourceName, bool), StoreError> {
        let about = self.workload.as_ref();
        let about_name = about.map_or("", |(workload, _)| workload.as_str());
        // The same for the same episode: a crash between here and the status opens no second one.
        let name = hashed(&format!("{about_name} {} {}", self.detector.name(), self.since));
        if let Some((workload, class)) = about
            && store.get::<Incident>(&name).is_none()
        {
            let incidents = store.list::<Incident>();
            let mut open = incidents
                .iter()
                .filter(|it| is_joined(it, workload.as_str(), *class));
            if let Some(name) = open.next().and_then(|incident| incident.name().parse().ok()) {
                return Ok((name, false));
            }
        }
        match store.add::<Incident>(&name, &self.spec(&name)).await {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let name = name.parse().map_err(|_| StoreError::NotFound {
            kind: "Incident".to_owned(),
            name,
        })?;
        Ok((name, true))
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
                fingerprint: match &self.workload {
                    Some((workload, class)) => fingerprint(workload.as_str(), *class),
                    None => host_fingerprint(self.detector.name()),
                },
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
