//! `Status`: what the Kubernetes-shaped API answers instead of an object, to the letter that kubectl reads. Pure.

use std::borrow::Cow;

use aegis_api::validate::Cause;
use aegis_api::{FieldError, GROUP, KindInfo, VERSION};
use aegis_runtime::{Expired, StoreError};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::kube::apply;

/// Seconds after which an overloaded server may be asked again.
const COME_BACK: u64 = 1;

/// A failure, as the API reports it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: Cow<'static, str>,
    details: Value,
    /// Where a list goes on.
    next: Option<String>,
}

impl Status {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
            next: None,
        }
    }

    fn about(mut self, kind: &str, name: &str, causes: &[FieldError]) -> Self {
        let causes: Vec<Value> = causes
            .iter()
            .map(|error| json!({"reason": error.cause.as_str(), "message": error.message, "field": error.field}))
            .collect();
        self.details = if causes.is_empty() {
            json!({"name": name, "group": GROUP, "kind": kind})
        } else {
            json!({"name": name, "group": GROUP, "kind": kind, "causes": causes})
        };
        self
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// There is no such path.
    pub(crate) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(crate) fn not_found(info: &KindInfo, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource(info));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(info.plural, name, &[])
    }

    pub(crate) fn no_namespace(namespace: &str) -> Self {
        let mut status = Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("namespaces \"{namespace}\" not found"),
        );
        status.details = json!({"name": namespace, "kind": "namespaces"});
        status
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn already_exists(info: &KindInfo, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource(info));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(info.plural, name, &[])
    }

    pub(crate) fn conflict(info: &KindInfo, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource(info)
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(info.plural, name, &[])
    }

    /// Fields that other field managers have applied.
    pub(crate) fn apply_conflict(info: &KindInfo, name: &str, conflicts: &[FieldError]) -> Self {
        let (count, s) = (conflicts.len(), if conflicts.len() == 1 { "" } else { "s" });
        let message = format!(
            "Apply failed with {count} conflict{s}: {}",
            apply::words(conflicts)
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(info.plural, name, conflicts)
    }

    /// Fields that are refused: unknown ones are a decoding error, others a validation error.
    pub(crate) fn invalid(info: &KindInfo, name: &str, errors: &[FieldError]) -> Self {
        if errors.iter().any(|error| error.cause == Cause::Unknown) {
            return Self::strict(info, name, errors);
        }
        let all: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let listed = match all.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        };
        let message = format!("{}.{GROUP} \"{name}\" is invalid: {listed}", info.kind);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(info.kind, name, errors)
    }

    fn strict(info: &KindInfo, name: &str, errors: &[FieldError]) -> Self {
        let all: Vec<String> = errors.iter().map(strict_words).collect();
        let message = format!(
            "{kind} in version \"{VERSION}\" cannot be handled as a {kind}: strict decoding error: {}",
            all.join(", "),
            kind = info.kind,
        );
        Self::bad_request(message).about(info.plural, name, errors)
    }

    /// An object that no rule of a field, but the request as a whole, makes unacceptable.
    pub(crate) fn unprocessable(info: &KindInfo, name: &str, why: &str) -> Self {
        let message = format!("{}.{GROUP} \"{name}\" is invalid: {why}", info.kind);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(info.kind, name, &[])
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// A session's cookie without its secret.
    pub(crate) fn unproved_session() -> Self {
        let message = "Unauthorized: the cookie of a session is worth nothing alone: send the csrfToken that the login \
                       answered as X-CSRF-Token, on /ws as the sub-protocol aegis.session.<csrfToken>, or log in again";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// A request on behalf of somebody else.
    pub(crate) fn no_impersonation() -> Self {
        Self::forbidden(
            "impersonation is not offered: leave out --as, --as-group and --as-uid (the headers Impersonate-*), and send \
             the token of that user",
        )
    }

    /// A host that is not this one.
    pub(crate) fn misdirected() -> Self {
        let message = "this controller is not known by the name in Host: reach it by an address or localhost, or add the \
                       name to AEGIS_PUBLIC_HOSTS (--public-hosts)";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "MisdirectedRequest", message)
    }

    /// An address at which only alerts are taken.
    pub(crate) fn alerts_only() -> Self {
        let message = "on this network only /webhook and /healthz are offered: ask the controller at another of its addresses";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// A login link that is good no more.
    pub(crate) fn spent_link() -> Self {
        let message = "This link has been used or has expired: aegisctl token once makes a new one";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// What only an admin may write, by field.
    pub(crate) fn not_admitted(info: &KindInfo, name: &str, errors: &[FieldError]) -> Self {
        let all: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let message = format!("{} \"{name}\" is forbidden: {}", resource(info), all.join("; "));
        Self::forbidden(message).about(info.plural, name, errors)
    }

    /// A part of an object that only the controller writes.
    pub(crate) fn controller_only(info: &KindInfo, name: &str) -> Self {
        let why = "status is written by the controller only";
        let message = format!("{} \"{name}\" is forbidden: {why}", resource(info));
        Self::forbidden(message).about(info.plural, name, &[])
    }

    /// A page of a list as it was at a moment that is not known any more; `next` leads to the rest as it is now.
    pub(crate) fn page_expired(next: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                       list without the continue parameter, or use the continue token in this response to retrieve the \
                       remainder of the results. Continuing with the provided token results in an inconsistent list - \
                       objects that were created, modified, or deleted between the time the first chunk was returned and \
                       now may show up in the list.";
        Self {
            next: Some(next),
            ..Self::new(StatusCode::GONE, "Expired", message)
        }
    }

    pub(crate) fn expired(expired: Expired) -> Self {
        let message = format!("too old resource version: {} ({})", expired.since, expired.oldest);
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(crate) fn unknown_format(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    /// Too much at once: come back in a moment.
    pub(crate) fn too_many(what: &'static str) -> Self {
        let mut status = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", what);
        status.details = json!({"retryAfterSeconds": COME_BACK});
        status
    }

    /// There is no room for a body now: senders repeat it.
    pub(crate) fn no_room() -> Self {
        let what = "the alerts that are under way take all memory there is for them, or all there is for this address: send this again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", what)
    }

    /// Too often: come back after so many seconds.
    pub(crate) fn come_back(what: &'static str, seconds: u64) -> Self {
        let mut status = Self::too_many(what);
        status.details = json!({"retryAfterSeconds": seconds});
        status
    }

    pub(crate) fn timeout(message: &'static str) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    /// The state directory's disk is full, as these words of the store say.
    fn full(said: &str) -> Self {
        let message = format!("{said}: nothing was changed; free some space there, then try again");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// As it goes over the wire.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let mut fields = vec![
            ("kind", "Status".into()),
            ("apiVersion", "v1".into()),
            ("metadata", self.metadata().into()),
            ("status", "Failure".into()),
            ("message", self.message.clone().into()),
            ("reason", self.reason.into()),
            ("code", self.code.as_u16().into()),
        ];
        if !self.details.is_null() {
            fields.push(("details", self.details.clone()));
        }
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn metadata(&self) -> Map<String, Value> {
        let next = self
            .next
            .iter()
            .map(|next| ("continue".to_owned(), next.as_str().into()));
        next.collect()
    }

    /// Headers that belong to it.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.code == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"aegisops\""),
            );
        }
        if self.code == StatusCode::TOO_MANY_REQUESTS || self.code == StatusCode::SERVICE_UNAVAILABLE {
            let given = self.details.get("retryAfterSeconds").and_then(Value::as_u64);
            headers.insert(RETRY_AFTER, HeaderValue::from(given.unwrap_or(COME_BACK)));
        }
        headers
    }

    /// What the store said about an object of this kind.
    pub(crate) fn from_store(info: &KindInfo, error: StoreError) -> Self {
        match error {
            StoreError::NotFound { name, .. } => Self::not_found(info, &name),
            StoreError::AlreadyExists { name, .. } => Self::already_exists(info, &name),
            StoreError::Conflict { name, message, .. } => Self::conflict(info, &name, &message),
            StoreError::Invalid { name, errors, .. } => Self::invalid(info, &name, &errors),
            StoreError::Refused { name, message, .. } => Self::unprocessable(info, &name, &message),
            error @ StoreError::TooMany { .. } => {
                let (code, message) = (StatusCode::INSUFFICIENT_STORAGE, error.to_string());
                Self::new(code, "InsufficientStorage", message)
            }
            StoreError::Closed => {
                let code = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(code, "ServiceUnavailable", "the server is shutting down")
            }
            error @ (StoreError::Disk { .. } | StoreError::Locked { .. }) => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                tracing::error!(error = %error, source = source.as_deref().unwrap_or_default(), "the store failed");
                if error.is_full() {
                    return Self::full(&format!("{error}{}", source.unwrap_or_default()));
                }
                Self::internal(format!("{error}{}", source.unwrap_or_default()))
            }
        }
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        (self.code, self.headers(), Json(self.to_map())).into_response()
    }
}

