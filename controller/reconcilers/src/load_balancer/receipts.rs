//! Zero-drop receipts: what became of the requests that servers had when they left, counted from nginx's own log.
//!
//! The log is read a moment after the servers were drained, so that the last lines have arrived; nothing waits for that.
//! Reads only; the rest is pure.

use std::time::Duration;

use aegis_api::load_balancer::{DrainCounts, DrainReceipt};
use aegis_api::{Kind, LoadBalancer, Time};
use aegis_docker::{EngineError, EngineResult};
use aegis_planning::load_balancer::receipts::{is_open, pause};
use aegis_runtime::events::EventType;
use futures::StreamExt;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use super::nginx::Nginx;
use crate::context::Context;

/// Name of the log format in a template that makes counting possible.
const FORMAT: &str = "aegis_receipt";
/// Lines that are read for one receipt, from the end: the engine reads all of them, also those of before, which costs what
/// it then cannot pass on. Where the first ones do not reach back to the drain, more are read.
const LINES: [u32; 3] = [5_000, 40_000, 500_000];
/// So much before the drain a line ended that those of the drain come after it: workers write side by side.
const OUT_OF_ORDER: Duration = Duration::from_millis(100);
/// Receipts that are counted in one pass, side by side.
const AT_ONCE: usize = 8;
/// Most time that reading the log may take.
const READ_WITHIN: Duration = Duration::from_secs(15);

/// Why the requests of a drain were not counted. The receipt says it.
#[derive(Debug, thiserror::Error)]
enum Uncounted {
    #[error("container {container} does not run")]
    NotRunning { container: String },
    #[error("the template logs nothing in the format {FORMAT}")]
    NoFormat,
    #[error("reading the log took longer than {} s", READ_WITHIN.as_secs())]
    TooSlow,
    /// What the engine says is all that there is to say.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// One line of nginx's log. nginx writes `-` where it has nothing to say, so all are texts; what a template of one's own says
/// beside is read where it can be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Line {
    end: String,
    status: String,
    upstream: String,
    /// How long it took.
    #[serde(default)]
    seconds: Value,
    /// The same of a connection.
    #[serde(default)]
    session_seconds: Value,
}

impl Line {
    /// Whether it began only after this: a container that was restarted in its place is at the same address, and so may be
    /// another one.
    fn began_after(&self, end: Time, time: Time) -> bool {
        let said = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            _ => value.as_f64(),
        };
        let took = said(&self.seconds).or_else(|| said(&self.session_seconds));
        let took = took.map(Duration::try_from_secs_f64);
        // One that does not say is taken to have been under way.
        matches!(took, Some(Ok(took)) if time.age(end) > took)
    }
}

/// The receipts so far, those that are due with their counts.
pub(super) async fn count(
    context: &Context,
    balancer: &LoadBalancer,
    grace: Duration,
    running: Option<&Nginx<'_>>,
) -> Vec<DrainReceipt> {
    let Some(status) = &balancer.status else {
        return Vec::new();
    };
    let now = context.clock.now();
    let mut receipts = status.receipts.clone();
    let formatted = |config: &String| config.contains(FORMAT);
    // Which of both files had which server is not known any more: where one of them does not log, nothing is counted.
    let logs =
        status.config.as_ref().is_some_and(formatted) && status.stream_config.as_ref().is_none_or(formatted);
    let due = receipts
        .iter_mut()
        .filter(|receipt| is_open(receipt) && pause(receipt, grace, now).is_zero());
    // The rest stay open, and the next pass is at once.
    let counts = due.take(AT_ONCE).map(|receipt| async {
        let counted = match (running, logs) {
            (Some(nginx), true) => read(nginx, receipt).await,
            (None, _) => Err(Uncounted::NotRunning {
                container: balancer.spec.container.to_string(),
            }),
            (_, false) => Err(Uncounted::NoFormat),
        };
        (receipt, counted)
    });
    for (receipt, counted) in join_all(counts).await {
        match counted {
            Ok(counts) => receipt.requests = Some(counts),
            Err(why) => {
                let why = why.to_string();
                tracing::debug!(balancer = balancer.name(), why, "a drain could not be counted");
                receipt.uncounted = Some(why);
            }
        }
    }
    receipts
}

