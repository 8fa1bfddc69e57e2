//! An action becomes a plan: a patch of the Workload's spec with absolute values, made for one generation of it. Pure.

use aegis_api::incident::{Patch, Plan};
use aegis_api::proposal::Action;
use aegis_api::scalar::{InvalidScalar, ResourceName};
use aegis_api::workload::ContainerTemplate;
use aegis_api::{Kind, Time, Workload, WorkloadSpec};
use sha2::{Digest, Sha256};

use super::validate::ValidatedIncident;
use crate::autoscale::{in_force, only_autoscaled_since};

/// Why no plan can be made of an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotPrescribe {
    #[error("SCALE_UP is not possible: {current} replicas are the most that policy {policy} allows")]
    AtMost { current: u32, policy: String },
    #[error(
        "SCALE_UP is not possible: {current} replicas are the most that spec.autoscale allows now: raise its max"
    )]
    AtMostByLoad { current: u32 },
    #[error("SCALE_DOWN is not possible: {current} replicas are the fewest that policy {policy} allows")]
    AtFewest { current: u32, policy: String },
    #[error(
        "there is nothing to roll back to: workload {workload} adopts a container, whose configuration belongs to its creator"
    )]
    Adopted { workload: String },
    #[error("there is nothing to roll back to: workload {workload} has had no other template")]
    NoOtherTemplate { workload: String },
    #[error("no plan can name workload {workload}")]
    Unnamed { workload: String, source: InvalidScalar },
}

/// Makes the plan, or says why the action cannot be taken.
pub(crate) fn prescribe(
    incident: &ValidatedIncident,
    workload: &Workload,
    action: Action,
    count: u32,
) -> Result<Plan, CannotPrescribe> {
    let target = workload.name().parse();
    let target: ResourceName = target.map_err(|source| CannotPrescribe::Unnamed {
        workload: workload.name().to_owned(),
        source,
    })?;
    let patch = patch(incident, workload, action, count)?;
    let parent_generation = workload.generation();
    let hash = hash(action, &target, parent_generation, &patch);
    Ok(Plan {
        hash,
        action,
        target,
        parent_generation,
        patch,
        created_at: incident.now,
    })
}

/// What the workload's spec becomes, within the bounds of the policy.
fn patch(
    incident: &ValidatedIncident,
    workload: &Workload,
    action: Action,
    count: u32,
) -> Result<Patch, CannotPrescribe> {
    let current = workload.spec.replicas;
    let policy = || incident.policy_name.clone();
    let replicas = |wanted| Patch {
        replicas: Some(wanted),
        ..Patch::default()
    };
    match action {
        Action::Noop => Ok(Patch::default()),
        Action::Restart => Ok(Patch {
            restarted_at: Some(incident.now),
            ..Patch::default()
        }),
        Action::ScaleUp => {
            // Above it autoscaling would take back what the plan has set.
            let by_load = workload.spec.autoscale.as_ref();
            let most_by_load = by_load.map_or(u32::MAX, |spec| in_force(spec, incident.now).max);
            let wanted = current.saturating_add(count.max(1));
            match wanted.min(incident.max_replicas).min(most_by_load) {
                wanted if wanted > current => Ok(replicas(wanted)),
                _ if most_by_load <= current => Err(CannotPrescribe::AtMostByLoad { current }),
                _ => Err(CannotPrescribe::AtMost {
                    current,
                    policy: policy(),
                }),
            }
        }
        Action::ScaleDown => match current
            .saturating_sub(count.max(1))
            .max(incident.policy.replicas.min)
        {
            wanted if wanted < current => Ok(replicas(wanted)),
            _ => Err(CannotPrescribe::AtFewest {
                current,
                policy: policy(),
            }),
        },
        Action::Rollback => Ok(Patch {
            template: Some(previous_template(workload)?),
            ..Patch::default()
        }),
    }
}

