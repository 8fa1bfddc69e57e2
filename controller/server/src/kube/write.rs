//! Changes of objects. All of them go through the store's single writer; what is refused changes nothing. What a client's
//! body makes of an object is worked out before that, of a snapshot, and stored if the object is still that version. Status
//! is the controller's: it has no other writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_api::FieldError;
use aegis_runtime::{Part, Store, StoreError, Stored};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::admission::{Admission, Judged, Sender};
use super::patch::Patch;
use super::query::{self, Query};
use super::target::Target;
use super::{apply, attribution, input, read, scale};
use crate::auth::{Acting, Identity};
use crate::body::{API_LIMIT, BoundedBody};
use crate::state::ServerState;
use crate::status::Status;

/// How often a change is worked out again because the object became another meanwhile.
const TRIES: usize = 10;
/// What Kubernetes says to a writer that had an older version.
const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

pub(super) async fn create(
    State(state): State<ServerState>,
    Acting(store): Acting,
    Sender { identity, admission }: Sender,
    target: Target,
    query: Query,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    let writer = Writer {
        state: &state,
        store: &store,
        sender: &identity,
        admission,
    };
    let mut object = input::object(&body.0)?;
    apply::keep_note(&Value::Null, &mut object);
    make(writer, &target, query.dry_run, object).await
}

/// Who writes, and where.
#[derive(Clone, Copy)]
struct Writer<'a> {
    state: &'a ServerState,
    store: &'a Store,
    sender: &'a Identity,
    admission: Admission,
}

async fn make(
    writer: Writer<'_>,
    target: &Target,
    dry_run: bool,
    mut object: Value,
) -> Result<Response, Status> {
    target.takes()?;
    input::settle(target, &mut object)?;
    attribution::stamp(target.info, &Value::Null, &mut object, &writer.sender.user);
    input::check(target.info, &object, writer.store.defaults())?;
    writer
        .admission
        .of_new(writer.state, target.info, &object)
        .await?;
    let made = writer.store.create(target.info, object, dry_run).await;
    let made = made.map_err(|error| Status::from_store(target.info, error))?;
    Ok((StatusCode::CREATED, Json(&made.value())).into_response())
}

pub(super) async fn update(
    State(state): State<ServerState>,
    Acting(store): Acting,
    Sender { identity, admission }: Sender,
    target: Target,
    query: Query,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    target.exists()?;
    let mut object = input::object(&body.0)?;
    input::settle(&target, &mut object)?;
    input::check(target.info, &object, store.defaults())?;
    let edit: Edit = Arc::new(move |_| Ok(object.clone()));
    let judged = admission.of_change(&state, &target, &edit).await?;
    let by = By {
        user: &identity.user,
        judged,
        applies: false,
    };
    let stored = commit(&store, by, &target, query.dry_run, edit).await?;
    Ok(Json(&stored.value()).into_response())
}

pub(super) async fn patch(
    State(state): State<ServerState>,
    Acting(store): Acting,
    Sender { identity, admission }: Sender,
    target: Target,
    query: Query,
    headers: HeaderMap,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    let patch = parse(&headers, &body)?;
    let applies = matches!(patch, Patch::Apply(_));
    let edit: Edit = match patch {
        Patch::Apply(mut config) => {
            input::settle(&target, &mut config)?;
            let manager = query.manager;
            let refused =
                |conflicts: Vec<FieldError>| Status::apply_conflict(target.info, &target.name, &conflicts);
            let Ok(current) = read::found(&state, &target) else {
                let writer = Writer {
                    state: &state,
                    store: &store,
                    sender: &identity,
                    admission,
                };
                let object = apply::applied(&json!({}), &config, &manager).map_err(refused)?;
                return make(writer, &target, query.dry_run, object).await;
            };
            // Said here with each field; what becomes of the object is worked out of its newest version.
            apply::applied(&current.value(), &config, &manager).map_err(refused)?;
            Arc::new(move |current| {
                let applied = apply::applied(&current.value(), &config, &manager);
                applied.map_err(|conflicts| apply::words(&conflicts))
            })
        }
        patch => Arc::new(move |current| patch.apply(&current.value())),
    };
    target.exists()?;
    let judged = admission.of_change(&state, &target, &edit).await?;
    let by = By {
        user: &identity.user,
        judged,
        applies,
    };
    let stored = commit(&store, by, &target, query.dry_run, edit).await?;
    Ok(Json(&stored.value()).into_response())
}

