//! Patches: merge (RFC 7386), JSON patch (RFC 6902), apply. Strategic merge is served as merge: for these kinds there is
//! no strategy to follow. Bounds what a patch may make: how deep, and how much it may copy. Pure.

use json_patch::jsonptr::Pointer;
use json_patch::{PatchOperation, merge};
use serde_json::Value;

use super::input;
use crate::status::Status;

/// Most operations of a JSON patch.
const OPERATIONS: usize = 1000;
/// Bytes of JSON that the `copy` operations of a patch may copy, all together: each of them can double an object.
const COPIED: usize = 2 << 20;
/// How deep an object may be nested: as deep as a body is read. What is deeper could not be stored, and much deeper than
/// that ends the process.
const DEPTH: usize = 128;
/// What is understood.
const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, \
                        application/strategic-merge-patch+json, application/apply-patch+yaml";

/// A patch that was read.
#[derive(Debug, Clone)]
pub(super) enum Patch {
    /// Changes an object that is there.
    Merge(Value),
    /// The same, operation by operation.
    Json(Vec<PatchOperation>),
    /// Changes an object, or makes it.
    Apply(Value),
}

impl Patch {
    /// Reads a patch of this content type.
    pub(super) fn parse(content_type: &str, body: &[u8]) -> Result<Self, Status> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                Ok(Self::Merge(input::object(body)?))
            }
            "application/apply-patch+yaml" | "application/apply-patch+json" => {
                Ok(Self::Apply(input::object(body)?))
            }
            "application/json-patch+json" => {
                let operations: Vec<PatchOperation> = serde_json::from_slice(body).map_err(|error| {
                    Status::bad_request(format!("the body of the request is no JSON patch: {error}"))
                })?;
                if operations.len() > OPERATIONS {
                    let message = format!("the patch has more than {OPERATIONS} operations");
                    return Err(Status::bad_request(message));
                }
                Ok(Self::Json(operations))
            }
            _ => Err(Status::unknown_format(ACCEPTED)),
        }
    }

    /// The object after the patch; why it does not apply. May take long: not for the store's writer.
    pub(super) fn apply(&self, object: &Value) -> Result<Value, String> {
        let mut object = object.clone();
        match self {
            // As deep as the deeper one of the two, which both were read within the bound.
            Self::Merge(patch) | Self::Apply(patch) => merge(&mut object, patch),
            Self::Json(operations) => {
                let mut left = COPIED;
                for operation in operations {
                    left = copied(&object, operation, left)?;
                    json_patch::patch(&mut object, std::slice::from_ref(operation))
                        .map_err(|error| format!("the patch does not apply: {error}"))?;
                    bounded(&object, operation)?;
                }
            }
        }
        Ok(object)
    }
}

/// What is left of the bytes that may be copied, after this operation.
fn copied(object: &Value, operation: &PatchOperation, left: usize) -> Result<usize, String> {
    let PatchOperation::Copy(copy) = operation else {
        return Ok(left);
    };
    let bytes = object
        .pointer(copy.from.as_str())
        .map_or(0, |from| from.to_string().len());
    left.checked_sub(bytes)
        .ok_or_else(|| format!("the patch does not apply: its copies make more than {COPIED} bytes"))
}

