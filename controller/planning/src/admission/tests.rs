use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> WorkloadSpec {
    serde_json::from_value(value).unwrap()
}

fn container(host_config: Value) -> ContainerDetails {
    ContainerDetails {
        name: "web".to_owned(),
        host_config,
        ..ContainerDetails::default()
    }
}

fn seen(name: &str, host_config: Value) -> Inspected {
    Inspected::from([(name.to_owned(), Named::Found(Box::new(container(host_config))))])
}

fn allowed() -> HostMounts {
    HostMounts::new(["/srv/app/", " /data "]).unwrap()
}

#[test]
fn only_what_lies_in_an_allowed_folder_may_be_mounted_and_a_socket_only_by_its_own_name() {
    for (source, is_allowed) in [
        ("/srv/app", true),
        ("/srv/app/", true),
        ("/srv//app/x", true),
        ("/data/x/y", true),
        ("/srv/application", false),
        ("/srv", false),
        ("/", false),
        ("/srv/app/../../etc", false),
        ("/srv/app/./x", false),
        ("srv/app", false),
        ("/data/docker.sock", false),
    ] {
        assert_eq!(allowed().allow(source), is_allowed, "{source}");
    }
    let socket = HostMounts::new(["/var/run/docker.sock", "/run"]).unwrap();
    assert!(socket.allow("/var/run/docker.sock"));
    assert!(!socket.allow("/run/docker.sock"));
    for wrong in ["/", "srv", "/srv/../etc"] {
        assert!(
            HostMounts::new([wrong]).unwrap_err().contains("absolute"),
            "{wrong}"
        );
    }
}

#[test]
fn a_template_that_reaches_the_host_is_an_admins_by_field_and_with_what_is_allowed() {
    let template = json!({"image": "app:1", "networks": ["back", "host"],
        "volumes": [{"source": "data", "target": "/a"}, {"source": "/srv/app/x", "target": "/b"},
            {"source": "/", "target": "/host"}, {"source": "/var/run/docker.sock", "target": "/s"}]});
    let after = spec(json!({"template": template}));
    let errors = workload(None, &after, &Inspected::new(), &allowed());
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.template.volumes[2].source",
            "spec.template.volumes[3].source",
            "spec.template.networks[1]"
        ]
    );
    assert!(
        errors[0].message.contains("below /srv/app, /data"),
        "{}",
        errors[0].message
    );
    let harmless = spec(json!({"template": {"image": "app:1", "user": "0", "networks": ["back", "none"]}}));
    assert_eq!(
        workload(None, &harmless, &Inspected::new(), &HostMounts::default()),
        []
    );
}

#[test]
fn what_reaches_the_host_may_be_scaled_and_restarted_and_not_changed_otherwise() {
    let stored = json!({"template": {"image": "app:1", "volumes": [{"source": "/", "target": "/host"}]}, "replicas": 1});
    let before = spec(stored.clone());
    let judge =
        |after: &WorkloadSpec| workload(Some(&before), after, &Inspected::new(), &HostMounts::default());
    let mut scaled = before.clone();
    scaled.replicas = 3;
    scaled.restarted_at = Some("2026-01-02T00:00:00Z".parse().unwrap());
    assert_eq!(judge(&scaled), []);
    let mut other = stored;
    other["template"]["command"] = json!(["sh"]);
    assert_eq!(judge(&spec(other)).len(), 1);
    // Its volume is gone, but it was there: an admin's workload stays an admin's.
    assert_eq!(judge(&spec(json!({"template": {"image": "evil:1"}}))).len(), 1);
}

#[test]
fn a_command_in_a_container_that_is_not_ours_is_an_admins() {
    let probe = || json!({"exec": {"command": ["cat", "/run/secrets/key"]}});
    let found = seen("db", json!({}));
    let errors = |object| workload(None, &spec(object), &found, &allowed());
    let refused = errors(json!({"container": "db", "health": probe()}));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].field, "spec.health.exec");
    assert_eq!(
        errors(json!({"template": {"image": "app:1"}, "health": probe()})),
        []
    );
    assert_eq!(
        errors(json!({"container": "db", "health": {"tcp": {"port": 80}}})),
        []
    );
}

#[test]
fn a_rollback_to_a_template_that_reaches_the_host_is_an_admins() {
    let before = spec(json!({"template": {"image": "app:2"}}));
    let after =
        spec(json!({"template": {"image": "app:1", "volumes": [{"source": "/etc", "target": "/e"}]}}));
    assert_eq!(
        workload(Some(&before), &after, &Inspected::new(), &allowed()).len(),
        1
    );
}

