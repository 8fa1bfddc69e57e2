//! The only place where an incident causes anything: it reads evidence, asks the brain, patches the Workload's spec,
//! probes, and teaches the runbook. Every effect is idempotent.

use aegis_api::audit::Actor;
use aegis_api::incident::{Attempt, Plan};
use aegis_api::proposal::{Action, Analysis, CouncilDecision, Evidence, Vote};
use aegis_api::workload::Health;
use aegis_api::{Kind, Phase, Reason, Symptom, Time, Workload};
use aegis_brain::{Case, Recalled, ReplicaBounds};
use aegis_planning::incident::gate::Ruling;
use aegis_planning::incident::plan::Step;
use aegis_planning::incident::plan::verify::proof;
use aegis_planning::incident::remedy;
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::events::ObjectRef;
use aegis_runtime::store::StoreError;
use futures::future::join_all;

use super::measure::{self, Aftermath, Measured};
use super::{Error, IncidentReconciler, ask, evidence, learn};
use crate::context::Context;
use crate::{addressing, brake, fault, probe};

/// What came of a step.
#[derive(Debug)]
pub(super) enum Outcome {
    Held {
        reason: Reason,
        message: String,
        until: Option<Time>,
    },
    Investigated {
        evidence: Box<Evidence>,
        symptoms: Vec<Symptom>,
        recalled: Vec<Recalled>,
        hold: Option<(Reason, String, Option<Time>)>,
    },
    /// What is wrong at this moment.
    Measured(Measured),
    /// It begins at evidence again, for this reason.
    BegunAnew(String),
    AnalysisBegun,
    Analysed(Box<Analysis>),
    AnalysisFailed(String),
    Voted(Vote),
    Approved {
        plan: Plan,
        council: Option<CouncilDecision>,
        note: String,
    },
    Asked {
        plan: Plan,
        council: Option<CouncilDecision>,
        reason: Reason,
        message: String,
    },
    DryRunEnded {
        plan: Option<Plan>,
        council: Option<CouncilDecision>,
        ruling: Ruling,
    },
    Executed {
        plan: Plan,
        generation: i64,
        /// `spec.restartedAt` as it was before.
        replaced: Option<Time>,
    },
    PlanStale(String),
    VerificationBegun {
        plan: Plan,
        containers: Vec<String>,
        lb: Option<bool>,
    },
    Attempted {
        attempt: Attempt,
        cleared: Option<bool>,
    },
    Resolved {
        learned: Option<String>,
    },
    FellBack {
        error: String,
        action: Action,
        withdrawn: Option<i64>,
    },
    Failed {
        error: String,
        council: Option<CouncilDecision>,
        withdrawn: Option<i64>,
    },
    Waited(Option<std::time::Duration>),
}

pub(super) async fn apply(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    step: Step,
) -> Result<Outcome, Error> {
    Ok(match step {
        Step::Hold {
            reason,
            message,
            until,
        } => Outcome::Held {
            reason,
            message,
            until,
        },
        Step::Investigate { then_hold } => investigate(reconciler, incident, then_hold).await,
        Step::Measure => measure_anew(reconciler, incident).await,
        Step::BeginAnew { reason } => Outcome::BegunAnew(reason),
        Step::BeginAnalysis => Outcome::AnalysisBegun,
        Step::Analyse => match known_case(reconciler, incident) {
            Some(case) => ask::analyse(reconciler, incident, &case).await,
            None => Outcome::AnalysisFailed("there is no evidence to analyse".to_owned()),
        },
        Step::Vote(seat) => match (known_case(reconciler, incident), &incident.status.analysis) {
            (Some(case), Some(analysis)) => ask::vote(reconciler, incident, &case, seat, analysis).await,
            _ => Outcome::AnalysisFailed("there is no analysis to vote on".to_owned()),
        },
        Step::Approve { plan, council, note } => Outcome::Approved { plan, council, note },
        Step::AskHuman {
            plan,
            council,
            reason,
            mut message,
        } => {
            if reason == Reason::BlastRadius {
                let about = ObjectRef::of(&*incident.incident);
                brake::pause_all(&reconciler.context, &about, &message).await;
                message.push_str("; all automation is paused: `aegisctl resume` lets it go on");
            }
            Outcome::Asked {
                plan,
                council,
                reason,
                message,
            }
        }
        Step::EndDryRun {
            plan,
            council,
            ruling,
        } => Outcome::DryRunEnded {
            plan,
            council,
            ruling,
        },
        Step::Execute(plan) => execute(reconciler, incident, plan).await?,
        Step::BeginVerification { plan, containers, lb } => {
            Outcome::VerificationBegun { plan, containers, lb }
        }
        Step::Attempt { workload, number } => attempt(reconciler, incident, &workload, number).await,
        Step::Resolve => Outcome::Resolved {
            learned: learn::success(&reconciler.context, incident).await?,
        },
        Step::FallBack { error, action } => {
            learn::failure(&reconciler.context, incident).await?;
            let withdrawn = withdraw(reconciler, incident).await?;
            Outcome::FellBack {
                error,
                action,
                withdrawn,
            }
        }
        Step::Fail { error, council } => {
            learn::failure(&reconciler.context, incident).await?;
            let withdrawn = withdraw(reconciler, incident).await?;
            Outcome::Failed {
                error,
                council,
                withdrawn,
            }
        }
        Step::Wait(pause) => Outcome::Waited(pause),
    })
}

