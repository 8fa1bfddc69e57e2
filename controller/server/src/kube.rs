//! The Kubernetes-shaped API: what stock `kubectl` and `aegisctl` speak. A view of the store; no state of its own.

mod admission;
mod age;
pub(crate) mod apply;
mod attribution;
mod discovery;
mod events;
mod input;
mod jsonpath;
pub(crate) mod list;
mod log;
mod negotiate;
mod openapi;
pub(crate) mod page;
mod patch;
mod plan;
mod protobuf;
pub(crate) mod query;
mod read;
mod review;
mod scale;
mod selector;
mod table;
mod target;
mod warning;
mod watch;
mod write;

use axum::Router;
use axum::routing::{get, post};

use crate::state::ServerState;

/// Every route of the API.
pub(crate) fn routes() -> Router<ServerState> {
    let mut router = Router::new()
        .route("/version", get(discovery::version))
        .route("/api", get(discovery::core_versions))
        .route("/apis", get(discovery::groups))
        .route("/api/v1", get(discovery::core_resources))
        .route("/apis/aegisops.io", get(discovery::group))
        .route("/apis/aegisops.io/v1alpha1", get(discovery::resources))
        .route("/openapi/v2", get(openapi::v2))
        .route("/openapi/v3", get(openapi::index))
        .route("/openapi/v3/apis/aegisops.io/v1alpha1", get(openapi::document))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/namespaces/{namespace}/events", get(events::list))
        .route("/api/v1/namespaces/{namespace}/events/{name}", get(events::get))
        .route(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            post(review::access),
        )
        .route(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            post(review::rules),
        )
        .route(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            post(review::subject),
        );
    for base in [
        "/apis/aegisops.io/v1alpha1",
        "/apis/aegisops.io/v1alpha1/namespaces/{namespace}",
    ] {
        let one = get(read::get)
            .put(write::update)
            .patch(write::patch)
            .delete(write::delete);
        let part = get(read::part).put(write::part).patch(write::patch_part);
        router = router
            .route(&format!("{base}/{{plural}}"), get(list::list).post(write::create))
            .route(&format!("{base}/{{plural}}/{{name}}"), one)
            .route(&format!("{base}/workloads/{{name}}/log"), get(log::get))
            .route(
                &format!("{base}/workloads/{{name}}/plan"),
                post(plan::of_workload),
            )
            .route(&format!("{base}/incidents/{{name}}/plan"), get(plan::of_incident))
            .route(&format!("{base}/{{plural}}/{{name}}/{{subresource}}"), part);
    }
    router
}

#[cfg(test)]
mod tests;
