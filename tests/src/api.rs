//! The controller's HTTP interface as a client of the tests: Kubernetes-shaped routes and those of the wire contract.

use std::time::Duration;

use aegis_api::{ConditionType, kinds};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::eventually;

const BASE: &str = "/apis/aegisops.io/v1alpha1/namespaces/default";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A client without a token of its own.
pub fn http_client() -> reqwest::Client {
    // The second time it is there already, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Without a pool: a container's address may belong to another one a moment later.
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(ANSWER_WITHIN);
    client.no_proxy().build().expect("an HTTP client")
}

/// One controller, one token.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// Status and body; a body that is no JSON is a JSON text.
pub type Answer = (u16, Value);

impl Api {
    pub(crate) fn new(base: &str, token: Option<String>) -> Self {
        Self {
            base: base.to_owned(),
            token,
            http: http_client(),
        }
    }

    /// A request with the token, still to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends it.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, String> {
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(Method::GET, path))
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// GET that must answer 200.
    pub async fn get_ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).json(body);
        self.ask(request)
            .await
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Makes an object, or replaces its spec, labels and annotations; panics if it is refused.
    pub async fn apply(&self, object: &Value) -> Value {
        let (status, body) = self.try_apply(object).await;
        assert!(matches!(status, 200 | 201), "apply {object}: {status} {body}");
        body
    }

    /// As [`Api::apply`], with the answer whatever it is.
    pub async fn try_apply(&self, object: &Value) -> Answer {
        let path = collection(kind(object));
        let (status, body) = self.post(&path, object).await;
        if status != 409 {
            return (status, body);
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.merge(kind(object), name, &json!({"spec": object["spec"]}))
            .await
    }

    /// Merge patch.
    pub async fn merge(&self, kind: &str, name: &str, patch: &Value) -> Answer {
        let path = path(kind, name);
        let request = self
            .request(Method::PATCH, &path)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string());
        self.ask(request)
            .await
            .unwrap_or_else(|error| panic!("PATCH {path}: {error}"))
    }

    /// Merge patch that must be taken.
    pub async fn merge_ok(&self, kind: &str, name: &str, patch: &Value) -> Value {
        let (status, body) = self.merge(kind, name, patch).await;
        assert_eq!(status, 200, "{kind}/{name} takes {patch}: {body}");
        body
    }

    /// Deletes an object; it may stay until its finalizers are done.
    pub async fn delete(&self, kind: &str, name: &str) {
        let path = path(kind, name);
        let answer = self.ask(self.request(Method::DELETE, &path)).await;
        let (status, body) = answer.unwrap_or_else(|error| panic!("DELETE {path}: {error}"));
        assert!(matches!(status, 200 | 202), "DELETE {path}: {status} {body}");
    }

    /// One object, if it is there.
    pub async fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let path = path(kind, name);
        match self.get(&path).await {
            (200, object) => Some(object),
            (404, _) => None,
            (status, body) => panic!("GET {path}: {status} {body}"),
        }
    }

    /// Every object of a kind.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let mut body = self.get_ok(&collection(kind)).await;
        body["items"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Events about an object: reason, message and type, oldest first.
    pub async fn events(&self, kind: &str, name: &str) -> Vec<Value> {
        let path = format!(
            "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind={kind},involvedObject.name={name}"
        );
        let mut body = self.get_ok(&path).await;
        body["items"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Waits until an object satisfies `look`, which says why not.
    pub async fn until<T>(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        look: impl Fn(&Value) -> Result<T, String>,
    ) -> T {
        eventually(&format!("{kind}/{name}: {what}"), async || {
            let path = path(kind, name);
            // The controller may be starting just now.
            let (status, object) = self.ask(self.request(Method::GET, &path)).await?;
            if status != 200 {
                return Err(format!("{status} {object}"));
            }
            look(&object)
        })
        .await
    }

    /// Waits until a workload's condition `Ready` is true for its present generation, with so many ready containers.
    pub async fn workload_ready(&self, name: &str, ready: u64) -> Value {
        self.until("Workload", name, &format!("{ready} ready"), |object| {
            let status = &object["status"];
            let current = status["observedGeneration"] == object["metadata"]["generation"];
            let fine = current
                && condition(object, ConditionType::Ready)["status"] == "True"
                && status["readyReplicas"] == ready;
            let rows = status["instances"].as_array().map_or(0, Vec::len);
            if fine && u64::try_from(rows) == Ok(ready) {
                Ok(object.clone())
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    /// Waits until a load balancer serves so many servers.
    pub async fn balancer_serves(&self, name: &str, servers: u64) -> Value {
        self.until(
            "LoadBalancer",
            name,
            &format!("{servers} servers in rotation"),
            |object| {
                let status = &object["status"];
                let fine = condition(object, ConditionType::Ready)["status"] == "True"
                    && status["serverCount"] == servers;
                if fine {
                    Ok(object.clone())
                } else {
                    Err(status.to_string())
                }
            },
        )
        .await
    }

    /// Waits until an incident has ended, and answers it.
    pub async fn ended(&self, incident: &str) -> Value {
        self.until(
            "Incident",
            incident,
            "ended",
            |object| match object["status"]["finishedAt"].as_str() {
                Some(_) => Ok(object.clone()),
                None => Err(object["status"].to_string()),
            },
        )
        .await
    }

    /// Waits until an incident has ended, which must be well.
    pub async fn resolved(&self, incident: &str) -> Value {
        let ended = self.ended(incident).await;
        assert_eq!(ended["status"]["phase"], "RESOLVED", "{ended:#}");
        ended
    }

    /// Waits until an incident has ended, which must be badly, and answers the reason.
    pub async fn failed(&self, incident: &str) -> String {
        let ended = self.ended(incident).await;
        assert_eq!(ended["status"]["phase"], "FAILED", "{ended:#}");
        ended["status"]["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an incident is in this phase.
    pub async fn in_phase(&self, incident: &str, phase: &str) -> Value {
        self.until("Incident", incident, phase, |object| {
            if object["status"]["phase"] == phase {
                Ok(object.clone())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, kind: &str, name: &str) {
        eventually(&format!("{kind}/{name} is gone"), async || {
            match self.object(kind, name).await {
                None => Ok(()),
                Some(object) => Err(object.to_string()),
            }
        })
        .await;
    }
}

/// An object's condition of this type; null where it has none.
pub fn condition(object: &Value, kind: ConditionType) -> &Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .and_then(|conditions| {
            conditions
                .iter()
                .find(|condition| condition["type"] == kind.as_str())
        })
        .unwrap_or(&Value::Null)
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().expect("an object has a kind")
}

fn collection(kind: &str) -> String {
    let info = kinds::find(kind).unwrap_or_else(|| panic!("there is no kind {kind}"));
    format!("{BASE}/{}", info.plural)
}

fn path(kind: &str, name: &str) -> String {
    format!("{}/{name}", collection(kind))
}
