//! `patch`: changes some fields of an object.

use crate::client::DryRun;
use crate::error::CliError;
use crate::printer::format::ObjectOutput;
use crate::session::Session;
use crate::target::object;

/// Change fields of an object by a merge patch, in JSON or YAML; null removes a field
///
/// Example: `patch wl/web -p '{"spec":{"replicas":3}}'`.
#[derive(Debug, clap::Args)]
pub(crate) struct PatchArgs {
    /// KIND/NAME or KIND NAME
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// The patch
    #[arg(short, long, value_name = "PATCH")]
    patch: String,
    /// none: change things; server: let the server check and answer, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
    #[command(flatten)]
    output: ObjectOutput,
}

pub(crate) async fn run(args: &PatchArgs, session: &Session) -> Result<(), CliError> {
    let target = object(&args.what, None)?;
    let documents =
        aegis_api::yaml::parse(&args.patch).map_err(|error| CliError::Usage(format!("--patch: {error}")))?;
    let patch = match documents.as_slice() {
        [document] if document.value.is_object() => &document.value,
        _ => {
            return Err(CliError::Usage(
                "--patch: write one map, such as {\"spec\":{\"replicas\":3}}".to_owned(),
            ));
        }
    };
    let object = session.client.patch(&target, patch, args.dry_run).await?;
    let line = format!("{target} patched{}", args.dry_run.note());
    session.console.write(&args.output.write(&object, &line)?)
}
