//! `Workload`: what should run. Either adopts a container somebody else made, or runs a template. Pure.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;
use crate::defaults::{Defaults, Fill, add};
use crate::ids::{ContainerId, RevisionId};
use crate::observed::ContainerState;
use crate::proposal::ContainerEvidence;
use crate::scalar::{AbsolutePath, ContainerName, Duration, ImageRef, StatusCodes, Time};
use crate::validate::{FieldError, Rules};

pub mod autoscale;
mod probe;
mod value_source;
pub use autoscale::{Autoscale, AutoscaleMetric, AutoscaleStatus, AutoscaleTarget};
pub use probe::{ExecProbe, GrpcProbe};
pub use value_source::ValueSource;

/// Desired state of a workload: exactly one of `container` and `template`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "Workload",
    plural = "workloads",
    singular = "workload",
    shortname = "wl",
    category = "all",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "WorkloadStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updatedReplicas"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Container",
        type_ = "string",
        json_path = ".spec.container",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.template.image",
        priority = 1
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.revision",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Adopts the running container of this name, for example one that Compose started. It is restarted and
    /// healed in place, and cloned for further replicas; it is never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerName>,
    /// Runs containers of this template, named `<workload>-replica-1…N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ContainerTemplate>,
    /// How many containers there should be, the adopted one counted. At least 1 when adopting.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 200))]
    pub replicas: u32,
    /// Every container of the workload that started before this instant is restarted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// How replicas are replaced.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Strategy,
    /// How a container shows that it can serve. Without it: Docker's own health check where the container has
    /// one, otherwise "it runs".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthProbe>,
    /// When and how often a container is restarted without an incident.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: RestartPolicy,
    /// Workloads, or containers, that this one needs. While one of them is not well, a container of this workload that
    /// is unhealthy or ended is not restarted for its own sake: the root comes first. What Compose's `depends_on`
    /// names, and the container whose network the adopted one shares, are known without being named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub depends_on: Vec<ContainerName>,
    /// Of what is needed without being named in `dependsOn`, by the names that `status.dependencies` has: what holds
    /// nothing back, as `required: false` means it in Compose, whose labels do not say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub optional_dependencies: Vec<ContainerName>,
    /// Bounds and targets for scaling by load. It owns `replicas` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
}

/// What a container is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerTemplate {
    /// The image; it must be present on the host or pullable by the engine.
    pub image: ImageRef,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Replaces the image's command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment variables. No place for secrets: `envValueFrom` is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose value stands elsewhere, by name: read by the controller when it makes a container, and
    /// kept nowhere. A value that changes reaches the containers that are made after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_value_from: BTreeMap<String, ValueSource>,
    /// Container ports. Replicas publish none on the host: a LoadBalancer reaches them on their network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// Docker networks to join; the first one is joined at creation. Empty: the engine's default bridge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<ContainerName>,
    /// Volumes and bind mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeMount>,
    /// Limits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Further container labels. Labels under `io.aegisops.` belong to the controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long a container may take to end after SIGTERM.
    #[serde(default = "ten_seconds")]
    pub stop_grace_period: Duration,
    /// User (and group) inside the container, as `docker run --user` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Mounts the root file system read-only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Docker's own health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
}

/// One mount of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    /// A volume's name, or an absolute path on the host for a bind mount.
    #[schemars(length(min = 1, max = 512))]
    pub source: String,
    /// Where it appears in the container.
    pub target: AbsolutePath,
    /// Mounts it read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// Limits of one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Memory limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 16_777_216))]
    pub memory_mb: Option<u32>,
    /// CPU limit in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 1_024_000))]
    pub cpu_millis: Option<u32>,
    /// Most processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub pids: Option<u32>,
}

/// Docker's health check: a command inside the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Healthcheck {
    /// The command and its arguments; run without a shell.
    #[schemars(length(min = 1, max = 64))]
    pub command: Vec<String>,
    /// Time between two checks.
    #[serde(default = "ten_seconds")]
    pub interval: Duration,
    /// Time one check may take.
    #[serde(default = "two_seconds")]
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub retries: u32,
    /// How long failures after a start do not count, unless a check has passed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
}

