//! `audit`: who changed what, and whether the log of it is as it was written. The chain is checked here, not by the
//! controller that serves it.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use aegis_api::audit::Chain;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use crate::client::Body;
use crate::console::Console;
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::text;

/// Records that are requested at once.
const PAGE: usize = 1000;

/// Show who changed what, and verify that the log was not changed
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// How many records, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Records after this number instead, oldest first
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// One JSON object a line, with what was before and after
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check every record from the first to the last; exits 1 and names the line where one was edited, removed or moved
    Verify {
        /// Reads a state directory instead of asking the controller
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// A head that was noted earlier (SEQ:HASH, as verify prints it): the log must still contain it
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<String>,
    },
}

/// Verifies a state directory, which needs no controller; `None` where one is to be asked.
pub(crate) fn offline(args: &AuditArgs, console: &Console) -> Option<Result<(), CliError>> {
    let Some(Verb::Verify { dir: Some(dir), head }) = &args.verb else {
        return None;
    };
    Some(verify_dir(dir, head.as_deref(), console))
}

pub(crate) async fn run(args: &AuditArgs, session: &Session) -> Result<(), CliError> {
    if let Some(Verb::Verify { head, .. }) = &args.verb {
        return verify(session, head.as_deref()).await;
    }
    let page = page(session, args.after, args.limit, "").await?;
    let records = page.get("records").and_then(Value::as_array);
    let records: Vec<&Value> = records.into_iter().flatten().collect();
    if args.json {
        for record in records {
            session.console.line(record)?;
        }
        return Ok(());
    }
    let rows = records.into_iter().map(row).collect();
    let head = ["SEQ", "AT", "WHO", "ROLE", "FROM", "VERB", "WHAT", "FOR"];
    session.console.write(&aligned(&head, rows))
}

fn row(record: &Value) -> Vec<String> {
    let text = |pointer: &str| {
        let found = record.pointer(pointer).and_then(Value::as_str);
        text::brief(found.unwrap_or_default(), 60)
    };
    let time = text("/at");
    let seconds = time.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let reason = record.pointer("/actor/incident").and_then(Value::as_str);
    vec![
        record.get("seq").map(ToString::to_string).unwrap_or_default(),
        format!("{seconds}Z"),
        text("/actor/user"),
        text("/actor/role"),
        text("/actor/from"),
        text("/verb"),
        format!("{}/{}", text("/kind"), text("/name")),
        reason.map_or_else(
            || text("/note"),
            |incident| format!("incident/{}", text::line(incident)),
        ),
    ]
}

async fn page(session: &Session, after: Option<u64>, limit: usize, format: &str) -> Result<Value, CliError> {
    let (after, limit) = (after.map(|after| after.to_string()), limit.to_string());
    let mut query = vec![("limit", limit.as_str()), ("format", format)];
    query.extend(after.as_deref().map(|after| ("after", after)));
    let accept = "application/json";
    session
        .client
        .json(Method::GET, &["audit"], &query, accept, Body::None)
        .await
}

async fn verify(session: &Session, noted: Option<&str>) -> Result<(), CliError> {
    let mut check = Check::new(noted)?;
    loop {
        let page = page(session, Some(check.count), PAGE, "lines").await?;
        let lines = page.get("lines").and_then(Value::as_array);
        let lines: Vec<&str> = lines.into_iter().flatten().filter_map(Value::as_str).collect();
        for line in &lines {
            let place = format!("line {}", check.count + 1);
            check.line(line, &place)?;
        }
        if lines.len() < PAGE {
            let seq = page.pointer("/head/seq").and_then(Value::as_u64);
            return check.end(seq, &session.console);
        }
    }
}

fn verify_dir(dir: &Path, noted: Option<&str>, console: &Console) -> Result<(), CliError> {
    let folder = dir.join(".audit");
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { path, source }
    };
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(file(&folder))? {
        let path = entry.map_err(file(&folder))?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            segments.push(path);
        }
    }
    segments.sort();
    let mut check = Check::new(noted)?;
    for path in &segments {
        let reader = std::io::BufReader::new(std::fs::File::open(path).map_err(file(path))?);
        for (index, line) in reader.lines().enumerate() {
            let line = line.map_err(file(path))?;
            check.line(&line, &format!("{}:{}", path.display(), index + 1))?;
        }
    }
    let head = std::fs::read_to_string(folder.join("head")).ok();
    let seq = head.and_then(|head| head.split(' ').next()?.parse().ok());
    check.end(seq, console)
}

/// How far the log has been checked.
struct Check {
    chain: Chain,
    count: u64,
    noted: Option<(u64, String)>,
}

impl Check {
    fn new(noted: Option<&str>) -> Result<Self, CliError> {
        let noted = noted.map(|text| {
            let parts = text
                .split_once(':')
                .and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.to_owned())));
            parts.ok_or_else(|| CliError::Usage(format!("--head: {text:?} is not SEQ:HASH")))
        });
        Ok(Self {
            chain: Chain::default(),
            count: 0,
            noted: noted.transpose()?,
        })
    }

    fn line(&mut self, line: &str, place: &str) -> Result<(), CliError> {
        let checked = self.chain.check(line);
        checked
            .map_err(|why| CliError::Failed(format!("the audit log was tampered with: {place}: {why}")))?;
        self.count += 1;
        match &self.noted {
            Some((seq, hash)) if *seq == self.count && *hash != self.chain.prev => {
                Err(CliError::Failed(format!(
                    "the audit log was tampered with: {place}: record {seq} is another than the one that was noted"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The log ends here; its head says how far it should go.
    fn end(self, recorded: Option<u64>, console: &Console) -> Result<(), CliError> {
        let wanted = self.noted.map(|(seq, _)| seq).max(recorded);
        if let Some(seq) = wanted.filter(|seq| *seq > self.count) {
            let first = self.count + 1;
            return Err(CliError::Failed(format!(
                "the audit log was tampered with: records {first} to {seq} are missing at its end"
            )));
        }
        console.line(format!("{} records, none of them changed", self.count))?;
        console.line(format!("head {}:{}", self.count, self.chain.prev))
    }
}
