//! `approve` and `reject`: a human's decision on the plan of an incident that waits for one.

use aegis_api::Incident;
use aegis_api::incident::{ApprovalDecision, Phase};
use serde_json::{Value, json};

use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::patch;
use crate::printer::columns::aligned;
use crate::session::{Session, WaitOptions};
use crate::settled;
use crate::target::{Target, object_of};
use crate::text;

/// Approve the plan of an incident that waits for it
///
/// Shows the plan and sends its hash: should the plan have changed in between, the approval does not count.
#[derive(Debug, clap::Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    decision: DecisionArgs,
    #[command(flatten)]
    wait: WaitOptions,
}

/// Reject the plan of an incident that waits for approval
#[derive(Debug, clap::Args)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    decision: DecisionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DecisionArgs {
    /// incident/NAME, incident NAME, or just NAME
    #[arg(value_name = "INCIDENT", required = true)]
    what: Vec<String>,
    /// Decides only on the plan of this hash, which `describe` has shown before
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,
}

pub(crate) async fn approve(args: &ApproveArgs, session: &Session) -> Result<(), CliError> {
    let target = decide(&args.decision, ApprovalDecision::Approve, session).await?;
    session.console.line(format!("{target} approved"))?;
    if args.wait.wait {
        let ended = settled::wait(&session.client, &target, args.wait.limit()).await?;
        let phase = ended.pointer("/status/phase").and_then(Value::as_str);
        session.console.line(match phase {
            Some("DRY_RUN") => format!("{target} was a dry run: nothing was done"),
            _ => format!("{target} is resolved"),
        })?;
    }
    Ok(())
}

pub(crate) async fn reject(args: &RejectArgs, session: &Session) -> Result<(), CliError> {
    let target = decide(&args.decision, ApprovalDecision::Reject, session).await?;
    session.console.line(format!("{target} rejected"))
}

async fn decide(
    args: &DecisionArgs,
    decision: ApprovalDecision,
    session: &Session,
) -> Result<Target, CliError> {
    let target = object_of(&args.what, "Incident")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let incident: Incident = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let status = incident.status.unwrap_or_default();
    if status.phase != Phase::AwaitingApproval {
        let phase = status.phase.as_str();
        return Err(CliError::Failed(format!(
            "{target} does not wait for approval: its phase is {phase}"
        )));
    }
    let Some(plan) = status.plan else {
        return Err(CliError::Failed(format!("{target} has no plan to decide on")));
    };
    if let Some(wanted) = &args.plan
        && *wanted != plan.hash
    {
        return Err(CliError::Failed(format!(
            "{target} has another plan now: {}, not {wanted}",
            plan.hash
        )));
    }
    let cause = status
        .analysis
        .map(|analysis| analysis.proposal.root_cause)
        .unwrap_or_default();
    let rows = [
        ("action", format!("{} on workload/{}", plan.action, plan.target)),
        ("because", text::line(&cause)),
        ("patch", serde_json::to_string(&plan.patch).unwrap_or_default()),
        ("plan", plan.hash.clone()),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), text::line(&value)])
        .collect();
    session.console.write(&aligned(&[&target.to_string()], rows))?;
    // Who decides is who the token names: the server writes it.
    let approval = json!({"decision": decision, "planHash": plan.hash});
    session
        .client
        .patch(&target, &patch::of(&["spec", "approval"], approval), DryRun::None)
        .await?;
    Ok(target)
}
