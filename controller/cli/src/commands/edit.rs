//! `edit`: an object in a text editor.

use std::path::{Path, PathBuf};

use aegis_api::meta::NOTES;
use serde_json::Value;

use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::manifest::{Manifest, Naming, drop_server_owned, parse};
use crate::patch;
use crate::printer::format;
use crate::problem::Problem;
use crate::session::Session;
use crate::target::{Target, object};

/// Change an object in a text editor ($VISUAL, $EDITOR, or vi)
///
/// What does not validate is opened again, with the reasons on top. Leaving the text unchanged, or empty, changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    /// KIND/NAME or KIND NAME
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
}

/// How often a text is opened again before the command gives up.
const MAX_ROUNDS: usize = 20;

pub(crate) async fn run(args: &EditArgs, session: &Session) -> Result<(), CliError> {
    let target = object(&args.what, None)?;
    let mut live = session.client.get(&target, Shape::Objects).await?;
    drop_server_owned(&mut live);
    hide_note(&mut live);
    let file = draft(&target)?;
    let mut text = format::yaml(&live)?;
    let mut reasons = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let offered = format!("{}{text}", heading(&target, &reasons));
        write(file.path(), &offered)?;
        open_editor(session, file.path()).await?;
        let edited = read(file.path())?;
        if edited == offered || is_empty(&edited) {
            return match reasons.is_empty() {
                true => session.console.line("Edit cancelled, no changes made."),
                false => Err(given_up(file, &reasons)),
            };
        }
        match save(session, &target, &live, &edited).await {
            Ok(true) => return session.console.line(format!("{target} edited")),
            Ok(false) => return session.console.line("Edit cancelled, no changes made."),
            Err(Refused::Reasons(found)) => {
                text = without_heading(&edited);
                reasons = found;
            }
            Err(Refused::Other(error)) => {
                let kept = keep(file);
                session.console.remark(format!("Your text is kept in {kept}"));
                return Err(error);
            }
        }
    }
    Err(given_up(file, &reasons))
}

/// One thing that is wrong with an edited text.
struct Reason {
    /// Its line, counted without the heading.
    line: Option<u64>,
    message: String,
}

impl Reason {
    fn of(problem: Problem) -> Self {
        Self {
            line: problem.position.map(|position| position.line),
            message: problem.message,
        }
    }

    fn general(message: String) -> Self {
        Self { line: None, message }
    }
}

/// Why an edited text was not stored.
enum Refused {
    /// It can be put right in the editor.
    Reasons(Vec<Reason>),
    /// It cannot.
    Other(CliError),
}

/// Checks and stores an edited text; `false` where it says what is there already.
async fn save(session: &Session, target: &Target, live: &Value, edited: &str) -> Result<bool, Refused> {
    let manifest = checked(target, edited).map_err(Refused::Reasons)?;
    // Only what was changed here is sent, so that what others change meanwhile stays.
    let change = patch::difference(live, &manifest.object);
    if patch::is_empty(&change) {
        return Ok(false);
    }
    match session.client.patch(target, &change, DryRun::None).await {
        Ok(_) => Ok(true),
        Err(CliError::Api(status)) if matches!(status.code, 400 | 422) => {
            let reasons = match status.causes() {
                [] => vec![Reason::general(status.explain())],
                causes => causes
                    .iter()
                    .map(|cause| Reason::of(manifest.problem(&cause.field, cause.explain())))
                    .collect(),
            };
            Err(Refused::Reasons(reasons))
        }
        Err(error) => Err(Refused::Other(error)),
    }
}

fn checked(target: &Target, edited: &str) -> Result<Manifest, Vec<Reason>> {
    let found = parse("", &without_heading(edited), Naming::Exact)
        .map_err(|problems| problems.into_iter().map(Reason::of).collect::<Vec<_>>())?;
    let refuse = |message: String| Err(vec![Reason::general(message)]);
    match <[Manifest; 1]>::try_from(found) {
        Ok([manifest]) if manifest.info.kind == target.info.kind && manifest.name == target.name => {
            Ok(manifest)
        }
        Ok(_) => refuse(format!("kind and name stay as they are: this is {target}")),
        Err(found) => refuse(format!("keep one object here, not {}", found.len())),
    }
}

/// The comment on top of the text: what to do, and what was wrong, by the lines of the whole.
fn heading(target: &Target, reasons: &[Reason]) -> String {
    let mut out = format!(
        "#| {target}: save and close to change it; leave it unchanged, or empty, to change nothing.\n"
    );
    if !reasons.is_empty() {
        out.push_str("#| It was not stored:\n");
    }
    for line in reason_lines(reasons) {
        out.push_str(&format!("#|   {line}\n"));
    }
    out
}

/// The reasons, one a line. The text stands below a heading of two lines and these.
fn reason_lines(reasons: &[Reason]) -> Vec<String> {
    let above = u64::try_from(reasons.len() + 2).unwrap_or(u64::MAX);
    let describe = |reason: &Reason| {
        let message = crate::text::line(&reason.message);
        match reason.line {
            Some(line) => format!("line {}: {message}", line.saturating_add(above)),
            None => message,
        }
    };
    reasons.iter().map(describe).collect()
}

fn without_heading(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("#|"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn is_empty(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// kubectl's note of what was applied is for programs.
fn hide_note(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !NOTES.contains(&name.as_str()));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

fn draft(target: &Target) -> Result<tempfile::NamedTempFile, CliError> {
    let prefix = format!("aegisctl-{}-", target.name);
    let made = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".yaml")
        .tempfile();
    made.map_err(|source| CliError::File {
        path: std::env::temp_dir(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// The editor may have arguments of its own, so that a shell starts it, as git and kubectl do.
async fn open_editor(session: &Session, path: &Path) -> Result<(), CliError> {
    let editor = session
        .env
        .get("VISUAL")
        .or_else(|| session.env.get("EDITOR"))
        .unwrap_or("vi");
    let mut command = tokio::process::Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("aegisctl-edit")
        .arg(path);
    let status = command.status().await.map_err(|source| CliError::File {
        path: PathBuf::from("sh"),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "the editor {editor:?} failed ({status}); set EDITOR to choose another one"
    )))
}

/// Leaves the text where it is; answers its path.
fn keep(file: tempfile::NamedTempFile) -> String {
    let path = file.path().display().to_string();
    match file.keep() {
        Ok((_, path)) => path.display().to_string(),
        Err(error) => format!("{path}, which could not be kept: {error}"),
    }
}

fn given_up(file: tempfile::NamedTempFile, reasons: &[Reason]) -> CliError {
    let kept = keep(file);
    CliError::Failed(format!(
        "not stored:\n  {}\nYour text is kept in {kept}",
        reason_lines(reasons).join("\n  ")
    ))
}
