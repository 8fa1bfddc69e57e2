//! What of a spec reaches the host: admins may write it, operators may not. The one home of this rule: the server calls it
//! for every way of writing. Pure.
//!
//! A file in the state directory counts as an admin's: who writes it can do what an admin can.

mod container;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::incident::ApprovalDecision;
use aegis_api::meta::ANNOTATION_PROTECTED;
use aegis_api::observed::ContainerDetails;
use aegis_api::proposal::Action;
use aegis_api::workload::{AutoscaleMetric, ContainerTemplate};
use aegis_api::{
    FieldError, Incident, Kind as _, LoadBalancerSpec, RemediationPolicy, Workload, WorkloadSpec,
};

use crate::governing::policy_of;
use crate::hold::is_protected;

pub use container::host_access;

/// How many reasons are named of one container.
const NAMED: usize = 5;
/// How an engine's socket is called; with one a container is root on the host.
const SOCKETS: [&str; 4] = ["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];

/// Folders of the host that templates of operators may mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostMounts(Vec<String>);

impl HostMounts {
    /// From absolute paths, without `.`, `..` or the root itself.
    ///
    /// # Errors
    ///
    /// The first that is none, with what is allowed.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let paths = paths.into_iter().map(str::trim).filter(|path| !path.is_empty());
        let paths = paths.map(|path| {
            normal(path).filter(|path| !path.is_empty()).ok_or_else(|| {
                format!("{path:?}: use absolute paths of folders, such as /srv/app, without . or ..")
            })
        });
        paths.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a bind mount of this path is allowed: it is one of these, or lies in one. An engine's socket must be named
    /// itself.
    pub fn allow(&self, source: &str) -> bool {
        let Some(source) = normal(source) else {
            return false;
        };
        let is_socket = SOCKETS
            .iter()
            .any(|socket| source.ends_with(&format!("/{socket}")));
        self.0.iter().any(|path| {
            let rest = source.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || (!is_socket && rest.starts_with('/')))
        })
    }

    /// Human-readable: what is allowed.
    pub fn words(&self) -> String {
        match self.0.as_slice() {
            [] => "none (AEGIS_ALLOW_HOST_MOUNTS is empty)".to_owned(),
            paths => format!("below {}", paths.join(", ")),
        }
    }
}

/// A path without doubled or trailing slashes, the root as nothing; `None` where it is not absolute or climbs.
fn normal(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let parts = rest.split('/').filter(|part| !part.is_empty());
    let mut whole = String::new();
    for part in parts {
        if matches!(part, "." | "..") {
            return None;
        }
        whole.push('/');
        whole.push_str(part);
    }
    Some(whole)
}

/// A container that a spec names, as the engine shows it.
#[derive(Debug, Clone)]
pub enum Named {
    /// There is none.
    Missing,
    /// It is there.
    Found(Box<ContainerDetails>),
}

/// The containers that were inspected for a request, by name.
pub type Inspected = BTreeMap<String, Named>;

/// What keeps somebody who is no admin from writing a Workload; empty where nothing does. Scaling and restarting it is
/// never kept.
pub fn workload(
    before: Option<&WorkloadSpec>,
    after: &WorkloadSpec,
    inspected: &Inspected,
    mounts: &HostMounts,
) -> Vec<FieldError> {
    if before.is_some_and(|before| only_scales(before, after)) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for spec in before.into_iter().chain([after]) {
        if let Some(template) = &spec.template {
            errors.extend(of_template(template, mounts));
        }
        errors.extend(of_autoscale(spec));
        if let Some(name) = &spec.container {
            errors.extend(of_container(name.as_str(), "adopting it", inspected, mounts));
            let runs_inside = spec.health.as_ref().is_some_and(|health| health.exec.is_some());
            if runs_inside {
                errors.push(FieldError::forbidden(
                    "spec.health.exec",
                    format!(
                        "it runs a command in container {name}, which is not this controller's: that is an admin's; \
                         allowed: http, tcp, grpc and docker, and exec with a template"
                    ),
                ));
            }
        }
    }
    unique(errors)
}

