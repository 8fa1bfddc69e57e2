//! The one table of kinds: what the server routes by, the store files by, and the CLI names things by. Pure.

use std::sync::{Arc, LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition,
};
use kube::core::object::{HasSpec, HasStatus};
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::condition::ConditionType;
use crate::conversion::Convert;
use crate::defaults::{Defaults, Fill};
use crate::facets::{Faceted, Facets};
use crate::meta::ObjectMeta;
use crate::validate::{FieldError, Rules, SchemaCheck, names_without_a_value, strip_nulls};
use crate::{
    AlertSource, Detector, Incident, LoadBalancer, RemediationPolicy, RunbookEntry, Silence, Workload,
};

/// A resource kind as Rust sees it.
pub trait Kind:
    Resource<DynamicType = ()>
    + CustomResourceExt
    + HasSpec<Spec: Rules + Fill + PartialEq + Serialize + DeserializeOwned + Send + Sync>
    + HasStatus<Status: Convert + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync>
    + Faceted
    + Serialize
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Lower-case plural: its folder in the state directory and its segment in URLs.
    const PLURAL: &'static str;
    /// The types of the conditions that its status may have.
    const CONDITIONS: &'static [ConditionType];

    /// Its row of the table.
    fn info() -> &'static KindInfo;

    /// Its name; every stored object has one.
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }

    /// Its generation; every stored object has one.
    fn generation(&self) -> i64 {
        self.meta().generation.unwrap_or_default()
    }

    /// Whether its deletion was requested and a finalizer still holds it.
    fn is_deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }
}

macro_rules! kinds {
    ($($kind:ident $plural:literal [$($condition:ident),*]),* $(,)?) => {
        $(impl Kind for $kind {
            const PLURAL: &'static str = $plural;
            const CONDITIONS: &'static [ConditionType] = &[$(ConditionType::$condition),*];

            fn info() -> &'static KindInfo {
                static INFO: LazyLock<KindInfo> = LazyLock::new(KindInfo::new::<$kind>);
                &INFO
            }
        })*

        const COUNT: usize = [$($plural),*].len();

        fn rows() -> [&'static KindInfo; COUNT] {
            [$($kind::info()),*]
        }
    };
}

/// Every kind, in the order in which they are listed to people.
pub static KINDS: Kinds = Kinds;

/// The table of kinds.
#[derive(Debug, Clone, Copy)]
pub struct Kinds;

impl Kinds {
    /// Its rows.
    pub fn iter(self) -> std::array::IntoIter<&'static KindInfo, COUNT> {
        rows().into_iter()
    }

    /// How many kinds there are.
    pub fn len(self) -> usize {
        COUNT
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        COUNT == 0
    }
}

kinds! {
    Workload "workloads" [Ready, Progressing, Degraded, Paused, StoppedByHand, ForeignContainers, AutoscalingActive],
    LoadBalancer "loadbalancers" [Ready, Degraded, RequestsCounted],
    Incident "incidents" [
        ContainerNamed, SenderResolved, Silenced, Held, PolicyAllows, Executed, HealthVerified, SymptomCleared, Learned,
        CureNeeded
    ],
    RemediationPolicy "remediationpolicies" [Ready],
    Detector "detectors" [Ready],
    RunbookEntry "runbookentries" [Ready],
    AlertSource "alertsources" [],
    Silence "silences" [],
}

/// A typed object behind `Any`, as [`KindInfo::decode`] makes it.
pub type AnyKind = Arc<dyn std::any::Any + Send + Sync>;

/// A kind as data.
#[derive(Debug)]
pub struct KindInfo {
    /// `Workload`.
    pub kind: &'static str,
    /// `workloads`.
    pub plural: &'static str,
    /// `workload`.
    pub singular: String,
    /// `wl`.
    pub short_names: Vec<String>,
    /// `all`, `aegis`.
    pub categories: Vec<String>,
    /// The types of the conditions that its status may have.
    pub conditions: &'static [ConditionType],
    /// Whether it has the scale subresource.
    pub scalable: bool,
    /// The columns of its CustomResourceDefinition.
    pub columns: Vec<CustomResourceColumnDefinition>,
    schema_check: Result<SchemaCheck, String>,
    crd: fn() -> CustomResourceDefinition,
    decode: fn(Value, &Defaults) -> Result<AnyKind, Vec<FieldError>>,
    convert: fn(&mut Value),
    facets: fn(&AnyKind) -> Facets,
    counted: fn(&AnyKind, &AnyKind) -> Option<String>,
    meta: fn(&AnyKind) -> Option<&ObjectMeta>,
}

