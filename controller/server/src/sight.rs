//! How much of an object the sender of a request sees. A sender that may change a spec sees it whole; to others the values of
//! environment variables are hidden. Pure but for the extractor.

use std::borrow::Cow;
use std::convert::Infallible;

use aegis_api::conceal::{conceal, holds_values};
use aegis_runtime::Stored;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::Value;

use crate::auth::{Identity, Need};
use crate::status::Status;

/// How much somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everything.
    Whole,
    /// Everything but values.
    Concealed,
}

impl Sight {
    pub(crate) fn of(identity: &Identity) -> Self {
        if Need::Operate.is_of(identity.role) {
            Self::Whole
        } else {
            Self::Concealed
        }
    }

    /// The object as it is shown.
    pub(crate) fn shows(self, object: &Value) -> Cow<'_, Value> {
        match self {
            Self::Whole => Cow::Borrowed(object),
            Self::Concealed => conceal(object),
        }
    }

    /// A stored object as it is shown, as JSON.
    pub(crate) fn text(self, object: &Stored) -> String {
        match self {
            Self::Whole => object.text().to_owned(),
            Self::Concealed => conceal(&object.value()).to_string(),
        }
    }

    /// Refuses a question from whose answer a hidden value could be found out.
    pub(crate) fn may_ask(self, about: &Value) -> Result<(), Status> {
        if self == Self::Concealed && holds_values(about) {
            return Err(Status::forbidden(
                "what a change of env would do is answered only to those who may see its values: this takes operator",
            ));
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sight {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // A request that was not authorised is answered as little as one can be.
        Ok(parts
            .extensions
            .get::<Identity>()
            .map_or(Self::Concealed, Self::of))
    }
}

#[cfg(test)]
mod tests;
