use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const OWNER: &str = "3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a";

fn web(host_config: Value) -> ContainerDetails {
    ContainerDetails {
        id: "ab".repeat(32).into(),
        name: "web".to_owned(),
        state: ContainerState::Running,
        host_config,
        ..ContainerDetails::default()
    }
}

fn row(id: &str, name: &str, state: ContainerState) -> ContainerSummary {
    ContainerSummary {
        id: id.into(),
        name: name.to_owned(),
        state,
        ..ContainerSummary::default()
    }
}

fn verdict(container: &ContainerDetails, rows: &[ContainerSummary], facts: &HostFacts) -> Option<Refused> {
    let names = BTreeMap::from([(OWNER.into(), "vpn".to_owned())]);
    let host = HostState {
        containers: rows,
        facts,
        names: &names,
    };
    restartable(container, host).err()
}

fn reason(host_config: Value, rows: &[ContainerSummary]) -> Option<CannotRestart> {
    verdict(&web(host_config), rows, &HostFacts::default()).map(|refused| refused.reason)
}

#[test]
fn an_ordinary_container_may_be_restarted_whatever_else_runs() {
    let rows = [row(OWNER, "vpn", ContainerState::Exited)];
    for host_config in [
        json!({}),
        json!(null),
        json!({"NetworkMode": "host", "PidMode": "host", "IpcMode": "private", "AutoRemove": false}),
        json!({"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}, "Devices": null, "Links": null}),
        json!({"NetworkMode": 7, "Mounts": {}, "PortBindings": [], "Links": [7]}),
    ] {
        assert_eq!(reason(host_config.clone(), &rows), None, "{host_config}");
    }
}

#[test]
fn one_that_is_deleted_by_its_stop_is_not_stopped() {
    let refused = verdict(&web(json!({"AutoRemove": true})), &[], &HostFacts::default()).unwrap();
    assert_eq!(refused.reason, CannotRestart::AutoRemove);
    assert!(
        refused
            .to_string()
            .starts_with("web was started with --rm, so stopping it deletes it: ")
    );
    let mut task = web(json!({}));
    task.labels
        .insert("com.docker.swarm.task.id".to_owned(), "t".to_owned());
    task.labels
        .insert("com.docker.swarm.service.name".to_owned(), "shop_web".to_owned());
    let refused = verdict(&task, &[], &HostFacts::default()).unwrap();
    assert_eq!(refused.reason, CannotRestart::SwarmTask);
    assert_eq!(refused.remedy, "docker service update --force shop_web");
}

#[test]
fn the_owner_of_a_shared_namespace_must_be_there_and_run() {
    let shares = |key: &str| json!({ key: format!("container:{OWNER}") });
    let at = |state| vec![row(OWNER, "vpn", state)];
    let replaced = vec![row(&"cd".repeat(32), "vpn", ContainerState::Running)];
    for (key, gone, down) in [
        (
            "NetworkMode",
            CannotRestart::NetworkOwnerGone,
            CannotRestart::NetworkOwnerDown,
        ),
        (
            "PidMode",
            CannotRestart::NamespaceOwnerGone,
            CannotRestart::NamespaceOwnerDown,
        ),
        (
            "IpcMode",
            CannotRestart::NamespaceOwnerGone,
            CannotRestart::NamespaceOwnerDown,
        ),
    ] {
        assert_eq!(reason(shares(key), &[]), Some(gone), "{key}");
        assert_eq!(
            reason(shares(key), &replaced),
            Some(gone),
            "{key}: another one under its name"
        );
        for state in [
            ContainerState::Exited,
            ContainerState::Created,
            ContainerState::Restarting,
        ] {
            assert_eq!(reason(shares(key), &at(state)), Some(down), "{key} {state:?}");
        }
        for state in [ContainerState::Running, ContainerState::Paused] {
            assert_eq!(reason(shares(key), &at(state)), None, "{key} {state:?}");
        }
    }
}

#[test]
fn a_refusal_names_the_owner_and_the_command_that_helps() {
    let mut container = web(json!({ "NetworkMode": format!("container:{OWNER}") }));
    let message = |container: &ContainerDetails| {
        verdict(container, &[], &HostFacts::default())
            .unwrap()
            .to_string()
    };
    let begin =
        "web runs in the network of container vpn (3f2a3f2a3f2a), which no longer exists: recreate web";
    assert_eq!(
        message(&container),
        format!("{begin}: docker rm web, then docker run it again")
    );
    for (key, value) in [("project", "shop"), ("service", "web")] {
        container
            .labels
            .insert(format!("com.docker.compose.{key}"), value.to_owned());
    }
    assert_eq!(
        message(&container),
        format!("{begin}, e.g. docker compose -p shop up -d --force-recreate web")
    );
}

#[test]
fn no_command_for_people_has_what_a_label_brings_into_a_shell() {
    for hostile in [
        "x; curl evil | sh",
        "$(id)",
        "`id`",
        "-f/etc/shadow",
        "a\nid",
        "web && id",
        "",
    ] {
        let mut container = web(json!({ "NetworkMode": format!("container:{OWNER}") }));
        for key in ["compose.project", "compose.service"] {
            container
                .labels
                .insert(format!("com.docker.{key}"), hostile.to_owned());
        }
        let refused = verdict(&container, &[], &HostFacts::default()).unwrap();
        assert_eq!(
            refused.remedy, "recreate web: docker rm web, then docker run it again",
            "{hostile}"
        );
        for (key, value) in [("task.id", "t"), ("service.name", hostile)] {
            container
                .labels
                .insert(format!("com.docker.swarm.{key}"), value.to_owned());
        }
        let refused = verdict(&container, &[], &HostFacts::default()).unwrap();
        assert_eq!(refused.reason, CannotRestart::SwarmTask, "{hostile}");
        let said = refused.to_string();
        assert!(hostile.is_empty() || !said.contains(hostile), "{said}");
    }
}

#[test]
fn a_network_is_found_by_the_id_that_it_had_when_it_was_joined() {
    let mut container = web(json!({"NetworkMode": "front"}));
    container.state = ContainerState::Exited;
    container.network_settings = json!({"front": {"NetworkID": "id-1"}, "bridge": {"NetworkID": "id-0"}});
    assert!(host_query(&container).networks);
    let facts = |networks: &[&str]| HostFacts {
        networks: Some(networks.iter().map(|key| (*key).to_owned()).collect()),
        ..HostFacts::default()
    };
    assert_eq!(verdict(&container, &[], &facts(&["id-1", "front"])), None);
    let refused = verdict(&container, &[], &facts(&["id-2", "front"])).unwrap();
    assert_eq!(refused.reason, CannotRestart::NetworkGone);
    assert!(refused.message.contains("network front"), "{refused}");
    assert_eq!(
        verdict(&container, &[], &HostFacts::default()),
        None,
        "not known is not gone"
    );

    container.network_settings = json!({"front": {"NetworkID": ""}});
    assert_eq!(
        verdict(&container, &[], &facts(&["front"])),
        None,
        "never started: found by name"
    );
    container.state = ContainerState::Running;
    assert!(
        !host_query(&container).networks,
        "the engine removes none that a running one is on"
    );
}

#[test]
fn a_host_port_that_another_container_has_by_now_is_in_the_way() {
    let wants = |ip: &str, port: &str, protocol: &str| json!({"PortBindings": {format!("80/{protocol}"): [{"HostIp": ip, "HostPort": port}]}});
    let held = |address: Option<&str>| {
        let mut other = row(OWNER, "vpn", ContainerState::Running);
        other.published = vec![PublishedPort {
            address: address.map(|address| address.parse().unwrap()),
            port: 8080,
            protocol: "tcp".to_owned(),
        }];
        vec![other]
    };
    let taken = Some(CannotRestart::PortTaken);
    for (ip, port, protocol, holder, expected) in [
        ("127.0.0.1", "8080", "tcp", None, taken),
        ("", "8080", "tcp", Some("127.0.0.1"), taken),
        ("0.0.0.0", "8080", "tcp", Some("10.0.0.1"), taken),
        ("127.0.0.1", "8080", "tcp", Some("10.0.0.1"), None),
        ("", "8080", "udp", None, None),
        ("", "8081", "tcp", None, None),
        ("", "8000-8100", "tcp", None, None),
        ("", "0", "tcp", None, None),
    ] {
        assert_eq!(
            reason(wants(ip, port, protocol), &held(holder)),
            expected,
            "{ip}:{port}/{protocol}"
        );
    }
    let mut own = held(None);
    own[0].id = "ab".repeat(32).into();
    assert_eq!(
        reason(wants("", "8080", "tcp"), &own),
        None,
        "its own port is no obstacle"
    );
    let mut on_host = wants("", "8080", "tcp");
    on_host["NetworkMode"] = json!("host");
    assert_eq!(
        reason(on_host, &held(None)),
        None,
        "nothing is published on the host's network"
    );
}

#[test]
fn a_fixed_address_that_another_container_has_by_now_is_in_the_way() {
    let mut container = web(json!({"NetworkMode": "front"}));
    container.network_settings =
        json!({"front": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}, "back": {"IPAMConfig": null}});
    assert!(host_query(&container).containers);
    let at = |network: &str, address: Option<&str>| {
        let mut other = row(OWNER, "vpn", ContainerState::Running);
        other.networks = [(network.to_owned(), address.map(|ip| ip.parse().unwrap()))].into();
        let refused = verdict(&container, &[other], &HostFacts::default());
        refused.map(|refused| refused.reason)
    };
    assert_eq!(at("front", Some("10.0.0.9")), Some(CannotRestart::AddressTaken));
    assert_eq!(at("front", Some("10.0.0.8")), None);
    assert_eq!(
        at("back", Some("10.0.0.9")),
        None,
        "the same number on another network"
    );
    assert_eq!(at("front", None), None, "what does not run has no address");
}

#[test]
fn linked_containers_paths_devices_and_runtimes_must_be_there() {
    let linked = json!({"Links": ["/vpn:/web/db"]});
    let rows = |state| vec![row(OWNER, "vpn", state)];
    assert_eq!(
        reason(linked.clone(), &rows(ContainerState::Exited)),
        Some(CannotRestart::LinkDown)
    );
    assert_eq!(reason(linked.clone(), &rows(ContainerState::Running)), None);
    assert_eq!(
        reason(linked, &[]),
        None,
        "the engine drops a link to what is gone"
    );

    let container = web(json!({
        "Mounts": [{"Type": "bind", "Source": "/srv/a"}, {"Type": "volume", "Source": "data"},
                   {"Type": "bind", "Source": "/srv/made", "BindOptions": {"CreateMountpoint": true}}],
        "Binds": ["/srv/made-by-the-engine:/b"],
        "Devices": [{"PathOnHost": "/dev/gpu0"}], "Runtime": "nvidia"
    }));
    let query = host_query(&container);
    assert_eq!(query.paths, ["/srv/a", "/dev/gpu0"]);
    assert!(query.runtimes && !query.is_empty());
    let missing = |path: &str| HostFacts {
        missing_paths: BTreeSet::from([path.to_owned()]),
        ..HostFacts::default()
    };
    let runtimes = HostFacts {
        runtimes: Some(BTreeSet::from(["runc".to_owned()])),
        ..HostFacts::default()
    };
    for (facts, expected) in [
        (missing("/srv/a"), Some(CannotRestart::BindSourceGone)),
        (missing("/dev/gpu0"), Some(CannotRestart::DeviceGone)),
        (missing("/srv/made-by-the-engine"), None),
        (runtimes, Some(CannotRestart::RuntimeGone)),
        (HostFacts::default(), None),
    ] {
        assert_eq!(
            verdict(&container, &[], &facts).map(|refused| refused.reason),
            expected,
            "{facts:?}"
        );
    }
    assert!(host_query(&web(json!({"Runtime": "runc"}))).is_empty());
}

#[test]
fn a_replica_is_not_removed_for_an_image_that_is_not_there() {
    let facts = |has_image| HostFacts {
        has_image,
        ..HostFacts::default()
    };
    assert_eq!(replaceable("web-replica-1", "app:2", &facts(None)), Ok(()));
    assert_eq!(replaceable("web-replica-1", "app:2", &facts(Some(true))), Ok(()));
    let refused = replaceable("web-replica-1", "app:2", &facts(Some(false))).unwrap_err();
    assert_eq!(refused.reason, CannotRestart::ImageGone);
}
