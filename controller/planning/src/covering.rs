//! Which Workload a container belongs to: the one home of this rule, for alerts, incidents and requests to scale. Pure.

use std::sync::Arc;

use aegis_api::{Kind as _, Workload};

/// The workload that covers a container: it adopts it, has it, or is called like it.
pub fn covering<'a>(workloads: &'a [Arc<Workload>], container: &str) -> Option<&'a Arc<Workload>> {
    let adopts = |workload: &Workload| {
        let adopted = workload.spec.container.as_ref();
        adopted.is_some_and(|name| name.as_str() == container)
    };
    let has = |workload: &Workload| {
        let mut instances = workload.status.iter().flat_map(|status| &status.instances);
        instances.any(|instance| instance.name == container)
    };
    let called = |workload: &Workload| workload.name() == container;
    let find = |test: &dyn Fn(&Workload) -> bool| workloads.iter().find(|workload| test(workload));
    find(&adopts).or_else(|| find(&has)).or_else(|| find(&called))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_container_belongs_to_who_adopts_it_then_has_it_then_is_called_like_it() {
        fn name<'a>(workloads: &'a [Arc<Workload>], container: &str) -> Option<&'a str> {
            covering(workloads, container).map(|workload| workload.name())
        }
        let workload = |name: &str, spec: Value, status: Value| -> Arc<Workload> {
            Arc::new(
                serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec, "status": status}))
                    .unwrap(),
            )
        };
        let instance = json!({"name": "b-replica-1", "id": "i", "index": 1, "state": "running", "health": "Healthy",
            "revision": "r"});
        let workloads = [
            workload("a", json!({"container": "web"}), Value::Null),
            workload(
                "b",
                json!({"template": {"image": "i"}}),
                json!({"instances": [instance]}),
            ),
            workload("web", json!({"container": "other"}), Value::Null),
        ];
        assert_eq!(name(&workloads, "web"), Some("a"));
        assert_eq!(name(&workloads, "b-replica-1"), Some("b"));
        assert_eq!(name(&workloads, "b"), Some("b"));
        assert_eq!(name(&workloads, "b-replica-9"), None);
    }
}
