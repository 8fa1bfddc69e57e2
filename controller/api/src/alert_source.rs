//! `AlertSource`: one more address for alerts, `/webhook/<name>`: which format its sender writes, how a body of a format
//! that is not built in is read, and how the sender proves who it is. Pure.

mod authenticity;
mod mapping;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::defaults::Fill;
use crate::validate::{FieldError, Rules};

pub use authenticity::{Authenticity, Basic, Hmac, Signature};
pub use mapping::Mapping;

/// How alerts are read that come to `/webhook/<name>`.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "AlertSource",
    plural = "alertsources",
    singular = "alertsource",
    shortname = "als",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "AlertSourceStatus",
    printcolumn(name = "Format", type_ = "string", json_path = ".spec.format"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertSourceSpec {
    /// What its bodies look like.
    #[serde(default)]
    pub format: AlertFormat,
    /// Where the fields of an alert stand in its bodies; for format `Mapped`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// How its sender proves who it is. Absent: by a token of the role `webhook`, as on `/webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticity: Option<Authenticity>,
}

/// What the bodies of a sender look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlertFormat {
    /// Whatever is recognised.
    #[default]
    Auto,
    /// Our own: `incident_id`, `alert_type` and what else there is.
    AegisOps,
    /// Prometheus Alertmanager's webhook, version 4.
    Alertmanager,
    /// Grafana's webhook contact point, or the notification channel of old versions.
    Grafana,
    /// PagerDuty's Events API, version 2.
    PagerDuty,
    /// CloudEvents 1.0 over HTTP: structured, binary or in batches.
    CloudEvents,
    /// Any JSON or form, read by `mapping`.
    Mapped,
}

/// Observed state of a source: there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertSourceStatus {}

impl Fill for AlertSourceSpec {}

impl Rules for AlertSourceSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        match (&self.mapping, self.format) {
            (None, AlertFormat::Mapped) => out.push(FieldError::required(
                format!("{path}.mapping"),
                "format Mapped is read by it: say where alertType stands, such as {alertType: [$.title]}",
            )),
            (Some(_), AlertFormat::Mapped) | (None, _) => {}
            (Some(_), _) => out.push(FieldError::forbidden(
                format!("{path}.mapping"),
                "only format Mapped is read by a mapping: set spec.format to Mapped",
            )),
        }
        if let Some(mapping) = &self.mapping {
            mapping.rules(&format!("{path}.mapping"), out);
        }
        if let Some(authenticity) = &self.authenticity {
            authenticity.rules(&format!("{path}.authenticity"), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AlertSource, Kind as _};

    fn errors(spec: &str) -> Vec<String> {
        let object = serde_json::json!({"metadata": {"name": "s"}, "spec": serde_json::from_str::<serde_json::Value>(spec).unwrap()});
        match AlertSource::info().decode(object) {
            Ok(_) => Vec::new(),
            Err(errors) => errors
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message))
                .collect(),
        }
    }

    #[test]
    fn what_a_source_cannot_be_read_by_is_refused_by_its_field() {
        assert!(errors(r#"{"format": "Alertmanager"}"#).is_empty());
        assert!(
            errors(
                r#"{"format": "Mapped", "mapping": {"alertType": ["$.title", "Monitor"], "alerts": "$.events[*]"},
                "authenticity": {"hmac": {"style": "GitHub", "secret": {"file": "gh"}}}}"#
            )
            .is_empty()
        );
        for (spec, said) in [
            (r#"{"format": "Mapped"}"#, "spec.mapping: Required"),
            (
                r#"{"format": "Grafana", "mapping": {"alertType": ["$.a"]}}"#,
                "spec.mapping: Forbidden",
            ),
            (
                r#"{"format": "Mapped", "mapping": {"alertType": ["$.a["]}}"#,
                "spec.mapping.alertType[0]: Invalid",
            ),
            (
                r#"{"format": "Mapped", "mapping": {"alertType": ["$..a..b"]}}"#,
                "spec.mapping.alertType[0]: Invalid",
            ),
            (r#"{"authenticity": {}}"#, "spec.authenticity: "),
            (
                r#"{"authenticity": {"bearer": {"file": "a"}, "hmac": {"style": "GitHub", "secret": {"file": "b"}}}}"#,
                "spec.authenticity: ",
            ),
            (
                r#"{"authenticity": {"bearer": {"file": "/etc/passwd"}}}"#,
                "spec.authenticity.bearer.file: Invalid",
            ),
        ] {
            let errors = errors(spec);
            assert!(
                errors.iter().any(|error| error.starts_with(said)),
                "{spec}: {errors:?}"
            );
        }
    }
}
