use super::*;
use proptest::prelude::*;
use serde_json::json;

const OWNER: Ownership<'_> = Ownership {
    workload: "shop",
    revision: "r1",
    instance: "i1",
    index: 3,
};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../../docker/fixtures/inspect-20.10.json"))
        .expect("recorded JSON")
}

/// As the driver reads an inspection, as far as a clone needs it.
fn details(mut inspect: Value) -> ContainerDetails {
    let text = |pointer: &str| {
        let found = inspect.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let labels = inspect.pointer("/Config/Labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let known = ContainerDetails {
        id: text("/Id").into(),
        name: text("/Name").trim_start_matches('/').to_owned(),
        image_id: text("/Image"),
        labels: labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
        ..ContainerDetails::default()
    };
    let mut take = |pointer: &str| inspect.pointer_mut(pointer).map(Value::take).unwrap_or_default();
    ContainerDetails {
        config: take("/Config"),
        host_config: take("/HostConfig"),
        network_settings: take("/NetworkSettings/Networks"),
        ..known
    }
}

#[test]
fn everything_that_a_second_container_can_have_is_kept() {
    let recorded = fixture();
    let spec = clone_spec(&details(recorded.clone()), "shop-replica-3", &OWNER);
    for key in [
        "User",
        "ExposedPorts",
        "Env",
        "Cmd",
        "Healthcheck",
        "Image",
        "Volumes",
        "WorkingDir",
        "Entrypoint",
        "StopSignal",
        "StopTimeout",
    ] {
        assert_eq!(spec.body[key], recorded["Config"][key], "{key}");
    }
    let dropped = ["ContainerIDFile", "PortBindings", "PublishAllPorts"];
    for (key, value) in recorded["HostConfig"].as_object().unwrap() {
        if !dropped.contains(&key.as_str()) {
            assert_eq!(&spec.body["HostConfig"][key], value, "{key}");
        }
    }
    assert_eq!(spec.image_id.as_deref(), recorded["Image"].as_str());
}

#[test]
fn what_only_one_container_can_have_is_dropped() {
    let spec = clone_spec(&details(fixture()), "shop-replica-3", &OWNER);
    assert_eq!(spec.name, "shop-replica-3");
    assert_eq!(spec.body.get("Hostname"), None);
    assert_eq!(spec.body["HostConfig"]["PortBindings"], json!({}));
    assert_eq!(spec.body["HostConfig"]["PublishAllPorts"], json!(false));
    assert_eq!(spec.body["HostConfig"].get("ContainerIDFile"), None);
    assert_eq!(
        spec.body["NetworkingConfig"],
        json!({"EndpointsConfig": {"aegis-fix-b": {"Aliases": ["web"]}}})
    );
    assert_eq!(
        json!(spec.extra_networks),
        json!({"aegis-fix-a": {"Aliases": ["internal", "web-int"], "DriverOpts": {}}})
    );
}

#[test]
fn labels_are_the_bases_own_and_ours_but_not_those_of_compose_or_swarm() {
    let spec = clone_spec(&details(fixture()), "shop-replica-3", &OWNER);
    let labels = spec.body["Labels"].as_object().unwrap();
    assert_eq!(labels["com.example.team"], "payments");
    assert_eq!(labels["io.aegisops.workload"], "shop");
    assert_eq!(labels["io.aegisops.revision"], "r1");
    assert_eq!(labels["io.aegisops.instance"], "i1");
    assert_eq!(labels["io.aegisops.replica"], "3");
    assert!(
        !labels.keys().any(|key| key.starts_with("com.docker.")),
        "{labels:?}"
    );
}

#[test]
fn a_clone_keeps_what_it_is_and_not_how_one_run_of_it_was_started() {
    let owner = format!("container:{}", "ab".repeat(32));
    let mut inspect = fixture();
    let labels = &mut inspect["Config"]["Labels"];
    for label in ["oneoff", "container-number", "slug", "replace"] {
        labels[format!("com.docker.compose.{label}")] = json!("True");
    }
    for ours in ["name", "networks", "instance", "workload"] {
        labels[format!("io.aegisops.{ours}")] = json!("an image's");
    }
    let (base, host) = (inspect.clone(), &mut inspect["HostConfig"]);
    host["AutoRemove"] = json!(true);
    host["ContainerIDFile"] = json!("/run/web.cid");
    let kept = [
        ("PidMode", json!(owner)),
        ("IpcMode", json!(owner)),
        ("CgroupParent", json!("/shop")),
        (
            "RestartPolicy",
            json!({"Name": "on-failure", "MaximumRetryCount": 3}),
        ),
        ("VolumesFrom", json!(["data"])),
        ("Runtime", json!("runsc")),
    ];
    for (key, value) in &kept {
        host[*key] = value.clone();
    }
    let spec = clone_spec(&details(inspect), "shop-replica-3", &OWNER);
    assert_eq!(
        spec.body["HostConfig"]["AutoRemove"],
        json!(false),
        "it leaves its traces"
    );
    assert_eq!(spec.body["HostConfig"].get("ContainerIDFile"), None);
    for (key, value) in kept {
        assert_eq!(spec.body["HostConfig"][key], value, "{key}");
    }
    let labels = spec.body["Labels"].as_object().unwrap();
    assert!(
        !labels.keys().any(|key| key.starts_with("com.docker.compose.")),
        "{labels:?}"
    );
    assert_eq!(labels["io.aegisops.name"], "shop-replica-3");
    assert!(
        !labels.contains_key("io.aegisops.networks"),
        "the driver writes that one"
    );

    let mut deletes_itself = base.clone();
    deletes_itself["HostConfig"]["AutoRemove"] = json!(true);
    assert_eq!(
        clone_revision(&details(deletes_itself)),
        clone_revision(&details(base))
    );
}

#[test]
fn a_chosen_host_name_stays() {
    let mut inspect = fixture();
    inspect["Config"]["Hostname"] = json!("shop.internal");
    assert_eq!(
        clone_spec(&details(inspect), "x", &OWNER).body["Hostname"],
        "shop.internal"
    );
}

#[test]
fn the_name_of_the_base_is_no_alias_of_a_clone_unless_it_names_a_service() {
    let mut inspect = fixture();
    inspect["NetworkSettings"]["Networks"]["aegis-fix-b"]["Aliases"] =
        json!(["fixture-base", "web", "a283c10190cb"]);
    let aliases = |inspect: &Value| {
        let body = clone_spec(&details(inspect.clone()), "x", &OWNER).body;
        body["NetworkingConfig"]["EndpointsConfig"]["aegis-fix-b"]["Aliases"].clone()
    };
    assert_eq!(aliases(&inspect), json!(["web"]));
    inspect["Config"]["Labels"]["com.docker.compose.service"] = json!("fixture-base");
    assert_eq!(aliases(&inspect), json!(["fixture-base", "web"]));
}

#[test]
fn a_borrowed_network_is_borrowed_again() {
    let mut inspect = fixture();
    inspect["HostConfig"]["NetworkMode"] = json!("container:0123456789ab");
    inspect["NetworkSettings"]["Networks"] = json!({});
    let spec = clone_spec(&details(inspect), "x", &OWNER);
    assert_eq!(spec.body["HostConfig"]["NetworkMode"], "container:0123456789ab");
    for key in ["NetworkingConfig", "Hostname", "ExposedPorts"] {
        assert_eq!(spec.body.get(key), None, "{key}");
    }
}

#[test]
fn the_default_bridge_and_the_host_network_are_kept_as_they_are() {
    for (mode, network) in [
        ("default", "bridge"),
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "none"),
    ] {
        let mut inspect = fixture();
        inspect["HostConfig"]["NetworkMode"] = json!(mode);
        inspect["NetworkSettings"]["Networks"] =
            json!({ network: {"IPAddress": "172.17.0.2", "Aliases": null} });
        let spec = clone_spec(&details(inspect), "x", &OWNER);
        assert_eq!(spec.body["HostConfig"]["NetworkMode"], mode);
        assert!(spec.extra_networks.is_empty());
    }
}

