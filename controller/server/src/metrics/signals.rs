//! Prometheus metrics of load balancers, their servers and the host: taken down from the host view when they are read.
//! Labels are bounded: load balancers, upstreams and containers that are in rotation or had a request within a quarter
//! of an hour, and of all of them at most [`MOST_SERVERS`].

use std::sync::atomic::AtomicU64;

use aegis_api::wire::{BalancerMetrics, Connections, FileSystemUse, HostMetrics, ServerMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::host::HostView;

/// Servers of all load balancers that are exposed.
const MOST_SERVERS: usize = 500;

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BalancerLabels {
    load_balancer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    load_balancer: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    load_balancer: String,
    upstream: String,
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    load_balancer: String,
    upstream: String,
    server: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    load_balancer: String,
    upstream: String,
    server: String,
    quantile: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileSystemLabels {
    file_system: &'static str,
}

/// Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct SignalMetrics {
    requests: Family<RequestLabels, Counter>,
    latency: Family<LatencyLabels, FloatGauge>,
    in_flight: Family<ServerLabels, FloatGauge>,
    connections: Family<ConnectionLabels, Gauge>,
    accepted: Family<BalancerLabels, Counter>,
    handled: Family<BalancerLabels, Counter>,
    client_requests: Family<BalancerLabels, Counter>,
    cpu: FloatGauge,
    memory: FloatGauge,
    load: FloatGauge,
    disk: Family<FileSystemLabels, FloatGauge>,
}

impl SignalMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register_balancers(registry);
        metrics.register_host(registry);
        metrics
    }

    fn register_balancers(&self, registry: &mut Registry) {
        registry.register(
            "aegis_lb_server_requests",
            "Requests that nginx tried on a server since this controller began to count, by what that server answered: 5xx, 499 (its client went away before an answer) or other",
            self.requests.clone(),
        );
        registry.register(
            "aegis_lb_server_latency_seconds",
            "Seconds within which a server answered this part of the requests of the last minute",
            self.latency.clone(),
        );
        registry.register(
            "aegis_lb_server_in_flight",
            "Requests under way at a server, estimated: rate times mean time over the last minute",
            self.in_flight.clone(),
        );
        registry.register(
            "aegis_lb_connections",
            "Connections of nginx, by state; active ones include the others",
            self.connections.clone(),
        );
        registry.register(
            "aegis_lb_connections_accepted",
            "Connections that nginx has accepted since it started",
            self.accepted.clone(),
        );
        registry.register(
            "aegis_lb_connections_handled",
            "Of the accepted connections, those that nginx did not close for lack of resources",
            self.handled.clone(),
        );
        registry.register(
            "aegis_lb_client_requests",
            "Requests of clients to nginx since it started",
            self.client_requests.clone(),
        );
    }

    fn register_host(&self, registry: &mut Registry) {
        registry.register(
            "aegis_host_cpu_ratio",
            "CPU of the host in use between the last two readings, of all cores, 0 to 1; NaN where it is not known",
            self.cpu.clone(),
        );
        registry.register(
            "aegis_host_memory_used_ratio",
            "Memory of the host that cannot be had without swapping, 0 to 1; NaN where it is not known",
            self.memory.clone(),
        );
        registry.register(
            "aegis_host_load1",
            "Load average of the host over one minute; NaN where it is not known",
            self.load.clone(),
        );
        registry.register(
            "aegis_host_disk_used_ratio",
            "Space in use of the file systems of the engine and of the state directory, 0 to 1",
            self.disk.clone(),
        );
    }

    /// Takes down what is known now.
    pub(super) fn read(&self, view: &HostView) {
        self.read_host(&view.host());
        self.clear();
        let balancers = view.balancers(aegis_clock::now(), &[]);
        for balancer in &balancers {
            if let Some(connections) = &balancer.connections {
                self.read_connections(&balancer.name, connections);
            }
        }
        let servers = balancers
            .iter()
            .flat_map(|balancer| balancer.servers.iter().map(move |server| (balancer, server)));
        for (balancer, server) in servers.take(MOST_SERVERS) {
            self.read_server(balancer, server);
        }
    }

    fn clear(&self) {
        self.requests.clear();
        self.latency.clear();
        self.in_flight.clear();
        self.connections.clear();
        self.accepted.clear();
        self.handled.clear();
        self.client_requests.clear();
    }

    fn read_server(&self, balancer: &BalancerMetrics, server: &ServerMetrics) {
        // Of what is not counted nothing is known.
        if balancer.counted_since.is_none() {
            return;
        }
        let labels = ServerLabels {
            load_balancer: balancer.name.clone(),
            upstream: server.upstream.clone(),
            server: server.container.clone(),
        };
        let totals = &server.totals;
        for (code, count) in [
            ("5xx", totals.errors),
            ("499", totals.cancelled),
            ("other", totals.answered.saturating_sub(totals.errors)),
        ] {
            let ServerLabels {
                load_balancer,
                upstream,
                server,
            } = labels.clone();
            let labels = RequestLabels {
                load_balancer,
                upstream,
                server,
                code,
            };
            self.requests.get_or_create(&labels).inc_by(count);
        }
        let rates = &server.rates;
        for (quantile, millis) in [
            ("0.5", rates.p50_ms),
            ("0.95", rates.p95_ms),
            ("0.99", rates.p99_ms),
        ] {
            let Some(millis) = millis else { continue };
            let ServerLabels {
                load_balancer,
                upstream,
                server,
            } = labels.clone();
            let labels = LatencyLabels {
                load_balancer,
                upstream,
                server,
                quantile,
            };
            self.latency.get_or_create(&labels).set(millis / 1000.0);
        }
        self.in_flight.get_or_create(&labels).set(rates.in_flight);
    }

    fn read_connections(&self, balancer: &str, read: &Connections) {
        for (state, count) in [
            ("active", read.active),
            ("reading", read.reading),
            ("writing", read.writing),
            ("waiting", read.waiting),
        ] {
            let labels = ConnectionLabels {
                load_balancer: balancer.to_owned(),
                state,
            };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connections.get_or_create(&labels).set(count);
        }
        let labels = BalancerLabels {
            load_balancer: balancer.to_owned(),
        };
        self.accepted.get_or_create(&labels).inc_by(read.accepted);
        self.handled.get_or_create(&labels).inc_by(read.handled);
        self.client_requests.get_or_create(&labels).inc_by(read.requests);
    }

    fn read_host(&self, host: &HostMetrics) {
        self.cpu.set(host.cpu_ratio.unwrap_or(f64::NAN));
        self.load.set(host.load1.unwrap_or(f64::NAN));
        let memory = host.memory_available_bytes.zip(host.memory_total_bytes);
        self.memory.set(memory.and_then(used_ratio).unwrap_or(f64::NAN));
        self.disk.clear();
        for (file_system, disk) in [("engine", host.engine_disk), ("state", host.state_disk)] {
            let space = |disk: FileSystemUse| (disk.free_bytes, disk.total_bytes);
            if let Some(used) = disk.map(space).and_then(used_ratio) {
                self.disk
                    .get_or_create(&FileSystemLabels { file_system })
                    .set(used);
            }
        }
    }
}

