//! One container of the fake engine: its configuration, its run, and how both look from outside. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::observed::{
    ContainerDetails, ContainerState, ContainerSummary, DockerHealth, LogLine, PublishedPort, host_address,
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::behaviour::{Ailment, Behaviour, Cure, Symptom};
use super::nginx::Nginx;
use super::replay::Replayed;

/// Docker's health check needs some failures before it says so.
const HEALTH_CHECK_NOTICES_AFTER: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) settings: Value,
    pub(super) address: Option<IpAddr>,
    pub(super) last: Option<IpAddr>,
    /// The network that it belongs to since it was first used.
    pub(super) network_id: Option<String>,
}

pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) config: Value,
    pub(super) host_config: Value,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) created: Time,
    pub(super) bystander: bool,

    pub(super) state: ContainerState,
    /// Counts starts; what was planned for an earlier run does not concern a later one.
    pub(super) run: u64,
    pub(super) started: Option<(Instant, Time)>,
    pub(super) finished: Option<Time>,
    pub(super) exit_code: i64,
    pub(super) oom_killed: bool,
    pub(super) restart_count: u64,
    pub(super) pid: i64,
    /// The container with whose first process those of this run end.
    pub(super) process_namespace: String,
    /// Its host ports lead to it no more.
    pub(super) unpublished: bool,
    /// SIGTERM was sent: it takes no new connections.
    pub(super) stopping: bool,
    /// Ended on request: Docker's restart policy keeps its hands off.
    pub(super) ended_on_request: bool,

    pub(super) behaviour: Behaviour,
    /// It is replayed from a recording, and looks like this.
    pub(super) replayed: Option<Replayed>,
    pub(super) ailment: Option<(Ailment, Option<Instant>)>,
    pub(super) reported_health: Option<&'static str>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) nginx: Option<Nginx>,
    pub(super) logs: Vec<(Time, LogLine)>,
    /// The engine does one thing at a time to a container.
    pub(super) busy: Arc<tokio::sync::Mutex<()>>,
}

/// What meets a connection to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serving {
    Refuses,
    Hangs,
    Answers(u16),
}

