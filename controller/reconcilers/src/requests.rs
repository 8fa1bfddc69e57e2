//! Counts requests from the logs of load balancers, only while a detector or autoscaling needs them: reading a log costs the
//! engine. Reads nginx's connections beside, where a configuration offers them.
//!
//! Each nginx whose configuration logs in the format `aegis_receipt` is followed; a line counts once for the workload and
//! the upstream of the server that was tried last, and once for each server that was tried. What no server was tried for (a
//! location without one) counts for none: that no server is left is a signal of its own. Does I/O through the engine only.

mod condition;
mod connections;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::detector::Signal;
use aegis_api::error::root_cause;
use aegis_api::load_balancer::Server;
use aegis_api::observed::ContainerState;
use aegis_api::{Detector, Kind, LoadBalancer, Workload};
use aegis_docker::LogQuery;
use aegis_planning::autoscale::needs_requests;
use aegis_planning::load_balancer::access_log::{AccessLine, FORMAT};
use aegis_signals::traffic::{ServerKey, Traffic};
use futures::StreamExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How often the load balancers to follow are listed.
const LISTED: Duration = Duration::from_secs(3);

/// Counts, and reads connections, until `shutdown`.
pub async fn run(context: Context, shutdown: CancellationToken) {
    tokio::join!(
        follow_all(&context, &shutdown),
        connections::read_all(&context, &shutdown)
    );
}

async fn follow_all(context: &Context, shutdown: &CancellationToken) {
    let mut followed: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut ticks = tokio::time::interval(LISTED);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = tasks.join_next() => continue,
            _ = ticks.tick() => {}
        }
        let asked = is_asked(context);
        let wanted = if asked { balancers(context) } else { Vec::new() };
        context.samples.traffic().retain_logs(&wanted);
        condition::report(context, asked).await;
        followed.retain(|name, task| {
            let keep = wanted.contains(name) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for name in wanted {
            followed.entry(name.clone()).or_insert_with(|| {
                let context = context.clone();
                tasks.spawn(async move { follow(&context, &name).await })
            });
        }
    }
}

/// Whether a detector, or the autoscaling of a workload, needs requests.
fn is_asked(context: &Context) -> bool {
    let scales = |workload: &Workload| workload.spec.autoscale.as_ref().is_some_and(needs_requests);
    if context
        .store
        .list::<Workload>()
        .iter()
        .any(|workload| scales(workload))
    {
        return true;
    }
    let asks = |detector: &Detector| {
        let signal = matches!(
            detector.spec.signal,
            Some(Signal::HttpLatency | Signal::HttpErrorRatio)
        );
        signal || detector.spec.slo.is_some()
    };
    context
        .store
        .list::<Detector>()
        .iter()
        .any(|detector| asks(detector))
}

/// Those that log what can be counted.
fn balancers(context: &Context) -> Vec<String> {
    let logs = |balancer: &LoadBalancer| {
        let config = balancer.status.as_ref().and_then(|status| status.config.as_ref());
        config.is_some_and(|config| config.contains(FORMAT))
    };
    let all = context.store.list::<LoadBalancer>();
    let logging = all.iter().filter(|balancer| logs(balancer));
    logging.map(|balancer| balancer.name().to_owned()).collect()
}

/// Counts what one load balancer logs from now on, until its log ends.
async fn follow(context: &Context, name: &str) {
    let Some(balancer) = context.store.get::<LoadBalancer>(name) else {
        return;
    };
    let since = context.clock.now();
    let query = LogQuery {
        tail: 0,
        follow: true,
        timestamps: false,
        since: since.unix_seconds(),
    };
    let container = balancer.spec.container.as_str();
    let traffic = context.samples.traffic();
    // That no request comes to one that does not run does not say that there are none.
    match context.engine.inspect(container).await {
        Ok(Some(details)) if details.state == ContainerState::Running => {}
        Ok(_) => {
            traffic.set_unreadable(name, format!("container {container} does not run"));
            return;
        }
        Err(error) => {
            traffic.set_unreadable(name, root_cause(&error));
            return;
        }
    }
    let mut lines = match context.engine.logs(container, query).await {
        Ok(lines) => lines,
        Err(error) => {
            tracing::debug!(balancer = name, %error, "its log cannot be followed");
            traffic.set_unreadable(name, root_cause(&error));
            return;
        }
    };
    traffic.set_followed(name, since);
    let _followed = Followed { traffic, name };
    let mut servers = Servers::default();
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                traffic.set_unreadable(name, root_cause(&error));
                return;
            }
        };
        if let Some(line) = AccessLine::parse(&line.text, context.clock.now()) {
            servers.refresh(context, name);
            count(traffic, &line, &servers);
        }
    }
}

