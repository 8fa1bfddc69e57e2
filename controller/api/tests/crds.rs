//! The CRDs in `crds/` are those of the Rust types, and a cluster would take them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking with words"
)]

use std::path::Path;

use aegis_api::KINDS;
use serde_json::Value;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

#[test]
fn the_committed_crds_are_those_of_the_rust_types() {
    for info in KINDS.iter() {
        let path = folder().join(format!("{}.yaml", info.plural));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: run `make crds`", path.display()));
        let committed = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
        let mut wanted = serde_json::to_value(info.crd()).unwrap();
        aegis_api::validate::strip_nulls(&mut wanted);
        let mut committed_stripped = committed;
        aegis_api::validate::strip_nulls(&mut committed_stripped);
        assert!(
            committed_stripped == wanted,
            "{} differs from the Rust types: run `make crds`",
            path.display()
        );
    }
    let files = std::fs::read_dir(folder()).unwrap().count();
    assert_eq!(files, KINDS.len(), "crds/ holds files of no kind");
}

/// The rules for structural schemas, as the Kubernetes documentation of CustomResourceDefinitions states them.
fn assert_structural(path: &str, node: &Value) {
    let object = node
        .as_object()
        .unwrap_or_else(|| panic!("{path}: a schema is an object"));
    let keeps_unknown = node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    assert!(
        object.contains_key("type") || keeps_unknown,
        "{path}: every node needs a type"
    );
    for forbidden in [
        "$ref",
        "definitions",
        "$defs",
        "dependencies",
        "deprecated",
        "id",
        "patternProperties",
        "const",
        "examples",
    ] {
        assert!(
            !object.contains_key(forbidden),
            "{path}: {forbidden} is not allowed"
        );
    }
    assert!(
        node.get("type").is_none_or(Value::is_string),
        "{path}: one type, not a list"
    );
    assert!(
        !(object.contains_key("properties") && object.contains_key("additionalProperties")),
        "{path}: properties and additionalProperties exclude each other"
    );
    assert!(
        node.get("uniqueItems") != Some(&Value::Bool(true)),
        "{path}: uniqueItems may not be true"
    );
    for (name, inner) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        assert_structural(&format!("{path}.{name}"), inner);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = node.get(key).filter(|inner| inner.is_object()) {
            assert_structural(&format!("{path}.{key}"), inner);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for inner in node.get(key).and_then(Value::as_array).into_iter().flatten() {
            for structural in [
                "type",
                "description",
                "default",
                "additionalProperties",
                "nullable",
            ] {
                assert!(
                    inner.get(structural).is_none(),
                    "{path}.{key}: {structural} belongs outside"
                );
            }
        }
    }
    if let (Some(required), Some(properties)) = (
        node.get("required").and_then(Value::as_array),
        node.get("properties"),
    ) {
        for name in required {
            assert!(
                properties.get(name.as_str().unwrap()).is_some(),
                "{path}: {name} is required and unknown"
            );
        }
    }
}

#[test]
fn every_crd_is_a_valid_structural_schema() {
    for info in KINDS.iter() {
        assert_structural(info.kind, &info.schema());
        let crd = info.crd();
        let names = &crd.spec.names;
        assert_eq!(
            crd.metadata.name.as_deref(),
            Some(format!("{}.{}", info.plural, aegis_api::GROUP).as_str())
        );
        assert_eq!(names.plural, info.plural);
        let version = &crd.spec.versions[0];
        assert!(version.served && version.storage);
        assert!(
            version.subresources.as_ref().unwrap().status.is_some(),
            "{}: no status subresource",
            info.kind
        );
    }
}