/// The kind that a person calls `name`: kind, plural, singular or short name, in any case.
pub fn find(name: &str) -> Option<&'static KindInfo> {
    let lower = name.to_lowercase();
    KINDS.iter().find(|info| {
        info.plural == lower
            || info.singular == lower
            || info.short_names.contains(&lower)
            || info.kind == name
    })
}

impl KindInfo {
    /// The row of a kind.
    pub fn of<K: Kind>() -> &'static Self {
        K::info()
    }

    fn new<K: Kind>() -> Self {
        let crd = K::crd();
        let names = crd.spec.names.clone();
        let version = crd.spec.versions.first();
        let scalable = version
            .and_then(|version| version.subresources.as_ref())
            .is_some_and(|subresources| subresources.scale.is_some());
        let columns = version.and_then(|version| version.additional_printer_columns.clone());
        let columns = columns.unwrap_or_default();
        Self {
            kind: kind_name::<K>(),
            plural: K::PLURAL,
            singular: names.singular.unwrap_or_default(),
            short_names: names.short_names.unwrap_or_default(),
            categories: names.categories.unwrap_or_default(),
            conditions: K::CONDITIONS,
            scalable,
            schema_check: SchemaCheck::new(with_meta(schema(&crd))),
            columns,
            crd: K::crd,
            decode: decode::<K>,
            convert: K::Status::convert,
            facets: facets::<K>,
            counted: counted::<K>,
            meta: meta::<K>,
        }
    }

    /// Its CustomResourceDefinition, made for each call: it takes more memory than all else that is known of a kind.
    pub fn crd(&self) -> CustomResourceDefinition {
        (self.crd)()
    }

    /// The OpenAPI v3 schema of the whole object, as in the CRD, made for each call like it.
    pub fn schema(&self) -> Value {
        schema(&self.crd())
    }

    /// What is kept beside an object of this kind; nothing for one of another.
    pub fn facets(&self, object: &AnyKind) -> Facets {
        (self.facets)(object)
    }

    /// What a change from one object of this kind to another comes to, where it only counts.
    pub fn counted(&self, earlier: &AnyKind, later: &AnyKind) -> Option<String> {
        (self.counted)(earlier, later)
    }

    /// The metadata of an object of this kind; none of one of another.
    pub fn meta<'a>(&self, object: &'a AnyKind) -> Option<&'a ObjectMeta> {
        (self.meta)(object)
    }

    /// The condition of this kind that a person calls `name`, in any case of letters.
    pub fn condition(&self, name: &str) -> Option<ConditionType> {
        let mut conditions = self.conditions.iter().copied();
        conditions.find(|condition| condition.as_str().eq_ignore_ascii_case(name))
    }

    /// Removes the nulls of an object; what is wrong with those that stand for a value.
    pub fn strip_nulls(&self, object: &mut Value) -> Vec<FieldError> {
        let schema = self.schema_check.as_ref().map(SchemaCheck::schema);
        let errors = schema.map(|schema| names_without_a_value(schema, object));
        let errors = errors.unwrap_or_default();
        strip_nulls(object);
        errors
    }

    /// Validates a whole object as a person or a client wrote it and decodes it, with the built-in defaults where it is
    /// silent. Every error names its field.
    pub fn decode(&self, object: Value) -> Result<(Value, AnyKind), Vec<FieldError>> {
        self.decode_with(object, &Defaults::default())
    }

    /// Validates a whole object as somebody does who does not know the controller's defaults.
    pub fn check(&self, object: Value) -> Result<Value, Vec<FieldError>> {
        self.decode_with(object, &Defaults::unknown())
            .map(|(object, _)| object)
    }

    /// Like [`decode`](Self::decode), with these defaults. The object is answered as it was written, but for nulls, and for
    /// what an earlier version wrote otherwise in its status.
    pub fn decode_with(
        &self,
        mut object: Value,
        defaults: &Defaults,
    ) -> Result<(Value, AnyKind), Vec<FieldError>> {
        let errors = self.strip_nulls(&mut object);
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(status) = object.get_mut("status") {
            (self.convert)(status);
        }
        let check = self
            .schema_check
            .as_ref()
            .map_err(|error| vec![FieldError::invalid("", self.kind, error)])?;
        let errors = check.errors(&object);
        if !errors.is_empty() {
            return Err(errors);
        }
        check_name(&object)?;
        let typed = (self.decode)(object.clone(), defaults)?;
        Ok((object, typed))
    }
}

