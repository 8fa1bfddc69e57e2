//! Reads nginx's own count of its connections after each round of readings, where its configuration offers it. Does I/O
//! through the engine only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::wire::Connections;
use aegis_api::{Kind, LoadBalancer};
use aegis_planning::load_balancer::connections::{STATUS_PATH, STATUS_PORT, are_offered, parse};
use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::addressing;
use crate::context::Context;

/// How long nginx may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long a load balancer may take in all: the others wait.
const WITHIN: Duration = Duration::from_secs(2);
/// How often this controller's own networks are read again.
const NETWORKS_READ: Duration = Duration::from_secs(60);

pub(super) async fn read_all(context: &Context, shutdown: &CancellationToken) {
    let mut rounds = std::pin::pin!(context.samples.rounds());
    let mut networks = OwnNetworks::default();
    let traffic = context.samples.traffic();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            round = rounds.next() => if round.is_none() {
                return;
            }
        }
        let offering = offering(context);
        traffic.retain_connections(&offering.iter().map(|one| one.name().to_owned()).collect());
        if offering.is_empty() {
            continue;
        }
        let own = networks.read(context).await;
        let readings = offering.iter().map(|balancer| async {
            let read = timeout(WITHIN, read(context, balancer, own)).await;
            (balancer.name(), read.ok().flatten())
        });
        for (balancer, connections) in join_all(readings).await {
            traffic.set_connections(balancer, connections);
        }
    }
}

/// Load balancers whose nginx offers its connections.
fn offering(context: &Context) -> Vec<Arc<LoadBalancer>> {
    let mut all = context.store.list::<LoadBalancer>();
    all.retain(|balancer| {
        let status = balancer.status.as_ref();
        let config = status.and_then(|status| status.config.as_deref());
        config.is_some_and(are_offered) && !balancer.is_deleting()
    });
    all
}

async fn read(context: &Context, balancer: &LoadBalancer, own: &BTreeSet<String>) -> Option<Connections> {
    let name = balancer.spec.container.as_str();
    let container = context.engine.inspect(name).await.ok()??;
    if container.name != name || container.state != ContainerState::Running {
        return None;
    }
    let address = addressing::reachable(&container, own, STATUS_PORT)?;
    let answer = context.engine.http_get(address, STATUS_PATH, ANSWER_WITHIN).await;
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    parse(&answer.body, context.clock.now())
}

/// The networks that this controller is on.
#[derive(Default)]
struct OwnNetworks {
    names: BTreeSet<String>,
    read: Option<Instant>,
}

impl OwnNetworks {
    async fn read(&mut self, context: &Context) -> &BTreeSet<String> {
        if self.read.is_none_or(|read| read.elapsed() >= NETWORKS_READ)
            && let Ok(Ok(names)) = timeout(WITHIN, addressing::own_networks(context)).await
        {
            self.names = names;
            self.read = Some(Instant::now());
        }
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use aegis_docker_fake::{FakeEngine, RunSpec};
    use serde_json::json;

    use super::*;
    use crate::context::Settings;
    use crate::context::tests::over;

    const OFFERS: &str =
        "server {\n    listen 28079;\n    location = /aegis-status {\n        stub_status;\n    }\n}\n";

    async fn reads(config: &str) -> Option<Connections> {
        let engine = FakeEngine::default();
        engine.run_container(&RunSpec::nginx("lb")).unwrap();
        let (context, _state) = over(&engine, Settings::default()).await;
        let files = [("upstream.conf".to_owned(), config.as_bytes().to_vec())];
        context
            .engine
            .put_files("lb", "/etc/nginx/conf.d", &files)
            .await
            .unwrap();
        context
            .engine
            .exec("lb", &["nginx", "-s", "reload"], &[])
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let spec =
            json!({"container": "lb", "backends": [{"workload": "web", "port": 80, "upstream": "web"}]});
        let balancer = LoadBalancer::new("lb", serde_json::from_value(spec).unwrap());
        read(&context, &balancer, &BTreeSet::new()).await
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_read_where_nginx_offers_them_and_are_unknown_elsewhere() {
        let read = reads(OFFERS).await.unwrap();
        assert!(read.active >= 1 && read.accepted >= read.handled, "{read:?}");
        assert_eq!(reads("server { listen 80; }").await, None);
        assert_eq!(
            reads("server { listen 28079; location / { return 200 'Active'; } }").await,
            None
        );
    }
}
