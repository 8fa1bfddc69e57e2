//! How large an object may be, and how many of a kind there may be: whatever is stored is kept in memory, in files, and by
//! those who watch. Pure.

use aegis_api::{FieldError, KindInfo};
use serde_json::Value;

use super::StoreError;

/// Most objects of a kind.
pub(crate) const OBJECTS: usize = 20_000;
/// Bytes of all annotations of an object, keys and values, as in Kubernetes.
const ANNOTATIONS: usize = 256 << 10;
/// Bytes of all labels of an object, keys and values.
const LABELS: usize = 32 << 10;
/// Most finalizers, and most owners.
const LISTED: usize = 64;
/// Bytes of one finalizer.
const FINALIZER: usize = 256;
/// Bytes of all owners, as JSON.
const OWNERS: usize = 32 << 10;
/// Bytes that people may write into one object, as JSON: a file of it must be small enough to be read again.
const OBJECT: usize = 1 << 20;

/// What of an object is too large: its metadata, or all that people write of it.
pub(crate) fn errors(object: &Value) -> Vec<FieldError> {
    let metadata = |field: &str| object.get("metadata").and_then(|metadata| metadata.get(field));
    let texts = [("annotations", ANNOTATIONS), ("labels", LABELS)];
    let texts = texts.into_iter().filter_map(|(field, most)| {
        let bytes = metadata(field).map_or(0, text_bytes);
        (bytes > most).then(|| {
            too_long(
                &format!("metadata.{field}"),
                bytes,
                most,
                "all keys and values together",
            )
        })
    });
    let lists = ["finalizers", "ownerReferences"].into_iter().filter_map(|field| {
        let count = metadata(field).and_then(Value::as_array).map_or(0, Vec::len);
        (count > LISTED).then(|| {
            FieldError::invalid(
                format!("metadata.{field}"),
                count,
                format!("must have at most {LISTED} items"),
            )
        })
    });
    let owners = metadata("ownerReferences").map_or(0, size);
    let owners = (owners > OWNERS).then(|| too_long("metadata.ownerReferences", owners, OWNERS, "as JSON"));
    let names = metadata("finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names = names.filter_map(|name| finalizer(name.as_str()?));
    let whole = ["metadata", "spec"].iter().filter_map(|part| object.get(part));
    let whole = whole.map(size).fold(0, usize::saturating_add);
    let whole = (whole > OBJECT).then(|| too_long("", whole, OBJECT, "metadata and spec as JSON"));
    texts
        .chain(lists)
        .chain(owners)
        .chain(names)
        .chain(whole)
        .collect()
}

/// What is wrong with the length of a finalizer's name.
fn finalizer(name: &str) -> Option<FieldError> {
    let (field, bytes) = ("metadata.finalizers", name.len());
    (bytes > FINALIZER).then(|| too_long(field, bytes, FINALIZER, "each"))
}

/// Why there is no room for one more object of the kind.
pub(crate) fn room(info: &KindInfo, name: &str, count: usize) -> Result<(), StoreError> {
    if count < OBJECTS {
        return Ok(());
    }
    Err(StoreError::TooMany {
        kind: info.kind.to_owned(),
        name: name.to_owned(),
        most: OBJECTS,
    })
}

fn too_long(field: &str, bytes: usize, most: usize, of: &str) -> FieldError {
    FieldError::invalid(
        field,
        format!("{bytes} bytes"),
        format!("must have at most {most} bytes, {of}"),
    )
}

/// Bytes of the keys and values of a map of texts.
fn text_bytes(map: &Value) -> usize {
    let pairs = map.as_object().into_iter().flatten();
    let bytes = pairs.map(|(key, value)| key.len().saturating_add(value.as_str().map_or(0, str::len)));
    bytes.fold(0, usize::saturating_add)
}

/// Bytes of a value as JSON, without writing it anywhere.
fn size(value: &Value) -> usize {
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::kinds::find;
    use serde_json::json;

    fn fields(object: &Value) -> Vec<String> {
        errors(object)
            .into_iter()
            .map(|error| error.to_string())
            .collect()
    }

    #[test]
    fn what_is_within_the_bounds_passes() {
        let object = json!({"metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"a": "x".repeat(250 << 10)},
            "finalizers": ["aegisops.io/containers"], "ownerReferences": [{"uid": "1"}]}, "spec": {"a": "x".repeat(500 << 10)}});
        assert_eq!(fields(&object), [""; 0]);
        assert_eq!(fields(&json!(null)), [""; 0]);
    }

    #[test]
    fn each_bound_of_an_object_names_its_field_and_what_is_allowed() {
        let many = |count: usize| vec!["a"; count];
        let big = "x".repeat(300 << 10);
        for (object, field, bound) in [
            (
                json!({"metadata": {"annotations": {"a": big}}}),
                "metadata.annotations",
                "262144 bytes",
            ),
            (
                json!({"metadata": {"labels": {"a": big}}}),
                "metadata.labels",
                "32768 bytes",
            ),
            (
                json!({"metadata": {"finalizers": many(65)}}),
                "metadata.finalizers",
                "64 items",
            ),
            (
                json!({"metadata": {"finalizers": [big]}}),
                "metadata.finalizers",
                "256 bytes",
            ),
            (
                json!({"metadata": {"ownerReferences": many(65)}}),
                "metadata.ownerReferences",
                "64 items",
            ),
            (
                json!({"metadata": {"ownerReferences": [{"uid": big}]}}),
                "metadata.ownerReferences",
                "32768 bytes",
            ),
            (json!({"spec": {"a": vec![big; 4]}}), "", "1048576 bytes"),
        ] {
            let errors = fields(&object);
            assert_eq!(errors.len(), 1, "{field}: {errors:?}");
            let error = &errors[0];
            assert!(
                error.contains(field) && error.contains(bound) && error.len() < 200,
                "{error}"
            );
        }
    }

    #[test]
    fn a_kind_has_room_for_so_many_objects_and_the_error_says_how_many() {
        let info = find("wl").unwrap();
        assert!(room(info, "web", OBJECTS - 1).is_ok());
        let error = room(info, "web", OBJECTS).unwrap_err().to_string();
        assert!(error.contains("Workload") && error.contains("20000"), "{error}");
    }
}
