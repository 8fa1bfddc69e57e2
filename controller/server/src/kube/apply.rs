//! Server-side apply: an object is made what a field manager says, no more. Which fields a manager has applied is kept with the
//! object, by their names and without a value; what it applied once and names no longer is removed, unless another applies it,
//! too. Lists are values: they are replaced whole. Who changes an object in other ways owns nothing, as with `aegisctl`. Pure.

use std::collections::BTreeMap;

use aegis_api::FieldError;
use aegis_api::meta::{APPLIED_FIELDS, LAST_APPLIED};
use aegis_api::validate::Cause;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::status::Status;

/// Longest name of a field manager, as in Kubernetes.
const MANAGER: usize = 128;
/// Who applies without a name.
const UNNAMED: &str = "unknown";
/// Top-level fields that say which object is meant.
const IDENTITY: [&str; 2] = ["apiVersion", "kind"];
/// What of the metadata is a manager's. The rest says which object is meant, is written by the server, or is a list that the
/// controller and others add to, out of which nothing is taken because it is named no longer.
const METADATA: [&str; 2] = ["labels", "annotations"];
/// Most field managers of an object.
const MANAGERS: usize = 16;

/// Who applies, and whether fields of others are taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manager {
    name: String,
    force: bool,
}

impl Manager {
    pub(super) fn parse(name: &str, force: bool) -> Result<Self, Status> {
        let name = if name.is_empty() { UNNAMED } else { name };
        if name.chars().count() > MANAGER || name.chars().any(char::is_control) {
            let message =
                format!("fieldManager: Invalid value: use at most {MANAGER} characters that can be printed");
            return Err(Status::bad_request(message));
        }
        Ok(Self {
            name: name.to_owned(),
            force,
        })
    }

    /// Whether what kubectl applied on its own side was this one's.
    fn is_kubectl(&self) -> bool {
        self.name == "kubectl"
    }
}

/// The names of fields, each with those below it; a value has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Fields(BTreeMap<String, Fields>);

impl Fields {
    /// All that have a value.
    fn of(value: &Value) -> Self {
        let fields = value.as_object().into_iter().flatten();
        let named = fields.filter(|(_, value)| !value.is_null());
        Self(named.map(|(key, value)| (key.clone(), Self::of(value))).collect())
    }

    /// Those that these have and the others do not.
    fn without(&self, others: &Self) -> Self {
        let left = self.0.iter().filter_map(|(key, mine)| {
            let Some(theirs) = others.0.get(key) else {
                return Some((key.clone(), mine.clone()));
            };
            if theirs.0.is_empty() && !mine.0.is_empty() {
                // An empty object claims nothing of what is in it.
                return Some((key.clone(), mine.clone()));
            }
            let below = mine.without(theirs);
            (!below.0.is_empty()).then(|| (key.clone(), below))
        });
        Self(left.collect())
    }

    /// These and the others.
    fn join(&mut self, others: &Self) {
        for (key, theirs) in &others.0 {
            self.0.entry(key.clone()).or_default().join(theirs);
        }
    }
}

/// Fields by manager.
type Record = BTreeMap<String, Fields>;

/// What the object becomes where `manager` applies `config`.
///
/// # Errors
/// Fields that another manager has applied with another value.
pub(super) fn applied(current: &Value, config: &Value, manager: &Manager) -> Result<Value, Vec<FieldError>> {
    let mut record = record(current);
    let before = record.remove(&manager.name);
    let before = before.or_else(|| {
        let text = annotation(current, LAST_APPLIED).filter(|_| manager.is_kubectl())?;
        Some(Fields::of(&tracked(serde_json::from_str(text).ok()?)))
    });
    if before.is_none() && record.len() >= MANAGERS {
        let names: Vec<&str> = record.keys().map(String::as_str).collect();
        let message = format!(
            "{MANAGERS} field managers apply it already: use one of {}",
            names.join(", ")
        );
        let (field, cause) = ("fieldManager".to_owned(), Cause::FieldManagerConflict);
        return Err(vec![FieldError {
            field,
            cause,
            message,
            position: None,
        }]);
    }
    let mine = Fields::of(&tracked(config.clone()));
    if manager.force {
        for theirs in record.values_mut() {
            let lost = differing(theirs, current, config);
            *theirs = theirs.without(&lost);
        }
        record.retain(|_, theirs| !theirs.0.is_empty());
    } else {
        let conflicts: Vec<FieldError> = record
            .iter()
            .flat_map(|(name, theirs)| conflicts(name, &differing(theirs, current, config)))
            .collect();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
    }

    let mut object = current.clone();
    let mut owned = mine.clone();
    record.values().for_each(|theirs| owned.join(theirs));
    remove(&mut object, &before.unwrap_or_default().without(&owned));
    set(&mut object, sent(config.clone()));
    if !mine.0.is_empty() {
        record.insert(manager.name.clone(), mine);
    }
    note(&mut object, &record);
    Ok(object)
}