/// `workloads.aegisops.io`.
pub(crate) fn resource(info: &KindInfo) -> String {
    format!("{}.{GROUP}", info.plural)
}

/// An unknown field as Kubernetes words it, with our hint; any other error as it is.
fn strict_words(error: &FieldError) -> String {
    if error.cause != Cause::Unknown {
        return format!("{}: {}", error.field, error.message);
    }
    let hint = error.message.strip_prefix("unknown field").unwrap_or_default();
    let hint = hint.split(": allowed here are").next().unwrap_or_default();
    format!("unknown field {:?}{hint}", error.field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;

    fn workload() -> &'static KindInfo {
        find("wl").unwrap()
    }

    fn errors(spec: &Value) -> Vec<FieldError> {
        workload()
            .decode(json!({"metadata": {"name": "web"}, "spec": spec}))
            .unwrap_err()
    }

    #[test]
    fn a_missing_object_is_named_as_kubectl_prints_it() {
        assert_eq!(
            Value::from(Status::not_found(workload(), "x").to_map()),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "workloads.aegisops.io \"x\" not found", "reason": "NotFound",
                "details": {"name": "x", "group": "aegisops.io", "kind": "workloads"}, "code": 404})
        );
    }

    #[test]
    fn one_invalid_field_is_in_the_message_and_in_the_causes() {
        let status = Status::invalid(
            workload(),
            "web",
            &errors(&json!({"container": "a", "replicas": -1})),
        )
        .to_map();
        assert_eq!(
            status["message"],
            "Workload.aegisops.io \"web\" is invalid: spec.replicas: Invalid value: -1: must be 0 or more"
        );
        assert_eq!(status["code"], 422);
        assert_eq!(status["details"]["kind"], "Workload");
        assert_eq!(
            status["details"]["causes"],
            json!([{"reason": "FieldValueInvalid", "field": "spec.replicas",
                "message": "Invalid value: -1: must be 0 or more"}])
        );
    }

    #[test]
    fn an_unknown_field_is_a_strict_decoding_error_with_a_hint() {
        let status = Status::invalid(
            workload(),
            "web",
            &errors(&json!({"container": "a", "replicaz": 2})),
        )
        .to_map();
        assert_eq!(
            status["message"],
            "Workload in version \"v1alpha1\" cannot be handled as a Workload: strict decoding error: \
             unknown field \"spec.replicaz\" (did you mean \"replicas\"?)"
        );
        assert_eq!(status["code"], 400);
        assert_eq!(status["reason"], "BadRequest");
    }

    #[test]
    fn conflicts_and_expiry_have_the_words_that_clients_look_for() {
        let store = StoreError::Conflict {
            kind: "Workload".to_owned(),
            name: "web".to_owned(),
            message: "the object has been modified".to_owned(),
        };
        let status = Status::from_store(workload(), store);
        assert_eq!(
            status.message,
            "Operation cannot be fulfilled on workloads.aegisops.io \"web\": the object has been modified"
        );
        let status = Status::expired(Expired { since: 1, oldest: 2 });
        assert_eq!(status.message, "too old resource version: 1 (2)");
        assert_eq!((status.code.as_u16(), status.reason), (410, "Expired"));
    }
}
