//! The live event stream for people: a line a frame, the reasoning word by word. Keeps where the cursor stands; does no I/O.

use std::collections::BTreeMap;

use aegis_api::Time;
use owo_colors::Style;
use serde_json::Value;

use super::age::{clock, now, span};
use crate::client::feed::Frame;
use crate::console::Console;
use crate::text;

/// Types that come all the time and are shown only on request.
const NOISY: [&str; 7] = [
    "metrics",
    "container.list",
    "topology",
    "heartbeat",
    "resource",
    "reconcile",
    "snapshot",
];
/// Updates that a frame of their own tells better.
const TOLD_TWICE: [&str; 6] = [
    "RECEIVED",
    "AI_COMPLETE",
    "COUNCIL_VOTE",
    "COUNCIL_DECISION",
    "RESOLVED",
    "FAILED",
];
const STAGE_WIDTH: usize = 18;
const MESSAGE_LIMIT: usize = 600;
/// Incidents whose beginning is remembered.
const MAX_OPEN: usize = 1024;

/// Turns frames into text.
#[derive(Debug)]
pub(crate) struct FeedPrinter {
    console: Console,
    verbose: bool,
    width: usize,
    /// The incident whose reasoning stands on the unfinished line.
    reasoning: Option<String>,
    begun: BTreeMap<String, Time>,
    /// Incident, stage and message of the last line.
    last: Option<(String, String, String)>,
}

impl FeedPrinter {
    pub(crate) fn new(console: Console, verbose: bool) -> Self {
        Self {
            console,
            verbose,
            width: 12,
            reasoning: None,
            begun: BTreeMap::new(),
            last: None,
        }
    }

    /// What to write for a frame; empty where it is not shown.
    pub(crate) fn frame(&mut self, frame: &Frame) -> String {
        let incident = incident_of(frame).unwrap_or_default();
        if frame.kind == "incident.new" && self.begun.len() < MAX_OPEN {
            self.begun
                .insert(incident.clone(), frame.timestamp.unwrap_or_else(now));
        }
        if frame.kind == "ai.stream" {
            return self.chunk(frame, &incident);
        }
        let Some((stage, message)) = self.words(frame, &incident) else {
            return String::new();
        };
        let line = (incident, stage, message);
        if self.last.as_ref() == Some(&line) {
            // Two types of frame may carry one piece of news.
            return String::new();
        }
        let (incident, stage, message) = self.last.insert(line).clone();
        let head = self.head(frame, &incident, &stage);
        format!(
            "{}{head}{}\n",
            self.end_reasoning(),
            text::brief(&message, MESSAGE_LIMIT)
        )
    }

    /// A line that is no frame: about the connection.
    pub(crate) fn remark(&mut self, message: &str) -> String {
        format!("{}{}\n", self.end_reasoning(), text::line(message))
    }

    /// Ends an unfinished line.
    pub(crate) fn end_reasoning(&mut self) -> String {
        if self.reasoning.take().is_some() {
            "\n".to_owned()
        } else {
            String::new()
        }
    }

    fn chunk(&mut self, frame: &Frame, incident: &str) -> String {
        let chunk = frame
            .data
            .get("chunk")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut out = String::new();
        self.last = None;
        if self.reasoning.as_deref() != Some(incident) {
            out.push_str(&self.end_reasoning());
            out.push_str(&self.head(frame, incident, "REASONING"));
            self.reasoning = Some(incident.to_owned());
        }
        let indent = format!("\n{}", " ".repeat(self.message_column()));
        out.push_str(&text::lines(chunk).replace('\n', &indent));
        out
    }

    fn head(&mut self, frame: &Frame, incident: &str, stage: &str) -> String {
        let time = clock(frame.timestamp.unwrap_or_else(now));
        let incident = text::brief(incident, 40);
        let stage = text::brief(stage, STAGE_WIDTH);
        self.width = self.width.max(incident.chars().count());
        let padded = format!("{stage:<STAGE_WIDTH$}");
        let painted = self.console.paint(padded, style(&stage));
        format!("{time}  {incident:<width$}  {painted}  ", width = self.width)
    }

    fn message_column(&self) -> usize {
        "12:00:00.123".len() + 2 + self.width + 2 + STAGE_WIDTH + 2
    }

