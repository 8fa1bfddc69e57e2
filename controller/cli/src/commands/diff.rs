//! `diff`: what `apply` would change, as the server would make it.

use aegis_api::meta::NOTES;
use owo_colors::Style;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::client::DryRun;
use crate::desired::{Step, step};
use crate::error::CliError;
use crate::manifest::{FileArgs, Manifest, Naming, drop_server_owned, load};
use crate::printer::format;
use crate::session::Session;

/// Show what apply would change; exits with 1 if there is anything
///
/// The server makes the result in a dry run, so that defaults and checks are its own. Exit codes: 0 nothing differs, 1
/// something differs; errors that are 1 elsewhere are 2 here.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) async fn run(args: &DiffArgs, session: &Session) -> Result<(), CliError> {
    let differs = compare(args, session)
        .await
        .map_err(|error| match error.exit_code() {
            1 => CliError::Usage(error.to_string()),
            _ => error,
        })?;
    if differs { Err(CliError::Differs) } else { Ok(()) }
}

async fn compare(args: &DiffArgs, session: &Session) -> Result<bool, CliError> {
    let mut differs = false;
    for manifest in &load(&args.files, Naming::Exact)? {
        let live = session.client.find(&manifest.target()).await?;
        let Some(result) = tried(session, manifest, live.as_ref()).await? else {
            continue;
        };
        let before = live
            .as_ref()
            .map_or(Ok(String::new()), |live| comparable(live, manifest))?;
        let after = comparable(&result, manifest)?;
        if before != after {
            differs = true;
            session.console.write(&unified(
                session,
                ("live", "file"),
                &manifest.target().to_string(),
                &before,
                &after,
            ))?;
        }
    }
    Ok(differs)
}

/// What the server would make of it; `None` where nothing is to be done.
async fn tried(
    session: &Session,
    manifest: &Manifest,
    live: Option<&Value>,
) -> Result<Option<Value>, CliError> {
    let client = &session.client;
    match step(manifest, live) {
        Step::Nothing => Ok(None),
        Step::Create(object) => client
            .create(manifest.info, &object, DryRun::Server)
            .await
            .map(Some),
        Step::Patch(patch) => client
            .patch(&manifest.target(), &patch, DryRun::Server)
            .await
            .map(Some),
    }
}

/// The part of an object that people write, as text. Finalizers are the controller's, unless the file has some.
fn comparable(object: &Value, manifest: &Manifest) -> Result<String, CliError> {
    let mut object = object.clone();
    drop_server_owned(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !NOTES.contains(&name.as_str()));
        }
        if manifest.object.pointer("/metadata/finalizers").is_none() {
            metadata.remove("finalizers");
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    }
    format::yaml(&object)
}

/// A difference as people know it; the sides are what stands before the name.
pub(super) fn unified(
    session: &Session,
    (from, to): (&str, &str),
    name: &str,
    before: &str,
    after: &str,
) -> String {
    let paint = |text: String, style: Style| session.console.paint(text, style);
    let bold = Style::new().bold();
    let mut out =
        paint(format!("--- {from}/{name}"), bold) + "\n" + &paint(format!("+++ {to}/{name}"), bold) + "\n";
    let diff = TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&paint(hunk.header().to_string(), Style::new().cyan()));
        out.push('\n');
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Style::new().red()),
                ChangeTag::Insert => ('+', Style::new().green()),
                ChangeTag::Equal => (' ', Style::new()),
            };
            out.push_str(&paint(
                format!("{sign}{}", change.value().trim_end_matches('\n')),
                style,
            ));
            out.push('\n');
        }
    }
    out
}
