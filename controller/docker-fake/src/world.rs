//! Everything the fake engine knows: containers, images, networks, and how they are found. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aegis_api::Time;
use aegis_api::create::CreateSpec;
use aegis_api::observed::{ContainerState, EngineEvent, ExecOutput};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::FakeOptions;
use super::behaviour::Behaviour;
use super::chaos::Chaos;
use super::container::{Container, Endpoint};
use super::effects::{Actor, Effect, Op};
use super::lifecycle::Timer;
use super::nginx::{LoadedConfig, Nginx};
use super::tenancy::Tenancy;
use aegis_docker::engine::{EngineError, EngineResult};

pub(super) struct Image {
    pub(super) id: String,
    /// A container has these unless it brings labels of these names itself.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) behaviour: Behaviour,
    pub(super) nginx: bool,
}

pub(super) struct World {
    pub(super) options: FakeOptions,
    pub(super) now: Time,
    pub(super) instant: Instant,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) images: BTreeMap<String, Image>,
    /// Network → its number and how many addresses were given out.
    pub(super) networks: BTreeMap<String, (u8, u16)>,
    /// Network → its id; one that is made again has another.
    pub(super) network_ids: BTreeMap<String, String>,
    /// Networks to which no route leads from where the code under test is.
    pub(super) hidden: BTreeSet<String>,
    /// Paths of the host that are not there.
    pub(super) missing_paths: BTreeSet<String>,
    /// (id of a container, path): files and folders in it that cannot be replaced.
    pub(super) fixed: BTreeSet<(String, String)>,
    /// Containers that the engine deletes since they ended.
    pub(super) doomed: Vec<String>,
    pub(super) effects: Vec<Effect>,
    pub(super) loads: Vec<LoadedConfig>,
    pub(super) tenancies: Vec<Tenancy>,
    /// (container, first word of the command) → answer.
    pub(super) exec_answers: BTreeMap<(String, String), ExecOutput>,
    /// Open sessions by their number: the container and its run.
    pub(super) sessions: BTreeMap<u64, (String, u64)>,
    /// How many sessions were ever opened.
    pub(super) opened: u64,
    pub(super) chaos: Chaos,
    pub(super) outbox: Vec<EngineEvent>,
    pub(super) timers: Vec<Timer>,
    made: u64,
    pub(super) next_pid: i64,
}

impl World {
    pub(super) fn new(options: &FakeOptions) -> Self {
        Self {
            options: options.clone(),
            now: options.epoch,
            instant: Instant::now(),
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            networks: [("bridge".to_owned(), (17, 1))].into_iter().collect(),
            network_ids: BTreeMap::new(),
            hidden: BTreeSet::new(),
            missing_paths: BTreeSet::new(),
            fixed: BTreeSet::new(),
            doomed: Vec::new(),
            effects: Vec::new(),
            loads: Vec::new(),
            tenancies: Vec::new(),
            exec_answers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            opened: 0,
            chaos: Chaos::default(),
            outbox: Vec::new(),
            timers: Vec::new(),
            made: 0,
            next_pid: 1000,
        }
    }

