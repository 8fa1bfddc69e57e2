//! What the configuration of a container needs to be there when it starts. Pure: reads the engine's own JSON, in which
//! any field may be absent or odd.

use std::net::IpAddr;

use aegis_api::ContainerId;
use aegis_api::observed::{ContainerDetails, ContainerState, HostQuery, PublishedPort, host_address};
use serde_json::Value;

use super::host;

/// Ids are shown as `docker ps` shows them.
const SHORT: usize = 12;
/// More paths than that are not looked for.
const MOST_PATHS: usize = 64;
/// Networks that every engine has. A container refers to them by their names.
const BUILT_IN: [&str; 4] = ["bridge", "default", "host", "none"];
/// Runtimes that every engine has.
const BUILT_IN_RUNTIMES: [&str; 4] = [
    "",
    "runc",
    "io.containerd.runc.v2",
    "io.containerd.runtime.v1.linux",
];

/// A namespace that can be another container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Network,
    Process,
    Ipc,
}

impl Namespace {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Process => "process namespace",
            Self::Ipc => "IPC namespace",
        }
    }
}

/// The facts of the host to query before a container is stopped (one that runs) or started.
pub fn host_query(container: &ContainerDetails) -> HostQuery {
    let running = matches!(container.state, ContainerState::Running | ContainerState::Paused);
    let (sources, devices) = paths(container);
    let paths = sources.iter().chain(&devices).take(MOST_PATHS);
    HostQuery {
        containers: !(namespaces(container).is_empty()
            && published(container).is_empty()
            && fixed_addresses(container).is_empty()
            && links(container).is_empty()),
        // The engine removes no network that a running container is attached to.
        networks: !running && !networks(container).is_empty(),
        runtimes: runtime(container).is_some(),
        paths: paths.map(|path| (*path).to_owned()).collect(),
        witness: match running {
            true => (container.pid, container.id.clone()),
            false => (0, ContainerId::default()),
        },
        image: None,
    }
}

pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

fn words<'a>(container: &'a ContainerDetails, key: &str) -> &'a str {
    host(container, key).as_str().unwrap_or_default()
}

pub(super) fn flag(container: &ContainerDetails, key: &str) -> bool {
    host(container, key).as_bool().unwrap_or_default()
}

/// Whether a container is a task of a Swarm service.
pub(super) fn is_swarm_task(container: &ContainerDetails) -> bool {
    container.labels.contains_key("com.docker.swarm.task.id")
}

/// Whose namespaces a container shares, by id or name. The engine turns names into ids when a container is made, except
/// that of the owner of a network that is not there by then.
pub(super) fn namespaces(container: &ContainerDetails) -> Vec<(Namespace, &str)> {
    let modes = [
        (Namespace::Network, "NetworkMode"),
        (Namespace::Process, "PidMode"),
        (Namespace::Ipc, "IpcMode"),
    ];
    let shared = modes.into_iter().filter_map(|(kind, key)| {
        let owner = words(container, key).strip_prefix("container:")?;
        Some((kind, owner))
    });
    shared.collect()
}

fn has_own_network(container: &ContainerDetails) -> bool {
    let mode = words(container, "NetworkMode");
    !matches!(mode, "host" | "none") && !mode.starts_with("container:")
}

/// Names of the networks that a container is attached to, each with what the engine finds it by: the id that it had when
/// it was joined. One without any starts without any, as it ran.
pub(super) fn networks(container: &ContainerDetails) -> Vec<(&str, &str)> {
    if !has_own_network(container) {
        return Vec::new();
    }
    let joined = container.network_settings.as_object().into_iter().flatten();
    let joined = joined.filter(|(name, _)| !BUILT_IN.contains(&name.as_str()));
    let keyed = joined.map(|(name, endpoint)| {
        let id = endpoint.get("NetworkID").and_then(Value::as_str);
        (name.as_str(), id.filter(|id| !id.is_empty()).unwrap_or(name))
    });
    keyed.collect()
}

/// The addresses that a container is to have whenever it runs, each with its network.
pub(super) fn fixed_addresses(container: &ContainerDetails) -> Vec<(&str, IpAddr)> {
    let joined = container.network_settings.as_object().into_iter().flatten();
    let fixed = joined.flat_map(|(name, endpoint)| {
        let keys = ["/IPAMConfig/IPv4Address", "/IPAMConfig/IPv6Address"].into_iter();
        keys.filter_map(|key| endpoint.pointer(key)?.as_str()?.parse().ok())
            .map(|address| (name.as_str(), address))
    });
    fixed.collect()
}

/// Host ports that a container publishes, where it names a single one.
pub(super) fn published(container: &ContainerDetails) -> Vec<PublishedPort> {
    if !has_own_network(container) {
        return Vec::new();
    }
    let ports = host(container, "PortBindings").as_object().into_iter().flatten();
    let bindings = ports.flat_map(|(port, bindings)| {
        let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol);
        let bindings = bindings.as_array().into_iter().flatten();
        bindings.filter_map(move |binding| {
            let word = |key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default();
            Some(PublishedPort {
                address: host_address(word("HostIp")),
                port: word("HostPort").parse().ok().filter(|port| *port > 0)?,
                protocol: protocol.to_owned(),
            })
        })
    });
    bindings.collect()
}

/// Names of the containers that it is linked to (`/db:/web/alias`).
pub(super) fn links(container: &ContainerDetails) -> Vec<&str> {
    let links = host(container, "Links").as_array().into_iter().flatten();
    let names = links
        .filter_map(Value::as_str)
        .filter_map(|link| link.split(':').next());
    names
        .map(|name| name.trim_start_matches('/'))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Sources of bind mounts that the engine does not make where they are missing, and devices. Those of `--volume` it makes.
pub(super) fn paths(container: &ContainerDetails) -> (Vec<&str>, Vec<&str>) {
    let mounts = host(container, "Mounts").as_array().into_iter().flatten();
    let binds = mounts.filter(|mount| {
        let made = mount
            .pointer("/BindOptions/CreateMountpoint")
            .and_then(Value::as_bool);
        mount.get("Type").and_then(Value::as_str) == Some("bind") && made != Some(true)
    });
    let devices = host(container, "Devices").as_array().into_iter().flatten();
    let path = |key: &'static str| {
        move |value| {
            let path: Option<&str> = Value::get(value, key).and_then(Value::as_str);
            path.filter(|path| path.starts_with('/'))
        }
    };
    (
        binds.filter_map(path("Source")).collect(),
        devices.filter_map(path("PathOnHost")).collect(),
    )
}

/// The runtime that a container was made with, where it is no built-in one.
pub(super) fn runtime(container: &ContainerDetails) -> Option<&str> {
    Some(words(container, "Runtime")).filter(|runtime| !BUILT_IN_RUNTIMES.contains(runtime))
}
