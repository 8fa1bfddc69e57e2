//! The document of the group's version, as `/openapi/v3/apis/aegisops.io/v1alpha1` answers it. Pure.

use serde_json::{Map, Value, json};

use crate::kinds::{KINDS, KindInfo};
use crate::{API_VERSION, GROUP, VERSION};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The document.
pub fn kubernetes_document() -> Value {
    let mut schemas = meta_schemas();
    let mut paths = Map::new();
    for info in KINDS.iter() {
        schemas.insert(schema_name(info.kind), object_schema(info));
        let list = list_schema(info.kind, &schema_name(info.kind));
        let list = with_gvk(list, &format!("{}List", info.kind));
        schemas.insert(schema_name(&format!("{}List", info.kind)), list);
        let collection = format!("/apis/{API_VERSION}/namespaces/{{namespace}}/{}", info.plural);
        paths.insert(format!("{collection}/{{name}}"), object_path(info));
        paths.insert(collection, collection_path(info));
        paths.insert(
            format!("/apis/{API_VERSION}/{}", info.plural),
            json!({"get": operation(info, "list", true)}),
        );
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "AegisOps", "version": VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

pub(super) fn schema_name(kind: &str) -> String {
    format!("io.aegisops.{VERSION}.{kind}")
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn gvk(kind: &str) -> Value {
    json!({"group": GROUP, "version": VERSION, "kind": kind})
}

fn object_schema(info: &KindInfo) -> Value {
    let mut schema = info.schema();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(
            "apiVersion".to_owned(),
            json!({"type": "string", "description": "Version of the schema."}),
        );
        properties.insert(
            "kind".to_owned(),
            json!({"type": "string", "description": "What the object is."}),
        );
        let metadata =
            json!({"description": "Name, labels and the like.", "allOf": [reference(OBJECT_META)]});
        properties.insert("metadata".to_owned(), metadata);
    }
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "x-kubernetes-group-version-kind".to_owned(),
            json!([gvk(info.kind)]),
        );
    }
    schema
}

/// A list of objects of this kind, whose schema has this name.
pub(super) fn list_schema(kind: &str, schema: &str) -> Value {
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string", "description": format!("{kind}List")},
            "metadata": {"allOf": [reference(LIST_META)]},
            "items": {"type": "array", "items": reference(schema)},
        },
    })
}

fn with_gvk(mut schema: Value, kind: &str) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk(kind)]));
    }
    schema
}

fn meta_schemas() -> Map<String, Value> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts = |description: &str| json!({"type": "object", "additionalProperties": {"type": "string"}, "description": description});
    let time =
        |description: &str| json!({"type": "string", "format": "date-time", "description": description});
    let object_meta = json!({
        "type": "object",
        "description": "What every object has.",
        "properties": {
            "name": text("Name of the object; also the name of its file in the state directory."),
            "generateName": text("Prefix of a name that the server makes."),
            "namespace": text("Always `default`: a controller manages one host."),
            "labels": texts("Short texts to select objects by."),
            "annotations": texts("Texts for display and for tools."),
            "finalizers": {"type": "array", "items": {"type": "string"},
                "description": "Who still has work to do before the object may go."},
            "ownerReferences": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "description": "Objects this one belongs to."},
            "uid": text("Identifies this object for ever. Written by the server."),
            "resourceVersion": text("Changes with every change of the object. Written by the server."),
            "generation": {"type": "integer", "format": "int64",
                "description": "Rises with every change of the spec. Written by the server."},
            "creationTimestamp": time("When it was made. Written by the server."),
            "deletionTimestamp": time("When its deletion was requested. Written by the server."),
        },
    });
    let list_meta =
        json!({"type": "object", "properties": {"resourceVersion": text("The revision of the whole.")}});
    [
        (OBJECT_META.to_owned(), object_meta),
        (LIST_META.to_owned(), list_meta),
    ]
    .into_iter()
    .collect()
}

fn collection_path(info: &KindInfo) -> Value {
    json!({
        "get": operation(info, "list", true),
        "post": operation(info, "create", false),
        "parameters": [path_parameter("namespace")],
    })
}

fn object_path(info: &KindInfo) -> Value {
    let actions = [
        ("get", "get"),
        ("put", "update"),
        ("patch", "patch"),
        ("delete", "delete"),
    ];
    let operations = actions
        .into_iter()
        .map(|(method, action)| (method.to_owned(), operation(info, action, false)));
    let mut path: Map<String, Value> = operations.collect();
    path.insert(
        "parameters".to_owned(),
        json!([path_parameter("namespace"), path_parameter("name")]),
    );
    path.into()
}

fn operation(info: &KindInfo, action: &str, many: bool) -> Value {
    let writes = matches!(action, "create" | "update" | "patch");
    let names: &[&str] = match action {
        "list" => &[
            "labelSelector",
            "fieldSelector",
            "resourceVersion",
            "watch",
            "timeoutSeconds",
            "limit",
            "continue",
        ],
        _ if writes => &["dryRun", "fieldManager", "fieldValidation", "force"],
        _ => &[],
    };
    let parameters: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    let answer = if many {
        schema_name(&format!("{}List", info.kind))
    } else {
        schema_name(info.kind)
    };
    let content = json!({"application/json": {"schema": reference(&answer)}});
    let mut operation = json!({
        "operationId": format!("{action}{}", info.kind),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(info.kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content}},
    });
    if writes && let Value::Object(fields) = &mut operation {
        fields.insert("requestBody".to_owned(), json!({"content": bodies(info, action)}));
    }
    operation
}

fn bodies(info: &KindInfo, action: &str) -> Map<String, Value> {
    let types: &[&str] = match action {
        "patch" => &[
            "application/merge-patch+json",
            "application/json-patch+json",
            "application/apply-patch+yaml",
        ],
        _ => &["application/json", "application/yaml"],
    };
    let schema = if action == "patch" {
        json!({})
    } else {
        reference(&schema_name(info.kind))
    };
    types
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": schema})))
        .collect()
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema_and_paths_that_name_it() {
        let document = kubernetes_document();
        for info in KINDS.iter() {
            let schema = &document["components"]["schemas"][schema_name(info.kind)];
            assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], info.kind);
            assert!(
                schema["properties"]["spec"]["properties"].is_object(),
                "{}",
                info.kind
            );
            let path = format!(
                "/apis/{API_VERSION}/namespaces/{{namespace}}/{}/{{name}}",
                info.plural
            );
            assert_eq!(
                document["paths"][path]["get"]["x-kubernetes-group-version-kind"]["kind"],
                info.kind
            );
        }
    }
}
