//! What senders write, as it comes over the wire: bodies by hand from their documentation.

use std::io::Write as _;
use std::sync::Arc;

use aegis_api::kinds::find;
use aegis_api::{Incident, Kind as _};
use serde_json::{Value, json};

use crate::testing::{Answer, Server, config};

mod correlated;
mod readers;
mod sequences;
mod wire;

pub(super) const FIXTURES: [(&str, &str); 14] = [
    ("alertmanager", include_str!("fixtures/alertmanager_group.json")),
    ("grafana", include_str!("fixtures/grafana_unified.json")),
    ("grafana", include_str!("fixtures/grafana_unified_test.json")),
    ("grafana", include_str!("fixtures/grafana_old.json")),
    ("grafana", include_str!("fixtures/grafana_old_test.json")),
    ("pagerduty", include_str!("fixtures/pagerduty_trigger.json")),
    (
        "cloudevents",
        include_str!("fixtures/cloudevents_structured.json"),
    ),
    ("cloudevents", include_str!("fixtures/cloudevents_batch.json")),
    ("sentry", include_str!("fixtures/mapped_sentry.json")),
    ("kuma", include_str!("fixtures/mapped_kuma.json")),
    ("zabbix", include_str!("fixtures/mapped_zabbix.form")),
    ("cellar", include_str!("fixtures/mapped_many.json")),
    ("pagerduty", include_str!("fixtures/pagerduty_webhook.json")),
    ("datadog", include_str!("fixtures/mapped_datadog.json")),
];

/// The body of a fixture by its number in [`FIXTURES`].
fn fixture(at: usize) -> &'static str {
    FIXTURES[at].1
}

pub(super) async fn create(server: &Server, kind: &str, name: &str, spec: Value) {
    let object =
        json!({"apiVersion": aegis_api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
    server
        .store
        .create(find(kind).unwrap(), object, false)
        .await
        .unwrap();
}

/// A server with Workloads `web`, `db` and `worker`, and with sources of formats that are not built in.
async fn host() -> Server {
    with(config()).await
}

async fn with(config: crate::ServerConfig) -> Server {
    let server = Server::with(config).await;
    for name in ["web", "db", "worker"] {
        create(&server, "Workload", name, json!({"container": name})).await;
    }
    sources(&server).await;
    server
}

pub(super) async fn sources(server: &Server) {
    let sentry = json!({"alertType": ["$.data.triggered_rule", "$.data.event.title"], "id": ["$.data.event.issue_id"],
        "status": ["$.action"], "severity": ["$.data.event.level"], "startsAt": ["$.data.event.datetime"],
        "container": ["$.data.event.tags[?@[0] == 'server_name'][1]"], "logs": ["$.data.event.title"],
        "url": ["$.data.event.web_url"]});
    let kuma = json!({"alertType": ["Monitor is down"], "id": ["$.monitor.id"], "status": ["$.heartbeat.status"],
        "resolved": ["1"], "ignored": ["2"], "container": ["$.monitor.name"], "logs": ["$.msg"]});
    let zabbix = json!({"alertType": ["$.trigger"], "id": ["$.eventid"], "status": ["$.value"], "resolved": ["OK"],
        "severity": ["$.severity"], "container": ["$.host"], "logs": ["$.item"]});
    let cellar = json!({"alerts": "$.events[*]", "alertType": ["$.what"], "id": ["$.nr"], "status": ["$.now"],
        "resolved": ["off"], "container": ["$.where.box"], "labels": ["$.where"], "logs": ["$.site"]});
    let datadog = include_str!("../../../../examples/alerts/datadog.yaml");
    let datadog = aegis_api::yaml::parse(datadog).unwrap().remove(0).value["spec"]["mapping"].clone();
    for (name, mapping) in [
        ("sentry", sentry),
        ("kuma", kuma),
        ("zabbix", zabbix),
        ("cellar", cellar),
        ("datadog", datadog),
    ] {
        create(
            server,
            "AlertSource",
            name,
            json!({"format": "Mapped", "mapping": mapping}),
        )
        .await;
    }
}

async fn post(server: &Server, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    post_with(server, path, &[], body).await
}

async fn post_with(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Answer {
    let mut request = axum::http::Request::builder().method("POST").uri(path);
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", "Bearer webhook-token");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let request = request.body(axum::body::Body::from(body.into())).unwrap();
    Answer::of(server.send(request).await).await
}

fn incidents(server: &Server) -> Vec<Arc<Incident>> {
    let mut all = server.store.list::<Incident>();
    all.sort_by(|one, other| one.name().cmp(other.name()));
    all
}

/// `type about container (id)` of every incident.
fn opened(server: &Server) -> Vec<String> {
    let rows = incidents(server);
    let rows = rows.iter().map(|incident| {
        let spec = &incident.spec;
        let container = spec
            .container_name
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!(
            "{} about {container} ({})",
            spec.alert_type, spec.source.incident_id
        )
    });
    rows.collect()
}

/// Reasons of the events so far.
fn reasons(server: &Server) -> Vec<String> {
    let (_, events) = server.events.list();
    events
        .iter()
        .map(|event| format!("{:?} {}", event.kind, event.reason))
        .collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
