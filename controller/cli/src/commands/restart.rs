//! `restart`: each container of a Workload once.

use aegis_api::{Duration, Time, Workload};
use serde_json::json;

use super::{Session, WaitOptions};
use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::patch;
use crate::printer::age::now;
use crate::settled;
use crate::target::object_of;

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
    let live = session.client.get(&target, Shape::Objects).await?;
    let workload: Workload = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let at = instant(&workload, session.client.server_time().unwrap_or_else(now));
    let patch = patch::of(&["spec", "restartedAt"], json!(at));
    session.client.patch(&target, &patch, DryRun::None).await?;
    session.console.line(format!("{target} restarted"))?;
    if args.wait.wait {
        settled::wait(&session.client, &target, args.wait.limit()).await?;
        session.console.line(format!("{target} is ready"))?;
    }
    Ok(())
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
