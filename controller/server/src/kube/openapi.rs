//! The OpenAPI documents: what `kubectl explain` shows and what `kubectl apply` validates against. The document is made once. Pure.

use std::sync::LazyLock;

use aegis_api::openapi::kubernetes_document;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

struct Document {
    bytes: Bytes,
    hash: String,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let bytes = Bytes::from(kubernetes_document().to_string());
    let hash = Sha256::digest(&bytes)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02X}"))
        .collect();
    Document { bytes, hash }
});

/// The older document, which is never empty-handed: no bytes are a valid empty one, and kubectl then relies on the newer.
pub(super) async fn v2() -> impl IntoResponse {
    let media = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    (
        [(CONTENT_TYPE, media), (CACHE_CONTROL, "max-age=3600")],
        Bytes::new(),
    )
}

pub(super) async fn index() -> Json<Value> {
    let path = "apis/aegisops.io/v1alpha1";
    let url = format!("/openapi/v3/{path}?hash={}", DOCUMENT.hash);
    Json(json!({"paths": {path: {"serverRelativeURL": url}}}))
}

/// The document; under its hash it never changes.
pub(super) async fn document() -> Response {
    let etag = format!("\"{}\"", DOCUMENT.hash);
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CACHE_CONTROL, "public, immutable, max-age=31536000".to_owned()),
        (ETAG, etag),
    ];
    (headers, DOCUMENT.bytes.clone()).into_response()
}
