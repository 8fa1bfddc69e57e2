//! `label` and `annotate`: notes on objects, by which they are selected or about which programs agree.

use serde_json::{Map, Value};

use crate::client::{DryRun, Shape};
use crate::error::CliError;
use crate::patch;
use crate::printer::format::ObjectOutput;
use crate::session::Session;
use crate::target::{Selection, Target, select};
use crate::text;

/// Set and remove labels of objects, by which they are selected
///
/// Examples: `label wl web tier=front team=a`, `label wl/web tier-`, `label wl --all tier=front`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    notes: NoteArgs,
}

/// Set and remove annotations of objects, which programs read and nothing selects by
///
/// Example: `annotate wl/web aegisops.io/protected=true` keeps automation away from a workload.
#[derive(Debug, clap::Args)]
pub(crate) struct AnnotateArgs {
    #[command(flatten)]
    notes: NoteArgs,
}

#[derive(Debug, clap::Args)]
struct NoteArgs {
    /// KIND NAME… or KIND/NAME…, then KEY=VALUE to set and KEY- to remove
    #[arg(value_name = "WHAT", required = true, num_args = 1..)]
    words: Vec<String>,
    /// Changes a value that there is already
    #[arg(long)]
    overwrite: bool,
    /// Every object of the kind
    #[arg(long, conflicts_with = "selector")]
    all: bool,
    /// Objects of the kind with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Shows what there is, and changes nothing
    #[arg(long)]
    list: bool,
    /// none: change things; server: let the server check and answer, but change nothing
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
    dry_run: DryRun,
    #[command(flatten)]
    output: ObjectOutput,
}

/// Which of the two.
#[derive(Debug, Clone, Copy)]
struct Notes {
    /// Below `metadata`.
    field: &'static str,
    done: &'static str,
}

pub(crate) async fn label(args: &LabelArgs, session: &Session) -> Result<(), CliError> {
    let notes = Notes {
        field: "labels",
        done: "labeled",
    };
    run(&args.notes, notes, session).await
}

pub(crate) async fn annotate(args: &AnnotateArgs, session: &Session) -> Result<(), CliError> {
    let notes = Notes {
        field: "annotations",
        done: "annotated",
    };
    run(&args.notes, notes, session).await
}

async fn run(args: &NoteArgs, notes: Notes, session: &Session) -> Result<(), CliError> {
    let (changes, what): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|word| is_change(word));
    let wanted = read(&changes)?;
    if wanted.is_empty() && !args.list {
        let field = notes.field;
        return Err(CliError::Usage(format!(
            "say which {field}: KEY=VALUE sets one, KEY- removes it; --list shows them"
        )));
    }
    let what: Vec<String> = what.into_iter().cloned().collect();
    let selection = select(&what)?;
    if matches!(selection, Selection::Kinds(_)) && !args.all && args.selector.is_none() {
        return Err(CliError::Usage(
            "name an object, or choose several with --all or --selector".to_owned(),
        ));
    }
    for target in session.targets(selection, args.selector.as_deref()).await? {
        one(args, notes, &wanted, &target, session).await?;
    }
    Ok(())
}

async fn one(
    args: &NoteArgs,
    notes: Notes,
    wanted: &Map<String, Value>,
    target: &Target,
    session: &Session,
) -> Result<(), CliError> {
    let live = session.client.get(target, Shape::Objects).await?;
    let none = Map::new();
    let has = live.pointer(&format!("/metadata/{}", notes.field));
    let has = has.and_then(Value::as_object).unwrap_or(&none);
    if args.list {
        let rows = has
            .iter()
            .map(|(key, value)| (key, value.as_str().unwrap_or_default()));
        let rows: String = rows
            .map(|(key, value)| format!("{}={}\n", text::line(key), text::line(value)))
            .collect();
        return session.console.write(&rows);
    }
    // As the server would count them: what is so already is no change.
    let changed = wanted.iter().filter(|(key, value)| match value {
        Value::Null => has.contains_key(*key),
        value => has.get(*key) != Some(value),
    });
    let changed: Map<String, Value> = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
    if changed.is_empty() {
        let line = format!("{target} not {}: it is so already", notes.done);
        return session.console.write(&args.output.write(&live, &line)?);
    }
    let taken = changed
        .iter()
        .find(|(key, value)| !value.is_null() && has.contains_key(*key));
    if let Some((key, _)) = taken.filter(|_| !args.overwrite) {
        let value = has.get(key).and_then(Value::as_str).unwrap_or_default();
        return Err(CliError::Failed(format!(
            "{target} has {}={} already: --overwrite changes it",
            text::line(key),
            text::line(value)
        )));
    }
    let patch = patch::of(&["metadata", notes.field], Value::Object(changed));
    let object = session.client.patch(target, &patch, args.dry_run).await?;
    let line = format!("{target} {}{}", notes.done, args.dry_run.note());
    session.console.write(&args.output.write(&object, &line)?)
}

/// A name of an object holds no `=` and ends in no `-`.
fn is_change(word: &str) -> bool {
    word.contains('=') || word.ends_with('-')
}

fn read(changes: &[&String]) -> Result<Map<String, Value>, CliError> {
    let mut wanted = Map::new();
    for change in changes {
        let (key, value) = match change.split_once('=') {
            Some((key, value)) => (key, Value::String(value.to_owned())),
            None => (change.trim_end_matches('-'), Value::Null),
        };
        if key.is_empty() {
            return Err(CliError::Usage(format!(
                "{change:?} names no key: write KEY=VALUE, or KEY- to remove one"
            )));
        }
        if wanted.insert(key.to_owned(), value).is_some() {
            return Err(CliError::Usage(format!("{key:?} is named twice")));
        }
    }
    Ok(wanted)
}