/// What is taken of a body: a note of ours in it, and a status, are ignored.
fn sent(mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(annotations) = annotations_mut(&mut config) {
        annotations.remove(APPLIED_FIELDS);
    }
    config
}

/// What a manager owns of a body.
fn tracked(config: Value) -> Value {
    let mut config = sent(config);
    if let Some(annotations) = annotations_mut(&mut config) {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| METADATA.contains(&key.as_str()));
    }
    if let Some(fields) = config.as_object_mut() {
        let names_none =
            |key: &str, value: &Value| key == "metadata" && value.as_object().is_some_and(Map::is_empty);
        fields.retain(|key, value| !IDENTITY.contains(&key.as_str()) && !names_none(key, value));
    }
    config
}

fn annotations_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.pointer_mut("/metadata/annotations")?.as_object_mut()
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// Who has applied what; a note that cannot be read is none.
fn record(object: &Value) -> Record {
    let text = annotation(object, APPLIED_FIELDS);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn note(object: &mut Value, record: &Record) {
    // Maps with text for keys can be written.
    let text = serde_json::to_string(record).ok().filter(|_| !record.is_empty());
    put_note(object, text.map(Value::from));
}

/// Who applied what is not for others to say: it stays as it was, whatever a body has in its place.
pub(super) fn keep_note(current: &Value, wanted: &mut Value) {
    let before = annotation(current, APPLIED_FIELDS);
    if before != annotation(wanted, APPLIED_FIELDS) {
        put_note(wanted, before.map(Value::from));
    }
}

/// Annotations that are none are left as they are, to be refused.
fn put_note(object: &mut Value, note: Option<Value>) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let metadata = object.entry("metadata").or_insert_with(|| Map::new().into());
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = Map::new().into();
    }
    let Some(annotations) = annotations.as_object_mut() else {
        return;
    };
    match note {
        Some(note) => annotations.insert(APPLIED_FIELDS.to_owned(), note),
        None => annotations.remove(APPLIED_FIELDS),
    };
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Those of the fields whose value `config` changes.
fn differing(theirs: &Fields, current: &Value, config: &Value) -> Fields {
    let found = theirs.0.iter().filter_map(|(key, below)| {
        let (now, wanted) = (current.get(key)?, config.get(key)?);
        if now == wanted {
            return None;
        }
        if !now.is_object() || !wanted.is_object() {
            return Some((key.clone(), Fields::default()));
        }
        let below = differing(below, now, wanted);
        (!below.0.is_empty()).then(|| (key.clone(), below))
    });
    Fields(found.collect())
}

fn conflicts(manager: &str, fields: &Fields) -> Vec<FieldError> {
    let mut found = Vec::new();
    paths(fields, "", &mut |field| {
        found.push(FieldError {
            field: field.to_owned(),
            cause: Cause::FieldManagerConflict,
            message: format!("conflict with {manager:?}"),
            position: None,
        });
    });
    found
}

/// The conflicts in one line.
pub(crate) fn words(conflicts: &[FieldError]) -> String {
    let all = conflicts
        .iter()
        .map(|error| format!("{}: {}", error.message, error.field));
    all.collect::<Vec<_>>().join(", ")
}

fn paths(fields: &Fields, before: &str, each: &mut impl FnMut(&str)) {
    for (key, below) in &fields.0 {
        let path = format!("{before}.{key}");
        match below.0.is_empty() {
            true => each(&path),
            false => paths(below, &path, each),
        }
    }
}

/// Removes fields, and what is empty without them.
fn remove(object: &mut Value, fields: &Fields) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    for (key, below) in &fields.0 {
        let Some(value) = object.get_mut(key) else {
            continue;
        };
        remove(value, below);
        // An object that others have put fields into since is theirs.
        if value.as_object().map_or(below.0.is_empty(), Map::is_empty) {
            object.remove(key);
        }
    }
}

