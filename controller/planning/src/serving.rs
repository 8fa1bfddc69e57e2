//! Whether a workload serves as its spec asks, and load balancers send requests to just its containers: the one home of
//! this rule, for the proof of a remedy and for who waits for a scaling. Pure.

use std::sync::Arc;

use aegis_api::load_balancer::{Protocol, Server};
use aegis_api::workload::InstanceStatus;
use aegis_api::{ConditionType, Kind as _, LoadBalancer, Workload, condition};

/// What is missing until the workload has exactly the containers of this generation, all ready, and every
/// load balancer that names it sends requests to all of them and to no other. Empty: nothing.
pub fn missing(workload: &Workload, balancers: &[Arc<LoadBalancer>], generation: i64) -> Vec<String> {
    let Some(status) = &workload.status else {
        return vec!["the controller has not observed the workload yet".to_owned()];
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
    if let Some(ready) = condition::find(&status.conditions, ConditionType::Ready)
        && ready.status != "True"
    {
        missing.push(format!("{}: {}", ready.reason, ready.message));
    }
    for balancer in naming(balancers, workload.name()) {
        let difference = Difference::of(balancer, workload.name(), &status.instances);
        if !difference.waiting.is_empty() {
            let waiting: Vec<&str> = difference.waiting.iter().map(|row| row.name.as_str()).collect();
            missing.push(format!(
                "load balancer {} does not serve {} yet",
                balancer.name(),
                waiting.join(", ")
            ));
        }
        if !difference.strays.is_empty() {
            let strays: Vec<&str> = difference
                .strays
                .iter()
                .map(|server| server.container.as_str())
                .collect();
            missing.push(format!(
                "load balancer {} still serves {}",
                balancer.name(),
                strays.join(", ")
            ));
        }
    }
    missing
}

/// Whether every load balancer that names a workload sends requests to just its present containers.
pub(crate) fn is_in_rotation(
    balancers: &[Arc<LoadBalancer>],
    workload: &str,
    rows: &[InstanceStatus],
) -> bool {
    naming(balancers, workload).all(|balancer| {
        let difference = Difference::of(balancer, workload, rows);
        difference.waiting.is_empty() && difference.strays.is_empty()
    })
}

/// What a load balancer's servers lack, or have too many, beside a workload's containers.
#[derive(Debug)]
struct Difference<'a> {
    /// Containers that stay and get no requests where they are now.
    waiting: Vec<&'a InstanceStatus>,
    /// Servers that are none of the containers.
    strays: Vec<&'a Server>,
}

impl<'a> Difference<'a> {
    fn of(balancer: &'a LoadBalancer, workload: &str, rows: &'a [InstanceStatus]) -> Self {
        let servers = servers(balancer, workload);
        let serves = |row: &InstanceStatus| servers.iter().any(|server| is_at(server, row));
        let is_ours = |server: &Server| rows.iter().any(|row| row.id == server.id);
        Self {
            waiting: rows.iter().filter(|row| !row.draining && !serves(row)).collect(),
            strays: servers
                .iter()
                .copied()
                .filter(|server| !is_ours(server))
                .collect(),
        }
    }
}

/// Whether a server is this container, at an address that it has now.
fn is_at(server: &Server, row: &InstanceStatus) -> bool {
    let ip = server
        .address
        .rsplit_once(':')
        .map(|(ip, _)| ip.trim_matches(['[', ']']));
    let ip = ip.unwrap_or_default();
    server.id == row.id && row.addresses.values().any(|address| address == ip)
}

/// Whether any load balancer sends the workload requests.
pub fn is_balanced(workload: &Workload, balancers: &[Arc<LoadBalancer>]) -> bool {
    naming(balancers, workload.name()).any(|balancer| !servers(balancer, workload.name()).is_empty())
}

/// The containers beside the base, by name: all but the adopted one, or but the first of a template's.
pub fn replicas(workload: &Workload) -> Vec<String> {
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

/// The load balancers that a workload is a backend of.
pub fn naming<'a>(
    balancers: &'a [Arc<LoadBalancer>],
    workload: &str,
) -> impl Iterator<Item = &'a Arc<LoadBalancer>> {
    balancers.iter().filter(move |balancer| names(balancer, workload))
}

/// Whether a workload is a backend of a load balancer.
pub fn names(balancer: &LoadBalancer, workload: &str) -> bool {
    let mut backends = balancer.spec.backends.iter();
    backends.any(|backend| backend.workload.as_str() == workload)
}

/// Whether a workload gets requests from a load balancer, which are counted; of TCP there are none.
pub fn gets_requests(balancer: &LoadBalancer, workload: &str) -> bool {
    let mut own = balancer
        .spec
        .backends
        .iter()
        .filter(|backend| backend.workload.as_str() == workload);
    own.any(|backend| balancer.spec.protocol_of(&backend.upstream) != Protocol::Tcp)
}

fn servers<'a>(balancer: &'a LoadBalancer, workload: &str) -> Vec<&'a Server> {
    let servers = balancer.status.iter().flat_map(|status| &status.servers);
    servers.filter(|server| server.workload == workload).collect()
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
                json!({"name": name, "id": format!("id-{name}"), "index": index, "state": "running", "health": "Healthy",
                    "revision": "r", "addresses": {"net": "1.2.3.4"}})
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
            .map(|name| json!({"upstream": "u", "workload": "w", "container": name, "id": format!("id-{name}"), "address": "1.2.3.4:80"}))
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
        assert!(!is_balanced(&served, &[]) && is_balanced(&served, &balancer(&["web"])));
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

    #[test]
    fn a_server_is_a_container_at_its_present_address_and_who_leaves_is_not_waited_for() {
        let mut one = workload(1, &["web"], 1, "True");
        let rows = |workload: &Workload| workload.status.as_ref().unwrap().instances.clone();
        assert!(is_in_rotation(&balancer(&["web"]), "w", &rows(&one)));
        let row = &mut one.status.as_mut().unwrap().instances[0];
        row.addresses = [("net".to_owned(), "1.2.3.9".to_owned())].into();
        assert!(!is_in_rotation(&balancer(&["web"]), "w", &rows(&one)));
        assert_eq!(
            missing(&one, &balancer(&["web"]), 2),
            ["load balancer lb does not serve web yet"],
            "nginx sends its requests to where it was"
        );
        one.status.as_mut().unwrap().instances[0].draining = true;
        assert!(missing(&one, &balancer(&[]), 2).is_empty());
        let recreated = balancer(&["web"]);
        one.status.as_mut().unwrap().instances[0].id = "another".into();
        assert_eq!(
            missing(&one, &recreated, 2),
            ["load balancer lb still serves web"],
            "it was recreated under its name"
        );
    }
}