/// How replicas are replaced when their template changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Strategy {
    /// `RollingUpdate` replaces replicas step by step; `InPlace` restarts a container where it is.
    #[serde(default, rename = "type")]
    pub kind: StrategyType,
    /// How many replicas beyond `replicas` may exist during a change: those of a new revision come first, and one stands in
    /// for a container that nothing else could relieve. A container that alone writes to a volume is never doubled.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 50))]
    pub max_surge: u32,
    /// How many replicas may be out of service during a change. The first of a new revision must be ready before any of the
    /// old one goes, unless `maxSurge` is 0.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 50))]
    pub max_unavailable: u32,
    /// How long a container must be healthy before it counts: before the next one is touched, and before a load balancer
    /// that has others sends it requests.
    #[serde(default = "no_time")]
    pub min_healthy: Duration,
    /// How long a new revision may go without progress before it is rolled back and the last one that was ready runs again.
    #[serde(default = "five_minutes")]
    pub progress_deadline: Duration,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            kind: StrategyType::default(),
            max_surge: 1,
            max_unavailable: 1,
            min_healthy: no_time(),
            progress_deadline: five_minutes(),
        }
    }
}

/// The kinds of strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrategyType {
    /// Step by step, bounded by `maxSurge` and `maxUnavailable`.
    #[default]
    RollingUpdate,
    /// Where it is, without a stand-in.
    InPlace,
}

/// When and how often a container is restarted without an incident. One that ends is started again at once, then ever more
/// rarely; ten healthy minutes wipe the slate clean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestartPolicy {
    /// Restarts a container that runs and whose probe has failed for this long without a break, its start period
    /// (`health.startPeriod`) left out. What is not healthy once after three such restarts in a row is left to a human:
    /// another one cannot help. Absent: what runs is restarted by incidents and people only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_after: Option<Duration>,
    /// How the pause between restarts grows.
    #[serde(default)]
    pub backoff: Backoff,
    /// The pause before the second restart.
    #[serde(default = "five_seconds")]
    pub delay: Duration,
    /// The longest pause.
    #[serde(default = "five_minutes")]
    pub max_delay: Duration,
    /// Most restarts of one container within `window`, whether it ended or was unhealthy; then it is left to a human,
    /// and an incident asks one. Absent: ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub attempts: Option<u32>,
    /// What `attempts` are counted over.
    #[serde(default = "one_hour")]
    pub window: Duration,
}

/// Restarts within `window` where a spec names no number.
const USUAL_ATTEMPTS: u32 = 10;

impl RestartPolicy {
    /// Most restarts of one container within `window`.
    pub fn most(&self) -> u32 {
        self.attempts.unwrap_or(USUAL_ATTEMPTS)
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            unhealthy_after: None,
            backoff: Backoff::default(),
            delay: five_seconds(),
            max_delay: five_minutes(),
            attempts: None,
            window: one_hour(),
        }
    }
}

/// How pauses grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Backoff {
    /// Each is twice the one before, up to `maxDelay`.
    #[default]
    Exponential,
    /// All are `delay`.
    Constant,
}

/// A readiness probe: exactly one of `http`, `tcp`, `grpc`, `exec` and `docker`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthProbe {
    /// Healthy when a GET answers 200–399, or what is expected of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// Healthy when the port accepts a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// Healthy when gRPC's health service (`grpc.health.v1.Health`) answers `SERVING`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
    /// Healthy when a command inside the container ends with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// Healthy when Docker's own health check says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerProbe>,
    /// Time between two probes of a ready container. One that is not ready is probed from every 25 ms, backing off.
    #[serde(default = "two_seconds")]
    pub interval: Duration,
    /// Time one probe may take.
    #[serde(default = "probe_timeout")]
    pub timeout: Duration,
    /// Successes in a row that make it ready.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: u32,
    /// Failures in a row that make it unready.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,
    /// How long after its start a container that has not been healthy yet may fail without being unhealthy. Absent: a
    /// minute, or the start period of the container's own Docker health check where that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// The Docker network on which the container is asked. Absent: one that this controller is on, too, else each of the
    /// container's networks, until one of them leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ContainerName>,
}

/// The start period where neither a spec nor a container names one.
pub const START_PERIOD: Duration = Duration::from_secs(60);

impl HealthProbe {
    /// A probe by HTTP with the usual intervals and thresholds.
    pub fn http(http: HttpProbe) -> Self {
        Self {
            http: Some(http),
            tcp: None,
            grpc: None,
            exec: None,
            docker: None,
            interval: two_seconds(),
            timeout: probe_timeout(),
            success_threshold: one(),
            failure_threshold: three(),
            start_period: None,
            network: None,
        }
    }
}

/// Names in `dependsOn`.
const MOST_DEPENDENCIES: usize = 32;

impl WorkloadSpec {
    /// How readiness is judged.
    pub fn probe(&self) -> Option<&HealthProbe> {
        self.health.as_ref()
    }
}

