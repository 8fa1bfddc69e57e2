//! `runbook`: what was learned, as the `runbook.json` that other installations read, and a search in it.

use std::path::{Path, PathBuf};

use aegis_api::naming::resource_name;
use aegis_api::wire::RunbookView;
use aegis_api::{KindInfo, RunbookEntry};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::DryRun;
use crate::error::CliError;
use crate::manifest::read_at_most;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::target::Target;
use crate::text;

/// More than this is no runbook.json.
const LARGEST: u64 = 256 << 20;

/// Export, import and search what was learned from incidents
#[derive(Debug, clap::Args)]
pub(crate) struct RunbookArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write all entries as a runbook.json, to standard output unless a file is named
    Export {
        /// The file; one that exists is replaced
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Store the entries of a runbook.json; those that are there already stay as they are
    Import {
        /// The file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replaces entries of the same incident that differ
        #[arg(long)]
        overwrite: bool,
        /// none: change things; server: let the server check and answer, but change nothing
        #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "server")]
        dry_run: DryRun,
    },
    /// Show the entries that an incident with this text would be given, with their similarity
    Search {
        /// What the alert and its log say
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
    },
}

pub(crate) async fn run(args: &RunbookArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Export { file } => export(file.as_deref(), session).await,
        Verb::Import {
            file,
            overwrite,
            dry_run,
        } => import(file, *overwrite, *dry_run, session).await,
        Verb::Search { text } => search(&text.join(" "), session).await,
    }
}

async fn export(file: Option<&Path>, session: &Session) -> Result<(), CliError> {
    let answer = session.client.raw(&["runbook"]).await?;
    let entries = answer.get("entries").cloned().unwrap_or_else(|| json!([]));
    let count = entries.as_array().map_or(0, Vec::len);
    let text = serde_json::to_string_pretty(&entries)
        .map_err(|error| CliError::Failed(format!("the entries cannot be written: {error}")))?;
    let Some(path) = file else {
        return session.console.line(text);
    };
    std::fs::write(path, text + "\n").map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    session
        .console
        .line(format!("{count} entries written to {}", path.display()))
}

async fn import(path: &Path, overwrite: bool, dry: DryRun, session: &Session) -> Result<(), CliError> {
    let (origin, text) = read_at_most(path, LARGEST)?;
    let rows = rows(&origin, &text)?;
    let info = KindInfo::of::<RunbookEntry>();
    let mut failed = 0_usize;
    for (number, row) in rows.iter().enumerate() {
        let target = Target {
            info,
            name: format!("rb-{}", resource_name(&row.incident_id)),
        };
        match store(&target, row, overwrite, dry, session).await {
            Ok(what) => session.console.line(format!("{target} {what}{}", dry.note()))?,
            Err(error) => {
                failed += 1;
                let id = text::brief(&row.incident_id, 60);
                session.console.remark(format!(
                    "error: entry {} (incident_id {id:?}) of {origin}: {error}",
                    number + 1
                ));
            }
        }
    }
    if failed > 0 {
        let all = rows.len();
        return Err(CliError::Failed(format!(
            "{failed} of {all} entries were not imported"
        )));
    }
    Ok(())
}

/// The rows of a `runbook.json`: an array, or the answer of `GET /runbook`.
fn rows(origin: &str, text: &str) -> Result<Vec<RunbookView>, CliError> {
    let unreadable = |cause: String| {
        CliError::Failed(format!(
            "{origin} is no runbook.json: {cause}. It must be an array of entries with incident_id, alert_type, \
             root_cause and action."
        ))
    };
    let value: Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let rows = match value {
        Value::Object(mut answer) => answer.remove("entries").unwrap_or_default(),
        other => other,
    };
    let Value::Array(rows) = rows else {
        return Err(unreadable("there is no array in it".to_owned()));
    };
    rows.into_iter()
        .enumerate()
        .map(|(number, row)| {
            serde_json::from_value(row).map_err(|error| unreadable(format!("entry {}: {error}", number + 1)))
        })
        .collect()
}

async fn store(
    target: &Target,
    row: &RunbookView,
    overwrite: bool,
    dry: DryRun,
    session: &Session,
) -> Result<&'static str, CliError> {
    let spec = row.to_spec();
    let Some(live) = session.client.find(target).await? else {
        let object = json!({
            "apiVersion": aegis_api::API_VERSION, "kind": target.info.kind, "metadata": {"name": target.name}, "spec": spec,
        });
        session.client.create(target.info, &object, dry).await?;
        return Ok("imported");
    };
    let known = live.get("spec").cloned().unwrap_or_default();
    let same = spec
        .as_object()
        .is_some_and(|fields| fields.iter().all(|(name, value)| known.get(name) == Some(value)));
    if same {
        return Ok("unchanged");
    }
    if !overwrite {
        return Ok("exists and differs: left as it is (--overwrite replaces it)");
    }
    session.client.patch(target, &json!({"spec": spec}), dry).await?;
    Ok("replaced")
}

/// A field of an entry, as a table shows it.
fn cell(row: &Value, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text::brief(text, 60),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

async fn search(text: &str, session: &Session) -> Result<(), CliError> {
    let answer = session.client.recall(text).await?;
    // What an incident would be given; a controller of before has one list only.
    let rows = answer
        .get("operations")
        .or_else(|| answer.get("retrieved"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if rows.is_empty() {
        let wordless = answer.get("wordless").and_then(Value::as_bool) == Some(true);
        session.console.remark(match wordless {
            true => {
                "There is no word to search for in it: stop words such as \"the\" and \"is\" do not count."
            }
            false => "No entry is similar.",
        });
        return Ok(());
    }
    let columns = [
        "similarity_score",
        "trust",
        "recommended",
        "incident_id",
        "action",
        "alert_type",
        "root_cause",
    ];
    let cells = rows
        .iter()
        .map(|row| columns.map(|name| cell(row, name)).to_vec());
    let table = aligned(
        &[
            "SIMILARITY",
            "TRUST",
            "RECOMMENDED",
            "INCIDENT",
            "ACTION",
            "ALERT",
            "ROOT CAUSE",
        ],
        cells.collect(),
    );
    session.console.write(&table)
}
