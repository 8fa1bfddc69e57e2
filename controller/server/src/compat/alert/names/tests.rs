//! Where senders put the container's name, as a table.

use serde_json::json;

use super::*;

const TARGET: &str = "buggy-app-v2";
const ID_OF_WEB: &str = "0123456789ab";

fn workload(name: &str, container: &str) -> Arc<Workload> {
    let row = json!({"name": container, "id": "i", "index": 0, "state": "running", "health": "Healthy", "revision": "r",
        "addresses": {"n": "172.18.0.7"}});
    let instances = if container == "web" {
        json!([row])
    } else {
        json!([])
    };
    let object = json!({"metadata": {"name": name}, "spec": {"container": container}, "status": {"instances": instances}});
    Arc::new(serde_json::from_value(object).unwrap())
}

fn row(name: &str, id: &str) -> ContainerRow {
    ContainerRow {
        name: name.to_owned(),
        status: aegis_api::observed::ContainerState::Running,
        image: "i".to_owned(),
        id: id.to_owned(),
    }
}

/// On a host with a Workload for `web`, one for `db`, and containers besides.
fn find(body: &Value) -> Result<Named, String> {
    let workloads = [workload("web", "web"), workload("database", "db")];
    let containers = [
        row("web", ID_OF_WEB),
        row("cadvisor", "aaaaaaaaaaaa"),
        row("shop-api-1", "bbbbbbbbbbbb"),
        row("shop_old_2", "cccccccccccc"),
    ];
    let known = Known {
        workloads: &workloads,
        containers: &containers,
    };
    super::find(body.as_object().unwrap(), known, TARGET)
        .map_err(|fault| format!("{}: {}", fault.field, fault.message))
}

