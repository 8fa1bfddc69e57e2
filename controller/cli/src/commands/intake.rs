//! `intake`: what a body of alerts would become, and what could not be read. The server's own code reads the body.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aegis_api::{AlertSource, KindInfo};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::Body;
use crate::error::CliError;
use crate::manifest::{Naming, parse, read_at_most};
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::text;

const ACCEPT: &str = "application/json";
/// The largest body that the server reads, bytes.
const LARGEST: u64 = 1 << 20;

/// Try out how alerts are read, and see what could not be
#[derive(Debug, clap::Args)]
pub(crate) struct IntakeArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what a body would become, without taking it in
    Test {
        /// The body as its sender writes it; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As if it came to /webhook/NAME
        #[arg(long, value_name = "NAME", conflicts_with = "manifest")]
        source: Option<String>,
        /// As an AlertSource of this manifest would read it, which need not be applied
        #[arg(long, value_name = "MANIFEST")]
        manifest: Option<PathBuf>,
        /// A header of the request, such as "ce-type: org.example.oom"; more than once for several
        #[arg(long = "header", value_name = "HEADER")]
        headers: Vec<String>,
        /// Everything that is kept of each alert, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the bodies that could not be read, the newest first
    Unreadable {
        /// The bodies, too, as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: &IntakeArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Test {
            file,
            source,
            manifest,
            headers,
            json,
        } => {
            let manifest = manifest.as_deref().map(source_of).transpose()?;
            // Its name is before each of its ids.
            let (name, spec) = manifest.unzip();
            let source = source.clone().or(name);
            let mut pairs = Map::new();
            for header in headers {
                let pair = header
                    .split_once(':')
                    .map(|(name, value)| (name.trim(), value.trim()));
                let (name, value) =
                    pair.ok_or_else(|| CliError::Usage(format!("--header {header}: write NAME: VALUE")))?;
                pairs.insert(name.to_lowercase(), value.into());
            }
            let trial = json!({"source": source, "spec": spec, "headers": pairs, "body": STANDARD.encode(bytes(file)?)});
            let path = ["intake", "test"];
            let answer = session
                .client
                .json(Method::POST, &path, &[], ACCEPT, Body::Json(&trial))
                .await?;
            show(&answer, *json, session)
        }
        Verb::Unreadable { json } => unreadable(*json, session).await,
    }
}

/// The body, byte for byte.
fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let failed = |source| CliError::File {
        path: path.to_owned(),
        source,
    };
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LARGEST + 1).read_to_end(&mut bytes)
    };
    read.map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(CliError::Usage(format!(
            "{}: at most {LARGEST} bytes are read",
            path.display()
        )));
    }
    Ok(bytes)
}

/// The name and the spec of the one AlertSource of a manifest.
fn source_of(path: &Path) -> Result<(String, Value), CliError> {
    let (origin, text) = read_at_most(path, LARGEST)?;
    let all = parse(&origin, &text, Naming::Exact).map_err(CliError::Manifests)?;
    let info = KindInfo::of::<AlertSource>();
    let mut sources = all.iter().filter(|one| one.info.kind == info.kind);
    let found = sources.next().filter(|_| sources.next().is_none());
    let source = found.and_then(|one| {
        let name = one.object.pointer("/metadata/name")?.as_str()?;
        Some((name.to_owned(), one.object.get("spec")?.clone()))
    });
    source.ok_or_else(|| CliError::Usage(format!("{origin}: exactly one AlertSource is needed in it")))
}

fn show(answer: &Value, json: bool, session: &Session) -> Result<(), CliError> {
    if json {
        return print_json(answer, session);
    }
    let field = |row: &Value, name: &str| match row.get(name) {
        Some(Value::String(text)) => text::brief(text, 60),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => text::brief(&other.to_string(), 60),
    };
    let list = |name: &str| {
        answer
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (alerts, unreadable) = (list("alerts"), list("unreadable"));
    session
        .console
        .line(format!("sender: {}", field(answer, "sender")))?;
    if !alerts.is_empty() {
        let names = [
            "alert_type",
            "state",
            "container",
            "severity",
            "incident_id",
            "naming",
        ];
        let header = ["ALERT", "STATE", "CONTAINER", "SEVERITY", "ID", "CONTAINER BY"];
        let rows = alerts
            .iter()
            .map(|row| names.iter().map(|name| field(row, name)).collect());
        session.console.write(&aligned(&header, rows.collect()))?;
    }
    for why in &unreadable {
        session.console.remark(format!(
            "unreadable: {}",
            text::line(why.as_str().unwrap_or_default())
        ));
    }
    if let Some(left_out @ 1..) = answer.get("truncated").and_then(Value::as_u64) {
        session
            .console
            .remark(format!("{left_out} alerts were left out by the sender"));
    }
    if alerts.is_empty() {
        return Err(CliError::Failed(
            "nothing in it can be read as an alert".to_owned(),
        ));
    }
    Ok(())
}

fn print_json(value: &Value, session: &Session) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Failed(format!("the answer cannot be written: {error}")))?;
    session.console.line(text)
}

async fn unreadable(json: bool, session: &Session) -> Result<(), CliError> {
    let answer = session.client.raw(&["intake", "unreadable"]).await?;
    if json {
        return print_json(&answer, session);
    }
    let rows = answer.as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        session.console.remark("Everything that came in could be read.");
        return Ok(());
    }
    let names = ["counted", "at", "source", "sender", "bytes", "reason"];
    let header = ["COUNT", "AT", "SOURCE", "SENDER", "BYTES", "REASON"];
    let cell = |row: &Value, name: &str| match row.get(name) {
        Some(Value::String(text)) => text::brief(text, 100),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let cells = rows
        .iter()
        .map(|row| names.iter().map(|name| cell(row, name)).collect());
    session.console.write(&aligned(&header, cells.collect()))?;
    // Whole: it is to be opened.
    for row in &rows {
        if let (Some(open), Some(count)) = (row.get("open").and_then(Value::as_str), row.get("counted")) {
            session
                .console
                .line(format!("{count}: for you to open: {}", text::line(open)))?;
        }
    }
    Ok(())
}
