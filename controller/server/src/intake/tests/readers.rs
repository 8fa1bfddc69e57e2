//! Each sender's bodies come out as alerts about the right container, at both addresses.

use super::*;

#[tokio::test]
async fn each_senders_body_opens_what_it_reports_at_its_own_address_and_at_the_common_one() {
    let cases: [(usize, &[&str]); 14] = [
        (
            0,
            &[
                "ContainerMemory about web (alertmanager-0af2b3c4d5e6f708)",
                "ContainerRestarts about db (alertmanager-1af2b3c4d5e6f708)",
            ],
        ),
        (
            1,
            &[
                "High latency about web (grafana-57c6d9296de2ad39)",
                "DatasourceNoData: Queue depth about worker (grafana-67c6d9296de2ad39)",
            ],
        ),
        (2, &[]),
        (3, &["Panel Title alert about web (grafana-"]),
        (4, &[]),
        (5, &["disk about web (pagerduty-web-disk)"]),
        (
            6,
            &["org.example.container.unhealthy about web (cloudevents-event-"],
        ),
        (
            7,
            &[
                "org.example.oom about web (cloudevents-event-",
                "org.example.slow about db (cloudevents-event-",
            ],
        ),
        (8, &["errors of the shop about web (sentry-117)"]),
        (9, &["Monitor is down about web (kuma-3)"]),
        (10, &["High CPU about web (zabbix-4711)"]),
        (11, &["Pump hot about web (cellar-1)"]),
        (
            12,
            &["the queue of the shop grows about worker (pagerduty-QEXAMPLE1)"],
        ),
        (13, &["Memory of web is high about web (datadog-12345678-4f1d2a)"]),
    ];
    for (at, expected) in cases {
        let (name, body) = FIXTURES[at];
        let own = format!("/webhook/{name}");
        let paths = if at < 8 || at == 12 {
            vec!["/webhook", own.as_str()]
        } else {
            vec![own.as_str()]
        };
        for path in paths {
            let server = host().await;
            let answer = post(&server, path, body).await;
            assert!(answer.code.is_success(), "{path} {at}: {}", answer.text);
            let mut opened = opened(&server);
            opened.sort();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(opened.len(), expected.len(), "{path} {at}: {opened:?}");
            for (opened, expected) in opened.iter().zip(expected) {
                assert!(opened.starts_with(expected), "{path} {at}: {opened}");
            }
        }
    }
}

#[tokio::test]
async fn what_senders_say_beside_the_type_is_kept_and_keys_are_not() {
    let server = host().await;
    post(&server, "/webhook", fixture(0)).await;
    let web = &incidents(&server)[0].spec;
    assert_eq!(web.severity, aegis_api::incident::Severity::Critical);
    assert_eq!(web.logs, "web uses 93 % of its memory\nlimit 256 MiB");
    assert_eq!(web.starts_at.unwrap().to_string(), "2026-11-29T09:58:12.134Z");
    assert_eq!(web.source.url, "http://prometheus:9090/graph?g0.expr=x");
    assert_eq!(web.source.kind, "webhook");
    assert_eq!(web.source.labels["labels.job"], "cadvisor");
    assert_eq!(web.workload_ref.as_ref().unwrap().as_str(), "web");
    let server = host().await;
    let answer = post(&server, "/webhook/pagerduty", fixture(5)).await;
    assert_eq!(answer.code, 202);
    assert_eq!(answer.json()["dedup_key"], "web-disk");
    let incident = &incidents(&server)[0];
    assert_eq!(incident.spec.source.kind, "webhook/pagerduty");
    assert!(!serde_json::to_string(&**incident).unwrap().contains("samplekey"));
    let server = host().await;
    post(&server, "/webhook", fixture(12)).await;
    let spec = &incidents(&server)[0].spec;
    assert_eq!(spec.severity, aegis_api::incident::Severity::Critical);
    assert_eq!(spec.starts_at.unwrap().to_string(), "2026-11-29T10:00:00Z");
    assert_eq!(spec.source.url, "https://shop.example.org/incidents/QEXAMPLE1");
    assert_eq!(spec.source.fingerprint, "pagerduty-shop-queue");
    let labels = &spec.source.labels;
    assert_eq!(
        (
            labels["labels.service"].as_str(),
            labels["annotations.priority"].as_str()
        ),
        ("worker", "P2")
    );
}

