//! The faithful clone: all of an adopted container's configuration, minus what only one container can have. Pure.
//!
//! Works on the engine's own JSON, so fields that this program does not know survive as well.

use serde_json::{Map, Value};

use super::networks::{Networks, networks, shares_namespace};
use super::{CreateSpec, OWNERSHIP_LABELS, Ownership, revision};
use crate::ids::RevisionId;
use crate::meta::LABEL_NETWORKS;
use crate::observed::ContainerDetails;

/// Labels by which Compose and Swarm count their own: with them a clone would be theirs, and be removed or recreated.
const BOOKKEEPING: [&str; 3] = ["com.docker.compose.", "com.docker.swarm.", "com.docker.stack."];

/// A clone of `base` named `name`. Keeps everything except the name, published host ports, fixed IP and MAC addresses, the
/// base's id as alias and automatic host name, Compose's and Swarm's bookkeeping labels, the id file, and `--rm`: a clone
/// that dies is to leave its traces, and one that is stopped for a moment must not go. Anonymous volumes become fresh ones.
/// Shared namespaces (`container:…`), cgroup parent, links and restart policy say what it is, and stay. The image is the very one that `base` runs, also if its tag has moved since.
pub fn clone_spec(base: &ContainerDetails, name: &str, owner: &Ownership<'_>) -> CreateSpec {
    let (mut body, networks) = kept(base);
    owner.label(&mut body, name);
    CreateSpec {
        name: name.to_owned(),
        body: Value::Object(body),
        extra_networks: networks.extra,
        image_id: Some(base.image_id.clone()).filter(|id| !id.is_empty()),
    }
}

/// 10 hex characters over what [`clone_spec`] keeps of `base`, its image included. Two containers that Compose made from
/// one service definition and image have the same.
pub fn clone_revision(base: &ContainerDetails) -> RevisionId {
    let (mut body, networks) = kept(base);
    body.insert("ExtraNetworks".to_owned(), networks.extra.into_iter().collect());
    revision::hash(&Value::Object(body), &base.image_id).into()
}

fn kept(base: &ContainerDetails) -> (Map<String, Value>, Networks) {
    let mut body = base.config.as_object().cloned().unwrap_or_default();
    let mut host = base.host_config.as_object().cloned().unwrap_or_default();
    let mode = host
        .get("NetworkMode")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();

    config(base, &mut body, &host, &mode);
    host_config(&mut body, &mut host);
    let networks = networks(base, &mode);
    if let Some((name, endpoint)) = &networks.first {
        if !matches!(mode.as_str(), "" | "default") || name != "bridge" {
            host.insert("NetworkMode".to_owned(), Value::String(name.clone()));
        }
        let endpoints: Map<String, Value> = [(name.clone(), endpoint.clone())].into_iter().collect();
        body.insert(
            "NetworkingConfig".to_owned(),
            serde_json::json!({ "EndpointsConfig": endpoints }),
        );
    }
    body.insert("HostConfig".to_owned(), Value::Object(host));
    (body, networks)
}

fn config(base: &ContainerDetails, body: &mut Map<String, Value>, host: &Map<String, Value>, mode: &str) {
    body.remove("MacAddress");
    let hostname = body.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    let shares_hostname =
        shares_namespace(mode) || host.get("UTSMode").and_then(Value::as_str) == Some("host");
    if shares_hostname || (hostname.len() >= 12 && base.id.starts_with(hostname)) {
        body.remove("Hostname");
    }
    if shares_hostname {
        body.remove("Domainname");
    }
    if shares_namespace(mode) {
        // The engine merged the image's ports in after its check; in a request it refuses them beside this network mode.
        body.remove("ExposedPorts");
    }
    if let Some(labels) = body.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| {
            !BOOKKEEPING.iter().any(|prefix| key.starts_with(prefix))
                && !OWNERSHIP_LABELS.contains(&key.as_str())
                && key != LABEL_NETWORKS
        });
    }
}

fn host_config(body: &mut Map<String, Value>, host: &mut Map<String, Value>) {
    host.remove("ContainerIDFile");
    host.insert("AutoRemove".to_owned(), Value::Bool(false));
    host.insert("PortBindings".to_owned(), Value::Object(Map::new()));
    host.insert("PublishAllPorts".to_owned(), Value::Bool(false));
    if let Some(links) = host.get_mut("Links").and_then(Value::as_array_mut) {
        *links = links
            .iter()
            .filter_map(Value::as_str)
            .filter_map(link)
            .map(Value::String)
            .collect();
    }
    fresh_anonymous_binds(body, host);
    for mount in host
        .get_mut("Mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let source = mount.get("Source").and_then(Value::as_str).unwrap_or_default();
        if mount.get("Type").and_then(Value::as_str) == Some("volume")
            && is_anonymous(source)
            && let Some(mount) = mount.as_object_mut()
        {
            mount.remove("Source");
        }
    }
}

/// Compose carries anonymous volumes over to a recreated container as binds of their 64-character names. The clone gets a
/// volume of its own at the same place.
fn fresh_anonymous_binds(body: &mut Map<String, Value>, host: &mut Map<String, Value>) {
    let Some(binds) = host.get_mut("Binds").and_then(Value::as_array_mut) else {
        return;
    };
    let mut targets = Vec::new();
    binds.retain(|bind| {
        let mut parts = bind.as_str().unwrap_or_default().split(':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next());
        match target {
            Some(target) if is_anonymous(source) => {
                targets.push(target.to_owned());
                false
            }
            _ => true,
        }
    });
    if targets.is_empty() {
        return;
    }
    let volumes = body.entry("Volumes").or_insert(Value::Null);
    if !volumes.is_object() {
        *volumes = Value::Object(Map::new());
    }
    if let Some(volumes) = volumes.as_object_mut() {
        volumes.extend(
            targets
                .into_iter()
                .map(|target| (target, Value::Object(Map::new()))),
        );
    }
}

fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `/db:/web/alias`, as an inspection shows a link, in the form that a creation takes: `db:alias`.
fn link(shown: &str) -> Option<String> {
    let (target, alias) = shown.split_once(':')?;
    let alias = alias.rsplit('/').next()?;
    Some(format!("{}:{alias}", target.trim_start_matches('/')))
}

#[cfg(test)]
mod tests;