/// A log that is followed, until this is dropped.
struct Followed<'a> {
    traffic: &'a Traffic,
    name: &'a str,
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.traffic.set_unfollowed(self.name);
    }
}

/// Counts a line for those of its servers that are known.
fn count(traffic: &Traffic, line: &AccessLine<'_>, servers: &Servers) {
    if let Some(served) = servers.of(line.last, line.upstream) {
        traffic.count(&served.workload, line.end, line.outcome, line.millis);
        traffic.count_server(&served.upstream, line.end, line.outcome, line.millis);
    }
    for tried in &line.tries {
        if let Some(served) = servers.of(tried.address, line.upstream) {
            traffic.count_server(&served.server, line.end, tried.outcome, tried.millis);
        }
    }
}

/// Whose server an address is. Those that left are remembered until another has their address.
#[derive(Debug, Default)]
struct Servers {
    /// By address; one for each upstream that the address is in.
    known: HashMap<String, Vec<Served>>,
    read: Option<tokio::time::Instant>,
}

/// One server of one upstream.
#[derive(Debug)]
struct Served {
    workload: String,
    upstream: Arc<ServerKey>,
    server: Arc<ServerKey>,
}

/// Addresses that are remembered.
const MOST_SERVERS: usize = 4096;
/// How often they are read again.
const READ: Duration = Duration::from_secs(1);

impl Servers {
    /// Reads them again, if it is time to.
    fn refresh(&mut self, context: &Context, balancer: &str) {
        if self.read.is_some_and(|read| read.elapsed() < READ) {
            return;
        }
        self.read = Some(tokio::time::Instant::now());
        let stored = context.store.get::<LoadBalancer>(balancer);
        let status = stored.as_ref().and_then(|balancer| balancer.status.as_ref());
        self.learn(balancer, status.map_or(&[], |status| &status.servers));
    }

    fn learn(&mut self, balancer: &str, servers: &[Server]) {
        if self.known.len() >= MOST_SERVERS {
            self.known.clear();
        }
        for server in servers {
            self.known.remove(&server.address);
        }
        for server in servers {
            let key = |container: Option<&String>| {
                Arc::new(ServerKey {
                    balancer: balancer.to_owned(),
                    upstream: server.upstream.clone(),
                    container: container.cloned(),
                })
            };
            let served = Served {
                workload: server.workload.clone(),
                upstream: key(None),
                server: key(Some(&server.container)),
            };
            self.known.entry(server.address.clone()).or_default().push(served);
        }
    }