fn used_ratio(space: (u64, u64)) -> Option<f64> {
    aegis_api::signals::used_percent(space).map(|percent| percent / 100.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::wire::{RequestRates, RequestTotals};
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn balancer(name: &str, servers: usize) -> BalancerMetrics {
        let now = aegis_clock::now();
        let server = |number: usize| ServerMetrics {
            upstream: "web".to_owned(),
            container: format!("web-{number}"),
            rates: RequestRates {
                p95_ms: Some(40.0),
                in_flight: 1.5,
                ..RequestRates::default()
            },
            totals: RequestTotals {
                answered: 10,
                errors: 2,
                cancelled: 3,
            },
            ..ServerMetrics::default()
        };
        BalancerMetrics {
            name: name.to_owned(),
            counted_since: Some(now),
            connections: Some(Connections {
                t: now,
                active: 7,
                reading: 0,
                writing: 2,
                waiting: 5,
                accepted: 100,
                handled: 99,
                requests: 1000,
            }),
            servers: (0..servers).map(server).collect(),
            ..BalancerMetrics::default()
        }
    }

    fn exposed(balancers: Vec<BalancerMetrics>, host: HostMetrics) -> String {
        let mut registry = Registry::default();
        let metrics = SignalMetrics::new(&mut registry);
        let view = HostView::new().with_balancers(Arc::new(move |_, _| balancers.clone()));
        view.set_host(host);
        // Twice: a counter that is taken down does not grow by being read.
        metrics.read(&view);
        metrics.read(&view);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn servers_connections_and_the_host_are_exposed() {
        let host = HostMetrics {
            cpu_ratio: Some(0.25),
            memory_available_bytes: Some(25),
            memory_total_bytes: Some(100),
            engine_disk: Some(FileSystemUse {
                free_bytes: 1,
                total_bytes: 10,
            }),
            ..HostMetrics::default()
        };
        let text = exposed(vec![balancer("lb", 1)], host);
        let own = r#"load_balancer="lb",upstream="web",server="web-0""#;
        for line in [
            format!("aegis_lb_server_requests_total{{{own},code=\"5xx\"}} 2\n"),
            format!("aegis_lb_server_requests_total{{{own},code=\"499\"}} 3\n"),
            format!("aegis_lb_server_requests_total{{{own},code=\"other\"}} 8\n"),
            format!("aegis_lb_server_latency_seconds{{{own},quantile=\"0.95\"}} 0.04\n"),
            format!("aegis_lb_server_in_flight{{{own}}} 1.5\n"),
            "aegis_lb_connections{load_balancer=\"lb\",state=\"waiting\"} 5\n".to_owned(),
            "aegis_lb_connections_accepted_total{load_balancer=\"lb\"} 100\n".to_owned(),
            "aegis_lb_client_requests_total{load_balancer=\"lb\"} 1000\n".to_owned(),
            "aegis_host_cpu_ratio 0.25\n".to_owned(),
            "aegis_host_memory_used_ratio 0.75\n".to_owned(),
            "aegis_host_load1 NaN\n".to_owned(),
            "aegis_host_disk_used_ratio{file_system=\"engine\"} 0.9\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(!text.contains("quantile=\"0.99\"") && !text.contains("file_system=\"state\""));
    }

    #[test]
    fn there_are_no_more_servers_than_are_said_and_none_where_nothing_is_counted() {
        let text = exposed(
            vec![balancer("a", 400), balancer("b", 400)],
            HostMetrics::default(),
        );
        let servers = text.matches("aegis_lb_server_in_flight{").count();
        assert_eq!(servers, MOST_SERVERS);
        let uncounted = BalancerMetrics {
            counted_since: None,
            ..balancer("lb", 2)
        };
        let text = exposed(vec![uncounted], HostMetrics::default());
        assert!(!text.contains("server=\"web-0\"") && text.contains("state=\"active\"} 7\n"));
    }
}
