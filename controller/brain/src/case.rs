//! Everything the brain is given about one incident. Owns the shape; pure data.
//!
//! What the sender wrote (`alert_type`, `logs`, `details`) is hostile: it chooses nothing but words. What the
//! controller saw itself is `evidence`.

use std::collections::BTreeMap;

use aegis_api::incident::{Severity, Tried};
use aegis_api::policy::RunbookTerms;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence, Retrieved};
use aegis_api::symptom::{Symptom, SymptomKind};
use aegis_api::{RunbookEntrySpec, Time};

/// Kinds of symptoms that no evidence shows: the requests at the load balancer, the limit of processes and a trusted sender do.
pub const MEASURED_OUTSIDE: [SymptomKind; 4] = [
    SymptomKind::HttpErrors,
    SymptomKind::HttpSlow,
    SymptomKind::ProcessLimit,
    SymptomKind::Trusted,
];

/// One incident as it is put before the analyst and the council.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The incident's name.
    pub incident: String,
    /// What kind of alert, in the sender's words.
    pub alert_type: String,
    /// How bad, as the sender sees it.
    pub severity: Severity,
    /// Log lines the sender attached.
    pub logs: String,
    /// Every further field the sender attached.
    pub details: BTreeMap<String, String>,
    /// The Workload that is unhealthy.
    pub workload: String,
    /// The container the sender spoke of.
    pub container: Option<String>,
    /// What the controller saw.
    pub evidence: Evidence,
    /// What is measured as wrong outside of the evidence; see [`MEASURED_OUTSIDE`].
    pub measured: Vec<Symptom>,
    /// What the policy allows about this alert, the first choice first; empty where it does not trust the sender.
    pub trusted: Vec<Action>,
    /// Load balancers that have the workload among their backends.
    pub balancers: Vec<Balancer>,
    /// Similar entries of the runbook, best first.
    pub recalled: Vec<Recalled>,
    /// How many replicas there may be, and how many are desired now.
    pub replicas: ReplicaBounds,
    /// Whether the workload is protected from automated actions.
    pub protected: bool,
    /// What was already tried in this incident and did not help.
    pub tried: Vec<Tried>,
    /// When an entry of the runbook may decide without a model, by policy.
    pub terms: RunbookTerms,
    /// When it is put before them, by the controller's clock: no answer is dated by another.
    pub now: Time,
}

impl Case {
    /// A case with hardly anything in it, for trying templates out.
    pub(crate) fn sample() -> Self {
        Self {
            incident: "sample".to_owned(),
            alert_type: "SAMPLE".to_owned(),
            severity: Severity::Info,
            logs: "a line".to_owned(),
            details: BTreeMap::from([("name".to_owned(), "value".to_owned())]),
            workload: "sample".to_owned(),
            container: None,
            evidence: Evidence {
                containers: vec![ContainerEvidence {
                    log_tail: "a line".to_owned(),
                    ..ContainerEvidence::default()
                }],
                ..Evidence::default()
            },
            measured: Vec::new(),
            trusted: Vec::new(),
            balancers: Vec::new(),
            recalled: Vec::new(),
            replicas: ReplicaBounds {
                min: 1,
                max: 1,
                current: 1,
            },
            protected: false,
            tried: Vec::new(),
            terms: RunbookTerms::default(),
            now: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }
}

/// A load balancer in front of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancer {
    /// The container that runs it.
    pub container: String,
    /// Whether the configuration that it serves has a server of the workload.
    pub routes: bool,
}

/// A runbook entry that retrieval found similar.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// The entry's name.
    pub name: String,
    /// The entry.
    pub entry: RunbookEntrySpec,
    /// Cosine similarity, 0 to 1.
    pub score: f64,
    /// How often its fix held, 0 to 1.
    pub trust: f64,
}

impl From<Recalled> for Retrieved {
    fn from(hit: Recalled) -> Self {
        Self {
            entry: hit.name,
            score: hit.score,
            recommended: hit.entry.is_recommended(),
            action: hit.entry.action,
            root_cause: hit.entry.root_cause,
            trust: hit.trust,
        }
    }
}

/// Bounds on replicas and where the workload stands between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaBounds {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// Desired now.
    pub current: u32,
}

impl ReplicaBounds {
    /// How many may be added: within the bounds, and never more than doubling plus one at a time.
    pub fn room_up(self) -> u32 {
        self.max
            .saturating_sub(self.current)
            .min(self.current.saturating_add(1))
    }

    /// How many may be taken away.
    pub fn room_down(self) -> u32 {
        self.current.saturating_sub(self.min.max(1))
    }
}
