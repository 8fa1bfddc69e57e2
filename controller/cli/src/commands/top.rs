//! `top`: what containers use right now, and how fast that changes.

use aegis_api::Workload;
use aegis_api::signals::used_percent;
use aegis_api::wire::{ContainerMetrics, FileSystemUse, HostMetrics, MetricHistory, MetricSample};
use clap::ValueEnum;

use crate::client::Shape;
use crate::error::CliError;
use crate::printer::columns::Columns;
use crate::session::Session;
use crate::target::object_of;
use crate::text;

/// Show the CPU, memory and network that containers use, the hungriest first, and what is in use of the host
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
    // An older controller answers neither: what is not known is not shown.
    let host = session.client.host().await.ok();
    let host: Option<HostMetrics> = host.and_then(|answer| serde_json::from_value(answer).ok());
    if let Some(line) = host.as_ref().and_then(host_line) {
        session.console.remark(line);
    }
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

/// `Host: CPU 12.5 % of 2 cores, load 1.20 0.90, memory 40.0 %, disk 71.0 %`; what is not known is left out.
fn host_line(host: &HostMetrics) -> Option<String> {
    let cores = host
        .cores
        .map_or_else(String::new, |cores| format!(" of {cores} cores"));
    let space = |disk: FileSystemUse| used_percent((disk.free_bytes, disk.total_bytes));
    let memory = host.memory_available_bytes.zip(host.memory_total_bytes);
    let parts = [
        host.cpu_ratio
            .map(|ratio| format!("CPU {:.1} %{cores}", ratio * 100.0)),
        host.load1
            .zip(host.load5)
            .map(|(one, five)| format!("load {one:.2} {five:.2}")),
        memory
            .and_then(used_percent)
            .map(|used| format!("memory {used:.1} %")),
        host.engine_disk
            .and_then(space)
            .map(|used| format!("disk {used:.1} %")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("Host: {}", parts.join(", ")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_host_is_shown_what_is_known() {
        let host = HostMetrics {
            cpu_ratio: Some(0.125),
            cores: Some(2),
            load1: Some(1.2),
            load5: Some(0.9),
            memory_available_bytes: Some(60),
            memory_total_bytes: Some(100),
            ..HostMetrics::default()
        };
        let line = host_line(&host);
        assert_eq!(
            line.as_deref(),
            Some("Host: CPU 12.5 % of 2 cores, load 1.20 0.90, memory 40.0 %")
        );
        assert_eq!(host_line(&HostMetrics::default()), None);
    }
}
