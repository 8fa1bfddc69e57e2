//! When an object has become what is desired, for `--wait`. Pure but for [`wait`].

use std::time::Duration;

use aegis_api::ConditionType;
use serde_json::Value;

use crate::client::Client;
use crate::error::CliError;
use crate::target::Target;
use crate::text;

/// Whether a change has been carried out; an error where it never will be.
///
/// A Workload or LoadBalancer: the controller has seen this generation, the condition `Ready` is true, and a Workload has
/// exactly its replicas. An Incident: it has ended, and well, or as a dry run. Other kinds only state what is wanted: they
/// are settled at once.
pub(crate) fn is_settled(object: &Value) -> Result<bool, CliError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    match text("/kind") {
        Some("Incident") => match text("/status/phase") {
            Some("RESOLVED" | "DRY_RUN") => Ok(true),
            Some("FAILED") => {
                let why = text("/status/error").unwrap_or("the controller does not say why");
                let name = text("/metadata/name").unwrap_or_default();
                Err(CliError::Failed(format!(
                    "incident/{name} failed: {}",
                    text::line(why)
                )))
            }
            _ => Ok(false),
        },
        Some("Workload") => Ok(is_ready(object) && has_its_replicas(object)),
        Some("LoadBalancer") => Ok(is_ready(object)),
        _ => Ok(true),
    }
}

fn is_ready(object: &Value) -> bool {
    let generation = number(object, "/metadata/generation");
    let observed = number(object, "/status/observedGeneration");
    let ready = condition(object, ConditionType::Ready);
    let seen = ready.is_some_and(|ready| {
        ready
            .get("observedGeneration")
            .is_none_or(|seen| seen.as_i64() >= generation)
    });
    observed >= generation && seen && ready.and_then(|ready| ready.get("status")?.as_str()) == Some("True")
}

fn has_its_replicas(object: &Value) -> bool {
    // A Workload without a number of its own wants one.
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    ["/status/replicas", "/status/readyReplicas"]
        .iter()
        .all(|field| number(object, field).unwrap_or(0) == wanted)
}

/// The condition of this type.
pub(crate) fn condition(object: &Value, kind: ConditionType) -> Option<&Value> {
    let mut conditions = object.pointer("/status/conditions")?.as_array()?.iter();
    conditions.find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind.as_str()))
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// What keeps it, human-readable.
fn progress(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let ready = condition(object, ConditionType::Ready);
    let part = |name: &str| {
        ready
            .and_then(|ready| ready.get(name)?.as_str())
            .unwrap_or_default()
    };
    match (text("/status/phase"), part("reason")) {
        (Some(phase), _) => format!("its phase is {phase}"),
        (None, "") => "the controller has not reconciled it yet".to_owned(),
        (None, reason) => text::line(&format!("{reason}: {}", part("message"))),
    }
}

/// Waits until it is settled; a timeout says what kept it.
pub(crate) async fn wait(
    client: &Client,
    target: &Target,
    limit: Option<Duration>,
) -> Result<Value, CliError> {
    let mut last = String::new();
    let outcome = client
        .wait_for(target, &target.to_string(), limit, |object| {
            let Some(object) = object else {
                return Err(CliError::NotFound(format!(
                    "{target} was deleted while it was waited for"
                )));
            };
            last = progress(object);
            Ok(is_settled(object)?.then(|| object.clone()))
        })
        .await;
    outcome.map_err(|error| with_reason(error, &last))
}

/// A timeout with what kept the object.
fn with_reason(error: CliError, last: &str) -> CliError {
    match error {
        CliError::Timeout { what, seconds } if !last.is_empty() => CliError::Timeout {
            what: format!("{what} ({last})"),
            seconds,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(generation: i64, observed: i64, ready: &str, replicas: i64) -> Value {
        json!({"kind": "Workload", "metadata": {"name": "web", "generation": generation}, "spec": {"replicas": 2},
            "status": {"observedGeneration": observed, "replicas": replicas, "readyReplicas": 2,
                "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "m"}]}})
    }

    #[test]
    fn a_workload_is_settled_when_its_newest_generation_is_ready_with_exactly_its_replicas() {
        assert!(is_settled(&workload(3, 3, "True", 2)).unwrap());
        assert!(!is_settled(&workload(3, 2, "True", 2)).unwrap());
        assert!(!is_settled(&workload(3, 3, "False", 2)).unwrap());
        assert!(!is_settled(&workload(3, 3, "True", 3)).unwrap());
        assert!(!is_settled(&json!({"kind": "Workload", "metadata": {"generation": 1}})).unwrap());
    }

    #[test]
    fn an_incident_is_settled_when_it_is_resolved_and_an_error_when_it_failed() {
        let incident = |phase: &str| json!({"kind": "Incident", "metadata": {"name": "i"}, "status": {"phase": phase, "error": "why"}});
        assert!(is_settled(&incident("RESOLVED")).unwrap());
        assert!(is_settled(&incident("DRY_RUN")).unwrap());
        assert!(!is_settled(&incident("VERIFYING")).unwrap());
        assert_eq!(
            is_settled(&incident("FAILED")).unwrap_err().to_string(),
            "incident/i failed: why"
        );
    }

    #[test]
    fn kinds_that_only_state_what_is_wanted_are_settled_at_once() {
        assert!(is_settled(&json!({"kind": "RemediationPolicy"})).unwrap());
    }

    #[test]
    fn a_timeout_says_what_kept_the_object() {
        let timeout = || CliError::Timeout {
            what: "incident/i".to_owned(),
            seconds: 2.0,
        };
        let message = with_reason(timeout(), "its phase is VERIFYING").to_string();
        assert_eq!(
            message,
            "timed out after 2 s waiting for incident/i (its phase is VERIFYING)"
        );
        assert_eq!(with_reason(timeout(), "").to_string(), timeout().to_string());
    }

    #[test]
    fn what_keeps_an_object_is_shown() {
        assert_eq!(progress(&workload(1, 1, "False", 1)), "R: m");
        assert_eq!(progress(&json!({})), "the controller has not reconciled it yet");
    }
}
