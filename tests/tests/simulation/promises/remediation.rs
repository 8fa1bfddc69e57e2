//! What must never happen to incidents and by them: I1, I4, I5, I6 and I7.

use std::collections::{BTreeMap, BTreeSet};

use aegis_api::incident::{ApprovalDecision, Patch, Plan, Severity, Stage};
use aegis_api::proposal::{Action, Verdict};
use aegis_api::scalar::Time;
use aegis_api::{
    ConditionType, Incident, IncidentStatus, Kind, Phase, Reason, RemediationPolicy, RunbookEntry, Workload,
    WorkloadSpec, condition,
};
use aegis_runtime::Verb;

use super::{Evidence, autoscaling, phase};

fn plan(incident: &Incident) -> Option<&Plan> {
    incident.status.as_ref()?.plan.as_ref()
}

/// I1: once there is a plan it is the plan, also after a restart, unless it is given up with a reason on the timeline.
pub(crate) fn i1_a_plan_stays(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (_, versions) in evidence
        .incidents
        .values()
        .flat_map(|versions| versions.iter().zip(versions.iter().skip(1)))
        .map(|((_, before), (_, after))| ((), (before, after)))
    {
        let (before, after) = versions;
        let Some(old) = plan(before) else { continue };
        if plan(after).is_some_and(|new| new.hash == old.hash) {
            continue;
        }
        let count = |incident: &Incident| incident.status.as_ref().map_or(0, |status| status.timeline.len());
        let fresh: Vec<_> = after
            .status
            .iter()
            .flat_map(|status| status.timeline.iter().skip(count(before)))
            .collect();
        let given_up = fresh.iter().any(|entry| {
            entry.status == Stage::Fallback
                || (entry.status == Stage::PolicyGate && entry.message.contains("made again"))
                || phase(before) == Phase::AwaitingApproval
        });
        if !given_up {
            broken.push(format!(
                "incident {} in {} had plan {} and then {:?}, without a reason",
                before.name(),
                phase(before).as_str(),
                old.hash,
                plan(after).map(|plan| &plan.hash)
            ));
        }
    }
    broken
}

fn patched(patch: &Patch, spec: &WorkloadSpec) -> WorkloadSpec {
    let mut spec = spec.clone();
    spec.restarted_at = patch.restarted_at.or(spec.restarted_at);
    spec.replicas = patch.replicas.unwrap_or(spec.replicas);
    spec.template = patch.template.clone().or(spec.template);
    spec
}

/// Whether a plan does what its action says and no more.
fn is_closed(plan: &Plan, parent: &Workload, most: u32) -> bool {
    let Patch {
        restarted_at,
        replicas,
        template,
    } = &plan.patch;
    let past: BTreeSet<String> = parent
        .status
        .iter()
        .flat_map(|status| &status.revisions)
        .filter_map(|revision| serde_json::to_string(revision.template.as_ref()?).ok())
        .collect();
    match (plan.action, restarted_at, replicas, template) {
        (Action::Noop, None, None, None) | (Action::Restart, Some(_), None, None) => true,
        (Action::ScaleUp, None, Some(wanted), None) => *wanted > parent.spec.replicas && *wanted <= most,
        (Action::ScaleDown, None, Some(wanted), None) => *wanted < parent.spec.replicas && *wanted >= 1,
        (Action::Rollback, None, None, Some(template)) => {
            serde_json::to_string(template).is_ok_and(|template| past.contains(&template))
        }
        _ => false,
    }
}

