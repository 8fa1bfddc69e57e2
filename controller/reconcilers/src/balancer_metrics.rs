//! The load balancers as clients get them: the requests of each upstream and server, and nginx's connections, from what was
//! counted and what is stored. Pure but for the reading of both.

use std::collections::{BTreeMap, BTreeSet};

use aegis_api::load_balancer::Protocol;
use aegis_api::signals::bounds;
use aegis_api::wire::{BalancerMetrics, RequestRates, ServerMetrics, UpstreamMetrics, WorkloadRequests};
use aegis_api::{Kind, LoadBalancer, Time};
use aegis_signals::traffic::{ServerRequests, Traffic};

use crate::context::Context;

/// Seconds that rates are of, where requests are counted for that long.
const OVER: u32 = 60;
/// Counts are kept by so many seconds.
const SPAN: u32 = 3;

/// All load balancers, by name; only those named, where any is.
pub fn all(context: &Context, now: Time, names: &[String]) -> Vec<BalancerMetrics> {
    let mut balancers = context.store.list::<LoadBalancer>();
    balancers.retain(|balancer| names.is_empty() || names.iter().any(|name| name == balancer.name()));
    balancers.sort_by(|a, b| a.name().cmp(b.name()));
    let traffic = context.samples.traffic();
    balancers
        .iter()
        .map(|balancer| of(balancer, traffic, now))
        .collect()
}

/// The requests to workloads, by name.
pub fn workloads(context: &Context, now: Time) -> Vec<WorkloadRequests> {
    let traffic = context.samples.traffic();
    let balancers = context.store.list::<LoadBalancer>();
    let since = balancers
        .iter()
        .filter_map(|balancer| traffic.followed_since(balancer.name()));
    let over_seconds = over(since.max(), now);
    let counted = traffic.workloads(now, over_seconds);
    counted
        .into_iter()
        .map(|(workload, requests, totals)| WorkloadRequests {
            workload,
            over_seconds,
            rates: RequestRates::of(&requests, over_seconds),
            totals,
        })
        .collect()
}

/// How many seconds rates are of: as long as is counted, a minute at most.
fn over(counted_since: Option<Time>, now: Time) -> u32 {
    counted_since.map_or(OVER, |since| {
        let counted = u32::try_from(since.age(now).as_secs()).unwrap_or(OVER);
        (counted - counted % SPAN).clamp(SPAN, OVER)
    })
}

fn of(balancer: &LoadBalancer, traffic: &Traffic, now: Time) -> BalancerMetrics {
    let counted_since = traffic.followed_since(balancer.name());
    let over_seconds = over(counted_since, now);
    let counted = traffic.servers(balancer.name(), now, over_seconds);
    let connections = traffic.connections(balancer.name());
    let (upstreams, servers) = rows(balancer, &counted, over_seconds);
    BalancerMetrics {
        name: balancer.name().to_owned(),
        counted_since,
        over_seconds,
        connections: connections.filter(|read| read.t.age(now) <= bounds::FRESH.std()),
        upstreams,
        servers,
    }
}

