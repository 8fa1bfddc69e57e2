//! `POST …/workloads/NAME/plan` and `GET …/incidents/NAME/plan`: what a changed spec, or an incident's plan, would do to
//! containers. Changes nothing. The answer is the planner's own, from the program that wires the server up.

use std::sync::Arc;

use aegis_api::wire::plan::WorkloadPlan;
use aegis_api::{Incident, KindInfo, Workload};
use aegis_planning::incident::remedy::{carried_out_at, patched};
use aegis_runtime::{Part, StoreError, Stored};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::list::now;
use super::patch::Patch;
use super::target::Target;
use super::write::{consistent, refused};
use super::{input, write};
use crate::auth::Identity;
use crate::body::{API_LIMIT, BoundedBody};
use crate::places::Place;
use crate::sight::Sight;
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
    Extension(identity): Extension<Identity>,
    path: Result<Path<Named>, axum::extract::rejection::PathRejection>,
    sight: Sight,
    headers: HeaderMap,
    body: BoundedBody<API_LIMIT>,
) -> Result<Json<WorkloadPlan>, Status> {
    let Path(named) = path.map_err(|_| Status::no_route())?;
    let info = KindInfo::of::<Workload>();
    let _turn = turn(&state, &identity)?;
    let wanted = match body.0.is_empty() {
        true => Wanted::Patch(Patch::Merge(json!({}))),
        false if is_whole(&headers) => Wanted::Object(input::object(&body.0)?),
        false => Wanted::Patch(write::parse(&headers, &body)?),
    };
    wanted.may_be_asked(sight)?;
    let wanted = changed(&state, info, &named.name, wanted).await?;
    let workload = wanted.typed::<Workload>().ok_or_else(Status::no_route)?;
    answer(&state, workload).await
}

/// What an incident's plan would do to the workload as it is now.
pub(super) async fn of_incident(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
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
    let _turn = turn(&state, &identity)?;
    let kind = KindInfo::of::<Workload>();
    let target = state.store.get::<Workload>(plan.target.as_str());
    let target = target.ok_or_else(|| Status::not_found(kind, plan.target.as_str()))?;
    // As it is carried out once a human agrees: a restart is one of what runs at that moment.
    let plan = carried_out_at(plan, &target, now());
    let spec = serde_json::to_value(patched(&plan.patch, &target.spec));
    let spec =
        spec.map_err(|error| Status::internal(format!("the plan of {} is not JSON: {error}", plan.target)))?;
    let wanted = changed(&state, kind, plan.target.as_str(), Wanted::Spec(spec)).await?;
    let workload = wanted.typed::<Workload>().ok_or_else(Status::no_route)?;
    answer(&state, workload).await
}

/// Few at a time: an answer takes an inspection by the engine, and some computing.
fn turn(state: &ServerState, identity: &Identity) -> Result<Place, Status> {
    let place = state.planners.take(&identity.caller);
    place.map_err(|_| {
        Status::too_many("the server works out too many plans, or too many of yours: try again in a moment")
    })
}

/// What is asked about.
#[derive(Debug)]
enum Wanted {
    Patch(Patch),
    /// The object, whole.
    Object(Value),
    /// Its spec, whole.
    Spec(Value),
}

impl Wanted {
    /// Refuses what would let its sender find out what it is not shown: a JSON patch can test, copy and move values.
    fn may_be_asked(&self, sight: Sight) -> Result<(), Status> {
        match self {
            Self::Patch(Patch::Json(_)) if sight == Sight::Concealed => Err(Status::forbidden(
                "a JSON patch can read what it changes, so it takes operator: ask with a merge patch",
            )),
            Self::Patch(Patch::Json(_)) => Ok(()),
            Self::Patch(Patch::Merge(about) | Patch::Apply(about))
            | Self::Object(about)
            | Self::Spec(about) => sight.may_ask(about),
        }
    }