/// What keeps somebody who is no admin from changing what automation may do with a Workload by what its metadata says: its
/// labels choose the policy, which is an admin's, and so is taking its protection off. `is_known`: no policy's file is broken.
pub fn freed(
    before: &Workload,
    after: &Workload,
    policies: &[Arc<RemediationPolicy>],
    is_known: bool,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let named = |policy: Option<&str>| policy.map_or("no policy".to_owned(), |name| format!("policy {name}"));
    let (then, now) = (policy_of(policies, before), policy_of(policies, after));
    if then != now {
        let why = format!(
            "{} governs the workload, and with these labels {} would: that is an admin's; allowed: labels by which no other policy selects it",
            named(then),
            named(now)
        );
        errors.push(FieldError::forbidden("metadata.labels", why));
    } else if !is_known && before.metadata.labels != after.metadata.labels {
        let why = "the file of a policy is broken, so which policy these labels would choose is not known: changing them is an admin's \
                   until it is repaired; allowed: any other change";
        errors.push(FieldError::forbidden("metadata.labels", why));
    }
    if is_protected(before) && !is_protected(after) {
        let why = "taking the protection off has automation act on the workload: that is an admin's; allowed: \"true\"";
        errors.push(FieldError::forbidden(
            format!("metadata.annotations[{ANNOTATION_PROTECTED}]"),
            why,
        ));
    }
    errors
}

/// What keeps somebody who is no admin from writing a LoadBalancer.
pub fn load_balancer(
    before: Option<&LoadBalancerSpec>,
    after: &LoadBalancerSpec,
    inspected: &Inspected,
    mounts: &HostMounts,
) -> Vec<FieldError> {
    if before == Some(after) {
        return Vec::new();
    }
    let names = before
        .into_iter()
        .chain([after])
        .map(|spec| spec.container.as_str());
    let errors = names.flat_map(|name| of_container(name, "writing files to it", inspected, mounts));
    unique(errors.collect())
}

/// What keeps somebody who is no admin from writing an Incident: an order, or an approval, that brings back a template
/// which reaches the host.
pub fn incident(
    before: Option<&Incident>,
    after: &Incident,
    workloads: &[Arc<Workload>],
    mounts: &HostMounts,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let ordered = after.spec.override_.as_ref();
    let is_new = before.is_none_or(|before| before.spec.override_ != after.spec.override_);
    if is_new && ordered.is_some_and(|order| order.action == Action::Rollback) {
        let target = workloads.iter().filter(|workload| is_about(after, workload));
        let revisions =
            target.flat_map(|workload| workload.status.iter().flat_map(|status| &status.revisions));
        let reaches = |template: &ContainerTemplate| !of_template(template, mounts).is_empty();
        let mut templates = revisions.filter(|revision| revision.template.as_ref().is_some_and(reaches));
        if let Some(revision) = templates.next() {
            let why = format!(
                "revision {} of the workload reaches the host: rolling back is an admin's; allowed: any other action",
                revision.revision
            );
            errors.push(FieldError::forbidden("spec.override.action", why));
        }
    }
    let approves = before.is_none_or(|before| before.spec.approval != after.spec.approval);
    // The status is the controller's own.
    let plan = before.and_then(|before| before.status.as_ref()?.plan.as_ref());
    let template = plan.and_then(|plan| plan.patch.template.as_ref());
    if approves
        && after
            .spec
            .approval
            .as_ref()
            .is_some_and(|approval| approval.decision == ApprovalDecision::Approve)
        && template.is_some_and(|template| !of_template(template, mounts).is_empty())
    {
        let why = "the plan brings back a template that reaches the host: approving it is an admin's; allowed: rejecting it";
        errors.push(FieldError::forbidden("spec.approval.decision", why));
    }
    errors
}

/// Whether an incident may be about a workload; in doubt it is.
fn is_about(incident: &Incident, workload: &Workload) -> bool {
    let found = incident
        .status
        .as_ref()
        .and_then(|status| status.workload.as_ref());
    let named = found.or(incident.spec.workload_ref.as_ref());
    named.is_none_or(|name| name.as_str() == workload.name())
}

