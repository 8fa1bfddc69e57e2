//! The routes of `/files`: what is not in force as the files say, and held deletions. Pure.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::deletion::{Confirm, Confirmed, FileReport};

/// Adds the routes.
pub(super) fn add(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let report = answer::<FileReport>(
        generator,
        "Held deletions, and files and folders that are not in force.",
    );
    let get = json!({"summary": "List held deletions and faults of files", "tags": ["files"], "responses": {"200": report}});
    paths.insert("/files".to_owned(), json!({"get": get}));
    let wanted = generator.subschema_for::<Confirm>().to_value();
    let refused = json!({"description": "The role may not delete objects of this kind.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let post = json!({"summary": "Carry out deletions that are held", "tags": ["files"],
        "requestBody": {"required": true, "content": {"application/json": {"schema": wanted}}},
        "responses": {"200": answer::<Confirmed>(generator, "What became of each."), "403": refused}});
    paths.insert("/files/confirm".to_owned(), json!({"post": post}));
}

fn answer<T: JsonSchema>(generator: &mut SchemaGenerator, description: &str) -> Value {
    let schema = generator.subschema_for::<T>();
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