    /// The server at this address: that of this upstream, where the log names one.
    fn of(&self, address: &str, upstream: Option<&str>) -> Option<&Served> {
        let all = self.known.get(address)?;
        let named = upstream.and_then(|name| all.iter().find(|served| served.upstream.upstream == name));
        named.or_else(|| all.first())
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::Time;
    use aegis_api::signals::{CLASSES, LATENCY_MS, Requests};
    use aegis_docker_fake::{FakeEngine, RunSpec};

    use super::*;
    use crate::context::Settings;
    use crate::context::tests::over;

    const ALWAYS: Duration = Duration::from_secs(3600);

    fn server(upstream: &str, container: &str, address: &str) -> Server {
        Server {
            upstream: upstream.to_owned(),
            workload: "web".to_owned(),
            container: container.to_owned(),
            id: container.into(),
            address: address.to_owned(),
            weight: 1,
        }
    }

    fn now() -> Time {
        Time(jiff::Timestamp::from_second(1_900_000_001).unwrap())
    }

    fn counted_of(servers: &[Server], line: &str) -> Traffic {
        let traffic = Traffic::default();
        let mut known = Servers::default();
        known.learn("lb", servers);
        if let Some(line) = AccessLine::parse(line, now()) {
            count(&traffic, &line, &known);
        }
        traffic
    }

    fn line(upstream: &str, status: &str, seconds: &str) -> String {
        format!(
            r#"{{"end":"1900000000.250","status":"{status}","seconds":"{seconds}","upstream":"{upstream}"}}"#
        )
    }

    fn counted(upstream: &str, status: &str, seconds: &str) -> Vec<(u32, u32, u32, [u32; CLASSES])> {
        let own = [server("web", "web-1", "10.0.0.2:80")];
        let traffic = counted_of(&own, &line(upstream, status, seconds));
        let spans = traffic.within("web", now(), ALWAYS).unwrap_or_default();
        spans
            .iter()
            .map(|span| (span.answered, span.errors, span.cancelled, span.latency))
            .collect()
    }

    #[test]
    fn a_line_counts_for_the_workload_of_the_server_that_was_tried_last() {
        let class = |millis: u32| {
            let mut latency = [0; CLASSES];
            let at = LATENCY_MS.iter().position(|bound| *bound == millis);
            latency[at.unwrap_or(CLASSES - 1)] = 1;
            latency
        };
        assert_eq!(counted("10.0.0.2:80", "200", "0.004"), [(1, 0, 0, class(4))]);
        assert_eq!(
            counted("10.0.0.9:80, 10.0.0.2:80", "502", "12.5"),
            [(1, 1, 0, class(u32::MAX))]
        );
        assert_eq!(counted("10.0.0.2:80", "499", "0.004"), [(0, 0, 1, [0; CLASSES])]);
        assert_eq!(counted("10.0.0.2:80, 10.0.0.9:80", "200", "0.004"), []);
        assert_eq!(counted("-", "503", "0.000"), []);
        assert_eq!(counted("", "503", "0.000"), []);
        assert_eq!(counted("10.0.0.2:80", "101", "3600.000"), []);
    }

    #[test]
    fn each_server_that_was_tried_counts_and_an_address_of_two_upstreams_for_the_one_that_was_meant() {
        let servers = [
            server("web", "web-1", "10.0.0.2:80"),
            server("api", "web-1", "10.0.0.2:80"),
            server("api", "web-2", "10.0.0.3:80"),
        ];
        let line = r#"{"end":"1900000000.250","status":"200","seconds":"0.104","upstream":"10.0.0.2:80, 10.0.0.9:80, 10.0.0.3:80",
            "upstream_name":"api","upstream_status":"502, 502, 200","upstream_seconds":"0.001, 0.001, 0.102"}"#;
        let traffic = counted_of(&servers, line);
        let later = Time(jiff::Timestamp::from_second(1_900_000_010).unwrap());
        let found = traffic.servers("lb", later, 60);
        let rows: Vec<_> = found
            .iter()
            .map(|one| {
                let container = one.key.container.as_deref();
                let Requests {
                    answered,
                    errors,
                    busy_ms,
                    ..
                } = one.requests;
                (one.key.upstream.as_str(), container, answered, errors, busy_ms)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("api", None, 1, 0, 104),
                ("api", Some("web-1"), 1, 1, 1),
                ("api", Some("web-2"), 1, 0, 102),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_load_balancer_that_does_not_run_requests_are_not_known_to_be_none() {
        let engine = FakeEngine::default();
        engine.run_container(&RunSpec::nginx("nginx")).unwrap();
        let (context, _state) = over(&engine, Settings::default()).await;
        let spec =
            r#"{"container": "nginx", "backends": [{"workload": "web", "port": 80, "upstream": "web"}]}"#;
        let spec = serde_json::from_str(spec).unwrap();
        context.store.add::<LoadBalancer>("lb", &spec).await.unwrap();
        engine.kill("nginx").unwrap();
        follow(&context, "lb").await;
        let traffic = context.samples.traffic();
        assert_eq!(traffic.followed_since("lb"), None);
        let why = traffic.unreadable("lb").unwrap_or_default();
        assert!(why.contains("container nginx does not run"), "{why}");
    }

    #[test]
    fn an_address_is_remembered_after_its_server_has_left_until_another_has_it() {
        let mut known = Servers::default();
        known.learn("lb", &[server("web", "web-1", "10.0.0.2:80")]);
        known.learn("lb", &[server("web", "web-2", "10.0.0.3:80")]);
        let name = |known: &Servers, address: &str| {
            let served = known.of(address, None);
            served.and_then(|served| served.server.container.clone())
        };
        assert_eq!(name(&known, "10.0.0.2:80").as_deref(), Some("web-1"));
        known.learn("lb", &[server("web", "web-3", "10.0.0.2:80")]);
        assert_eq!(name(&known, "10.0.0.2:80").as_deref(), Some("web-3"));
        assert_eq!(name(&known, "10.0.0.9:80"), None);
    }
}
