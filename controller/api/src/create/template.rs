//! A container made from a Workload's template. Pure.

use std::collections::BTreeMap;

use crate::ids::RevisionId;
use crate::workload::{ContainerTemplate, Healthcheck, VolumeMount};
use serde_json::{Map, Value, json};

use super::{CreateSpec, Ownership, revision};

/// A container of `template` named `name`. No host ports are published, and Docker's restart policy stays off: the
/// controller restarts what fails, with a backoff that it can show.
pub fn template_spec(template: &ContainerTemplate, name: &str, owner: &Ownership<'_>) -> CreateSpec {
    let mut body = body(template);
    owner.label(&mut body, name);
    let endpoint = |name: &str| (name.to_owned(), json!({}));
    CreateSpec {
        name: name.to_owned(),
        body: Value::Object(body),
        extra_networks: template
            .networks
            .iter()
            .skip(1)
            .map(|network| endpoint(network.as_str()))
            .collect(),
        image_id: None,
    }
}

/// 10 hex characters over the template as written, so that it is the same with every version of this program.
pub fn template_revision(template: &ContainerTemplate) -> RevisionId {
    // A template is plain data with text keys, which always serialises; Debug is as good a source for the hash otherwise.
    let value = serde_json::to_value(template).unwrap_or_else(|_| Value::String(format!("{template:?}")));
    revision::hash(&value, "").into()
}

fn body(template: &ContainerTemplate) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("Image", json!(template.image));
    if !template.entrypoint.is_empty() {
        set("Entrypoint", json!(template.entrypoint));
    }
    if !template.command.is_empty() {
        set("Cmd", json!(template.command));
    }
    set(
        "Env",
        template
            .env
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
    );
    let ports: BTreeMap<String, Value> = template
        .ports
        .iter()
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();
    set("ExposedPorts", json!(ports));
    set("Labels", json!(template.labels));
    // The engine counts whole seconds; a grace that is cut short would break the promise of the template.
    set(
        "StopTimeout",
        json!(template.stop_grace_period.std().as_millis().div_ceil(1000)),
    );
    if let Some(user) = &template.user {
        set("User", json!(user));
    }
    if let Some(healthcheck) = &template.healthcheck {
        set("Healthcheck", health(healthcheck));
    }
    set("HostConfig", host_config(template));
    if let Some(network) = template
        .networks
        .first()
        .filter(|network| !is_mode(network.as_str()))
    {
        let endpoints: Map<String, Value> = [(network.as_str().to_owned(), json!({}))].into_iter().collect();
        set("NetworkingConfig", json!({ "EndpointsConfig": endpoints }));
    }
    body
}

/// Networks that are part of the engine and take no endpoint settings.
fn is_mode(network: &str) -> bool {
    matches!(network, "host" | "none" | "default" | "bridge")
}

fn host_config(template: &ContainerTemplate) -> Value {
    let mut host = json!({
        "NetworkMode": template.networks.first().map_or("default", |network| network.as_str()),
        "Mounts": template.volumes.iter().map(mount).collect::<Value>(),
        "ReadonlyRootfs": template.read_only,
        "RestartPolicy": { "Name": "no" },
    });
    let limits = &template.resources;
    if let Some(host) = host.as_object_mut() {
        let mib = |count: u32| u64::from(count) * 1024 * 1024;
        host.extend(
            limits
                .memory_mb
                .map(|count| ("Memory".to_owned(), json!(mib(count)))),
        );
        let nanos = |millis: u32| u64::from(millis) * 1_000_000;
        host.extend(
            limits
                .cpu_millis
                .map(|millis| ("NanoCpus".to_owned(), json!(nanos(millis)))),
        );
        host.extend(limits.pids.map(|pids| ("PidsLimit".to_owned(), json!(pids))));
    }
    host
}

fn mount(volume: &VolumeMount) -> Value {
    let kind = if volume.source.starts_with('/') {
        "bind"
    } else {
        "volume"
    };
    json!({ "Type": kind, "Source": volume.source, "Target": volume.target, "ReadOnly": volume.read_only })
}

