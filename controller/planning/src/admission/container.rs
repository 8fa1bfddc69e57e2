//! What an existing container has of the host, from the engine's own `HostConfig`. Pure.

use aegis_api::observed::ContainerDetails;
use serde_json::Value;

use super::HostMounts;

/// Lists in `HostConfig` that give a container something of the host where they are not empty.
const LISTS: [(&str, &str); 5] = [
    ("CapAdd", "added capabilities"),
    ("Devices", "devices"),
    ("DeviceRequests", "device requests"),
    ("DeviceCgroupRules", "device rules"),
    ("VolumesFrom", "volumes of other containers"),
];
/// Namespaces in `HostConfig` that a container may share.
const NAMESPACES: [(&str, &str); 5] = [
    ("NetworkMode", "network"),
    ("PidMode", "PID namespace"),
    ("IpcMode", "IPC namespace"),
    ("UTSMode", "UTS namespace"),
    ("UsernsMode", "user namespace"),
];

/// What of the host a container reaches, human-readable; empty where it is nothing, or allowed.
pub fn host_access(container: &ContainerDetails, mounts: &HostMounts) -> Vec<String> {
    let host = &container.host_config;
    let mut found = Vec::new();
    if host.get("Privileged").and_then(Value::as_bool) == Some(true) {
        found.push("full privileges (--privileged)".to_owned());
    }
    for (field, words) in NAMESPACES {
        let mode = host.get(field).and_then(Value::as_str).unwrap_or_default();
        let shared = ["container:", "service:", "ns:"]
            .iter()
            .any(|kind| mode.starts_with(kind));
        if mode == "host" || shared {
            found.push(format!("a {words} that is not its own ({field} {mode})"));
        }
    }
    for (field, words) in LISTS {
        let listed = host.get(field).and_then(Value::as_array);
        if listed.is_some_and(|listed| !listed.is_empty()) {
            found.push(format!("{words} ({field})"));
        }
    }
    let options = host
        .get("SecurityOpt")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for option in options.filter_map(Value::as_str) {
        if option.ends_with("unconfined") || option.ends_with("disable") {
            found.push(format!("a disabled protection ({option})"));
        }
    }
    for source in bind_sources(container) {
        if !mounts.allow(source) {
            found.push(format!("a bind mount of {source}"));
        }
    }
    found
}

/// Sources of bind mounts: what the engine mounts, and what it was asked to.
fn bind_sources(container: &ContainerDetails) -> Vec<&str> {
    let host = &container.host_config;
    let is_bind = |mount: &&Value| mount.get("Type").and_then(Value::as_str) == Some("bind");
    let mounted = container.mounts.as_array().into_iter().flatten().filter(is_bind);
    let asked = host
        .get("Mounts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(is_bind);
    let by_mount = mounted
        .chain(asked)
        .filter_map(|mount| mount.get("Source").and_then(Value::as_str));
    let binds = host.get("Binds").and_then(Value::as_array).into_iter().flatten();
    let by_bind = binds
        .filter_map(Value::as_str)
        .filter_map(|bind| bind.split(':').next());
    let mut sources: Vec<&str> = by_mount
        .chain(by_bind.filter(|source| source.starts_with('/')))
        .collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}