    /// Stage and message of a frame; `None` where it is not shown.
    fn words(&mut self, frame: &Frame, incident: &str) -> Option<(String, String)> {
        let data = &frame.data;
        let field = |name: &str| super::jsonpath::plain(data.get(name).unwrap_or(&Value::Null));
        let stage = |stage: &str, message: String| Some((stage.to_owned(), message));
        match frame.kind.as_str() {
            "incident.new" => stage(
                "RECEIVED",
                with_detail(&text_of(data, "alert_type"), &text_of(data, "logs")),
            ),
            "status.update" => {
                let status = text_of(data, "status");
                let shown = self.verbose || !TOLD_TWICE.contains(&status.as_str());
                shown.then(|| (status, text_of(data, "message")))
            }
            "ai.thinking" => stage("ANALYSING", text_of(data, "message")),
            "ai.complete" => stage("PROPOSAL", proposal(data.get("analysis").unwrap_or(&Value::Null))),
            "council.vote" => {
                let vote = data.get("vote").unwrap_or(&Value::Null);
                let verdict = text_of(vote, "verdict");
                stage(
                    "VOTE",
                    format!(
                        "{} {verdict}: {}",
                        text_of(vote, "role"),
                        text_of(vote, "reasoning")
                    ),
                )
            }
            "council.decision" => {
                let decision = data.get("decision").unwrap_or(&Value::Null);
                let verdict = text_of(decision, "final_verdict");
                let consensus = consensus(decision);
                stage(
                    "DECISION",
                    with_detail(&format!("{verdict}{consensus}"), &text_of(decision, "summary")),
                )
            }
            "docker.action" => stage("ACTION", format!("{} {}", field("action"), field("container"))),
            "scale.event" => stage("SCALED", scaled(data.get("event").unwrap_or(&Value::Null))),
            "health.check" => {
                let healthy = data.get("healthy").and_then(Value::as_bool).unwrap_or_default();
                let word = if healthy { "healthy" } else { "not healthy yet" };
                let detail = with_detail(word, &text_of(data, "message"));
                stage("PROBE", format!("attempt {}: {detail}", field("attempt")))
            }
            "resolved" => {
                let lasted = self.lasted(frame, incident);
                stage("RESOLVED", format!("verified healthy{lasted}"))
            }
            "failed" => {
                let lasted = self.lasted(frame, incident);
                let error = text_of(data, "error");
                let why = if error.is_empty() {
                    "no reason given"
                } else {
                    &error
                };
                stage("FAILED", format!("{why}{lasted}"))
            }
            "lagged" => stage(
                "LAGGED",
                "this client was too slow: some events are not shown".to_owned(),
            ),
            "reconcile" if self.verbose => stage(
                "RECONCILE",
                format!(
                    "{}/{} {} in {} ms ({})",
                    field("kind"),
                    field("name"),
                    field("result"),
                    field("duration_ms"),
                    field("trigger")
                ),
            ),
            "resource" if self.verbose => stage(
                "RESOURCE",
                format!(
                    "{} {}/{} at {}",
                    field("verb"),
                    field("kind"),
                    field("name"),
                    field("resourceVersion")
                ),
            ),
            kind if NOISY.contains(&kind) && !self.verbose => None,
            kind => stage(&kind.to_uppercase(), text::brief(&data.to_string(), 200)),
        }
    }

    fn lasted(&mut self, frame: &Frame, incident: &str) -> String {
        let begun = self.begun.remove(incident);
        let ended = frame.timestamp.unwrap_or_else(now);
        begun.map_or_else(String::new, |begun| {
            format!(", {} after it was received", span(begun.age(ended)))
        })
    }
}