    /// The object as it would be written. May take long: not for the store's writer.
    fn apply(&self, current: &Value) -> Result<Value, String> {
        match self {
            Self::Patch(patch) => patch.apply(current),
            Self::Object(object) => Ok(object.clone()),
            Self::Spec(spec) => Ok(with_spec(current, spec.clone())),
        }
    }
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
    wanted: Wanted,
) -> Result<Arc<Stored>, Status> {
    let target = Target {
        info,
        namespace: None,
        name: name.to_owned(),
        subresource: String::new(),
    };
    let answer = |result: Result<_, StoreError>| result.map_err(|error| Status::from_store(info, error));
    let Some(current) = state.store.get_stored(info, name) else {
        let (Wanted::Object(mut object) | Wanted::Patch(Patch::Apply(mut object))) = wanted else {
            return Err(Status::not_found(info, name));
        };
        input::settle(&target, &mut object)?;
        input::check(info, &object, state.store.defaults())?;
        return answer(state.store.create(info, object, true).await);
    };
    let snapshot = Arc::clone(&current);
    let object = tokio::task::spawn_blocking(move || wanted.apply(&snapshot.value()));
    let object = object
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut object = object
        .map_err(|why| refused(&current, why))
        .and_then(|object| consistent(&current, &object).map(|()| object))
        .map_err(|error| Status::from_store(info, error))?;
    input::settle(&target, &mut object)?;
    input::check(info, &object, state.store.defaults())?;
    let spec = object.get("spec").cloned().unwrap_or_default();
    // Its status may have moved on since: only the spec is what is asked about.
    let edit = move |current: &Stored| Ok(with_spec(&current.value(), spec));
    answer(state.store.edit(info, name, Part::Spec, true, edit).await)
}

/// An object with another spec.
fn with_spec(object: &Value, spec: Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("spec".to_owned(), spec);
    }
    object
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

    use super::{Incident, KindInfo, Workload};
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

    #[tokio::test]
    async fn i14_an_incidents_plan_is_shown_as_it_is_carried_out_and_nothing_of_what_it_replaces_is_left() {
        let server = Server::start().await;
        let object = |kind: &str, name: &str, spec: serde_json::Value| json!({"apiVersion": "aegisops.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let template = json!({"image": "app:2", "env": {"BROKEN": "yes"}});
        let web = object(
            "Workload",
            "web",
            json!({"template": template, "restartedAt": "2026-01-01T00:00:00Z"}),
        );
        let incident = object(
            "Incident",
            "inc",
            json!({"workloadRef": "web", "alertType": "odd"}),
        );
        for (info, object) in [
            (KindInfo::of::<Workload>(), web),
            (KindInfo::of::<Incident>(), incident),
        ] {
            server.store.create(info, object, false).await.unwrap();
        }
        let preview = async |patch: serde_json::Value| {
            let plan = json!({"hash": "1", "action": "ROLLBACK", "target": "web", "parentGeneration": 1,
                "patch": patch, "createdAt": "2026-01-02T00:00:00Z"});
            let status = serde_json::from_value(json!({"phase": "AWAITING_APPROVAL", "plan": plan})).unwrap();
            let uid = server
                .store
                .get::<Incident>("inc")
                .unwrap()
                .metadata
                .uid
                .clone()
                .unwrap();
            server
                .store
                .set_status::<Incident>("inc", &uid, status)
                .await
                .unwrap();
            let answer = server.get("/apis/aegisops.io/v1alpha1/incidents/inc/plan").await;
            assert_eq!(answer.code, StatusCode::OK, "{}", answer.text);
            answer.json()["clients"]["message"].as_str().unwrap().to_owned()
        };
        let asked = preview(json!({"template": {"image": "app:1"}})).await;
        assert!(asked.contains("app:1") && !asked.contains("BROKEN"), "{asked}");
        // A restart is one of what runs when a human agrees, however long ago the plan was made.
        let asked = preview(json!({"restartedAt": "2026-01-02T00:00:00Z"})).await;
        assert!(
            !asked.contains("2026-01-02") && !asked.contains("2026-01-01"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_whole_object_replaces_what_is_there_and_a_few_are_worked_out_at_a_time() {
        let server = server().await;
        let whole = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"container": "web"}});
        let answer = ask(
            &server,
            "POST",
            &format!("{WEB}/plan"),
            "application/json",
            &whole.to_string(),
        )
        .await;
        assert_eq!(answer.json()["replicas"], 1, "{}", answer.text);
        let all = server.state.planners.all.acquire_many(4).await.unwrap();
        let answer = ask(&server, "POST", &format!("{WEB}/plan"), MERGE, "{}").await;
        assert_eq!(answer.code, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
        drop(all);
        let answer = ask(&server, "POST", &format!("{WEB}/plan"), MERGE, "{}").await;
        assert_eq!(answer.code, StatusCode::OK, "{}", answer.text);
    }
}
