//! The server's tables: it chooses columns and cells, this chooses which to show and where they stand. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::columns::Columns;
use super::jsonpath::plain;
use crate::text;

/// A `meta.k8s.io/v1` Table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Table {
    pub(crate) kind: String,
    pub(crate) metadata: ListMeta,
    pub(crate) column_definitions: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// A list's metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListMeta {
    pub(crate) resource_version: String,
}

/// One column.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// 0: always shown; above: with `-o wide`.
    pub(crate) priority: i64,
}

/// One object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) cells: Vec<Value>,
    pub(crate) object: Value,
}

/// What of a table is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice {
    pub(crate) wide: bool,
    pub(crate) labels: bool,
    pub(crate) headers: bool,
}

/// Writes the tables of one kind, one after another, into the same columns.
#[derive(Debug)]
pub(crate) struct TablePrinter {
    choice: Choice,
    /// Put before names, such as `workload/`, where several kinds are shown.
    prefix: String,
    definitions: Vec<Column>,
    columns: Columns,
    headed: bool,
}

impl TablePrinter {
    pub(crate) fn new(choice: Choice, prefix: &str) -> Self {
        Self {
            choice,
            prefix: prefix.to_owned(),
            definitions: Vec::new(),
            columns: Columns::default(),
            headed: false,
        }
    }

    /// The table's rows as text; under the headers the first time. `note` is appended to each row.
    pub(crate) fn print(&mut self, table: &Table, note: &str) -> String {
        // A watch sends the columns in its first table only.
        if !table.column_definitions.is_empty() {
            self.definitions.clone_from(&table.column_definitions);
        }
        let mut rows = Vec::new();
        if self.choice.headers && !self.headed {
            self.headed = true;
            rows.push(self.header());
        }
        rows.extend(table.rows.iter().map(|row| self.row(row, note)));
        self.columns.lay_out(&rows)
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        let wide = self.choice.wide;
        self.definitions
            .iter()
            .enumerate()
            .filter(move |(_, column)| wide || column.priority == 0)
    }

    fn header(&self) -> Vec<String> {
        let names = self
            .shown()
            .map(|(_, column)| text::line(&column.name).to_uppercase());
        names
            .chain(self.choice.labels.then(|| "LABELS".to_owned()))
            .collect()
    }

    fn row(&self, row: &Row, note: &str) -> Vec<String> {
        let mut cells: Vec<String> = self
            .shown()
            .map(|(index, _)| row.cells.get(index).map_or_else(String::new, cell))
            .collect();
        if let Some(name) = cells.first_mut() {
            name.insert_str(0, &self.prefix);
        }
        if self.choice.labels {
            cells.push(labels(&row.object));
        }
        if !note.is_empty() {
            cells.push(note.to_owned());
        }
        cells
    }
}

/// One cell on one line: the first line of several, with an ellipsis.
fn cell(value: &Value) -> String {
    let content = match value {
        Value::Null => String::new(),
        value => plain(value),
    };
    match content.split_once('\n') {
        Some((first, rest)) if !rest.trim().is_empty() => format!("{}...", text::line(first)),
        _ => text::line(&content),
    }
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(object: &Value) -> String {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let pairs: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        text::line(&pairs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        serde_json::from_value(json!({
            "kind": "Table", "metadata": {"resourceVersion": "7"},
            "columnDefinitions": [{"name": "Name"}, {"name": "Ready", "priority": 0}, {"name": "Message", "priority": 1}],
            "rows": [
                {"cells": ["web", 2, "line one\nline two"], "object": {"metadata": {"labels": {"app": "web"}}}},
                {"cells": ["buggy-app-v2", null, "\u{1b}[31mred"], "object": {"metadata": {}}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_table_shows_the_servers_columns() {
        let choice = Choice {
            headers: true,
            ..Choice::default()
        };
        insta::assert_snapshot!(TablePrinter::new(choice, "").print(&table(), ""), @r"
        NAME           READY
        web            2
        buggy-app-v2
        ");
    }

    #[test]
    fn i11_wide_with_labels_and_prefix_is_one_safe_line_a_row() {
        let choice = Choice {
            headers: true,
            wide: true,
            labels: true,
        };
        insta::assert_snapshot!(TablePrinter::new(choice, "workload/").print(&table(), ""), @r"
        NAME                    READY   MESSAGE       LABELS
        workload/web            2       line one...   app=web
        workload/buggy-app-v2           \x1b[31mred   <none>
        ");
    }

    #[test]
    fn a_watch_prints_its_headers_once_and_keeps_its_columns() {
        let mut printer = TablePrinter::new(
            Choice {
                headers: true,
                ..Choice::default()
            },
            "",
        );
        printer.print(&table(), "");
        let mut change = table();
        change.column_definitions.clear();
        change.rows.truncate(1);
        assert_eq!(
            printer.print(&change, "(deleted)"),
            "web            2       (deleted)\n"
        );
    }
}
