//! `autoscale simulate`: what autoscaling would have done on recorded signals. The server answers it; nothing is changed.

use std::path::{Path, PathBuf};

use aegis_api::wire::{SimulationRequest, SimulationSummary, TraceRow};
use aegis_api::workload::Autoscale;
use aegis_api::{Duration, Time};
use clap::Subcommand;

use crate::error::CliError;
use crate::manifest::{FileArgs, Naming, load, read_at_most};
use crate::printer::age::stamp;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::target::object;
use crate::text;

/// The largest trace, bytes.
const LARGEST: u64 = 8 << 20;
/// Times from here on are moments, not seconds since the trace began: some day in 2001.
const MOMENTS: i64 = 1_000_000_000;

/// Try autoscaling out
#[derive(Debug, clap::Args)]
pub(crate) struct AutoscaleArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Simulate(SimulateArgs),
}

/// Show what autoscaling would have done on recorded signals: those that the controller keeps of a Workload, or a file of
/// yours
///
/// `autoscale simulate workload/web` runs its own spec.autoscale over the last day; `-f FILE` tries the spec.autoscale of a
/// manifest instead. The controller's own decisions answer; nothing is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// workload/NAME, or just NAME
    #[arg(value_name = "WORKLOAD", required_unless_present_all = ["filename", "trace"])]
    what: Vec<String>,
    /// A manifest of a Workload whose spec.autoscale is tried
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,
    /// Signals: JSON, an array of rows or a row a line, such as {"at": 0, "replicas": 2, "requestsPerSecond": 40, "cpuPercent": 70}
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Replicas at the beginning; without it those of the first row
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,
    /// How long a replica takes until it serves
    #[arg(long, value_name = "TIME", default_value = "5s")]
    start_up: Duration,
}

pub(crate) async fn run(args: &AutoscaleArgs, session: &Session) -> Result<(), CliError> {
    let What::Simulate(args) = &args.what;
    let workload = match args.what.as_slice() {
        [] => None,
        what => Some(object(what, Some("Workload"))?.name),
    };
    let request = SimulationRequest {
        workload,
        autoscale: args.filename.as_deref().map(spec).transpose()?,
        trace: args.trace.as_deref().map(trace).transpose()?,
        replicas: args.replicas,
        start_up: Some(args.start_up),
    };
    let answer = session.client.simulate(&request).await?;
    let summary: SimulationSummary = serde_json::from_value(answer).map_err(|error| CliError::Protocol {
        server: session.client.server().to_owned(),
        cause: format!("its simulation cannot be read ({error})"),
    })?;
    session.console.write(&shown(&summary))
}

fn spec(path: &Path) -> Result<Autoscale, CliError> {
    let files = FileArgs {
        filename: vec![path.to_owned()],
        recursive: false,
    };
    let manifests = load(&files, Naming::Exact)?;
    let found = manifests
        .iter()
        .find_map(|manifest| manifest.object.pointer("/spec/autoscale"));
    let found = found.ok_or_else(|| {
        CliError::Usage(format!(
            "{}: no manifest in it has spec.autoscale",
            path.display()
        ))
    })?;
    serde_json::from_value(found.clone())
        .map_err(|error| CliError::Usage(format!("{}: spec.autoscale: {error}", path.display())))
}

fn trace(path: &Path) -> Result<Vec<TraceRow>, CliError> {
    let (source, text) = read_at_most(path, LARGEST)?;
    rows(&text).map_err(|why| CliError::Usage(format!("{source}: {why}")))
}

/// An array, or a row a line.
fn rows(text: &str) -> Result<Vec<TraceRow>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number.saturating_add(1)))
    });
    rows.collect()
}

fn shown(summary: &SimulationSummary) -> String {
    let rows = summary.rows.iter().map(|row| {
        vec![
            moment(row.at),
            row.replicas.to_string(),
            row.serving.to_string(),
            row.wanted
                .map_or_else(|| "-".to_owned(), |wanted| wanted.to_string()),
            row.desired.to_string(),
            text::line(&row.decision),
            text::brief(&row.message, 120),
        ]
    });
    let header = [
        "AT", "REPLICAS", "SERVING", "WANTED", "DESIRED", "DECISION", "WHY",
    ];
    let hours = summary.replica_seconds / 3600;
    let minutes = summary.replica_seconds % 3600 / 60;
    format!(
        "{}\nScaled out {} times and in {} times, turned {} times; {} to {} replicas, {hours} h {minutes} min of replicas in all.\n",
        aligned(&header, rows.collect()),
        summary.outs,
        summary.ins,
        summary.turns,
        summary.fewest,
        summary.most,
    )
}

fn moment(at: i64) -> String {
    match jiff::Timestamp::from_second(at) {
        Ok(time) if at >= MOMENTS => stamp(Time(time)),
        _ => format!("{at} s"),
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::wire::Simulated;

    use super::*;

    #[test]
    fn a_trace_is_an_array_or_a_row_a_line_and_a_row_that_is_wrong_is_named() {
        let lines =
            "{\"at\": 0, \"replicas\": 2, \"requestsPerSecond\": 40}\n\n{\"at\": 3, \"cpuPercent\": 70}\n";
        let array =
            "[{\"at\": 0, \"replicas\": 2, \"requestsPerSecond\": 40}, {\"at\": 3, \"cpuPercent\": 70}]";
        assert_eq!(rows(lines), rows(array));
        assert_eq!(rows(lines).unwrap().len(), 2);
        let wrong = rows("{\"at\": 0}\n{\"at\": 1, \"rps\": 4}\n").unwrap_err();
        assert!(
            wrong.contains("line 2") && wrong.contains("requestsPerSecond"),
            "{wrong}"
        );
    }

    #[test]
    fn what_would_have_happened_is_shown_with_why() {
        let summary = SimulationSummary {
            rows: vec![Simulated {
                at: 30,
                replicas: 2,
                serving: 2,
                wanted: Some(4),
                desired: 4,
                decision: "ScaledOut".to_owned(),
                message: "RequestsPerSecond 40, of 10 a replica needs 4".to_owned(),
            }],
            outs: 1,
            fewest: 2,
            most: 4,
            replica_seconds: 3720,
            ..SimulationSummary::default()
        };
        let shown = shown(&summary);
        assert!(
            shown.contains("30 s") && shown.contains("ScaledOut") && shown.contains("needs 4"),
            "{shown}"
        );
        assert!(shown.contains("1 h 2 min"), "{shown}");
        let _: serde_json::Value = serde_json::to_value(&summary).unwrap();
    }
}
