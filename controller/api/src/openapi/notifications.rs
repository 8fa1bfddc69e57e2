//! The routes of `/notifications`: where notifications go, what became of them, and a test message. Pure.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::wire::{NotificationList, NotificationTests};

/// Adds the routes.
pub(super) fn add(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let get = json!({"summary": "List where notifications go, and what became of the latest", "tags": ["notifications"],
        "responses": {"200": answer::<NotificationList>(generator, "Destinations and deliveries.")}});
    paths.insert("/notifications".to_owned(), json!({"get": get}));
    let post = json!({"summary": "Send a test message to every destination, or to one", "tags": ["notifications"],
    "parameters": [{"name": "destination", "in": "query", "required": false, "schema": {"type": "string"}}],
    "responses": {
        "200": answer::<NotificationTests>(generator, "What became of each; one that was stopped goes on if its test is taken."),
        "403": {"description": "The role may not.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
        "404": {"description": "There is no such destination.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
    }});
    paths.insert("/notifications/test".to_owned(), json!({"post": post}));
}

fn answer<T: JsonSchema>(generator: &mut SchemaGenerator, description: &str) -> Value {
    let schema = generator.subschema_for::<T>();
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
