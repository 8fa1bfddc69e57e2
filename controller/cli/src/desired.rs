//! What `apply` and `diff` would do with an object, given the live one. Pure.
//!
//! A three-way merge patch, as kubectl's client-side apply makes it and with kubectl's annotation, so that both can be
//! used on one object. A PUT of the file would be simpler and wrong: the spec is not the file's alone. A remediation sets
//! `restartedAt`, a person an incident's approval, `scale` the replicas; what the file does not name stays as it is, and
//! what it named the last time and names no longer is removed.

use aegis_api::meta::{LAST_APPLIED, NOTES};
use serde_json::{Value, json};

use crate::manifest::Manifest;
use crate::patch;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// There is none yet: this is stored.
    Create(Value),
    /// This merge patch is sent.
    Patch(Value),
    /// The live object says everything that the file says.
    Nothing,
}

/// Compares a file's object with the live one.
pub(crate) fn step(manifest: &Manifest, live: Option<&Value>) -> Step {
    let configuration = configuration(&manifest.object);
    let mut wanted = configuration.clone();
    let Some(live) = live else {
        annotate(&mut wanted, format!("{configuration}\n"));
        return Step::Create(wanted);
    };
    let note = note(live);
    let last: Option<Value> = note.and_then(|note| serde_json::from_str(note).ok());
    // A note in another spelling but of the same meaning is left alone.
    let spelled = note
        .filter(|_| last.as_ref() == Some(&configuration))
        .map(str::to_owned);
    annotate(
        &mut wanted,
        spelled.unwrap_or_else(|| format!("{configuration}\n")),
    );
    let patch = patch::three_way(last.as_ref().unwrap_or(&Value::Null), live, &wanted);
    if patch::is_empty(&patch) {
        Step::Nothing
    } else {
        Step::Patch(patch)
    }
}

/// The object as kubectl would note it.
fn configuration(object: &Value) -> Value {
    let mut noted = object.clone();
    if let Some(metadata) = noted.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata
            .entry("namespace")
            .or_insert_with(|| json!(aegis_api::NAMESPACE));
        if let Some(annotations) = metadata
            .entry("annotations")
            .or_insert_with(|| json!({}))
            .as_object_mut()
        {
            annotations.retain(|name, _| !NOTES.contains(&name.as_str()));
        }
    }
    noted
}

fn note(live: &Value) -> Option<&str> {
    live.get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)?
        .as_str()
}

fn annotate(object: &mut Value, note: String) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let annotations = metadata.map(|metadata| metadata.entry("annotations").or_insert_with(|| json!({})));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.insert(LAST_APPLIED.to_owned(), Value::String(note));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Naming, parse};

    fn manifest(spec: &str) -> Manifest {
        let text = format!(
            "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: web\nspec: {spec}\n"
        );
        parse("f.yaml", &text, Naming::Exact).unwrap().remove(0)
    }

    fn created(spec: &str) -> Value {
        match step(&manifest(spec), None) {
            Step::Create(object) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_object_is_created_with_a_note_of_what_was_applied() {
        let object = created("{container: web}");
        let noted = object["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
        assert!(noted.ends_with('\n'));
        let noted: Value = serde_json::from_str(noted).unwrap();
        assert_eq!(noted["spec"], json!({"container": "web"}));
        assert_eq!(
            noted["metadata"],
            json!({"name": "web", "namespace": "default", "annotations": {}})
        );
    }

    #[test]
    fn applying_the_same_again_does_nothing_whatever_the_controller_added() {
        let mut live = created("{container: web, replicas: 2}");
        live["metadata"]["uid"] = json!("u");
        live["status"] = json!({"replicas": 2});
        live["spec"]["restartedAt"] = json!("2026-01-31T12:00:00Z");
        assert_eq!(
            step(&manifest("{container: web, replicas: 2}"), Some(&live)),
            Step::Nothing
        );
    }

    #[test]
    fn a_changed_file_patches_what_it_changed_and_removes_what_it_dropped() {
        let mut live = created("{container: web, replicas: 2, health: {tcp: {port: 1}}}");
        live["spec"]["restartedAt"] = json!("2026-01-31T12:00:00Z");
        let Step::Patch(patch) = step(&manifest("{container: web, replicas: 3}"), Some(&live)) else {
            panic!()
        };
        assert_eq!(patch["spec"], json!({"replicas": 3, "health": null}));
        assert!(
            patch["metadata"]["annotations"][LAST_APPLIED]
                .as_str()
                .unwrap()
                .contains("\"replicas\":3")
        );
    }

    #[test]
    fn a_note_that_kubectl_wrote_in_other_words_is_left_alone() {
        let mut live = created("{container: web}");
        let note = live["metadata"]["annotations"][LAST_APPLIED]
            .as_str()
            .unwrap()
            .replace(':', ": ");
        live["metadata"]["annotations"][LAST_APPLIED] = json!(note);
        assert_eq!(step(&manifest("{container: web}"), Some(&live)), Step::Nothing);
    }

    #[test]
    fn an_object_that_was_never_applied_is_taken_over_without_losing_anything() {
        let live = json!({"apiVersion": aegis_api::API_VERSION, "kind": "Workload",
            "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}}, "spec": {"container": "web", "replicas": 5}});
        let Step::Patch(patch) = step(&manifest("{container: web, replicas: 2}"), Some(&live)) else {
            panic!()
        };
        assert_eq!(patch["spec"], json!({"replicas": 2}));
        assert!(patch["metadata"].get("labels").is_none());
    }
}