async fn investigate(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    hold: Option<(Reason, String, Option<Time>)>,
) -> Outcome {
    let evidence = match &incident.target {
        Ok(workload) => evidence::collect(&reconciler.context, incident, workload).await,
        Err(_) => Ok(Evidence::default()),
    };
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(error) => {
            let (reason, message) = (Reason::EngineUnavailable, error.to_string());
            return Outcome::Held {
                reason,
                message,
                until: None,
            };
        }
    };
    let query = evidence::question(incident, &evidence);
    let recalled = reconciler.recall.query(&reconciler.context.store, &query);
    Outcome::Investigated {
        symptoms: measure::judge(reconciler, incident, &evidence),
        evidence: Box::new(evidence),
        recalled,
        hold,
    }
}

async fn measure_anew(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Outcome {
    let measured = match &incident.target {
        Ok(workload) => measure::measure(reconciler, incident, workload).await,
        Err(_) => return Outcome::Waited(Some(std::time::Duration::ZERO)),
    };
    match measured {
        Ok(measured) => Outcome::Measured(measured),
        Err(error) => Outcome::Held {
            reason: Reason::EngineUnavailable,
            message: error.to_string(),
            until: None,
        },
    }
}

/// The case with the evidence that was collected first.
fn known_case(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Option<Case> {
    case(reconciler, incident, incident.status.evidence.clone()?)
}

/// The case as the brain is given it: text and numbers, nothing that acts.
pub(super) fn case(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    evidence: Evidence,
) -> Option<Case> {
    let workload = incident.target.as_ref().ok()?;
    let spec = &incident.incident.spec;
    let recalled = incident.status.retrieved.iter().filter_map(|hit| {
        let entry = reconciler
            .context
            .store
            .get::<aegis_api::RunbookEntry>(&hit.entry)?;
        Some(Recalled {
            name: hit.entry.clone(),
            entry: entry.spec.clone(),
            score: hit.score,
            trust: hit.trust,
        })
    });
    Some(Case {
        incident: incident.name().to_owned(),
        alert_type: spec.alert_type.clone(),
        severity: spec.severity,
        logs: spec.logs.clone(),
        details: spec.source.labels.clone(),
        workload: workload.name().to_owned(),
        container: spec.container_name.as_ref().map(ToString::to_string),
        evidence,
        recalled: recalled.collect(),
        replicas: ReplicaBounds {
            min: incident.policy.replicas.min,
            max: incident.max_replicas,
            current: workload.spec.replicas,
        },
        protected: incident.protected,
        tried: incident.status.tried.clone(),
        terms: incident.policy.analysis.runbook,
        now: reconciler.context.clock.now(),
    })
}

/// Compare-and-set on the generation that the plan was made for. Applied already counts as applied.
async fn execute(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    plan: Plan,
) -> Result<Outcome, Error> {
    if plan.action == Action::Noop {
        return Ok(Outcome::Executed {
            generation: plan.parent_generation,
            plan,
            replaced: None,
        });
    }
    let replaced = incident
        .target
        .as_ref()
        .ok()
        .filter(|workload| !remedy::is_done(&plan, workload))
        .and_then(|workload| workload.spec.restarted_at);
    let wanted = plan.clone();
    let edit = move |workload: &Workload| {
        if remedy::is_done(&wanted, workload) {
            return Ok(workload.spec.clone());
        }
        if workload.generation() != wanted.parent_generation {
            return Err(StoreError::Refused {
                kind: "Workload".to_owned(),
                name: workload.name().to_owned(),
                message: format!(
                    "the plan was made for generation {}, and somebody has changed it to {} since",
                    wanted.parent_generation,
                    workload.generation()
                ),
            });
        }
        Ok(remedy::patched(&wanted.patch, &workload.spec))
    };
    match reconciler
        .context
        .store
        .acting(Actor::incident(incident.name()))
        .edit_spec::<Workload, _>(plan.target.as_str(), edit)
        .await
    {
        Ok(workload) => {
            fault::point("incident/patched");
            Ok(Outcome::Executed {
                generation: workload.generation(),
                plan,
                replaced,
            })
        }
        Err(StoreError::Refused { message, .. }) => Ok(Outcome::PlanStale(message)),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}

/// Takes back a restart that has not taken effect, so that it does not befall the workload when nobody expects it any
/// more: a paused container that goes on, an engine that is willing again. Answers the generation that this made.
/// Somebody else's change since then is left alone.
async fn withdraw(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
) -> Result<Option<i64>, Error> {
    let status = &incident.status;
    let (Phase::Executing, Some(plan), Some(execution)) = (status.phase, &status.plan, &status.execution)
    else {
        return Ok(None);
    };
    let Some(wanted) = plan.patch.restarted_at else {
        return Ok(None);
    };
    let (ours, before) = (execution.generation, execution.replaced);
    let edit = move |workload: &Workload| {
        let mut spec = workload.spec.clone();
        if spec.restarted_at == Some(wanted) && Some(workload.generation()) == ours {
            spec.restarted_at = before;
        }
        Ok(spec)
    };
    match reconciler
        .context
        .store
        .acting(Actor::incident(incident.name()))
        .edit_spec::<Workload, _>(plan.target.as_str(), edit)
        .await
    {
        Ok(workload) => Ok((Some(workload.generation()) != ours).then(|| workload.generation())),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}

/// One attempt at proof: what every container of the workload answers at this moment, and whether what was wrong is not
/// wrong any more.
async fn attempt(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
    number: u32,
) -> Outcome {
    let context = &reconciler.context;
    let (mut healthy, mut message) = proof(workload, &ask_all(context, workload).await);
    let mut cleared = None;
    if healthy {
        match measure::aftermath(reconciler, incident, workload).await {
            Ok(aftermath) => {
                cleared = aftermath.cleared();
                if let Aftermath::Persists(what) = aftermath
                    // What a human orders need not be about the symptom.
                    && incident.incident.spec.override_.is_none()
                {
                    healthy = false;
                    message = format!("{message}, but still: {what}");
                }
            }
            Err(error) => {
                healthy = false;
                message = error.to_string();
            }
        }
    }
    Outcome::Attempted {
        attempt: Attempt {
            number,
            at: context.clock.now(),
            healthy,
            message,
        },
        cleared,
    }
}

/// Probes every container of the workload at once.
pub(super) async fn ask_all(context: &Context, workload: &Workload) -> Vec<Result<String, String>> {
    let own = match addressing::own_networks(context).await {
        Ok(own) => own,
        Err(error) => return vec![Err(error.to_string())],
    };
    let rows = workload
        .status
        .as_ref()
        .map(|status| status.instances.as_slice())
        .unwrap_or_default();
    let own = &own;
    let asked = rows.iter().filter(|row| !row.draining).map(|row| async move {
        let question = workload.spec.probe().and_then(|health| {
            let addresses = row.addresses.iter();
            let addresses = addresses.filter_map(|(network, ip)| Some((network, ip.parse().ok()?)));
            let address = aegis_planning::addressing::address(addresses, own)?;
            Some((
                aegis_planning::probe::target(&row.id, row.started_at, address, health)?.question,
                health.timeout.std(),
            ))
        });
        match question {
            Some((question, timeout)) => probe::ask(&*context.engine, &question, timeout)
                .await
                .map_err(|error| format!("{}: {error}", row.name)),
            None if row.health == Health::Healthy => Ok(format!("{} is {}", row.name, row.state)),
            None => Err(format!(
                "{}: {}",
                row.name,
                row.message.as_deref().unwrap_or("not healthy")
            )),
        }
    });
    join_all(asked).await
}
