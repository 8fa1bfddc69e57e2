//! Facts of the host that a start of a container depends on: networks, runtimes, an image, paths. Does I/O.

use std::collections::BTreeSet;

use aegis_api::observed::{HostFacts, HostQuery};
use serde_json::Value;

use super::Docker;
use crate::engine::EngineResult;
use crate::host_files;

impl Docker {
    pub(super) async fn host_facts_now(&self, query: &HostQuery, operation: &str) -> EngineResult<HostFacts> {
        let mut facts = HostFacts::default();
        if query.networks {
            facts.networks = networks(&self.place.get(operation, "/networks").await?);
        }
        if query.runtimes {
            let info = self.place.get(operation, "/info").await?;
            let runtimes = info.get("Runtimes").and_then(Value::as_object);
            facts.runtimes = runtimes.map(|runtimes| runtimes.keys().cloned().collect());
        }
        if let Some(image) = &query.image {
            facts.has_image = Some(self.image_id(image, operation).await?.is_some());
        }
        if !query.paths.is_empty() {
            let (pid, id) = query.witness.clone();
            facts.missing_paths = host_files::missing(query.paths.clone(), pid, id.into()).await;
        }
        Ok(facts)
    }
}

/// Ids and names of all networks. A member of a swarm learns of most networks only when a container needs them: what it
/// lists says nothing about the others.
fn networks(answer: &Value) -> Option<BTreeSet<String>> {
    let rows = answer.as_array()?;
    if rows.iter().any(|row| text(row, "Scope") == "swarm") {
        return None;
    }
    let keys = rows.iter().flat_map(|row| [text(row, "Id"), text(row, "Name")]);
    Some(keys.filter(|key| !key.is_empty()).collect())
}

fn text(row: &Value, key: &str) -> String {
    row.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn networks_are_known_by_id_and_name_and_not_at_all_in_a_swarm() {
        let front = json!({"Id": "i1", "Name": "front", "Scope": "local"});
        let known = networks(&json!([front])).unwrap();
        assert_eq!(known.into_iter().collect::<Vec<_>>(), ["front", "i1"]);
        assert_eq!(
            networks(&json!([front, {"Id": "i2", "Name": "ingress", "Scope": "swarm"}])),
            None
        );
        assert_eq!(networks(&json!({"message": "x"})), None);
    }
}
