//! `scale`: how many containers a Workload has.

use crate::client::DryRun;
use crate::error::CliError;
use crate::session::{Session, WaitOptions};
use crate::settled;
use crate::target::object;

/// Set the number of containers of a Workload; an adopted container counts as one
#[derive(Debug, clap::Args)]
pub(crate) struct ScaleArgs {
    /// workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required = true)]
    what: Vec<String>,
    /// How many
    #[arg(long, value_name = "N")]
    replicas: u32,
    #[command(flatten)]
    wait: WaitOptions,
    /// none: change things; server: let the server check, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
}

pub(crate) async fn run(args: &ScaleArgs, session: &Session) -> Result<(), CliError> {
    let target = object(&args.what, Some("Workload"))?;
    if !target.info.scalable {
        return Err(CliError::Usage(format!(
            "{target}: a {} has no replicas",
            target.info.kind
        )));
    }
    session.client.scale(&target, args.replicas, args.dry_run).await?;
    session
        .console
        .line(format!("{target} scaled{}", args.dry_run.note()))?;
    if args.wait.wait && args.dry_run == DryRun::None {
        settled::wait(&session.client, &target, args.wait.limit()).await?;
        session
            .console
            .line(format!("{target} has {} ready", args.replicas))?;
    }
    Ok(())
}