/// The containers that must be inspected to judge a LoadBalancer.
pub fn containers_of_load_balancer<'a>(
    before: Option<&'a LoadBalancerSpec>,
    after: &'a LoadBalancerSpec,
) -> Vec<&'a str> {
    if before == Some(after) {
        return Vec::new();
    }
    before
        .into_iter()
        .chain([after])
        .map(|spec| spec.container.as_str())
        .collect()
}

/// The containers that must be inspected to judge a Workload.
pub fn containers_of_workload<'a>(before: Option<&'a WorkloadSpec>, after: &'a WorkloadSpec) -> Vec<&'a str> {
    if before.is_some_and(|before| only_scales(before, after)) {
        return Vec::new();
    }
    let specs = before.into_iter().chain([after]);
    specs
        .filter_map(|spec| spec.container.as_ref().map(|name| name.as_str()))
        .collect()
}

/// Whether two specs differ in nothing but the number of replicas and the time of a restart.
fn only_scales(before: &WorkloadSpec, after: &WorkloadSpec) -> bool {
    let scaled = WorkloadSpec {
        replicas: after.replicas,
        restarted_at: after.restarted_at,
        ..before.clone()
    };
    scaled == *after
}

/// Targets that have this controller send requests, from the host's network and with a secret of its own.
fn of_autoscale(spec: &WorkloadSpec) -> Vec<FieldError> {
    let targets = spec
        .autoscale
        .iter()
        .flat_map(|autoscale| &autoscale.targets)
        .enumerate();
    let external = targets.filter(|(_, target)| target.metric == AutoscaleMetric::External);
    let errors = external.map(|(index, _)| {
        FieldError::forbidden(
            format!("spec.autoscale.targets[{index}]"),
            "metric External has the controller send requests to an address: that is an admin's; allowed: the other metrics",
        )
    });
    errors.collect()
}

/// Fields of a template that reach the host.
pub fn of_template(template: &ContainerTemplate, mounts: &HostMounts) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, volume) in template.volumes.iter().enumerate() {
        if volume.source.starts_with('/') && !mounts.allow(&volume.source) {
            errors.push(FieldError::forbidden(
                format!("spec.template.volumes[{index}].source"),
                format!(
                    "{:?} is mounted from the host: that is an admin's; allowed: volumes by name, and bind mounts {}",
                    volume.source,
                    mounts.words()
                ),
            ));
        }
    }
    for (index, network) in template.networks.iter().enumerate() {
        let network = network.as_str();
        if network == "host" || network.starts_with("container:") {
            errors.push(FieldError::forbidden(
                format!("spec.template.networks[{index}]"),
                format!("network {network:?} is not the container's own: that is an admin's; allowed: networks by name"),
            ));
        }
    }
    errors
}

fn of_container(name: &str, what: &str, inspected: &Inspected, mounts: &HostMounts) -> Option<FieldError> {
    let why = match inspected.get(name) {
        Some(Named::Found(container)) => {
            let reasons = host_access(container, mounts);
            if reasons.is_empty() {
                return None;
            }
            let more = reasons.len().saturating_sub(NAMED);
            let named: Vec<String> = reasons.into_iter().take(NAMED).collect();
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            format!("container {name} has {}{more}", named.join(", "))
        }
        Some(Named::Missing) | None => {
            format!("there is no container {name}, so what it reaches is not known")
        }
    };
    Some(FieldError::forbidden(
        "spec.container".to_owned(),
        format!(
            "{why}: {what} is an admin's; allowed: a container that reaches nothing of the host (bind mounts {})",
            mounts.words()
        ),
    ))
}

/// Without what is said twice, of the spec before and after.
fn unique(errors: Vec<FieldError>) -> Vec<FieldError> {
    let mut kept: Vec<FieldError> = Vec::new();
    for error in errors {
        if !kept
            .iter()
            .any(|known| known.field == error.field && known.message == error.message)
        {
            kept.push(error);
        }
    }
    kept
}
