//! `RunbookEntry`: a verified fix, remembered. The knowledge is spec, so that it can be committed, imported and
//! edited; the counts of its use are status. Pure.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::defaults::Fill;
use crate::incident::Severity;
use crate::proposal::Action;
use crate::scalar::{ContainerName, Time};
use crate::validate::{FieldError, Rules};

/// What was seen and what helped.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "RunbookEntry",
    plural = "runbookentries",
    singular = "runbookentry",
    shortname = "rb",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "RunbookEntryStatus",
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.alertType"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Trust", type_ = "number", json_path = ".status.trust"),
    printcolumn(name = "Worked", type_ = "integer", json_path = ".spec.outcomes.successes"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".spec.outcomes.failures"),
    printcolumn(name = "Relapsed", type_ = "integer", json_path = ".spec.outcomes.relapses"),
    printcolumn(
        name = "Inconclusive",
        type_ = "integer",
        json_path = ".spec.outcomes.inconclusive",
        priority = 1
    ),
    printcolumn(name = "Cause", type_ = "string", json_path = ".spec.rootCause", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunbookEntrySpec {
    /// Incident it was learned from.
    #[schemars(length(min = 1, max = 256))]
    pub incident_id: String,
    /// Its alert type.
    #[schemars(length(min = 1, max = 256))]
    pub alert_type: String,
    /// The container it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<ContainerName>,
    /// Its severity.
    #[serde(default)]
    pub severity: Severity,
    /// Its logs, at most 16,384 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16384))]
    pub logs: String,
    /// What was wrong.
    #[schemars(length(min = 1, max = 2000))]
    pub root_cause: String,
    /// What helped.
    pub action: Action,
    /// Why that.
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub justification: String,
    /// The analysis' confidence then, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// Whether the council approved it.
    #[serde(default)]
    pub council_approved: bool,
    /// Replicas it added.
    #[serde(default)]
    pub replicas_used: u32,
    /// When it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// How it was verified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2000))]
    pub verified_by: String,
    /// What was measured as wrong before and no longer after. Empty where nothing was measured: an entry that people
    /// wrote or imported, or one that an earlier version learned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2000))]
    pub symptom: String,
    /// Why the successes that were counted do not count; absent where they do. The next one that does takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub unproven: Option<String>,
    /// How often it has helped since.
    #[serde(default)]
    pub outcomes: Outcomes,
}

impl RunbookEntrySpec {
    /// Whether its fix may be recommended: it did not keep failing, and what it is said to have helped against was there.
    pub fn is_recommended(&self) -> bool {
        self.unproven.is_none() && self.outcomes.is_recommended()
    }
}

/// Settled outcomes of an entry's fix, and those that are still open. Trust comes from the settled ones alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outcomes {
    /// Symptoms that it cleared and that stayed away.
    #[serde(default)]
    pub successes: u32,
    /// Symptoms that it did not clear.
    #[serde(default)]
    pub failures: u32,
    /// Symptoms that it cleared and that came back within the policy's `relapseWindow`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub relapses: u32,
    /// Incidents in which what it was to clear could not be measured afterwards. They count for nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inconclusive: u32,
    /// Failures and relapses since the last success.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures_since_success: u32,
    /// Incidents whose symptom it cleared and that may still relapse, oldest first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub provisional: Vec<String>,
    /// Incidents already counted, newest last, at most 50: counting one twice changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub counted: Vec<String>,
}

/// Incidents remembered as counted, per entry.
const COUNTED: usize = 50;

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            successes: 1,
            failures: 0,
            relapses: 0,
            inconclusive: 0,
            failures_since_success: 0,
            provisional: Vec::new(),
            counted: Vec::new(),
        }
    }
}

/// How an entry's fix turned out for one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It cleared the symptom; whether that stays away is not known yet.
    Provisional,
    /// The symptom stayed away.
    Success,
    /// The symptom stayed.
    Failure,
    /// The symptom came back.
    Relapse,
    /// The symptom could not be measured afterwards.
    Inconclusive,
}

impl Outcomes {
    /// None so far.
    pub fn none() -> Self {
        Self {
            successes: 0,
            ..Self::default()
        }
    }

    /// Counts how the fix turned out for an incident; once for each, and what is provisional before that.
    pub fn count(&mut self, incident: &str, outcome: Outcome) {
        if self.counted.iter().any(|counted| counted == incident) {
            return;
        }
        let was_open = self.provisional.iter().position(|open| open == incident);
        let counter = match outcome {
            Outcome::Provisional if was_open.is_some() => return,
            Outcome::Provisional => {
                remember(&mut self.provisional, incident);
                return;
            }
            Outcome::Success => &mut self.successes,
            Outcome::Failure => &mut self.failures,
            Outcome::Relapse => &mut self.relapses,
            Outcome::Inconclusive => &mut self.inconclusive,
        };
        *counter = counter.saturating_add(1);
        match outcome {
            Outcome::Success => self.failures_since_success = 0,
            Outcome::Failure | Outcome::Relapse => {
                self.failures_since_success = self.failures_since_success.saturating_add(1);
            }
            Outcome::Provisional | Outcome::Inconclusive => {}
        }
        if let Some(at) = was_open {
            self.provisional.remove(at);
        }
        remember(&mut self.counted, incident);
    }

