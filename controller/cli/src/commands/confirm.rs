//! `confirm`: carries out deletions that the controller holds because the files of many objects went at once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};

use aegis_api::kinds::find;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Body;
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::target::{Selection, select};
use crate::text;

/// Carry out deletions that are held: objects whose files went many at once
///
/// Shows them, then asks. Whatever is not confirmed stays in force; files that come back end the hold.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfirmArgs {
    /// KIND, KIND NAME…, KIND/NAME…; everything that is held without it
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
}

/// One object whose deletion is held.
struct Held {
    plural: String,
    singular: String,
    name: String,
    row: Vec<String>,
}

pub(crate) async fn run(args: &ConfirmArgs, session: &Session) -> Result<(), CliError> {
    let report = session.client.raw(&["files"]).await?;
    let held = chosen(args, &report)?;
    if held.is_empty() {
        session.console.remark("No deletions are held.");
        return Ok(());
    }
    let rows = held.iter().map(|held| held.row.clone()).collect();
    let table = aligned(&["WHAT", "HELD SINCE", "WHY"], rows);
    session.console.write(&table)?;
    if !args.yes && !agreed(held.len(), session)? {
        session.console.remark("Nothing was deleted.");
        return Ok(());
    }
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for held in &held {
        kinds.entry(&held.plural).or_default().push(&held.name);
    }
    let mut failed = None;
    for (plural, names) in kinds {
        let singular = held.iter().find(|held| held.plural == plural);
        let singular = singular.map_or(plural, |held| &held.singular);
        let body = json!({"kind": plural, "names": names});
        let answer = session
            .client
            .json(
                Method::POST,
                &["files", "confirm"],
                &[],
                "application/json",
                Body::Json(&body),
            )
            .await?;
        for name in list(&answer, "deleted").filter_map(Value::as_str) {
            session
                .console
                .line(format!("{singular}/{} deleted", text::line(name)))?;
        }
        for refused in list(&answer, "refused") {
            let (name, why) = (cell(refused, "name"), cell(refused, "message"));
            session.console.remark(format!("error: {singular}/{name}: {why}"));
            failed.get_or_insert(CliError::Failed("not all of them were deleted".to_owned()));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The held deletions that the command line means.
fn chosen(args: &ConfirmArgs, report: &Value) -> Result<Vec<Held>, CliError> {
    let selection = match args.what.as_slice() {
        [] => None,
        what => Some(select(what)?),
    };
    let is_meant = |held: &Held| match &selection {
        None => true,
        Some(Selection::Kinds(kinds)) => kinds.iter().any(|info| info.plural == held.plural),
        Some(Selection::Objects(targets)) => targets
            .iter()
            .any(|target| target.info.plural == held.plural && target.name == held.name),
    };
    Ok(list(report, "held").map(held).filter(is_meant).collect())
}

fn held(value: &Value) -> Held {
    let (plural, name) = (cell(value, "plural"), cell(value, "name"));
    let singular = find(&plural).map_or_else(|| plural.clone(), |info| info.singular.to_owned());
    let why = match (cell(value, "reason").as_str(), cell(value, "renamedTo")) {
        ("ManyAtOnce", _) => "many files went at once".to_owned(),
        ("FolderReplaced", _) => "the folder was replaced".to_owned(),
        ("Renamed", to) => format!("the file was renamed to {to}"),
        (other, _) => other.to_owned(),
    };
    let since = cell(value, "since");
    let since = since.split('.').next().unwrap_or_default().trim_end_matches('Z');
    Held {
        row: vec![format!("{singular}/{name}"), format!("{since}Z"), why],
        plural,
        singular,
        name,
    }
}

fn agreed(count: usize, session: &Session) -> Result<bool, CliError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for confirmation: pass --yes to delete them".to_owned(),
        ));
    }
    session.console.write(&format!(
        "Delete these {count} objects, and the containers that were made for them? [y/N] "
    ))?;
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|source| CliError::File {
            path: "standard input".into(),
            source,
        })?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn cell(value: &Value, name: &str) -> String {
    text::line(value.get(name).and_then(Value::as_str).unwrap_or_default())
}
