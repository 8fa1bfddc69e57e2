//! The simulated host before anything happens: containers, bystanders, and the manifests that people apply. No state of
//! its own beyond the engine and the state directory.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aegis_api::meta::{LABEL_INSTANCE, LABEL_REPLICA, LABEL_WORKLOAD};
use aegis_api::{API_VERSION, ContainerId};
use aegis_docker_fake::{Ailment, Behaviour, Cure, FakeEngine, FakeOptions, RunSpec, Symptom};
use serde_json::{Value, json};

use super::acts::TRUSTED;
use super::ledger::Ledger;
use super::scenario::{Load, Policy, Probe, Scenario, Service};

pub(crate) const NETWORK: &str = "aegis-network";
pub(crate) const BALANCER: &str = "lb";
pub(crate) const PORT: u16 = 8000;
pub(crate) const MEMORY: u64 = 256 * 1024 * 1024;
/// Virtual time begins at noon of a Monday.
pub(crate) const EPOCH: &str = "2030-01-07T12:00:00Z";
/// Until when a frozen policy holds still.
const THAW: &str = "12:02";

/// The host, the state directory, and the record of what happens.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) engine: FakeEngine,
    pub(crate) ledger: Ledger,
    pub(crate) state: tempfile::TempDir,
    pub(crate) templates: PathBuf,
    incurable: Mutex<BTreeSet<ContainerId>>,
    stopped: Mutex<BTreeSet<String>>,
}

impl World {
    /// Must be called inside the run's runtime: the engine's time begins here.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let engine = FakeEngine::new(FakeOptions {
            epoch: EPOCH.parse().expect("a time"),
            seed: scenario.dice,
            addresses_change: scenario.addresses_change,
            addresses_reused: scenario.addresses_reused,
            shells: scenario.dice.is_multiple_of(2),
            ..FakeOptions::default()
        });
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let world = Self {
            scenario: scenario.clone(),
            ledger: Ledger::new(engine.clone()),
            engine,
            state: tempfile::Builder::new()
                .prefix("aegis-sim-")
                .tempdir_in(folder)
                .expect("a folder for the state"),
            templates: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-templates")),
            incurable: Mutex::default(),
            stopped: Mutex::default(),
        };
        world.populate();
        world
    }

    fn populate(&self) {
        let engine = &self.engine;
        let well = Behaviour {
            startup: Duration::from_millis(150),
            ..Behaviour::default()
        };
        let sick = Behaviour {
            ailment: Some(Ailment::new(Symptom::Unhealthy, Cure::Never)),
            ..well.clone()
        };
        engine.add_network(NETWORK);
        engine.add_image("app:1", well.clone());
        engine.add_image("app:2", well);
        engine.add_image("app:sick", sick);
        engine
            .run_container(&balancer())
            .expect("an engine without faults");
        for service in self.scenario.services.iter().filter(|service| service.adopted) {
            engine
                .run_container(&adopted(service))
                .expect("an engine without faults");
        }
        for name in [
            "shop-replica-9",
            "cart-replica-1",
            "mail-replica-1",
            "shop-old",
            "shop2",
        ] {
            engine.create_bystander(name).expect("an engine without faults");
        }
        let forged = RunSpec::new("another-replica", "app:1")
            .network(NETWORK)
            .label(LABEL_WORKLOAD, "shop")
            .label(LABEL_REPLICA, "1")
            .label(LABEL_INSTANCE, "another-controller");
        engine.run_container(&forged).expect("an engine without faults");
    }

    /// Notes that nothing makes this container well again.
    pub(crate) fn give_up(&self, container: &str) {
        if let Some(found) = self.engine.inspect_now(container) {
            self.incurable
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(found.id);
        }
    }

    /// Ids of containers that nothing makes well again.
    /// A person stops this container.
    pub(crate) fn note_stop(&self, name: &str) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.insert(name.to_owned());
    }

    /// Whether a person once stopped it.
    pub(crate) fn was_stopped(&self, name: &str) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.contains(name)
    }

    pub(crate) fn incurable(&self) -> BTreeSet<ContainerId> {
        self.incurable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What people apply before anything else.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        let load = self.scenario.load.as_ref();
        let services = self
            .scenario
            .services
            .iter()
            .map(|service| workload(service, load));
        let mut manifests = vec![
            policy(&self.scenario.policy),
            load_balancer(&self.scenario.services),
        ];
        manifests.extend(services);
        manifests
    }
}

/// The nginx container.
pub(crate) fn balancer() -> RunSpec {
    RunSpec::nginx(BALANCER).network(NETWORK)
}

