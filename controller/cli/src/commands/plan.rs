//! `plan`: what an incident's plan would change, beside what is.

use aegis_api::incident::Phase;
use aegis_api::{Incident, KindInfo, Workload};
use serde_json::{Value, json};

use super::Session;
use super::diff::unified;
use crate::client::Shape;
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::printer::format;
use crate::target::{Target, object_of};
use crate::text;

/// Show the plan of an incident: what it would change, beside what is
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// incident/NAME, incident NAME, or just NAME
    #[arg(value_name = "INCIDENT", required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(args: &PlanArgs, session: &Session) -> Result<(), CliError> {
    let target = object_of(&args.what, "Incident")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let incident: Incident = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let status = incident.status.unwrap_or_default();
    let Some(plan) = status.plan else {
        let phase = status.phase.as_str();
        let why = status
            .error
            .map_or_else(|| format!("its phase is {phase}"), |error| text::line(&error));
        return Err(CliError::Failed(format!("{target} has no plan: {why}")));
    };
    let workload = Target {
        info: KindInfo::of::<Workload>(),
        name: plan.target.to_string(),
    };
    let found = session.client.find(&workload).await?;
    let generation = found
        .as_ref()
        .and_then(|object| object.pointer("/metadata/generation")?.as_i64());
    let applied = status
        .execution
        .as_ref()
        .and_then(|execution| execution.applied_at);
    let stands = match (applied, generation) {
        (Some(at), _) => format!("applied at {at}"),
        (None, None) => format!("{workload} is gone: it does not apply"),
        (None, Some(now)) if now != plan.parent_generation => {
            format!(
                "made for generation {}, and it is {now} now: it does not apply",
                plan.parent_generation
            )
        }
        (None, Some(_)) if status.phase == Phase::AwaitingApproval => format!(
            "waits for a person: aegisctl approve {0} --plan {1}, or aegisctl reject {0}",
            incident.metadata.name.as_deref().unwrap_or_default(),
            plan.hash
        ),
        (None, Some(_)) => format!("not applied yet: {target} is {}", status.phase.as_str()),
    };
    let rows = [
        ("action", format!("{} on {workload}", plan.action)),
        ("plan", plan.hash.clone()),
        ("made at", plan.created_at.to_string()),
        ("stands", stands),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), text::line(&value)]);
    session
        .console
        .write(&aligned(&[&target.to_string()], rows.collect()))?;
    let patch = serde_json::to_value(&plan.patch).unwrap_or_default();
    if applied.is_none()
        && let Some(found) = &found
    {
        let spec = found.get("spec").cloned().unwrap_or_default();
        let text = difference(session, &workload, &spec, &patch)?;
        session.console.write(&text)?;
    } else {
        session.console.write(&format::yaml(&json!({"patch": patch}))?)?;
    }
    Ok(())
}

/// The fields of the spec that the plan sets, as they are and as they would be.
fn difference(session: &Session, workload: &Target, spec: &Value, patch: &Value) -> Result<String, CliError> {
    let fields = patch.as_object().into_iter().flatten();
    let before = fields
        .clone()
        .filter_map(|(key, _)| Some((key.clone(), spec.get(key)?.clone())));
    let before = json!({"spec": before.collect::<serde_json::Map<_, _>>()});
    let after = json!({"spec": patch});
    Ok(unified(
        session,
        ("live", "plan"),
        &workload.to_string(),
        &format::yaml(&before)?,
        &format::yaml(&after)?,
    ))
}
