//! An Incident's page: what was seen, what was thought, who voted, what was done, how it was proved. Pure.

use aegis_api::incident::{Execution, IncidentSpec, IncidentStatus, Plan, TimelineEntry, Verification};
use aegis_api::proposal::{Analysis, ContainerEvidence, CouncilDecision, Evidence, RecentAction, Vote};
use aegis_api::silence::SilencedBy;
use aegis_api::{Incident, Time};

use super::sheet::Sheet;
use crate::printer::age::{clock, span, stamp, when};
use crate::printer::columns::aligned;
use crate::text;

/// As much of a prompt's hash as a table has room for, in characters.
const SHORT_HASH: usize = 12;

pub(super) fn write(sheet: &mut Sheet, incident: &Incident, now: Time) {
    reported(sheet, &incident.spec, now);
    let Some(status) = &incident.status else {
        sheet.field("Phase", "<the controller has not reconciled it yet>");
        return;
    };
    sheet.field("Phase", status.phase.as_str());
    if let Some(by) = &status.silenced {
        silenced(sheet, by, now);
    }
    sheet.maybe("Error", status.error.as_ref());
    sheet.maybe("Resolved", status.resolved_at.map(|at| when(at, now)));
    sheet.maybe(
        "To clear",
        status.clears.as_ref().map(|symptom| text::line(&symptom.message)),
    );
    sheet.maybe(
        "Origin",
        status.origin.as_ref().map(|origin| text::line(&origin.words())),
    );
    sheet.maybe(
        "Incident there",
        status
            .origin
            .as_ref()
            .and_then(|origin| Some(format!("incident/{}", origin.incident.as_ref()?))),
    );
    sheet.maybe("Mitigated", status.mitigated_at.map(|at| when(at, now)));
    sheet.maybe("Settled", status.settled_at.map(|at| when(at, now)));
    let again = |of: &String| format!("{of}, {} time(s) in a row", status.relapses);
    sheet.maybe("Relapse of", status.relapse_of.as_ref().map(again));
    sheet.maybe("Came back in", status.relapsed_in.as_ref());
    sheet.maybe(
        "Learned",
        status.learned.as_ref().map(|name| format!("runbookentry/{name}")),
    );
    if let Some(evidence) = &status.evidence {
        evidence_table(sheet, evidence);
    }
    retrieved(sheet, status);
    if let Some(analysis) = &status.analysis {
        proposal(sheet, analysis);
    }
    votes(sheet, &status.votes, status.council.as_ref());
    if let Some(made) = &status.plan {
        plan(sheet, made, status.execution.as_ref());
    }
    for tried in &status.tried {
        sheet.field(
            "Tried before",
            format!("{} (plan {}): {}", tried.action, tried.plan_hash, tried.error),
        );
    }
    if let Some(proof) = &status.verification {
        verification(sheet, proof);
    }
    timeline(sheet, &status.timeline);
    super::conditions(sheet, &status.conditions, now);
}

/// What keeps people from being notified of it.
fn silenced(sheet: &mut Sheet, by: &SilencedBy, now: Time) {
    sheet.field("Silenced by", format!("silence/{}", by.silence));
    sheet.field("  Owner", &by.owner);
    sheet.field("  Reason", &by.reason);
    let until = by.until.map(stamp);
    sheet.field("  Until", until.as_deref().unwrap_or("its weekly window ends"));
    sheet.field("  Since", when(by.since, now));
}

