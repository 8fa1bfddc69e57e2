//! Who wrote a body: recognised by what only that sender writes. Pure.

use aegis_api::alert_source::{AlertFormat, Mapping};
use axum::http::HeaderMap;
use serde_json::Value;

use super::report::Report;
use super::{alertmanager, cloud_events, grafana, mapped, pagerduty, pagerduty_webhook};

/// A kind of sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    AegisOps,
    Alertmanager,
    Grafana,
    PagerDuty,
    CloudEvents,
    Mapped,
}

/// What of a body is not in it, as its sender says.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// The alerts; of each that cannot be read, why.
    pub(crate) all: Vec<Result<Report, String>>,
    /// Alerts that the sender left out.
    pub(crate) truncated: u64,
}

impl Sender {
    pub(crate) const ALL: [Self; 6] = [
        Self::AegisOps,
        Self::Alertmanager,
        Self::Grafana,
        Self::PagerDuty,
        Self::CloudEvents,
        Self::Mapped,
    ];

    /// In URLs, metrics and `spec.source.kind`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AegisOps => "aegisops",
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::PagerDuty => "pagerduty",
            Self::CloudEvents => "cloudevents",
            Self::Mapped => "mapped",
        }
    }

    /// The sender of this name in a URL; by a mapping only where an AlertSource has one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().filter(|sender| *sender != Self::Mapped);
        all.find(|sender| sender.as_str() == name)
    }

    /// The one that a source is set to; `None` to recognise it.
    pub(crate) fn of(format: AlertFormat) -> Option<Self> {
        match format {
            AlertFormat::Auto => None,
            AlertFormat::AegisOps => Some(Self::AegisOps),
            AlertFormat::Alertmanager => Some(Self::Alertmanager),
            AlertFormat::Grafana => Some(Self::Grafana),
            AlertFormat::PagerDuty => Some(Self::PagerDuty),
            AlertFormat::CloudEvents => Some(Self::CloudEvents),
            AlertFormat::Mapped => Some(Self::Mapped),
        }
    }

    /// Whose body this is. What is of no other sender is ours: it is refused by the names of the fields that are missing.
    pub(crate) fn recognised(headers: &HeaderMap, body: &Value) -> Self {
        if cloud_events::is_binary(headers) {
            return Self::CloudEvents;
        }
        let Value::Object(fields) = body else {
            return if cloud_events::is_one(body) {
                Self::CloudEvents
            } else {
                Self::AegisOps
            };
        };
        if fields.contains_key("incident_id") || fields.contains_key("alert_type") {
            Self::AegisOps
        } else if cloud_events::is_one(body) {
            Self::CloudEvents
        } else if grafana::is_one(fields) {
            Self::Grafana
        } else if alertmanager::is_one(fields) {
            Self::Alertmanager
        } else if pagerduty::is_one(fields) || pagerduty_webhook::is_one(fields) {
            Self::PagerDuty
        } else {
            Self::AegisOps
        }
    }

    /// The alerts of a body of this sender; why there are none in it. Not for our own.
    pub(crate) fn read(self, body: &Value, mapping: Option<&Mapping>) -> Result<Reports, String> {
        let fields = || {
            body.as_object()
                .ok_or_else(|| "the body is no JSON object".to_owned())
        };
        let (all, truncated) = match self {
            Self::Alertmanager => (alertmanager::read(fields()?)?, alertmanager::truncated(fields()?)),
            Self::Grafana => (grafana::read(fields()?)?, alertmanager::truncated(fields()?)),
            Self::PagerDuty if pagerduty_webhook::is_one(fields()?) => {
                (vec![Ok(pagerduty_webhook::read(fields()?)?)], 0)
            }
            Self::PagerDuty => (vec![Ok(pagerduty::read(fields()?)?)], 0),
            Self::CloudEvents => (cloud_events::read(body)?, 0),
            Self::Mapped | Self::AegisOps => {
                let mapping = mapping.ok_or_else(|| "no mapping says how it is read".to_owned())?;
                (mapped::read(mapping, body)?, 0)
            }
        };
        Ok(Reports { all, truncated })
    }

    /// What of a body each of the alerts that [`Self::read`] answers was read from, in the same order.
    pub(crate) fn items<'a>(self, body: &'a Value, mapping: Option<&Mapping>) -> Vec<&'a Value> {
        let list = match self {
            Self::Alertmanager | Self::Grafana => body.get("alerts"),
            Self::Mapped => return mapping.map_or_else(Vec::new, |mapping| mapped::items(mapping, body)),
            Self::CloudEvents | Self::PagerDuty | Self::AegisOps => Some(body),
        };
        match list {
            Some(Value::Array(items)) => items.iter().collect(),
            _ => vec![body],
        }
    }
}
