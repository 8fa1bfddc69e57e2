//! Whose judgement a policy wants: which providers are asked, in which order, with which models. Owns the shape and what
//! of it is wrong whatever the controller has configured; whether a provider exists is not known here. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::known::RunbookTerms;
use crate::validate::{FieldError, Rules};

/// Name of the analyst that needs no model. It is always there, and answers when no other does.
pub const BUILTIN: &str = "builtin";

/// Who analyses and reviews the incidents of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AnalysisPolicy {
    /// Providers to ask, by name, in this order; `builtin` is the analyst that needs no model, answers last in any case,
    /// and can only be named last. Empty: those of the controller, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub providers: Vec<String>,
    /// The model to ask of a provider, by the provider's name. Absent: the one the controller is configured with.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, String>,
    /// Providers of their own for the reviewers.
    #[serde(skip_serializing_if = "SeatProviders::is_empty")]
    pub seats: SeatProviders,
    /// When an incident that the runbook knows is decided without asking any of them.
    #[serde(skip_serializing_if = "RunbookTerms::is_default")]
    pub runbook: RunbookTerms,
}

/// The reviewers' providers. A seat whose provider fails abstains; with `builtin` it votes by the rules alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SeatProviders {
    /// Who votes for the Security Officer. Absent: the provider of the analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub security_officer: Option<String>,
    /// Who votes for the Auditor. Absent: the provider of the analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub auditor: Option<String>,
}

impl SeatProviders {
    fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.security_officer.iter().chain(&self.auditor)
    }
}

impl AnalysisPolicy {
    /// Whether the policy leaves it all to the controller.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Every provider that is named, with the field that names it.
    pub fn named(&self) -> impl Iterator<Item = (String, &str)> {
        let providers = self.providers.iter().enumerate();
        let providers = providers.map(|(at, name)| (format!("providers[{at}]"), name.as_str()));
        let models = self
            .models
            .keys()
            .map(|name| (format!("models.{name}"), name.as_str()));
        let security = self.seats.security_officer.iter();
        let security = security.map(|name| ("seats.securityOfficer".to_owned(), name.as_str()));
        let auditor = self.seats.auditor.iter();
        let auditor = auditor.map(|name| ("seats.auditor".to_owned(), name.as_str()));
        providers.chain(models).chain(security).chain(auditor)
    }
}

impl Rules for AnalysisPolicy {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        for (field, name) in self.named() {
            if name.trim().is_empty() {
                out.push(FieldError::invalid(
                    format!("{path}.{field}"),
                    format!("{name:?}"),
                    "must be the name of a provider",
                ));
            }
        }
        for (at, name) in self.providers.iter().enumerate() {
            let field = format!("{path}.providers[{at}]");
            let mut earlier = self.providers.iter().take(at);
            if earlier.clone().any(|earlier| earlier == name) {
                out.push(FieldError::invalid(field, name, "name each provider once"));
            } else if earlier.any(|earlier| earlier == BUILTIN) {
                let why = format!("is never asked: {BUILTIN} always answers, so it can only come last");
                out.push(FieldError::invalid(field, name, why));
            }
        }
        for (name, model) in &self.models {
            let field = format!("{path}.models.{name}");
            let asked = self.providers.is_empty()
                || self.providers.contains(name)
                || self.seats.names().any(|seat| seat == name);
            if name == BUILTIN {
                out.push(FieldError::forbidden(field, format!("{BUILTIN} has no model")));
            } else if model.trim().is_empty() || model.chars().count() > 256 {
                let allowed = "must be the name of a model, 1 to 256 characters";
                out.push(FieldError::invalid(field, format!("{model:?}"), allowed));
            } else if !asked {
                let why = "this provider is not asked: name it in providers or seats, or leave its model out";
                out.push(FieldError::forbidden(field, why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> Vec<String> {
        let document = crate::yaml::parse(yaml).unwrap().remove(0);
        let analysis: AnalysisPolicy = serde_json::from_value(document.value).unwrap();
        let mut errors = Vec::new();
        analysis.rules("spec.analysis", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_order_with_models_and_seats_is_taken() {
        for sound in [
            "{}",
            "{providers: [ollama, builtin], models: {ollama: 'qwen3:8b'}, seats: {auditor: builtin}}",
            "{providers: [builtin]}",
            "{models: {ollama: small}}",
            "{runbook: {trust: 1}}",
            "{providers: [ollama], models: {fastrouter: m}, seats: {securityOfficer: fastrouter}}",
        ] {
            assert_eq!(refused(sound), Vec::<String>::new(), "{sound}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_field() {
        for (yaml, error) in [
            (
                "{providers: [' ']}",
                "spec.analysis.providers[0]: Invalid value: \" \": must be the name of a provider",
            ),
            (
                "{providers: [a, b, a]}",
                "spec.analysis.providers[2]: Invalid value: a: name each provider once",
            ),
            (
                "{providers: [builtin, a]}",
                "spec.analysis.providers[1]: Invalid value: a: is never asked: builtin always answers, so it can only come last",
            ),
            (
                "{models: {builtin: m}}",
                "spec.analysis.models.builtin: Forbidden: builtin has no model",
            ),
            (
                "{models: {a: ''}}",
                "spec.analysis.models.a: Invalid value: \"\": must be the name of a model, 1 to 256 characters",
            ),
            (
                "{providers: [b], models: {a: m}}",
                "spec.analysis.models.a: Forbidden: this provider is not asked: name it in providers or seats, or leave its model out",
            ),
            (
                "{seats: {auditor: ''}}",
                "spec.analysis.seats.auditor: Invalid value: \"\": must be the name of a provider",
            ),
        ] {
            assert_eq!(refused(yaml), [error], "{yaml}");
        }
    }
}
