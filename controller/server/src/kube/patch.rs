//! Patches: merge (RFC 7386), JSON patch (RFC 6902), apply. Strategic merge is served as merge: for these kinds there is
//! no strategy to follow. Pure.

use json_patch::{PatchOperation, merge};
use serde_json::Value;

use super::input;
use crate::status::Status;

/// Most operations of a JSON patch.
const OPERATIONS: usize = 1000;
/// Largest object that a JSON patch may make, bytes: `copy` can double it with every operation.
const LARGEST: usize = 2 << 20;
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

    /// The object after the patch; why it does not apply.
    pub(super) fn apply(&self, object: &Value) -> Result<Value, String> {
        let mut object = object.clone();
        match self {
            Self::Merge(patch) | Self::Apply(patch) => merge(&mut object, patch),
            Self::Json(operations) => {
                for operation in operations {
                    let one = std::slice::from_ref(operation);
                    json_patch::patch(&mut object, one)
                        .map_err(|error| format!("the patch does not apply: {error}"))?;
                    if matches!(operation, PatchOperation::Copy(_)) && object.to_string().len() > LARGEST {
                        return Err(format!("the patch makes an object of more than {LARGEST} bytes"));
                    }
                }
            }
        }
        Ok(object)
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
}
