//! `restart`: each container of a Workload once.

use aegis_api::restart::CannotRestart;
use aegis_api::{ConditionType, Duration, Time, Workload};
use serde_json::{Value, json};

use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::patch;
use crate::printer::age::now;
use crate::session::{Session, WaitOptions};
use crate::settled;
use crate::target::{Target, object_of};
use crate::text;

/// How long the controller is given to say that it cannot be done.
const ANSWERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Restart each container of a Workload once, as its strategy allows
#[derive(Debug, clap::Args)]
pub(crate) struct RestartArgs {
    /// workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    wait: WaitOptions,
}

pub(crate) async fn run(args: &RestartArgs, session: &Session) -> Result<(), CliError> {
    let target = object_of(&args.what, "Workload")?;
    let at = instant_of(&target, session).await?;
    let patch = patch::of(&["spec", "restartedAt"], json!(at));
    let asked = session.client.patch(&target, &patch, DryRun::None).await?;
    if let Some(refusal) = refusal(&target, &asked, session).await {
        return Err(CliError::Failed(format!("{target} is not restarted: {refusal}")));
    }
    session.console.line(format!("{target} restarted"))?;
    if args.wait.wait {
        settled::wait(&session.client, &target, args.wait.limit()).await?;
        session.console.line(format!("{target} is ready"))?;
    }
    Ok(())
}

/// Why the controller does not restart it, where it says so soon: a stop that could not be undone is not begun. One that
/// has begun may take as long as the containers take to stop, and is not waited for.
async fn refusal(target: &Target, asked: &Value, session: &Session) -> Option<String> {
    let generation = asked.pointer("/metadata/generation").and_then(Value::as_i64)?;
    let judge = |object: Option<&Value>| Ok(object.filter(|object| observes(object, generation)).cloned());
    let what = target.to_string();
    let waited = session
        .client
        .wait_for(target, &what, Some(ANSWERS_WITHIN), judge)
        .await;
    // The request is stored: a failure to watch it does not undo it, and `why` says the rest.
    let live = waited.ok()?;
    let degraded = settled::condition(&live, ConditionType::Degraded)?;
    let word = |key: &str| degraded.get(key).and_then(Value::as_str).unwrap_or_default();
    let refused = word("status") == "True" && CannotRestart::from_reason(word("reason")).is_some();
    refused.then(|| text::line(word("message")))
}

/// Whether the status speaks of this generation or a later one.
fn observes(object: &Value, generation: i64) -> bool {
    let observed = object.pointer("/status/observedGeneration");
    observed
        .and_then(Value::as_i64)
        .is_some_and(|observed| observed >= generation)
}

/// The instant from before which no container of it may run.
pub(super) async fn instant_of(target: &Target, session: &Session) -> Result<Time, CliError> {
    let live = session.client.get(target, Shape::Objects).await?;
    let workload: Workload = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    Ok(instant(
        &workload,
        session.client.server_time().unwrap_or_else(now),
    ))
}

/// A moment after every start so far, whosever clock is behind: what started before it is restarted. The server's clock
/// is read to the second, and a container may have started within it.
fn instant(workload: &Workload, now: Time) -> Time {
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let starts = rows.filter_map(|row| row.started_at);
    starts
        .map(|start| start.plus(Duration::from_millis(1)))
        .fold(now, Time::max)
}
