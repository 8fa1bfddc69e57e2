//! The topology: what stands beside what, and why. Derived from resources, labels and what a load balancer is proved
//! to serve; nothing is guessed from names. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observed::ContainerState;
use crate::{LoadBalancer, Workload};

/// Container label that says which part of AegisOps a container is: `agent` or `dashboard`.
pub const LABEL_ROLE: &str = "io.aegisops.role";

/// What `/topology` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topology {
    /// One a container, sorted by name.
    pub nodes: Vec<Node>,
    /// What connects them.
    pub edges: Vec<Edge>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Container name.
    pub id: String,
    /// Its part in the whole.
    #[serde(rename = "type")]
    pub kind: NodeType,
    /// Its state, in Docker's word.
    pub status: ContainerState,
    /// Image reference.
    pub image: String,
}

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeType {
    /// The controller.
    Agent,
    /// A container that a Workload adopted.
    App,
    /// A container that the controller made for a Workload.
    Replica,
    /// A container that a LoadBalancer names.
    LoadBalancer,
    /// A web page.
    Dashboard,
    /// A bystander.
    Unknown,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edge {
    /// Container name.
    pub from: String,
    /// Container name.
    pub to: String,
    /// What it means.
    pub label: EdgeLabel,
}

/// What a connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EdgeLabel {
    /// The agent looks after an adopted container.
    Monitors,
    /// The agent made it.
    Spawned,
    /// The load balancer sends it requests.
    Routes,
}

/// What the topology needs to know of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyContainer {
    /// Name.
    pub name: String,
    /// Its state, in Docker's word.
    pub status: ContainerState,
    /// Image reference.
    pub image: String,
    /// Value of its label [`LABEL_ROLE`].
    pub role: Option<String>,
}

impl Topology {
    /// The topology of these containers under these resources.
    pub fn derive<'a>(
        containers: &[TopologyContainer],
        workloads: impl IntoIterator<Item = &'a Workload>,
        balancers: impl IntoIterator<Item = &'a LoadBalancer>,
    ) -> Self {
        let instances = instances(workloads);
        let mut routes = Vec::new();
        let mut balancing = Vec::new();
        for balancer in balancers {
            let from = balancer.spec.container.as_str();
            balancing.push(from);
            let servers = balancer.status.iter().flat_map(|status| &status.servers);
            routes.extend(servers.map(|server| (from, server.container.as_str())));
        }
        let kind =
            |container: &TopologyContainer| match (instances.get(container.name.as_str()), &container.role) {
                (Some(kind), _) => *kind,
                (None, _) if balancing.contains(&container.name.as_str()) => NodeType::LoadBalancer,
                (None, Some(role)) if role == "agent" => NodeType::Agent,
                (None, Some(role)) if role == "dashboard" => NodeType::Dashboard,
                _ => NodeType::Unknown,
            };
        let mut nodes: Vec<Node> = containers
            .iter()
            .map(|container| node(container, kind(container)))
            .collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let edges = edges(&nodes, &routes);
        Self { nodes, edges }
    }
}

fn node(container: &TopologyContainer, kind: NodeType) -> Node {
    Node {
        id: container.name.clone(),
        kind,
        status: container.status,
        image: container.image.clone(),
    }
}

/// Container name → what it is, for every container that a Workload has or adopts.
fn instances<'a>(workloads: impl IntoIterator<Item = &'a Workload>) -> BTreeMap<&'a str, NodeType> {
    let mut instances = BTreeMap::new();
    for workload in workloads {
        for instance in workload.status.iter().flat_map(|status| &status.instances) {
            let kind = if instance.index == 0 {
                NodeType::App
            } else {
                NodeType::Replica
            };
            instances.insert(instance.name.as_str(), kind);
        }
        if let Some(container) = &workload.spec.container {
            instances.insert(container.as_str(), NodeType::App);
        }
    }
    instances
}

fn edge(from: &str, to: &str, label: EdgeLabel) -> Edge {
    Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        label,
    }
}

fn edges(nodes: &[Node], routes: &[(&str, &str)]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for agent in nodes.iter().filter(|node| node.kind == NodeType::Agent) {
        edges.extend(nodes.iter().filter_map(|node| match node.kind {
            NodeType::App => Some(edge(&agent.id, &node.id, EdgeLabel::Monitors)),
            NodeType::Replica => Some(edge(&agent.id, &node.id, EdgeLabel::Spawned)),
            _ => None,
        }));
    }
    let there = |name: &str| nodes.iter().any(|node| node.id == name);
    for (from, to) in routes {
        let route = edge(from, to, EdgeLabel::Routes);
        if there(from) && there(to) && !edges.contains(&route) {
            edges.push(route);
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(name: &str, role: Option<&str>) -> TopologyContainer {
        TopologyContainer {
            name: name.to_owned(),
            status: ContainerState::Running,
            image: "i".to_owned(),
            role: role.map(str::to_owned),
        }
    }

    #[test]
    fn nodes_and_edges_follow_resources_and_not_names() {
        let instance = |name: &str, index: u32| json!({"name": name, "id": "i", "index": index, "state": "running", "health": "Healthy", "revision": "r"});
        let workload: Workload =
            serde_json::from_value(json!({"metadata": {"name": "w"}, "spec": {"container": "web"},
            "status": {"instances": [instance("web", 0), instance("web-replica-1", 1)]}}))
            .unwrap();
        let server = |name: &str| json!({"upstream": "u", "workload": "w", "container": name, "id": "i", "address": "10.0.0.1:80"});
        let balancer: LoadBalancer = serde_json::from_value(json!({"metadata": {"name": "lb"},
            "spec": {"container": "front", "backends": [{"workload": "w", "port": 80, "upstream": "u"}]},
            "status": {"servers": [server("web"), server("gone")]}}))
        .unwrap();
        let containers = [
            container("web-replica-1", None),
            container("web", None),
            container("front", None),
            container("boss", Some("agent")),
            container("web-replica-9", None),
            container("nginx-dashboard", None),
        ];
        let wire = serde_json::to_value(Topology::derive(&containers, [&workload], [&balancer])).unwrap();
        let kinds: Vec<String> = wire["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                format!(
                    "{} {}",
                    node["id"].as_str().unwrap(),
                    node["type"].as_str().unwrap()
                )
            })
            .collect();
        let expected = [
            "boss agent",
            "front loadbalancer",
            "nginx-dashboard unknown",
            "web app",
            "web-replica-1 replica",
            "web-replica-9 unknown",
        ];
        assert_eq!(kinds, expected);
        assert_eq!(
            wire["edges"],
            json!([
                {"from": "boss", "to": "web", "label": "monitors"},
                {"from": "boss", "to": "web-replica-1", "label": "spawned"},
                {"from": "front", "to": "web", "label": "routes"},
            ])
        );
    }
}
