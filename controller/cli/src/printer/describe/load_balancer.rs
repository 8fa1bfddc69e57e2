//! A LoadBalancer's page: what nginx serves now, and how that was proved. Pure.

use aegis_api::load_balancer::{DrainReceipt, LoadBalancerStatus};
use aegis_api::wire::{BalancerMetrics, RequestRates};
use aegis_api::{LoadBalancer, Time};
use serde_json::Value;

use super::chosen;
use super::sheet::Sheet;
use crate::printer::age::{span, when};
use crate::printer::columns::aligned;
use crate::text;

/// How many receipts are shown, newest first.
const RECEIPTS: usize = 5;

pub(super) fn write(
    sheet: &mut Sheet,
    balancer: &LoadBalancer,
    object: &Value,
    metrics: Option<&BalancerMetrics>,
    now: Time,
) {
    let spec = &balancer.spec;
    sheet.field("Container", chosen(object, "/spec/container"));
    sheet.field("Template", &spec.template);
    sheet.field(
        "Config",
        format!(
            "{} (from {})",
            chosen(object, "/spec/configPath"),
            spec.main_config_path
        ),
    );
    if spec.has_tcp() {
        let written = balancer
            .status
            .as_ref()
            .and_then(|status| status.stream_config_path.clone());
        let said = spec.stream_config_path.as_ref().map(ToString::to_string);
        let path = written
            .or(said)
            .unwrap_or_else(|| "/etc/nginx/stream.d/, named as Config".to_owned());
        sheet.field("TCP config", format!("{path} (by {})", spec.stream_template()));
    }
    sheet.field("Algorithm", format!("{:?}", spec.algorithm));
    sheet.field("Drain", format!("{} at most", spec.drain_timeout));
    sheet.maybe(
        "Holds requests",
        spec.hold_requests.map(|time| format!("{time} at most")),
    );
    let backends = spec.backends.iter().map(|backend| {
        let mut row = vec![
            backend.upstream.to_string(),
            format!("workload/{}", backend.workload),
            backend.port.to_string(),
        ];
        if spec.has_tcp() {
            let first = spec.first_of(backend.upstream.as_str());
            let port = first.and_then(|first| first.listen_port);
            row.push(port.map_or_else(
                || spec.path_of(backend.upstream.as_str()),
                |port| format!("{port}/tcp"),
            ));
        }
        row
    });
    let mut head = vec!["UPSTREAM", "WORKLOAD", "PORT"];
    if spec.has_tcp() {
        head.push("SERVED AT");
    }
    sheet.table("Backends", Some(&aligned(&head, backends.collect())));
    match &balancer.status {
        Some(status) => {
            serving(sheet, status, now);
            if let Some(metrics) = metrics {
                traffic(sheet, metrics, now);
            }
            super::conditions(sheet, &status.conditions, now);
        }
        None => sheet.field("Status", "<the controller has not reconciled it yet>"),
    }
}

fn serving(sheet: &mut Sheet, status: &LoadBalancerStatus, now: Time) {
    let servers: Vec<Vec<String>> = status
        .servers
        .iter()
        .map(|server| {
            vec![
                text::line(&server.upstream),
                text::line(&server.container),
                text::line(&server.address),
            ]
        })
        .collect();
    let table = (!servers.is_empty()).then(|| aligned(&["UPSTREAM", "CONTAINER", "ADDRESS"], servers));
    sheet.table("Servers", table.as_deref());
    sheet.maybe("Revision", status.revision.as_ref());
    if let Some(reload) = &status.last_reload {
        let took = span(reload.at.age(reload.proved_at));
        sheet.field(
            "Last reload",
            format!("{}, proved after {took}", when(reload.at, now)),
        );
        sheet.field("Check", &reload.check);
    }
    for drain in &status.draining {
        let left = span(drain.deadline.until(now));
        sheet.field(
            "Draining",
            format!("{} (at most {left} more)", drain.containers.join(", ")),
        );
    }
    for receipt in status.receipts.iter().rev().take(RECEIPTS) {
        sheet.field("Drain receipt", receipt_line(receipt, now));
    }
    for upstream in &status.unavailable {
        let since = when(upstream.since, now);
        sheet.field(
            "Unavailable",
            format!(
                "{} {} since {since}: {}",
                upstream.upstream,
                upstream.answer(),
                upstream.reason
            ),
        );
    }
    if !status.held.is_empty() {
        sheet.field(
            "Held",
            format!(
                "{} (the last of an upstream stays in while it runs)",
                status.held.join(", ")
            ),
        );
    }
}