/// Probe by HTTP GET.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// Path and query.
    #[serde(default = "root_path")]
    pub path: AbsolutePath,
    /// Container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What the Host header says, for applications that check it. Absent: the container's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub host: Option<String>,
    /// Further headers, at most 16. They are stored and shown as they are: no place for a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub headers: BTreeMap<String, String>,
    /// `https` asks over TLS and does not verify the container's certificate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheme: Scheme,
    /// The status codes of a healthy container, such as `200-299` or `200,401`. Absent: 200–399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_status: Option<StatusCodes>,
    /// What the first 64 KiB of the body must contain, as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub expected_body: Option<String>,
}

impl HttpProbe {
    /// A plain probe of a path at a port.
    pub fn new(path: AbsolutePath, port: u16) -> Self {
        Self {
            path,
            port,
            host: None,
            headers: BTreeMap::new(),
            scheme: Scheme::default(),
            expected_status: None,
            expected_body: None,
        }
    }
}

/// How a container is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plainly.
    #[default]
    Http,
    /// Over TLS; the certificate is not verified.
    Https,
}

/// Probe by TCP connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpProbe {
    /// Container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// Probe by Docker's health state; it has no settings of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerProbe {}

/// Observed state of a workload; only its reconciler writes it, and the loop of autoscaling its part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Containers that exist and are not being removed.
    pub replicas: u32,
    /// Containers that pass their probe.
    pub ready_replicas: u32,
    /// Containers of the current revision.
    pub updated_replicas: u32,
    /// The current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// One row a container.
    pub instances: Vec<InstanceStatus>,
    /// Templates this workload has run, newest last, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// The change of all containers that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The revision of the template that was rolled back since it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedRevision>,
    /// What the spec desired each time that changed, newest last, at most twenty: a later reader sees from it
    /// who was restarted or scaled, also by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub demands: Vec<Demand>,
    /// How unhealthy containers were found right before `spec.restart` restarted them, newest last, at most three.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<Capture>,
    /// When `spec.restart` restarted unhealthy containers within the last hour, newest last, at most two hundred: they
    /// count against the actions of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub heals: Vec<Time>,
    /// What this workload needs, and what is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyStatus>,
    /// What `spec.autoscale` measures, wants and does; its own loop writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<AutoscaleStatus>,
    /// `Ready`, `Progressing`, `Degraded`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Something that a workload needs to be well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// Name of the Workload, container or Compose service.
    pub name: String,
    /// The Workload that it is, or that its container belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Its containers, where it is not named as a Workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// What is wrong with it; absent while it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// It only has to complete before the workload is started: it answers no request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completes: bool,
}

/// What a spec desired from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// The generation that asked.
    pub generation: i64,
    /// When it was first seen.
    pub at: Time,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.restartedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
}

/// What an unhealthy container looked like, kept before its restart took it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capture {
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Time>,
    /// Why the container was to be restarted.
    pub because: String,
    /// What was seen.
    pub container: ContainerEvidence,
    /// What could not be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// One container of a workload as last observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Container name.
    pub name: String,
    /// Container id, 64 hex characters.
    pub id: ContainerId,
    /// 0 for the adopted container, 1…N for replicas.
    pub index: u32,
    /// Address per network name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
    /// Its state, in Docker's word.
    pub state: ContainerState,
    /// What its probe says.
    pub health: Health,
    /// The revision it was made from.
    pub revision: RevisionId,
    /// It is on its way out (or about to restart): no LoadBalancer may send it new requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub draining: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<Time>,
    /// Why it is on its way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// Since when its probe passes without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Time>,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// How often this controller restarted it after a crash, since it was last healthy for ten minutes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// When that last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart_at: Option<Time>,
    /// Those that count against `restart.attempts`, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_restarts: Vec<Time>,
    /// The start of the run whose restart was counted before it was begun: one that is cut short counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_run: Option<Time>,
    /// Since when its probe fails without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_since: Option<Time>,
    /// What the last probe said, when it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When its probe first passed in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready_at: Option<Time>,
    /// Its probe fails, and its start period runs: it serves no client yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub starting: bool,
    /// How many runs in a row that ended by a restart of this controller were never healthy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fruitless_restarts: u32,
    /// A person, or a tool, stopped it: the end of the run that they stopped. It is left so until it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by_hand: Option<Time>,
    /// The `spec.restartedAt` that was set, or found, while it was paused: it is not restarted for that any more, also not
    /// once it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_restart: Option<Time>,
    /// Why it is not restarted, or cannot be started, and what helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_restart: Option<String>,
}

