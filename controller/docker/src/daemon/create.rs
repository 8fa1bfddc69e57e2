//! Creation of a container with all of its networks. Does I/O.
//!
//! An engine before API 1.44 creates it in one network only. The others stand in a label until it has joined them, and a
//! first start looks there: a crash in between leaves nothing half connected.

use aegis_api::create::CreateSpec;
use aegis_api::meta::{LABEL_INSTANCE, LABEL_NAME, LABEL_NETWORKS};
use aegis_api::observed::{ContainerDetails, ContainerState};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::wire::encoded;
use super::{Docker, failure};
use crate::engine::{EngineError, EngineResult};

impl Docker {
    pub(super) async fn create_now(&self, spec: CreateSpec, operation: &str) -> EngineResult<String> {
        let CreateSpec {
            name,
            mut body,
            mut extra_networks,
            image_id,
        } = spec;
        if let Some(wanted) = image_id {
            self.pin_image(&mut body, &wanted, operation).await?;
        }
        if !extra_networks.is_empty() && self.known_info().await?.creates_in_many_networks() {
            let endpoints =
                endpoints(&mut body).ok_or_else(|| failure::odd(operation, "the body is no object"))?;
            endpoints.extend(std::mem::take(&mut extra_networks));
        }
        let labels =
            object(&mut body, "Labels").ok_or_else(|| failure::odd(operation, "the body is no object"))?;
        let networks = json!({ "container": name, "networks": extra_networks });
        labels.insert(LABEL_NETWORKS.to_owned(), Value::String(networks.to_string()));
        let target = format!("/containers/create?name={}", encoded(&name));
        let answer = self
            .place
            .send(operation, Method::POST, &target, Some(&body))
            .await?
            .json(operation)
            .await?;
        let id = answer
            .get("Id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if id.is_empty() {
            return Err(failure::odd(operation, "the answer has no id"));
        }
        for warning in answer
            .get("Warnings")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            tracing::warn!(container = name, "the engine warns of a new container: {warning}");
        }
        for (network, endpoint) in extra_networks {
            if let Err(error) = self.join(&id, &network, &endpoint, operation).await {
                // Half a container is worse than none: under its name it would pass for a whole one.
                return Err(match self.remove_now(&id, operation).await {
                    Ok(()) => error,
                    Err(left) => with(error, &format!("; and it could not be removed again: {left}")),
                });
            }
        }
        Ok(id)
    }

    /// Joins what a container that has never started has not joined yet. A label chooses that only where it is this
    /// controller's own: of its state directory, under the name that the container was made with, and written for just this
    /// name. An image can bring labels as well, also to a container that a person made and that is only adopted.
    pub(super) async fn complete(&self, container: &ContainerDetails, operation: &str) -> EngineResult<()> {
        let says = |key: &str, value: Option<&str>| {
            value.is_some() && container.labels.get(key).map(String::as_str) == value
        };
        let is_ours =
            says(LABEL_INSTANCE, self.instance.as_deref()) && says(LABEL_NAME, Some(&container.name));
        let Some(label) = container
            .labels
            .get(LABEL_NETWORKS)
            .filter(|_| is_ours && container.state == ContainerState::Created)
        else {
            return Ok(());
        };
        let Some(networks) = still_to_join(label, &container.name) else {
            // Written by another than this controller: it chooses nothing, and keeps nothing from starting.
            tracing::warn!(
                container = container.name,
                "label {LABEL_NETWORKS} is damaged and is ignored"
            );
            return Ok(());
        };
        for (network, endpoint) in networks {
            if !container.networks.contains_key(&network) {
                self.join(&container.id, &network, &endpoint, operation).await?;
            }
        }
        Ok(())
    }

    /// Keeps the image's name as long as it means the wanted image.
    async fn pin_image(&self, body: &mut Value, wanted: &str, operation: &str) -> EngineResult<()> {
        let name = body.get("Image").and_then(Value::as_str).unwrap_or_default();
        if !name.is_empty() && self.image_id(name, operation).await?.as_deref() == Some(wanted) {
            return Ok(());
        }
        if let Some(body) = body.as_object_mut() {
            body.insert("Image".to_owned(), Value::String(wanted.to_owned()));
        }
        Ok(())
    }

    async fn join(&self, id: &str, network: &str, endpoint: &Value, operation: &str) -> EngineResult<()> {
        let operation = format!("{operation}, joining network {network}");
        let body = json!({ "Container": id, "EndpointConfig": endpoint });
        let target = format!("/networks/{}/connect", encoded(network));
        self.place
            .send(&operation, Method::POST, &target, Some(&body))
            .await
            .map(drop)
    }
}

/// What the label says of the networks that are to be joined; `None` where it is nothing that [`Docker::create_now`] writes
/// for a container of this name.
fn still_to_join(label: &str, name: &str) -> Option<Map<String, Value>> {
    let label: Value = serde_json::from_str(label).ok()?;
    let label = label.as_object()?;
    let is_for_it = label.get("container").and_then(Value::as_str) == Some(name);
    let networks = label.get("networks").and_then(Value::as_object);
    let networks = networks.filter(|_| is_for_it && label.len() == 2)?;
    let is_valid = |(network, endpoint): (&String, &Value)| {
        let is_mode = network.contains(':') || matches!(network.as_str(), "" | "host" | "none");
        !is_mode && endpoint.is_object()
    };
    networks.iter().all(is_valid).then(|| networks.clone())
}

fn endpoints(body: &mut Value) -> Option<&mut Map<String, Value>> {
    object(body, "NetworkingConfig")?
        .entry("EndpointsConfig")
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// The object behind `key`, made if there is none.
fn object<'a>(body: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = body.as_object_mut()?.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The same error with more to say.
fn with(mut error: EngineError, more: &str) -> EngineError {
    match &mut error {
        EngineError::Unreachable { message, .. }
        | EngineError::NotFound { message, .. }
        | EngineError::Conflict { message, .. }
        | EngineError::Refused { message, .. }
        | EngineError::Server { message, .. } => message.push_str(more),
        EngineError::Timeout { operation, .. } => operation.push_str(more),
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_label_that_this_controller_did_not_write_joins_nothing_and_fails_no_start() {
        let networks = |label: &str| still_to_join(label, "web-replica-1").map(|networks| networks.len());
        let ours = json!({"container": "web-replica-1", "networks": {"back": {"Aliases": ["web"]}}});
        assert_eq!(networks(&ours.to_string()), Some(1));
        assert_eq!(
            networks(r#"{"container":"web-replica-1","networks":{}}"#),
            Some(0)
        );
        for label in [
            "",
            "no JSON {",
            "[]",
            r#"{"prod_default":{"Aliases":["postgres"]}}"#,
            r#"{"container":"web-replica-2","networks":{"back":{}}}"#,
            r#"{"container":"web-replica-1","networks":["back"]}"#,
            r#"{"container":"web-replica-1","networks":{"back":"x"}}"#,
            r#"{"container":"web-replica-1","networks":{"container:db":{}}}"#,
            r#"{"container":"web-replica-1","networks":{"host":{}}}"#,
            r#"{"container":"web-replica-1","networks":{"back":{}},"more":1}"#,
        ] {
            assert_eq!(networks(label), None, "{label}");
        }
    }
}
