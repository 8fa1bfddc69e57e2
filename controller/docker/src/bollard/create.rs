//! Creation of a container with all of its networks. Does I/O.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::wire::encoded;
use super::{Docker, failure};
use crate::engine::{CreateSpec, EngineError, EngineResult};

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

fn endpoints(body: &mut Value) -> Option<&mut Map<String, Value>> {
    let config = body
        .as_object_mut()?
        .entry("NetworkingConfig")
        .or_insert_with(|| json!({}));
    config
        .as_object_mut()?
        .entry("EndpointsConfig")
        .or_insert_with(|| json!({}))
        .as_object_mut()
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
