//! The brake: automation paused by people or by itself, on the whole host or for one workload, with who, when and why.
//! Owns the shapes of `/automation` and of the annotations on a Workload. Pure.
//!
//! While paused nothing is restarted or healed by itself, and no incident acts without a human. Scaling to a spec's
//! replicas, rollouts and load balancer membership go on: they are people's wishes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::scalar::ResourceName;

/// Workload annotation: pauses automation for it; the value says why. `"false"` is as if it were not there.
pub const ANNOTATION_PAUSED: &str = "aegisops.io/paused";
/// Workload annotation: who paused it.
pub const ANNOTATION_PAUSED_BY: &str = "aegisops.io/paused-by";
/// Workload annotation: when it was paused, RFC 3339.
pub const ANNOTATION_PAUSED_AT: &str = "aegisops.io/paused-at";
/// Workload annotation: when the pause ends by itself, RFC 3339. A value that is no time ends nothing.
pub const ANNOTATION_PAUSED_UNTIL: &str = "aegisops.io/paused-until";
/// All of them.
pub const ANNOTATIONS: [&str; 4] = [
    ANNOTATION_PAUSED,
    ANNOTATION_PAUSED_BY,
    ANNOTATION_PAUSED_AT,
    ANNOTATION_PAUSED_UNTIL,
];
/// The longest reason, characters.
pub const LONGEST_REASON: usize = 256;

/// Automation is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Who paused it: a token's name, or `system:…` where automation paused itself. Empty: not known.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// When it ends by itself; absent: when somebody resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

impl Pause {
    /// Whether it is in force.
    pub fn holds(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Human-readable: `paused by ada since … until …: reason`.
    pub fn words(&self) -> String {
        let mut text = "paused".to_owned();
        if !self.by.is_empty() {
            text.push_str(&format!(" by {}", self.by));
        }
        if let Some(at) = self.at {
            text.push_str(&format!(" since {at}"));
        }
        if let Some(until) = self.until {
            text.push_str(&format!(" until {until}"));
        }
        if !self.reason.is_empty() {
            text.push_str(&format!(": {}", self.reason));
        }
        text
    }

    /// The pause in a Workload's annotations, in force or not.
    pub fn of(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let annotations = annotations?;
        let value = annotations.get(ANNOTATION_PAUSED).map(|value| value.trim())?;
        if value == "false" {
            return None;
        }
        let time = |key: &str| annotations.get(key)?.parse::<Time>().ok();
        let reason: String = value.chars().take(LONGEST_REASON).collect();
        Some(Self {
            by: annotations.get(ANNOTATION_PAUSED_BY).cloned().unwrap_or_default(),
            reason: if reason == "true" { String::new() } else { reason },
            at: time(ANNOTATION_PAUSED_AT),
            until: time(ANNOTATION_PAUSED_UNTIL),
        })
    }

    /// As annotations of a Workload.
    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        let reason = if self.reason.is_empty() {
            "true"
        } else {
            &self.reason
        };
        let mut all = vec![
            (ANNOTATION_PAUSED, reason.to_owned()),
            (ANNOTATION_PAUSED_BY, self.by.clone()),
        ];
        all.extend(self.at.map(|at| (ANNOTATION_PAUSED_AT, at.to_string())));
        all.extend(
            self.until
                .map(|until| (ANNOTATION_PAUSED_UNTIL, until.to_string())),
        );
        all
    }
}

/// Automation was let go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// Who.
    pub by: String,
    /// Why, if they said.
    #[serde(default)]
    pub reason: String,
    /// When.
    pub at: Time,
}

/// `GET /automation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationView {
    /// Why all automation on the host holds still; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Who last let it go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resume>,
    /// Workloads that are paused on their own.
    #[serde(default)]
    pub workloads: BTreeMap<String, Pause>,
}

/// `POST /automation/pause` and `POST /automation/resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseWanted {
    /// Only this workload; absent: all of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<ResourceName>,
    /// Why, for those who find it paused.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// When it ends by itself, in seconds from now; absent: when somebody resumes. Of no meaning to a resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub seconds: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Pause> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Pause::of(Some(&pairs.collect()))
    }

    #[test]
    fn any_value_but_false_pauses_and_an_end_that_is_no_time_ends_nothing() {
        let now: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        for (value, until, holds) in [
            ("true", None, Some(true)),
            ("", None, Some(true)),
            ("migration", Some("2026-11-22T13:00:00Z"), Some(true)),
            ("migration", Some("2026-11-22T11:00:00Z"), Some(false)),
            ("migration", Some("tomorrow"), Some(true)),
            ("false", None, None),
        ] {
            let mut pairs = vec![(ANNOTATION_PAUSED, value)];
            pairs.extend(until.map(|until| (ANNOTATION_PAUSED_UNTIL, until)));
            assert_eq!(
                of(&pairs).map(|pause| pause.holds(now)),
                holds,
                "{value} {until:?}"
            );
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_pause_comes_back_from_its_annotations_as_it_was() {
        let pause = Pause {
            by: "ada".to_owned(),
            reason: "database migration".to_owned(),
            at: Some("2026-11-22T12:00:00Z".parse().unwrap()),
            until: Some("2026-11-22T14:00:00Z".parse().unwrap()),
        };
        let annotations = pause.annotations();
        let pairs: Vec<(&str, &str)> = annotations
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        assert_eq!(of(&pairs), Some(pause.clone()));
        assert_eq!(
            pause.words(),
            "paused by ada since 2026-11-22T12:00:00Z until 2026-11-22T14:00:00Z: database migration"
        );
    }
}