fn reported(sheet: &mut Sheet, spec: &IncidentSpec, now: Time) {
    sheet.maybe("Workload", spec.workload_ref.as_ref());
    sheet.maybe("Container", spec.container_name.as_ref());
    sheet.field("Alert", &spec.alert_type);
    sheet.field("Severity", format!("{:?}", spec.severity).to_lowercase());
    if spec.count > 1 {
        sheet.field("Seen", format!("{} times", spec.count));
    }
    let source = &spec.source;
    if !source.kind.is_empty() {
        let id = if source.incident_id.is_empty() {
            String::new()
        } else {
            format!(", id {}", source.incident_id)
        };
        sheet.field("Source", format!("{}{id}", source.kind));
    }
    let naming = source.naming.as_ref().zip(spec.container_name.as_ref());
    sheet.maybe(
        "Named",
        naming.map(|(naming, container)| naming.message(container.as_str())),
    );
    sheet.maybe(
        "Before",
        source.previous.as_ref().map(|name| format!("incident/{name}")),
    );
    sheet.maybe(
        "Opened for",
        source.dependent.as_ref().map(|name| format!("incident/{name}")),
    );
    sheet.maybe("Sender says over", source.resolved_at.map(|at| when(at, now)));
    for (label, value) in &source.labels {
        sheet.field(&format!("  {}", text::line(label)), value);
    }
    sheet.maybe("Began", spec.starts_at.map(|at| when(at, now)));
    if let Some(approval) = &spec.approval {
        let by = if approval.by.is_empty() {
            "unnamed"
        } else {
            &approval.by
        };
        sheet.field(
            "Approval",
            format!("{:?} by {by}, plan {}", approval.decision, approval.plan_hash),
        );
    }
    if let Some(override_) = &spec.override_ {
        sheet.field("Override", format!("{} by {}", override_.action, override_.by));
    }
    if !spec.logs.is_empty() {
        logs(sheet, &spec.logs);
    }
}

/// The end of what the sender attached; all of it is in `get -o yaml`.
fn logs(sheet: &mut Sheet, logs: &str) {
    const SHOWN: usize = 20;
    let lines: Vec<&str> = logs.lines().collect();
    let from = lines.len().saturating_sub(SHOWN);
    let name = if from > 0 {
        format!("Logs (last {SHOWN} of {} lines)", lines.len())
    } else {
        "Logs".to_owned()
    };
    let last: Vec<&str> = lines.into_iter().skip(from).collect();
    sheet.block(&name, &last.join("\n"));
}

fn evidence_table(sheet: &mut Sheet, evidence: &Evidence) {
    let rows: Vec<Vec<String>> = evidence.containers.iter().map(container_row).collect();
    let header = [
        "CONTAINER",
        "STATE",
        "HEALTH",
        "MEMORY",
        "CPU",
        "EXIT",
        "OOM",
        "PROBE",
    ];
    sheet.table(
        "Evidence",
        (!rows.is_empty()).then(|| aligned(&header, rows)).as_deref(),
    );
    situation(sheet, evidence);
    for container in &evidence.containers {
        super::inside(sheet, container);
    }
}

fn situation(sheet: &mut Sheet, evidence: &Evidence) {
    sheet.section("Situation");
    sheet.field(
        "Replicas",
        format!(
            "{} of {} ready",
            evidence.ready_replicas, evidence.desired_replicas
        ),
    );
    sheet.field("Can roll back", if evidence.can_roll_back { "yes" } else { "no" });
    for container in &evidence.containers {
        trends(sheet, container);
    }
    for revision in &evidence.revisions {
        sheet.field("Revision", text::line(revision));
    }
    for neighbour in &evidence.neighbours {
        let trouble = if neighbour.in_trouble { ", in trouble" } else { "" };
        sheet.field(
            "Beside it",
            format!(
                "{}: {}{trouble}",
                text::line(&neighbour.name),
                text::line(&neighbour.status)
            ),
        );
    }
    for action in &evidence.recent_actions {
        sheet.field("Action before", before(action));
    }
    for gap in &evidence.gaps {
        sheet.field("Not seen", gap);
    }
    sheet.end_section();
}

