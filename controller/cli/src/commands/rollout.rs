//! `rollout`: how the change of a Workload goes on, in the words of kubectl.

use aegis_api::{ConditionType, Workload};
use clap::Subcommand;

use super::restart::{self, RestartArgs};
use super::rollback::{self, RollbackArgs};
use crate::client::Shape;
use crate::error::CliError;
use crate::printer::age::{age, now};
use crate::printer::columns::aligned;
use crate::session::{Session, limit};
use crate::settled;
use crate::target::object_of;
use crate::text;

/// Follow, repeat or undo the rollout of a Workload
#[derive(Debug, clap::Args)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(StatusArgs),
    History(HistoryArgs),
    Restart(RestartArgs),
    /// Go back to an earlier template, as `rollback` does
    Undo(RollbackArgs),
}

/// Wait until the rollout is carried out; fails when it cannot be
#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required = true)]
    what: Vec<String>,
    /// How long to wait, such as 90s or 5m; 0s without end
    #[arg(long, value_name = "TIME", default_value = "120s")]
    timeout: aegis_api::Duration,
    /// Says how it stands and waits for nothing; exits with 1 while it goes on
    #[arg(long = "watch", value_name = "WATCH", default_value_t = true, action = clap::ArgAction::Set)]
    watch: bool,
}

/// List the revisions that ran, oldest first
#[derive(Debug, clap::Args)]
struct HistoryArgs {
    /// workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required = true)]
    what: Vec<String>,
}

pub(crate) async fn run(args: &RolloutArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Status(args) => status(args, session).await,
        Verb::History(args) => history(args, session).await,
        Verb::Restart(args) => restart::run(args, session).await,
        Verb::Undo(args) => rollback::run(args, session).await,
    }
}

async fn status(args: &StatusArgs, session: &Session) -> Result<(), CliError> {
    let target = object_of(&args.what, "Workload")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    if !settled::is_settled(&live)? {
        let workload: Workload = serde_json::from_value(live)
            .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
        let how = standing(&workload);
        if !args.watch {
            return Err(CliError::Failed(format!("{target} is being rolled out: {how}")));
        }
        session.console.remark(format!("{target}: {how}"));
        settled::wait(&session.client, &target, limit(args.timeout)).await?;
    }
    session.console.line(format!("{target} successfully rolled out"))
}

/// How far it is, and why it is not further.
fn standing(workload: &Workload) -> String {
    let Some(status) = &workload.status else {
        return "the controller has not reconciled it yet".to_owned();
    };
    let counts = format!(
        "{} of {} updated replicas are there, {} ready",
        status.updated_replicas, workload.spec.replicas, status.ready_replicas
    );
    let why = status.conditions.iter().filter(|condition| {
        let bad = if condition.type_ == ConditionType::Degraded {
            "True"
        } else {
            "False"
        };
        condition.status == bad && !condition.message.is_empty()
    });
    let why: Vec<String> = why.map(|condition| text::line(&condition.message)).collect();
    if why.is_empty() {
        counts
    } else {
        format!("{counts}; {}", why.join("; "))
    }
}

async fn history(args: &HistoryArgs, session: &Session) -> Result<(), CliError> {
    let target = object_of(&args.what, "Workload")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let workload: Workload = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let status = workload.status.unwrap_or_default();
    if status.revisions.is_empty() {
        session.console.remark(format!("{target} has no revisions yet."));
        return Ok(());
    }
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let rows = status.revisions.iter().map(|revision| {
        vec![
            text::line(&revision.revision),
            text::line(&revision.image),
            age(revision.created_at.age(now())),
            yes_no(revision.was_ready),
            yes_no(status.revision.as_ref() == Some(&revision.revision)),
        ]
    });
    let head = ["REVISION", "IMAGE", "AGE", "WAS READY", "CURRENT"];
    session.console.write(&aligned(&head, rows.collect()))
}