impl Container {
    pub(super) fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }

    /// It has a process, frozen or not.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }

    pub(super) fn host(&self, key: &str) -> &str {
        self.host_config
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// It shares no other container's network, nor the host's.
    pub(super) fn has_own_network(&self) -> bool {
        let mode = self.host("NetworkMode");
        !matches!(mode, "host" | "none") && !mode.starts_with("container:")
    }

    /// Started with `--rm`.
    pub(super) fn auto_remove(&self) -> bool {
        let flag = self.host_config.get("AutoRemove").and_then(Value::as_bool);
        flag.unwrap_or_default()
    }

    /// The exit code after the engine has asked it to end.
    pub(super) fn stopped_with(&self) -> i64 {
        let kills = self.config.get("StopSignal").and_then(Value::as_str) == Some("SIGKILL");
        if kills { 137 } else { 0 }
    }

    /// Ports of the host that it is to have.
    pub(super) fn wanted_ports(&self) -> Vec<PublishedPort> {
        let bindings = self.host_config.get("PortBindings").and_then(Value::as_object);
        let bindings = bindings.into_iter().flatten().flat_map(|(port, bindings)| {
            let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol);
            let bindings = bindings.as_array().into_iter().flatten();
            bindings.filter_map(move |binding| {
                let word = |key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default();
                Some(PublishedPort {
                    address: host_address(word("HostIp")),
                    port: word("HostPort").parse().ok()?,
                    protocol: protocol.to_owned(),
                })
            })
        });
        bindings.collect()
    }

    /// Files and folders of the host that must be there when it starts: devices, and bind mounts whose source the engine
    /// does not make.
    pub(super) fn mounted_paths(&self) -> Vec<&str> {
        let rows = |key: &str| {
            let rows = self.host_config.get(key).and_then(Value::as_array);
            rows.into_iter().flatten()
        };
        let binds = rows("Mounts").filter(|mount| {
            let made = mount.pointer("/BindOptions/CreateMountpoint");
            mount.get("Type").and_then(Value::as_str) == Some("bind")
                && made.and_then(Value::as_bool) != Some(true)
        });
        let sources = binds.filter_map(|mount| mount.get("Source"));
        let devices = rows("Devices").filter_map(|device| device.get("PathOnHost"));
        sources.chain(devices).filter_map(Value::as_str).collect()
    }

    /// Ports of the host that it has.
    pub(super) fn published(&self) -> Vec<PublishedPort> {
        if self.is_up() && !self.unpublished {
            self.wanted_ports()
        } else {
            Vec::new()
        }
    }

    pub(super) fn stop_timeout(&self) -> Duration {
        Duration::from_secs(
            self.config
                .get("StopTimeout")
                .and_then(Value::as_u64)
                .unwrap_or(10),
        )
    }

    pub(super) fn restart_policy(&self) -> &str {
        self.host_config
            .pointer("/RestartPolicy/Name")
            .and_then(Value::as_str)
            .unwrap_or("no")
    }

    pub(super) fn memory_limit(&self) -> u64 {
        self.host_config
            .get("Memory")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }

    pub(super) fn pids_limit(&self) -> u64 {
        let limit = self.host_config.get("PidsLimit").and_then(Value::as_u64);
        limit.unwrap_or_default()
    }

    pub(super) fn has_healthcheck(&self) -> bool {
        let test = self.config.pointer("/Healthcheck/Test").and_then(Value::as_array);
        test.is_some_and(|test| {
            test.first()
                .and_then(Value::as_str)
                .is_some_and(|word| word != "NONE")
        })
    }

    /// The ailment it suffers from at `now`, and since when.
    pub(super) fn suffers(&self, now: Instant) -> Option<(&Ailment, Instant)> {
        let (ailment, since) = self.ailment.as_ref()?;
        let since = (*since)?;
        match ailment.cure {
            Cure::After(span) if now >= since + span => None,
            _ => Some((ailment, since)),
        }
    }

    pub(super) fn up_since(&self, now: Instant) -> Option<Duration> {
        let (started, _) = self.started.filter(|_| self.is_running())?;
        Some(now.saturating_duration_since(started))
    }

    pub(super) fn serving(&self, now: Instant) -> Serving {
        if self.state == ContainerState::Paused {
            // The kernel accepts connections that no process answers.
            return Serving::Hangs;
        }
        let Some(up) = self.up_since(now).filter(|_| !self.stopping) else {
            return Serving::Refuses;
        };
        if let Some(replayed) = &self.replayed {
            return match replayed.answers {
                true => Serving::Answers(200),
                false => Serving::Hangs,
            };
        }
        if up < self.behaviour.startup {
            return Serving::Refuses;
        }
        match self.suffers(now).map(|(ailment, _)| ailment.symptom) {
            Some(Symptom::Unhealthy) => Serving::Answers(503),
            Some(Symptom::Hung) => Serving::Hangs,
            Some(Symptom::Refusing) => Serving::Refuses,
            Some(Symptom::None) | None => Serving::Answers(200),
        }
    }

    pub(super) fn memory(&self, now: Instant) -> u64 {
        self.suffers(now)
            .and_then(|(ailment, _)| ailment.memory_bytes)
            .unwrap_or(self.behaviour.memory_bytes)
    }

    /// What Docker's health check says at `now`; `None` if it has none.
    pub(super) fn health(&self, now: Instant) -> Option<&'static str> {
        if let Some(replayed) = &self.replayed {
            return replayed.health;
        }
        if !self.has_healthcheck() {
            return None;
        }
        let Some(up) = self.up_since(now) else {
            return Some("unhealthy");
        };
        if up < self.behaviour.startup {
            return Some("starting");
        }
        if self.serving(now) == Serving::Answers(200) {
            return Some("healthy");
        }
        let ill_for = self
            .suffers(now)
            .map_or(up, |(_, since)| now.saturating_duration_since(since).min(up));
        let noticed = ill_for >= HEALTH_CHECK_NOTICES_AFTER;
        Some(if noticed {
            "unhealthy"
        } else {
            self.reported_health.unwrap_or("starting")
        })
    }

    /// When its health may next change without anybody doing anything.
    pub(super) fn next_health_change(&self, now: Instant) -> Option<Instant> {
        let (started, _) = self
            .started
            .filter(|_| self.is_running() && self.has_healthcheck())?;
        let mut candidates = vec![
            started + self.behaviour.startup,
            started + HEALTH_CHECK_NOTICES_AFTER,
        ];
        if let Some((ailment, Some(since))) = &self.ailment {
            candidates.push(*since + HEALTH_CHECK_NOTICES_AFTER);
            if let Cure::After(span) = ailment.cure {
                candidates.push(*since + span);
            }
        }
        candidates.into_iter().filter(|at| *at > now).min()
    }

    pub(super) fn addresses(&self) -> BTreeMap<String, Option<IpAddr>> {
        self.endpoints
            .iter()
            .map(|(name, endpoint)| (name.clone(), endpoint.address))
            .collect()
    }

    pub(super) fn summary(&self, now: Instant) -> ContainerSummary {
        let up = self.up_since(now).map(|up| match self.health(now) {
            Some(health) => format!("Up {} seconds ({health})", up.as_secs()),
            None => format!("Up {} seconds", up.as_secs()),
        });
        ContainerSummary {
            id: self.id.as_str().into(),
            name: self.name.clone(),
            image: self.image.clone(),
            state: self.state,
            status: up.unwrap_or_else(|| match self.state {
                ContainerState::Created => "Created".to_owned(),
                ContainerState::Paused => "Up 1 second (Paused)".to_owned(),
                _ => format!("Exited ({})", self.exit_code),
            }),
            labels: self.labels.clone(),
            networks: self.addresses(),
            created: self.created.0.as_second(),
            published: self.published(),
        }
    }

    pub(super) fn details(&self, now: Instant) -> ContainerDetails {
        let health = self.health(now).map(|status| DockerHealth {
            status: status.to_owned(),
            failing_streak: if status == "unhealthy" { 3 } else { 0 },
            log: Vec::new(),
        });
        let networks = self
            .endpoints
            .iter()
            .map(|(name, endpoint)| (name.clone(), self.endpoint_settings(endpoint)));
        ContainerDetails {
            id: self.id.as_str().into(),
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            state: self.state,
            pid: if self.is_up() { self.pid } else { 0 },
            exit_code: self.exit_code,
            oom_killed: self.oom_killed,
            error: String::new(),
            started_at: self.started.map(|(_, at)| at),
            finished_at: self.finished,
            created_at: Some(self.created),
            restart_count: self.restart_count,
            has_restart_policy: !matches!(self.restart_policy(), "" | "no"),
            health,
            labels: self.labels.clone(),
            networks: self.addresses(),
            memory_limit: self.memory_limit(),
            config: self.config.clone(),
            host_config: self.host_config.clone(),
            network_settings: Value::Object(networks.collect()),
            mounts: json!([]),
        }
    }

    /// As an inspection shows it: what was configured, and the engine's own record beside it.
    fn endpoint_settings(&self, endpoint: &Endpoint) -> Value {
        let mut settings = endpoint.settings.as_object().cloned().unwrap_or_else(Map::new);
        let address = endpoint
            .address
            .map(|address| address.to_string())
            .unwrap_or_default();
        settings.insert("IPAddress".to_owned(), Value::String(address));
        let network = endpoint.network_id.clone().unwrap_or_default();
        settings.insert("NetworkID".to_owned(), Value::String(network));
        let aliases = settings.entry("Aliases").or_insert(Value::Null);
        if !aliases.is_array() {
            *aliases = json!([]);
        }
        if let (Some(aliases), Some(short)) = (aliases.as_array_mut(), self.id.get(..12)) {
            aliases.push(Value::String(short.to_owned()));
        }
        Value::Object(settings)
    }
}
