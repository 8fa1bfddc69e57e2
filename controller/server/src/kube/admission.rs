//! Who may write what reaches the host. Decided in `aegis-planning`; here is what it needs: the sender's role, the object
//! as it would be, and the containers that it names, which are inspected before the store's writer is asked.

use std::sync::Arc;

use aegis_api::meta::ANNOTATION_PROTECTED;
use aegis_api::{
    FieldError, Incident, KindInfo, LoadBalancer, LoadBalancerSpec, RemediationPolicy, Workload, WorkloadSpec,
};
use aegis_planning::admission::{self, Inspected, Named};
use aegis_runtime::Stored;
use axum::Extension;
use axum::extract::FromRequestParts;
use axum::extract::rejection::ExtensionRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::target::Target;
use super::write::Edit;
use crate::auth::{Identity, Role};
use crate::state::ServerState;
use crate::status::Status;

/// Judges writes by the role of their sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    is_admin: bool,
}

/// Who writes: whose name is stamped on it, and what it may reach.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) identity: Identity,
    pub(super) admission: Admission,
}

impl FromRequestParts<ServerState> for Sender {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ExtensionRejection> {
        let Extension(identity) = Extension::<Identity>::from_request_parts(parts, state).await?;
        let admission = Admission {
            is_admin: identity.role == Role::Admin,
        };
        Ok(Self { identity, admission })
    }
}

/// What a change was judged by; `None` where all may be written. Anything else must be judged again: what a change comes to
/// may depend on what is no part of a generation, such as an annotation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged(Option<Case>);

/// What was judged.
#[derive(Debug, Clone, PartialEq)]
struct Case {
    /// Of the object before.
    generation: i64,
    /// What automation may do with it, before and after.
    freedom: [Freedom; 2],
    /// The spec that the change came to.
    spec: Value,
}

/// What metadata says of what automation may do: the labels that policies select by, and the protection.
type Freedom = [Value; 2];

impl Judged {
    /// Whether it holds for the object as it is now, and what is to become of it.
    pub(super) fn holds_for(&self, current: &Stored, wanted: &Value) -> bool {
        let judged = self.0.as_ref();
        judged.is_none_or(|case| *case == Case::of(current, &current.value(), wanted))
    }
}

impl Case {
    fn of(before: &Stored, object: &Value, wanted: &Value) -> Self {
        Self {
            generation: before.generation(),
            freedom: [freedom(object), freedom(wanted)],
            spec: wanted.get("spec").cloned().unwrap_or_default(),
        }
    }
}

fn freedom(object: &Value) -> Freedom {
    let metadata = |field: &str| object.get("metadata").and_then(|metadata| metadata.get(field));
    let protected = metadata("annotations").and_then(|annotations| annotations.get(ANNOTATION_PROTECTED));
    [metadata("labels"), protected].map(|value| value.cloned().unwrap_or_default())
}

impl Admission {
    /// Judges a new object.
    pub(super) async fn of_new(
        self,
        state: &ServerState,
        info: &'static KindInfo,
        object: &Value,
    ) -> Result<(), Status> {
        self.judge(state, info, None, object).await
    }

    /// Judges the change of an object; what cannot be worked out cannot be judged, and is refused.
    pub(super) async fn of_change(
        self,
        state: &ServerState,
        target: &Target,
        edit: &Edit,
    ) -> Result<Judged, Status> {
        let info = target.info;
        let Some(current) = state
            .store
            .get_stored(info, &target.name)
            .filter(|_| !self.is_admin)
        else {
            return Ok(Judged(None));
        };
        let (edit, snapshot) = (Arc::clone(edit), Arc::clone(&current));
        let wanted = tokio::task::spawn_blocking(move || edit(&snapshot)).await;
        let wanted =
            wanted.map_err(|error| Status::internal(format!("the change was not worked out: {error}")))?;
        let wanted = wanted.map_err(|why| Status::unprocessable(info, &target.name, &why))?;
        let before = current.value();
        self.judge(state, info, Some(&before), &wanted).await?;
        Ok(Judged(Some(Case::of(&current, &before, &wanted))))
    }

