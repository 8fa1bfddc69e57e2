//! Which shape an answer has, by the request's Accept header. Pure.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;

/// The shapes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Objects as they are.
    Objects,
    /// A human-readable table.
    Table,
}

impl<S: Send + Sync> FromRequestParts<S> for Shape {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        Ok(accept.map_or(Shape::Objects, shape))
    }
}

/// The first shape that the client names and we have.
fn shape(accept: &str) -> Shape {
    for wanted in accept.split(',') {
        let mut parameters = wanted.split(';').map(str::trim);
        let media = parameters.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let parameters: Vec<&str> = parameters.collect();
        if !parameters.iter().any(|parameter| parameter.starts_with("as=")) {
            return Shape::Objects;
        }
        if parameters.contains(&"as=Table")
            && parameters.contains(&"v=v1")
            && parameters.contains(&"g=meta.k8s.io")
        {
            return Shape::Table;
        }
    }
    Shape::Objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_sent_only_to_those_who_ask_for_the_version_we_have() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(shape(kubectl), Shape::Table);
        assert_eq!(
            shape("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Shape::Objects
        );
        assert_eq!(shape("application/json, */*"), Shape::Objects);
        assert_eq!(
            shape("application/vnd.kubernetes.protobuf,application/json"),
            Shape::Objects
        );
        assert_eq!(shape(""), Shape::Objects);
    }
}
