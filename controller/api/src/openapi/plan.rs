//! The routes that report what a change would do before it is made. Pure.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::API_VERSION;
use crate::wire::plan::WorkloadPlan;

/// Adds the routes.
pub(super) fn add(paths: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let schema = generator.subschema_for::<WorkloadPlan>().to_value();
    let name = json!({"name": "name", "in": "path", "required": true, "schema": {"type": "string"}});
    let refused = |description: &str| {
        json!({"description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}})
    };
    let responses = |conflict: &str| {
        json!({
            "200": {"description": "What containers would go through.",
                "content": {"application/json": {"schema": schema}}},
            "404": refused("There is no such object."),
            "409": refused(conflict),
            "422": refused("The spec is not valid, or cannot be followed as things stand."),
            "503": refused("The engine does not answer."),
        })
    };
    let any = json!({"schema": {"type": "object"}});
    let post = json!({"summary": "Say what a change of a Workload would do", "tags": ["workloads"], "parameters": [name],
        "description": "The body is a patch as PATCH takes it, or the whole object as application/json; none asks about \
                        the spec as it is. Nothing is changed.",
        "requestBody": {"required": false, "content": {
            "application/merge-patch+json": any, "application/json-patch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "application/json": any}},
        "responses": responses("It was changed meanwhile.")});
    let get = json!({"summary": "Say what the plan of an Incident would do now", "tags": ["incidents"], "parameters": [name],
        "responses": responses("It has no plan.")});
    paths.insert(
        format!("/apis/{API_VERSION}/workloads/{{name}}/plan"),
        json!({"post": post}),
    );
    paths.insert(
        format!("/apis/{API_VERSION}/incidents/{{name}}/plan"),
        json!({"get": get}),
    );
}
