//! `events`: what the controller noted about objects.

use futures::StreamExt;
use serde_json::Value;

use crate::client::watch::{Change, resource_version};
use crate::error::CliError;
use crate::printer::age::now;
use crate::printer::columns::Columns;
use crate::printer::describe::{event_row, event_time};
use crate::printer::format::{self, Output};
use crate::session::Session;
use crate::target::objects;

/// List what the controller noted about objects, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Only about this object
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Goes on with new ones
    #[arg(short, long)]
    watch: bool,
    /// table, yaml, json, name, jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

pub(crate) async fn run(args: &EventsArgs, session: &Session) -> Result<(), CliError> {
    let fields = match &args.about {
        None => None,
        Some(about) => {
            let targets = objects(std::slice::from_ref(about))?;
            let target = targets
                .first()
                .ok_or_else(|| CliError::Usage("--for takes KIND/NAME".to_owned()))?;
            Some(format!(
                "involvedObject.kind={},involvedObject.name={}",
                target.info.kind, target.name
            ))
        }
    };
    show(session, &args.output, args.watch, fields.as_deref()).await
}

/// Writes Events in this format; with `watch`, those to come as well.
pub(super) async fn show(
    session: &Session,
    output: &Output,
    watch: bool,
    fields: Option<&str>,
) -> Result<(), CliError> {
    let list = session.client.events(fields).await?;
    let mut since = resource_version(&list)
        .filter(|version| !version.is_empty())
        .unwrap_or("0")
        .to_owned();
    let mut items = list
        .get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    items.sort_by_key(event_time);
    let mut view = View {
        session,
        output,
        columns: Columns::default(),
    };
    if matches!(output, Output::Table | Output::Wide) {
        view.table(&items, true)?;
    } else {
        session
            .console
            .write(&format::data(output, &format::list(&items))?)?;
    }
    if items.is_empty() && !watch {
        session.console.remark("No events found.");
    }
    if !watch {
        return Ok(());
    }
    loop {
        let opened = tokio::time::Instant::now();
        let mut changes = session.client.watch_events(fields, &since).await?;
        while let Some(change) = changes.next().await {
            let event = match change {
                Ok(event) => event,
                Err(CliError::Unreachable { .. }) => break,
                // The oldest ones are forgotten: what is kept is shown.
                Err(error) if error.is_status(410) => {
                    "0".clone_into(&mut since);
                    break;
                }
                Err(error) => return Err(error),
            };
            if let Some(version) = resource_version(&event.object).filter(|version| !version.is_empty()) {
                version.clone_into(&mut since);
            }
            if matches!(event.change, Change::Added | Change::Modified) {
                view.one(&event.object)?;
            }
        }
        tokio::time::sleep_until(opened + std::time::Duration::from_millis(250)).await;
    }
}

struct View<'a> {
    session: &'a Session,
    output: &'a Output,
    columns: Columns,
}

impl View<'_> {
    fn table(&mut self, items: &[Value], header: bool) -> Result<(), CliError> {
        let now = now();
        let mut rows: Vec<Vec<String>> = items.iter().map(|event| event_row(event, now, true)).collect();
        if header && !rows.is_empty() {
            let names = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
            rows.insert(0, names.iter().map(ToString::to_string).collect());
        }
        let text = self.columns.lay_out(&rows);
        self.session.console.write(&text)
    }

    fn one(&mut self, event: &Value) -> Result<(), CliError> {
        if matches!(self.output, Output::Table | Output::Wide) {
            return self.table(std::slice::from_ref(event), false);
        }
        let text = format::data(self.output, event)?;
        let separator = if matches!(self.output, Output::Yaml) {
            "---\n"
        } else {
            ""
        };
        self.session.console.write(&format!("{separator}{text}"))
    }
}