fn trends(sheet: &mut Sheet, container: &ContainerEvidence) {
    if let Some(trend) = container.trend.as_ref().and_then(|trend| trend.memory_mb) {
        sheet.field(
            "Memory trend",
            format!(
                "{}: {:.0} to {:.0} MiB, {:+.1} MiB a minute",
                text::line(&container.name),
                trend.first,
                trend.last,
                trend.per_minute
            ),
        );
    }
    if let Some(trend) = container.trend.as_ref().and_then(|trend| trend.cpu_percent) {
        sheet.field(
            "CPU trend",
            format!(
                "{}: {:.0} to {:.0} %, at most {:.0} %",
                text::line(&container.name),
                trend.first,
                trend.last,
                trend.max
            ),
        );
    }
}

/// Something that was done to the workload earlier.
fn before(action: &RecentAction) -> String {
    let replicas = action
        .replicas
        .map_or_else(String::new, |replicas| format!(" to {replicas} replicas"));
    let whose = match (&action.incident, action.verified) {
        (None, _) => "manual".to_owned(),
        (Some(incident), Some(true)) => format!("for incident/{incident}, which it helped"),
        (Some(incident), Some(false)) => format!("for incident/{incident}, which it did not help"),
        (Some(incident), None) => format!("for incident/{incident}"),
    };
    text::line(&format!("{}{replicas} at {}, {whose}", action.action, action.at))
}

fn container_row(container: &ContainerEvidence) -> Vec<String> {
    let percent = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0} %"));
    vec![
        text::line(&container.name),
        text::line(&container.state),
        format!("{:?}", container.health).to_lowercase(),
        percent(container.memory_percent()),
        percent(container.cpu_percent),
        container
            .exit_code
            .map_or_else(String::new, |code| code.to_string()),
        if container.oom_killed { "yes" } else { "no" }.to_owned(),
        text::brief(container.probe.as_deref().unwrap_or_default(), 80),
    ]
}

fn retrieved(sheet: &mut Sheet, status: &IncidentStatus) {
    let rows: Vec<Vec<String>> = status
        .retrieved
        .iter()
        .map(|entry| {
            vec![
                text::line(&entry.entry),
                format!("{:.4}", entry.score),
                format!("{:.2}", entry.trust),
                if entry.recommended {
                    "yes"
                } else {
                    "no: its fix kept failing"
                }
                .to_owned(),
                entry.action.to_string(),
                text::brief(&entry.root_cause, 80),
            ]
        })
        .collect();
    if !rows.is_empty() {
        sheet.table(
            "Runbook",
            Some(&aligned(
                &["ENTRY", "SIMILARITY", "TRUST", "RECOMMENDED", "ACTION", "CAUSE"],
                rows,
            )),
        );
    }
}

fn proposal(sheet: &mut Sheet, analysis: &Analysis) {
    let proposal = &analysis.proposal;
    sheet.section("Analysis");
    sheet.field(
        "By",
        format!(
            "{} ({}), {} ms, {} tokens",
            analysis.provider, analysis.model, analysis.latency_ms, analysis.tokens
        ),
    );
    sheet.maybe("Prompt", analysis.prompt_hash.as_ref());
    for attempt in &analysis.attempts {
        sheet.field(
            "Asked before",
            format!("{} ({}): {}", attempt.provider, attempt.model, attempt.reason),
        );
    }
    sheet.field("Root cause", &proposal.root_cause);
    let by = if proposal.replica_count > 0 {
        format!(" by {}", proposal.replica_count)
    } else {
        String::new()
    };
    sheet.field(
        "Action",
        format!(
            "{}{by}, confidence {:.0} %",
            proposal.action,
            proposal.confidence * 100.0
        ),
    );
    sheet.field("Justification", &proposal.justification);
    sheet.end_section();
}