/// Why a container gets no more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Leaving {
    /// Fewer replicas are desired, or a stand-in has done its work.
    ScaleIn,
    /// It is of another revision, and one of the right revision takes its place.
    Rollout,
    /// It is about to restart.
    Restart,
    /// Its probe fails.
    Unhealthy,
}

impl Leaving {
    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleIn => "ScaleIn",
            Self::Rollout => "Rollout",
            Self::Restart => "Restart",
            Self::Unhealthy => "Unhealthy",
        }
    }
}

impl InstanceStatus {
    /// Whether its probe passes and has done so for as long as `min_healthy` asks.
    pub fn is_proven(&self, min_healthy: Duration, now: Time) -> bool {
        let since = self.ready_since.or(self.started_at);
        self.health == Health::Healthy
            && (min_healthy.std().is_zero() || since.is_some_and(|since| since.age(now) >= min_healthy.std()))
    }
}

/// A change of all containers: a new revision, a restart, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The revision that all replicas are to have.
    pub revision: RevisionId,
    /// The restart that all containers are to have seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// When it began.
    pub since: Time,
    /// When one more container was up to date and ready.
    pub progressed_at: Time,
    /// How many were then.
    pub ready: u32,
}

/// A revision that did not come to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedRevision {
    /// The revision.
    pub revision: RevisionId,
    /// What was wrong with it.
    pub reason: String,
    /// When it was rolled back.
    pub at: Time,
}

/// What a probe says of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Health {
    /// Not probed yet, or no address to probe.
    #[default]
    Unknown,
    /// Its probe passes: it is ready.
    Healthy,
    /// Its probe fails.
    Unhealthy,
}

/// One template the workload has run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Hash of the template (or of the adopted container's configuration).
    pub revision: RevisionId,
    /// The template; absent for an adopted container, whose configuration belongs to its creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ContainerTemplate>,
    /// The image it ran.
    pub image: String,
    /// When it was first seen.
    pub created_at: Time,
    /// Whether all replicas were once ready on it.
    #[serde(default)]
    pub was_ready: bool,
}

impl Fill for WorkloadSpec {
    fn fill(spec: &mut Value, defaults: &Defaults) {
        let Some(fields) = spec.as_object_mut() else {
            return;
        };
        let adopts = fields.get("container").and_then(Value::as_str);
        if let Some((container, probe)) = &defaults.probe
            && adopts == Some(container.as_str())
        {
            add(fields, "health", probe);
        }
        if let Some(health) = fields.get_mut("health").and_then(Value::as_object_mut) {
            add(health, "timeout", defaults.probe_timeout);
        }
    }
}

impl Rules for WorkloadSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        match (&self.container, &self.template) {
            (None, None) => out.push(FieldError::required(
                path,
                "set `container` (adopt a running container) or `template` (run containers)",
            )),
            (Some(_), Some(_)) => out.push(FieldError::forbidden(
                format!("{path}.template"),
                "`container` and `template` exclude each other: keep one",
            )),
            (Some(_), None) if self.replicas == 0 => out.push(FieldError::invalid(
                format!("{path}.replicas"),
                "0",
                "an adopted container counts as one replica: use 1 or more (or delete the Workload to let it go)",
            )),
            _ => {}
        }
        if let Some(template) = &self.template {
            template.rules(&format!("{path}.template"), out);
        }
        if let Some(health) = &self.health {
            health.rules(&format!("{path}.health"), out);
        }
        for (field, names) in [
            ("dependsOn", &self.depends_on),
            ("optionalDependencies", &self.optional_dependencies),
        ] {
            if names.len() > MOST_DEPENDENCIES {
                out.push(FieldError::invalid(
                    format!("{path}.{field}"),
                    names.len().to_string(),
                    format!("must have at most {MOST_DEPENDENCIES} names"),
                ));
            }
        }
        if self.strategy.max_surge == 0 && self.strategy.max_unavailable == 0 {
            out.push(FieldError::invalid(
                format!("{path}.strategy.maxUnavailable"),
                "0",
                "maxSurge and maxUnavailable cannot both be 0: nothing could ever be replaced",
            ));
        }
        if let Some(autoscale) = &self.autoscale {
            autoscale.rules(&format!("{path}.autoscale"), out);
        }
    }
}