pub(super) fn parse(headers: &HeaderMap, body: &BoundedBody<API_LIMIT>) -> Result<Patch, Status> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Patch::parse(content_type, &body.0)
}

/// Changes a part of an object.
pub(super) async fn part(
    Acting(store): Acting,
    target: Target,
    query: Query,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    changeable(&target)?;
    let wanted = input::object(&body.0)?;
    scale::set(&store, &target, query.dry_run, move |_| Ok(wanted.clone())).await
}

/// Patches a part of an object.
pub(super) async fn patch_part(
    Acting(store): Acting,
    target: Target,
    query: Query,
    headers: HeaderMap,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    changeable(&target)?;
    let patch = parse(&headers, &body)?;
    scale::set(&store, &target, query.dry_run, move |scale| patch.apply(scale)).await
}

fn changeable(target: &Target) -> Result<(), Status> {
    match target.subresource.as_str() {
        "status" => Err(Status::controller_only(target.info, &target.name)),
        "scale" if target.info.scalable => target.exists(),
        _ => Err(Status::no_route()),
    }
}

pub(super) async fn delete(
    Acting(store): Acting,
    target: Target,
    query: Query,
    body: BoundedBody<API_LIMIT>,
) -> Result<Response, Status> {
    target.exists()?;
    let options = Options::read(&body.0)?;
    let dry_run = query.dry_run || options.dry_run;
    let gone = store
        .delete(
            target.info,
            &target.name,
            options.uid,
            options.resource_version,
            dry_run,
        )
        .await;
    let gone = gone.map_err(|error| Status::from_store(target.info, error))?;
    if gone.is_deleting() {
        return Ok(Json(&gone.value()).into_response());
    }
    let details = json!({"name": target.name, "group": aegis_api::GROUP, "kind": target.info.plural, "uid": gone.uid()});
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(Json(success).into_response())
}

/// What a deletion depends on.
#[derive(Debug, Default, PartialEq)]
struct Options {
    uid: Option<String>,
    resource_version: Option<u64>,
    dry_run: bool,
}

impl Options {
    /// Reads `DeleteOptions`; how dependants are treated changes nothing here. A binary body holds nothing else.
    fn read(body: &[u8]) -> Result<Self, Status> {
        if body.is_empty() || body.starts_with(b"k8s\0") {
            return Ok(Self::default());
        }
        let options = input::object(body)?;
        let text = |path: &str| options.pointer(path).and_then(Value::as_str);
        let dry_run = options
            .get("dryRun")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        Ok(Self {
            uid: text("/preconditions/uid").map(str::to_owned),
            resource_version: query::version(text("/preconditions/resourceVersion").unwrap_or_default())?,
            dry_run: query::dry_run(dry_run)?,
        })
    }
}

/// Who makes a change, and what was judged of it.
struct By<'a> {
    user: &'a Arc<str>,
    judged: Judged,
    /// On the server's side, as a field manager.
    applies: bool,
}

/// What a body makes of an object. May take long: neither for the store's writer nor for the async workers.
pub(super) type Edit = Arc<dyn Fn(&Stored) -> Result<Value, String> + Send + Sync>;

/// Makes an object what `edit` makes of it, if that is of the current version, keeps what cannot change, and validates.
async fn commit(
    store: &Store,
    by: By<'_>,
    target: &Target,
    dry_run: bool,
    edit: Edit,
) -> Result<Arc<Stored>, Status> {
    let (info, name) = (target.info, target.name.as_str());
    let By {
        user,
        judged,
        applies,
    } = by;
    let user = Arc::clone(user);
    let edit = move |current: &Stored| {
        let mut wanted = edit(current).map_err(|why| refused(current, why))?;
        let is_judged = judged.holds_for(current, &wanted);
        if !applies {
            apply::keep_note(&current.value(), &mut wanted);
        }
        attribution::stamp(current.info, &current.value(), &mut wanted, &user);
        consistent(current, &wanted)?;
        if !is_judged {
            return Err(conflict(current, MODIFIED));
        }
        let errors = input::errors(current.info, &wanted, current.defaults());
        if !errors.is_empty() {
            let (kind, name) = (current.info.kind.to_owned(), current.name().to_owned());
            return Err(StoreError::Invalid { kind, name, errors });
        }
        let finalizers = finalizers(&wanted);
        Ok((wanted, finalizers))
    };
    let (stored, wanted) = change(store, target, dry_run, edit).await?;
    if dry_run || wanted == finalizers(&stored.value()) {
        return Ok(stored);
    }
    let edit = move |current: &Stored| Ok(with_finalizers(&current.value(), &wanted));
    let stored = store.edit(info, name, Part::Finalizers, false, edit).await;
    stored.map_err(|error| Status::from_store(info, error))
}

