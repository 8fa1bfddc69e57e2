//! Tables: what `kubectl get` prints. Columns come from the kind's own definition. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use aegis_api::{KINDS, KindInfo, Time};
use serde_json::{Map, Value, json};

use super::age::age;
use super::jsonpath::JsonPath;
use super::query::Include;

/// One column.
pub(super) struct Column {
    definition: Value,
    kind: CellKind,
    path: JsonPath,
    /// What the schema says of a field that is not written.
    default: Value,
}

#[derive(Clone, Copy)]
enum CellKind {
    Plain,
    Date,
    /// An object reference, shown as `workload/web`.
    Reference,
}

static COLUMNS: LazyLock<HashMap<&'static str, Vec<Column>>> =
    LazyLock::new(|| KINDS.iter().map(|info| (info.plural, of_kind(info))).collect());

/// The columns of a kind, its name first.
pub(super) fn columns(info: &KindInfo) -> &'static [Column] {
    COLUMNS.get(info.plural).map(Vec::as_slice).unwrap_or_default()
}

fn of_kind(info: &KindInfo) -> Vec<Column> {
    let mut columns: Vec<Column> = column("Name", "string", ".metadata.name", 0, "name")
        .into_iter()
        .collect();
    let schema = info.schema();
    columns.extend(info.columns.iter().filter_map(|defined| {
        let priority = defined.priority.unwrap_or_default();
        let column = column(&defined.name, &defined.type_, &defined.json_path, priority, "")?;
        let pointer = format!("{}/default", defined.json_path.replace('.', "/properties/"));
        Some(Column {
            default: schema.pointer(&pointer).cloned().unwrap_or_default(),
            ..column
        })
    }));
    columns
}

pub(super) fn column(name: &str, kind: &str, path: &str, priority: i32, format: &str) -> Option<Column> {
    Some(Column {
        definition: json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority}),
        kind: if kind == "date" {
            CellKind::Date
        } else {
            CellKind::Plain
        },
        path: JsonPath::parse(path)?,
        default: Value::Null,
    })
}

/// A column that shows an object reference.
pub(super) fn reference(name: &str, path: &str) -> Option<Column> {
    column(name, "string", path, 0, "").map(|column| Column {
        kind: CellKind::Reference,
        ..column
    })
}

/// A table of these objects. `header: false` leaves the column definitions out.
pub(super) fn table<'a>(
    columns: &[Column],
    objects: impl IntoIterator<Item = &'a Value>,
    revision: u64,
    include: Include,
    header: bool,
    now: Time,
) -> Value {
    let rows = objects
        .into_iter()
        .map(|object| row(columns, object, include, now));
    let header = if header { columns } else { &[] };
    let mut table = head(header, json!({"resourceVersion": revision.to_string()}));
    table.insert("rows".to_owned(), rows.collect());
    table.into()
}

/// A table but for its rows.
pub(super) fn head(columns: &[Column], metadata: Value) -> Map<String, Value> {
    let definitions: Value = columns.iter().map(|column| column.definition.clone()).collect();
    let fields = [
        ("kind", "Table".into()),
        ("apiVersion", "meta.k8s.io/v1".into()),
        ("metadata", metadata),
        ("columnDefinitions", definitions),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    fields.collect()
}

/// An object as a row.
pub(super) fn row(columns: &[Column], object: &Value, include: Include, now: Time) -> Value {
    let cells: Value = columns.iter().map(|column| cell(column, object, now)).collect();
    match include {
        Include::None => json!({"cells": cells}),
        Include::Object => json!({"cells": cells, "object": object}),
        Include::Metadata => {
            let (kind, version) = ("PartialObjectMetadata", "meta.k8s.io/v1");
            let partial = json!({"kind": kind, "apiVersion": version, "metadata": object.get("metadata")});
            json!({"cells": cells, "object": partial})
        }
    }
}

fn cell(column: &Column, object: &Value, now: Time) -> Value {
    let found = column.path.find(object).unwrap_or(&column.default);
    let part = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    match (column.kind, found.as_str()) {
        (CellKind::Date, Some(text)) => text
            .parse::<Time>()
            .map_or("<unknown>".into(), |then| age(then, now).into()),
        (CellKind::Reference, _) => format!("{}/{}", part("kind").to_lowercase(), part("name")).into(),
        _ => found.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;

    fn now() -> Time {
        "2026-01-31T12:05:00Z".parse().unwrap()
    }

    #[test]
    fn a_workload_is_a_row_of_the_columns_of_its_kind() {
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-31T12:00:00Z"},
            "spec": {"container": "web", "replicas": 2},
            "status": {"readyReplicas": 1, "updatedReplicas": 2,
                "conditions": [{"type": "Progressing", "reason": "No"}, {"type": "Ready", "reason": "Probing"}]},
        });
        let table = table(
            columns(find("wl").unwrap()),
            [&object],
            7,
            Include::Metadata,
            true,
            now(),
        );
        let names: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.first(), Some(&"Name"));
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        let cell = |name: &str| &cells[names.iter().position(|n| *n == name).unwrap()];
        assert_eq!(*cell("Desired"), json!(2));
        assert_eq!(*cell("Status"), json!("Probing"));
        assert_eq!(*cell("Image"), Value::Null);
        assert_eq!(*cell("Age"), json!("5m"));
        assert_eq!(table["metadata"]["resourceVersion"], "7");
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    }

    #[test]
    fn a_row_carries_what_was_asked_for() {
        let object = json!({"metadata": {"name": "web"}, "spec": {}});
        let columns = columns(find("inc").unwrap());
        let full = table(columns, [&object], 1, Include::Object, false, now());
        assert_eq!(full["rows"][0]["object"], object);
        assert_eq!(full["columnDefinitions"], json!([]));
        assert!(
            table(columns, [&object], 1, Include::None, true, now())["rows"][0]
                .get("object")
                .is_none()
        );
    }
}
