//! Promise: no container of the stack can take the host with it, none is more than it must be, and only the controller has the
//! engine's socket; what is published binds to this machine unless it is said otherwise.

use aegis_tests::binaries::repository;
use serde_json::Value;

fn services() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(repository().join("compose/compose.yaml")).unwrap();
    let file = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
    let services = file["services"].as_object().unwrap();
    assert!(services.len() >= 5, "{services:?}");
    services
        .iter()
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect()
}

fn texts<'a>(service: &'a Value, field: &str) -> Vec<&'a str> {
    let items = service[field].as_array();
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_container_of_the_stack_is_bounded_in_memory_and_processes_and_has_no_more_than_it_needs() {
    for (name, service) in services() {
        let memory = &service["mem_limit"];
        assert!(memory.is_string(), "{name}: mem_limit: {memory}");
        assert_eq!(memory, &service["memswap_limit"], "{name}: swap on top");
        let processes = service["pids_limit"].as_u64();
        assert!(
            processes.is_some_and(|most| (1..=1024).contains(&most)),
            "{name}: {processes:?}"
        );
        assert_eq!(texts(&service, "cap_drop"), ["ALL"], "{name}");
        assert_eq!(
            texts(&service, "security_opt"),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert_eq!(service["read_only"], true, "{name}");
        assert!(service["privileged"].is_null(), "{name}");
        let rotated = &service["logging"]["options"];
        assert!(
            rotated["max-size"].is_string() && rotated["max-file"].is_string(),
            "{name}: {rotated}"
        );
        for port in texts(&service, "ports") {
            assert!(port.starts_with("${AEGIS_BIND:-127.0.0.1}:"), "{name}: {port}");
        }
        let has_socket = texts(&service, "volumes")
            .iter()
            .any(|volume| volume.contains("docker.sock"));
        assert_eq!(has_socket, name == "aegis-agent", "{name}");
    }
}

#[test]
fn the_controller_is_no_way_from_the_network_of_workloads_to_its_own() {
    let (_, agent) = services()
        .into_iter()
        .find(|(name, _)| name == "aegis-agent")
        .expect("the controller is in the stack");
    assert_eq!(agent["sysctls"]["net.ipv4.ip_forward"], 0);
    assert_eq!(agent["sysctls"]["net.ipv4.conf.all.rp_filter"], 1);
}

#[test]
fn workloads_share_a_network_with_the_controllers_webhook_alone() {
    for (name, service) in services() {
        let networks: Vec<String> = match &service["networks"] {
            Value::Object(networks) => networks.keys().cloned().collect(),
            _ => texts(&service, "networks")
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let is_on = |network: &str| networks.iter().any(|name| name == network);
        match name.as_str() {
            "aegis-cockpit" | "aegis-dashboard" => assert!(!is_on("data"), "{name}: {networks:?}"),
            "aegis-agent" => {
                let alias = &service["networks"]["data"]["aliases"][0];
                let environment = texts(&service, "environment");
                let expected = format!(
                    "AEGIS_ALERTS_ONLY_AT=${{AEGIS_ALERTS_ONLY_AT:-{}}}",
                    alias.as_str().unwrap()
                );
                assert!(environment.contains(&expected.as_str()), "{environment:?}");
            }
            _ => assert!(!is_on("control"), "{name}: {networks:?}"),
        }
    }
}
