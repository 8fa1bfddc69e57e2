//! What people write: reading it with errors they can act on, and writing it for those who use the API. Pure.

use aegis_api::defaults::Defaults;
use aegis_api::yaml::{self, Document, Position};
use aegis_api::{FieldError, KindInfo};
use serde_json::Value;

use super::layout::Key;
use crate::store::bounds;
use crate::store::object::Desired;

/// The largest file that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// How many errors of one file are reported; the rest are counted.
const ERRORS_SHOWN: usize = 5;
/// Metadata that people write.
const METADATA: [&str; 4] = ["name", "labels", "annotations", "ownerReferences"];
/// Metadata that a copy of an object carries and that is ignored.
const IGNORED: [&str; 11] = [
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "managedFields",
    "generateName",
    "selfLink",
];

/// Reads a person's file. The error says what is wrong, where, and what is allowed.
pub(crate) fn parse(key: &Key, bytes: &[u8], defaults: &Defaults) -> Result<Desired, String> {
    if bytes.len() > MAX_BYTES {
        return Err(too_large(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        format!(
            "line {line}, column {column}: the byte 0x{byte:02X} is no UTF-8 text, as in files of Windows-1252 or Latin-1: \
             save the file as UTF-8"
        )
    })?;
    let documents = yaml::parse(text).map_err(|error| error.to_string())?;
    let mut documents = documents.into_iter();
    let Some(document) = documents.next() else {
        return Err(format!(
            "the file is empty: write one {}, or delete the file",
            key.info.kind
        ));
    };
    if let Some(second) = documents.next() {
        let place = second.position("").map(at).unwrap_or_default();
        return Err(format!("{place}a second document: one file holds one object"));
    }
    let errors = match check_envelope(key.info, Some(&key.name), &document.value) {
        errors if !errors.is_empty() => errors,
        _ => match key.info.decode_with(bare(key, &document.value), defaults) {
            Ok((value, _)) => return Ok(Desired::of(&value)),
            Err(errors) => errors,
        },
    };
    Err(summary(&document, errors))
}

/// What is said of a file that was not even read.
pub(crate) fn too_large(bytes: impl std::fmt::Display) -> String {
    format!("the file has {bytes} bytes: {MAX_BYTES} at most are read")
}

/// Checks what surrounds a spec: apiVersion, kind, the names of metadata, and how much it all is. `name` is the one it must have.
pub(crate) fn check_envelope(info: &KindInfo, name: Option<&str>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !object.is_object() {
        errors.push(FieldError::invalid(
            "",
            shown(object),
            format!("write a {} with metadata and spec", info.kind),
        ));
        return errors;
    }
    let mut must_be = |field: &str, wanted: &str, found: Option<&Value>| {
        if let Some(found) = found.filter(|found| found.as_str() != Some(wanted)) {
            errors.push(FieldError::invalid(
                field,
                shown(found),
                format!("must be {wanted:?} here"),
            ));
        }
    };
    must_be("apiVersion", aegis_api::API_VERSION, object.get("apiVersion"));
    must_be("kind", info.kind, object.get("kind"));
    let metadata = object.get("metadata");
    if let Some(name) = name {
        must_be(
            "metadata.name",
            name,
            metadata.and_then(|metadata| metadata.get("name")),
        );
        if metadata.is_none_or(|metadata| metadata.get("name").is_none_or(Value::is_null)) {
            errors.push(FieldError::required(
                "metadata.name",
                format!("set it to {name:?}, the file's name"),
            ));
        }
    }
    for (field, value) in metadata.and_then(Value::as_object).into_iter().flatten() {
        if !METADATA.contains(&field.as_str()) && !IGNORED.contains(&field.as_str()) {
            let allowed = format!("unknown field: allowed here are {}", METADATA.join(", "));
            errors.push(FieldError::invalid(
                format!("metadata.{field}"),
                shown(value),
                allowed,
            ));
        }
    }
    errors.extend(bounds::errors(object));
    errors
}

/// The object without what the store ignores.
fn bare(key: &Key, object: &Value) -> Value {
    let mut bare = object.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| METADATA.contains(&field.as_str()));
        }
        fields.insert("kind".to_owned(), key.info.kind.into());
        fields.insert("apiVersion".to_owned(), aegis_api::API_VERSION.into());
    }
    bare
}

