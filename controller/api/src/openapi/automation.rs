//! The routes of `/automation`: whether automation is paused, pausing and resuming it. Pure.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::automation::{AutomationView, PauseWanted};

/// Adds the routes.
pub(super) fn add(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let get = json!({"summary": "Say whether automation is paused", "tags": ["automation"],
        "responses": {"200": answer::<AutomationView>(generator, "Every pause in force.")}});
    paths.insert("/automation".to_owned(), json!({"get": get}));
    for (verb, summary) in [
        ("pause", "Pause automation, on the whole host or for one workload"),
        ("resume", "Let automation go on"),
    ] {
        let wanted = generator.subschema_for::<PauseWanted>().to_value();
        let refused = |description: &str| {
            json!({"description": description,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}})
        };
        let post = json!({"summary": summary, "tags": ["automation"],
        "requestBody": {"required": false, "content": {"application/json": {"schema": wanted}}},
        "responses": {
            "200": answer::<AutomationView>(generator, "Every pause in force after it."),
            "403": refused("The role may not."),
            "404": refused("There is no such workload."),
            "422": refused("The reason or the time is none."),
        }});
        paths.insert(format!("/automation/{verb}"), json!({"post": post}));
    }
}

fn answer<T: JsonSchema>(generator: &mut SchemaGenerator, description: &str) -> Value {
    let schema = generator.subschema_for::<T>();
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
