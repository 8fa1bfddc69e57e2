//! `create`: stores new objects; ones that are there already are refused.

use super::apply::Failures;
use crate::client::DryRun;
use crate::error::CliError;
use crate::manifest::{FileArgs, Naming, load};
use crate::printer::format::{ObjectOutput, reference};
use crate::session::Session;

/// Create objects from files; with metadata.generateName the name gets a random ending
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    files: FileArgs,
    /// none: change things; server: let the server check and answer, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
    #[command(flatten)]
    output: ObjectOutput,
}

pub(crate) async fn run(args: &CreateArgs, session: &Session) -> Result<(), CliError> {
    let manifests = load(&args.files, Naming::Generate)?;
    let mut failures = Failures::new(session);
    for manifest in &manifests {
        match session
            .client
            .create(manifest.info, &manifest.object, args.dry_run)
            .await
        {
            Ok(object) => {
                let line = format!("{} created{}", reference(&object), args.dry_run.note());
                session.console.write(&args.output.write(&object, &line)?)?;
            }
            Err(error) => failures.note(manifest, error)?,
        }
    }
    failures.outcome()
}
