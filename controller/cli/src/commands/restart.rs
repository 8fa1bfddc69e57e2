//! `restart`: each container of a Workload once.

use serde_json::json;

use super::{Session, WaitOptions};
use crate::client::DryRun;
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
    let patch = patch::of(&["spec", "restartedAt"], json!(now()));
    session.client.patch(&target, &patch, DryRun::None).await?;
    session.console.line(format!("{target} restarted"))?;
    if args.wait.wait {
        settled::wait(&session.client, &target, args.wait.limit()).await?;
        session.console.line(format!("{target} is ready"))?;
    }
    Ok(())
}