fn health(check: &Healthcheck) -> Value {
    let command: Vec<&str> = std::iter::once("CMD")
        .chain(check.command.iter().map(String::as_str))
        .collect();
    let nanos = |span: crate::Duration| u64::try_from(span.std().as_nanos()).unwrap_or(u64::MAX);
    let mut health = json!({
        "Test": command,
        "Interval": nanos(check.interval),
        "Timeout": nanos(check.timeout),
        "Retries": check.retries,
    });
    if let (Some(period), Some(health)) = (check.start_period, health.as_object_mut()) {
        health.insert("StartPeriod".to_owned(), json!(nanos(period)));
    }
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(yaml: &str) -> ContainerTemplate {
        serde_json::from_str(yaml).expect("a template")
    }

    const OWNER: Ownership<'_> = Ownership {
        workload: "web",
        revision: "r1",
        instance: "i1",
        index: 2,
    };

    #[test]
    fn a_template_becomes_the_engines_body() {
        let template = template(
            r#"{"image": "web:1", "command": ["serve"], "env": {"B": "2", "A": "1=x"}, "ports": [8000],
                "networks": ["front", "back"], "labels": {"team": "a"}, "stopGracePeriod": "1500ms", "readOnly": true,
                "volumes": [{"source": "data", "target": "/data"}, {"source": "/srv", "target": "/srv", "readOnly": true}],
                "resources": {"memoryMb": 64, "cpuMillis": 250, "pids": 50}, "user": "1000",
                "healthcheck": {"command": ["/check"], "interval": "1.5s", "startPeriod": "1m30s"}}"#,
        );
        let spec = template_spec(&template, "web-replica-2", &OWNER);
        assert_eq!(spec.name, "web-replica-2");
        assert_eq!(
            spec.body,
            json!({
                "Image": "web:1", "Cmd": ["serve"], "Env": ["A=1=x", "B=2"], "ExposedPorts": {"8000/tcp": {}},
                "Labels": {"team": "a", "io.aegisops.workload": "web", "io.aegisops.revision": "r1",
                           "io.aegisops.instance": "i1", "io.aegisops.replica": "2",
                           "io.aegisops.name": "web-replica-2"},
                "StopTimeout": 2, "User": "1000",
                "Healthcheck": {"Test": ["CMD", "/check"], "Interval": 1_500_000_000_u64, "Timeout": 2_000_000_000_u64, "Retries": 3,
                                "StartPeriod": 90_000_000_000_u64},
                "HostConfig": {
                    "NetworkMode": "front", "ReadonlyRootfs": true, "RestartPolicy": {"Name": "no"},
                    "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data", "ReadOnly": false},
                               {"Type": "bind", "Source": "/srv", "Target": "/srv", "ReadOnly": true}],
                    "Memory": 67_108_864, "NanoCpus": 250_000_000, "PidsLimit": 50
                },
                "NetworkingConfig": {"EndpointsConfig": {"front": {}}}
            })
        );
        assert_eq!(spec.extra_networks.keys().collect::<Vec<_>>(), ["back"]);
    }

    #[test]
    fn a_template_of_an_image_alone_leaves_the_rest_to_the_image() {
        let spec = template_spec(&template(r#"{"image": "web:1"}"#), "web-replica-1", &OWNER);
        let body = spec.body.as_object().unwrap();
        for key in ["Cmd", "Entrypoint", "User", "Healthcheck", "NetworkingConfig"] {
            assert!(!body.contains_key(key), "{key}");
        }
        assert_eq!(spec.body["HostConfig"]["NetworkMode"], "default");
        assert!(spec.extra_networks.is_empty());
    }

    #[test]
    fn a_revision_follows_the_template_and_nothing_else() {
        let one = template(r#"{"image": "web:1", "env": {"A": "1"}}"#);
        assert_eq!(template_revision(&one), template_revision(&one.clone()));
        assert_ne!(
            template_revision(&one),
            template_revision(&template(r#"{"image": "web:2", "env": {"A": "1"}}"#))
        );
        assert_ne!(
            template_revision(&one),
            template_revision(&template(r#"{"image": "web:1", "env": {"A": "2"}}"#))
        );
    }
}