fn votes(sheet: &mut Sheet, landed: &[Vote], council: Option<&CouncilDecision>) {
    let votes = council.map_or(landed, |council| &council.votes);
    if votes.is_empty() && council.is_none() {
        return;
    }
    let rows = votes.iter().map(|vote| {
        vec![
            vote.role.as_str().to_owned(),
            vote.verdict.as_str().to_owned(),
            voter(vote),
            text::line(&vote.reasoning),
        ]
    });
    sheet.table(
        "Council",
        Some(&aligned(&["SEAT", "VERDICT", "BY", "REASONING"], rows.collect())),
    );
    if let Some(council) = council {
        let verdict = council.final_verdict.as_str();
        sheet.field(
            "Verdict",
            format!("{verdict} ({}): {}", council.consensus, council.summary),
        );
    }
}

/// Who sat on the seat: the rules, or a model and what asking it cost.
fn voter(vote: &Vote) -> String {
    let Some(asked) = &vote.asked else {
        return "rules".to_owned();
    };
    let by = match (&asked.provider, &asked.model) {
        (Some(provider), Some(model)) => format!("{provider} {model}"),
        (Some(provider), None) => provider.clone(),
        (None, _) => "no model".to_owned(),
    };
    let cost = format!("{} ms, {} tokens", asked.latency_ms, asked.tokens);
    let prompt = asked.prompt_hash.as_deref().map(|hash| {
        let short: String = hash.chars().take(SHORT_HASH).collect();
        format!(", prompt {short}")
    });
    text::line(&format!("{by} ({cost}{})", prompt.unwrap_or_default()))
}

fn plan(sheet: &mut Sheet, plan: &Plan, execution: Option<&Execution>) {
    sheet.section("Plan");
    sheet.field("Hash", &plan.hash);
    sheet.field("Action", format!("{} on workload/{}", plan.action, plan.target));
    sheet.field("Made for", format!("generation {}", plan.parent_generation));
    sheet.field("Patch", serde_json::to_string(&plan.patch).unwrap_or_default());
    if let Some(done) = execution {
        sheet.maybe("Applied", done.applied_at.map(clock));
        let took = done
            .applied_at
            .zip(done.converged_at)
            .map(|(from, to)| span(from.age(to)));
        sheet.maybe("Converged", took.map(|took| format!("after {took}")));
        if !done.containers.is_empty() {
            sheet.field("Containers", done.containers.join(", "));
        }
        sheet.maybe(
            "Load balancer",
            done.lb_configured
                .map(|done| if done { "configured" } else { "not configured" }),
        );
    }
    sheet.end_section();
}

fn verification(sheet: &mut Sheet, proof: &Verification) {
    let yes_no = |value: bool| if value { "yes" } else { "no" };
    sheet.section("Verification");
    sheet.maybe("Health verified", proof.health_verified.map(yes_no));
    sheet.maybe("Symptom cleared", proof.symptom_cleared.map(yes_no));
    sheet.maybe("Measured after", proof.after.as_deref().map(text::line));
    for attempt in &proof.attempts {
        let word = if attempt.healthy { "healthy" } else { "not healthy" };
        let words = format!("{} {word}: {}", clock(attempt.at), attempt.message);
        sheet.field(&format!("Attempt {}", attempt.number), words);
    }
    sheet.end_section();
}

fn timeline(sheet: &mut Sheet, timeline: &[TimelineEntry]) {
    let begun = timeline.first().map(|entry| entry.ts);
    let rows: Vec<Vec<String>> = timeline
        .iter()
        .map(|entry| {
            let since = begun.map_or_else(String::new, |begun| format!("+{}", span(begun.age(entry.ts))));
            // The controller's own messages begin with the seat.
            let seat = entry
                .agent
                .map(|seat| seat.as_str())
                .filter(|seat| !entry.message.starts_with(seat));
            let seat = seat.map_or(String::new(), |seat| format!("{seat}: "));
            vec![
                clock(entry.ts),
                since,
                entry.status.as_str().to_owned(),
                text::line(&format!("{seat}{}", entry.message)),
            ]
        })
        .collect();
    sheet.table(
        "Timeline",
        (!rows.is_empty())
            .then(|| aligned(&["TIME", "SINCE", "STAGE", "MESSAGE"], rows))
            .as_deref(),
    );
}
