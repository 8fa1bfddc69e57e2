//! The live event stream as text: a line a frame, the reasoning word by word. Keeps where the cursor stands; does no
//! I/O.

use std::collections::BTreeMap;

use aegis_api::Time;
use aegis_api::incident::Stage;
use aegis_api::proposal::Verdict;
use aegis_api::wire::{self, AnalysisView, CouncilView, FrameType, ScaleEvent};
use owo_colors::Style;
use serde_json::Value;

use super::age::{clock, now, span};
use crate::client::feed::Frame;
use crate::console::Console;
use crate::text;

/// Types that come all the time and are shown only on request.
const NOISY: [FrameType; 7] = [
    FrameType::Metrics,
    FrameType::ContainerList,
    FrameType::Topology,
    FrameType::Heartbeat,
    FrameType::Resource,
    FrameType::Reconcile,
    FrameType::Snapshot,
];
/// Updates that a frame of their own shows better.
const SHOWN_TWICE: [Stage; 6] = [
    Stage::Received,
    Stage::AiComplete,
    Stage::CouncilVote,
    Stage::CouncilDecision,
    Stage::Resolved,
    Stage::Failed,
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
        // Contents of a later version that do not fit are shown as they are, like a type that is not known.
        let contents = wire::Frame::read(&frame.kind, &frame.data).ok().flatten();
        if matches!(contents, Some(wire::Frame::IncidentNew(_))) && self.begun.len() < MAX_OPEN {
            self.begun
                .insert(incident.clone(), frame.timestamp.unwrap_or_else(now));
        }
        if let Some(wire::Frame::AiStream(words)) = &contents {
            return self.chunk(frame, &incident, &words.chunk);
        }
        let Some((stage, message)) = self.words(frame, contents, &incident) else {
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

    fn chunk(&mut self, frame: &Frame, incident: &str, chunk: &str) -> String {
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
    fn words(
        &mut self,
        frame: &Frame,
        contents: Option<wire::Frame>,
        incident: &str,
    ) -> Option<(String, String)> {
        match contents {
            Some(wire::Frame::IncidentNew(new)) => stage("RECEIVED", with_detail(&new.alert_type, &new.logs)),
            Some(wire::Frame::StatusUpdate(update)) => {
                let shown = self.verbose || !SHOWN_TWICE.contains(&update.status);
                shown.then(|| (update.status.as_str().to_owned(), update.message))
            }
            Some(wire::Frame::AiThinking(thinking)) => stage("ANALYSING", thinking.message),
            Some(wire::Frame::AiComplete(complete)) => stage("PROPOSAL", proposal(&complete.analysis)),
            Some(wire::Frame::CouncilVote(wire::CouncilVoted { vote, .. })) => {
                let (role, verdict) = (vote.role.as_str(), vote.verdict.as_str());
                stage("VOTE", format!("{role} {verdict}: {}", vote.reasoning))
            }
            Some(wire::Frame::CouncilDecision(wire::CouncilDecided { decision, .. })) => {
                let verdict = format!("{}{}", decision.final_verdict.as_str(), consensus(&decision));
                stage("DECISION", with_detail(&verdict, &decision.summary))
            }
            Some(wire::Frame::DockerAction(done)) => {
                stage("ACTION", format!("{} {}", done.action, done.container))
            }
            Some(wire::Frame::ScaleEvent(scale)) => stage("SCALED", scaled(&scale.event)),
            Some(wire::Frame::HealthCheck(check)) => {
                let word = if check.healthy {
                    "healthy"
                } else {
                    "not healthy yet"
                };
                stage("PROBE", format!("attempt {}: {word}", check.attempt))
            }
            Some(wire::Frame::Resolved(end)) if end.dry_run => {
                let lasted = self.lasted(frame, incident);
                stage("DRY_RUN", format!("nothing was done{lasted}"))
            }
            Some(wire::Frame::Resolved(_)) => {
                let lasted = self.lasted(frame, incident);
                stage("RESOLVED", format!("verified healthy{lasted}"))
            }
            Some(wire::Frame::Failed(failed)) => {
                let lasted = self.lasted(frame, incident);
                let error = failed.error.unwrap_or_default();
                let why = if error.is_empty() {
                    "no reason given"
                } else {
                    &error
                };
                stage("FAILED", format!("{why}{lasted}"))
            }
            contents => self.of_no_incident(frame, contents),
        }
    }

    /// The same of a frame that is no step of an incident's.
    fn of_no_incident(&self, frame: &Frame, contents: Option<wire::Frame>) -> Option<(String, String)> {
        match contents {
            Some(wire::Frame::Lagged(_)) => stage(
                "LAGGED",
                "this client was too slow: some events are not shown".to_owned(),
            ),
            Some(wire::Frame::Reconcile(run)) if self.verbose => stage(
                "RECONCILE",
                format!(
                    "{}/{} {} in {} ms ({})",
                    run.kind, run.name, run.result, run.duration_ms, run.trigger
                ),
            ),
            Some(wire::Frame::Resource(change)) if self.verbose => stage(
                "RESOURCE",
                format!(
                    "{} {}/{} at {}",
                    change.verb, change.kind, change.name, change.resource_version
                ),
            ),
            _ if !self.verbose && FrameType::of(&frame.kind).is_some_and(|kind| NOISY.contains(&kind)) => {
                None
            }
            _ => stage(
                &frame.kind.to_uppercase(),
                text::brief(&frame.data.to_string(), 200),
            ),
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

/// A line under the name of its stage.
fn stage(stage: &str, message: String) -> Option<(String, String)> {
    Some((stage.to_owned(), message))
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

fn with_detail(what: &str, detail: &str) -> String {
    if detail.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {detail}")
    }
}

fn proposal(analysis: &AnalysisView) -> String {
    let by = match analysis.replica_count {
        0 => String::new(),
        count => format!(" by {count}"),
    };
    let confidence = analysis.confidence * 100.0;
    format!(
        "{}{by} (confidence {confidence:.0} %): {}",
        analysis.action, analysis.root_cause
    )
}

fn scaled(event: &ScaleEvent) -> String {
    let balancer = if event.lb_configured {
        ", in the load balancer"
    } else {
        ""
    };
    format!(
        "{}: {} replicas [{}]{balancer}",
        event.container_base,
        event.replicas.len(),
        event.replicas.join(", ")
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
fn consensus(decision: &CouncilView) -> String {
    let votes = &decision.votes;
    let approved = votes
        .iter()
        .filter(|vote| vote.verdict == Verdict::Approved)
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

    fn incident_of_its_own(kind: &str) -> bool {
        !matches!(kind, "reconcile" | "heartbeat") && FrameType::of(kind).is_some()
    }

    fn vote(role: &str, verdict: &str, reasoning: &str) -> Value {
        json!({"role": role, "verdict": verdict, "reasoning": reasoning, "timestamp": "2026-01-31T12:00:00Z"})
    }

    fn shown(verbose: bool, frames: &[(&str, Value)]) -> String {
        let (console, _, _) = Console::captured();
        let mut printer = FeedPrinter::new(console, verbose);
        let frames = frames.iter().enumerate().map(|(index, (kind, data))| {
            let mut data = data.clone();
            if let Some(fields) = data.as_object_mut().filter(|_| incident_of_its_own(kind)) {
                fields.insert("incident_id".to_owned(), json!("inc-1"));
            }
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
                    json!({"status": "COUNCIL_VOTE", "message": "shown twice"}),
                ),
                (
                    "council.vote",
                    json!({"vote": vote("AUDITOR", "APPROVED", "the evidence carries it")}),
                ),
                (
                    "council.decision",
                    json!({"decision": {"final_verdict": "APPROVED", "consensus": true, "summary": "all agree",
                        "votes": [vote("SRE_AGENT", "APPROVED", ""), vote("SECURITY_OFFICER", "APPROVED", ""), vote("AUDITOR", "NEEDS_REVIEW", "")]}}),
                ),
                ("health.check", json!({"attempt": 1, "healthy": false})),
                ("metrics", json!([])),
                ("resolved", json!({"resolved_at": "2026-01-31T12:00:09Z"})),
            ],
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_dry_run_is_not_shown_as_verified() {
        let said = shown(
            false,
            &[(
                "resolved",
                json!({"resolved_at": "2026-01-31T12:00:09Z", "dry_run": true}),
            )],
        );
        assert!(
            said.contains("DRY_RUN") && said.contains("nothing was done"),
            "{said}"
        );
        assert!(!said.contains("verified"), "{said}");
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
                json!({"kind": "Workload", "name": "web", "result": "success", "duration_ms": 3, "trigger": "store",
                    "generation": 1, "error": null, "requeue_after_ms": null}),
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