/// Whether a workload has been something else that it could be again.
pub fn can_roll_back(workload: &Workload) -> bool {
    previous_template(workload).is_ok()
}

/// The newest earlier template, one that was once ready before any other.
fn previous_template(workload: &Workload) -> Result<ContainerTemplate, CannotPrescribe> {
    let name = || workload.name().to_owned();
    if workload.spec.container.is_some() {
        return Err(CannotPrescribe::Adopted { workload: name() });
    }
    let revisions = workload
        .status
        .as_ref()
        .map(|status| status.revisions.as_slice())
        .unwrap_or_default();
    let earlier = || {
        revisions
            .iter()
            .rev()
            .filter(|revision| revision.template.is_some() && revision.template != workload.spec.template)
    };
    let found = earlier()
        .find(|revision| revision.was_ready)
        .or_else(|| earlier().next());
    found
        .and_then(|revision| revision.template.clone())
        .ok_or_else(|| CannotPrescribe::NoOtherTemplate { workload: name() })
}

fn hash(action: Action, target: &ResourceName, generation: i64, patch: &Patch) -> String {
    let text = serde_json::json!([action, target, generation, patch]).to_string();
    Sha256::digest(text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The plan as it is carried out now that a human has agreed to it: a restart is one of what runs at this moment, not
/// only of what ran when the plan was made. Where somebody restarted the workload since by its spec, that was it. The
/// hash stays that of the plan which was agreed to.
pub fn carried_out_at(plan: &Plan, workload: &Workload, now: Time) -> Plan {
    let mut plan = plan.clone();
    if !is_applied(&plan.patch, &workload.spec) {
        plan.patch.restarted_at = plan.patch.restarted_at.map(|made| made.max(now));
    }
    plan
}

/// Whether the spec has everything in the patch. A later restart counts as this one, too.
pub(crate) fn is_applied(patch: &Patch, spec: &WorkloadSpec) -> bool {
    let Patch {
        restarted_at,
        replicas,
        template,
    } = patch;
    restarted_at.is_none_or(|wanted| spec.restarted_at.is_some_and(|present| present >= wanted))
        && replicas.is_none_or(|wanted| spec.replicas == wanted)
        && template
            .as_ref()
            .is_none_or(|wanted| spec.template.as_ref() == Some(wanted))
}

/// Whether a plan was made for the workload as it is: nothing has changed its spec since but autoscaling, which sets the
/// replicas alone. A plan about the replicas was made for as many as there were then.
pub fn is_made_for(plan: &Plan, workload: &Workload) -> bool {
    let generation = plan.parent_generation;
    workload.generation() == generation
        || plan.patch.replicas.is_none() && only_autoscaled_since(workload, generation)
}

/// What the plan does, for display.
pub(super) fn describe(plan: &Plan) -> String {
    match (plan.action, plan.patch.replicas) {
        (Action::ScaleUp | Action::ScaleDown, Some(replicas)) => {
            format!("{} {} to {replicas} replicas", plan.action, plan.target)
        }
        _ => format!("{} {}", plan.action, plan.target),
    }
}

/// Whether it is this plan that the workload's spec carries: a restart that somebody else requested since is another
/// one.
pub fn is_done(plan: &Plan, workload: &Workload) -> bool {
    let restarted = plan.patch.restarted_at;
    is_applied(&plan.patch, &workload.spec)
        && workload.generation() > plan.parent_generation
        && restarted.is_none_or(|at| workload.spec.restarted_at == Some(at))
}

/// The spec with the patch in it.
pub fn patched(patch: &Patch, spec: &WorkloadSpec) -> WorkloadSpec {
    let Patch {
        restarted_at,
        replicas,
        template,
    } = patch.clone();
    let mut spec = spec.clone();
    spec.restarted_at = restarted_at.or(spec.restarted_at);
    spec.replicas = replicas.unwrap_or(spec.replicas);
    spec.template = template.or(spec.template);
    spec
}
