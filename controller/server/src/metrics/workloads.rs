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
