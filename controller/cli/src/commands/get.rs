//! `get`: lists, single objects and changes as they happen.

use std::time::Duration;

use aegis_api::KindInfo;
use futures::StreamExt;
use serde_json::Value;
use tokio::time::Instant;

use super::{Session, events};
use crate::client::watch::{Change, resource_version};
use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::printer::format::{self, Output};
use crate::printer::table::{Choice, Table, TablePrinter};
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
        return watch(args, session, &selection).await;
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

/// Named objects. One that is not there is told, the others are shown, and the command fails.
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

/// Shows what there is, then each change, until it is interrupted.
async fn watch(args: &GetArgs, session: &Session, selection: &Selection) -> Result<(), CliError> {
    let (info, query) = match selection {
        Selection::Kinds(kinds) => match kinds.as_slice() {
            [info] => (*info, args.query()),
            _ => return Err(CliError::Usage("-w takes one kind".to_owned())),
        },
        Selection::Objects(targets) => match targets.as_slice() {
            [target] => (
                target.info,
                ListQuery {
                    labels: args.selector.clone(),
                    ..ListQuery::named(&target.name)
                },
            ),
            _ => {
                return Err(CliError::Usage(
                    "-w takes one object, or all of a kind".to_owned(),
                ));
            }
        },
    };
    let mut view = View {
        args,
        session,
        info,
        printer: args.printer(info, false),
        documents: 0,
    };
    loop {
        let (mut since, count) = view.list(&query).await?;
        if count == 0
            && let Selection::Objects(targets) = selection
            && let [target] = targets.as_slice()
        {
            session.client.get(target, Shape::Objects).await?;
        }
        loop {
            let opened = Instant::now();
            let mut changes = match session.client.watch(info, &query, &since, view.shape()).await {
                Ok(changes) => changes,
                Err(error) if error.is_status(410) => break,
                Err(error) => return Err(error),
            };
            let mut expired = false;
            while let Some(change) = changes.next().await {
                match change {
                    Ok(event) => {
                        if let Some(version) = version_of(&event.object) {
                            since = version;
                        }
                        view.change(event.change, event.object)?;
                    }
                    Err(error) if error.is_status(410) => {
                        expired = true;
                        break;
                    }
                    // The next try tells whether there is still anybody to ask.
                    Err(CliError::Unreachable { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
            if expired {
                break;
            }
            tokio::time::sleep_until(opened + Duration::from_millis(250)).await;
        }
    }
}

/// The version that a change brought, of an object or of a table's row.
fn version_of(object: &Value) -> Option<String> {
    let of_row = || object.pointer("/rows/0/object").and_then(resource_version);
    of_row()
        .or_else(|| resource_version(object))
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
}

struct View<'a> {
    args: &'a GetArgs,
    session: &'a Session,
    info: &'static KindInfo,
    printer: TablePrinter,
    documents: usize,
}

impl View<'_> {
    fn shape(&self) -> Shape {
        if self.args.is_table() {
            Shape::Table
        } else {
            Shape::Objects
        }
    }

    /// Shows what there is; answers its version and how many objects there are.
    async fn list(&mut self, query: &ListQuery) -> Result<(String, usize), CliError> {
        let list = self.session.client.list(self.info, query, self.shape()).await?;
        let version = resource_version(&list)
            .filter(|version| !version.is_empty())
            .unwrap_or("0")
            .to_owned();
        if self.args.is_table() {
            let table = read_table(self.session, list)?;
            let text = if table.rows.is_empty() {
                String::new()
            } else {
                self.printer.print(&table, "")
            };
            self.session.console.write(&text)?;
            return Ok((version, table.rows.len()));
        }
        let items = list_items(self.info, list);
        let count = items.len();
        items.iter().try_for_each(|item| self.document(item))?;
        Ok((version, count))
    }

    fn change(&mut self, change: Change, object: Value) -> Result<(), CliError> {
        let note = match change {
            Change::Bookmark | Change::Error => return Ok(()),
            Change::Deleted => "(deleted)",
            Change::Added | Change::Modified => "",
        };
        if !self.args.is_table() {
            return self.document(&object);
        }
        let table = read_table(self.session, object)?;
        let text = self.printer.print(&table, note);
        self.session.console.write(&text)
    }

    fn document(&mut self, object: &Value) -> Result<(), CliError> {
        let text = format::data(&self.args.output, object)?;
        let separator = if self.documents > 0 && matches!(self.args.output, Output::Yaml) {
            "---\n"
        } else {
            ""
        };
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.documents += 1;
        self.session.console.write(&format!("{separator}{text}{end}"))
    }
}
