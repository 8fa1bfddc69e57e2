//! `HostView`: the newest snapshots of what the host has. Written by the task that watches the engine, read by
//! handlers; neither waits for the other. No I/O.

use std::sync::Arc;

use aegis_api::wire::{
    BalancerMetrics, ContainerMetrics, ContainerRow, HostMetrics, MetricHistory, Topology, TraceRow,
    WorkloadRequests,
};
use aegis_api::{Time, Workload};
use futures::future::BoxFuture;
use tokio::sync::watch;

/// Answers the load of the last minutes, seen from a moment, of the containers named; of all where none is.
pub type LoadHistory = Arc<dyn Fn(Time, u64, &[String]) -> MetricHistory + Send + Sync>;

/// Answers the requests and connections of the load balancers named, seen from a moment; of all where none is.
pub type Balancers = Arc<dyn Fn(Time, &[String]) -> Vec<BalancerMetrics> + Send + Sync>;

/// Answers the requests to all workloads that had some lately, seen from a moment.
pub type Requested = Arc<dyn Fn(Time) -> Vec<WorkloadRequests> + Send + Sync>;

/// Answers what is recorded of a workload.
pub type Traces = Arc<dyn Fn(Arc<Workload>) -> BoxFuture<'static, Vec<TraceRow>> + Send + Sync>;

/// The newest snapshots. Clones share them.
#[derive(Clone)]
pub struct HostView {
    inner: Arc<Inner>,
    history: Option<LoadHistory>,
    balancers: Option<Balancers>,
    requested: Option<Requested>,
    traces: Option<Traces>,
}

impl std::fmt::Debug for HostView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostView").field(&self.inner).finish()
    }
}

#[derive(Debug)]
struct Inner {
    containers: watch::Sender<Arc<Vec<ContainerRow>>>,
    metrics: watch::Sender<Arc<Vec<ContainerMetrics>>>,
    topology: watch::Sender<Arc<Topology>>,
    host: watch::Sender<Arc<HostMetrics>>,
    engine: watch::Sender<Result<(), Arc<str>>>,
    read_at: watch::Sender<Option<Time>>,
}

impl Default for HostView {
    fn default() -> Self {
        Self::new()
    }
}

impl HostView {
    /// An empty view: no containers, and an engine that was not asked yet.
    pub fn new() -> Self {
        let inner = Inner {
            containers: watch::Sender::default(),
            metrics: watch::Sender::default(),
            topology: watch::Sender::default(),
            host: watch::Sender::default(),
            engine: watch::Sender::new(Err("the engine was not asked yet".into())),
            read_at: watch::Sender::default(),
        };
        Self {
            inner: Arc::new(inner),
            history: None,
            balancers: None,
            requested: None,
            traces: None,
        }
    }

    /// The same view, with this history of the load.
    #[must_use]
    pub fn with_history(self, history: LoadHistory) -> Self {
        Self {
            history: Some(history),
            ..self
        }
    }

    /// The same view, with these load balancers.
    #[must_use]
    pub fn with_balancers(self, balancers: Balancers) -> Self {
        Self {
            balancers: Some(balancers),
            ..self
        }
    }

    /// The same view, with the requests to workloads, and what is recorded of each.
    #[must_use]
    pub fn with_workloads(self, requested: Requested, traces: Traces) -> Self {
        Self {
            requested: Some(requested),
            traces: Some(traces),
            ..self
        }
    }

    /// The requests to all workloads that had some lately.
    pub fn requested(&self, now: Time) -> Vec<WorkloadRequests> {
        let requested = self.requested.as_ref();
        requested.map_or_else(Vec::new, |requested| requested(now))
    }

    /// What is recorded of a workload.
    pub async fn trace(&self, workload: Arc<Workload>) -> Vec<TraceRow> {
        match &self.traces {
            Some(traces) => traces(workload).await,
            None => Vec::new(),
        }
    }

    /// The requests and connections of the load balancers named; of all where none is.
    pub fn balancers(&self, now: Time, names: &[String]) -> Vec<BalancerMetrics> {
        let balancers = self.balancers.as_ref();
        balancers.map_or_else(Vec::new, |balancers| balancers(now, names))
    }

    /// The load of the last `minutes` of the containers named; of all where none is.
    pub fn history(&self, now: Time, minutes: u64, names: &[String]) -> MetricHistory {
        let history = self.history.as_ref();
        history.map_or_else(MetricHistory::default, |history| history(now, minutes, names))
    }

    /// The containers of the host.
    pub fn containers(&self) -> Arc<Vec<ContainerRow>> {
        Arc::clone(&self.inner.containers.borrow())
    }

    /// The load of the running ones.
    pub fn metrics(&self) -> Arc<Vec<ContainerMetrics>> {
        Arc::clone(&self.inner.metrics.borrow())
    }

    /// What stands beside what.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.inner.topology.borrow())
    }

    /// What is in use of the host.
    pub fn host(&self) -> Arc<HostMetrics> {
        Arc::clone(&self.inner.host.borrow())
    }

    /// Whether the engine answers; why not, human-readable.
    pub fn engine(&self) -> Result<(), Arc<str>> {
        self.inner.engine.borrow().clone()
    }

    /// Replaces the containers; answers whether they differ from before.
    pub fn set_containers(&self, rows: Vec<ContainerRow>) -> bool {
        replace(&self.inner.containers, rows)
    }

    /// Replaces the metrics; answers whether they differ from before.
    pub fn set_metrics(&self, rows: Vec<ContainerMetrics>) -> bool {
        self.inner.read_at.send_replace(Some(aegis_clock::now()));
        replace(&self.inner.metrics, rows)
    }

    /// When the metrics were last replaced.
    pub fn read_at(&self) -> Option<Time> {
        *self.inner.read_at.borrow()
    }

    /// Replaces the topology; answers whether it differs from before.
    pub fn set_topology(&self, topology: Topology) -> bool {
        replace(&self.inner.topology, topology)
    }

    /// Replaces what is in use of the host; answers whether it differs from before.
    pub fn set_host(&self, host: HostMetrics) -> bool {
        replace(&self.inner.host, host)
    }

    /// Says whether the engine answers; answers whether that is news.
    pub fn set_engine(&self, state: Result<(), String>) -> bool {
        let state = state.map_err(Arc::from);
        self.inner
            .engine
            .send_if_modified(|held| std::mem::replace(held, state.clone()) != state)
    }
}

fn replace<T: PartialEq>(slot: &watch::Sender<Arc<T>>, value: T) -> bool {
    slot.send_if_modified(|held| {
        let differs = **held != value;
        if differs {
            *held = Arc::new(value);
        }
        differs
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_was_not_asked_is_not_ok() {
        let host = HostView::new();
        assert!(host.engine().is_err());
        assert!(host.set_engine(Ok(())));
        assert!(!host.set_engine(Ok(())));
        assert!(host.engine().is_ok());
    }

    #[test]
    fn a_clone_sees_what_the_other_writes_and_equal_snapshots_are_no_news() {
        let host = HostView::new();
        let reader = host.clone();
        let row = ContainerRow {
            name: "web".to_owned(),
            ..ContainerRow::default()
        };
        assert!(host.set_containers(vec![row.clone()]));
        assert!(!host.set_containers(vec![row]));
        assert_eq!(reader.containers().len(), 1);
    }
}
