//! Validation with errors a person can act on: every one names the field and what is allowed. Pure.
//!
//! Three layers, all run before anything is stored: the kind's own JSON schema (types, ranges, unknown
//! fields), the typed decode, and [`Rules`] for what a schema cannot say. The schema is the one in `crds/`, made strict.

use std::fmt::Display;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use crate::conceal::{CONCEALED, conceal};
use crate::position::Position;

/// Why a field is refused, in the words of the Kubernetes API (`details.causes[].reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something that must be there is not.
    Required,
    /// The value is not allowed.
    Invalid,
    /// The value is of the wrong type.
    TypeInvalid,
    /// The value is none of those allowed.
    NotSupported,
    /// There is no such field.
    Unknown,
    /// The field may not be set here.
    Forbidden,
    /// Another field manager has applied it with another value.
    FieldManagerConflict,
}

impl Cause {
    /// The reason as the Kubernetes API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Required => "FieldValueRequired",
            Cause::Invalid => "FieldValueInvalid",
            Cause::TypeInvalid => "FieldValueTypeInvalid",
            Cause::NotSupported => "FieldValueNotSupported",
            Cause::Unknown => "FieldValueUnknown",
            Cause::FieldManagerConflict => "FieldManagerConflict",
            Cause::Forbidden => "FieldValueForbidden",
        }
    }
}

/// One refused field. Display: `spec.replicas: Invalid value: -1: use 0 to 200`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path such as `spec.backends[0].port`.
    pub field: String,
    /// Why.
    pub cause: Cause,
    /// What is wrong and what is allowed, without the field.
    pub message: String,
    /// Where it stands in the YAML text it came from.
    pub position: Option<Position>,
}

impl FieldError {
    fn new(field: impl Into<String>, cause: Cause, message: String) -> Self {
        Self {
            field: field.into(),
            cause,
            message,
            position: None,
        }
    }

    /// A value that is not allowed.
    pub fn invalid(field: impl Into<String>, value: impl Display, allowed: impl Display) -> Self {
        Self::new(
            field,
            Cause::Invalid,
            format!("Invalid value: {value}: {allowed}"),
        )
    }

    /// A value that is missing.
    pub fn required(field: impl Into<String>, what: impl Display) -> Self {
        Self::new(field, Cause::Required, format!("Required value: {what}"))
    }

    /// A field that may not be set here.
    pub fn forbidden(field: impl Into<String>, why: impl Display) -> Self {
        Self::new(field, Cause::Forbidden, format!("Forbidden: {why}"))
    }
}

impl Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(position) = self.position {
            write!(f, "line {}, column {}: ", position.line, position.column)?;
        }
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What a kind demands beyond its schema.
pub trait Rules {
    /// Appends an error for each rule that does not hold; `path` is where `self` stands, for example `spec`.
    fn rules(&self, path: &str, out: &mut Vec<FieldError>);
}

/// A kind's schema, compiled once.
#[derive(Debug)]
pub struct SchemaCheck {
    schema: Value,
    validator: Validator,
}

