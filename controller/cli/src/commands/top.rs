//! `top`: what containers use right now, and how fast that changes.

use aegis_api::Workload;
use aegis_api::wire::{ContainerMetrics, MetricHistory, MetricSample};
use clap::ValueEnum;

use crate::client::Shape;
use crate::error::CliError;
use crate::printer::columns::Columns;
use crate::session::Session;
use crate::target::object_of;
use crate::text;

/// Show the CPU, memory and network that containers use, the hungriest first
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Only the containers of this Workload: workload/NAME, workload NAME, or just NAME
    #[arg(value_name = "WORKLOAD")]
    what: Vec<String>,
    /// By what to sort
    #[arg(long, value_name = "COLUMN", default_value = "cpu")]
    sort_by: Column,
    /// Without the line of names
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Column {
    Cpu,
    Memory,
    Name,
}

pub(crate) async fn run(args: &TopArgs, session: &Session) -> Result<(), CliError> {
    let of = match args.what.as_slice() {
        [] => None,
        what => Some(containers(what, session).await?),
    };
    let answer = session.client.raw(&["metrics"]).await?;
    let mut rows: Vec<ContainerMetrics> =
        serde_json::from_value(answer).map_err(|error| CliError::Protocol {
            server: session.client.server().to_owned(),
            cause: format!("its metrics cannot be read ({error})"),
        })?;
    rows.retain(|row| of.as_ref().is_none_or(|names| names.contains(&row.name)));
    rows.sort_by(|a, b| {
        let by_use = match args.sort_by {
            Column::Cpu => b.cpu_percent.total_cmp(&a.cpu_percent),
            Column::Memory => b.memory_mb.total_cmp(&a.memory_mb),
            Column::Name => std::cmp::Ordering::Equal,
        };
        by_use.then_with(|| a.name.cmp(&b.name))
    });
    if rows.is_empty() {
        session.console.remark("No container was measured yet.");
        return Ok(());
    }
    // An older controller answers none: what is not known is not shown.
    let history = session.client.history("1").await.ok();
    let history: MetricHistory = history
        .and_then(|answer| serde_json::from_value(answer).ok())
        .unwrap_or_default();
    let mut table: Vec<Vec<String>> = Vec::new();
    if !args.no_headers {
        let head = [
            "NAME", "CPU", "MEMORY", "LIMIT", "MEMORY%", "GROWTH", "RX", "TX", "STATE",
        ];
        table.push(head.iter().map(ToString::to_string).collect());
    }
    table.extend(rows.iter().map(|row| {
        let mut series = history.series.iter();
        let rates = series
            .find(|series| series.name == row.name)
            .and_then(|series| Rates::of(&series.samples));
        let shown = |rate: fn(&Rates) -> String| rates.as_ref().map_or_else(|| "-".to_owned(), rate);
        vec![
            text::line(&row.name),
            format!("{:.1} %", row.cpu_percent),
            format!("{:.1} MiB", row.memory_mb),
            format!("{:.0} MiB", row.memory_limit_mb),
            format!("{:.1} %", row.memory_percent),
            shown(|rates| format!("{:+.1} MiB/min", rates.memory_mb_per_minute)),
            shown(|rates| format!("{:.1} KiB/s", rates.received_kb_per_second)),
            shown(|rates| format!("{:.1} KiB/s", rates.sent_kb_per_second)),
            row.status.to_string(),
        ]
    }));
    session.console.write(&Columns::default().lay_out(&table))
}

/// How fast a container's readings change, over the last minute.
struct Rates {
    memory_mb_per_minute: f64,
    received_kb_per_second: f64,
    sent_kb_per_second: f64,
}

impl Rates {
    /// `None` of fewer than two readings.
    #[expect(
        clippy::as_conversions,
        reason = "bytes for display: the rounding of u64 to f64 is below what is shown"
    )]
    fn of(samples: &[MetricSample]) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        let secs = first.t.age(last.t).as_secs_f64();
        if secs <= 0.0 {
            return None;
        }
        // A process that was started again counts from 0.
        let kib_per_sec = |read: fn(&MetricSample) -> Option<u64>| {
            let (from, to) = (read(first)?, read(last)?);
            Some(to.checked_sub(from).unwrap_or(to) as f64 / 1024.0 / secs)
        };
        Some(Self {
            memory_mb_per_minute: (last.memory_mb - first.memory_mb) / secs * 60.0,
            received_kb_per_second: kib_per_sec(|sample| sample.net_rx_bytes)?,
            sent_kb_per_second: kib_per_sec(|sample| sample.net_tx_bytes)?,
        })
    }
}

async fn containers(what: &[String], session: &Session) -> Result<Vec<String>, CliError> {
    let target = object_of(what, "Workload")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let workload: Workload = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let instances = workload.status.unwrap_or_default().instances;
    Ok(instances.into_iter().map(|instance| instance.name).collect())
}