async fn read(nginx: &Nginx<'_>, receipt: &DrainReceipt) -> Result<DrainCounts, Uncounted> {
    let counting = async {
        let mut counts = DrainCounts::default();
        for most in LINES {
            counts = DrainCounts::default();
            let mut lines = nginx.log(receipt.started_at, most).await?;
            let (mut seen, mut is_whole) = (0_u32, None);
            while let Some(line) = lines.next().await {
                seen = seen.saturating_add(1);
                if let Ok(line) = serde_json::from_str::<Line>(&line?.text) {
                    // The first one says it: a later one may have been written late.
                    is_whole.get_or_insert_with(|| is_of_before(receipt, &line));
                    add(&mut counts, receipt, &line);
                }
            }
            if seen < most || is_whole == Some(true) {
                break;
            }
        }
        EngineResult::Ok(counts)
    };
    let counted = tokio::time::timeout(READ_WITHIN, counting).await;
    Ok(counted.map_err(|_| Uncounted::TooSlow)??)
}

/// Whether all lines of the drain come after this one.
fn is_of_before(receipt: &DrainReceipt, line: &Line) -> bool {
    let end = Time::from_unix(&line.end);
    end.is_some_and(|end| end.age(receipt.started_at) > OUT_OF_ORDER)
}

/// Counts a line if it is of a request that a leaving server had.
fn add(counts: &mut DrainCounts, receipt: &DrainReceipt, line: &Line) {
    // nginx names all servers that it tried, separated by commas, and by colons across internal redirects.
    let mut tried = line.upstream.split([',', ' ']).filter(|word| !word.is_empty());
    let Some(end) = Time::from_unix(&line.end) else {
        return;
    };
    if end < receipt.started_at
        || line.began_after(end, receipt.finished_at)
        || !tried.any(|one| receipt.addresses.iter().any(|address| address == one))
    {
        return;
    }
    counts.in_flight += 1;
    if !receipt.drained && end > receipt.finished_at {
        counts.forced += 1;
    } else {
        counts.drained += 1;
    }
    counts.failed += u32::from(matches!(line.status.as_str(), "502" | "504"));
}

