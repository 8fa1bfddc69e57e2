//! Counts requests from the logs of load balancers, only while a detector needs them: reading a log costs the engine.
//!
//! Each nginx whose configuration logs in the format `aegis_receipt` is followed; a line counts for the workload of the
//! server that answered. What no server answered (a location without one) counts for none: that no server is left is a
//! signal of its own. After a restart counting begins from zero. Does I/O through the engine only.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aegis_api::detector::Signal;
use aegis_api::{Detector, Kind, LoadBalancer, Time};
use aegis_docker::LogQuery;
use aegis_signals::traffic::Traffic;
use futures::StreamExt;
use serde::Deserialize;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How often the load balancers to follow are listed.
const LISTED: Duration = Duration::from_secs(3);
/// Name of the log format in a configuration that makes counting possible.
const FORMAT: &str = "aegis_receipt";

/// One line; nginx writes `-` where it has nothing to say.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    end: &'a str,
    status: &'a str,
    seconds: &'a str,
    upstream: &'a str,
}

/// Counts until `shutdown`.
pub async fn run(context: Context, shutdown: CancellationToken) {
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
        let wanted = if is_asked(&context) {
            balancers(&context)
        } else {
            Vec::new()
        };
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

/// Whether a detector needs requests.
fn is_asked(context: &Context) -> bool {
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
    let query = LogQuery {
        tail: 0,
        follow: true,
        timestamps: false,
        since: context.clock.now().unix_seconds(),
    };
    let container = balancer.spec.container.as_str();
    let mut lines = match context.engine.logs(container, query).await {
        Ok(lines) => lines,
        Err(error) => {
            tracing::debug!(balancer = name, %error, "its log cannot be followed");
            return;
        }
    };
    let mut servers = Servers::default();
    while let Some(Ok(line)) = lines.next().await {
        if let Ok(line) = serde_json::from_str::<Line<'_>>(&line.text) {
            count(context.samples.traffic(), &line, |address| {
                servers.workload(context, name, address)
            });
        }
    }
}

/// nginx logs an upgraded connection (a WebSocket) when it ends.
const SWITCHING_PROTOCOLS: &str = "101";

/// Counts a line, if a server of a known workload answered. An upgraded connection is open for as long as its client likes:
/// that says nothing about how soon requests are answered.
fn count(traffic: &Traffic, line: &Line<'_>, workload: impl FnOnce(&str) -> Option<String>) {
    if line.status == SWITCHING_PROTOCOLS {
        return;
    }
    // nginx names all servers that it tried, separated by commas, and by colons across internal redirects: the last
    // one answered.
    let answered = line
        .upstream
        .rsplit([',', ' '])
        .find(|word| word.contains(':') && *word != ":");
    let (Some(address), Some(end)) = (answered, Time::from_unix(line.end)) else {
        return;
    };
    if let Some(workload) = workload(address) {
        let failed = line.status.starts_with('5');
        traffic.count(&workload, end, failed, millis(line.seconds));
    }
}

/// `0.004` as milliseconds; what is no number counts as none.
fn millis(seconds: &str) -> u32 {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole: u32 = whole.parse().unwrap_or_default();
    let part: u32 = part.get(..3).unwrap_or(part).parse().unwrap_or_default();
    whole.saturating_mul(1000).saturating_add(part)
}

/// Whose server an address is. Those that left are remembered until another has their address.
#[derive(Debug, Default)]
struct Servers {
    known: HashMap<String, String>,
    read: Option<tokio::time::Instant>,
}

/// Addresses that are remembered.
const MOST_SERVERS: usize = 4096;
/// How often they are read again.
const READ: Duration = Duration::from_secs(1);

impl Servers {
    fn workload(&mut self, context: &Context, balancer: &str, address: &str) -> Option<String> {
        let is_old = self.read.is_none_or(|read| read.elapsed() >= READ);
        if is_old {
            self.read = Some(tokio::time::Instant::now());
            if self.known.len() >= MOST_SERVERS {
                self.known.clear();
            }
            let balancer = context.store.get::<LoadBalancer>(balancer);
            let status = balancer.as_ref().and_then(|balancer| balancer.status.as_ref());
            for server in status.iter().flat_map(|status| &status.servers) {
                self.known.insert(server.address.clone(), server.workload.clone());
            }
        }
        self.known.get(address).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(upstream: &str, status: &str, seconds: &str) -> Vec<(u32, u32, [u32; 13])> {
        let traffic = Traffic::default();
        let line = Line {
            end: "1900000000.250",
            status,
            seconds,
            upstream,
        };
        count(&traffic, &line, |address| {
            (address == "10.0.0.2:80").then(|| "web".to_owned())
        });
        traffic.with("web", |spans| {
            let spans = spans.unwrap_or_default().iter();
            spans
                .map(|span| (span.total, span.errors, span.latency))
                .collect()
        })
    }

    #[test]
    fn a_line_counts_for_the_server_that_answered_last() {
        let class = |at: usize| {
            let mut latency = [0; 13];
            latency[at] = 1;
            latency
        };
        assert_eq!(counted("10.0.0.2:80", "200", "0.004"), [(1, 0, class(2))]);
        assert_eq!(
            counted("10.0.0.9:80, 10.0.0.2:80", "502", "12.5"),
            [(1, 1, class(12))]
        );
        assert_eq!(counted("10.0.0.2:80, 10.0.0.9:80", "200", "0.004"), []);
        assert_eq!(counted("-", "503", "0.000"), []);
        assert_eq!(counted("", "503", "0.000"), []);
        assert_eq!(counted("10.0.0.2:80", "101", "3600.000"), []);
        assert_eq!(
            (millis("0.120"), millis("3"), millis("x"), millis("1.5")),
            (120, 3000, 0, 1005)
        );
    }
}
