//! Files of resources: checked to the last field, and located by line and column. Reads files through [`files`]; sends
//! nothing.
//!
//! Every document is checked before a command sends the first one, so that a typo never leaves half of a folder applied.

mod files;

use std::rc::Rc;

use aegis_api::yaml::{Document, Position};
use aegis_api::{API_VERSION, KINDS, KindInfo, NAMESPACE};
use serde_json::Value;

use crate::error::CliError;
use crate::problem::Problem;
use crate::target::Target;
pub(crate) use files::{FileArgs, read_at_most};

/// One object of a file.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) info: &'static KindInfo,
    pub(crate) name: String,
    /// As written, without nulls, status and what only the server sets.
    pub(crate) object: Value,
    place: Place,
}

/// Where an object stands: its document, and the path to it in a `List`.
#[derive(Debug, Clone)]
struct Place {
    source: Rc<str>,
    document: Rc<Document>,
    prefix: String,
}

/// What metadata only the server sets: an object that was saved with `get -o yaml` can be applied as it is.
const SERVER_OWNED: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// Whether an object without a name may be given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `metadata.name` must be set: `apply` must find the same object again.
    Exact,
    /// `metadata.generateName` will do: a random ending is added.
    Generate,
}

/// Reads and checks everything, or says everything that is wrong.
pub(crate) fn load(files: &FileArgs, naming: Naming) -> Result<Vec<Manifest>, CliError> {
    let mut manifests = Vec::new();
    let mut problems = Vec::new();
    for path in files::expand(files)? {
        let (source, text) = files::read(&path)?;
        match parse(&source, &text, naming) {
            Ok(found) => manifests.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(duplicates(&manifests));
    if !problems.is_empty() {
        return Err(CliError::Manifests(problems));
    }
    if manifests.is_empty() {
        let names: Vec<_> = files
            .filename
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(CliError::Failed(format!("no resources in {}", names.join(", "))));
    }
    Ok(manifests)
}

/// Checks one text.
pub(crate) fn parse(source: &str, text: &str, naming: Naming) -> Result<Vec<Manifest>, Vec<Problem>> {
    let source: Rc<str> = source.into();
    let documents = aegis_api::yaml::parse(text).map_err(|error| {
        let position = Some(Position {
            line: error.line,
            column: error.column,
        });
        vec![Problem {
            source: source.to_string(),
            position,
            message: error.message,
        }]
    })?;
    let mut manifests = Vec::new();
    let mut problems = Vec::new();
    for document in documents {
        let document = Rc::new(document);
        for (prefix, object) in flatten_list(&document.value) {
            let place = Place {
                source: Rc::clone(&source),
                document: Rc::clone(&document),
                prefix,
            };
            match check(object, place, naming) {
                Ok(manifest) => manifests.push(manifest),
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(problems)
    }
}

/// The objects of a document: itself, or the items of a `List`, as `get -o yaml` writes several.
fn flatten_list(value: &Value) -> Vec<(String, Value)> {
    let is_list = value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items
            .iter()
            .enumerate()
            .map(|(index, item)| (format!("items[{index}]"), item.clone()))
            .collect(),
        _ => vec![(String::new(), value.clone())],
    }
}

fn check(mut object: Value, place: Place, naming: Naming) -> Result<Manifest, Vec<Problem>> {
    let fail = |field: &str, message: String| vec![place.problem(field, message)];
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if !object.is_object() {
        return Err(fail(
            "",
            "a resource is a map with apiVersion, kind, metadata and spec".to_owned(),
        ));
    }
    check_version(text(&object, "/apiVersion").as_deref()).map_err(|message| fail("apiVersion", message))?;
    let info = kind(text(&object, "/kind").as_deref()).map_err(|message| fail("kind", message))?;
    match text(&object, "/metadata/namespace").as_deref() {
        None | Some(NAMESPACE) => {}
        Some(other) => {
            let message =
                format!("metadata.namespace: Unsupported value: {other:?}: supported values: {NAMESPACE:?}");
            return Err(fail("metadata.namespace", message));
        }
    }
    drop_server_owned(&mut object);
    if naming == Naming::Generate {
        generate_name(&mut object);
    }
    let object = info.check(object).map_err(|errors| {
        let mut problems: Vec<_> = errors
            .into_iter()
            .map(|error| place.problem(&error.field, format!("{}: {}", error.field, error.message)))
            .collect();
        problems.sort_by_key(|problem| problem.position);
        problems
    })?;
    let name = text(&object, "/metadata/name").unwrap_or_default();
    Ok(Manifest {
        info,
        name,
        object,
        place,
    })
}

fn check_version(version: Option<&str>) -> Result<(), String> {
    match version {
        Some(API_VERSION) => Ok(()),
        Some(version) => Err(format!(
            "apiVersion: Unsupported value: {version:?}: supported values: {API_VERSION:?}"
        )),
        None => Err(format!("apiVersion: Required value: {API_VERSION}")),
    }
}

fn kind(kind: Option<&str>) -> Result<&'static KindInfo, String> {
    let all: Vec<String> = KINDS.iter().map(|info| format!("{:?}", info.kind)).collect();
    let all = all.join(", ");
    let Some(kind) = kind else {
        return Err(format!("kind: Required value: one of {all}"));
    };
    let found = KINDS.iter().find(|info| info.kind == kind);
    found.ok_or_else(|| format!("kind: Unsupported value: {kind:?}: supported values: {all}"))
}

/// Removes what only the server sets, in place.
pub(crate) fn drop_server_owned(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        SERVER_OWNED.iter().for_each(|key| {
            metadata.remove(*key);
        });
    }
}

fn generate_name(object: &mut Value) {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if metadata.contains_key("name") {
        return;
    }
    if let Some(Value::String(stem)) = metadata.remove("generateName") {
        let ending = (0..5).filter_map(|_| LETTERS.get(rand::random_range(0..LETTERS.len())));
        let name: String = stem
            .chars()
            .chain(ending.map(|letter| char::from(*letter)))
            .collect();
        metadata.insert("name".to_owned(), Value::String(name));
    }
}

impl Place {
    fn problem(&self, field: &str, message: String) -> Problem {
        let path = match (self.prefix.is_empty(), field.is_empty()) {
            (true, _) => field.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}.{field}", self.prefix),
        };
        Problem {
            source: self.source.to_string(),
            position: self.document.position(&path),
            message,
        }
    }
}

impl Manifest {
    /// The object that this is about.
    pub(crate) fn target(&self) -> Target {
        Target {
            info: self.info,
            name: self.name.clone(),
        }
    }

    /// Gives a message the place of a field in the file.
    pub(crate) fn problem(&self, field: &str, message: String) -> Problem {
        self.place.problem(field, message)
    }
}

fn duplicates(manifests: &[Manifest]) -> Vec<Problem> {
    let twice = manifests.iter().enumerate().filter_map(|(index, manifest)| {
        let mut earlier = manifests.iter().take(index);
        let first =
            earlier.find(|other| other.info.kind == manifest.info.kind && other.name == manifest.name)?;
        let at = first.problem("metadata.name", String::new());
        let line = at
            .position
            .map_or(String::new(), |position| format!(":{}", position.line));
        let message = format!(
            "{} stands in {}{line} already: keep one",
            manifest.target(),
            at.source
        );
        Some(manifest.problem("metadata.name", message))
    });
    twice.collect()
}

#[cfg(test)]
mod tests;
