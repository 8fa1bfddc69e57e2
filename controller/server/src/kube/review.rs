//! `kubectl auth can-i` and `whoami`: what the sender may do, and who they are. Pure.

use axum::Extension;
use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::protobuf;
use crate::auth::Identity;
use crate::body::{API_LIMIT, BoundedBody};
use crate::status::Status;

/// What is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AccessReview {
    pub(super) verb: String,
    pub(super) path: String,
    pub(super) group: String,
    pub(super) resource: String,
}

impl AccessReview {
    fn allowed(&self, identity: &Identity) -> bool {
        let kind = (self.group.as_str(), self.resource.as_str());
        identity.may(
            &self.verb,
            &self.path,
            Some(kind).filter(|(_, plural)| !plural.is_empty()),
        )
    }
}

type Answer = Result<(StatusCode, Json<Value>), Status>;

pub(super) async fn access(Extension(identity): Extension<Identity>, body: BoundedBody<API_LIMIT>) -> Answer {
    let question = AccessReview::read(&body.0)?;
    let allowed = question.allowed(&identity);
    let reason = if allowed {
        String::new()
    } else {
        format!("the role is {}", identity.role)
    };
    created(json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {},
        "status": {"allowed": allowed, "reason": reason},
    }))
}

pub(super) async fn rules(Extension(identity): Extension<Identity>) -> Answer {
    let may = |group: &str, plural: &str| {
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        let verbs = verbs
            .into_iter()
            .filter(|verb| identity.may(verb, "", Some((group, plural))));
        json!({"apiGroups": [group], "resources": [plural], "verbs": verbs.collect::<Vec<_>>()})
    };
    let ours = aegis_api::KINDS
        .iter()
        .map(|info| may(aegis_api::GROUP, info.plural));
    let events = json!({"apiGroups": [""], "resources": ["events"],
        "verbs": if identity.may("get", "", Some(("", "events"))) { vec!["get", "list", "watch"] } else { vec![] }});
    let resources: Vec<Value> = ours.chain([events]).collect();
    created(json!({
        "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": [], "incomplete": false},
    }))
}

pub(super) async fn subject(Extension(identity): Extension<Identity>) -> Answer {
    let user = json!({"username": &*identity.user, "groups": [format!("aegisops:{}", identity.role)]});
    created(json!({
        "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
        "status": {"userInfo": user},
    }))
}

fn created(review: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(review)))
}

impl AccessReview {
    /// Reads a review's body: JSON, or protobuf from newer kubectls.
    fn read(body: &[u8]) -> Result<Self, Status> {
        if let Some(binary) = body.strip_prefix(b"k8s\0") {
            return protobuf::question(binary)
                .ok_or_else(|| Status::bad_request("the review cannot be read"));
        }
        let review: Value = serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("the body of the request is no JSON: {error}")))?;
        let text = |pointer: &str| {
            review
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let verb = text("/spec/resourceAttributes/verb") + &text("/spec/nonResourceAttributes/verb");
        Ok(Self {
            verb,
            path: text("/spec/nonResourceAttributes/path"),
            group: text("/spec/resourceAttributes/group"),
            resource: text("/spec/resourceAttributes/resource"),
        })
    }
}