    /// Outcomes that speak against the fix: it did not help, or not for long.
    pub fn against(&self) -> u32 {
        self.failures.saturating_add(self.relapses)
    }

    /// Laplace's rule of succession, `(s + 1) / (s + f + 2)`, where a relapse is a failure: 0.5 for an unknown fix, towards
    /// 1 as it keeps helping.
    pub fn trust(&self) -> f64 {
        (f64::from(self.successes) + 1.0) / (f64::from(self.successes) + f64::from(self.against()) + 2.0)
    }

    /// Whether the fix may still be recommended: not once it has failed or not lasted twice or more, and more often than
    /// it helped.
    pub fn is_recommended(&self) -> bool {
        self.against() < 2 || self.against() <= self.successes
    }
}

/// Adds an incident, the newest last; the oldest make room.
fn remember(incidents: &mut Vec<String>, incident: &str) {
    incidents.push(incident.to_owned());
    incidents.drain(..incidents.len().saturating_sub(COUNTED));
}

/// Observed state of an entry; only its reconciler writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunbookEntryStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// 0 to 1.
    pub trust: f64,
    /// How often retrieval returned it for an incident that is still kept.
    pub times_recalled: u64,
    /// When it was last returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Fill for RunbookEntrySpec {}

impl Rules for RunbookEntrySpec {
    fn rules(&self, _path: &str, _out: &mut Vec<FieldError>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_that_failed_twice_and_more_often_than_it_helped_is_no_longer_recommended() {
        let recommended = |successes, failures| {
            let outcomes = Outcomes {
                successes,
                failures,
                ..Outcomes::default()
            };
            outcomes.is_recommended()
        };
        for (successes, failures) in [(1, 0), (0, 0), (0, 1), (1, 1), (2, 2), (9, 9)] {
            assert!(recommended(successes, failures), "{successes} {failures}");
        }
        for (successes, failures) in [(0, 2), (1, 2), (1, 3), (2, 3), (9, 10)] {
            assert!(!recommended(successes, failures), "{successes} {failures}");
        }
    }

    #[test]
    fn an_outcome_is_counted_once_an_incident_and_a_success_ends_a_run_of_failures() {
        let mut outcomes = Outcomes::default();
        let (success, failure) = (Outcome::Success, Outcome::Failure);
        for (incident, outcome) in [("a", failure), ("a", failure), ("b", failure), ("b", success)] {
            outcomes.count(incident, outcome);
        }
        assert_eq!((outcomes.successes, outcomes.failures), (1, 2));
        assert_eq!(outcomes.failures_since_success, 2);
        outcomes.count("c", success);
        assert_eq!((outcomes.successes, outcomes.failures), (2, 2));
        assert_eq!(outcomes.failures_since_success, 0);
        for number in 0..100 {
            outcomes.count(&format!("d-{number}"), success);
        }
        assert_eq!((outcomes.counted.len(), outcomes.successes), (50, 102));
    }

    #[test]
    fn what_is_provisional_counts_once_it_is_settled_and_a_relapse_against_it() {
        let mut outcomes = Outcomes::none();
        for outcome in [Outcome::Provisional, Outcome::Provisional] {
            outcomes.count("a", outcome);
        }
        assert_eq!((outcomes.provisional.len(), outcomes.successes), (1, 0));
        assert!((outcomes.trust() - 0.5).abs() < f64::EPSILON);
        outcomes.count("a", Outcome::Success);
        outcomes.count("a", Outcome::Provisional);
        assert_eq!((outcomes.provisional.len(), outcomes.successes), (0, 1));
        let trusted = outcomes.trust();
        outcomes.count("b", Outcome::Provisional);
        outcomes.count("b", Outcome::Relapse);
        outcomes.count("b", Outcome::Success);
        assert_eq!((outcomes.relapses, outcomes.successes), (1, 1));
        assert!(outcomes.trust() < trusted, "a relapse lowers trust");
        let trusted = outcomes.trust();
        outcomes.count("c", Outcome::Inconclusive);
        assert!((outcomes.trust() - trusted).abs() < f64::EPSILON);
        for incident in ["d", "e"] {
            outcomes.count(incident, Outcome::Relapse);
        }
        assert!(!outcomes.is_recommended(), "it does not last");
    }
}