/// Works out what becomes of an object, beside the store's writer and its async workers, and stores it if the object is
/// still what it was worked out for; else again. `edit` answers the whole object, and what the caller keeps of it.
pub(super) async fn change<F, T>(
    store: &Store,
    target: &Target,
    dry_run: bool,
    edit: F,
) -> Result<(Arc<Stored>, T), Status>
where
    F: Fn(&Stored) -> Result<(Value, T), StoreError> + Send + Sync + 'static,
    T: Send + 'static,
{
    let (info, name) = (target.info, target.name.as_str());
    let edit = Arc::new(edit);
    for _ in 0..TRIES {
        let current = store.get_stored(info, name);
        let current = current.ok_or_else(|| Status::not_found(info, name))?;
        let (version, edit) = (current.resource_version, Arc::clone(&edit));
        let made = tokio::task::spawn_blocking(move || edit(&current)).await;
        let made =
            made.map_err(|error| Status::internal(format!("the change was not worked out: {error}")))?;
        let (wanted, kept) = made.map_err(|error| Status::from_store(info, error))?;
        let moved = Arc::new(AtomicBool::new(false));
        let has_moved = Arc::clone(&moved);
        let replace = move |now: &Stored| {
            if now.resource_version == version {
                return Ok(wanted);
            }
            has_moved.store(true, Ordering::Relaxed);
            Err(refused(now, MODIFIED.to_owned()))
        };
        match store.edit(info, name, Part::Spec, dry_run, replace).await {
            Err(_) if moved.load(Ordering::Relaxed) => {}
            stored => {
                let stored = stored.map_err(|error| Status::from_store(info, error))?;
                return Ok((stored, kept));
            }
        }
    }
    Err(Status::conflict(info, name, MODIFIED))
}

pub(super) fn refused(current: &Stored, message: String) -> StoreError {
    StoreError::Refused {
        kind: current.info.kind.to_owned(),
        name: current.name().to_owned(),
        message,
    }
}

fn conflict(current: &Stored, message: &str) -> StoreError {
    StoreError::Conflict {
        kind: current.info.kind.to_owned(),
        name: current.name().to_owned(),
        message: message.to_owned(),
    }
}

/// Refuses an object of another version, and changes of what never changes.
pub(super) fn consistent(current: &Stored, wanted: &Value) -> Result<(), StoreError> {
    let before = current.value();
    let differs = |pointer: &str| {
        let (then, now) = (before.pointer(pointer), wanted.pointer(pointer));
        now.is_some_and(|now| !now.is_null() && now.as_str() != Some("") && then != Some(now))
    };
    if differs("/metadata/resourceVersion") {
        return Err(conflict(current, MODIFIED));
    }
    if differs("/metadata/uid") {
        let message = "it is another object of the same name: its uid differs";
        return Err(conflict(current, message));
    }
    for (pointer, field) in [
        ("/metadata/name", "metadata.name"),
        ("/metadata/namespace", "metadata.namespace"),
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
    ] {
        if differs(pointer) {
            return Err(refused(
                current,
                format!("{field}: Invalid value: field is immutable"),
            ));
        }
    }
    Ok(())
}

fn finalizers(object: &Value) -> Vec<String> {
    let listed = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn with_finalizers(object: &Value, names: &[String]) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("finalizers".to_owned(), names.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delete_options_are_read_and_nonsense_is_refused() {
        assert_eq!(Options::read(b"").unwrap(), Options::default());
        assert_eq!(
            Options::read(br#"{"propagationPolicy":"Background"}"#).unwrap(),
            Options::default()
        );
        let options =
            Options::read(br#"{"preconditions":{"uid":"u","resourceVersion":"7"},"dryRun":["All"]}"#)
                .unwrap();
        assert_eq!(
            options,
            Options {
                uid: Some("u".to_owned()),
                resource_version: Some(7),
                dry_run: true
            }
        );
        assert!(Options::read(br#"{"dryRun":["Some"]}"#).is_err());
        assert!(Options::read(b"[").is_err());
    }
}