#[test]
fn a_network_named_by_its_id_is_found() {
    let mut inspect = fixture();
    inspect["HostConfig"]["NetworkMode"] =
        inspect["NetworkSettings"]["Networks"]["aegis-fix-a"]["NetworkID"].clone();
    let spec = clone_spec(&details(inspect), "x", &OWNER);
    assert_eq!(spec.body["HostConfig"]["NetworkMode"], "aegis-fix-a");
    assert_eq!(spec.extra_networks.keys().collect::<Vec<_>>(), ["aegis-fix-b"]);
}

#[test]
fn anonymous_volumes_become_fresh_ones_and_named_ones_are_shared() {
    let mut inspect = fixture();
    let name = "ab".repeat(32);
    inspect["HostConfig"]["Binds"] = json!([format!("{name}:/cache:rw"), "fixture-data:/data"]);
    inspect["HostConfig"]["Mounts"] = json!([{"Type": "volume", "Source": name, "Target": "/more"}]);
    let body = clone_spec(&details(inspect), "x", &OWNER).body;
    assert_eq!(body["HostConfig"]["Binds"], json!(["fixture-data:/data"]));
    assert_eq!(
        body["HostConfig"]["Mounts"],
        json!([{"Type": "volume", "Target": "/more"}])
    );
    assert_eq!(body["Volumes"], json!({"/cache": {}, "/scratch": {}}));
}

#[test]
fn links_are_written_as_a_creation_takes_them() {
    let mut inspect = fixture();
    inspect["HostConfig"]["Links"] = json!(["/db:/fixture-base/database"]);
    assert_eq!(
        clone_spec(&details(inspect), "x", &OWNER).body["HostConfig"]["Links"],
        json!(["db:database"])
    );
}

