//! Prometheus metrics of what correlation and silences keep from people just now. Taken down when they are read.

use aegis_api::facets::key;
use aegis_api::{Incident, Silence, Time};
use aegis_planning::correlation::silence::silencing_incident;
use aegis_runtime::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::set_gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLabels {
    by: &'static str,
}

/// Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct CorrelationMetrics {
    inhibited: Family<ByLabels, Gauge>,
    silenced: Gauge,
}

impl CorrelationMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "aegis_alerts_inhibited",
            "Alerts that are listed on the incident about what their workload depends on and still fire, by who reports them: sender or detector",
            metrics.inhibited.clone(),
        );
        registry.register(
            "aegis_incidents_silenced",
            "Open incidents of which a silence keeps people from being notified",
            metrics.silenced.clone(),
        );
        metrics
    }

    /// Takes down what is stored now. Incidents that list alerts are few; all that are open are read only where there are
    /// silences.
    pub(super) fn read(&self, store: &Store, now: Time) {
        let roots = store.find::<Incident>(key::INHIBITS);
        let held = roots.iter().flat_map(|root| &root.spec.source.joined);
        let held: Vec<bool> = held
            .filter(|alert| alert.is_held())
            .map(|alert| alert.detector.is_some())
            .collect();
        for (by, is_detector) in [("sender", false), ("detector", true)] {
            let count = held
                .iter()
                .filter(|by_detector| **by_detector == is_detector)
                .count();
            set_gauge(&self.inhibited.get_or_create(&ByLabels { by }), count);
        }
        let silences = store.list::<Silence>();
        let silenced = match silences.is_empty() {
            true => 0,
            false => {
                let (open, workloads) = (store.find::<Incident>(key::OPEN), store.list());
                let is_silenced = |incident: &&std::sync::Arc<Incident>| {
                    silencing_incident(&silences, &workloads, incident, now).is_some()
                };
                open.iter().filter(is_silenced).count()
            }
        };
        set_gauge(&self.silenced, silenced);
    }
}
