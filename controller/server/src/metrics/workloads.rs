//! Prometheus metrics of workloads: rate, errors and duration of their requests, and what autoscaling makes of them. Taken down
//! when they are read. Labels are bounded: workloads that are stored, and of all of them at most [`MOST`].

use std::sync::atomic::AtomicU64;

use aegis_api::wire::WorkloadRequests;
use aegis_api::{Kind as _, Workload};
use aegis_runtime::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::host::HostView;

/// Workloads that are exposed.
const MOST: usize = 500;

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkloadLabels {
    workload: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    workload: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    workload: String,
    quantile: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    workload: String,
    what: &'static str,
}

/// Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkloadMetrics {
    requests: Family<CodeLabels, Counter>,
    latency: Family<QuantileLabels, FloatGauge>,
    in_flight: Family<WorkloadLabels, FloatGauge>,
    replicas: Family<ReplicaLabels, Gauge>,
}

impl WorkloadMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "aegis_workload_requests",
            "Requests of clients to a workload since this controller began to count, by what they were answered: 5xx, 499 (the client went away before an answer) or other",
            metrics.requests.clone(),
        );
        registry.register(
            "aegis_workload_latency_seconds",
            "Seconds within which this part of the requests of the last minute was answered",
            metrics.latency.clone(),
        );
        registry.register(
            "aegis_workload_in_flight",
            "Requests under way, estimated: rate times mean time over the last minute",
            metrics.in_flight.clone(),
        );
        registry.register(
            "aegis_autoscale_replicas",
            "Replicas of an autoscaled workload: desired, wanted (by the targets alone), min and max",
            metrics.replicas.clone(),
        );
        metrics
    }

    /// Takes down what is known now.
    pub(super) fn read(&self, view: &HostView, store: &Store) {
        self.requests.clear();
        self.latency.clear();
        self.in_flight.clear();
        self.replicas.clear();
        for row in view.requested(aegis_clock::now()).into_iter().take(MOST) {
            self.read_requests(&row);
        }
        for workload in store.list::<Workload>().iter().take(MOST) {
            self.read_replicas(workload);
        }
    }

    fn read_requests(&self, row: &WorkloadRequests) {
        let workload = || row.workload.clone();
        let (totals, rates) = (row.totals, &row.rates);
        for (code, count) in [
            ("5xx", totals.errors),
            ("499", totals.cancelled),
            ("other", totals.answered.saturating_sub(totals.errors)),
        ] {
            let labels = CodeLabels {
                workload: workload(),
                code,
            };
            self.requests.get_or_create(&labels).inc_by(count);
        }
        for (quantile, millis) in [
            ("0.5", rates.p50_ms),
            ("0.95", rates.p95_ms),
            ("0.99", rates.p99_ms),
        ] {
            let Some(millis) = millis else { continue };
            let labels = QuantileLabels {
                workload: workload(),
                quantile,
            };
            self.latency.get_or_create(&labels).set(millis / 1000.0);
        }
        let labels = WorkloadLabels { workload: workload() };
        self.in_flight.get_or_create(&labels).set(rates.in_flight);
    }

    fn read_replicas(&self, workload: &Workload) {
        let status = workload
            .status
            .as_ref()
            .and_then(|status| status.autoscale.as_ref());
        let Some(status) = status else { return };
        let rows = [
            ("desired", Some(status.desired)),
            ("wanted", status.wanted),
            ("min", Some(status.min)),
            ("max", Some(status.max)),
        ];
        for (what, count) in rows {
            let Some(count) = count else { continue };
            let labels = ReplicaLabels {
                workload: workload.name().to_owned(),
                what,
            };
            self.replicas.get_or_create(&labels).set(count.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::wire::{RequestRates, RequestTotals};
    use prometheus_client::encoding::text::encode;
    use serde_json::json;

    use super::*;

    #[test]
    fn rate_errors_and_duration_of_a_workload_and_its_autoscaling_are_exposed() {
        let mut registry = Registry::default();
        let metrics = WorkloadMetrics::new(&mut registry);
        metrics.read_requests(&WorkloadRequests {
            workload: "web".to_owned(),
            over_seconds: 60,
            rates: RequestRates {
                p50_ms: Some(20.0),
                p95_ms: Some(150.0),
                in_flight: 1.5,
                ..RequestRates::default()
            },
            totals: RequestTotals {
                answered: 100,
                errors: 3,
                cancelled: 2,
            },
        });
        let workload = json!({
            "apiVersion": aegis_api::API_VERSION, "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"template": {"image": "a"}},
            "status": {"autoscale": {"desired": 4, "min": 2, "max": 8}},
        });
        metrics.read_replicas(&serde_json::from_value(workload).unwrap());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "aegis_workload_requests_total{workload=\"web\",code=\"5xx\"} 3",
            "aegis_workload_requests_total{workload=\"web\",code=\"499\"} 2",
            "aegis_workload_requests_total{workload=\"web\",code=\"other\"} 97",
            "aegis_workload_latency_seconds{workload=\"web\",quantile=\"0.5\"} 0.02",
            "aegis_workload_latency_seconds{workload=\"web\",quantile=\"0.95\"} 0.15",
            "aegis_workload_in_flight{workload=\"web\"} 1.5",
            "aegis_autoscale_replicas{workload=\"web\",what=\"desired\"} 4",
            "aegis_autoscale_replicas{workload=\"web\",what=\"max\"} 8",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(
            !text.contains("0.99"),
            "what was not measured is not there\n{text}"
        );
        assert!(!text.contains("what=\"wanted\""), "{text}");
    }
}