#[test]
fn a_container_that_reaches_the_host_is_adopted_and_written_to_by_admins_only() {
    let kinds = [
        json!({"Privileged": true}),
        json!({"NetworkMode": "host"}),
        json!({"NetworkMode": "container:db"}),
        json!({"PidMode": "host"}),
        json!({"IpcMode": "container:x"}),
        json!({"UTSMode": "host"}),
        json!({"UsernsMode": "host"}),
        json!({"CapAdd": ["SYS_ADMIN"]}),
        json!({"Devices": [{"PathOnHost": "/dev/kvm"}]}),
        json!({"DeviceRequests": [{"Driver": "nvidia"}]}),
        json!({"DeviceCgroupRules": ["c 1:* rwm"]}),
        json!({"VolumesFrom": ["db"]}),
        json!({"SecurityOpt": ["apparmor=unconfined"]}),
        json!({"Binds": ["/etc:/e:ro"]}),
        json!({"Mounts": [{"Type": "bind", "Source": "/var/run/docker.sock"}]}),
    ];
    let adopts = spec(json!({"container": "web"}));
    let balancer: LoadBalancerSpec = serde_json::from_value(
        json!({"container": "web", "backends": [{"workload": "app", "port": 80, "upstream": "app"}]}),
    )
    .unwrap();
    for host_config in kinds {
        let inspected = seen("web", host_config.clone());
        let errors = workload(None, &adopts, &inspected, &allowed());
        assert_eq!(errors.len(), 1, "{host_config}");
        assert_eq!(errors[0].field, "spec.container");
        assert_eq!(
            load_balancer(None, &balancer, &inspected, &allowed()).len(),
            1,
            "{host_config}"
        );
    }
    let harmless = json!({"NetworkMode": "front", "IpcMode": "private", "CapAdd": null, "Privileged": false,
        "SecurityOpt": ["no-new-privileges"], "Binds": ["data:/d", "/srv/app/x:/x"], "Mounts": []});
    let inspected = seen("web", harmless);
    assert_eq!(workload(None, &adopts, &inspected, &allowed()), []);
    assert_eq!(load_balancer(None, &balancer, &inspected, &allowed()), []);
    assert_eq!(
        load_balancer(Some(&balancer), &balancer, &Inspected::new(), &allowed()),
        []
    );
}

#[test]
fn a_container_that_is_not_there_is_named_by_admins_only() {
    let adopts = spec(json!({"container": "later"}));
    let errors = workload(None, &adopts, &Inspected::new(), &allowed());
    assert!(
        errors[0].message.contains("no container later"),
        "{}",
        errors[0].message
    );
}

#[test]
fn an_order_or_an_approval_that_brings_back_what_reaches_the_host_is_an_admins() {
    let template = json!({"image": "app:1", "volumes": [{"source": "/etc", "target": "/e"}]});
    let revisions = json!([{"revision": "r1", "template": template, "image": "app:1", "createdAt": "2026-01-02T00:00:00Z",
        "wasReady": true}]);
    let workloads: Vec<Arc<Workload>> = ["web", "db"]
        .into_iter()
        .map(|name| {
            let revisions = if name == "web" {
                revisions.clone()
            } else {
                json!([])
            };
            let object = json!({"metadata": {"name": name}, "spec": {"template": {"image": "app:2"}},
                "status": {"revisions": revisions}});
            Arc::new(serde_json::from_value(object).unwrap())
        })
        .collect();
    let about = |target: &str, order: Value| -> Incident {
        let spec = json!({"alertType": "x", "workloadRef": target, "override": order});
        serde_json::from_value(json!({"metadata": {"name": "inc"}, "spec": spec})).unwrap()
    };
    let judge = |after: &Incident| incident(None, after, &workloads, &HostMounts::default()).len();
    let order = |action: &str| json!({"action": action, "by": "ada"});
    assert_eq!(judge(&about("web", order("ROLLBACK"))), 1);
    assert_eq!(judge(&about("web", order("RESTART"))), 0);
    assert_eq!(judge(&about("db", order("ROLLBACK"))), 0);
}

#[test]
fn which_policy_governs_a_workload_and_that_it_is_protected_is_an_admins() {
    let policy = |name: &str, workloads: Value| -> Arc<RemediationPolicy> {
        let object = json!({"metadata": {"name": name}, "spec": {"mode": "Approve", "workloads": workloads}});
        Arc::new(serde_json::from_value(object).unwrap())
    };
    let policies = [
        policy("lab", json!({"matchLabels": {"tier": "lab"}})),
        policy("pay", json!({"matchLabels": {"tier": "pay"}})),
    ];
    let of = |labels: Value, protected: Value| -> Workload {
        let metadata =
            json!({"name": "web", "labels": labels, "annotations": {ANNOTATION_PROTECTED: protected}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"container": "web"}})).unwrap()
    };
    let refused = |before: (Value, &str), after: (Value, &str), is_known: bool| -> Vec<String> {
        let (before, after) = (of(before.0, before.1.into()), of(after.0, after.1.into()));
        let errors = freed(&before, &after, &policies, is_known);
        errors
            .into_iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect()
    };
    let (pay, lab, none) = (json!({"tier": "pay"}), json!({"tier": "lab"}), json!({}));
    for (before, after, words) in [
        (
            &pay,
            &lab,
            "policy pay governs the workload, and with these labels policy lab would",
        ),
        (&pay, &none, "with these labels no policy would"),
        (&none, &lab, "no policy governs the workload"),
    ] {
        let errors = refused((before.clone(), "no"), (after.clone(), "no"), true);
        assert!(
            errors.len() == 1 && errors[0].starts_with("metadata.labels: ") && errors[0].contains(words),
            "{before} to {after}: {errors:?}"
        );
    }
    for after in ["false", ""] {
        let errors = refused((none.clone(), "true"), (none.clone(), after), true);
        assert!(
            errors.len() == 1 && errors[0].starts_with("metadata.annotations[aegisops.io/protected]: "),
            "{after:?}: {errors:?}"
        );
    }
    // What chooses nothing may be written, and so may a protection be put on.
    let owned = json!({"tier": "pay", "owner": "ada"});
    let nothing: Vec<String> = Vec::new();
    assert_eq!(
        refused((pay.clone(), "no"), (owned.clone(), "true"), true),
        nothing
    );
    assert_eq!(
        refused((pay.clone(), "true"), (pay.clone(), "true"), false),
        nothing
    );
    // What a broken file would select is not known.
    let errors = refused((pay, "no"), (owned, "no"), false);
    assert!(errors.len() == 1 && errors[0].contains("broken"), "{errors:?}");
}