/// I4: a workload's spec changes only as people ask, or as the plan of an approved incident about it says; and plans
/// are of the closed set, within the bounds.
pub(crate) fn i4_only_the_closed_set_of_changes(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut approved: BTreeMap<String, Plan> = BTreeMap::new();
    let mut most = 6;
    for record in &evidence.records {
        if let Some(policy) = record.object.typed::<RemediationPolicy>() {
            most = policy.spec.replicas.max.unwrap_or(6);
        }
        if let Some(incident) = record.object.typed::<Incident>() {
            let status = incident.status.clone().unwrap_or_default();
            if let (Phase::Approved, Some(plan), None) = (status.phase, status.plan, status.finished_at) {
                let about = status.workload.as_ref().map(|name| name.as_str());
                if about != Some(plan.target.as_str()) {
                    broken.push(format!(
                        "incident {} about {about:?} plans for {}",
                        incident.name(),
                        plan.target
                    ));
                }
                let parent = evidence.workloads.get(plan.target.as_str()).and_then(|versions| {
                    let mut versions = versions.iter().rev();
                    versions.find(|(at, workload)| {
                        *at <= record.at && workload.generation() == plan.parent_generation
                    })
                });
                if parent.is_some_and(|(_, parent)| !is_closed(&plan, parent, most)) {
                    broken.push(format!(
                        "incident {} plans {:?}: {:?}",
                        incident.name(),
                        plan.action,
                        plan.patch
                    ));
                }
                approved.insert(record.object.uid().to_owned(), plan);
            } else {
                approved.remove(record.object.uid());
            }
        }
        let (Some(new), Some(old)) = (record.object.typed::<Workload>(), &record.old) else {
            continue;
        };
        let Some(old) = old.typed::<Workload>().filter(|old| old.spec != new.spec) else {
            continue;
        };
        if record.verb != Verb::Modified || !record.live {
            continue;
        }
        let value = serde_json::to_value(&new.spec).unwrap_or_default();
        let wished = evidence
            .wishes
            .iter()
            .any(|(name, wish)| name == new.name() && *wish == value);
        // A restart that could not take effect is withdrawn.
        let withdrawn = new.spec.restarted_at != old.spec.restarted_at && {
            let mut before = old.spec.clone();
            before.restarted_at = new.spec.restarted_at;
            let mut incidents = evidence.incidents.values().flatten();
            before == new.spec
                && incidents.any(|(_, incident)| {
                    incident.status.as_ref().is_some_and(|status| {
                        let execution = status.execution.as_ref();
                        let last = execution.and_then(|execution| execution.withdrawn);
                        let mut tried = status.tried.iter().map(|tried| tried.withdrawn);
                        last == Some(new.generation()) || tried.any(|made| made == Some(new.generation()))
                    })
                })
        };
        let planned = withdrawn
            || approved.values().any(|plan| {
                plan.target.as_str() == new.name()
                    && is_still_meant(evidence, plan, &old)
                    && patched(&plan.patch, &old.spec) == new.spec
            });
        if !wished && !planned && !autoscaling::is_own(&old, &new) {
            broken.push(format!(
                "the spec of workload {} became {value} at {} although it was not requested; announced was {:?}, of generation {}",
                new.name(),
                record.at,
                old.status.as_ref().and_then(|status| status.autoscale.as_ref()?.changes.last()),
                old.generation(),
            ));
        }
    }
    broken
}

/// Whether a plan is made of this version of its workload, or of one that autoscaling alone has changed since: that makes no
/// plan stale but one about replicas.
fn is_still_meant(evidence: &Evidence, plan: &Plan, old: &Workload) -> bool {
    let versions = evidence.workloads.get(plan.target.as_str()).into_iter().flatten();
    // Another one of the same name may have come after it.
    let versions = versions.map(|(_, workload)| &**workload);
    let versions: Vec<&Workload> = versions
        .filter(|workload| workload.metadata.uid == old.metadata.uid)
        .collect();
    let is_between = |pair: &&[&Workload]| {
        pair[0].generation() >= plan.parent_generation && pair[1].generation() <= old.generation()
    };
    let changes = versions.windows(2).filter(|pair| pair[0].spec != pair[1].spec);
    let by_others = changes
        .filter(is_between)
        .any(|pair| !autoscaling::is_own(pair[0], pair[1]));
    plan.parent_generation <= old.generation() && !by_others
}

/// A plan that is carried out: who approved it, when it was applied, and to what.
struct ExecutedPlan<'a> {
    uid: &'a str,
    incident: &'a Incident,
    plan: Plan,
    at: Time,
    by_human: bool,
    is_fallback: bool,
}

fn is_by_human(incident: &Incident, plan: &Plan) -> bool {
    incident.spec.override_.is_some()
        || incident.spec.approval.as_ref().is_some_and(|approval| {
            approval.decision == ApprovalDecision::Approve && approval.plan_hash == plan.hash
        })
}

/// Every plan that changed something, in the order of its effect.
fn executed_plans(evidence: &Evidence) -> Vec<ExecutedPlan<'_>> {
    let mut plans: Vec<ExecutedPlan<'_>> = Vec::new();
    for (uid, versions) in &evidence.incidents {
        for (_, incident) in versions {
            let Some(status) = &incident.status else { continue };
            let (Some(plan), Some(execution)) = (&status.plan, &status.execution) else {
                continue;
            };
            let Some(at) = execution.applied_at.filter(|_| plan.action != Action::Noop) else {
                continue;
            };
            if plans
                .iter()
                .any(|executed| executed.uid == uid && executed.plan.hash == plan.hash)
            {
                continue;
            }
            plans.push(ExecutedPlan {
                uid,
                incident,
                plan: plan.clone(),
                at,
                by_human: is_by_human(incident, plan),
                is_fallback: !status.tried.is_empty(),
            });
        }
    }
    plans.sort_by_key(|executed| executed.at);
    plans
}

