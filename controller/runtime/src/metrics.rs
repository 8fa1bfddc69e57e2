//! Prometheus metrics of the reconcile loops, under the names that controller-runtime gives them, so that dashboards
//! made for Kubernetes operators work. Owns the instruments; rendering the registry is the server's. No I/O.
//!
//! Names: <https://book.kubebuilder.io/reference/metrics-reference>. Labels `controller` and `name` hold the kind in
//! lower case, as there. Beyond them: `aegis_reconcile_errors_total{controller,category}`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::controller::{Activity, Observer, Reconciled};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByController {
    controller: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    controller: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCategory {
    controller: String,
    category: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQueue {
    name: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The instruments of every loop; one value serves all kinds.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciles: Family<ByResult, Counter>,
    errors: Family<ByController, Counter>,
    panics: Family<ByController, Counter>,
    categories: Family<ByCategory, Counter>,
    time: Histograms<ByController>,
    active: Family<ByController, Gauge>,
    limit: Family<ByController, Gauge>,
    depth: Family<ByQueue, Gauge>,
    adds: Family<ByQueue, Counter>,
    waited: Histograms<ByQueue>,
    worked: Histograms<ByQueue>,
    retries: Family<ByQueue, Counter>,
}

impl Metrics {
    /// Registers the instruments.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            errors: Family::default(),
            panics: Family::default(),
            categories: Family::default(),
            time: Family::new_with_constructor(reconcile_buckets),
            active: Family::default(),
            limit: Family::default(),
            depth: Family::default(),
            adds: Family::default(),
            waited: Family::new_with_constructor(queue_buckets),
            worked: Family::new_with_constructor(queue_buckets),
            retries: Family::default(),
        };
        metrics.register_controllers(registry);
        metrics.register_queues(registry);
        metrics
    }

    // The client appends `_total` to a counter's name itself.
    fn register_controllers(&self, registry: &mut Registry) {
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles per controller and result",
            self.reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            self.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_panics",
            "Reconciles that panicked",
            self.panics.clone(),
        );
        registry.register(
            "aegis_reconcile_errors",
            "Reconciles that failed, by category",
            self.categories.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time of one reconcile",
            self.time.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles that run now",
            self.active.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles that may run at a time",
            self.limit.clone(),
        );
    }

    fn register_queues(&self, registry: &mut Registry) {
        registry.register(
            "workqueue_depth",
            "Keys that wait although their time has come",
            self.depth.clone(),
        );
        registry.register("workqueue_adds", "Keys added", self.adds.clone());
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time a key waited after it was due",
            self.waited.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "Time a key was worked on",
            self.worked.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Keys added again after a failure",
            self.retries.clone(),
        );
    }
}

impl Observer for Metrics {
    fn reconciled(&self, r: &Reconciled<'_>) {
        let by = ByController {
            controller: label(r.kind),
        };
        let seconds = r.duration.as_secs_f64();
        self.reconciles
            .get_or_create(&ByResult {
                controller: label(r.kind),
                result: r.result.to_owned(),
            })
            .inc();
        self.time.get_or_create(&by).observe(seconds);
        self.worked
            .get_or_create(&ByQueue { name: label(r.kind) })
            .observe(seconds);
        if let Some((category, _)) = &r.error {
            self.errors.get_or_create(&by).inc();
            self.categories
                .get_or_create(&ByCategory {
                    controller: label(r.kind),
                    category: (*category).to_owned(),
                })
                .inc();
            if *category == "panic" {
                self.panics.get_or_create(&by).inc();
            }
        }
    }

    fn activity(&self, kind: &'static str, activity: &Activity) {
        let by = ByController {
            controller: label(kind),
        };
        let queue = ByQueue { name: label(kind) };
        match *activity {
            Activity::Limit { concurrency } => {
                self.limit.get_or_create(&by).set(gauge(concurrency));
            }
            Activity::Added { why: _ } => {
                self.adds.get_or_create(&queue).inc();
            }
            Activity::Retried => {
                self.retries.get_or_create(&queue).inc();
            }
            Activity::Started { waited } => self.waited.get_or_create(&queue).observe(waited.as_secs_f64()),
            Activity::Load { depth, active } => {
                self.depth.get_or_create(&queue).set(gauge(depth));
                self.active.get_or_create(&by).set(gauge(active));
            }
        }
    }
}

fn label(kind: &str) -> String {
    kind.to_ascii_lowercase()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// 1 ms to 60 s; controller-runtime's buckets start at 5 ms, which is where most of ours would vanish.
fn reconcile_buckets() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

/// 10 µs to 1000 s in powers of ten, from client-go's workqueue metrics without the buckets below a timer's grain.
fn queue_buckets() -> Histogram {
    let powers = std::iter::successors(Some(Duration::from_micros(10).as_secs_f64()), |bound| {
        Some(bound * 10.0)
    });
    Histogram::new(powers.take(9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(metrics: impl FnOnce(&Metrics)) -> String {
        let mut registry = Registry::default();
        let instruments = Metrics::new(&mut registry);
        metrics(&instruments);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn reconciled(result: &'static str, error: Option<(&'static str, String)>) -> Reconciled<'static> {
        let duration = Duration::from_millis(20);
        Reconciled {
            kind: "Workload",
            name: "web",
            trigger: "store",
            result,
            error,
            duration,
            requeue_after: None,
        }
    }

    #[test]
    fn a_reconcile_counts_under_the_names_of_controller_runtime() {
        let text = rendered(|metrics| {
            metrics.reconciled(&reconciled("success", None));
            metrics.reconciled(&reconciled("error", Some(("panic", "oh".into()))));
        });
        for line in [
            "controller_runtime_reconcile_total{controller=\"workload\",result=\"success\"} 1",
            "controller_runtime_reconcile_total{controller=\"workload\",result=\"error\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"workload\"} 1",
            "controller_runtime_reconcile_panics_total{controller=\"workload\"} 1",
            "aegis_reconcile_errors_total{controller=\"workload\",category=\"panic\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"workload\"} 2",
            "workqueue_work_duration_seconds_count{name=\"workload\"} 2",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn the_queue_shows_its_depth_and_what_was_added() {
        let text = rendered(|metrics| {
            metrics.activity("Incident", &Activity::Limit { concurrency: 4 });
            metrics.activity("Incident", &Activity::Added { why: "store" });
            metrics.activity("Incident", &Activity::Retried);
            metrics.activity(
                "Incident",
                &Activity::Started {
                    waited: Duration::from_millis(1),
                },
            );
            metrics.activity("Incident", &Activity::Load { depth: 3, active: 2 });
        });
        for line in [
            "controller_runtime_max_concurrent_reconciles{controller=\"incident\"} 4",
            "controller_runtime_active_workers{controller=\"incident\"} 2",
            "workqueue_depth{name=\"incident\"} 3",
            "workqueue_adds_total{name=\"incident\"} 1",
            "workqueue_retries_total{name=\"incident\"} 1",
            "workqueue_queue_duration_seconds_count{name=\"incident\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
