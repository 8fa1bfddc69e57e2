//! `apply`: makes the live objects say what files say.

use serde_json::Value;

use crate::client::{Client, DryRun};
use crate::desired::{Step, step};
use crate::error::CliError;
use crate::manifest::{FileArgs, Manifest, Naming, load};
use crate::printer::format::ObjectOutput;
use crate::problem::Problem;
use crate::session::{Session, WaitOptions};
use crate::settled;
use crate::text;

/// Create or change objects from files
///
/// Every document is checked before anything is sent, so that a typo never leaves half of a folder applied. Fields that
/// the files do not name stay as they are; fields that they named the last time and name no longer are removed
/// (kubectl's three-way merge, with kubectl's annotation).
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    /// none: change things; server: let the server check and answer, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    output: ObjectOutput,
}

pub(crate) async fn run(args: &ApplyArgs, session: &Session) -> Result<(), CliError> {
    let manifests = load(&args.files, Naming::Exact)?;
    let mut failures = Failures::new(session);
    let mut applied = Vec::new();
    for manifest in &manifests {
        match apply(&session.client, manifest, args.dry_run).await {
            Ok((object, word)) => {
                let line = format!("{} {word}{}", manifest.target(), args.dry_run.note());
                session.console.write(&args.output.write(&object, &line)?)?;
                applied.push(manifest.target());
            }
            Err(error) => failures.note(manifest, error)?,
        }
    }
    failures.outcome()?;
    if args.wait.wait && args.dry_run == DryRun::None {
        for target in &applied {
            settled::wait(&session.client, target, args.wait.limit()).await?;
        }
    }
    Ok(())
}

/// One object; the answer is the object and what became of it.
async fn apply(client: &Client, manifest: &Manifest, dry: DryRun) -> Result<(Value, &'static str), CliError> {
    let target = manifest.target();
    // Between the read and the change another client may create or delete it: then one more read shows it.
    for last_try in [false, true] {
        let live = client.find(&target).await?;
        let outcome = match (step(manifest, live.as_ref()), live) {
            (Step::Create(object), _) => client
                .create(manifest.info, &object, dry)
                .await
                .map(|made| (made, "created")),
            (Step::Patch(patch), Some(live)) => client.patch(&target, &patch, dry).await.map(|changed| {
                let word = if same_version(&live, &changed) {
                    "unchanged"
                } else {
                    "configured"
                };
                (changed, word)
            }),
            (Step::Patch(_) | Step::Nothing, live) => Ok((live.unwrap_or_default(), "unchanged")),
        };
        match outcome {
            Err(error) if !last_try && (error.is_status(404) || error.is_status(409)) => {}
            other => return other,
        }
    }
    Err(CliError::Failed(format!("{target} keeps changing")))
}

fn same_version(before: &Value, after: &Value) -> bool {
    resource_version(before).is_some() && resource_version(before) == resource_version(after)
}

fn resource_version(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/resourceVersion")
}

/// Failures of single objects: reported at once, while the others go on.
pub(super) struct Failures<'a> {
    session: &'a Session,
    first: Option<CliError>,
}

impl<'a> Failures<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, first: None }
    }

    /// Notes a failure. One that the next object would meet, too, is returned and ends the command.
    pub(super) fn note(&mut self, manifest: &Manifest, error: CliError) -> Result<(), CliError> {
        let CliError::Api(status) = &error else {
            return Err(error);
        };
        let target = manifest.target();
        let problems: Vec<Problem> = match status.causes() {
            [] => vec![manifest.problem("", format!("{target}: {}", status.explain()))],
            causes => causes
                .iter()
                .map(|cause| manifest.problem(&cause.field, cause.explain()))
                .collect(),
        };
        for problem in problems {
            self.session
                .console
                .remark(format!("{target}: {}", text::line(&problem.to_string())));
        }
        self.first.get_or_insert(error);
        Ok(())
    }

    /// The first failure, if there was one: its exit code is the command's.
    pub(super) fn outcome(self) -> Result<(), CliError> {
        self.first.map_or(Ok(()), Err)
    }
}
