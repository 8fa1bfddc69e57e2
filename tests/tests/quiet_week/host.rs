//! Who lives on the simulated host, and what people apply. Pure.

use aegis_api::API_VERSION;
use aegis_docker_fake::RunSpec;
use serde_json::{Value, json};

pub(crate) const NETWORK: &str = "aegis-network";
/// The limit of the recorded ones, bytes.
pub(crate) const MEMORY: u64 = 128 << 20;

/// How a container that is well looks between the scenes: the name of its recording in the scene `idle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    App,
    Deaf,
    Jvm,
    Cache,
    Nginx,
}

impl Kind {
    pub(crate) fn recorded(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Deaf => "deaf",
            Self::Jvm => "jvm",
            Self::Cache => "cache",
            Self::Nginx => "nginx",
        }
    }
}

/// A container that a workload of the same name adopts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    policy: &'static str,
    health: Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Http,
    Docker,
    None,
}

/// All of them.
pub(crate) const CAST: [Part; 6] = [
    part("shop", Kind::App, "unless-stopped", Health::Http),
    part("cart", Kind::App, "no", Health::Docker),
    part("legacy", Kind::Deaf, "unless-stopped", Health::None),
    part("billing", Kind::Jvm, "always", Health::None),
    part("cache", Kind::Cache, "unless-stopped", Health::None),
    part("proxy", Kind::Nginx, "unless-stopped", Health::None),
];

/// A workload whose replicas this controller makes.
pub(crate) const MADE: &str = "api";

const fn part(name: &'static str, kind: Kind, policy: &'static str, health: Health) -> Part {
    Part {
        name,
        kind,
        policy,
        health,
    }
}

impl Part {
    /// As its maker runs it.
    pub(crate) fn container(&self) -> RunSpec {
        let spec = RunSpec::new(self.name, "app:1")
            .network(NETWORK)
            .memory(MEMORY)
            .restart_policy(self.policy);
        if self.kind == Kind::App {
            spec.healthcheck()
        } else {
            spec
        }
    }

    fn workload(&self) -> Value {
        let mut spec = json!({"container": self.name, "replicas": 1});
        match self.health {
            Health::Http => {
                spec["health"] = json!({"http": {"path": "/health", "port": 8000}, "interval": "10s"});
            }
            Health::Docker => spec["health"] = json!({"docker": {}, "interval": "10s"}),
            Health::None => {}
        }
        object("Workload", self.name, &spec)
    }
}

/// A container that comes into being in a scene.
pub(crate) fn newcomer(name: &str, healthcheck: bool, policy: &str, auto_remove: bool) -> RunSpec {
    let spec = RunSpec::new(name, "app:1")
        .network(NETWORK)
        .memory(MEMORY)
        .restart_policy(policy)
        .created_only();
    let spec = if healthcheck { spec.healthcheck() } else { spec };
    if auto_remove { spec.auto_remove() } else { spec }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// What people have applied.
pub(crate) fn manifests() -> Vec<Value> {
    let made = json!({
        "replicas": 2,
        "template": {"image": "app:1", "networks": [NETWORK], "resources": {"memoryMb": 128}},
        "health": {"http": {"path": "/health", "port": 8000}, "interval": "10s"},
    });
    let mut all: Vec<Value> = CAST.iter().map(Part::workload).collect();
    all.push(object("Workload", MADE, &made));
    all
}
