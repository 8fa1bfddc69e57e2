//! `get -w`: what there is, then each change.

use std::time::Duration;

use aegis_api::KindInfo;
use futures::StreamExt;
use serde_json::Value;
use tokio::time::Instant;

use super::{GetArgs, list_items, read_table};
use crate::client::watch::{Change, Changes, resource_version};
use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::printer::format::{self, Output};
use crate::printer::table::TablePrinter;
use crate::session::Session;
use crate::target::Selection;

/// Shows what there is, then each change, until it is interrupted.
pub(super) async fn watch(args: &GetArgs, session: &Session, selection: &Selection) -> Result<(), CliError> {
    let (info, query) = watched(args, selection)?;
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
            if view.follow(&mut changes, &mut since).await? == Ended::Expired {
                break;
            }
            tokio::time::sleep_until(opened + Duration::from_millis(250)).await;
        }
    }
}

/// The kind and the objects of it that are watched.
fn watched(args: &GetArgs, selection: &Selection) -> Result<(&'static KindInfo, ListQuery), CliError> {
    match selection {
        Selection::Kinds(kinds) => match kinds.as_slice() {
            [info] => Ok((*info, args.query())),
            _ => Err(CliError::Usage("-w takes one kind".to_owned())),
        },
        Selection::Objects(targets) => match targets.as_slice() {
            [target] => {
                let query = ListQuery {
                    labels: args.selector.clone(),
                    ..ListQuery::named(&target.name)
                };
                Ok((target.info, query))
            }
            _ => Err(CliError::Usage(
                "-w takes one object, or all of a kind".to_owned(),
            )),
        },
    }
}

/// Why a stream of changes came to its end.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The server knows no more what came after that version: all has to be listed again.
    Expired,
    /// The connection was cut.
    Cut,
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

    /// Shows changes as they come; `since` becomes the version of the last one.
    async fn follow(&mut self, changes: &mut Changes, since: &mut String) -> Result<Ended, CliError> {
        while let Some(change) = changes.next().await {
            match change {
                Ok(event) => {
                    if let Some(version) = version_of(&event.object) {
                        *since = version;
                    }
                    self.change(event.change, event.object)?;
                }
                Err(error) if error.is_status(410) => return Ok(Ended::Expired),
                // The next try shows whether there is still a server to ask.
                Err(CliError::Unreachable { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Ended::Cut)
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