/// I5: what is done was approved by the council's quorum or by a human.
pub(crate) fn i5_no_quorum_no_action(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for executed in executed_plans(evidence) {
        let status = executed.incident.status.clone().unwrap_or_default();
        let approvals = |status: &IncidentStatus| {
            let votes = status.council.iter().flat_map(|council| &council.votes);
            votes.filter(|vote| vote.verdict == Verdict::Approved).count()
        };
        let approved = status
            .council
            .as_ref()
            .is_some_and(|council| council.final_verdict == Verdict::Approved && approvals(&status) >= 1);
        if !approved && !executed.by_human {
            broken.push(format!(
                "incident {} did {} without an approval: {:?}",
                executed.incident.name(),
                executed.plan.action,
                status.council
            ));
        }
    }
    broken
}

fn is_active(incident: &Incident) -> bool {
    let acts = matches!(
        phase(incident),
        Phase::Analysing
            | Phase::CouncilReview
            | Phase::Approved
            | Phase::Executing
            | Phase::Scaling
            | Phase::Verifying
    );
    acts && !incident.is_finished() && !only_waits(incident)
}

/// Whether it is watched until its report is confirmed, or waits for a pause, its turn or what it depends on: it has not the
/// workload to itself meanwhile, and must not have it before the other is over.
fn only_waits(incident: &Incident) -> bool {
    let waits = [
        Reason::Confirming,
        Reason::DependencyDown,
        Reason::HostBusy,
        Reason::Relapsed,
        Reason::RemediationUnderWay,
    ];
    let held = |status: &IncidentStatus| {
        let mut reasons = waits.into_iter();
        reasons.any(|reason| condition::is_true_for(&status.conditions, ConditionType::Held, reason))
    };
    phase(incident) == Phase::CouncilReview && incident.status.as_ref().is_some_and(held)
}

/// I6: one remediation of a workload at a time; what automation does by itself keeps to cooldown and budget.
pub(crate) fn i6_one_remediation_at_a_time_within_its_limits(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut active: BTreeMap<String, (String, String)> = BTreeMap::new();
    for record in &evidence.records {
        let Some(incident) = record.object.typed::<Incident>() else {
            continue;
        };
        let uid = record.object.uid().to_owned();
        let about = incident
            .status
            .as_ref()
            .and_then(|status| status.workload.clone());
        let Some(workload) = about.filter(|_| record.verb != Verb::Deleted && is_active(&incident)) else {
            active.remove(&uid);
            continue;
        };
        let workload = workload.to_string();
        if !active.contains_key(&uid)
            && let Some((_, active_incident)) = active.values().find(|(other, _)| *other == workload)
        {
            broken.push(format!(
                "{} and {active_incident} are both at work on {workload} at {}",
                incident.name(),
                record.at
            ));
        }
        active.insert(uid, (workload, incident.name().to_owned()));
    }
    broken.extend(limits(evidence));
    broken
}

/// Whether an incident holds one of the host's turns.
fn holds_a_turn(incident: &Incident) -> bool {
    let status = incident.status.clone().unwrap_or_default();
    let changes = status.plan.is_some_and(|plan| plan.action != Action::Noop);
    let caught = condition::is_true_for(&status.conditions, ConditionType::Held, Reason::Paused);
    let remedied = matches!(
        status.phase,
        Phase::Approved | Phase::Executing | Phase::Scaling | Phase::Verifying
    );
    changes && !caught && remedied && status.finished_at.is_none()
}

/// I6: automation begins on a workload only while fewer others are being remedied than the host allows.
pub(crate) fn i6_no_more_workloads_at_a_time_than_the_host_allows(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut turns: BTreeMap<String, (String, Severity)> = BTreeMap::new();
    for record in &evidence.records {
        let Some(incident) = record.object.typed::<Incident>() else {
            continue;
        };
        let uid = record.object.uid().to_owned();
        let status = incident.status.clone().unwrap_or_default();
        let severity = incident.spec.severity;
        let Some(workload) = status
            .workload
            .filter(|_| record.verb != Verb::Deleted && holds_a_turn(&incident))
        else {
            turns.remove(&uid);
            continue;
        };
        let by_human = status.plan.is_some_and(|plan| is_by_human(&incident, &plan));
        let begins = turns.insert(uid, (workload.to_string(), severity)).is_none();
        let others = || turns.values().filter(|(other, _)| *other != workload.to_string());
        // By the reserve it may begin beside what is not as grave, or graver than it.
        let unlike = others().filter(|(_, other)| *other != severity).count();
        let most = evidence.limits.concurrency + evidence.limits.reserve.min(unlike);
        let others: BTreeSet<&String> = others().map(|(other, _)| other).collect();
        if begins && !by_human && status.phase == Phase::Approved && others.len() >= most {
            broken.push(format!(
                "{} begins on {workload} at {} while {others:?} are being remedied",
                incident.name(),
                record.at
            ));
        }
    }
    broken
}