/// Requests of each upstream and server, and nginx's connections.
fn traffic(sheet: &mut Sheet, metrics: &BalancerMetrics, now: Time) {
    if let Some(read) = &metrics.connections {
        let text = format!(
            "{} active: {} reading, {} writing, {} waiting; {} accepted, {} handled, {} requests since nginx started",
            read.active, read.reading, read.writing, read.waiting, read.accepted, read.handled, read.requests
        );
        sheet.field("Connections", text);
    }
    let Some(since) = metrics.counted_since else {
        sheet.field(
            "Requests",
            "<not counted: no detector needs them, or nginx does not run or log them>",
        );
        return;
    };
    sheet.field(
        "Requests",
        format!(
            "of the last {} s, counted since {}",
            metrics.over_seconds,
            when(since, now)
        ),
    );
    let upstreams = metrics
        .upstreams
        .iter()
        .map(|row| rates(&row.upstream, "", &row.rates));
    let servers = metrics.servers.iter().map(|row| {
        let left = if row.in_rotation { "" } else { " (left)" };
        rates(&row.upstream, &format!("{}{left}", row.container), &row.rates)
    });
    let mut rows: Vec<Vec<String>> = upstreams.chain(servers).collect();
    // An upstream before its servers.
    rows.sort_by(|a, b| a.iter().take(2).cmp(b.iter().take(2)));
    for row in &mut rows {
        if let Some(container) = row.get_mut(1).filter(|container| container.is_empty()) {
            "*".clone_into(container);
        }
    }
    let head = [
        "UPSTREAM",
        "CONTAINER",
        "REQ/S",
        "5XX/S",
        "499/S",
        "P50",
        "P95",
        "IN FLIGHT",
    ];
    sheet.table("Traffic", Some(&aligned(&head, rows)));
}

fn rates(upstream: &str, container: &str, rates: &RequestRates) -> Vec<String> {
    let millis = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0} ms"));
    vec![
        text::line(upstream),
        text::line(container),
        format!("{:.1}", rates.requests_per_second),
        format!("{:.1}", rates.errors_per_second),
        format!("{:.1}", rates.cancelled_per_second),
        millis(rates.p50_ms),
        millis(rates.p95_ms),
        format!("{:.1}", rates.in_flight),
    ]
}

/// `web-replica-2 (ScaleIn): drained in 1.2s, 3 in flight, 3 drained, 0 forced, 0 failed, 2 minutes ago`.
fn receipt_line(receipt: &DrainReceipt, now: Time) -> String {
    let took = span(receipt.started_at.age(receipt.finished_at));
    let how = if receipt.drained {
        format!("drained in {took}")
    } else {
        format!("the deadline passed after {took}")
    };
    let causes: Vec<&str> = receipt.causes.iter().map(|cause| cause.as_str()).collect();
    let causes = if causes.is_empty() {
        String::new()
    } else {
        format!(" ({})", causes.join(", "))
    };
    let counts = match (&receipt.requests, &receipt.uncounted) {
        (Some(counts), _) => format!(
            "{} in flight, {} drained, {} forced, {} failed",
            counts.in_flight, counts.drained, counts.forced, counts.failed
        ),
        (None, Some(why)) => format!("not counted: {why}"),
        (None, None) => "being counted".to_owned(),
    };
    format!(
        "{}{causes}: {how}, {counts}, {}",
        receipt.containers.join(", "),
        when(receipt.finished_at, now)
    )
}