impl SchemaCheck {
    /// Compiles a structural schema (of a CRD) for strict use: unknown fields are errors.
    pub fn new(mut schema: Value) -> Result<Self, String> {
        make_strict(&mut schema);
        leave_out_descriptions(&mut schema);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|e| e.to_string())?;
        Ok(Self { schema, validator })
    }

    /// The schema as it is checked: strict, and without descriptions.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Every field that the schema refuses, in document order.
    pub fn errors(&self, object: &Value) -> Vec<FieldError> {
        let mut out = Vec::new();
        for error in self.validator.iter_errors(object) {
            self.explain(object, &error, &mut out);
        }
        out
    }

    fn explain(&self, object: &Value, error: &ValidationError<'_>, out: &mut Vec<FieldError>) {
        let pointer = error.instance_path().as_str().to_owned();
        let field = field_path(object, &pointer);
        let hidden = is_of_variables(&pointer);
        let value = match hidden {
            true => CONCEALED.to_owned(),
            false => shown(&conceal(error.instance())),
        };
        let join = |name: &str| joined(&field, name);
        let invalid = |allowed: String| FieldError::invalid(field.clone(), &value, allowed);
        let found = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                out.extend(self.unknown_fields(&pointer, &field, unexpected));
                return;
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                FieldError::required(join(name), "this field must be set")
            }
            ValidationErrorKind::Type { kind } => {
                let wanted = match kind {
                    TypeKind::Single(kind) => kind.to_string(),
                    TypeKind::Multiple(kinds) => format!("{kinds:?}"),
                };
                let instance: &Value = error.instance();
                let quoted = wanted == "string" && (instance.is_number() || instance.is_boolean());
                let hint = match (quoted, hidden) {
                    (true, true) => ": quote it".to_owned(),
                    (true, false) => quote_it(&value),
                    (false, _) => String::new(),
                };
                let message = format!("Invalid value: {value}: must be of type {wanted}{hint}");
                FieldError::new(field.clone(), Cause::TypeInvalid, message)
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|o| !o.is_null())
                    .map(shown)
                    .collect();
                let message = format!(
                    "Unsupported value: {value}: supported values: {}",
                    options.join(", ")
                );
                FieldError::new(field.clone(), Cause::NotSupported, message)
            }
            ValidationErrorKind::Minimum { limit } => {
                let why = crate::workload::autoscale::why_no_fewer(&field);
                invalid(format!("must be {} or more{why}", number(limit)))
            }
            ValidationErrorKind::Maximum { limit } => invalid(format!("must be {} or less", number(limit))),
            ValidationErrorKind::MinLength { limit } => {
                invalid(format!("must have {limit} or more characters"))
            }
            ValidationErrorKind::MaxLength { limit } => {
                invalid(format!("must have {limit} or fewer characters"))
            }
            ValidationErrorKind::MinItems { limit } => invalid(format!("must have {limit} or more items")),
            ValidationErrorKind::MaxItems { limit } => invalid(format!("must have {limit} or fewer items")),
            ValidationErrorKind::Pattern { pattern } => invalid(pattern_words(pattern)),
            ValidationErrorKind::Format { format } if format == "date-time" => {
                invalid("must be an RFC 3339 time, such as 2026-01-31T12:00:00Z".to_owned())
            }
            ValidationErrorKind::Format { format } => invalid(format!("must be a {format}")),
            _ => invalid(error.masked().to_string()),
        };
        out.push(found);
    }

    fn unknown_fields(&self, pointer: &str, field: &str, unexpected: &[String]) -> Vec<FieldError> {
        let known = self.known_fields(pointer);
        let explain = |name: &String| {
            let hint = nearest(name, &known)
                .map(|near| format!(" (did you mean {near:?}?)"))
                .unwrap_or_default();
            let message = format!("unknown field{hint}: allowed here are {}", known.join(", "));
            FieldError::new(joined(field, name), Cause::Unknown, message)
        };
        unexpected.iter().map(explain).collect()
    }

    /// Names of the properties that the schema has at the place where `pointer` leads in the object.
    fn known_fields(&self, pointer: &str) -> Vec<String> {
        let mut node = Some(&self.schema);
        for part in pointer.split('/').skip(1) {
            node = node.and_then(|node| {
                let property = node.get("properties").and_then(|properties| properties.get(part));
                property
                    .or_else(|| node.get("items"))
                    .or_else(|| node.get("additionalProperties"))
            });
        }
        let properties = node
            .and_then(|node| node.get("properties"))
            .and_then(Value::as_object);
        properties
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default()
    }
}

/// Whether the variables of a template stand there. What is wrong with a file is read by many who may not see their values.
fn is_of_variables(pointer: &str) -> bool {
    let parts = pointer.split('/');
    let mut pairs = parts.clone().zip(parts.skip(1));
    pairs.any(|(parent, part)| parent == "template" && matches!(part, "env" | "envValueFrom"))
}

/// The path of a field's own field; the object itself has no path.
fn joined(field: &str, name: &str) -> String {
    if field.is_empty() {
        name.to_owned()
    } else {
        format!("{field}.{name}")
    }
}

/// What to do with a number or a yes that was meant as a text, such as the value of a variable.
pub(crate) fn quote_it(written: &str) -> String {
    format!(": quote it: \"{written}\"")
}

