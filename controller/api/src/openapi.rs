//! The OpenAPI 3 documents: of the Kubernetes-shaped API (what `kubectl explain` reads) and of the wire contract's
//! routes. Both are derived from the types; nothing is written twice. Pure.

mod kubernetes;
mod rest;

pub use kubernetes::kubernetes_document;
pub use rest::rest_document;
