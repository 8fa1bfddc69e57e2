//! Objects as clients send them: read from JSON or YAML, brought in line with the path, and checked to the last field.
//! Pure.

use aegis_api::defaults::Defaults;
use aegis_api::validate::Cause;
use aegis_api::{API_VERSION, FieldError, KindInfo, NAMESPACE, yaml};
use serde_json::{Map, Value};

use super::target::Target;
use crate::status::Status;

/// Fields that an object's metadata may have; those that the server writes are taken and ignored.
const METADATA: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// How typed clients begin a binary body.
const PROTOBUF: &[u8] = b"k8s\0";

/// Reads one object, whatever the content type says.
pub(super) fn object(body: &[u8]) -> Result<Value, Status> {
    let value = document(body)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Status::bad_request("the body of the request is not an object"))
    }
}

/// Reads one document.
pub(super) fn document(body: &[u8]) -> Result<Value, Status> {
    if body.starts_with(PROTOBUF) {
        return Err(Status::unknown_format("application/json, application/yaml"));
    }
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| Status::bad_request("the body of the request is not UTF-8"))?;
    let start = text.trim_start();
    if start.starts_with(['{', '[']) || start == "null" {
        let value = serde_json::from_str(text);
        return value
            .map_err(|error| Status::bad_request(format!("the body of the request is no JSON: {error}")));
    }
    let mut documents = yaml::parse(text)
        .map_err(|error| Status::bad_request(format!("the body of the request is no YAML: {error}")))?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document.value),
        (None, _) => Err(Status::bad_request("the body of the request is empty")),
        (Some(_), false) => Err(Status::bad_request("send one object a request")),
    }
}

/// Fills in what the path says already, and refuses what contradicts it.
pub(super) fn settle(target: &Target, object: &mut Value) -> Result<(), Status> {
    let Value::Object(fields) = object else {
        return Err(Status::bad_request("the body of the request is not an object"));
    };
    agree(fields, "apiVersion", API_VERSION, |found| {
        format!(
            "the API version in the data ({found}) does not match the expected API version ({API_VERSION})"
        )
    })?;
    let kind = target.info.kind;
    agree(fields, "kind", kind, |found| {
        format!("the kind in the data ({found}) does not match the expected kind ({kind})")
    })?;
    let metadata = fields.entry("metadata").or_insert_with(|| Map::new().into());
    let Value::Object(metadata) = metadata else {
        return Err(Status::bad_request("metadata is not an object"));
    };
    agree(metadata, "namespace", NAMESPACE, |_| {
        "the namespace of the provided object does not match the namespace sent on the request".to_owned()
    })?;
    if !target.name.is_empty() {
        return agree(metadata, "name", &target.name, |found| {
            format!(
                "the name of the object ({found}) does not match the name on the URL ({})",
                target.name
            )
        });
    }
    let prefix = metadata
        .get("generateName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !prefix.is_empty() && !metadata.contains_key("name") {
        metadata.insert("name".to_owned(), generated(&prefix).into());
    }
    Ok(())
}

fn agree(
    fields: &mut Map<String, Value>,
    field: &str,
    expected: &str,
    refuse: impl FnOnce(&str) -> String,
) -> Result<(), Status> {
    match fields.get(field) {
        None | Some(Value::Null) => {
            fields.insert(field.to_owned(), expected.into());
            Ok(())
        }
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(Value::String(found)) => Err(Status::bad_request(refuse(found))),
        Some(other) => Err(Status::bad_request(refuse(&other.to_string()))),
    }
}

/// A name with five random characters, from an alphabet that spells no words.
fn generated(prefix: &str) -> String {
    let alphabet: Vec<char> = "bcdfghjklmnpqrstvwxz2456789".chars().collect();
    let random = uuid::Uuid::new_v4().into_bytes();
    let letters = random
        .iter()
        .take(5)
        .filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()));
    letters.fold(prefix.to_owned(), |mut name, letter| {
        name.push(*letter);
        name
    })
}

/// Every field that is refused.
pub(super) fn errors(info: &KindInfo, object: &Value, defaults: &Defaults) -> Vec<FieldError> {
    let mut errors = info
        .decode_with(object.clone(), defaults)
        .err()
        .unwrap_or_default();
    let metadata = object.get("metadata").and_then(Value::as_object);
    let unknown = metadata
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| !METADATA.contains(&name.as_str()));
    errors.extend(unknown.map(|name| FieldError {
        field: format!("metadata.{name}"),
        cause: Cause::Unknown,
        message: "unknown field".to_owned(),
        position: None,
    }));
    errors
}

/// Refuses an object with any field that is.
pub(super) fn check(info: &KindInfo, object: &Value, defaults: &Defaults) -> Result<(), Status> {
    let errors = errors(info, object, defaults);
    if errors.is_empty() {
        return Ok(());
    }
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Err(Status::invalid(info, name, &errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;
    use serde_json::json;

    fn target(name: &str) -> Target {
        Target {
            info: find("wl").unwrap(),
            namespace: Some("default".to_owned()),
            name: name.to_owned(),
            subresource: String::new(),
        }
    }

    #[test]
    fn json_and_yaml_are_read_and_anything_else_is_a_bad_request() {
        assert_eq!(object(b" {\"a\": 1}").unwrap(), json!({"a": 1}));
        assert_eq!(object(b"# c\na: 1\n").unwrap(), json!({"a": 1}));
        for bad in [
            &b"null"[..],
            b"[]",
            b"",
            b"{",
            b"a: [",
            b"\xff",
            b"a: 1\n---\nb: 2\n",
            b"text",
        ] {
            assert_eq!(object(bad).unwrap_err().code.as_u16(), 400, "{bad:?}");
        }
        assert_eq!(object(b"k8s\0x").unwrap_err().code.as_u16(), 415);
    }

    #[test]
    fn what_the_path_says_is_filled_in_and_contradictions_are_refused() {
        let mut object = json!({"spec": {}});
        settle(&target("web"), &mut object).unwrap();
        assert_eq!(object["metadata"], json!({"name": "web", "namespace": "default"}));
        assert_eq!(object["kind"], "Workload");
        for bad in [
            json!({"apiVersion": "v1"}),
            json!({"kind": "Pod"}),
            json!({"metadata": {"namespace": "other"}}),
            json!({"metadata": {"name": "db"}}),
            json!({"metadata": 1}),
        ] {
            assert_eq!(
                settle(&target("web"), &mut bad.clone())
                    .unwrap_err()
                    .code
                    .as_u16(),
                400,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_name_is_generated_where_a_prefix_asks_for_it() {
        let mut object = json!({"metadata": {"generateName": "inc-"}});
        settle(&target(""), &mut object).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("inc-") && name.len() == 9, "{name}");
    }

    #[test]
    fn a_misspelt_field_is_found_at_every_level() {
        let object = json!({"metadata": {"name": "web", "lables": {}}, "sepc": {}, "spec": {"container": "a", "x": 1}});
        let fields: Vec<String> = errors(find("wl").unwrap(), &object, &Defaults::default())
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert!(fields.contains(&"metadata.lables".to_owned()), "{fields:?}");
        assert!(
            fields.contains(&"sepc".to_owned()) && fields.contains(&"spec.x".to_owned()),
            "{fields:?}"
        );
    }
}