fn kind_name<K: Kind>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(name) => name,
        std::borrow::Cow::Owned(_) => K::PLURAL,
    }
}

fn facets<K: Kind>(object: &AnyKind) -> Facets {
    object
        .downcast_ref::<K>()
        .map(Faceted::facets)
        .unwrap_or_default()
}

fn counted<K: Kind>(earlier: &AnyKind, later: &AnyKind) -> Option<String> {
    let (earlier, later) = (earlier.downcast_ref::<K>()?, later.downcast_ref::<K>()?);
    let (old, new) = (earlier.meta(), later.meta());
    let is_attached_the_same = old.labels == new.labels
        && old.annotations == new.annotations
        && old.owner_references == new.owner_references
        && old.finalizers == new.finalizers;
    earlier.counted(later).filter(|_| is_attached_the_same)
}

fn meta<K: Kind>(object: &AnyKind) -> Option<&ObjectMeta> {
    object.downcast_ref::<K>().map(Resource::meta)
}

fn decode<K: Kind>(mut object: Value, defaults: &Defaults) -> Result<AnyKind, Vec<FieldError>> {
    if let Some(spec) = object.get_mut("spec") {
        K::Spec::fill(spec, defaults);
    }
    let typed: K = serde_path_to_error::deserialize(object).map_err(|error| {
        let field = error.path().to_string();
        vec![FieldError::invalid(field, "", error.into_inner())]
    })?;
    let mut errors = Vec::new();
    typed.spec().rules("spec", &mut errors);
    if errors.is_empty() {
        Ok(Arc::new(typed))
    } else {
        Err(errors)
    }
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.first();
    let schema = version
        .and_then(|version| version.schema.as_ref())
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    schema
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default()
}

/// The object schema with what every object has besides spec and status.
fn with_meta(mut schema: Value) -> Value {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("apiVersion".to_owned(), serde_json::json!({"type": "string"}));
        properties.insert("kind".to_owned(), serde_json::json!({"type": "string"}));
        properties.insert(
            "metadata".to_owned(),
            serde_json::json!({
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 128},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                    "finalizers": {"type": "array", "items": {"type": "string"}},
                },
                "x-kubernetes-preserve-unknown-fields": true,
            }),
        );
        // A status in a person's file is ignored, so it is not checked either.
        properties.insert(
            "status".to_owned(),
            serde_json::json!({"x-kubernetes-preserve-unknown-fields": true}),
        );
    }
    schema
}

