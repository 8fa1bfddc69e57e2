//! What a request makes of an object: validation, generation, finalizers. Pure: the writer gives it the object in
//! force, the time and the next revision, and does with the answer what it says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aegis_api::defaults::Defaults;
use aegis_api::kinds::AnyKind;
use aegis_api::validate::strip_nulls;
use aegis_api::{FieldError, KindInfo, Time};
use serde_json::Value;

use super::bounds;
use super::object::{Desired, Stored, System};
use super::{Edit, Edited, Part, StoreError, Verb};
use crate::disk::layout::refused_name;
use crate::disk::spec_file::check_envelope;

/// When a change is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) revision: u64,
    pub(crate) now: Time,
}

/// What becomes of an object.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing differs.
    Same(Arc<Stored>),
    /// This is its next version. `spec`: whether the desired state has changed.
    Put { object: Stored, verb: Verb, spec: bool },
    /// It goes; this is its last version.
    Gone(Stored),
}

/// The name that an object to be created requests.
pub(crate) fn name_of(info: &KindInfo, object: &Value) -> Result<String, StoreError> {
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let error = match refused_name(name) {
        _ if name.is_empty() => FieldError::required("metadata.name", "every object has a name"),
        Some(why) => FieldError::invalid("metadata.name", format!("{name:?}"), why),
        None => return Ok(name.to_owned()),
    };
    Err(invalid(info, name, vec![error]))
}

