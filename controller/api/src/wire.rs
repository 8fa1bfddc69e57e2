//! The shapes of the wire contract with existing clients, as views of the resources. Names, cases and shapes are the
//! contract: a change here breaks somebody's script. Owns no state. Pure.

mod autoscale;
mod balancer;
mod detector;
mod frame;
mod host;
mod incident;
mod notification;
pub mod plan;
mod runbook;
mod topology;

pub use autoscale::{MOST_TRACE_ROWS, Simulated, SimulationRequest, SimulationSummary, TraceRow};
pub use balancer::{
    BalancerMetrics, Connections, RequestRates, RequestTotals, ServerMetrics, UpstreamMetrics,
    WorkloadRequests,
};
pub use detector::{DetectorReading, DetectorView};
pub use frame::{
    AiComplete, AiRestart, AiStream, AiThinking, CouncilDecided, CouncilVoted, DockerAction, FailedData,
    Frame, FrameType, HealthCheck, Heartbeat, HeartbeatStatus, IncidentNew, Lagged, Payload, ReconcileData,
    ReconcileError, ResolvedData, ResourceData, ScaleData, Snapshot, StatusUpdate,
};
pub use host::{
    ContainerMetrics, ContainerRow, FileSystemUse, HealthAnswer, HostMetrics, MetricHistory, MetricSample,
    MetricSeries, Removed, ScaleEvent,
};
pub use incident::{
    AnalysisView, CouncilView, IncidentResult, TimelineView, VoteView, incident_id, known_phase, known_stage,
};
pub use notification::{
    Delivery, DeliveryOutcome, DestinationView, NotificationList, NotificationTest, NotificationTests,
};
pub use runbook::{RagAnswer, RagRow, RunbookList, RunbookView};
pub use topology::{Edge, EdgeLabel, LABEL_ROLE, Node, NodeType, Topology, TopologyContainer};
