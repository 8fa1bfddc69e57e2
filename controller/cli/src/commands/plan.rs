//! `plan`: what a change of a Workload, or an incident's plan, would do. The server answers it; nothing is changed.

mod containers;

use std::path::PathBuf;

use aegis_api::incident::{IncidentStatus, Phase, Plan};
use aegis_api::{Incident, KindInfo, Workload};
use serde_json::{Map, Value, json};

use super::diff::unified;
use super::restart::instant_of;
use crate::client::Shape;
use crate::desired::{Step, step};
use crate::error::CliError;
use crate::manifest::{FileArgs, Naming, load};
use crate::printer::columns::aligned;
use crate::printer::format::{self, ObjectOutput};
use crate::session::Session;
use crate::target::{Target, object};
use crate::text;
use containers::Change;

/// Show what a change would do before it is made: which containers are made, restarted or removed, in which order, and
/// what clients notice
///
/// `plan workload/web --replicas=4`, `plan workload/web --restart`, `plan -f FILE` ask about a change of yours; `plan
/// incident/NAME` about the plan of an incident. The controller's own planner answers; nothing is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// workload/NAME, incident/NAME, or just the NAME of an incident
    #[arg(
        value_name = "WHAT",
        required_unless_present = "filename",
        conflicts_with = "filename"
    )]
    what: Vec<String>,
    /// What if the Workload had so many containers
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,
    /// What if all its containers were restarted
    #[arg(long)]
    restart: bool,
    /// What if this were applied: a file, a folder or - for standard input; repeatable
    #[arg(short, long = "filename", value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Folders with everything below them
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,
    #[command(flatten)]
    output: ObjectOutput,
}

pub(crate) async fn run(args: &PlanArgs, session: &Session) -> Result<(), CliError> {
    if !args.filename.is_empty() {
        return of_files(args, session).await;
    }
    let target = object(&args.what, Some("Incident"))?;
    let changed = args.replicas.is_some() || args.restart;
    match target.info.kind {
        "Workload" => of_workload(args, &target, session).await,
        "Incident" if changed => Err(CliError::Usage(format!(
            "{target}: --replicas and --restart change a Workload: aegisctl plan workload/NAME --replicas=N"
        ))),
        "Incident" => of_incident(args, &target, session).await,
        kind => Err(CliError::Usage(format!(
            "{target}: a {kind} has no containers to plan for; name a Workload or an Incident"
        ))),
    }
}

/// What if the spec were changed like this; as it is, where no change is named.
async fn of_workload(args: &PlanArgs, target: &Target, session: &Session) -> Result<(), CliError> {
    let mut spec = Map::new();
    if let Some(replicas) = args.replicas {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    if args.restart {
        let at = instant_of(target, session).await?;
        spec.insert("restartedAt".to_owned(), json!(at));
    }
    let change = json!({"spec": spec});
    containers::show(session, target, Change::Patch(&change), &args.output).await
}

/// What if the files were applied. What has no containers is named and left out.
async fn of_files(args: &PlanArgs, session: &Session) -> Result<(), CliError> {
    if args.replicas.is_some() || args.restart {
        return Err(CliError::Usage(
            "--replicas and --restart ask about workload/NAME, not about a file".to_owned(),
        ));
    }
    let files = FileArgs {
        filename: args.filename.clone(),
        recursive: args.recursive,
    };
    for manifest in &load(&files, Naming::Exact)? {
        let target = manifest.target();
        if manifest.info.kind != "Workload" {
            session.console.remark(format!(
                "{target}: a {} has no containers to plan for",
                manifest.info.kind
            ));
            continue;
        }
        let live = session.client.find(&target).await?;
        let step = step(manifest, live.as_ref());
        let unchanged = json!({});
        let change = match &step {
            Step::Create(object) => Change::New(object),
            Step::Patch(patch) => Change::Patch(patch),
            Step::Nothing => Change::Patch(&unchanged),
        };
        containers::show(session, &target, change, &args.output).await?;
    }
    Ok(())
}

async fn of_incident(args: &PlanArgs, target: &Target, session: &Session) -> Result<(), CliError> {
    if args.output.is_data() {
        return containers::show(session, target, Change::Incident, &args.output).await;
    }
    let live = session.client.get(target, Shape::Objects).await?;
    let incident: Incident = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let status = incident.status.unwrap_or_default();
    let Some(plan) = &status.plan else {
        return Err(no_plan(target, &status));
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
        (None, Some(now)) => pending(target, status.phase, plan, now),
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
        // What the plan is stands without it: the engine may not answer just now.
        if let Err(error) = containers::show(session, target, Change::Incident, &args.output).await {
            session
                .console
                .remark(format!("what it would do to containers is not known: {error}"));
        }
    } else {
        session.console.write(&format::yaml(&json!({"patch": patch}))?)?;
    }
    Ok(())
}

fn no_plan(incident: &Target, status: &IncidentStatus) -> CliError {
    let why = match &status.error {
        Some(error) => text::line(error),
        None => format!("its phase is {}", status.phase.as_str()),
    };
    CliError::Failed(format!("{incident} has no plan: {why}"))
}

/// How a plan stands that was not applied, of a Workload that is at this generation now.
fn pending(incident: &Target, phase: Phase, plan: &Plan, now: i64) -> String {
    if now != plan.parent_generation {
        return format!(
            "made for generation {}, and it is {now} now: it does not apply",
            plan.parent_generation
        );
    }
    match phase {
        Phase::AwaitingApproval => format!(
            "requires approval: aegisctl approve {0} --plan {1}, or aegisctl reject {0}",
            incident.name, plan.hash
        ),
        Phase::DryRun => "not applied: it was a dry run".to_owned(),
        _ => format!("not applied yet: {incident} is {}", phase.as_str()),
    }
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
