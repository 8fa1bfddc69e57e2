//! What detectors say of an incident's episode: whether the condition that opened it, or joined it, still holds. Pure.

use std::sync::Arc;

use aegis_api::{Detector, Incident, Kind};

use crate::detection::episode::{DETECTOR, DETECTOR_LABEL};
use crate::detection::{Condition, Watch};

/// What detectors say of an incident's episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// One that fires, else the one that opened the incident.
    pub detector: String,
    /// Whether any of them fires for the incident's workload.
    pub firing: bool,
    /// Whether one of them counts crashes: what ended may have been started again since, and be well.
    pub counts_crashes: bool,
    /// Whether one that counts crashes, or what is down, fires for the workload, whichever incident it has.
    pub crashes: bool,
    /// One that fires and counts no crashes.
    pub other: Option<Firing>,
    /// Whether one fires that being down does not explain: it is not over when what ended is started again.
    pub beyond_down: bool,
}

/// A detector that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Its name.
    pub detector: String,
    /// What it read last, human-readable.
    pub message: String,
}

/// Of those that fire for the incident, and the one that opened it; `None` where no detector has to do with it.
pub(super) fn detected(incident: &Incident, workload: &str, detectors: &[Arc<Detector>]) -> Option<Detected> {
    let source = &incident.spec.source;
    let opened_by = source.labels.get(DETECTOR_LABEL);
    let opened_by = opened_by.filter(|_| source.kind == DETECTOR);
    let mut all: Option<Detected> = None;
    let mut crashes = false;
    for detector in detectors {
        let Some(Watch::Workloads(condition)) = Watch::of(&detector.spec) else {
            continue;
        };
        let mut rows = detector.status.iter().flat_map(|status| &status.workloads);
        let Some(row) = rows.find(|row| row.workload.as_deref() == Some(workload)) else {
            continue;
        };
        let counts = counts_crashes(&condition);
        crashes |= row.firing && (counts || condition == Condition::Down);
        let named = row.incident.as_ref();
        let names_it = named.is_some_and(|name| name.as_str() == incident.name());
        let opened_it = opened_by.is_some_and(|name| name == detector.name());
        if !names_it && !opened_it {
            continue;
        }
        let name = || detector.name().to_owned();
        let found = all.get_or_insert_with(|| Detected {
            detector: name(),
            firing: false,
            counts_crashes: counts,
            crashes: false,
            other: None,
            beyond_down: false,
        });
        found.counts_crashes |= counts;
        if !row.firing {
            continue;
        }
        if !found.firing {
            (found.detector, found.firing) = (name(), true);
        }
        found.beyond_down |= !counts && !is_of_down(&condition);
        if !counts && found.other.is_none() {
            found.other = Some(Firing {
                detector: name(),
                message: row.message.clone(),
            });
        }
    }
    all.map(|found| Detected { crashes, ..found })
}

fn counts_crashes(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Died | Condition::CrashLoop { .. } | Condition::OutOfMemory
    )
}

/// Whether it holds of what is down, and no longer once that runs again.
fn is_of_down(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Down
            | Condition::ReplicasMissing
            | Condition::NoServer
            | Condition::HttpErrors { .. }
            | Condition::HttpLatency { .. }
            | Condition::BurnRate(_)
    )
}
