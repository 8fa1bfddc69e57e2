//! Made-up containers, balancers and worlds for tests, of this crate and of those that act on its plans.

#![allow(
    clippy::unwrap_used,
    reason = "built for tests alone, where what is made up here is right"
)]

use std::sync::Arc;

use aegis_api::load_balancer::{LoadBalancerStatus, Release, Server};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::{Health, InstanceStatus};
use aegis_api::{LoadBalancer, Time, Workload, WorkloadStatus, kinds, yaml};

use super::home::Endpoint;
use super::observed::{NginxBuild, Observed};

/// The template that comes with this program.
pub const TEMPLATE: &str = include_str!("../../../../lb-templates/nginx-upstream.conf.tera");

/// The same for TCP backends.
pub const STREAM_TEMPLATE: &str = include_str!("../../../../lb-templates/nginx-stream.conf.tera");

/// What the nginx of ours says of itself.
pub const NGINX: &str = "nginx version: nginx/1.28.3\nconfigure arguments: --with-http_stub_status_module --with-http_v2_module --with-stream\n";

pub fn time(text: &str) -> Time {
    text.parse().unwrap()
}

pub fn balancer() -> LoadBalancer {
    let text = "apiVersion: aegisops.io/v1alpha1\nkind: LoadBalancer\nmetadata: {name: lb}\nspec:\n  container: nginx\n  \
                backends:\n  - {workload: web, port: 8000, upstream: web}\n";
    let document = yaml::parse(text).unwrap().remove(0);
    let (_, typed) = kinds::find("lb").unwrap().decode(document.value).unwrap();
    (*typed.downcast::<LoadBalancer>().unwrap()).clone()
}

pub fn row(name: &str, ip: &str, health: Health) -> InstanceStatus {
    InstanceStatus {
        name: name.to_owned(),
        id: format!("id-{name}").into(),
        index: 1,
        addresses: [("net".to_owned(), ip.to_owned())].into(),
        state: ContainerState::Running,
        health,
        revision: "r".into(),
        draining: false,
        draining_since: None,
        leaving: None,
        ready_since: None,
        started_at: None,
        restarts: 0,
        last_restart_at: None,
        recent_restarts: Vec::new(),
        counted_run: None,
        unhealthy_since: None,
        message: None,
        first_ready_at: None,
        starting: false,
        fruitless_restarts: 0,
        stopped_by_hand: None,
        missed_restart: None,
        cannot_restart: None,
    }
}

pub fn server(name: &str, ip: &str) -> Server {
    Server {
        upstream: "web".to_owned(),
        workload: "web".to_owned(),
        container: name.to_owned(),
        id: format!("id-{name}").into(),
        address: format!("{ip}:8000"),
        weight: 1,
    }
}

/// What the engine says of a container whose row is of this moment.
pub fn endpoint(row: &InstanceStatus) -> Endpoint {
    let addresses = row.addresses.iter();
    Endpoint {
        name: row.name.clone(),
        state: row.state,
        started_at: row.started_at,
        addresses: addresses
            .map(|(network, ip)| (network.clone(), ip.parse().unwrap()))
            .collect(),
        on_host: false,
    }
}

pub fn rows_of(workload: &Workload) -> &[InstanceStatus] {
    &workload.status.as_ref().unwrap().instances
}

pub fn world(rows: Vec<InstanceStatus>) -> Observed {
    let mut workload = Workload::new("web", serde_json::from_str(r#"{"container":"a"}"#).unwrap());
    workload.status = Some(WorkloadStatus {
        instances: rows,
        ..WorkloadStatus::default()
    });
    let container = ContainerDetails {
        id: "nginx-id".into(),
        name: "nginx".to_owned(),
        state: ContainerState::Running,
        networks: [("net".to_owned(), Some("10.0.0.9".parse().unwrap()))].into(),
        ..ContainerDetails::default()
    };
    let endpoints = rows_of(&workload)
        .iter()
        .map(|row| (row.id.clone(), endpoint(row)));
    Observed {
        counted: Vec::new(),
        file: None,
        endpoints: endpoints.collect(),
        container: Some(container),
        address: Some("10.0.0.9:80".parse().unwrap()),
        served: None,
        installed: true,
        workers: None,
        workloads: vec![Some(Arc::new(workload))],
        removed_backends: Vec::new(),
        template: Ok(TEMPLATE.to_owned()),
        stream_template: None,
        nginx: Some(NginxBuild::parse(NGINX)),
        leftover: false,
        claimed_by: None,
        taken: None,
        now: time("2026-11-22T12:00:00Z"),
    }
}

pub fn serving(servers: &[Server]) -> LoadBalancer {
    let mut lb = balancer();
    lb.status = Some(LoadBalancerStatus {
        servers: servers.to_vec(),
        ..LoadBalancerStatus::default()
    });
    lb
}

pub fn release(id: &str, since: Option<&str>) -> Release {
    Release {
        id: id.into(),
        since: since.map(time),
    }
}