fn check_name(object: &Value) -> Result<(), Vec<FieldError>> {
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match name.parse::<crate::scalar::ResourceName>() {
        Ok(_) => Ok(()),
        Err(error) => Err(vec![FieldError::invalid(
            "metadata.name",
            format!("{name:?}"),
            error,
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(kind: &str, object: Value) -> Vec<String> {
        find(kind)
            .unwrap()
            .decode(object)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn workload(spec: &Value) -> Value {
        json!({"apiVersion": crate::API_VERSION, "kind": "Workload", "metadata": {"name": "web"}, "spec": spec})
    }

    #[test]
    fn a_variable_or_a_label_without_a_value_is_refused_by_name_and_does_not_go_without_a_word() {
        for empty in ["EMPTY:", "EMPTY: null", "EMPTY: ~"] {
            let spec = format!("template:\n  image: web:1\n  env:\n    {empty}\n    FULL: \"\"\n");
            let spec: Value = crate::yaml::parse(&spec).unwrap().remove(0).value;
            let said = errors("Workload", workload(&spec));
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].starts_with("spec.template.env.EMPTY: ") && said[0].contains("write \"\""),
                "{said:?}"
            );
        }
        let mut labelled = workload(&json!({"container": "web"}));
        labelled["metadata"]["labels"] = json!({"tier": null});
        assert!(errors("Workload", labelled)[0].starts_with("metadata.labels.tier: "));
        let silent = json!({"container": "web", "restart": null, "template": null});
        assert!(find("Workload").unwrap().decode(workload(&silent)).is_ok());
    }

    #[test]
    fn what_is_a_duration_is_one_to_the_schema_as_well() {
        let decoded = |text: &str| {
            let spec = json!({"container": "web", "health": {"http": {"path": "/", "port": 80}, "interval": text},
                "strategy": {"progressDeadline": text}});
            find("Workload").unwrap().decode(workload(&spec))
        };
        for text in [
            "1.5s",
            "1m30s",
            ".5m",
            "1m0.5s",
            "90s",
            "1h0m0s",
            "2000ms",
            "1h30m15s500ms",
            "0.25h",
            "300d",
            "1.s",
            "1m.s",
            "1us",
            "1.5",
            "1m 30s",
            "1h-5m",
            "-1s",
            "1e3s",
            "366d",
            "",
        ] {
            let parsed = text.parse::<crate::Duration>();
            let said: Vec<String> = match decoded(text) {
                Ok(_) => Vec::new(),
                Err(errors) => errors.iter().map(ToString::to_string).collect(),
            };
            let by_form = said
                .iter()
                .any(|said| said.contains("must be a number with ms, s, m, h or d"));
            assert_eq!(
                parsed.is_err(),
                by_form || said.iter().any(|said| said.contains("is not a duration")),
                "{text}: {parsed:?}, {said:?}"
            );
        }
        for text in ["1.5s", "1m30s"] {
            assert!(decoded(text).is_ok(), "{:?}", decoded(text).err());
        }
    }

    #[test]
    fn a_number_or_a_yes_where_a_text_belongs_is_refused_with_quote_it_and_what_was_written_unless_it_may_be_a_secret()
     {
        let mut labelled = workload(&json!({"container": "web"}));
        for (written, value) in [("8080", json!(8080)), ("true", json!(true)), ("1.5", json!(1.5))] {
            labelled["metadata"]["labels"] = json!({ "tier": value });
            let said = errors("Workload", labelled.clone());
            assert!(
                said[0].starts_with("metadata.labels.tier: ")
                    && said[0].contains(&format!("quote it: \"{written}\"")),
                "{said:?}"
            );
            let variable = json!({"template": {"image": "web:1", "env": {"PORT": value}}});
            let said = errors("Workload", workload(&variable));
            assert!(
                said[0].starts_with("spec.template.env.PORT: ")
                    && said[0].contains("quote it")
                    && !said[0].contains(written),
                "{said:?}"
            );
        }
    }

    #[test]
    fn what_a_variable_was_to_be_stands_in_no_error_which_others_read_too() {
        let image = "image: web:1";
        for template in [
            "env: {PIN: 424242}",
            "env: {PIN: true424242: no}",
            "env: {PIN: [a, 424242]}",
            "env: {PIN: {a: 424242}}",
            "env: [PIN=424242]",
            "env: PIN=424242",
            "envValueFrom: {PIN: 424242}",
            "env: {PIN: 424242}, command: 7",
        ] {
            let spec = format!("{{template: {{{image}, {template}}}}}");
            no_pin(&spec);
        }
        no_pin("[{template: {env: {PIN: 424242}}}]");
        no_pin("{template: [{env: {PIN: 424242}}]}");
        no_pin("{container: {env: {PIN: 424242}}}");
    }

    fn no_pin(spec: &str) {
        let text = format!(
            "apiVersion: {}\nkind: Workload\nmetadata: {{name: web}}\nspec: {spec}\n",
            crate::API_VERSION
        );
        let Ok(documents) = crate::yaml::parse(&text) else {
            return;
        };
        let document = documents.into_iter().next().unwrap();
        let errors = find("Workload")
            .unwrap()
            .decode(document.value.clone())
            .unwrap_err();
        let errors: Vec<_> = document.locate(errors).iter().map(ToString::to_string).collect();
        assert!(!errors.is_empty(), "{spec}");
        assert!(!errors.concat().contains("424242"), "{spec}: {errors:?}");
    }

    #[test]
    fn every_schema_compiles() {
        for info in KINDS.iter() {
            assert!(
                info.schema_check.is_ok(),
                "{}: {:?}",
                info.kind,
                info.schema_check
            );
        }
    }

    #[test]
    fn every_condition_is_some_kinds() {
        let of_kinds: Vec<ConditionType> = KINDS.iter().flat_map(|info| info.conditions).copied().collect();
        for kind in ConditionType::ALL {
            assert!(of_kinds.contains(kind), "{kind}");
        }
    }

    #[test]
    fn a_kinds_condition_is_found_in_any_case_and_another_kinds_is_not() {
        let workload = find("wl").unwrap();
        assert_eq!(
            workload.condition("stoppedbyhand"),
            Some(ConditionType::StoppedByHand)
        );
        assert_eq!(workload.condition("PolicyAllows"), None);
        assert_eq!(find("inc").unwrap().condition("Ready"), None);
    }

    #[test]
    fn kinds_answer_to_all_their_names() {
        for name in ["wl", "workload", "workloads", "Workload", "WORKLOADS"] {
            assert_eq!(find(name).unwrap().kind, "Workload");
        }
        assert!(find("pods").is_none());
    }

    #[test]
    fn all_errors_come_at_once_and_name_field_and_allowed_values() {
        let errors = errors(
            "wl",
            workload(
                &json!({"container": "a", "replicaz": 2, "replicas": -1, "strategy": {"type": "Recreate"},
                "health": {"http": {"port": 99999}, "interval": "5"}}),
            ),
        );
        let all = errors.join("\n");
        assert!(
            all.contains("spec.replicaz: unknown field (did you mean \"replicas\"?)"),
            "{all}"
        );
        assert!(
            all.contains("spec.replicas: Invalid value: -1: must be 0 or more"),
            "{all}"
        );
        assert!(all.contains("spec.strategy.type: Unsupported value: \"Recreate\": supported values: \"RollingUpdate\", \"InPlace\""), "{all}");
        assert!(
            all.contains("spec.health.http.port: Invalid value: 99999: must be 65535 or less"),
            "{all}"
        );
        assert!(
            all.contains(
                "spec.health.interval: Invalid value: \"5\": must be a number with ms, s, m, h or d"
            ),
            "{all}"
        );
    }

    #[test]
    fn rules_beyond_the_schema_name_their_field_too() {
        assert!(
            errors("wl", workload(&json!({})))
                .join("")
                .contains("spec: Required value: set `container`")
        );
        let both = workload(&json!({"container": "a", "template": {"image": "b"}}));
        assert!(errors("wl", both).join("").contains("spec.template: Forbidden"));
        let zero = workload(&json!({"container": "a", "replicas": 0}));
        assert!(
            errors("wl", zero)
                .join("")
                .contains("spec.replicas: Invalid value: 0")
        );
    }

    #[test]
    fn a_good_object_decodes_and_nulls_are_absent_fields() {
        let object = workload(&json!({"container": "buggy-app-v2", "template": null, "replicas": 2}));
        let (_, typed) = find("wl").unwrap().decode(object).unwrap();
        let typed = typed.downcast::<Workload>().unwrap();
        assert_eq!(typed.spec.replicas, 2);
        assert_eq!(typed.spec.strategy.max_surge, 1);
    }

    #[test]
    fn the_runbooks_terms_have_bounds_and_a_mistake_is_reported() {
        let policy = |runbook: Value| {
            let spec = json!({"analysis": {"runbook": runbook}});
            errors("rp", json!({"metadata": {"name": "all"}, "spec": spec})).join("\n")
        };
        for (runbook, expected) in [
            (
                json!({"trust": 0.2}),
                "spec.analysis.runbook.trust: Invalid value: 0.2: must be 0.5 or more",
            ),
            (
                json!({"trust": 90}),
                "spec.analysis.runbook.trust: Invalid value: 90: must be 1 or less",
            ),
            (
                json!({"similarity": 0}),
                "spec.analysis.runbook.similarity: Invalid value: 0: must be 0.05 or more",
            ),
            (
                json!({"trusts": 1}),
                "spec.analysis.runbook.trusts: unknown field (did you mean \"trust\"?)",
            ),
        ] {
            assert!(policy(runbook.clone()).contains(expected), "{}", policy(runbook));
        }
    }

    #[test]
    fn a_name_that_is_no_file_name_is_refused() {
        let object = json!({"metadata": {"name": "../x"}, "spec": {"container": "a"}});
        assert!(errors("wl", object).join("").contains("metadata.name"));
    }

    #[test]
    fn a_missing_required_field_is_named() {
        let object = json!({"metadata": {"name": "lb"}, "spec": {"container": "a", "backends": [{"workload": "w", "port": 1}]}});
        assert!(
            errors("lb", object)
                .join("")
                .contains("spec.backends[0].upstream: Required value")
        );
    }

    #[test]
    fn a_probe_that_hangs_or_is_not_due_keeps_its_verdict_for_minutes_at_most() {
        let health = |field: &str, value: &str| {
            let mut health = json!({"tcp": {"port": 80}});
            health[field] = value.into();
            workload(&json!({"container": "web", "health": health}))
        };
        for (field, most, over) in [("interval", "10m", "11m"), ("timeout", "2m", "365d")] {
            assert!(find("wl").unwrap().decode(health(field, most)).is_ok());
            let found = errors("wl", health(field, over));
            assert_eq!(found.len(), 1, "{found:?}");
            let named = format!("spec.health.{field}");
            assert!(
                found[0].contains(&named) && found[0].contains(&format!("use {most} or less")),
                "{found:?}"
            );
        }
    }
}
