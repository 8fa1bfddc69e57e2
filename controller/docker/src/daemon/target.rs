//! Which container a caller means. Does I/O.
//!
//! The engine also takes the beginning of an id, so that `stop db` stops whichever container's id begins with `db` once the
//! container `db` is gone. An operation here means a full id or an exact name, or it means nothing.

use aegis_api::observed::ContainerDetails;
use serde_json::Value;

use super::{Docker, failure};
use crate::convert;
use crate::engine::{EngineError, EngineResult};

const ID_LENGTH: usize = 64;
/// As `docker ps` shows ids.
const SHORT_ID_LENGTH: usize = 12;

pub(super) fn none(id: &str, operation: &str) -> EngineError {
    failure::status(operation, 404, &format!("no such container: {id}"))
}

fn can_be_a_name(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_hex(id: &str) -> bool {
    id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether an answer is about the requested container.
fn is_meant(asked: &str, id: &str, name: &str) -> bool {
    asked == id || asked == name || (asked.len() >= SHORT_ID_LENGTH && is_hex(asked) && id.starts_with(asked))
}

impl Docker {
    /// What to write into a request for `id`.
    pub(super) async fn target(&self, id: &str, operation: &str) -> EngineResult<String> {
        if !can_be_a_name(id) {
            return Err(none(id, operation));
        }
        if id.len() == ID_LENGTH || !is_hex(id) {
            return Ok(id.to_owned());
        }
        let found = self.inspect_now(id, operation).await?;
        found
            .map(|container| container.id.into())
            .ok_or_else(|| none(id, operation))
    }

    pub(super) async fn inspect_now(
        &self,
        id: &str,
        operation: &str,
    ) -> EngineResult<Option<ContainerDetails>> {
        if !can_be_a_name(id) {
            return Ok(None);
        }
        let answer = match self.place.get(operation, &format!("/containers/{id}/json")).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let details =
            convert::details(answer).ok_or_else(|| failure::odd(operation, "the answer has no id"))?;
        Ok(Some(details).filter(|found| is_meant(id, &found.id, &found.name)))
    }

    /// The id of the image that a name means now.
    pub(super) async fn image_id(&self, name: &str, operation: &str) -> EngineResult<Option<String>> {
        // An image's name may have slashes and colons, which stand in the path as they are.
        let path: Vec<String> = name
            .split('/')
            .map(|part| super::encoded(part).replace("%3A", ":").replace("%40", "@"))
            .collect();
        match self
            .place
            .get(operation, &format!("/images/{}/json", path.join("/")))
            .await
        {
            Ok(image) => Ok(image.get("Id").and_then(Value::as_str).map(str::to_owned)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_not_taken_for_a_name() {
        let id = "db".repeat(32);
        assert!(!is_meant("db", &id, "other"));
        assert!(is_meant("db", &id, "db"));
        assert!(is_meant(&id, &id, "other"));
        assert!(is_meant(&id[..12], &id, "other"));
        assert!(!is_meant("dbdbdbdbdbxx", &id, "other"));
    }

    #[test]
    fn what_cannot_be_a_name_is_never_sent() {
        for id in ["", "a/b", "../x", "a?b", "a b", "-x", ".x", "ä"] {
            assert!(!can_be_a_name(id), "{id}");
        }
    }
}