/// What is in rotation has a row, and what was counted lately has one.
fn rows(
    balancer: &LoadBalancer,
    counted: &[ServerRequests],
    over_seconds: u32,
) -> (Vec<UpstreamMetrics>, Vec<ServerMetrics>) {
    let mut upstreams: BTreeMap<String, UpstreamMetrics> = BTreeMap::new();
    let mut servers: BTreeMap<(String, String), ServerMetrics> = BTreeMap::new();
    // Of TCP no requests are known.
    let tcp = balancer
        .spec
        .backends
        .iter()
        .filter(|backend| backend.protocol == Protocol::Tcp);
    let tcp: BTreeSet<&str> = tcp.map(|backend| backend.upstream.as_str()).collect();
    let served = balancer.status.iter().flat_map(|status| &status.servers);
    for server in served.filter(|server| !tcp.contains(server.upstream.as_str())) {
        let row = ServerMetrics {
            upstream: server.upstream.clone(),
            container: server.container.clone(),
            address: Some(server.address.clone()),
            in_rotation: true,
            ..ServerMetrics::default()
        };
        servers.insert((server.upstream.clone(), server.container.clone()), row);
    }
    let backends = balancer.spec.backends.iter();
    for backend in backends.filter(|backend| !tcp.contains(backend.upstream.as_str())) {
        upstreams.entry(backend.upstream.to_string()).or_default();
    }
    for one in counted {
        let (upstream, rates) = (&one.key.upstream, RequestRates::of(&one.requests, over_seconds));
        match &one.key.container {
            None => {
                let row = upstreams.entry(upstream.clone()).or_default();
                (row.rates, row.totals) = (rates, one.totals);
            }
            Some(container) => {
                let row = servers.entry((upstream.clone(), container.clone())).or_default();
                row.upstream.clone_from(upstream);
                row.container.clone_from(container);
                (row.rates, row.totals) = (rates, one.totals);
            }
        }
    }
    let named = upstreams
        .into_iter()
        .map(|(upstream, row)| UpstreamMetrics { upstream, ..row });
    (named.collect(), servers.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::load_balancer::{LoadBalancerStatus, Server};
    use aegis_api::signals::Outcome;
    use aegis_api::wire::Connections;
    use aegis_signals::traffic::ServerKey;

    use super::*;

    fn at(secs: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_900_000_020 + secs).unwrap())
    }

    fn balancer() -> LoadBalancer {
        let spec = serde_json::json!({"container": "lb", "backends": [{"workload": "web", "port": 80, "upstream": "web"}]});
        let mut balancer = LoadBalancer::new("lb", serde_json::from_value(spec).unwrap());
        let server = |container: &str, address: &str| Server {
            upstream: "web".to_owned(),
            workload: "web".to_owned(),
            container: container.to_owned(),
            id: container.into(),
            address: address.to_owned(),
            weight: 1,
        };
        balancer.status = Some(LoadBalancerStatus {
            servers: vec![server("web-1", "10.0.0.2:80"), server("web-2", "10.0.0.3:80")],
            ..LoadBalancerStatus::default()
        });
        balancer
    }

    fn key(container: Option<&str>) -> Arc<ServerKey> {
        Arc::new(ServerKey {
            balancer: "lb".to_owned(),
            upstream: "web".to_owned(),
            container: container.map(str::to_owned),
        })
    }

    #[test]
    fn what_is_in_rotation_has_a_row_and_what_has_just_left_still_has_one() {
        let traffic = Traffic::default();
        traffic.set_followed("lb", at(0));
        for secs in 0..30 {
            traffic.count_server(&key(None), at(secs), Outcome::Answered, 500);
            traffic.count_server(&key(Some("web-1")), at(secs), Outcome::Answered, 500);
            traffic.count_server(&key(Some("web-0")), at(secs), Outcome::Failed, 1);
        }
        let mut balancer = balancer();
        let tcp = serde_json::json!({"workload": "web", "port": 81, "upstream": "db", "protocol": "Tcp", "listenPort": 81});
        balancer.spec.backends.push(serde_json::from_value(tcp).unwrap());
        let status = balancer.status.as_mut().unwrap();
        let server = status.servers[0].clone();
        status.servers.push(Server {
            upstream: "db".to_owned(),
            ..server
        });
        let found = of(&balancer, &traffic, at(31));
        assert_eq!((found.counted_since, found.over_seconds), (Some(at(0)), 30));
        assert_eq!(found.upstreams.len(), 1);
        assert_eq!(found.upstreams[0].rates.requests_per_second, 1.0);
        let rows: Vec<_> = found
            .servers
            .iter()
            .map(|row| {
                (
                    row.container.as_str(),
                    row.in_rotation,
                    row.rates.requests_per_second,
                )
            })
            .collect();
        assert_eq!(
            rows,
            [("web-0", false, 1.0), ("web-1", true, 1.0), ("web-2", true, 0.0)]
        );
        assert_eq!(found.servers[0].rates.error_percent, Some(100.0));
        assert_eq!(found.servers[1].rates.in_flight, 0.5);
        assert_eq!(found.servers[1].totals.answered, 30);
        let later = of(&balancer, &traffic, at(3600));
        assert_eq!((later.over_seconds, later.servers.len()), (60, 2));
    }

    #[test]
    fn what_is_not_counted_says_so_and_connections_of_long_ago_are_none() {
        let traffic = Traffic::default();
        let read = Connections {
            t: at(0),
            active: 1,
            reading: 0,
            writing: 1,
            waiting: 0,
            accepted: 1,
            handled: 1,
            requests: 1,
        };
        traffic.set_connections("lb", Some(read));
        let found = of(&balancer(), &traffic, at(10));
        assert_eq!((found.counted_since, found.connections), (None, Some(read)));
        assert_eq!(found.servers.len(), 2);
        assert_eq!(of(&balancer(), &traffic, at(100)).connections, None);
    }
}