    /// 64 hex characters that no earlier call answered.
    pub(super) fn new_id(&mut self) -> String {
        self.made += 1;
        let digest = Sha256::digest(format!("{}/{}", self.options.seed, self.made));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id behind a full id or an exact name.
    pub(super) fn id_of(&self, id: &str) -> Option<String> {
        if self.containers.contains_key(id) {
            return Some(id.to_owned());
        }
        self.containers
            .values()
            .find(|container| container.name == id)
            .map(|container| container.id.clone())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Container> {
        self.containers
            .get(id)
            .or_else(|| self.containers.values().find(|container| container.name == id))
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Container> {
        let id = self.id_of(id)?;
        self.containers.get_mut(&id)
    }

    pub(super) fn found(&self, id: &str, operation: &str) -> EngineResult<&Container> {
        self.get(id).ok_or_else(|| no_such(id, operation))
    }

    pub(super) fn running(&self, id: &str, operation: &str) -> EngineResult<&Container> {
        let container = self.found(id, operation)?;
        if container.is_running() {
            return Ok(container);
        }
        let message = format!("container {} is not running", container.id);
        Err(EngineError::Conflict {
            operation: operation.to_owned(),
            message,
        })
    }

    /// Logs an effect on a container that exists.
    pub(super) fn log(&mut self, id: &str, actor: Actor, op: Op, detail: impl Into<String>) {
        if let Some(container) = self.get(id) {
            let effect = Effect::of(container, self.now, actor, op, detail.into());
            self.effects.push(effect);
        }
    }

    /// Sends an event of a container that exists.
    pub(super) fn emit(&mut self, id: &str, action: &str, attributes: &[(&str, String)]) {
        let Some(container) = self.get(id) else { return };
        let mut all = container.labels.clone();
        all.insert("name".to_owned(), container.name.clone());
        all.insert("image".to_owned(), container.image.clone());
        all.extend(
            attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        let event = EngineEvent {
            action: action.to_owned(),
            id: container.id.as_str().into(),
            name: container.name.clone(),
            attributes: all,
        };
        self.outbox.push(event);
    }

    pub(super) fn create(&mut self, spec: &CreateSpec, actor: Actor) -> EngineResult<String> {
        let operation = format!("create container {}", spec.name);
        let mut config = spec.body.as_object().cloned().unwrap_or_default();
        let mut host_config = config.remove("HostConfig").unwrap_or_else(|| json!({}));
        self.resolve_owners(&mut host_config, &operation)?;
        self.name_is_free(spec, &operation)?;
        let image = self.image_of(spec, &operation)?;
        let (image_id, behaviour, nginx) = (image.id.clone(), image.behaviour.clone(), image.nginx);
        let image_labels = image.labels.clone();
        self.networks_exist(spec, &operation)?;
        let endpoints = self.endpoints_of(spec);
        let id = self.new_id();
        let labels = complete(&mut config, &id, image_labels);
        let container = Container {
            id: id.clone(),
            name: spec.name.clone(),
            image: image_name(spec).to_owned(),
            image_id,
            labels,
            config: Value::Object(config),
            host_config,
            endpoints,
            created: self.now,
            bystander: false,
            state: ContainerState::Created,
            run: 0,
            started: None,
            finished: None,
            exit_code: 0,
            oom_killed: false,
            restart_count: 0,
            pid: 0,
            process_namespace: id.clone(),
            unpublished: false,
            stopping: false,
            ended_on_request: false,
            ailment: behaviour.ailment.clone().map(|ailment| (ailment, None)),
            behaviour,
            replayed: None,
            reported_health: None,
            files: if nginx {
                Nginx::image_files()
            } else {
                BTreeMap::new()
            },
            nginx: nginx.then(Nginx::default),
            logs: Vec::new(),
            busy: Arc::default(),
        };
        self.containers.insert(id.clone(), container);
        self.log(&id, actor, Op::Create, image_name(spec));
        self.emit(&id, "create", &[]);
        Ok(id)
    }

    fn name_is_free(&self, spec: &CreateSpec, operation: &str) -> EngineResult<()> {
        let Some(other) = self.get(&spec.name) else {
            return Ok(());
        };
        let message = format!(
            "the container name \"/{}\" is already in use by container {}",
            spec.name, other.id
        );
        Err(EngineError::Conflict {
            operation: operation.to_owned(),
            message,
        })
    }

    /// The first network is checked at the start, not when the container is created.
    fn networks_exist(&self, spec: &CreateSpec, operation: &str) -> EngineResult<()> {
        let mut joined = spec.extra_networks.keys();
        match joined.find(|name| !self.networks.contains_key(*name)) {
            Some(unknown) => Err(EngineError::NotFound {
                operation: operation.to_owned(),
                message: format!("network {unknown} not found"),
            }),
            None => Ok(()),
        }
    }

    fn image_of(&self, spec: &CreateSpec, operation: &str) -> EngineResult<&Image> {
        let image_name = image_name(spec);
        let wanted = spec.image_id.as_deref();
        let by_name = self
            .images
            .get(image_name)
            .filter(|image| wanted.is_none_or(|id| image.id == id));
        let image = by_name.or_else(|| {
            self.images
                .values()
                .find(|image| Some(image.id.as_str()) == wanted)
        });
        image.ok_or_else(|| EngineError::NotFound {
            operation: operation.to_owned(),
            message: format!("no such image: {image_name}"),
        })
    }

    fn endpoints_of(&self, spec: &CreateSpec) -> BTreeMap<String, Endpoint> {
        let mode = spec
            .body
            .pointer("/HostConfig/NetworkMode")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let configured = spec
            .body
            .pointer("/NetworkingConfig/EndpointsConfig")
            .and_then(Value::as_object);
        let mut settings: BTreeMap<String, Value> = configured
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        settings.extend(spec.extra_networks.clone());
        if settings.is_empty() && !matches!(mode, "host" | "none") && !mode.starts_with("container:") {
            let name = if matches!(mode, "" | "default") {
                "bridge"
            } else {
                mode
            };
            settings.insert(name.to_owned(), Value::Object(Map::new()));
        }
        settings
            .into_iter()
            .map(|(name, settings)| {
                (
                    name,
                    Endpoint {
                        settings,
                        ..Endpoint::default()
                    },
                )
            })
            .collect()
    }

    /// The address of a container on a network: its last one, if that is still free and addresses do not change.
    pub(super) fn new_address(&mut self, network: &str, last: Option<IpAddr>) -> Option<IpAddr> {
        if self.options.addresses_reused {
            let (number, _) = *self.networks.get(network)?;
            let mut all = (2..=u16::MAX).map(|host| address_of(number, host));
            return all.find(|address| self.at_address(*address).is_none());
        }
        if !self.options.addresses_change
            && let Some(last) = last
            && self.at_address(last).is_none()
        {
            return Some(last);
        }
        loop {
            let (number, given) = self.networks.get_mut(network)?;
            *given = given.checked_add(1)?;
            let address = address_of(*number, *given);
            if self.at_address(address).is_none() {
                return Some(address);
            }
        }
    }

    pub(super) fn at_address(&self, address: IpAddr) -> Option<&Container> {
        let has = |container: &&Container| {
            container
                .endpoints
                .values()
                .any(|endpoint| endpoint.address == Some(address))
        };
        self.containers.values().find(has)
    }

    /// What answers at an address from where the code under test is: also a container on the host's network.
    pub(super) fn reachable(&self, address: IpAddr, port: u16) -> Option<&Container> {
        if address.is_loopback() {
            let listens = |container: &&Container| {
                let ports = &container.behaviour.ports;
                let on_host = container.is_up() && container.host("NetworkMode") == "host";
                on_host && (ports.is_empty() || ports.contains(&port))
            };
            return self.containers.values().find(listens);
        }
        let container = self.at_address(address)?;
        let mut endpoints = container.endpoints.iter();
        let hidden = endpoints
            .any(|(network, endpoint)| endpoint.address == Some(address) && self.hidden.contains(network));
        (!hidden).then_some(container)
    }

    pub(super) fn add_network(&mut self, name: &str) {
        let taken = |number: &u8| self.networks.values().any(|(taken, _)| taken == number);
        let number = (17..u8::MAX).find(|number| !taken(number)).unwrap_or(u8::MAX);
        self.networks.entry(name.to_owned()).or_insert((number, 1));
        if !self.network_ids.contains_key(name) {
            let id = self.new_id();
            self.network_ids.insert(name.to_owned(), id);
        }
    }

    /// What the engine deletes by itself goes now, after every event that its end caused.
    pub(super) fn sweep(&mut self) {
        for id in std::mem::take(&mut self.doomed) {
            self.forget(&id, Actor::Engine);
        }
    }
}

/// Gives a container's configuration what the engine adds to it, and answers all of its labels.
fn complete(
    config: &mut Map<String, Value>,
    id: &str,
    image_labels: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    config.remove("NetworkingConfig");
    let short = id.get(..12).unwrap_or_default();
    config
        .entry("Hostname")
        .or_insert_with(|| Value::String(short.to_owned()));
    let own = config
        .get("Labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let own = own.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    let labels: BTreeMap<String, String> = image_labels.into_iter().chain(own).collect();
    config.insert("Labels".to_owned(), json!(labels));
    labels
}

fn image_name(spec: &CreateSpec) -> &str {
    spec.body.get("Image").and_then(Value::as_str).unwrap_or_default()
}

/// `172.<network>.<host>`.
fn address_of(network: u8, host: u16) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(172, network, high, low))
}

pub(super) fn no_such(id: &str, operation: &str) -> EngineError {
    EngineError::NotFound {
        operation: operation.to_owned(),
        message: format!("no such container: {id}"),
    }
}
