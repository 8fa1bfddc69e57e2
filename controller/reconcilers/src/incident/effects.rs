//! The only place where an incident causes anything: it reads evidence, asks the brain, patches the Workload's spec,
//! probes, and teaches the runbook. Every effect may be had again after a crash. What comes of one is the planner's to say.

pub(super) mod ask;
mod case;
pub(super) mod evidence;
mod execute;
pub(super) mod learn;
mod measure;
mod origin;
pub(super) mod probes;
mod signals;

use aegis_api::proposal::Seat;
use aegis_api::{Reason, Time};
use aegis_brain::Recalled;
use aegis_docker::EngineError;
use aegis_planning::incident::measured::after_measuring;
use aegis_planning::incident::next::{Effect, Setback};
use aegis_planning::incident::origin::opened as origin_opened;
use aegis_planning::incident::phase::verifying::proof;
use aegis_planning::incident::phase::{
    Found, after_analysis, after_execution, after_investigation, after_learning, after_probe, after_settling,
    after_unlearning, after_vote, analysis_failed,
};
use aegis_planning::incident::transition::{HeldFor, Transition};
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::events::ObjectRef;
use aegis_runtime::offload::offload;

use super::{Error, IncidentReconciler};
use crate::brake;

/// Does it, and answers what came of it; `None` where it is not needed any more.
pub(super) async fn carry_out(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    effect: Effect,
) -> Result<Option<Transition>, Error> {
    let context = &reconciler.context;
    match effect {
        Effect::Investigate { then_hold } => Ok(investigate(reconciler, incident, then_hold).await),
        Effect::Measure => Ok(measure(reconciler, incident).await),
        Effect::OpenOrigin { name, spec } => {
            let name = origin::open(context, incident, name, *spec).await?;
            Ok(Some(origin_opened(incident, name, now(reconciler))))
        }
        Effect::Analyse => Ok(analyse(reconciler, incident).await),
        Effect::Vote(seat) => Ok(vote(reconciler, incident, seat).await),
        Effect::PauseAll { reason, then } => {
            brake::pause_all(context, &ObjectRef::of(&*incident.incident), &reason).await;
            Ok(Some(then))
        }
        Effect::Execute(plan) => {
            let applied = execute::execute(context, incident, &plan).await?;
            Ok(Some(after_execution(incident, &plan, applied, now(reconciler))))
        }
        Effect::Probe { number } => Ok(probe(reconciler, incident, number).await),
        Effect::Learn => {
            let learned = learn::cleared(context, incident).await?;
            Ok(Some(after_learning(incident, learned, now(reconciler))))
        }
        Effect::Settle(settlement) => {
            learn::settle(context, incident, &settlement).await?;
            Ok(Some(after_settling(incident, settlement, now(reconciler))))
        }
        Effect::Unlearn(setback) => unlearn(reconciler, incident, setback).await.map(Some),
    }
}

fn now(reconciler: &IncidentReconciler) -> Time {
    reconciler.context.clock.now()
}

/// Nothing was seen, and nothing can be concluded.
fn unread(reconciler: &IncidentReconciler, incident: &ValidatedIncident, error: &EngineError) -> Transition {
    let held = HeldFor {
        reason: Reason::EngineUnavailable,
        message: error.to_string(),
        until: None,
    };
    Transition::held(incident, held, now(reconciler))
}

async fn investigate(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    then_hold: Option<HeldFor>,
) -> Option<Transition> {
    let workload = incident.target.as_ref().ok()?;
    let evidence = match evidence::collect(&reconciler.context, incident, workload).await {
        Ok(evidence) => evidence,
        Err(error) => return Some(unread(reconciler, incident, &error)),
    };
    let query = evidence::question(incident, &evidence);
    let (recall, store) = (reconciler.recall.clone(), reconciler.context.store.clone());
    // After a start all entries may have to be indexed first, which takes seconds of work.
    let recalled = match offload(move || recall.query(&store, &query)).await {
        Ok(recalled) => recalled,
        Err(error) => {
            tracing::warn!(%error, "the runbook was not searched");
            Vec::new()
        }
    };
    let symptoms = measure::judge(reconciler, incident, workload, &evidence);
    let found = Found {
        origin: origin::origin(&reconciler.context, incident, workload, &symptoms).await,
        symptoms,
        evidence: Box::new(evidence),
        similar: recalled.into_iter().map(Recalled::into).collect(),
    };
    Some(after_investigation(incident, found, then_hold, now(reconciler)))
}

async fn measure(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Option<Transition> {
    let workload = incident.target.as_ref().ok()?;
    Some(match measure::measure(reconciler, incident, workload).await {
        Ok(measured) => after_measuring(incident, measured, now(reconciler)),
        Err(error) => unread(reconciler, incident, &error),
    })
}

async fn analyse(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Option<Transition> {
    let Some(case) = case::known(reconciler, incident) else {
        let why = "there is no evidence to analyse";
        return Some(analysis_failed(incident, why, now(reconciler)));
    };
    let answer = ask::analyse(reconciler, incident, &case).await?;
    Some(match answer {
        Ok(analysis) => after_analysis(Box::new(analysis), now(reconciler)),
        Err(error) => analysis_failed(incident, &error.to_string(), now(reconciler)),
    })
}

async fn vote(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    seat: Seat,
) -> Option<Transition> {
    let case = case::known(reconciler, incident);
    let Some((case, analysis)) = case.as_ref().zip(incident.status.analysis.as_ref()) else {
        let why = "there is no analysis to vote on";
        return Some(analysis_failed(incident, why, now(reconciler)));
    };
    let vote = ask::vote(reconciler, incident, case, seat, analysis).await?;
    Some(after_vote(incident, vote, now(reconciler)))
}

/// One attempt at proof: what every container of the workload answers at this moment, and whether what was wrong is not
/// wrong any more.
async fn probe(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    number: u32,
) -> Option<Transition> {
    let workload = incident.target.as_ref().ok()?;
    let answers = probes::ask_all(&reconciler.context, workload).await;
    let proof = proof(workload, &answers);
    let aftermath = measure::aftermath(reconciler, incident, workload, proof.0).await;
    Some(after_probe(incident, number, proof, aftermath, now(reconciler)))
}

async fn unlearn(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    setback: Setback,
) -> Result<Transition, Error> {
    let context = &reconciler.context;
    // What is tried once more has not failed yet.
    let planned = incident.status.plan.as_ref().map(|plan| plan.action);
    let again = matches!(&setback, Setback::FallBack { action, .. } if planned == Some(*action));
    if !again {
        learn::failure(context, incident).await?;
    }
    let withdrawn = execute::withdraw(context, incident).await?;
    Ok(after_unlearning(incident, setback, withdrawn, now(reconciler)))
}