#[test]
fn a_revision_survives_a_recreated_base_and_sees_a_changed_one() {
    let base = details(fixture());
    let mut recreated = fixture();
    let id = "fe".repeat(32);
    recreated["Id"] = json!(id);
    recreated["Name"] = json!("/shop-web-1");
    recreated["Config"]["Hostname"] = json!(id[..12]);
    recreated["Config"]["Labels"]["com.docker.compose.config-hash"] = json!("other");
    recreated["NetworkSettings"]["Networks"]["aegis-fix-b"]["Aliases"] = json!([id[..12], "web"]);
    recreated["NetworkSettings"]["Networks"]["aegis-fix-b"]["IPAddress"] = json!("172.30.9.12");
    recreated["NetworkSettings"]["Networks"]["aegis-fix-a"]["Aliases"] =
        json!(["internal", "web-int", id[..12]]);
    assert_eq!(clone_revision(&base), clone_revision(&details(recreated)));

    for (pointer, value) in [
        ("/Image", json!("sha256:other")),
        ("/Config/Env/0", json!("MODE=test")),
        ("/HostConfig/Memory", json!(1)),
        (
            "/NetworkSettings/Networks/aegis-fix-a/Aliases/0",
            json!("renamed"),
        ),
    ] {
        let mut changed = fixture();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_ne!(
            clone_revision(&base),
            clone_revision(&details(changed)),
            "{pointer}"
        );
    }
}

#[test]
fn a_clone_of_a_clone_belongs_to_its_own_workload_and_has_the_same_revision() {
    let mut inspect = fixture();
    let revision = clone_revision(&details(inspect.clone()));
    inspect["Config"]["Labels"]["io.aegisops.workload"] = json!("other");
    inspect["Config"]["Labels"]["io.aegisops.replica"] = json!("7");
    assert_eq!(clone_revision(&details(inspect.clone())), revision);
    let labels = clone_spec(&details(inspect), "x", &OWNER).body["Labels"].clone();
    assert_eq!(
        (
            labels["io.aegisops.workload"].as_str(),
            labels["io.aegisops.replica"].as_str()
        ),
        (Some("shop"), Some("3"))
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,16}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z:./]{1,12}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Field paths that a hostile or strange engine answer may fill with anything.
const PLACES: [&str; 16] = [
    "/Config/Hostname",
    "/Config/MacAddress",
    "/Config/Labels",
    "/Config/ExposedPorts",
    "/Config/Volumes",
    "/Config",
    "/HostConfig/PortBindings",
    "/HostConfig/PublishAllPorts",
    "/HostConfig/ContainerIDFile",
    "/HostConfig/NetworkMode",
    "/HostConfig/Binds",
    "/HostConfig/Mounts",
    "/HostConfig/Links",
    "/HostConfig",
    "/NetworkSettings/Networks/aegis-fix-a",
    "/NetworkSettings/Networks/aegis-fix-b/IPAMConfig",
];

proptest! {
    #[test]
    fn forbidden_fields_never_survive(values in prop::collection::vec((0..PLACES.len(), any_json()), 0..6), label in "com\\.docker\\.(compose|swarm|stack)\\.[a-z]{1,8}") {
        let mut inspect = fixture();
        inspect["Config"]["Labels"][&label] = json!("x");
        for (place, value) in values {
            let (parent, key) = PLACES[place].rsplit_once('/').unwrap();
            if let Some(parent) = inspect.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.insert(key.to_owned(), value);
            }
        }
        let base = details(inspect);
        let spec = clone_spec(&base, "clone", &OWNER);
        let body = &spec.body;
        prop_assert_eq!(&body["HostConfig"]["PortBindings"], &json!({}));
        prop_assert_eq!(&body["HostConfig"]["PublishAllPorts"], &json!(false));
        prop_assert!(body["HostConfig"].get("ContainerIDFile").is_none());
        prop_assert!(body.get("MacAddress").is_none());
        prop_assert_eq!(body["Labels"]["io.aegisops.workload"].as_str(), Some("shop"));
        prop_assert!(!body["Labels"].as_object().unwrap().contains_key(&label));
        prop_assert_ne!(body.get("Hostname").and_then(Value::as_str), Some(&base.id[..12]));
        let first = body["NetworkingConfig"]["EndpointsConfig"].as_object().into_iter().flatten().map(|(_, endpoint)| endpoint);
        for endpoint in first.chain(spec.extra_networks.values()) {
            for key in ["IPAMConfig", "MacAddress", "IPAddress", "NetworkID", "EndpointID", "Gateway", "GlobalIPv6Address"] {
                prop_assert!(endpoint.get(key).is_none(), "{} in {}", key, endpoint);
            }
        }
        prop_assert_eq!(clone_revision(&base).len(), 10);
    }
}