/// The container that a workload adopts, as its maker makes it.
pub(crate) fn adopted(service: &Service) -> RunSpec {
    // No two containers publish the same port of the host.
    let published = match service.name {
        "shop" => 8000,
        "cart" => 8001,
        _ => 8002,
    };
    let mut spec = RunSpec::new(service.name, "app:1")
        .network_as(NETWORK, &["app"])
        .memory(MEMORY)
        .stop_timeout(2)
        .publish(published, PORT);
    if service.docker_restarts {
        spec = spec.restart_policy("unless-stopped");
    }
    if service.probe == Probe::Docker {
        spec = spec.healthcheck();
    }
    spec
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Requests a second that each replica of a workload is to have.
pub(crate) const EACH: u32 = 10;

pub(crate) fn workload(service: &Service, load: Option<&Load>) -> Value {
    let mut spec = json!({
        "replicas": service.replicas,
        "strategy": {
            "type": if service.in_place { "InPlace" } else { "RollingUpdate" },
            "maxUnavailable": service.max_unavailable,
            // Nothing could ever be replaced with both at zero.
            "maxSurge": if service.max_unavailable == 0 { service.max_surge.max(1) } else { service.max_surge },
            "progressDeadline": "20s",
            "minHealthy": format!("{}s", service.min_healthy),
        },
    });
    if service.adopted {
        spec["container"] = json!(service.name);
    } else {
        spec["template"] = json!({
            "image": "app:1", "networks": [NETWORK], "resources": {"memoryMb": 256}, "stopGracePeriod": "2s",
        });
        if service.probe == Probe::Docker {
            spec["template"]["healthcheck"] = json!({"command": ["/check"]});
        }
    }
    let settings = json!({"interval": "1s", "timeout": "500ms", "failureThreshold": 2});
    let question = match service.probe {
        Probe::Http => Some(("http", json!({"path": "/health", "port": PORT}))),
        Probe::Tcp => Some(("tcp", json!({"port": PORT}))),
        Probe::Docker => Some(("docker", json!({}))),
        Probe::None => None,
    };
    if let Some((kind, question)) = question {
        spec["health"] = settings;
        spec["health"][kind] = question;
    }
    if let Some(load) = load.filter(|_| service.balanced) {
        spec["autoscale"] = json!({
            "min": 1, "max": 5, "metricWindow": "6s", "scaleDownWindow": format!("{}s", load.window), "holdAfterManual": "20s",
            "targets": [{"metric": "RequestsPerSecond", "value": EACH}],
        });
    }
    let mut workload = object("Workload", service.name, &spec);
    if service.protected {
        workload["metadata"]["annotations"] = json!({"aegisops.io/protected": "true"});
    }
    workload
}

fn load_balancer(services: &[Service]) -> Value {
    let backends: Vec<Value> = services
        .iter()
        .filter(|service| service.balanced)
        .map(|service| json!({"workload": service.name, "port": PORT, "upstream": service.name}))
        .collect();
    let spec = json!({"container": BALANCER, "backends": backends, "drainTimeout": "1s"});
    object("LoadBalancer", BALANCER, &spec)
}

fn policy(policy: &Policy) -> Value {
    let mut spec = json!({
        "mode": policy.mode,
        "cooldown": format!("{}s", policy.cooldown),
        "actionsPerHour": policy.budget,
        "council": {"quorum": policy.quorum},
        "fallback": policy.fallback,
        "verification": {
            "successes": policy.successes,
            "soak": format!("{}s", policy.soak),
            "deadline": format!("{}s", policy.deadline),
        },
    });
    if let Some(max) = policy.max_replicas {
        spec["replicas"] = json!({"max": max});
    }
    if policy.trusts {
        let trusted = json!({"source": "webhook", "alertType": TRUSTED, "actions": ["RESTART", "SCALE_UP"]});
        spec["trustedAlerts"] = json!([trusted]);
    }
    if policy.frozen {
        spec["freezeWindows"] = json!([{"start": "11:00", "end": THAW, "reason": "simulated"}]);
    }
    object("RemediationPolicy", "all", &spec)
}

/// An incident as the webhook makes one.
pub(crate) fn incident(number: usize, service: &str, container: Option<&str>, alert: &str) -> Value {
    let mut spec = json!({
        "alertType": alert, "severity": "critical", "logs": format!("alert {alert} for {service}"),
        "source": {"kind": "webhook", "incidentId": format!("INC-{number}")},
    });
    match container {
        Some(container) => spec["containerName"] = json!(container),
        None => spec["workloadRef"] = json!(service),
    }
    object("Incident", &format!("inc-{number:02}"), &spec)
}