    async fn judge(
        self,
        state: &ServerState,
        info: &'static KindInfo,
        before: Option<&Value>,
        after: &Value,
    ) -> Result<(), Status> {
        if self.is_admin {
            return Ok(());
        }
        let mounts = &state.config.host_mounts;
        let errors = if info.kind == KindInfo::of::<Workload>().kind {
            let freed = freed(state, before, after);
            let (before, Some(after)) = (before.and_then(spec::<WorkloadSpec>), spec::<WorkloadSpec>(after))
            else {
                return Ok(());
            };
            let names = admission::containers_of_workload(before.as_ref(), &after);
            let inspected = inspect(state, &names).await?;
            let mut errors = admission::workload(before.as_ref(), &after, &inspected, mounts);
            errors.extend(freed);
            errors
        } else if info.kind == KindInfo::of::<LoadBalancer>().kind {
            let (before, Some(after)) = (
                before.and_then(spec::<LoadBalancerSpec>),
                spec::<LoadBalancerSpec>(after),
            ) else {
                return Ok(());
            };
            let names = admission::containers_of_load_balancer(before.as_ref(), &after);
            let inspected = inspect(state, &names).await?;
            admission::load_balancer(before.as_ref(), &after, &inspected, mounts)
        } else if info.kind == KindInfo::of::<Incident>().kind {
            let incident = |value: &Value| Incident::deserialize(value).ok();
            let Some(after) = incident(after) else {
                return Ok(());
            };
            let before = before.and_then(incident);
            admission::incident(before.as_ref(), &after, &state.store.list(), mounts)
        } else {
            Vec::new()
        };
        match errors.is_empty() {
            true => Ok(()),
            false => Err(refused(info, after, &errors)),
        }
    }
}

/// What a change of a Workload's metadata gives automation to do.
fn freed(state: &ServerState, before: Option<&Value>, after: &Value) -> Vec<FieldError> {
    let workload = |value: &Value| Workload::deserialize(value).ok();
    let (Some(before), Some(after)) = (before.and_then(workload), workload(after)) else {
        return Vec::new();
    };
    let policies = KindInfo::of::<RemediationPolicy>();
    let is_known = state
        .store
        .broken_files()
        .iter()
        .all(|file| file.kind != policies.kind);
    admission::freed(&before, &after, &state.store.list(), is_known)
}

fn refused(info: &'static KindInfo, object: &Value, errors: &[FieldError]) -> Status {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    Status::not_admitted(info, name.unwrap_or_default(), errors)
}

async fn inspect(state: &ServerState, names: &[&str]) -> Result<Inspected, Status> {
    let mut inspected = Inspected::new();
    for name in names {
        let found = (state.containers)((*name).to_owned()).await.map_err(|error| {
            let message = format!(
                "container {name} cannot be inspected, so what of the host it reaches is not known: {error}; an admin may name it all the same"
            );
            Status::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
        })?;
        let found = found.map_or(Named::Missing, |container| Named::Found(Box::new(container)));
        inspected.insert((*name).to_owned(), found);
    }
    Ok(inspected)
}

fn spec<T: DeserializeOwned>(object: &Value) -> Option<T> {
    T::deserialize(object.get("spec")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;
    use serde_json::json;

    /// What a change comes to may depend on what raises no generation: an annotation that a patch tests.
    #[tokio::test]
    async fn a_judgement_holds_for_what_was_judged_alone() {
        let server = Server::start().await;
        let body = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"container": "web"}});
        let path = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";
        assert_eq!(server.ask("POST", path, Some(body)).await.code, 201);
        let info = KindInfo::of::<Workload>();
        let current = server.state.store.get_stored(info, "web").unwrap();
        let before = current.value();
        let wanted =
            json!({"metadata": {"labels": {"tier": "lab"}}, "spec": {"container": "web", "replicas": 2}});
        let judged = Judged(Some(Case::of(&current, &before, &wanted)));
        assert!(judged.holds_for(&current, &wanted));
        assert!(Judged(None).holds_for(&current, &json!({"spec": {"container": "db"}})));
        for (field, value) in [
            ("/spec", json!({"container": "db"})),
            ("/metadata/labels", json!({"tier": "pay"})),
            (
                "/metadata",
                json!({"labels": {"tier": "lab"}, "annotations": {ANNOTATION_PROTECTED: "true"}}),
            ),
        ] {
            let mut other = wanted.clone();
            *other.pointer_mut(field).unwrap() = value;
            assert!(!judged.holds_for(&current, &other), "{other}");
        }
        let mut later = Case::of(&current, &before, &wanted);
        later.generation += 1;
        assert!(!Judged(Some(later)).holds_for(&current, &wanted));
        let mut relabelled = before;
        relabelled["metadata"]["labels"] = json!({"tier": "pay"});
        assert!(!Judged(Some(Case::of(&current, &relabelled, &wanted))).holds_for(&current, &wanted));
    }
}
