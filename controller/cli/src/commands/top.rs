//! `top`: what containers use right now.

use aegis_api::Workload;
use aegis_api::wire::ContainerMetrics;
use clap::ValueEnum;

use crate::client::Shape;
use crate::error::CliError;
use crate::printer::columns::Columns;
use crate::session::Session;
use crate::target::object_of;
use crate::text;

/// Show the CPU and memory that containers use, the hungriest first
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
    let mut table: Vec<Vec<String>> = Vec::new();
    if !args.no_headers {
        let head = ["NAME", "CPU", "MEMORY", "LIMIT", "MEMORY%", "STATE"];
        table.push(head.iter().map(ToString::to_string).collect());
    }
    table.extend(rows.iter().map(|row| {
        vec![
            text::line(&row.name),
            format!("{:.1} %", row.cpu_percent),
            format!("{:.1} MiB", row.memory_mb),
            format!("{:.0} MiB", row.memory_limit_mb),
            format!("{:.1} %", row.memory_percent),
            row.status.to_string(),
        ]
    }));
    session.console.write(&Columns::default().lay_out(&table))
}

async fn containers(what: &[String], session: &Session) -> Result<Vec<String>, CliError> {
    let target = object_of(what, "Workload")?;
    let live = session.client.get(&target, Shape::Objects).await?;
    let workload: Workload = serde_json::from_value(live)
        .map_err(|error| CliError::Failed(format!("{target} cannot be read: {error}")))?;
    let instances = workload.status.unwrap_or_default().instances;
    Ok(instances.into_iter().map(|instance| instance.name).collect())
}