/// A new object of this name. Status and system metadata in `object` are ignored.
pub(crate) fn create(
    info: &'static KindInfo,
    name: &str,
    mut object: Value,
    current: Option<&Arc<Stored>>,
    moment: Moment,
    defaults: &Arc<Defaults>,
) -> Result<Outcome, StoreError> {
    let mut errors = info.strip_nulls(&mut object);
    errors.extend(check_envelope(info, None, &object));
    if !errors.is_empty() {
        return Err(invalid(info, name, errors));
    }
    let system = new_system(moment);
    let object = build(info, name, system, Desired::of(&object), None, defaults)?;
    // Reported last: an object that is invalid is so whether or not the name is free.
    if current.is_some() {
        return Err(StoreError::AlreadyExists {
            kind: info.kind.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok(Outcome::Put {
        object,
        verb: Verb::Added,
        spec: true,
    })
}

/// An edit of one part.
pub(crate) fn edit(
    current: &Arc<Stored>,
    part: Part,
    edit: Edit,
    moment: Moment,
) -> Result<Outcome, StoreError> {
    // A caller's bug must not take the only writer down with it.
    let edited = catch_unwind(AssertUnwindSafe(|| edit(current, moment)));
    let edited = edited.unwrap_or_else(|_| Err(refused(current, "the edit failed without saying why")))?;
    let mut wanted = match edited {
        Edited::Whole(wanted) => wanted,
        Edited::Status(status, typed) => return restate(current, &status, typed, moment),
        Edited::Same => return Ok(Outcome::Same(Arc::clone(current))),
    };
    match part {
        Part::Spec => edit_spec(current, wanted, moment),
        Part::Status => {
            strip_nulls(&mut wanted);
            edit_status(current, &wanted, moment)
        }
        Part::Finalizers => {
            strip_nulls(&mut wanted);
            edit_finalizers(current, &wanted, moment)
        }
    }
}

fn edit_spec(current: &Arc<Stored>, mut wanted: Value, moment: Moment) -> Result<Outcome, StoreError> {
    let mut errors = current.info.strip_nulls(&mut wanted);
    errors.extend(check_envelope(current.info, Some(current.name()), &wanted));
    if !errors.is_empty() {
        return Err(invalid(current.info, current.name(), errors));
    }
    respecify(current, Desired::of(&wanted), moment)
}

/// The object with what people write replaced.
pub(crate) fn respecify(
    current: &Arc<Stored>,
    desired: Desired,
    moment: Moment,
) -> Result<Outcome, StoreError> {
    let (before, status) = current.parts();
    if desired == before {
        return Ok(Outcome::Same(Arc::clone(current)));
    }
    let mut system = next(current, moment);
    system.generation += i64::from(desired.spec != before.spec);
    let object = build(
        current.info,
        current.name(),
        system,
        desired,
        status,
        current.defaults(),
    )?;
    Ok(Outcome::Put {
        object,
        verb: Verb::Modified,
        spec: true,
    })
}

fn edit_status(current: &Arc<Stored>, wanted: &Value, moment: Moment) -> Result<Outcome, StoreError> {
    let status = wanted.get("status").filter(|status| !status.is_null());
    if current.has_status(status.map(Value::to_string).as_deref()) {
        return Ok(Outcome::Same(Arc::clone(current)));
    }
    let desired = current.desired();
    let system = next(current, moment);
    let object = build(
        current.info,
        current.name(),
        system,
        desired,
        status.cloned(),
        current.defaults(),
    )?;
    Ok(Outcome::Put {
        object,
        verb: Verb::Modified,
        spec: false,
    })
}

fn restate(
    current: &Arc<Stored>,
    status: &Value,
    typed: AnyKind,
    moment: Moment,
) -> Result<Outcome, StoreError> {
    let text = status.to_string();
    if current.has_status(Some(&text)) {
        return Ok(Outcome::Same(Arc::clone(current)));
    }
    let restated = current.restated(next(current, moment), (status, &text), typed);
    let object = restated.map_err(|errors| invalid(current.info, current.name(), errors))?;
    Ok(Outcome::Put {
        object,
        verb: Verb::Modified,
        spec: false,
    })
}

fn edit_finalizers(current: &Arc<Stored>, wanted: &Value, moment: Moment) -> Result<Outcome, StoreError> {
    let field = "metadata.finalizers";
    let mut finalizers: Vec<String> = Vec::new();
    for finalizer in wanted
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(text) = finalizer.as_str().filter(|text| !text.is_empty()) else {
            let error = FieldError::invalid(
                field,
                finalizer,
                "each finalizer is a text such as 'aegisops.io/containers'",
            );
            return Err(invalid(current.info, current.name(), vec![error]));
        };
        if !finalizers.iter().any(|known| known == text) {
            finalizers.push(text.to_owned());
        }
    }
    let before = &current.system().finalizers;
    if finalizers == *before {
        return Ok(Outcome::Same(Arc::clone(current)));
    }
    // Whatever there is may be taken away.
    if finalizers.iter().any(|finalizer| !before.contains(finalizer)) {
        let errors = bounds::errors(&serde_json::json!({"metadata": {"finalizers": finalizers}}));
        if !errors.is_empty() {
            return Err(invalid(current.info, current.name(), errors));
        }
    }
    if current.is_deleting() && finalizers.iter().any(|finalizer| !before.contains(finalizer)) {
        let error = FieldError::forbidden(
            field,
            "the object is being deleted: finalizers can only be removed",
        );
        return Err(invalid(current.info, current.name(), vec![error]));
    }
    let mut system = next(current, moment);
    system.finalizers = finalizers;
    let gone = current.is_deleting() && system.finalizers.is_empty();
    let (desired, status) = current.parts();
    let object = build(
        current.info,
        current.name(),
        system,
        desired,
        status,
        current.defaults(),
    )?;
    Ok(if gone {
        Outcome::Gone(object)
    } else {
        Outcome::Put {
            object,
            verb: Verb::Modified,
            spec: false,
        }
    })
}

/// A deletion that a caller requests, if the object is the one they mean.
pub(crate) fn delete(
    current: &Arc<Stored>,
    uid: Option<&str>,
    resource_version: Option<u64>,
    moment: Moment,
) -> Result<Outcome, StoreError> {
    let conflict = |message: String| StoreError::Conflict {
        kind: current.info.kind.to_owned(),
        name: current.name().to_owned(),
        message,
    };
    if let Some(uid) = uid.filter(|uid| *uid != current.uid()) {
        return Err(conflict(format!("its uid is {}, not {uid}", current.uid())));
    }
    if let Some(version) = resource_version.filter(|version| *version != current.resource_version) {
        return Err(conflict(format!(
            "its resourceVersion is {}, not {version}",
            current.resource_version
        )));
    }
    mark_deleted(current, moment)
}

/// The object gone, or marked if a finalizer still holds it.
pub(crate) fn mark_deleted(current: &Arc<Stored>, moment: Moment) -> Result<Outcome, StoreError> {
    let mut system = next(current, moment);
    let held = !system.finalizers.is_empty();
    if held && current.is_deleting() {
        return Ok(Outcome::Same(Arc::clone(current)));
    }
    if held {
        system.deletion_timestamp = Some(stamp(moment.now));
    }
    let (desired, status) = current.parts();
    let object = build(
        current.info,
        current.name(),
        system,
        desired,
        status,
        current.defaults(),
    )?;
    Ok(if held {
        Outcome::Put {
            object,
            verb: Verb::Modified,
            spec: false,
        }
    } else {
        Outcome::Gone(object)
    })
}

/// System metadata of a new object.
pub(crate) fn new_system(moment: Moment) -> System {
    System {
        uid: uuid::Uuid::new_v4().to_string(),
        creation_timestamp: stamp(moment.now),
        generation: 1,
        resource_version: moment.revision,
        deletion_timestamp: None,
        finalizers: Vec::new(),
    }
}

/// An instant as Kubernetes' metadata spells it: whole seconds, UTC.
pub(crate) fn stamp(now: Time) -> String {
    now.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn next(current: &Stored, moment: Moment) -> System {
    System {
        resource_version: moment.revision,
        ..current.system().clone()
    }
}

pub(crate) fn build(
    info: &'static KindInfo,
    name: &str,
    system: System,
    desired: Desired,
    status: Option<Value>,
    defaults: &Arc<Defaults>,
) -> Result<Stored, StoreError> {
    Stored::build(info, name, system, desired, status, defaults).map_err(|errors| invalid(info, name, errors))
}

fn invalid(info: &KindInfo, name: &str, errors: Vec<FieldError>) -> StoreError {
    StoreError::Invalid {
        kind: info.kind.to_owned(),
        name: name.to_owned(),
        errors,
    }
}

fn refused(object: &Stored, message: &str) -> StoreError {
    StoreError::Refused {
        kind: object.info.kind.to_owned(),
        name: object.name().to_owned(),
        message: message.to_owned(),
    }
}
