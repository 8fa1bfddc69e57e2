//! `logs`: the log lines of a Workload's containers.

use aegis_api::workload::WorkloadStatus;
use futures::stream::{BoxStream, StreamExt, select_all};
use serde_json::Value;

use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::session::Session;
use crate::target::{Target, objects};
use crate::text;

/// Show the log lines of a Workload, or of one of its containers
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// workload/NAME, a Workload's name, or a container's name
    #[arg(value_name = "WORKLOAD|CONTAINER")]
    name: String,
    /// Goes on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Only this container; without it, all of them, each line under its container's name
    #[arg(short, long, value_name = "CONTAINER")]
    container: Option<String>,
    /// How many lines from the end
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
    /// Begins each line with its time
    #[arg(long)]
    timestamps: bool,
}

pub(crate) async fn run(args: &LogsArgs, session: &Session) -> Result<(), CliError> {
    let (workload, containers) = find(args, session).await?;
    let width = containers
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or_default();
    let several = containers.len() > 1;
    let mut streams = Vec::new();
    for container in containers {
        let tail = args.tail.to_string();
        let mut query = vec![("container", container.as_str()), ("tailLines", tail.as_str())];
        query.extend(args.follow.then_some(("follow", "true")));
        query.extend(args.timestamps.then_some(("timestamps", "true")));
        let lines =
            session
                .client
                .logs(&workload, &query)
                .await
                .map_err(|error| match error.is_not_found() {
                    true => {
                        CliError::NotFound(format!("no log of container {container} of {workload}: {error}"))
                    }
                    false => error,
                })?;
        let prefix = if several {
            format!("{container:<width$} | ")
        } else {
            String::new()
        };
        let lines: BoxStream<'static, Result<String, CliError>> = lines
            .map(move |line| line.map(|line| format!("{prefix}{}", text::lines(&line))))
            .boxed();
        streams.push(lines);
    }
    // One after another where they end; as they come where they go on.
    let mut lines = match args.follow {
        true => select_all(streams).boxed(),
        false => futures::stream::iter(streams).flatten().boxed(),
    };
    while let Some(line) = lines.next().await {
        session.console.line(line?)?;
    }
    Ok(())
}

/// The Workload, and which of its containers. A name that is no Workload's may be a container's.
async fn find(args: &LogsArgs, session: &Session) -> Result<(Target, Vec<String>), CliError> {
    let info = aegis_api::KindInfo::of::<aegis_api::Workload>();
    let as_workload = match args.name.contains('/') {
        true => objects(std::slice::from_ref(&args.name)),
        false => objects(&[info.singular.clone(), args.name.clone()]),
    };
    if let Ok([target]) = as_workload.as_deref() {
        if target.info.kind != info.kind {
            return Err(CliError::Usage(format!(
                "{target}: logs are those of Workloads and their containers"
            )));
        }
        if let Some(object) = session.client.find(target).await? {
            let containers = match &args.container {
                Some(container) => vec![container.clone()],
                None => containers_of(&object),
            };
            if containers.is_empty() {
                return Err(CliError::NotFound(format!("{target} has no containers yet")));
            }
            return Ok((target.clone(), containers));
        }
    }
    if args.name.contains('/') {
        as_workload?;
    }
    let list = session
        .client
        .list(info, &ListQuery::default(), Shape::Objects)
        .await?;
    let items = list
        .get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let owner = items.iter().find(|item| containers_of(item).contains(&args.name));
    let name = owner.and_then(|owner| owner.pointer("/metadata/name")?.as_str());
    match name {
        Some(name) => Ok((
            Target {
                info,
                name: name.to_owned(),
            },
            vec![args.name.clone()],
        )),
        None => {
            let name = text::line(&args.name);
            Err(CliError::NotFound(format!(
                "there is no Workload, and no container of a Workload, named {name:?}"
            )))
        }
    }
}

fn containers_of(workload: &Value) -> Vec<String> {
    let status = workload.get("status").cloned().unwrap_or_default();
    let status: WorkloadStatus = serde_json::from_value(status).unwrap_or_default();
    status
        .instances
        .into_iter()
        .map(|instance| instance.name)
        .collect()
}
