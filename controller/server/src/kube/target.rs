//! What the path of a request names: kind, namespace, object, part. Pure.

use aegis_api::{KINDS, KindInfo, NAMESPACE};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::status::Status;

/// What the path names.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) info: &'static KindInfo,
    /// `None`: all of them.
    pub(super) namespace: Option<String>,
    /// Empty: the collection.
    pub(super) name: String,
    /// Empty: the whole object.
    pub(super) subresource: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Status;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Status> {
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Err(Status::no_route());
        };
        let get = |wanted: &str| {
            params
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.to_owned())
        };
        let plural = get("plural").unwrap_or_default();
        let info = KINDS
            .iter()
            .find(|info| info.plural == plural)
            .ok_or_else(Status::no_route)?;
        Ok(Self {
            info,
            namespace: get("namespace"),
            name: get("name").unwrap_or_default(),
            subresource: get("subresource").unwrap_or_default(),
        })
    }
}

impl Target {
    /// Whether there can be anything: all objects are in the one namespace.
    pub(super) fn is_ours(&self) -> bool {
        self.namespace
            .as_deref()
            .is_none_or(|namespace| namespace == NAMESPACE)
    }

    /// Refuses an object of another namespace, where there is none.
    pub(super) fn exists(&self) -> Result<(), Status> {
        if self.is_ours() {
            Ok(())
        } else {
            Err(Status::not_found(self.info, &self.name))
        }
    }

    /// Refuses to put anything into another namespace.
    pub(super) fn takes(&self) -> Result<(), Status> {
        match &self.namespace {
            Some(namespace) if namespace != NAMESPACE => Err(Status::no_namespace(namespace)),
            _ => Ok(()),
        }
    }
}
