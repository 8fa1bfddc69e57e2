//! Which policy governs a workload, and whether that can be known: the one home of this rule. Closed when in doubt:
//! where no policy is in force, or a broken file could hold one, automation asks a human. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::policy::{Mode, VerificationPolicy, WorkloadSelector};
use aegis_api::{Duration, Kind, RemediationPolicy, RemediationPolicySpec, Workload, yaml};

/// What governs one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Governing {
    /// The policy's name, or words for where there is none.
    pub name: String,
    pub spec: RemediationPolicySpec,
    /// Why a human is asked, whatever the policy's mode.
    pub doubt: Option<Doubt>,
}

/// Why it is not known that automation may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// No policy selects the workload.
    NoPolicy,
    /// A file that could hold its policy is broken: what is wrong with it.
    Broken { message: String },
}

/// A policy's file that is not in force as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenPolicy {
    pub name: String,
    pub message: String,
    /// What it selects, if that can be read; otherwise it could be any workload.
    pub selects: Option<Vec<WorkloadSelector>>,
}

/// The policy that selects the workload most closely; among equals the first by name.
pub fn governing(
    policies: &[Arc<RemediationPolicy>],
    broken: &[BrokenPolicy],
    workload: &str,
    labels: &BTreeMap<String, String>,
    cooldown: Duration,
    deadline: Duration,
) -> Governing {
    let best = selecting(policies, workload, labels);
    let broken = broken
        .iter()
        .find(|file| file.could_govern(policies, workload, labels));
    let broken = broken.map(|file| Doubt::Broken {
        message: file.message.clone(),
    });
    match best {
        Some(policy) => Governing {
            name: policy.name().to_owned(),
            spec: policy.spec.clone(),
            doubt: broken,
        },
        None => Governing {
            name: "the built-in defaults".to_owned(),
            spec: RemediationPolicySpec {
                mode: Mode::Approve,
                cooldown,
                verification: VerificationPolicy {
                    deadline,
                    ..VerificationPolicy::default()
                },
                ..RemediationPolicySpec::default()
            },
            doubt: Some(broken.unwrap_or(Doubt::NoPolicy)),
        },
    }
}

/// The policy in force that selects the workload most closely.
fn selecting<'a>(
    policies: &'a [Arc<RemediationPolicy>],
    workload: &str,
    labels: &BTreeMap<String, String>,
) -> Option<&'a Arc<RemediationPolicy>> {
    let mut best: Option<(u8, &Arc<RemediationPolicy>)> = None;
    for policy in policies.iter().filter(|policy| !policy.is_deleting()) {
        let Some(rank) = policy.spec.workloads.rank(workload, labels) else {
            continue;
        };
        if best.is_none_or(|(highest, _)| rank > highest) {
            best = Some((rank, policy));
        }
    }
    best.map(|(_, policy)| policy)
}

/// The name of the policy that governs the workload as it is; `None` where none does.
pub fn policy_of<'a>(policies: &'a [Arc<RemediationPolicy>], workload: &Workload) -> Option<&'a str> {
    let none = BTreeMap::new();
    let labels = workload.metadata.labels.as_ref().unwrap_or(&none);
    selecting(policies, workload.name(), labels).map(|policy| policy.name())
}

/// The workloads that a policy governs: it selects them, and none selects them more closely.
pub fn for_policy<'a>(
    policies: &'a [Arc<RemediationPolicy>],
    workloads: &'a [Arc<Workload>],
    policy: &'a RemediationPolicy,
) -> impl Iterator<Item = &'a Arc<Workload>> {
    let none = BTreeMap::new();
    workloads.iter().filter(move |workload| {
        let labels = workload.metadata.labels.as_ref().unwrap_or(&none);
        // Most select few: whether another selects it more closely is asked of those alone.
        policy.spec.workloads.rank(workload.name(), labels).is_some()
            && policy_of(policies, workload) == Some(policy.name())
    })
}

impl BrokenPolicy {
    /// Whether the file, or what is in force in its place, selects the workload; what cannot be read might.
    fn could_govern(
        &self,
        policies: &[Arc<RemediationPolicy>],
        workload: &str,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let in_force = policies.iter().filter(|policy| policy.name() == self.name);
        let mut last_good = in_force.map(|policy| &policy.spec.workloads);
        last_good.any(|selector| selector.rank(workload, labels).is_some())
            || self.selects.as_ref().is_none_or(|selectors| {
                selectors
                    .iter()
                    .any(|selector| selector.rank(workload, labels).is_some())
            })
    }
}

/// What the documents of a broken policy file select; `None` where that cannot be read off it.
pub fn selectors(text: &str) -> Option<Vec<WorkloadSelector>> {
    let documents = yaml::parse(text).ok().filter(|documents| !documents.is_empty())?;
    let selector = |document: yaml::Document| {
        let spec = document.value.get("spec")?;
        match spec.get("workloads") {
            Some(workloads) => serde_json::from_value(workloads.clone()).ok(),
            // Absent, or under a name that is none.
            None => Some(WorkloadSelector::default()),
        }
    };
    documents.into_iter().map(selector).collect()
}

#[cfg(test)]
mod tests;