/// The policy in force at an instant.
fn policy_at(evidence: &Evidence, at: Time) -> Option<std::sync::Arc<RemediationPolicy>> {
    let mut before = evidence.records.iter().rev().filter(|record| record.at <= at);
    before.find_map(|record| record.object.typed::<RemediationPolicy>())
}

/// An incident is the record of what it did: deleting one takes its actions out of the count, as the audit log
/// shows. Up to when each of them counts.
fn deleted(evidence: &Evidence) -> BTreeMap<&str, Time> {
    let deletions = evidence
        .records
        .iter()
        .filter(|record| record.verb == Verb::Deleted);
    deletions.map(|record| (record.object.uid(), record.at)).collect()
}

fn limits(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let (plans, deleted) = (executed_plans(evidence), deleted(evidence));
    for (index, executed) in plans
        .iter()
        .enumerate()
        .filter(|(_, executed)| !executed.by_human)
    {
        let Some(policy) = policy_at(evidence, executed.at) else {
            continue;
        };
        let earlier = || {
            plans
                .iter()
                .take(index)
                .filter(|other| other.plan.target == executed.plan.target)
                .filter(|other| deleted.get(other.uid).is_none_or(|at| *at > executed.at))
        };
        let what = || {
            format!(
                "{} {} of incident {} at {}",
                executed.plan.action,
                executed.plan.target,
                executed.incident.name(),
                executed.at
            )
        };
        let hour = std::time::Duration::from_secs(3600);
        let used = earlier()
            .filter(|other| other.at.age(executed.at) <= hour)
            .count();
        if u32::try_from(used).unwrap_or(u32::MAX) >= policy.spec.actions_per_hour {
            broken.push(format!(
                "{}: {used} of {} actions were used up",
                what(),
                policy.spec.actions_per_hour
            ));
        }
        // The rungs of one ladder follow each other without a pause.
        let last = earlier().rfind(|other| other.uid != executed.uid);
        if let Some(last) =
            last.filter(|last| !executed.is_fallback && last.at.plus(policy.spec.cooldown) > executed.at)
        {
            broken.push(format!(
                "{}: within the cooldown of {} after incident {} at {}",
                what(),
                policy.spec.cooldown,
                last.incident.name(),
                last.at
            ));
        }
    }
    broken
}

/// When the spec first had what a plan desires.
fn carried_out(evidence: &Evidence, executed: &ExecutedPlan<'_>) -> Option<Time> {
    let Patch {
        restarted_at,
        replicas,
        template,
    } = &executed.plan.patch;
    let has = |workload: &Workload| {
        workload.generation() > executed.plan.parent_generation
            && (restarted_at.is_none() || workload.spec.restarted_at == *restarted_at)
            && replicas.is_none_or(|wanted| workload.spec.replicas == wanted)
            && (template.is_none() || workload.spec.template == *template)
    };
    let versions = evidence.workloads.get(executed.plan.target.as_str())?;
    let mut versions = versions.iter();
    versions.find(|(_, workload)| has(workload)).map(|(at, _)| *at)
}

/// I13: what automation does, and what a human only agrees to, is about a symptom that was measured right before; only
/// a human's own order needs none. What was not measured teaches nothing.
pub(crate) fn i13_no_action_without_a_symptom_measured_right_before(evidence: &Evidence) -> Vec<String> {
    const RIGHT_BEFORE: std::time::Duration = std::time::Duration::from_secs(15);
    let mut broken = Vec::new();
    for executed in executed_plans(evidence) {
        let status = executed.incident.status.clone().unwrap_or_default();
        if executed.incident.spec.override_.is_some() {
            continue;
        }
        let at = carried_out(evidence, &executed).unwrap_or(executed.at);
        let measured = status.measured_at.filter(|measured| *measured <= at);
        let recent = measured.is_some_and(|measured| measured.age(at) <= RIGHT_BEFORE);
        if status.symptoms.is_empty() || !recent {
            broken.push(format!(
                "incident {} did {} at {at}: {:?} was measured at {:?}",
                executed.incident.name(),
                executed.plan.action,
                status.symptoms,
                status.measured_at
            ));
        }
    }
    broken.extend(cleared_nothing(evidence));
    for versions in evidence.incidents.values() {
        let Some((_, last)) = versions.last() else {
            continue;
        };
        let status = last.status.clone().unwrap_or_default();
        let cleared = status
            .verification
            .and_then(|verification| verification.symptom_cleared);
        if status.learned.is_some() && (status.symptoms.is_empty() || cleared != Some(true)) {
            broken.push(format!(
                "incident {} taught {:?} with {:?} before and {cleared:?} after",
                last.name(),
                status.learned,
                status.symptoms
            ));
        }
    }
    broken
}