impl Rules for ContainerTemplate {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        value_source::rules(self, path, out);
        for key in self.labels.keys().filter(|key| key.starts_with("io.aegisops.")) {
            out.push(FieldError::forbidden(
                format!("{path}.labels"),
                format!("label {key:?}: labels under io.aegisops. belong to the controller"),
            ));
        }
        for (index, volume) in self.volumes.iter().enumerate() {
            if volume.source.starts_with('.') || volume.source.contains(':') {
                out.push(FieldError::invalid(
                    format!("{path}.volumes[{index}].source"),
                    &volume.source,
                    "use a volume's name or an absolute path, without ':'",
                ));
            }
        }
    }
}

impl Rules for HealthProbe {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let chosen = [
            self.http.is_some(),
            self.tcp.is_some(),
            self.grpc.is_some(),
            self.exec.is_some(),
            self.docker.is_some(),
        ];
        if chosen.iter().filter(|set| **set).count() != 1 {
            out.push(FieldError::invalid(
                path,
                "",
                "set exactly one of `http`, `tcp`, `grpc`, `exec` and `docker`",
            ));
        }
        if self.network.is_some() && (self.exec.is_some() || self.docker.is_some()) {
            out.push(FieldError::forbidden(
                format!("{path}.network"),
                "a probe inside the container uses no network: remove it, or set `http`, `tcp` or `grpc`",
            ));
        }
        if let Some(exec) = &self.exec {
            exec.rules(&format!("{path}.exec"), out);
        }
        if let Some(http) = &self.http {
            http.rules(&format!("{path}.http"), out);
        }
        if self.interval.std().as_millis() < 100 {
            out.push(FieldError::invalid(
                format!("{path}.interval"),
                self.interval,
                "use 100ms or more",
            ));
        }
        if self.timeout.std().is_zero() {
            out.push(FieldError::invalid(
                format!("{path}.timeout"),
                self.timeout,
                "use 1ms or more",
            ));
        }
        // While a probe hangs, or is not due, its last verdict holds.
        for (field, value, most) in [
            ("interval", self.interval, LONGEST_INTERVAL),
            ("timeout", self.timeout, LONGEST_TIMEOUT),
        ] {
            if value > most {
                out.push(FieldError::invalid(
                    format!("{path}.{field}"),
                    value,
                    format!("use {most} or less"),
                ));
            }
        }
    }
}

/// The longest pause between two probes, and the longest that one may take.
const LONGEST_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Most headers of a probe.
const MOST_HEADERS: usize = 16;

impl Rules for HttpProbe {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(host) = self
            .host
            .as_ref()
            .filter(|host| !visible(host) || host.contains('/'))
        {
            out.push(FieldError::invalid(
                format!("{path}.host"),
                host,
                "use a host name as the Host header spells it, such as shop.example.test or shop.example.test:8080",
            ));
        }
        if self.headers.len() > MOST_HEADERS {
            out.push(FieldError::invalid(
                format!("{path}.headers"),
                self.headers.len().to_string(),
                format!("must have at most {MOST_HEADERS} headers"),
            ));
        }
        for (name, value) in &self.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
                out.push(FieldError::invalid(
                    format!("{path}.headers"),
                    name,
                    "a header's name has letters, digits and dashes",
                ));
            } else if name.eq_ignore_ascii_case("host") {
                out.push(FieldError::forbidden(
                    format!("{path}.headers"),
                    "the Host header has a field of its own: set `host`",
                ));
            } else if ["connection", "content-length", "transfer-encoding", "upgrade"]
                .iter()
                .any(|reserved| name.eq_ignore_ascii_case(reserved))
            {
                out.push(FieldError::forbidden(
                    format!("{path}.headers"),
                    format!("header {name:?} belongs to the connection, not to the request"),
                ));
            }
            if value.len() > 1024 || value.chars().any(char::is_control) || !value.is_ascii() {
                out.push(FieldError::invalid(
                    format!("{path}.headers"),
                    name,
                    "a header's value has at most 1024 ASCII characters and no control characters",
                ));
            }
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn one() -> u32 {
    1
}
fn three() -> u32 {
    3
}
fn root_path() -> AbsolutePath {
    #[expect(
        clippy::expect_used,
        reason = "\"/\" is an absolute path; a test constructs it"
    )]
    "/".parse().expect("\"/\" is an absolute path")
}
const fn no_time() -> Duration {
    Duration::from_millis(0)
}
const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}
fn probe_timeout() -> Duration {
    Defaults::default().probe_timeout
}
const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}
const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
const fn one_hour() -> Duration {
    Duration::from_secs(3600)
}
const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}
