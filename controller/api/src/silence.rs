//! `Silence`: for a while, or again and again, people are not notified of what is known, and automation holds still where
//! that is said. Pure.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::defaults::Fill;
use crate::policy::{FreezeWindow, WorkloadSelector};
use crate::scalar::Time;
use crate::validate::{FieldError, Rules};

/// What is kept quiet, by whom, why and until when.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "Silence",
    plural = "silences",
    singular = "silence",
    shortname = "sil",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "SilenceStatus",
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
    printcolumn(name = "Automation", type_ = "string", json_path = ".spec.automation"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceSpec {
    /// Which workloads. Empty: all, and what is about none.
    #[serde(default)]
    pub workloads: WorkloadSelector,
    /// Which alert types. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub alert_types: Vec<String>,
    /// Labels that the sender's alert must have, all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Who is to be asked about it.
    #[schemars(length(min = 1, max = 128))]
    pub owner: String,
    /// Why.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
    /// When it begins. Absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// When it expires. Absent only where there are windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Weekly windows of maintenance: it is in force within them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub windows: Vec<FreezeWindow>,
    /// What automation does meanwhile.
    #[serde(default)]
    pub automation: SilencedAutomation,
}

/// What automation does while a silence is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SilencedAutomation {
    /// It goes on as the policy says: only people are left in peace.
    #[default]
    Continue,
    /// It holds still, as in a freeze window: people work on it.
    Hold,
}

/// Observed state of a silence: there is none, it is in force by the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SilenceStatus {}

/// Which silence keeps people from being notified of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SilencedBy {
    /// Its name.
    pub silence: String,
    /// Who is to be asked about it.
    pub owner: String,
    /// Why it is.
    pub reason: String,
    /// When it expires. Absent where only its weekly windows end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Since when people have not been notified.
    pub since: Time,
}

impl SilencedBy {
    /// Human-readable.
    pub fn message(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {until}"),
            None => "within its weekly windows".to_owned(),
        };
        let Self {
            silence,
            owner,
            reason,
            ..
        } = self;
        format!("people are not notified of it {until}: silence {silence} of {owner} ({reason})")
    }
}

impl Fill for SilenceSpec {}

impl Rules for SilenceSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if self.until.is_none() && self.windows.is_empty() {
            out.push(FieldError::required(
                format!("{path}.until"),
                "a silence expires: set it, or the weekly windows in which it is in force",
            ));
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && until <= from
        {
            let why = format!("must be later than from, {from}");
            out.push(FieldError::invalid(format!("{path}.until"), until, why));
        }
    }
}
