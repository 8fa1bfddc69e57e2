//! What the host has, and what scaling answers. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observed::ContainerState;
use crate::scalar::Time;
use crate::signals::{Disk, HostSignals};

/// A row of `/containers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRow {
    /// Container name.
    pub name: String,
    /// Its state, in Docker's word.
    pub status: ContainerState,
    /// Image reference.
    pub image: String,
    /// First 12 characters of its id.
    pub id: String,
}

/// One container's load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerMetrics {
    /// Container name.
    pub name: String,
    /// CPU, percent of one core.
    pub cpu_percent: f64,
    /// Memory in use, MiB, page cache left out.
    pub memory_mb: f64,
    /// Memory limit, MiB.
    pub memory_limit_mb: f64,
    /// Memory in use, percent of the limit.
    pub memory_percent: f64,
    /// Received on all interfaces, bytes.
    pub net_rx_bytes: u64,
    /// Sent on all interfaces, bytes.
    pub net_tx_bytes: u64,
    /// Its state, in Docker's word.
    pub status: ContainerState,
    /// Seconds since its process started; 0 where that is not known.
    pub uptime_seconds: f64,
    /// Image reference.
    pub image: String,
}

/// One reading of a container's load, or one minute of it. What is kept of a minute is its mean CPU and its memory: the
/// other fields are absent then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSample {
    /// When; of a minute, its end.
    pub t: Time,
    /// CPU, percent of one core; null where it was not measured, such as at the first reading of a container.
    #[serde(default)]
    pub cpu_percent: Option<f64>,
    /// Memory in use, MiB, page cache left out.
    pub memory_mb: f64,
    /// Memory limit, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<f64>,
    /// Memory in use, percent of the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f64>,
    /// Received on all interfaces, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_rx_bytes: Option<u64>,
    /// Sent on all interfaces, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_tx_bytes: Option<u64>,
}

/// A container's readings, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSeries {
    /// Container name.
    pub name: String,
    /// So many of its samples, the first ones, are minutes; those after them are readings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minute_samples: usize,
    /// Minutes and readings.
    pub samples: Vec<MetricSample>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What `/metrics/history` answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricHistory {
    /// Seconds between two readings, as configured.
    pub interval_seconds: u64,
    /// One a container, by name.
    pub series: Vec<MetricSeries>,
    /// Containers that were left out because the answer would have been too large, by name: `name` gets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// What `/metrics/host` answers: the host that the engine runs on. What could not be read is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostMetrics {
    /// When it was read; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t: Option<Time>,
    /// CPU in use between the last two readings, of all cores: 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Load average over one minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load1: Option<f64>,
    /// Load average over five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load5: Option<f64>,
    /// Memory that can be had without swapping, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// All memory, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// The file system of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_disk: Option<FileSystemUse>,
    /// The file system of the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_disk: Option<FileSystemUse>,
}

/// A file system, as `df` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FileSystemUse {
    /// Bytes that can be written without privilege.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
}

impl HostMetrics {
    /// What was read then.
    pub fn of(host: &HostSignals, t: Time) -> Self {
        let disk = |disk: Option<Disk>| {
            let (free_bytes, total_bytes) = disk?.bytes?;
            Some(FileSystemUse {
                free_bytes,
                total_bytes,
            })
        };
        Self {
            t: Some(t),
            cpu_ratio: host.cpu_ratio,
            cores: host.cores,
            load1: host.load.map(|(one, _)| one),
            load5: host.load.map(|(_, five)| five),
            memory_available_bytes: host.memory.map(|(available, _)| available),
            memory_total_bytes: host.memory.map(|(_, total)| total),
            engine_disk: disk(host.engine_disk),
            state_disk: disk(host.state_disk),
        }
    }
}

/// Replicas came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleEvent {
    /// The container that was cloned.
    pub container_base: String,
    /// How many replicas there are beside it.
    pub replica_count: usize,
    /// Their names.
    pub replicas: Vec<String>,
    /// Whether a load balancer sends them requests.
    pub lb_configured: bool,
    /// When.
    pub timestamp: Time,
    /// For how long autoscaling holds them; absent where it does not own the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<String>,
}

/// What `POST /scale/down` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Names of the replicas that are gone.
    pub removed: Vec<String>,
    /// For how long autoscaling holds those that are left; absent where it does not own the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<String>,
}

/// What `/health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthAnswer {
    /// Always `ok`.
    pub status: String,
    /// Always `GOD_MODE`: clients of the earlier system look for it.
    pub mode: String,
    /// Version of the controller.
    pub version: String,
    /// WebSocket clients that are connected.
    pub ws_clients: usize,
}
