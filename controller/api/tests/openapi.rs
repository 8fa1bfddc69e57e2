//! The OpenAPI document that the page's client is generated from is the one of the Rust types.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking with words"
)]

use aegis_api::openapi::whole_document;
use serde_json::Value;

#[test]
fn the_committed_document_is_that_of_the_rust_types() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cockpit-web/src/api/openapi.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `make openapi`", path.display()));
    let committed: Value = serde_json::from_str(&text).unwrap();
    assert!(
        committed == whole_document("v1alpha1"),
        "{} differs from the Rust types: run `make openapi`",
        path.display()
    );
}