#[tokio::test]
async fn the_test_buttons_of_grafana_open_nothing_and_are_seen() {
    for at in [2, 4] {
        let server = host().await;
        let answer = post(&server, "/webhook/grafana", fixture(at)).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        assert_eq!(answer.json()["alerts"][0]["outcome"], "test");
        assert!(
            reasons(&server).contains(&"Normal TestAlert".to_owned()),
            "{:?}",
            reasons(&server)
        );
    }
}

#[tokio::test]
async fn alerts_that_a_sender_left_out_are_reported() {
    let server = host().await;
    let mut body: Value = serde_json::from_str(fixture(0)).unwrap();
    body["truncatedAlerts"] = 12.into();
    let answer = post(&server, "/webhook", body.to_string()).await;
    assert_eq!(answer.json()["truncated"], 12);
    assert!(reasons(&server).contains(&"Warning AlertsTruncated".to_owned()));
}

#[tokio::test]
async fn an_event_in_binary_mode_is_read_from_its_headers() {
    let server = host().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "org.example.oom"),
        ("ce-subject", "w%65b"),
        ("content-type", "text/plain"),
    ];
    let answer = post_with(&server, "/webhook", &headers, "it was killed").await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert!(
        opened(&server)[0].starts_with("org.example.oom about web"),
        "{:?}",
        opened(&server)
    );
    assert_eq!(incidents(&server)[0].spec.logs, "it was killed");
}

#[tokio::test]
async fn data_of_an_event_that_is_a_text_in_json_is_that_text() {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.encode(r#""it was \"killed\"""#);
    for (name, data, logs) in [
        ("data", r#""it was \"killed\"""#, r#"it was "killed""#),
        ("data_base64", packed.as_str(), r#"it was "killed""#),
        ("data", "it was killed", "it was killed"),
        ("data", r#""it was" killed"#, r#""it was" killed"#),
        (
            "data",
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ] {
        let server = host().await;
        let mut event =
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "web"});
        event[name] = data.into();
        let answer = post(&server, "/webhook", event.to_string()).await;
        assert_eq!(answer.code, 200, "{data}: {}", answer.text);
        assert_eq!(incidents(&server)[0].spec.logs, logs, "{data}");
    }
}

#[tokio::test]
async fn labels_of_compose_and_the_cgroup_of_cadvisor_name_the_container() {
    let id = "b".repeat(64);
    for (labels, container) in [
        (
            json!({"container_label_com_docker_compose_project": "shop", "container_label_com_docker_compose_service": "web"}),
            "shop-web-1",
        ),
        (json!({"id": format!("/docker/{id}")}), "shop-web-1"),
        (
            json!({"id": format!("/system.slice/docker-{id}.scope"), "instance": "cadvisor:8080"}),
            "shop-web-1",
        ),
        (
            json!({"id": "/system.slice/ssh.service", "container": "db"}),
            "db",
        ),
        (json!({"service": "db"}), "db"),
        (json!({"instance": "db:9104"}), "db"),
    ] {
        let server = host().await;
        server.host.set_containers(vec![aegis_api::wire::ContainerRow {
            id: id[..12].to_owned(),
            name: "shop-web-1".to_owned(),
            status: aegis_api::observed::ContainerState::Running,
            image: "app".to_owned(),
        }]);
        let mut labels = labels;
        labels["alertname"] = "X".into();
        let body =
            json!({"receiver": "r", "alerts": [{"status": "firing", "labels": labels, "fingerprint": "f"}]});
        let answer = post(&server, "/webhook", body.to_string()).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        assert_eq!(
            opened(&server),
            [format!("X about {container} (alertmanager-f)")],
            "{labels}"
        );
    }
}

#[tokio::test]
async fn an_alert_that_names_two_containers_is_kept_by_both_names_and_the_others_of_its_group_are_taken() {
    let server = host().await;
    let body = json!({"receiver": "r", "alerts": [
        {"labels": {"alertname": "A", "container": "web", "container_name": "db"}, "fingerprint": "1"},
        {"labels": {"alertname": "B", "container": "web"}, "fingerprint": "2"}]});
    let answer = post(&server, "/webhook", body.to_string()).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(opened(&server), ["B about web (alertmanager-2)"]);
    let said = answer.json()["unreadable"][0].as_str().unwrap().to_owned();
    assert!(said.contains("web") && said.contains("db"), "{said}");
    assert!(reasons(&server).contains(&"Warning UnreadableAlert".to_owned()));
    let kept = server.get("/intake/unreadable").await.json();
    assert_eq!(
        (kept.as_array().unwrap().len(), &kept[0]["sender"]),
        (1, &json!("alertmanager"))
    );
}