/// Checks the depth of what an operation has put into the object, before anything walks through it unbounded.
fn bounded(object: &Value, operation: &PatchOperation) -> Result<(), String> {
    let path: &Pointer = match operation {
        PatchOperation::Add(add) => &add.path,
        PatchOperation::Replace(replace) => &replace.path,
        PatchOperation::Move(moved) => &moved.path,
        PatchOperation::Copy(copy) => &copy.path,
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    // What was put at the end of an array, `-`, cannot be looked up: its array can.
    let (at, put) = [Some(path), path.parent()]
        .into_iter()
        .flatten()
        .find_map(|path| Some((path.count(), object.pointer(path.as_str())?)))
        .unwrap_or((0, object));
    match DEPTH.checked_sub(at).is_some_and(|left| fits(put, left)) {
        true => Ok(()),
        false => Err(format!(
            "the patch does not apply: it nests the object deeper than {DEPTH} levels"
        )),
    }
}

/// Whether a value has no more than so many levels. Looks no deeper than that.
fn fits(value: &Value, levels: usize) -> bool {
    match (value, levels.checked_sub(1)) {
        (Value::Array(items), Some(left)) => items.iter().all(|item| fits(item, left)),
        (Value::Object(fields), Some(left)) => fields.values().all(|field| fits(field, left)),
        (Value::Array(_) | Value::Object(_), None) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_type_does_what_its_standard_says() {
        let object = json!({"spec": {"replicas": 1, "a": [1, 2]}, "metadata": {"labels": {"x": "1"}}});
        let merge = br#"{"spec":{"replicas":3,"a":[9]},"metadata":{"labels":{"x":null}}}"#;
        for kind in [
            "application/merge-patch+json",
            "application/strategic-merge-patch+json; charset=utf-8",
        ] {
            let after = Patch::parse(kind, merge).unwrap().apply(&object).unwrap();
            assert_eq!(
                after,
                json!({"spec": {"replicas": 3, "a": [9]}, "metadata": {"labels": {}}})
            );
        }
        let operations =
            br#"[{"op":"test","path":"/spec/replicas","value":1},{"op":"remove","path":"/spec/a/0"}]"#;
        let patch = Patch::parse("application/json-patch+json", operations).unwrap();
        assert_eq!(patch.apply(&object).unwrap()["spec"]["a"], json!([2]));
        assert!(patch.apply(&json!({"spec": {"replicas": 2}})).is_err());
        let apply = Patch::parse("application/apply-patch+yaml", b"spec:\n  replicas: 2\n").unwrap();
        assert_eq!(apply.apply(&object).unwrap()["spec"]["replicas"], 2);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        assert_eq!(
            Patch::parse("application/json", b"{}").unwrap_err().reason,
            "UnsupportedMediaType"
        );
        assert_eq!(Patch::parse("", b"{}").unwrap_err().code.as_u16(), 415);
        for body in [&b"null"[..], b"[1]", b"{"] {
            assert_eq!(
                Patch::parse("application/merge-patch+json", body)
                    .unwrap_err()
                    .code
                    .as_u16(),
                400
            );
        }
        assert_eq!(
            Patch::parse("application/json-patch+json", b"{}")
                .unwrap_err()
                .code
                .as_u16(),
            400
        );
    }

    #[test]
    fn a_patch_that_doubles_an_object_again_and_again_is_stopped() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": "x".repeat(1000)})];
        for n in 0..100 {
            operations.push(json!({"op": "copy", "from": "", "path": format!("/c{n}")}));
        }
        let patch = Patch::parse(
            "application/json-patch+json",
            json!(operations).to_string().as_bytes(),
        )
        .unwrap();
        assert!(patch.apply(&json!({})).unwrap_err().contains("more than"));
    }

    /// Each turn moves all there is below a value that is nested itself. Far fewer than would end the process.
    #[test]
    fn a_patch_that_nests_an_object_deeper_and_deeper_is_refused_at_the_bound() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let innermost = "/0".repeat(19);
        let turn = format!(
            r#"{{"op":"add","path":"/y","value":{}}},{{"op":"move","from":"/x","path":"/y{innermost}"}},
               {{"op":"move","from":"/y","path":"/x"}}"#,
            nested(20)
        );
        for (turns, applies) in [(5, true), (7, false), (100, false)] {
            let operations = vec![turn.clone(); turns].join(",");
            let patch = Patch::parse(
                "application/json-patch+json",
                format!("[{operations}]").as_bytes(),
            );
            let applied = patch.unwrap().apply(&json!({"x": 1}));
            assert_eq!(applied.is_ok(), applies, "{turns}: {applied:?}");
            let message = applied
                .err()
                .unwrap_or_else(|| "deeper than 128 levels".to_owned());
            assert!(message.contains("deeper than 128 levels"), "{message}");
        }
    }

    #[test]
    fn what_is_appended_to_an_array_counts_by_its_depth_too() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let operations = format!(
            r#"[{{"op":"add","path":"/a","value":{deep}}},{{"op":"add","path":"/a{}/-","value":{deep}}}]"#,
            "/0".repeat(60)
        );
        let patch = Patch::parse("application/json-patch+json", operations.as_bytes()).unwrap();
        assert!(patch.apply(&json!({})).unwrap_err().contains("deeper than"));
    }

    #[test]
    fn what_copies_come_to_is_bounded_and_copies_of_little_are_not() {
        let copies = |bytes: usize| {
            let mut operations = vec![json!({"op": "add", "path": "/a", "value": "x".repeat(bytes)})];
            operations.extend((0..900).map(|_| json!({"op": "copy", "from": "/a", "path": "/b"})));
            Patch::parse(
                "application/json-patch+json",
                json!(operations).to_string().as_bytes(),
            )
            .unwrap()
        };
        assert!(copies(1000).apply(&json!({})).is_ok());
        assert!(
            copies(10_000)
                .apply(&json!({}))
                .unwrap_err()
                .contains("more than 2097152 bytes")
        );
    }
}
