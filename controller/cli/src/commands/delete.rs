//! `delete`: removes objects and waits until they are gone.

use serde_json::Value;

use crate::client::DryRun;
use crate::error::CliError;
use crate::manifest::{FileArgs, Naming, load};
use crate::session::{Session, limit};
use crate::target::{Selection, Target, objects, select};

/// Delete objects by name, by label or from files
///
/// A Workload takes the containers with it that were made for it; an adopted container stays.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// KIND NAME…, KIND/NAME…, or KIND with -l or --all
    #[arg(
        value_name = "WHAT",
        required_unless_present = "filename",
        conflicts_with = "filename"
    )]
    what: Vec<String>,
    /// The objects of these files, folders, or - for standard input; repeatable
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<std::path::PathBuf>,
    /// Folders with everything below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// All objects of the kind with these labels
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "filename")]
    selector: Option<String>,
    /// All objects of the kind
    #[arg(long, conflicts_with_all = ["selector", "filename"])]
    all: bool,
    /// Objects that are not there are no error
    #[arg(long)]
    ignore_not_found: bool,
    /// Waits until they are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    wait: bool,
    /// How long to wait, such as 90s; 0s without end
    #[arg(long, value_name = "TIME", default_value = "0s")]
    timeout: aegis_api::Duration,
    /// none: change things; server: let the server check, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
}

pub(crate) async fn run(args: &DeleteArgs, session: &Session) -> Result<(), CliError> {
    let targets = targets(args, session).await?;
    if targets.is_empty() {
        session.console.remark("No resources found.");
    }
    let mut missing = None;
    let mut leaving = Vec::new();
    for target in targets {
        match session.client.delete(&target, args.dry_run).await {
            Ok(answer) => {
                session
                    .console
                    .line(format!("{target} deleted{}", args.dry_run.note()))?;
                leaving.push((uid_of(&answer), target));
            }
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) if error.is_not_found() => {
                if missing.is_some() {
                    session.console.remark(format!("error: {error}"));
                }
                missing.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if args.wait && args.dry_run == DryRun::None {
        for (uid, target) in &leaving {
            gone(session, target, uid.as_deref(), args.timeout).await?;
        }
    }
    missing.map_or(Ok(()), Err)
}

async fn targets(args: &DeleteArgs, session: &Session) -> Result<Vec<Target>, CliError> {
    if !args.filename.is_empty() {
        let files = FileArgs {
            filename: args.filename.clone(),
            recursive: args.recursive,
        };
        return Ok(load(&files, Naming::Exact)?
            .iter()
            .map(|manifest| manifest.target())
            .collect());
    }
    if args.selector.is_none() && !args.all {
        return objects(&args.what);
    }
    match select(&args.what)? {
        kinds @ Selection::Kinds(_) => session.targets(kinds, args.selector.as_deref()).await,
        Selection::Objects(_) => Err(CliError::Usage(
            "-l and --all choose the objects: name only their kind".to_owned(),
        )),
    }
}

/// A delete answers with the object, or with a Status that names its uid.
fn uid_of(answer: &Value) -> Option<String> {
    let uid = answer
        .pointer("/details/uid")
        .or_else(|| answer.pointer("/metadata/uid"))?;
    uid.as_str().map(str::to_owned)
}

/// Waits until there is none of this name, or another one in its place.
pub(super) async fn gone(
    session: &Session,
    target: &Target,
    uid: Option<&str>,
    timeout: aegis_api::Duration,
) -> Result<(), CliError> {
    let what = format!("{target} to go");
    let judge = |object: Option<&Value>| {
        let Some(object) = object else { return Ok(Some(())) };
        let same = uid.is_none_or(|uid| object.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid));
        Ok((!same).then_some(()))
    };
    session
        .client
        .wait_for(target, &what, limit(timeout), judge)
        .await
}
