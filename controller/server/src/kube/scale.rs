//! The scale subresource: the number of replicas, and nothing else of an object.

use aegis_api::Workload;
use aegis_runtime::{Store, Stored};
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::target::Target;
use super::write::{change, consistent, refused};
use crate::autoscale;
use crate::status::Status;

/// The `Scale` of an object.
pub(super) fn view(object: &Value) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let count =
        |pointer: &str, default: u64| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(default);
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": at("/metadata/name"),
            "namespace": at("/metadata/namespace"),
            "uid": at("/metadata/uid"),
            "resourceVersion": at("/metadata/resourceVersion"),
            "creationTimestamp": at("/metadata/creationTimestamp"),
        },
        // Where the spec does not say, its default holds.
        "spec": {"replicas": count("/spec/replicas", 1)},
        "status": {"replicas": count("/status/replicas", 0), "selector": ""},
    })
}

/// Sets the number of replicas to that of the scale which `edit` makes of the current one.
pub(super) async fn set<F>(store: &Store, target: &Target, dry_run: bool, edit: F) -> Result<Response, Status>
where
    F: Fn(&Value) -> Result<Value, String> + Send + Sync + 'static,
{
    let edit = move |current: &Stored| {
        let scale = edit(&view(&current.value())).map_err(|why| refused(current, why))?;
        let metadata = json!({"metadata": scale.get("metadata")});
        consistent(current, &metadata)?;
        let replicas = scale
            .pointer("/spec/replicas")
            .cloned()
            .unwrap_or_else(|| 0.into());
        let mut object = current.value();
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("replicas".to_owned(), replicas);
        }
        Ok((object, ()))
    };
    let before = store.get_stored(target.info, &target.name);
    let before = before.and_then(|before| before.typed::<Workload>());
    let (stored, ()) = change(store, target, dry_run, edit).await?;
    let scale = view(&stored.value());
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_u64);
    let mut response = Json(&scale).into_response();
    if let (Some(before), Some(replicas)) = (before, replicas) {
        let note = autoscale::note(&before, u32::try_from(replicas).unwrap_or(u32::MAX));
        autoscale::warn(&mut response, note.as_deref());
    }
    Ok(response)
}
