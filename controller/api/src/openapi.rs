//! The OpenAPI 3 documents: of the Kubernetes-shaped API (what `kubectl explain` reads), of the wire contract's routes,
//! and of both with the frames of `/ws`, which the page's client is generated from. All are derived from the types;
//! nothing is written twice. Pure.

mod access;
mod automation;
mod files;
mod frames;
mod kubernetes;
mod notifications;
mod plan;
mod rest;
mod whole;

pub use kubernetes::kubernetes_document;
pub use rest::rest_document;
pub use whole::whole_document;
