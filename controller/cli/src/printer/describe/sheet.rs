//! A page of fields, sections and tables. Pure; every text is made safe on its way in.

use serde_json::Value;

use crate::printer::columns::{Columns, indented};
use crate::printer::format;
use crate::text;

/// Collects a page.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    fields: Vec<Vec<String>>,
    out: String,
}

impl Sheet {
    /// `Name:   value`, on one line, aligned with the fields around it.
    pub(super) fn field(&mut self, name: &str, value: impl AsRef<str>) {
        self.fields
            .push(vec![format!("{name}:"), text::line(value.as_ref())]);
    }

    /// As [`Sheet::field`], where there is a value.
    pub(super) fn maybe(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// A heading of its own, over the fields that follow.
    pub(super) fn section(&mut self, name: &str) {
        self.flush();
        self.out.push_str(&format!("{name}:\n"));
    }

    /// Ends a section: what its fields were is moved below its heading.
    pub(super) fn end_section(&mut self) {
        let fields = Columns::default().lay_out(&std::mem::take(&mut self.fields));
        self.out.push_str(&indented(&fields, 2));
    }

    /// Several lines below a heading.
    pub(super) fn block(&mut self, name: &str, content: &str) {
        self.section(name);
        self.out.push_str(&indented(text::lines(content).trim_end(), 2));
    }

    /// A table that is laid out already, below a heading; `None` says so.
    pub(super) fn table(&mut self, name: &str, table: Option<&str>) {
        match table {
            Some(table) => {
                self.section(name);
                self.out.push_str(&indented(table, 2));
            }
            None => self.field(name, "<none>"),
        }
    }

    /// A value as YAML below a heading; nothing where there is nothing in it.
    pub(super) fn data(&mut self, name: &str, value: &Value) {
        if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) {
            return;
        }
        if let Ok(written) = format::yaml(value) {
            self.block(name, &written);
        }
    }

    /// The page.
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        let fields = Columns::default().lay_out(&std::mem::take(&mut self.fields));
        self.out.push_str(&fields);
    }
}
