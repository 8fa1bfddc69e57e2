//! Whether a workload serves as its spec asks, and what is missing if not. Pure.

use std::sync::Arc;

use aegis_api::workload::InstanceStatus;
use aegis_api::{Kind as _, LoadBalancer, Workload, condition};

/// What is missing until the workload has exactly the containers that this generation asks for, all ready, and every
/// load balancer that names it sends requests to all of them and to no other. Empty: nothing.
pub(super) fn missing(workload: &Workload, balancers: &[Arc<LoadBalancer>], generation: i64) -> Vec<String> {
    let Some(status) = &workload.status else {
        return vec!["the controller has not looked at the workload yet".to_owned()];
    };
    let mut missing = Vec::new();
    if status.observed_generation.unwrap_or_default() < generation {
        missing.push("the controller has not seen the change yet".to_owned());
    }
    let wanted = workload.spec.replicas;
    if count(status.instances.len()) != wanted {
        missing.push(format!("{} of {wanted} containers exist", status.instances.len()));
    }
    if status.ready_replicas != wanted {
        missing.push(format!(
            "{} of {wanted} containers are ready",
            status.ready_replicas
        ));
    }
    if let Some(ready) = condition::find(&status.conditions, "Ready")
        && ready.status != "True"
    {
        missing.push(format!("{}: {}", ready.reason, ready.message));
    }
    for balancer in naming(workload, balancers) {
        let servers = servers(workload, balancer);
        let waiting: Vec<&str> = status
            .instances
            .iter()
            .map(|instance| instance.name.as_str())
            .filter(|name| !servers.contains(name))
            .collect();
        if !waiting.is_empty() {
            missing.push(format!(
                "load balancer {} does not serve {} yet",
                balancer.name(),
                waiting.join(", ")
            ));
        }
        let leaving = servers
            .iter()
            .filter(|server| !status.instances.iter().any(|instance| instance.name == **server));
        let leaving: Vec<&str> = leaving.copied().collect();
        if !leaving.is_empty() {
            missing.push(format!(
                "load balancer {} still serves {}",
                balancer.name(),
                leaving.join(", ")
            ));
        }
    }
    missing
}

/// Whether any load balancer sends the workload requests.
pub(super) fn balanced(workload: &Workload, balancers: &[Arc<LoadBalancer>]) -> bool {
    naming(workload, balancers).any(|balancer| !servers(workload, balancer).is_empty())
}

/// The containers beside the base, by name: all but the adopted one, or but the first of a template's.
pub(super) fn replicas(workload: &Workload) -> Vec<String> {
    let mut instances: Vec<&InstanceStatus> = workload
        .status
        .iter()
        .flat_map(|status| &status.instances)
        .collect();
    instances.sort_by_key(|instance| instance.index);
    instances
        .iter()
        .skip(1)
        .map(|instance| instance.name.clone())
        .collect()
}

fn naming<'a>(
    workload: &'a Workload,
    balancers: &'a [Arc<LoadBalancer>],
) -> impl Iterator<Item = &'a LoadBalancer> {
    let names = |balancer: &&LoadBalancer| {
        balancer
            .spec
            .backends
            .iter()
            .any(|backend| backend.workload.as_str() == workload.name())
    };
    balancers.iter().map(|balancer| &**balancer).filter(names)
}

fn servers<'a>(workload: &Workload, balancer: &'a LoadBalancer) -> Vec<&'a str> {
    let servers = balancer.status.iter().flat_map(|status| &status.servers);
    servers
        .filter(|server| server.workload == workload.name())
        .map(|server| server.container.as_str())
        .collect()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn workload(replicas: u32, instances: &[&str], ready: u32, condition: &str) -> Workload {
        let rows: Vec<Value> = instances
            .iter()
            .enumerate()
            .map(|(index, name)| {
                json!({"name": name, "id": "i", "index": index, "state": "running", "health": "Healthy", "revision": "r"})
            })
            .collect();
        let ready_condition = json!({"type": "Ready", "status": condition, "reason": "Probing", "message": "waits",
            "lastTransitionTime": "2026-01-31T12:00:00Z"});
        serde_json::from_value(json!({
            "metadata": {"name": "w", "generation": 2}, "spec": {"container": "web", "replicas": replicas},
            "status": {"observedGeneration": 2, "replicas": rows.len(), "readyReplicas": ready, "instances": rows,
                "conditions": [ready_condition]},
        }))
        .unwrap()
    }

    fn balancer(servers: &[&str]) -> Vec<Arc<LoadBalancer>> {
        let servers: Vec<Value> = servers
            .iter()
            .map(|name| json!({"upstream": "u", "workload": "w", "container": name, "id": "i", "address": "1.2.3.4:80"}))
            .collect();
        let balancer = json!({"metadata": {"name": "lb"}, "status": {"servers": servers},
            "spec": {"container": "front", "backends": [{"workload": "w", "port": 80, "upstream": "u"}]}});
        vec![Arc::new(serde_json::from_value(balancer).unwrap())]
    }

    #[test]
    fn nothing_is_missing_when_all_serve() {
        let served = workload(2, &["web", "web-replica-1"], 2, "True");
        assert!(missing(&served, &balancer(&["web", "web-replica-1"]), 2).is_empty());
        assert!(missing(&served, &[], 2).is_empty());
        assert_eq!(replicas(&served), ["web-replica-1"]);
        assert!(!balanced(&served, &[]) && balanced(&served, &balancer(&["web"])));
    }

    #[test]
    fn what_is_missing_is_named() {
        let half = workload(3, &["web", "web-replica-1"], 1, "False");
        assert_eq!(
            missing(&half, &balancer(&["web", "web-replica-9"]), 3),
            [
                "the controller has not seen the change yet",
                "2 of 3 containers exist",
                "1 of 3 containers are ready",
                "Probing: waits",
                "load balancer lb does not serve web-replica-1 yet",
                "load balancer lb still serves web-replica-9",
            ]
        );
    }
}
