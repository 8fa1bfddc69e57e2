//! What a person asks `docker run` or Compose for, as far as the fake engine understands it. Pure.

use std::collections::BTreeMap;

use aegis_api::create::CreateSpec;
use serde_json::{Map, Value, json};

use super::behaviour::Behaviour;

/// A container as `docker run` or Compose makes one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSpec {
    pub(super) name: String,
    pub(super) image: String,
    labels: BTreeMap<String, String>,
    env: Vec<String>,
    pub(super) networks: Vec<(String, Vec<String>)>,
    memory_limit: Option<u64>,
    published: BTreeMap<u16, u16>,
    restart_policy: Option<String>,
    stop_timeout: Option<u64>,
    healthcheck: bool,
    pub(super) nginx: bool,
    pub(super) created_only: bool,
    auto_remove: bool,
    /// `NetworkMode`, `PidMode` or `IpcMode` → the container it shares that with.
    shares: BTreeMap<String, String>,
    stop_signal: Option<String>,
    mounts: Vec<String>,
    pub(super) behaviour: Option<Behaviour>,
}

impl RunSpec {
    /// A container of this name and image on the network `bridge`.
    pub fn new(name: &str, image: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            ..Self::default()
        }
    }

    /// A load balancer: its first process is an nginx with the configuration of this project's image. It serves what is
    /// included below `/etc/nginx/conf.d`.
    pub fn nginx(name: &str) -> Self {
        Self {
            nginx: true,
            ..Self::new(name, "aegisops/nginx:dev")
        }
    }

    /// On this network, too (instead of `bridge`).
    pub fn network(self, network: &str) -> Self {
        self.network_as(network, &[])
    }

    /// On this network under further names.
    pub fn network_as(mut self, network: &str, aliases: &[&str]) -> Self {
        self.networks.push((
            network.to_owned(),
            aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ));
        self
    }

    /// With a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With an environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push(format!("{key}={value}"));
        self
    }

    /// With a memory limit in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Publishing a container port on the host.
    pub fn publish(mut self, host: u16, container: u16) -> Self {
        self.published.insert(container, host);
        self
    }

    /// With Docker's restart policy (`always`, `unless-stopped`, `on-failure`).
    pub fn restart_policy(mut self, policy: &str) -> Self {
        self.restart_policy = Some(policy.to_owned());
        self
    }

    /// With a grace period, seconds.
    pub fn stop_timeout(mut self, seconds: u64) -> Self {
        self.stop_timeout = Some(seconds);
        self
    }

    /// With a health check of Docker's.
    pub fn healthcheck(mut self) -> Self {
        self.healthcheck = true;
        self
    }

    /// Behaving like this (its clones behave as the image does).
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = Some(behaviour);
        self
    }

    /// Deleted when it ends (`--rm`).
    pub fn auto_remove(mut self) -> Self {
        self.auto_remove = true;
        self
    }

    /// In a namespace of another container: `NetworkMode`, `PidMode` or `IpcMode`.
    pub fn shares(mut self, key: &str, container: &str) -> Self {
        self.shares
            .insert(key.to_owned(), format!("container:{container}"));
        self
    }

    /// Stopped with this signal.
    pub fn stop_signal(mut self, signal: &str) -> Self {
        self.stop_signal = Some(signal.to_owned());
        self
    }

    /// With a bind mount of this path of the host, which must be there (`--mount`).
    pub fn mount(mut self, source: &str) -> Self {
        self.mounts.push(source.to_owned());
        self
    }

    /// Created, and not started.
    pub fn created_only(mut self) -> Self {
        self.created_only = true;
        self
    }

    pub(super) fn create_spec(&self) -> CreateSpec {
        let ports: Map<String, Value> = self
            .published
            .keys()
            .map(|port| (format!("{port}/tcp"), json!({})))
            .collect();
        let bindings = self.published.iter().map(|(port, host)| {
            (
                format!("{port}/tcp"),
                json!([{ "HostIp": "127.0.0.1", "HostPort": host.to_string() }]),
            )
        });
        let mut body = json!({
            "Image": self.image, "Env": self.env, "Labels": self.labels, "ExposedPorts": ports,
            "HostConfig": {
                "NetworkMode": self.networks.first().map_or("default", |(name, _)| name),
                "Memory": self.memory_limit.unwrap_or(0),
                "PortBindings": bindings.collect::<Map<_, _>>(),
                "RestartPolicy": { "Name": self.restart_policy.as_deref().unwrap_or("no") },
            },
        });
        if let Some(host) = body.get_mut("HostConfig").and_then(Value::as_object_mut) {
            host.insert("AutoRemove".to_owned(), json!(self.auto_remove));
            host.extend(self.shares.iter().map(|(key, mode)| (key.clone(), json!(mode))));
            if !self.mounts.is_empty() {
                let mounts = self.mounts.iter();
                let bind = |source| json!({ "Type": "bind", "Source": source, "Target": source });
                host.insert("Mounts".to_owned(), mounts.map(bind).collect());
            }
        }
        if let Some(body) = body.as_object_mut() {
            if let Some(signal) = &self.stop_signal {
                body.insert("StopSignal".to_owned(), json!(signal));
            }
            if self.healthcheck {
                body.insert("Healthcheck".to_owned(), json!({ "Test": ["CMD", "/check"] }));
            }
            if let Some(seconds) = self.stop_timeout {
                body.insert("StopTimeout".to_owned(), json!(seconds));
            }
        }
        let endpoints = self
            .networks
            .iter()
            .map(|(name, aliases)| (name.clone(), json!({ "Aliases": aliases })));
        CreateSpec {
            name: self.name.clone(),
            body,
            extra_networks: endpoints.collect(),
            image_id: None,
        }
    }
}