/// What automation does by itself can clear the symptom that it names, whatever proposed it.
fn cleared_nothing(evidence: &Evidence) -> Vec<String> {
    let plans = executed_plans(evidence);
    let by_itself = plans.iter().filter(|executed| !executed.by_human);
    let wrong = by_itself.filter_map(|executed| {
        let action = executed.plan.action;
        let clears = executed.incident.status.as_ref()?.clears.as_ref();
        let can = clears.is_some_and(|symptom| symptom.kind.is_cleared_by(action));
        let name = executed.incident.name();
        (!can).then(|| format!("incident {name} did {action}, which cannot clear {clears:?}"))
    });
    wrong.collect()
}

/// I6: what does not last is repeated with growing pauses, at most a minute where the service is down.
pub(crate) fn i6_what_does_not_last_is_repeated_with_growing_pauses(evidence: &Evidence) -> Vec<String> {
    const SHORTEST: u64 = 5;
    const LONGEST: u64 = 60;
    let mut broken = Vec::new();
    let plans = executed_plans(evidence);
    for (at, executed) in plans.iter().enumerate() {
        let relapses = executed
            .incident
            .status
            .as_ref()
            .map_or(0, |status| status.relapses);
        let mut earlier = plans.iter().take(at).rev();
        let before = earlier.find(|before| {
            before.plan.target == executed.plan.target
                && before.plan.action == executed.plan.action
                && before.uid != executed.uid
        });
        let Some(before) = before.filter(|_| relapses > 0 && !executed.by_human) else {
            continue;
        };
        let cooldown =
            policy_at(evidence, executed.at).map_or(0, |policy| policy.spec.cooldown.std().as_secs());
        let pause = cooldown
            .max(SHORTEST)
            .saturating_mul(2_u64.pow(relapses.min(10)))
            .min(LONGEST);
        let had = before.at.age(executed.at).as_secs();
        if had < pause {
            broken.push(format!(
                "incident {} repeated {} of {} after {had} s, {relapses} relapse(s) in a row ask for {pause} s",
                executed.incident.name(),
                executed.plan.action,
                executed.plan.target
            ));
        }
    }
    broken
}

/// I7: RESOLVED has its proof, after the action; only what was resolved is in the runbook.
pub(crate) fn i7_resolved_and_learned_only_when_verified(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut resolved: BTreeSet<String> = BTreeSet::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for versions in evidence.incidents.values() {
        let Some((at, last)) = versions.last() else {
            continue;
        };
        let id = last.spec.source.incident_id.clone();
        known.insert(id.clone());
        if phase(last) != Phase::Resolved {
            continue;
        }
        resolved.insert(id);
        let status = last.status.clone().unwrap_or_default();
        let verification = status.verification.unwrap_or_default();
        let converged = status.execution.and_then(|execution| execution.converged_at);
        let wanted = policy_at(evidence, *at).map_or(1, |policy| policy.spec.verification.successes);
        let proof = verification.attempts.iter().rev().take_while(|attempt| {
            attempt.healthy && converged.is_some_and(|converged| attempt.at >= converged)
        });
        if u32::try_from(proof.count()).unwrap_or(0) < wanted || verification.health_verified != Some(true) {
            broken.push(format!(
                "incident {} is RESOLVED without proof: {:?}",
                last.name(),
                verification.attempts
            ));
        }
    }
    let mut learned: BTreeMap<String, String> = BTreeMap::new();
    for record in evidence
        .records
        .iter()
        .filter(|record| record.verb != Verb::Deleted)
    {
        if let Some(entry) = record.object.typed::<RunbookEntry>() {
            learned.insert(record.object.name().to_owned(), entry.spec.incident_id.clone());
        }
    }
    let unearned = learned
        .iter()
        .filter(|(_, id)| known.contains(*id) && !resolved.contains(*id));
    broken.extend(
        unearned.map(|(entry, id)| format!("runbook entry {entry} is of {id}, which was never resolved")),
    );
    broken
}
