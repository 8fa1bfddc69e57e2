//! `explain`: the fields of a kind, from the schema that this program was built with. Needs no server.

use aegis_api::{API_VERSION, KindInfo};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::error::CliError;
use crate::printer::columns::{Columns, indented};
use crate::target::{Selection, select};

/// Explain a kind or one of its fields, such as workload.spec.health
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// KIND or KIND.field.field
    #[arg(value_name = "KIND[.FIELD]")]
    path: String,
    /// All fields, to the last one
    #[arg(long)]
    recursive: bool,
}

pub(crate) fn run(args: &ExplainArgs, console: &Console) -> Result<(), CliError> {
    let mut path = args.path.split('.').filter(|part| !part.is_empty());
    let kind = path.next().unwrap_or_default().to_owned();
    let infos = match select(std::slice::from_ref(&kind))? {
        Selection::Kinds(kinds) => kinds,
        Selection::Objects(_) => Vec::new(),
    };
    let [info] = infos.as_slice() else {
        return Err(CliError::Usage(format!("explain takes one kind, not {kind:?}")));
    };
    console.write(&page(info, &path.collect::<Vec<_>>(), args.recursive)?)
}

fn page(info: &KindInfo, path: &[&str], recursive: bool) -> Result<String, CliError> {
    let mut node = whole(info);
    let mut walked = info.singular.clone();
    for name in path {
        let fields = fields(&node);
        let Some(inner) = fields.get(*name) else {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            return Err(CliError::Usage(format!(
                "{walked} has no field {name:?}; its fields are {known}"
            )));
        };
        node = inner.clone();
        walked = format!("{walked}.{name}");
    }
    let mut head = vec![
        vec!["KIND:".to_owned(), info.kind.to_owned()],
        vec!["VERSION:".to_owned(), API_VERSION.to_owned()],
    ];
    if let Some(name) = path.last() {
        head.push(vec![
            "FIELD:".to_owned(),
            format!("{name} <{}>{}", type_of(&node), details(&node)),
        ]);
    }
    let mut out = Columns::default().lay_out(&head);
    out.push_str(&format!("\nDESCRIPTION:\n{}", indented(&description(&node), 4)));
    if !fields(&node).is_empty() {
        out.push_str("\nFIELDS:\n");
        list(&node, 2, recursive, &mut out);
    }
    Ok(out)
}

/// The schema with what every object has.
fn whole(info: &KindInfo) -> Value {
    let mut schema = info.schema();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let text = |words: &str| json!({"type": "string", "description": words});
        let texts = |words: &str| json!({"type": "object", "description": words, "additionalProperties": {"type": "string"}});
        properties.insert("apiVersion".to_owned(), text(&format!("Always {API_VERSION}.")));
        properties.insert("kind".to_owned(), text(&format!("Always {}.", info.kind)));
        let metadata = json!({"type": "object", "description": "Name, labels and annotations.", "required": ["name"],
        "properties": {
            "name": text("Its name: lower-case letters, digits, '-' and '.'."),
            "labels": texts("For selecting objects."),
            "annotations": texts("For programs to keep notes."),
        }});
        properties.insert("metadata".to_owned(), metadata);
    }
    schema
}

/// The fields of an object, of the items of a list, or of the values of a map.
fn fields(node: &Value) -> Map<String, Value> {
    let inner = node
        .get("items")
        .or_else(|| node.get("additionalProperties"))
        .unwrap_or(node);
    inner
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn type_of(node: &Value) -> String {
    let own = node.get("type").and_then(Value::as_str).unwrap_or("any");
    match (node.get("items"), node.get("additionalProperties")) {
        (Some(items), _) => format!("[]{}", type_of(items)),
        (None, Some(values)) if values.is_object() => format!("map[string]{}", type_of(values)),
        _ if own == "object" => "Object".to_owned(),
        _ => own.to_owned(),
    }
}

/// What may be written there.
fn details(node: &Value) -> String {
    let inner = node.get("items").unwrap_or(node);
    let mut out = String::new();
    let choices: Vec<String> = inner
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|one| !one.is_null())
        .map(crate::printer::jsonpath::plain)
        .collect();
    if !choices.is_empty() {
        out.push_str(&format!(" one of {}", choices.join(", ")));
    }
    let bound = |name: &str| inner.get(name).and_then(Value::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(min), Some(max)) => out.push_str(&format!(" {min} to {max}")),
        (Some(min), None) => out.push_str(&format!(" {min} or more")),
        (None, Some(max)) => out.push_str(&format!(" {max} or less")),
        (None, None) => {}
    }
    if let Some(default) = node
        .get("default")
        .filter(|default| !default.is_object() && !default.is_array())
    {
        out.push_str(&format!(" default {default}"));
    }
    out
}

fn description(node: &Value) -> String {
    let words = node
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or("(no words)");
    crate::text::lines(words).into_owned()
}

fn list(node: &Value, indent: usize, recursive: bool, out: &mut String) {
    let inner = node
        .get("items")
        .or_else(|| node.get("additionalProperties"))
        .unwrap_or(node);
    let required: Vec<&str> = inner
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in fields(node) {
        let must = if required.contains(&name.as_str()) {
            " -required-"
        } else {
            ""
        };
        let pad = " ".repeat(indent);
        out.push_str(&format!(
            "{pad}{name}\t<{}>{}{must}\n",
            type_of(&field),
            details(&field)
        ));
        if recursive {
            list(&field, indent + 2, recursive, out);
        } else {
            out.push_str(&indented(&description(&field), indent + 2));
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(path: &str, recursive: bool) -> String {
        let (console, out, _) = Console::captured();
        match run(
            &ExplainArgs {
                path: path.to_owned(),
                recursive,
            },
            &console,
        ) {
            Ok(()) => out.text(),
            Err(error) => format!("error {}: {error}", error.exit_code()),
        }
    }

    #[test]
    fn a_field_shows_its_type_its_bounds_and_what_it_is_for() {
        let text = explained("workload.spec.replicas", false);
        assert!(
            text.contains("FIELD:") && text.contains("replicas <integer> 0 to 200 default 1"),
            "{text}"
        );
        assert!(text.contains("How many containers there should be"), "{text}");
    }

    #[test]
    fn choices_and_required_fields_are_named() {
        assert!(explained("rp.spec.mode", false).contains("one of Auto, Approve, DryRun, Off"));
        assert!(explained("lb.spec.backends", false).contains("upstream\t<string> -required-"));
    }

    #[test]
    fn every_kind_is_explained_to_the_last_field() {
        for info in aegis_api::KINDS.iter() {
            let text = explained(&info.singular, true);
            assert!(
                text.contains("spec\t<Object>") && text.contains("metadata\t<Object>"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_field_that_is_none_names_those_that_are() {
        let text = explained("wl.spec.replicaz", false);
        assert!(
            text.contains("error 2: workload.spec has no field \"replicaz\"") && text.contains("replicas"),
            "{text}"
        );
    }
}