#[test]
fn the_name_is_read_wherever_senders_put_it() {
    for body in [
        json!({"container_name": "web"}),
        json!({"container_name": " /web "}),
        json!({"containerName": "web"}),
        json!({"ContainerName": "web"}),
        json!({"container-name": "web"}),
        json!({"container": "web"}),
        json!({"Container": "docker://web"}),
        json!({"container": {"name": "/web", "id": "x"}}),
        json!({"containers": ["web"]}),
        json!({"containers": [{"name": "web"}]}),
        json!({"labels": {"container": "web"}}),
        json!({"labels": {"container_name": "web"}}),
        json!({"labels": {"name": "web"}}),
        json!({"labels": {"service": "web"}}),
        json!({"labels": "env=prod,container=web"}),
        json!({"commonLabels": {"container": "web"}}),
        json!({"alert": {"labels": {"container": "web"}}}),
        json!({"data": {"custom_details": {"containerName": "web"}}}),
        json!({"service": "web"}),
        json!({"service": {"name": "web"}}),
        json!({"service_name": "web"}),
        json!({"details": {"container": "web"}}),
        json!({"attributes": {"k8s.container.name": "web"}}),
        json!({"attributes": {"container.name": "web"}}),
        json!({"container_id": ID_OF_WEB}),
        json!({"labels": {"container.id": format!("{ID_OF_WEB}{}", "c".repeat(52))}}),
        json!({"target": "web"}),
        json!({"target": "http://web:8000/health?deep=1"}),
        json!({"target": "tcp://user@web:8000"}),
        json!({"resource": "container/web"}),
        json!({"resource": {"name": "web", "type": "container"}}),
        json!({"instance": "web:8000"}),
        json!({"instance": "172.18.0.7:8000"}),
        json!({"host": "web:8000"}),
        json!({"host": "web"}),
        json!({"details": {"hostname": ID_OF_WEB}}),
        json!({"name": "web"}),
        json!({"labels": {"app": "web"}}),
        json!({"workload": "web"}),
        json!({"tags": {"container": "web"}}),
        json!({"tags": ["env:prod", "container:web"]}),
        json!({"tags": "env:prod, container:web"}),
        json!({"tags": [{"key": "Container", "value": "web"}]}),
        json!({"dimensions": [{"name": "ContainerName", "value": "web"}]}),
        json!({"labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}}),
    ] {
        let named = find(&body).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(named.container.as_str(), "web", "{body}");
    }
}

#[test]
fn labels_of_compose_lead_to_the_names_that_compose_gives() {
    for (body, name) in [
        (
            json!({"labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "api"}}),
            "shop-api-1",
        ),
        (
            json!({"labels": {"container_label_com_docker_compose_project": "shop",
            "container_label_com_docker_compose_service": "api"}}),
            "shop-api-1",
        ),
        (json!({"project": "shop", "service": "api"}), "shop-api-1"),
        (
            json!({"labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "old",
            "com.docker.compose.container-number": "2"}}),
            "shop_old_2",
        ),
        (
            json!({"labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "gone"}}),
            "shop-gone-1",
        ),
        (json!({"project": "acme", "service": "gone"}), "gone"),
    ] {
        assert_eq!(find(&body).unwrap().container.as_str(), name, "{body}");
    }
}

#[test]
fn an_unknown_name_is_never_replaced_by_the_default() {
    for (body, name) in [
        (json!({"container_name": "wbe"}), "wbe"),
        (json!({"container": "unknown"}), "unknown"),
        (json!({"labels": {"name": "wbe"}}), "wbe"),
        (json!({"service": "checkout"}), "checkout"),
        (json!({"service": "checkout", "instance": "web:8000"}), "checkout"),
        (json!({"target": "10.0.0.5"}), "10.0.0.5"),
        (json!({"instance": "10.0.0.5:9100"}), "10.0.0.5"),
        (json!({"instance": "localhost:9100"}), "localhost"),
        (json!({"container_id": "ffffffffffff"}), "ffffffffffff"),
    ] {
        assert_eq!(find(&body).unwrap().container.as_str(), name, "{body}");
    }
    for body in [
        json!({"container": "a b"}),
        json!({"service": "Checkout API"}),
        json!({"labels": {"container": "{{ $labels.name }}"}}),
        json!({"container_name": "web.example.com:8000"}),
        json!({"container_name": ["web"]}),
        json!({"resource": "a rack"}),
    ] {
        find(&body).unwrap_err();
    }
}

#[test]
fn the_default_target_is_for_alerts_that_name_nothing() {
    for body in [
        json!({}),
        json!({"container_name": ""}),
        json!({"container_name": " / ", "container": null, "labels": {"container": ""}}),
        json!({"labels": {"env": "prod", "alertname": "x"}, "tags": ["a", 1, "env:prod"]}),
        json!({"logs": "container=web is down", "message": "web is down", "url": "http://web/"}),
        json!({"resource": "memory", "target": "CPU"}),
        json!({"name": "HighMemory", "host": "server-1", "labels": {"app": "shop", "job": "cadvisor"}}),
        json!({"details": {"deep": {"container": "web"}, "neighbour": {"container": "db"}}}),
        json!({"tags": {"container": {"image": "web"}}}),
    ] {
        let named = find(&body).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(named.container.as_str(), TARGET, "{body}");
        assert_eq!(
            named.naming.unwrap().message(TARGET),
            "about buggy-app-v2 by default: the alert names no container",
            "{body}"
        );
    }
}

#[test]
fn the_field_of_highest_precedence_decides_and_what_others_say_is_reported() {
    for (body, reported) in [
        (json!({"container_name": "web"}), ""),
        (
            json!({"container_name": "web", "labels": {"container": "/web", "instance": "172.18.0.7:1"}}),
            "",
        ),
        (
            json!({"container_name": "web", "labels": {"container": "db"}}),
            "about web, as container_name says; labels.container says db",
        ),
        (
            json!({"labels": {"name": "web", "instance": "cadvisor:8080", "job": "cadvisor"}}),
            "about web, as labels.name says; labels.instance says cadvisor",
        ),
        (
            json!({"container": "db", "service": "database"}),
            "about db, as container says",
        ),
        (json!({"container_name": "web", "app": "db", "host": "db"}), ""),
    ] {
        let named = find(&body).unwrap();
        let naming = named
            .naming
            .map(|naming| naming.message(named.container.as_str()));
        assert_eq!(naming.unwrap_or_default(), reported, "{body}");
    }
}

#[test]
fn two_names_in_equally_telling_fields_are_refused_with_both() {
    for body in [
        json!({"labels": {"container": "web"}, "details": {"container": "db"}}),
        json!({"container_name": "web", "containerName": "db"}),
        json!({"Container": "web", "container": "db"}),
        json!({"containers": ["web", "db"]}),
        json!({"tags": ["container:web", "container:db"]}),
        json!({"service": "web", "labels": {"service": "db"}}),
        json!({"name": "web", "app": "db"}),
    ] {
        let fault = find(&body).unwrap_err();
        assert!(
            fault.contains("web") && fault.contains("db") && fault.contains("container_name"),
            "{body}: {fault}"
        );
    }
    for same in [
        json!({"labels": {"container": "db"}, "details": {"container": "database"}}),
        json!({"containers": ["web", "/web"]}),
    ] {
        assert!(find(&same).is_ok(), "{same}");
    }
}

#[test]
fn i11_what_is_reported_is_bounded_and_holds_no_control_characters() {
    let evil = "e\u{1b}[2J".repeat(500);
    let body = json!({"labels": {"con\u{1b}tainer": evil, "container": "web"}});
    let fault = find(&body).unwrap_err();
    assert!(!fault.contains('\u{1b}') && fault.len() < 2000, "{fault}");
    let mut labels = Map::new();
    for (index, key) in [
        "name",
        "service",
        "instance",
        "target",
        "resource",
        "service_name",
    ]
    .iter()
    .enumerate()
    {
        labels.insert((*key).to_owned(), format!("x{index}{}", "y".repeat(60)).into());
    }
    let named = find(&json!({"container_name": "web", "labels": labels})).unwrap();
    assert_eq!(named.naming.unwrap().others.len(), OTHERS);
}
