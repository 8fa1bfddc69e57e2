//! `get`: lists and single objects; changes as they happen are in [`watch`].

mod watch;

use aegis_api::KindInfo;
use serde_json::Value;

use super::events;
use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::printer::format::{self, Output};
use crate::printer::table::{Choice, Table, TablePrinter};
use crate::session::Session;
use crate::target::{Selection, Target, select};

/// List objects, or show some by name
///
/// Examples: `get workloads`, `get wl/buggy-app-v2 -o yaml`, `get all`, `get wl,inc -w`,
/// `get inc manual-1 -o jsonpath='{.status.phase}'`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// KIND, KIND NAME…, KIND/NAME…, several kinds as a,b, or all
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// table, wide, yaml, json, name, jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// Goes on with every change
    #[arg(short, long)]
    watch: bool,
    /// Only objects with these labels, such as app=web,tier!=test
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Only objects with these fields, such as metadata.name=web
    #[arg(long, value_name = "FIELDS")]
    field_selector: Option<String>,
    /// Leaves out the line of column names
    #[arg(long)]
    no_headers: bool,
    /// Adds a column of labels
    #[arg(long)]
    show_labels: bool,
}

impl GetArgs {
    fn query(&self) -> ListQuery {
        ListQuery {
            labels: self.selector.clone(),
            fields: self.field_selector.clone(),
        }
    }

    fn is_table(&self) -> bool {
        matches!(self.output, Output::Table | Output::Wide)
    }

    fn printer(&self, info: &KindInfo, several: bool) -> TablePrinter {
        let wide = matches!(self.output, Output::Wide);
        let choice = Choice {
            wide,
            labels: self.show_labels,
            headers: !self.no_headers,
        };
        let prefix = if several {
            format!("{}/", info.singular)
        } else {
            String::new()
        };
        TablePrinter::new(choice, &prefix)
    }
}

pub(crate) async fn run(args: &GetArgs, session: &Session) -> Result<(), CliError> {
    if let [kind] = args.what.as_slice()
        && ["events", "event", "ev"].contains(&kind.to_lowercase().as_str())
    {
        return events::show(session, &args.output, args.watch, args.field_selector.as_deref()).await;
    }
    let selection = select(&args.what)?;
    if args.watch {
        return watch::watch(args, session, &selection).await;
    }
    match selection {
        Selection::Kinds(kinds) if args.is_table() => tables(args, session, &kinds).await,
        Selection::Kinds(kinds) => {
            let mut items = Vec::new();
            for info in kinds {
                let list = session.client.list(info, &args.query(), Shape::Objects).await?;
                items.extend(list_items(info, list));
            }
            session
                .console
                .write(&format::data(&args.output, &format::list(&items))?)
        }
        Selection::Objects(targets) => objects(args, session, &targets).await,
    }
}

/// The objects of a list, each with its kind: lists leave it out.
fn list_items(info: &KindInfo, mut list: Value) -> Vec<Value> {
    let items = list
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .map(std::mem::take)
        .unwrap_or_default();
    let with_kind = items.into_iter().map(|mut item| {
        if let Some(item) = item.as_object_mut() {
            item.entry("apiVersion")
                .or_insert_with(|| aegis_api::API_VERSION.into());
            item.entry("kind").or_insert_with(|| info.kind.into());
        }
        item
    });
    with_kind.collect()
}

async fn tables(args: &GetArgs, session: &Session, kinds: &[&'static KindInfo]) -> Result<(), CliError> {
    let mut shown = 0;
    for info in kinds {
        let list = session.client.list(info, &args.query(), Shape::Table).await?;
        let table = read_table(session, list)?;
        if table.rows.is_empty() {
            continue;
        }
        let gap = if shown > 0 { "\n" } else { "" };
        shown += 1;
        let text = args.printer(info, kinds.len() > 1).print(&table, "");
        session.console.write(&format!("{gap}{text}"))?;
    }
    if shown == 0 {
        session.console.remark("No resources found.");
    }
    Ok(())
}

/// Named objects. One that is not there is reported, the others are shown, and the command fails.
async fn objects(args: &GetArgs, session: &Session, targets: &[Target]) -> Result<(), CliError> {
    let mut missing = None;
    let mut items = Vec::new();
    let several = targets
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.info.kind != b.info.kind));
    let mut printer: Option<(&'static str, TablePrinter)> = None;
    for target in targets {
        let shape = if args.is_table() {
            Shape::Table
        } else {
            Shape::Objects
        };
        let answer = match session.client.get(target, shape).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => {
                if targets.len() > 1 {
                    session.console.remark(format!("error: {error}"));
                }
                missing.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if !args.is_table() {
            items.push(answer);
            continue;
        }
        let table = read_table(session, answer)?;
        let (_, printer) = match &mut printer {
            Some(known) if known.0 == target.info.kind => known,
            slot => {
                let gap = if slot.is_some() { "\n" } else { "" };
                session.console.write(gap)?;
                slot.insert((target.info.kind, args.printer(target.info, several)))
            }
        };
        session.console.write(&printer.print(&table, ""))?;
    }
    if !args.is_table() && !items.is_empty() {
        let value = match (targets.len(), items.len()) {
            (1, 1) => items.pop().unwrap_or_default(),
            _ => format::list(&items),
        };
        session.console.write(&format::data(&args.output, &value)?)?;
    }
    missing.map_or(Ok(()), Err)
}

fn read_table(session: &Session, value: Value) -> Result<Table, CliError> {
    let protocol = |cause: String| CliError::Protocol {
        server: session.client.server().to_owned(),
        cause,
    };
    let table: Table = serde_json::from_value(value)
        .map_err(|error| protocol(format!("its table cannot be read ({error})")))?;
    if table.kind == "Table" {
        Ok(table)
    } else {
        Err(protocol("it sent no table".to_owned()))
    }
}
