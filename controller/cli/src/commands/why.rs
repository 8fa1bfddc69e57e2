//! `why`: what keeps an object from being as it should, from what the controller noted on it and around it.

use aegis_api::incident::{IncidentStatus, Origin};
use aegis_api::{ConditionType, Incident, Reason};
use serde_json::Value;

use super::describe::events_of;
use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::printer::age::{age, now};
use crate::printer::describe::event_time;
use crate::session::Session;
use crate::settled;
use crate::target::{Target, object};
use crate::text;

const INCIDENT: &str = "Incident";
/// Conditions whose truth is the trouble; of all others it is their absence.
const TROUBLE: [ConditionType; 5] = [
    ConditionType::ForeignContainers,
    ConditionType::Degraded,
    ConditionType::StoppedByHand,
    ConditionType::Held,
    ConditionType::Paused,
];
/// Warnings that are shown, the latest.
const WARNINGS: usize = 5;

/// Say why an object is not as it should be: conditions, containers, open incidents, warnings
///
/// Examples: `why web`, `why incident/leak-1`. Exit codes: 0 whether or not something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// KIND/NAME, KIND NAME, or just the NAME of a workload
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(args: &WhyArgs, session: &Session) -> Result<(), CliError> {
    let target = object(&args.what, Some("Workload"))?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let mut reasons = conditions(&live);
    reasons.extend(instances(&live));
    if target.info.kind == INCIDENT {
        reasons.extend(remediation(&live)?);
    } else {
        reasons.extend(incidents(&target, session).await?);
    }
    let warnings = warnings(&target, session, &live).await?;
    let settled = settled::is_settled(&live).unwrap_or(false);
    session
        .console
        .line(headline(&target, &live, settled && reasons.is_empty()))?;
    for reason in reasons.iter().chain(&warnings) {
        session.console.line(format!("  {}", text::line(reason)))?;
    }
    if !settled && reasons.is_empty() && warnings.is_empty() {
        session
            .console
            .line(format!("  nothing is noted on it: aegisctl describe {target}"))?;
    }
    Ok(())
}

fn headline(target: &Target, live: &Value, well: bool) -> String {
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str);
    if target.info.kind == INCIDENT {
        let phase = text("/status/phase").unwrap_or("RECEIVED");
        return match text("/status/error") {
            Some(error) => format!("{target} is {phase}: {}", text::line(error)),
            None => format!("{target} is {phase}"),
        };
    }
    if well {
        format!("{target} is as it should be")
    } else {
        format!("{target} is not as it should be:")
    }
}

/// Conditions that say that something is wrong, with their reasons.
fn conditions(live: &Value) -> Vec<String> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let wrong = conditions.into_iter().flatten().filter_map(|condition| {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        let (kind, status) = (text("type"), text("status"));
        let bad = match TROUBLE.iter().any(|trouble| *kind == *trouble) {
            true => "True",
            false => "False",
        };
        // "Progressing: False" is how a change ends well, unless it was rolled back.
        let ended_well = *kind == ConditionType::Progressing && *text("reason") != Reason::RolloutFailed;
        let trouble = status == bad && !ended_well;
        trouble.then(|| format!("{kind} is {status} ({}): {}", text("reason"), text("message")))
    });
    wrong.collect()
}

/// Containers that are not healthy.
fn instances(live: &Value) -> Vec<String> {
    let instances = live.pointer("/status/instances").and_then(Value::as_array);
    let unhealthy = instances.into_iter().flatten().filter_map(|instance| {
        let text = |field: &str| instance.get(field).and_then(Value::as_str).unwrap_or_default();
        let is_unhealthy = text("health") != "Healthy";
        let message = Some(text("message")).filter(|message| !message.is_empty());
        is_unhealthy.then(|| {
            let message = message.map_or_else(String::new, |message| format!(": {message}"));
            format!(
                "{} is {}, {}{message}",
                text("name"),
                text("state"),
                text("health").to_lowercase()
            )
        })
    });
    unhealthy.collect()
}

/// How far an incident is, and on whom it waits.
fn remediation(live: &Value) -> Result<Vec<String>, CliError> {
    let incident: Incident = serde_json::from_value(live.clone())
        .map_err(|error| CliError::Failed(format!("the incident cannot be read: {error}")))?;
    let name = incident.metadata.name.unwrap_or_default();
    let status = incident.status.unwrap_or_default();
    let mut reasons = Vec::new();
    reasons.extend(last(&status));
    reasons.extend(status.origin.as_ref().map(Origin::words));
    if let Some(analysis) = &status.analysis {
        let proposal = &analysis.proposal;
        reasons.push(format!(
            "{} proposes {}: {}",
            analysis.provider, proposal.action, proposal.root_cause
        ));
    }
    if let Some(council) = &status.council {
        reasons.push(format!(
            "the council says {}: {}",
            council.final_verdict.as_str(),
            council.summary
        ));
    }
    let failed = status.verification.iter().flat_map(|proof| proof.attempts.last());
    reasons.extend(failed.filter(|attempt| !attempt.healthy).map(|attempt| {
        format!(
            "attempt {} to prove it failed: {}",
            attempt.number, attempt.message
        )
    }));
    if status.phase == aegis_api::Phase::AwaitingApproval {
        reasons.push(format!(
            "it requires approval: aegisctl plan {name}, then approve or reject"
        ));
    }
    Ok(reasons)
}

fn last(status: &IncidentStatus) -> Option<String> {
    let entry = status.timeline.last()?;
    Some(format!("{}: {}", entry.status.as_str(), entry.message))
}

/// Open incidents about a workload.
async fn incidents(target: &Target, session: &Session) -> Result<Vec<String>, CliError> {
    if target.info.kind != "Workload" {
        return Ok(Vec::new());
    }
    let list = session
        .client
        .list(
            aegis_api::KindInfo::of::<Incident>(),
            &ListQuery::default(),
            Shape::Objects,
        )
        .await?;
    let items = list.get("items").and_then(Value::as_array);
    let about = items.into_iter().flatten().filter_map(|item| {
        let incident: Incident = serde_json::from_value(item.clone()).ok()?;
        let status = incident.status.clone().unwrap_or_default();
        let workload = incident.workload()?;
        let ours = workload.as_str() == target.name && status.finished_at.is_none();
        ours.then(|| {
            let last = last(&status).unwrap_or_default();
            let name = incident.metadata.name.as_deref().unwrap_or_default();
            format!("incident/{name} is open, {}: {last}", status.phase.as_str())
        })
    });
    Ok(about.collect())
}

/// The latest warnings about it, and not about an object of its name that is gone.
async fn warnings(target: &Target, session: &Session, live: &Value) -> Result<Vec<String>, CliError> {
    let mut items = events_of(session, target, live).await?;
    items.retain(|event| event.get("type").and_then(Value::as_str) == Some("Warning"));
    items.sort_by_key(event_time);
    let latest = items.iter().rev().take(WARNINGS).map(|event| {
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
        let ago = event_time(event).map_or_else(String::new, |at| format!("{} ago, ", age(at.age(now()))));
        format!("{ago}{}: {}", text("reason"), text("message"))
    });
    Ok(latest.collect())
}