/// A receipt in one sentence, and whether it is a warning.
pub(super) fn words(receipt: &DrainReceipt) -> (EventType, String) {
    let counts = receipt.requests.unwrap_or_default();
    let took = receipt.started_at.age(receipt.finished_at).as_secs_f64();
    let causes: Vec<&str> = receipt.causes.iter().map(|cause| cause.as_str()).collect();
    let text = format!(
        "{} ({}): {} in flight, {} drained, {} forced, {} failed in {took:.3} s",
        receipt.containers.join(", "),
        causes.join(", "),
        counts.in_flight,
        counts.drained,
        counts.forced,
        counts.failed
    );
    let kind = if counts.failed + counts.forced == 0 {
        EventType::Normal
    } else {
        EventType::Warning
    };
    (kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(drained: bool) -> DrainReceipt {
        serde_json::from_value(serde_json::json!({
            "containers": ["web-1"], "addresses": ["10.0.0.2:80"],
            "startedAt": "2026-11-22T12:00:00Z", "finishedAt": "2026-11-22T12:00:05Z", "drained": drained,
        }))
        .unwrap()
    }

    fn line(end: &str, status: &str, upstream: &str) -> Line {
        took(end, status, upstream, "")
    }

    fn took(end: &str, status: &str, upstream: &str, seconds: &str) -> Line {
        Line {
            end: end.to_owned(),
            status: status.to_owned(),
            upstream: upstream.to_owned(),
            seconds: seconds.into(),
            session_seconds: Value::Null,
        }
    }

    fn counted(drained: bool, lines: &[Line]) -> DrainCounts {
        let mut counts = DrainCounts::default();
        for line in lines {
            add(&mut counts, &receipt(drained), line);
        }
        counts
    }

    // 2026-11-22T12:00:00Z.
    const START: u64 = 1_795_348_800;

    #[test]
    fn only_requests_of_the_leaving_server_that_ended_after_it_left_count() {
        let at = |seconds: u64| format!("{}.250", START + seconds);
        let lines = [
            line(&format!("{}.900", START - 1), "200", "10.0.0.2:80"),
            line(&at(1), "200", "10.0.0.2:80"),
            line(&at(1), "200", "10.0.0.3:80"),
            line(&at(2), "200", "10.0.0.2:80, 10.0.0.3:80"),
            line(&at(2), "502", "10.0.0.2:80"),
            line(&at(3), "200", "-"),
            line("-", "200", "10.0.0.2:80"),
        ];
        let counts = counted(true, &lines);
        assert_eq!(
            (counts.in_flight, counts.drained, counts.forced, counts.failed),
            (3, 3, 0, 1)
        );
    }

    #[test]
    fn a_log_is_read_back_to_a_line_that_ended_well_before_the_drain() {
        let is_of_before = |end: &str| is_of_before(&receipt(true), &line(end, "200", "-"));
        assert!(is_of_before(&format!("{}.800", START - 1)));
        assert!(!is_of_before(&format!("{}.950", START - 1)));
        assert!(!is_of_before(&format!("{}.250", START + 1)));
        assert!(!is_of_before("-"));
    }

    #[test]
    fn what_was_under_way_when_the_deadline_passed_was_forced() {
        let at = |seconds: u64| format!("{}.250", START + seconds);
        let lines = [
            line(&at(1), "200", "10.0.0.2:80"),
            line(&at(6), "502", "10.0.0.2:80"),
        ];
        let counts = counted(false, &lines);
        assert_eq!(
            (counts.in_flight, counts.drained, counts.forced, counts.failed),
            (2, 1, 1, 1)
        );
    }

    #[test]
    fn what_began_after_the_server_was_gone_is_of_the_next_one_at_its_address() {
        let at = |seconds: u64| format!("{}.250", START + seconds);
        let lines = [
            took(&at(6), "101", "10.0.0.2:80", "1.251"),
            took(&at(6), "200", "10.0.0.2:80", "1.249"),
            took(&at(9), "200", "10.0.0.2:80", "0.001"),
            took(&at(9), "200", "10.0.0.2:80", "-"),
        ];
        for drained in [true, false] {
            let counts = counted(drained, &lines);
            assert_eq!(counts.in_flight, 2, "{counts:?}");
        }
    }

    #[test]
    fn what_a_template_of_ones_own_says_beside_costs_no_line() {
        let began_late = |beside: &str| {
            let text = format!(
                r#"{{"end":"{}.250","status":"200","upstream":"10.0.0.2:80"{beside}}}"#,
                START + 9
            );
            let line: Line = serde_json::from_str(&text).unwrap();
            counted(false, &[line]).in_flight == 0
        };
        for (beside, expected) in [
            ("", false),
            (r#","seconds":0.001"#, true),
            (r#","seconds":"0.001","session_seconds":"0.001""#, true),
            (r#","session_seconds":"0.001""#, true),
            (r#","seconds":"20.0""#, false),
            (r#","seconds":null"#, false),
            (r#","seconds":["0.001"]"#, false),
        ] {
            assert_eq!(began_late(beside), expected, "{beside}");
        }
    }

    #[test]
    fn the_template_of_this_project_writes_lines_that_can_be_counted() {
        let text = r#"{"time":"2026-11-22T12:00:01+00:00","remote":"127.0.0.1","method":"GET","uri":"/","status":"200","bytes":"2","seconds":"0.001","upstream":"10.0.0.2:80","upstream_status":"200","upstream_seconds":"0.001","end":"1795348801.250"}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(counted(true, &[line]).in_flight, 1);
    }
}
