//! What there is: versions, groups, resources. The least form of discovery, which every kubectl understands. Pure.

use aegis_api::{API_VERSION, GROUP, KINDS, KindInfo, VERSION};
use axum::Json;
use serde_json::{Value, json};

/// The verbs of every kind.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// A version of Kubernetes whose kubectl is fine: it picks its own behaviour by this, so ours would mislead it.
pub(super) async fn version() -> Json<Value> {
    Json(json!({
        "major": "1",
        "minor": "32",
        "gitVersion": "v1.32.0+aegisops",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

pub(super) async fn core_versions() -> Json<Value> {
    Json(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
}

pub(super) async fn groups() -> Json<Value> {
    let version = served_version();
    let group = json!({"name": GROUP, "versions": [version], "preferredVersion": version});
    Json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}))
}

pub(super) async fn group() -> Json<Value> {
    let version = served_version();
    Json(json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version,
    }))
}

fn served_version() -> Value {
    json!({"groupVersion": API_VERSION, "version": VERSION})
}

pub(super) async fn core_resources() -> Json<Value> {
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "v1",
        "resources": [{
            "name": "events", "singularName": "event", "namespaced": true, "kind": "Event",
            "verbs": ["get", "list", "watch"], "shortNames": ["ev"],
        }],
    }))
}

pub(super) async fn resources() -> Json<Value> {
    let resources: Vec<Value> = KINDS.iter().flat_map(of_kind).collect();
    Json(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": resources}),
    )
}

fn of_kind(info: &KindInfo) -> Vec<Value> {
    let mut resources = vec![
        json!({
            "name": info.plural, "singularName": info.singular, "namespaced": true, "kind": info.kind,
            "verbs": VERBS, "shortNames": info.short_names, "categories": info.categories,
        }),
        json!({
            "name": format!("{}/status", info.plural), "singularName": "", "namespaced": true, "kind": info.kind,
            "verbs": ["get"],
        }),
    ];
    if info.scalable {
        resources.push(json!({
            "name": format!("{}/scale", info.plural), "singularName": "", "namespaced": true, "kind": "Scale",
            "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
        }));
    }
    resources
}