/// Writes a spec file. What is written reads back as the same.
pub(crate) fn render(key: &Key, desired: &Desired) -> Result<String, String> {
    let file = desired.to_file(key.info, &key.name);
    let text = yaml::to_string(&file)?;
    let reads_back = yaml::parse(&text).is_ok_and(|documents| match documents.as_slice() {
        [document] => document.value == file,
        _ => false,
    });
    if reads_back {
        return Ok(text);
    }
    // JSON is YAML, too, and has one way only to spell a text.
    serde_json::to_string_pretty(&file)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

fn summary(document: &Document, errors: Vec<FieldError>) -> String {
    let errors = document.locate(errors);
    let mut lines: Vec<String> = errors
        .iter()
        .take(ERRORS_SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = errors.len().checked_sub(ERRORS_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn at(position: Position) -> String {
    format!("line {}, column {}: ", position.line, position.column)
}

/// A value as an error shows it: JSON, bounded.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;
    use serde_json::json;

    fn key() -> Key {
        Key::new(find("wl").unwrap(), "web")
    }

    fn error(text: &str) -> String {
        parse(&key(), text.as_bytes(), &Defaults::default()).unwrap_err()
    }

    #[test]
    fn a_good_file_yields_what_people_write_and_ignores_the_rest() {
        let text = "kind: Workload\nmetadata:\n  name: web\n  uid: 7\n  labels: {a: b}\nspec:\n  container: c\nstatus: {x: 1}\n";
        let desired = parse(&key(), text.as_bytes(), &Defaults::default()).unwrap();
        assert_eq!(desired.labels, json!({"a": "b"}));
        assert_eq!(desired.spec, json!({"container": "c"}));
    }

    #[test]
    fn errors_name_line_column_field_and_what_is_allowed() {
        let message =
            error("kind: Workload\nmetadata:\n  name: web\nspec:\n  container: c\n  replicas: many\n");
        assert!(
            message.contains("line 6, column 3: spec.replicas") && message.contains("integer"),
            "{message}"
        );
        let message = error("kind: Workload\nmetadata: {name: web}\nspec:\n  container: c\n  replicaz: 2\n");
        assert!(
            message.contains("line 5") && message.contains("did you mean \"replicas\""),
            "{message}"
        );
    }

    #[test]
    fn name_kind_and_version_must_fit_the_files_place() {
        assert!(
            error("metadata: {name: other}\nspec: {container: c}\n")
                .contains("metadata.name: Invalid value: \"other\": must be \"web\"")
        );
        assert!(error("spec: {container: c}\n").contains("metadata.name: Required value: set it to \"web\""));
        assert!(
            error("kind: Detector\nmetadata: {name: web}\n")
                .contains("line 1, column 1: kind: Invalid value: \"Detector\": must be \"Workload\"")
        );
        assert!(error("apiVersion: v1\nmetadata: {name: web}\n").contains("aegisops.io/v1alpha1"));
        assert!(
            error("metadata: {name: web, lables: {}}\nspec: {container: c}\n").contains("metadata.lables")
        );
    }

    #[test]
    fn what_is_no_single_object_is_refused_with_its_place() {
        assert!(error("").contains("empty"));
        assert!(error("# only a comment\n").contains("empty"));
        assert!(error("- a\n- b\n").contains("write a Workload"));
        let two = error("metadata: {name: web}\nspec: {container: c}\n---\nspec: {}\n");
        assert!(
            two.contains("line 4") && two.contains("one file holds one object"),
            "{two}"
        );
        assert!(error("spec: [1,\n").contains("line "));
        assert!(
            parse(&key(), b"a: 1\nb: \xff\n", &Defaults::default())
                .unwrap_err()
                .contains("line 2, column 4: the byte 0xFF is no UTF-8 text")
        );
        assert!(
            parse(&key(), &vec![b'#'; MAX_BYTES + 1], &Defaults::default())
                .unwrap_err()
                .contains("1048576 at most")
        );
    }

    #[test]
    fn only_the_first_errors_are_reported_and_the_rest_counted() {
        let fields: String = (0..20).map(|n| format!("  x{n}: 1\n")).collect();
        let message = error(&format!(
            "metadata: {{name: web}}\nspec:\n  container: c\n{fields}"
        ));
        assert!(message.ends_with("and 15 more"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_text_a_spec_holds_reads_back(text in "\\PC*|[\\x00-\\x7f]*|[ \t\n#:'\"|>\\-]*", key_text in "[a-z~:# ]{1,8}") {
            let desired = Desired { spec: json!({"logs": text, "map": {key_text: text}, "list": [text]}), ..Desired::default() };
            let rendered = render(&key(), &desired).unwrap();
            let documents = yaml::parse(&rendered).unwrap();
            proptest::prop_assert_eq!(&documents[0].value, &desired.to_file(key().info, "web"), "{}", rendered);
        }
    }
}
