//! `POST …/workloads/NAME/plan` and `GET …/incidents/NAME/plan`: what a changed spec, or an incident's plan, would do to
//! containers. Changes nothing. The answer is the planner's own, from whoever wired the server up.

use std::sync::Arc;

use aegis_api::wire::plan::WorkloadPlan;
use aegis_api::{Incident, KindInfo, Workload};
use aegis_runtime::{Part, StoreError, Stored};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::patch::Patch;
use super::write::{consistent, refused};
use super::{input, write};
use crate::body::{API_LIMIT, Whole};
use crate::state::{NoPlan, ServerState};
use crate::status::Status;

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
}

/// What a Workload's containers would go through with this change of it. The body is a patch, as `PATCH` takes it, or the
/// object whole (`application/json`); none asks about the spec as it is.
pub(super) async fn of_workload(
    State(state): State<ServerState>,
    path: Result<Path<Named>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
    body: Whole<API_LIMIT>,
) -> Result<Json<WorkloadPlan>, Status> {
    let Path(named) = path.map_err(|_| Status::no_route())?;
    let info = KindInfo::of::<Workload>();
    let patch = match body.0.is_empty() {
        true => Patch::Merge(json!({})),
        false if is_whole(&headers) => Patch::Apply(input::object(&body.0)?),
        false => write::parse(&headers, &body)?,
    };
    let wanted = changed(&state, info, &named.name, patch).await?;
    let workload = wanted.typed::<Workload>().ok_or_else(Status::no_route)?;
    answer(&state, workload).await
}

/// What an incident's plan would do to the workload as it is now.
pub(super) async fn of_incident(
    State(state): State<ServerState>,
    path: Result<Path<Named>, axum::extract::rejection::PathRejection>,
) -> Result<Json<WorkloadPlan>, Status> {
    let Path(named) = path.map_err(|_| Status::no_route())?;
    let info = KindInfo::of::<Incident>();
    let incident = state.store.get::<Incident>(&named.name);
    let incident = incident.ok_or_else(|| Status::not_found(info, &named.name))?;
    let Some(plan) = incident.status.as_ref().and_then(|status| status.plan.as_ref()) else {
        let message = format!("incident {} has no plan", named.name);
        return Err(Status::new(StatusCode::CONFLICT, "NoPlan", message));
    };
    let kind = KindInfo::of::<Workload>();
    let fields = serde_json::to_value(&plan.patch).unwrap_or_default();
    let patch = Patch::Merge(json!({"spec": fields}));
    let wanted = changed(&state, kind, plan.target.as_str(), patch).await?;
    let workload = wanted.typed::<Workload>().ok_or_else(Status::no_route)?;
    answer(&state, workload).await
}

/// Whether the body is the object as it is wanted, not a patch.
fn is_whole(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

/// The object as it would be stored.
async fn changed(
    state: &ServerState,
    info: &'static KindInfo,
    name: &str,
    patch: Patch,
) -> Result<Arc<Stored>, Status> {
    let answer = |result: Result<_, StoreError>| result.map_err(|error| Status::from_store(info, error));
    if let Patch::Apply(object) = &patch
        && state.store.get_stored(info, name).is_none()
    {
        let mut object = object.clone();
        named(&mut object, name)?;
        input::check(info, &object, state.store.defaults())?;
        return answer(state.store.create(info, object, true).await);
    }
    let edit = move |current: &Stored| {
        let wanted = patch.apply(&current.value).map_err(|why| refused(current, why))?;
        consistent(current, &wanted)?;
        let errors = input::errors(current.info, &wanted, current.defaults());
        match errors.is_empty() {
            true => Ok(wanted),
            false => Err(StoreError::Invalid {
                kind: current.info.kind.to_owned(),
                name: current.name().to_owned(),
                errors,
            }),
        }
    };
    answer(state.store.edit(info, name, Part::Spec, true, edit).await)
}

/// A new object has the name of the path.
fn named(object: &mut Value, name: &str) -> Result<(), Status> {
    let given = object.pointer("/metadata/name").and_then(Value::as_str);
    if given.is_some_and(|given| given != name) {
        return Err(Status::bad_request(format!(
            "metadata.name is {}, the path says {name}",
            given.unwrap_or_default()
        )));
    }
    if let Some(object) = object.as_object_mut() {
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("name".to_owned(), name.into());
        }
    }
    Ok(())
}

async fn answer(state: &ServerState, workload: Arc<Workload>) -> Result<Json<WorkloadPlan>, Status> {
    let plan = (state.plans)(workload).await.map_err(|why| match why {
        NoPlan::Invalid(message) => Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message),
        NoPlan::Unknown(message) => {
            Status::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
        }
    })?;
    Ok(Json(plan))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Answer, Server};

    const WEB: &str = "/apis/aegisops.io/v1alpha1/workloads/web";
    const MERGE: &str = "application/merge-patch+json";

    async fn ask(server: &Server, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let headers = [("content-type", kind)];
        server
            .ask_with(method, path, &headers, Some(body.to_owned()))
            .await
    }

    async fn server() -> Server {
        let server = Server::start().await;
        let web = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"container": "web", "replicas": 2}});
        let info = aegis_api::kinds::find("Workload").unwrap();
        server.store.create(info, web, false).await.unwrap();
        server
    }

    #[tokio::test]
    async fn a_changed_spec_is_planned_as_it_would_be_stored_and_nothing_is_changed() {
        let server = server().await;
        let patch = json!({"spec": {"replicas": 4}}).to_string();
        let answer = ask(&server, "POST", &format!("{WEB}/plan"), MERGE, &patch).await;
        assert_eq!(answer.code, StatusCode::OK, "{}", answer.text);
        assert_eq!(
            (
                answer.json()["workload"].clone(),
                answer.json()["replicas"].clone()
            ),
            (json!("web"), json!(4))
        );
        let stored = server.store.get::<aegis_api::Workload>("web").unwrap();
        assert_eq!(stored.spec.replicas, 2);
        // Without a change it is about the spec as it is; what is not there can be planned from a whole manifest.
        let answer = ask(&server, "POST", &format!("{WEB}/plan"), MERGE, "").await;
        assert_eq!(answer.json()["replicas"], 2);
        let new =
            json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "new"},
            "spec": {"template": {"image": "app:1"}, "replicas": 3}})
            .to_string();
        let path = "/apis/aegisops.io/v1alpha1/workloads/new/plan";
        let answer = ask(&server, "POST", path, "application/apply-patch+yaml", &new).await;
        assert_eq!(answer.json()["replicas"], 3, "{}", answer.text);
        assert!(server.store.get::<aegis_api::Workload>("new").is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_refused_with_the_field_and_what_is_not_there_is_not_found() {
        let server = server().await;
        let wrong = json!({"spec": {"replicas": -1}}).to_string();
        let answer = ask(&server, "POST", &format!("{WEB}/plan"), MERGE, &wrong).await;
        assert_eq!(answer.code, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert!(answer.text.contains("spec.replicas"), "{}", answer.text);
        let path = "/apis/aegisops.io/v1alpha1/workloads/none/plan";
        let answer = ask(&server, "POST", path, MERGE, "{}").await;
        assert_eq!(answer.code, StatusCode::NOT_FOUND, "{}", answer.text);
        let path = "/apis/aegisops.io/v1alpha1/incidents/none/plan";
        let answer = server.get(path).await;
        assert_eq!(answer.code, StatusCode::NOT_FOUND, "{}", answer.text);
    }
}