/// The incident that a frame is about.
pub(crate) fn incident_of(frame: &Frame) -> Option<String> {
    let inside = || {
        frame
            .data
            .get("incident_id")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    frame.incident_id.clone().or_else(inside)
}

fn text_of(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn with_detail(what: &str, detail: &str) -> String {
    if detail.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {detail}")
    }
}

fn proposal(analysis: &Value) -> String {
    // The wire spells these in snake case; the resource's own status in camel case.
    let either = |snake: &str, camel: &str| analysis.get(snake).or_else(|| analysis.get(camel)).cloned();
    let action = text_of(analysis, "action");
    let count = either("replica_count", "replicaCount")
        .and_then(|count| count.as_u64())
        .filter(|count| *count > 0);
    let by = count.map_or_else(String::new, |count| format!(" by {count}"));
    let confidence = analysis
        .get("confidence")
        .and_then(Value::as_f64)
        .unwrap_or_default()
        * 100.0;
    let cause = either("root_cause", "rootCause")
        .as_ref()
        .map(super::jsonpath::plain)
        .unwrap_or_default();
    format!("{action}{by} (confidence {confidence:.0} %): {cause}")
}

fn scaled(event: &Value) -> String {
    let replicas: Vec<String> = event
        .get("replicas")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(super::jsonpath::plain)
        .collect();
    let balanced = event
        .get("lb_configured")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let balancer = if balanced { ", in the load balancer" } else { "" };
    format!(
        "{}: {} replicas [{}]{balancer}",
        text_of(event, "container_base"),
        replicas.len(),
        replicas.join(", ")
    )
}

fn style(stage: &str) -> Style {
    let style = Style::new();
    match stage {
        "RESOLVED" | "APPROVED" | "SCALED" | "RESTARTED" => style.green().bold(),
        "FAILED" | "LAGGED" => style.red().bold(),
        "AWAITING_APPROVAL" | "HELD" | "FALLBACK" => style.yellow().bold(),
        "RECEIVED" | "ACTION" | "EXECUTING" | "SCALING" => style.bold(),
        "REASONING" => style.dimmed(),
        _ => style.cyan(),
    }
}

/// How many of the seats approved, from the votes themselves.
fn consensus(decision: &Value) -> String {
    let votes = decision
        .get("votes")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let approved = votes
        .iter()
        .filter(|vote| text_of(vote, "verdict") == "APPROVED")
        .count();
    if votes.is_empty() {
        String::new()
    } else {
        format!(" ({approved} of {} seats)", votes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(verbose: bool, frames: &[(&str, Value)]) -> String {
        let (console, _, _) = Console::captured();
        let mut printer = FeedPrinter::new(console, verbose);
        let frames = frames.iter().enumerate().map(|(index, (kind, data))| {
            let text = json!({"type": kind, "incident_id": "inc-1", "data": data, "seq": index,
                "timestamp": format!("2026-01-31T12:00:0{}.5Z", index.min(9))});
            serde_json::from_value::<Frame>(text).unwrap()
        });
        frames.map(|frame| printer.frame(&frame)).collect()
    }

    #[test]
    fn an_incidents_life_reads_line_by_line() {
        let analysis = json!({"root_cause": "a leak", "action": "RESTART", "justification": "j", "confidence": 0.925, "replica_count": 0});
        let text = shown(
            false,
            &[
                (
                    "incident.new",
                    json!({"alert_type": "MEMORY", "logs": "one\ntwo"}),
                ),
                ("ai.thinking", json!({"message": "Reading the evidence"})),
                ("ai.stream", json!({"chunk": "The memory "})),
                ("ai.stream", json!({"chunk": "grows.\nSo"})),
                ("ai.complete", json!({"analysis": analysis})),
                (
                    "status.update",
                    json!({"status": "COUNCIL_VOTE", "message": "told twice"}),
                ),
                (
                    "council.vote",
                    json!({"vote": {"role": "AUDITOR", "verdict": "APPROVED", "reasoning": "the evidence carries it"}}),
                ),
                (
                    "council.decision",
                    json!({"decision": {"final_verdict": "APPROVED", "consensus": true, "summary": "all agree",
                        "votes": [{"verdict": "APPROVED"}, {"verdict": "APPROVED"}, {"verdict": "NEEDS_REVIEW"}]}}),
                ),
                ("health.check", json!({"attempt": 1, "healthy": false})),
                ("metrics", json!([])),
                ("resolved", json!({"resolved_at": "x"})),
            ],
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn i11_hostile_text_reaches_no_terminal() {
        let text = shown(
            true,
            &[
                (
                    "incident.new",
                    json!({"alert_type": "\u{1b}]0;owned\u{7}", "logs": "\u{1b}[2J"}),
                ),
                ("ai.stream", json!({"chunk": "\u{1b}[1A\r"})),
                ("\u{1b}[31m", json!({"x": "\u{9b}"})),
                ("failed", json!({"error": "\u{1b}[0m"})),
            ],
        );
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\\x1b[2J"), "{text}");
    }

    #[test]
    fn noise_is_shown_on_request_only() {
        let frames = [
            (
                "reconcile",
                json!({"kind": "Workload", "name": "web", "result": "success", "duration_ms": 3, "trigger": "store"}),
            ),
            ("heartbeat", json!({"status": "alive"})),
            ("status.update", json!({"status": "RECEIVED", "message": "m"})),
        ];
        assert_eq!(shown(false, &frames), "");
        let verbose = shown(true, &frames);
        assert!(
            verbose.contains("Workload/web success in 3 ms (store)") && verbose.lines().count() == 3,
            "{verbose}"
        );
    }
}