/// A limit as a person writes it: a CRD's schema holds its limits as floating point numbers.
fn number(limit: &Value) -> String {
    limit
        .as_f64()
        .map_or_else(|| limit.to_string(), |number| number.to_string())
}

/// A pattern in words, for those that a person would not want to read.
fn pattern_words(pattern: &str) -> String {
    match pattern {
        "^([0-9]*[.]?[0-9]+(ms|s|m|h|d))+$" => {
            "must be a number with ms, s, m, h or d, such as 30s or 1h30m".to_owned()
        }
        "^([01][0-9]|2[0-3]):[0-5][0-9]$" => "must be a time of day, HH:MM".to_owned(),
        _ => format!("must match {pattern}"),
    }
}

/// No text that people read checks anything, and it is most of a schema. A property of that name is no text.
fn leave_out_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, value| !(key == "description" && value.is_string()));
            map.values_mut().for_each(leave_out_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_descriptions),
        _ => {}
    }
}

/// Forbids fields that the schema does not name. Nulls are removed from input beforehand, so `nullable` needs nothing.
fn make_strict(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    let open = node.contains_key("x-kubernetes-preserve-unknown-fields")
        || node.contains_key("additionalProperties");
    if node.contains_key("properties") && !open {
        node.insert("additionalProperties".to_owned(), json!(false));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(key) {
            make_strict(inner);
        }
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(make_strict);
    }
}

/// `/spec/backends/0/port` in words: `spec.backends[0].port`.
fn field_path(object: &Value, pointer: &str) -> String {
    let mut path = String::new();
    let mut node = Some(object);
    for raw in pointer.split('/').skip(1) {
        let part = raw.replace("~1", "/").replace("~0", "~");
        match node {
            Some(Value::Array(items)) => {
                path.push_str(&format!("[{part}]"));
                node = part.parse::<usize>().ok().and_then(|index| items.get(index));
            }
            _ => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&part);
                node = node.and_then(|node| node.get(&part));
            }
        }
    }
    path
}

/// A value as an error shows it: JSON, bounded.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

/// The known name that differs least from `name`, if it is near enough to be meant.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (edits(&lower, &candidate.to_lowercase()), candidate.as_str()))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let substitute = diagonal + usize::from(from != *to);
            left = substitute.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Names of an object's maps that have no value. A field without one is not written; a variable or a label without one is a
/// person's mistake, and would go without a word.
pub fn names_without_a_value(schema: &Value, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for part in ["labels", "annotations"] {
        let map = object.get("metadata").and_then(|metadata| metadata.get(part));
        for (name, _) in nulls(map) {
            errors.push(without_a_value(&format!("metadata.{part}"), name));
        }
    }
    let spec = schema.get("properties").and_then(|fields| fields.get("spec"));
    if let (Some(schema), Some(spec)) = (spec, object.get("spec")) {
        find_names_without_a_value(schema, spec, "spec", &mut errors);
    }
    errors
}

fn find_names_without_a_value(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            let named = schema.get("additionalProperties");
            // Where anything may stand, null may, too.
            let named = named.filter(|of| of.as_object().is_some_and(|of| !of.is_empty()));
            if named.is_some() {
                errors.extend(nulls(Some(value)).map(|(name, _)| without_a_value(path, name)));
            }
            for (name, inner) in fields {
                let own = schema.get("properties").and_then(|fields| fields.get(name));
                if let Some(schema) = own.or(named) {
                    find_names_without_a_value(schema, inner, &format!("{path}.{name}"), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (at, item) in items.iter().enumerate() {
                find_names_without_a_value(schema, item, &format!("{path}[{at}]"), errors);
            }
        }
        _ => {}
    }
}

fn nulls(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    fields.filter(|(_, value)| value.is_null())
}

fn without_a_value(path: &str, name: &str) -> FieldError {
    let why = "has no value: write \"\" for an empty text, or leave the name out";
    FieldError::invalid(format!("{path}.{name}"), "null", why)
}

/// Removes nulls from objects: a null field is an absent field, as in the Kubernetes API.
pub fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}
