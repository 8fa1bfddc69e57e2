//! `audit`: who changed what, and whether the log of it is as it was written. The chain is checked here, not by the
//! controller that serves it.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use aegis_api::audit::{Chain, Checkpoint};
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
        let checkpoint = page.get("checkpoint").and_then(Value::as_str);
        if check.checkpoint.as_ref().map(|known| known.line.as_str()) != checkpoint {
            // More was removed meanwhile: what is left is checked from its beginning.
            check = Check::new(noted)?;
            check.begin(checkpoint.unwrap_or_default(), "the checkpoint")?;
            continue;
        }
        let lines = page.get("lines").and_then(Value::as_array);
        let lines: Vec<&str> = lines.into_iter().flatten().filter_map(Value::as_str).collect();
        for line in &lines {
            let place = format!("line {}", check.count + 1);
            check.line(line, &place)?;
        }
        let seq = page.pointer("/head/seq").and_then(Value::as_u64);
        // A page may have fewer records than were requested, where they are large.
        if lines.is_empty() || seq.is_none_or(|seq| check.count >= seq) {
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
    let path = folder.join("checkpoint");
    match std::fs::read_to_string(&path) {
        Ok(line) => check.begin(&line, &path.display().to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(file(&path)(source)),
    }
    // What a crash left of the records before the checkpoint is none of the log.
    segments.retain(|path| !check.is_before(path));
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
    /// Number of the last record that is known good; those before the checkpoint are taken from its word.
    count: u64,
    noted: Option<(u64, String)>,
    checkpoint: Option<Checkpoint>,
    /// Whether the log has the record of which the checkpoint is a copy.
    confirmed: bool,
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
            checkpoint: None,
            confirmed: false,
        })
    }

    /// The log begins at a checkpoint: the records before it were removed by retention.
    fn begin(&mut self, line: &str, place: &str) -> Result<(), CliError> {
        let checkpoint = Checkpoint::read(line)
            .map_err(|why| CliError::Failed(format!("the audit log was tampered with: {place}: {why}")))?;
        self.chain = checkpoint.begins.clone();
        self.count = self.chain.next.saturating_sub(1);
        match &self.noted {
            Some((seq, _)) if *seq < self.count => {
                return Err(CliError::Failed(format!(
                    "record {seq} was removed by retention, so that it cannot be compared: the log begins after {}; note a newer head",
                    self.count
                )));
            }
            Some((seq, hash)) if *seq == self.count && *hash != self.chain.prev => {
                return Err(another(place, *seq));
            }
            _ => {}
        }
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Whether a file has only records from before the checkpoint, which a crash has left.
    fn is_before(&self, path: &Path) -> bool {
        let first = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse::<u64>().ok());
        first.is_some_and(|first| first < self.chain.next) && self.checkpoint.is_some()
    }

    fn line(&mut self, line: &str, place: &str) -> Result<(), CliError> {
        let checked = self.chain.check(line);
        checked
            .map_err(|why| CliError::Failed(format!("the audit log was tampered with: {place}: {why}")))?;
        self.count += 1;
        self.confirmed |= self.checkpoint.as_ref().is_some_and(|known| known.line == line);
        match &self.noted {
            Some((seq, hash)) if *seq == self.count && *hash != self.chain.prev => Err(another(place, *seq)),
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
        if self.checkpoint.is_some() && !self.confirmed {
            return Err(CliError::Failed(
                "the audit log was tampered with: its checkpoint is no record of it".to_owned(),
            ));
        }
        let begins = self
            .checkpoint
            .map_or(0, |checkpoint| checkpoint.begins.next.saturating_sub(1));
        if begins > 0 {
            console.line(format!(
                "records up to {begins} were removed by retention, as the log says itself"
            ))?;
        }
        let checked = self.count.saturating_sub(begins);
        console.line(format!("{checked} records, none of them changed"))?;
        console.line(format!("head {}:{}", self.count, self.chain.prev))
    }
}

fn another(place: &str, seq: u64) -> CliError {
    CliError::Failed(format!(
        "the audit log was tampered with: {place}: record {seq} is another than the one that was noted"
    ))
}
