//! Which networks a clone joins and under which names; fixed addresses and whatever names the base alone stay behind. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::observed::{COMPOSE_SERVICE, ContainerDetails};

/// What of an `EndpointSettings` is configuration, and not the engine's record of the endpoint it made from it. Addresses
/// (`IPAMConfig`, `MacAddress`) are configuration, too, but only one container can have them.
const KEPT: [&str; 4] = ["Links", "Aliases", "DriverOpts", "GwPriority"];

/// Network modes that are no network to join: the engine refuses endpoints beside them.
fn is_private_mode(mode: &str) -> bool {
    matches!(mode, "host" | "none") || shares_namespace(mode)
}

/// The container borrows the network of another one.
pub(super) fn shares_namespace(mode: &str) -> bool {
    mode.starts_with("container:") || mode.starts_with("service:")
}

/// The networks of a clone: the one to create it in, then those to join before the start.
pub(super) struct Networks {
    pub(super) first: Option<(String, Value)>,
    pub(super) extra: BTreeMap<String, Value>,
}

pub(super) fn networks(base: &ContainerDetails, mode: &str) -> Networks {
    let mut extra: BTreeMap<String, Value> = BTreeMap::new();
    if is_private_mode(mode) {
        return Networks { first: None, extra };
    }
    let joined = base.network_settings.as_object();
    let mut first = None;
    for (name, endpoint) in joined.into_iter().flatten() {
        let is_first = is_network_of_mode(mode, name, endpoint);
        let kept = kept(base, endpoint);
        if is_first && first.is_none() {
            first = Some((name.clone(), kept));
        } else {
            extra.insert(name.clone(), kept);
        }
    }
    if first.is_none() {
        // Somebody disconnected the base from the network it was created in: the clone starts where the base is now.
        first = extra.pop_first();
    }
    Networks { first, extra }
}

/// `NetworkMode` holds a network's name or, from some clients, its id; `default` is the engine's `bridge`.
fn is_network_of_mode(mode: &str, name: &str, endpoint: &Value) -> bool {
    let mode = if matches!(mode, "default" | "") {
        "bridge"
    } else {
        mode
    };
    name == mode || (!mode.is_empty() && endpoint.get("NetworkID").and_then(Value::as_str) == Some(mode))
}

fn kept(base: &ContainerDetails, endpoint: &Value) -> Value {
    let mut kept = Map::new();
    for key in KEPT {
        let Some(value) = endpoint.get(key) else { continue };
        let value = if key == "Aliases" {
            aliases(base, value)
        } else {
            value.clone()
        };
        if !value.is_null() {
            kept.insert(key.to_owned(), value);
        }
    }
    Value::Object(kept)
}

/// Without the base's short id, and without its container name unless that is also the name of its Compose service:
/// a service's name is meant to be shared by all who serve it.
fn aliases(base: &ContainerDetails, value: &Value) -> Value {
    let service = base.labels.get(COMPOSE_SERVICE);
    let own_name = |alias: &str| alias == base.name && service.map(String::as_str) != Some(alias);
    let own_id = |alias: &str| alias.len() >= 12 && base.id.starts_with(alias);
    let mut kept: Vec<&str> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    kept.retain(|alias| !own_id(alias) && !own_name(alias));
    kept.sort_unstable();
    kept.dedup();
    if kept.is_empty() { Value::Null } else { kept.into() }
}
