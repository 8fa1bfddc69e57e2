//! `rollback`: an earlier template of a Workload.

use aegis_api::Workload;
use aegis_api::workload::Revision;
use serde_json::Value;

use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::patch;
use crate::session::{Session, WaitOptions};
use crate::settled;
use crate::target::object_of;

/// Go back to an earlier template of a Workload
///
/// Without --to-revision: the newest other one with which all replicas were once ready. `describe workload NAME` lists
/// them.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required = true)]
    what: Vec<String>,
    /// The revision to go back to, or its first characters
    #[arg(long, value_name = "REVISION")]
    to_revision: Option<String>,
    #[command(flatten)]
    wait: WaitOptions,
}

pub(crate) async fn run(args: &RollbackArgs, session: &Session) -> Result<(), CliError> {
    let target = object_of(&args.what, "Workload")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let unreadable = |error: serde_json::Error| CliError::Failed(format!("{target} cannot be read: {error}"));
    let workload: Workload = serde_json::from_value(live.clone()).map_err(unreadable)?;
    let revision = choose(&workload, args.to_revision.as_deref())
        .map_err(|why| CliError::Failed(format!("{target} cannot be rolled back: {why}")))?;
    let wanted = serde_json::to_value(&revision.template).map_err(unreadable)?;
    let current = live.pointer("/spec/template").unwrap_or(&Value::Null);
    let change = patch::of(&["spec", "template"], patch::difference(current, &wanted));
    session.client.patch(&target, &change, DryRun::None).await?;
    session.console.line(format!(
        "{target} rolled back to {} ({})",
        revision.revision, revision.image
    ))?;
    if args.wait.wait {
        settled::wait(&session.client, &target, args.wait.limit()).await?;
        session.console.line(format!("{target} is ready"))?;
    }
    Ok(())
}

fn choose<'a>(workload: &'a Workload, wanted: Option<&str>) -> Result<&'a Revision, String> {
    if workload.spec.container.is_some() {
        return Err("it adopts a container, whose configuration belongs to its creator".to_owned());
    }
    let revisions: &[Revision] = workload.status.as_ref().map_or(&[], |status| &status.revisions);
    let current = workload
        .status
        .as_ref()
        .and_then(|status| status.revision.as_deref());
    let others = || {
        revisions
            .iter()
            .rev()
            .filter(|revision| Some(revision.revision.as_str()) != current)
    };
    let named = || {
        others()
            .map(|revision| revision.revision.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match wanted {
        None => others()
            .find(|revision| revision.was_ready && revision.template.is_some())
            .ok_or_else(|| match named() {
                names if names.is_empty() => "it has no earlier revision".to_owned(),
                names => {
                    format!("no earlier revision was ever ready; choose with --to-revision from {names}")
                }
            })?,
        Some(start) => {
            let matching: Vec<&Revision> = others()
                .filter(|revision| revision.revision.starts_with(start))
                .collect();
            match matching.as_slice() {
                [one] => *one,
                [] => {
                    return Err(format!(
                        "it has no other revision {start:?}; there are {}",
                        named()
                    ));
                }
                _ => return Err(format!("{start:?} could be several of {}", named())),
            }
        }
    };
    if found.template.is_some() {
        Ok(found)
    } else {
        Err(format!("revision {} has no template", found.revision))
    }
}