fn set(object: &mut Value, config: Value) {
    match (object.as_object_mut(), config) {
        (Some(object), Value::Object(fields)) => {
            // `annotations:` without anything names nothing; what stands for one value is refused by its name.
            let named = fields
                .into_iter()
                .filter(|(key, value)| !(value.is_null() && object.get(key).is_some_and(Value::is_object)));
            for (key, value) in named.collect::<Vec<_>>() {
                set(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, config) => *object = config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manager(name: &str, force: bool) -> Manager {
        Manager::parse(name, force).unwrap()
    }

    fn apply(current: &Value, name: &str, config: &Value) -> Value {
        applied(current, config, &manager(name, false)).unwrap()
    }

    #[test]
    fn what_a_manager_names_no_longer_goes_and_what_others_wrote_stays() {
        let first = json!({"spec": {"restart": {"maxAttempts": 3}, "dependsOn": ["db"], "replicas": 2},
            "metadata": {"labels": {"a": "1", "b": "2"}}});
        let base = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"restartedAt": "t"}});
        let object = apply(&base, "kubectl", &first);
        assert_eq!(object["spec"]["dependsOn"], json!(["db"]));
        let object = apply(
            &object,
            "kubectl",
            &json!({"spec": {"replicas": 3}, "metadata": {"labels": {"a": "1"}}}),
        );
        assert_eq!(object["spec"], json!({"replicas": 3, "restartedAt": "t"}));
        assert_eq!(
            (&object["metadata"]["labels"], &object["metadata"]["uid"]),
            (&json!({"a": "1"}), &json!("u"))
        );
        let object = apply(&object, "kubectl", &json!({}));
        assert_eq!(object["spec"], json!({"restartedAt": "t"}));
        assert!(
            object["metadata"]["annotations"].is_null(),
            "the note of it goes, too"
        );
    }

    #[test]
    fn a_probe_changed_from_tcp_to_http_loses_tcp() {
        let object = apply(
            &json!({}),
            "m",
            &json!({"spec": {"health": {"tcp": {"port": 1}}}}),
        );
        let object = apply(&object, "m", &json!({"spec": {"health": {"http": {"port": 1}}}}));
        assert_eq!(object["spec"], json!({"health": {"http": {"port": 1}}}));
    }

    #[test]
    fn lists_are_replaced_whole_and_null_names_nothing() {
        let object = apply(&json!({}), "m", &json!({"spec": {"a": [1, 2], "b": 1}}));
        let object = apply(&object, "m", &json!({"spec": {"a": [3], "b": null}}));
        assert_eq!(object["spec"]["a"], json!([3]));
        assert!(object["spec"]["b"].is_null());
        assert_eq!(record(&object)["m"], Fields::of(&json!({"spec": {"a": 1}})));
    }

    #[test]
    fn fields_of_two_managers_stay_until_neither_names_them_and_their_values_are_not_changed_unless_forced() {
        let object = apply(&json!({}), "ann", &json!({"spec": {"replicas": 2, "b": 1}}));
        let object = apply(&object, "ben", &json!({"spec": {"replicas": 2, "c": 1}}));
        let without = apply(&object, "ann", &json!({"spec": {"b": 1}}));
        assert_eq!(without["spec"], json!({"replicas": 2, "b": 1, "c": 1}));
        let gone = apply(&without, "ben", &json!({"spec": {"c": 1}}));
        assert_eq!(gone["spec"], json!({"b": 1, "c": 1}));

        let wanted = json!({"spec": {"replicas": 5, "b": 1}});
        let conflicts = applied(&object, &wanted, &manager("ann", false)).unwrap_err();
        let said: Vec<(&str, &str)> = conflicts
            .iter()
            .map(|error| (error.field.as_str(), error.message.as_str()))
            .collect();
        assert_eq!(said, [(".spec.replicas", "conflict with \"ben\"")]);
        let forced = applied(&object, &wanted, &manager("ann", true)).unwrap();
        assert_eq!(forced["spec"]["replicas"], 5);
        assert_eq!(record(&forced)["ben"], Fields::of(&json!({"spec": {"c": 1}})));
    }

    #[test]
    fn what_kubectl_applied_on_its_own_side_before_is_kubectls() {
        let last = json!({"apiVersion": "x", "kind": "Workload", "metadata": {"name": "web"}, "spec": {"a": 1, "b": 1}});
        let object =
            json!({"metadata": {"annotations": {LAST_APPLIED: last.to_string()}}, "spec": {"a": 1, "b": 1}});
        let wanted = json!({"spec": {"a": 1}});
        assert_eq!(apply(&object, "kubectl", &wanted)["spec"], json!({"a": 1}));
        assert_eq!(apply(&object, "other", &wanted)["spec"], json!({"a": 1, "b": 1}));
    }

    #[test]
    fn no_value_is_noted_and_what_the_server_writes_is_no_managers() {
        let config = json!({"apiVersion": "x", "kind": "y", "status": {"a": 1}, "metadata": {"name": "web",
            "managedFields": [], "resourceVersion": "7", "annotations": {APPLIED_FIELDS: "{}", "mine": "secret"}},
            "spec": {"env": {"TOKEN": "secret"}}});
        let object = apply(&json!({"status": {"b": 1}}), "m", &config);
        let note = annotation(&object, APPLIED_FIELDS).unwrap();
        assert_eq!(
            note,
            r#"{"m":{"metadata":{"annotations":{"mine":{}}},"spec":{"env":{"TOKEN":{}}}}}"#
        );
        assert_eq!(object["status"], json!({"b": 1}));
    }

    #[test]
    fn an_empty_object_is_no_claim_to_what_others_put_into_it() {
        let object = apply(&json!({}), "ann", &json!({"spec": {"env": {}}}));
        let object = apply(&object, "ben", &json!({"spec": {"env": {"A": "1"}}}));
        let object = apply(&object, "ann", &json!({"spec": {"env": {}}}));
        assert_eq!(object["spec"], json!({"env": {"A": "1"}}));
        let object = apply(&object, "ann", &json!({"spec": {}}));
        assert_eq!(object["spec"], json!({"env": {"A": "1"}}));
        let emptied = apply(&object, "ben", &json!({"spec": {"env": {}}}));
        assert!(emptied["spec"]["env"]["A"].is_null(), "{emptied}");
    }

    #[test]
    fn what_names_nothing_removes_nothing_of_others_and_what_is_no_map_is_not_repaired() {
        let object =
            json!({"metadata": {"annotations": {"aegisops.io/protected": "true"}, "finalizers": ["a"]}});
        let config = json!({"metadata": {"annotations": null, "finalizers": ["a"]}, "spec": {"a": 1}});
        let after = apply(&object, "m", &config);
        assert_eq!(after["metadata"]["annotations"]["aegisops.io/protected"], "true");
        let after = apply(&after, "m", &json!({"spec": {"a": 1}}));
        assert_eq!(after["metadata"]["finalizers"], json!(["a"]));
        let bad = apply(
            &object,
            "m",
            &json!({"metadata": {"annotations": "x"}, "spec": {"a": 1}}),
        );
        assert_eq!(bad["metadata"]["annotations"], "x", "for the schema to refuse");
    }

    #[test]
    fn the_note_is_what_applies_have_made_of_it_whatever_others_send() {
        let object = apply(
            &json!({"metadata": {"name": "web"}}),
            "m",
            &json!({"spec": {"a": 1}}),
        );
        let note = annotation(&object, APPLIED_FIELDS).unwrap().to_owned();
        for mut sent in [
            json!({"metadata": {"name": "web"}}),
            json!({"metadata": {"annotations": {APPLIED_FIELDS: "{}", "b": "1"}}}),
            json!({"metadata": {"annotations": null}}),
        ] {
            keep_note(&object, &mut sent);
            assert_eq!(annotation(&sent, APPLIED_FIELDS), Some(note.as_str()));
        }
        let mut forged = json!({"metadata": {"annotations": {APPLIED_FIELDS: "{}"}}});
        keep_note(&Value::Null, &mut forged);
        assert_eq!(forged, json!({"metadata": {}}));
    }

    #[test]
    fn managers_have_an_end() {
        let mut object = json!({"metadata": {}});
        for number in 0..MANAGERS {
            object = apply(&object, &format!("m{number}"), &json!({"spec": {"a": 1}}));
        }
        let refused = applied(&object, &json!({"spec": {"a": 1}}), &manager("one-more", true));
        let message = &refused.unwrap_err()[0].message;
        assert!(message.contains("use one of m0, m1"), "{message}");
    }

    #[test]
    fn a_manager_has_a_name_that_can_be_printed() {
        assert_eq!(Manager::parse("", false).unwrap().name, UNNAMED);
        assert!(Manager::parse(&"x".repeat(129), false).is_err() && Manager::parse("a\nb", false).is_err());
    }
}
