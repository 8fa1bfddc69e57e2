//! The rows of the page's tables, and what the incidents add up to. Pure.

use aegis_api::Phase;
use aegis_api::wire::{ContainerRow, DetectorView, IncidentResult, RunbookView};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::words::{clock, name, span, text};
use crate::board::Load;
use crate::chart;

#[derive(Debug, Serialize)]
pub(super) struct Container {
    name: String,
    status: String,
    image: String,
    cpu: String,
    memory: String,
    /// Made by us alone; goes into the page as it is.
    cpu_chart: String,
    memory_chart: String,
}

impl Container {
    pub(super) fn new(row: &ContainerRow, load: Option<&Load>) -> Self {
        let none = Load::default();
        let load = load.unwrap_or(&none);
        let last =
            |sample: Option<&f64>| sample.map_or_else(String::new, |percent| format!("{percent:.1} %"));
        Self {
            name: text(&row.name),
            status: row.status.to_string(),
            image: text(&row.image),
            cpu: last(load.cpu.back()),
            memory: last(load.memory.back()),
            cpu_chart: chart::line(&load.cpu, "CPU, last minutes"),
            memory_chart: chart::line(&load.memory, "Memory, last minutes"),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Detector {
    name: String,
    alert: String,
    /// For how many workloads it fires.
    firing: u32,
    /// Nothing was measured, which is not known to be well.
    unknown: bool,
    value: String,
    /// From which value it is trouble.
    threshold: String,
    readings: Vec<Reading>,
}

#[derive(Debug, Serialize)]
struct Reading {
    /// Nothing for the host.
    workload: String,
    message: String,
}

/// Those that fire first, else by name.
pub(super) fn detectors(views: &[DetectorView]) -> Vec<Detector> {
    let mut views: Vec<&DetectorView> = views.iter().collect();
    views.sort_by_key(|view| view.firing == 0);
    views.into_iter().map(Detector::new).collect()
}

impl Detector {
    fn new(view: &DetectorView) -> Self {
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| format!("{number:.1}"));
        let readings = view.readings.iter().map(|reading| Reading {
            workload: reading.workload.as_deref().map_or_else(String::new, text),
            message: text(&reading.message),
        });
        Self {
            name: text(&view.name),
            alert: text(&view.alert_type),
            firing: view.firing,
            unknown: view.readings.iter().all(|reading| reading.condition == "Unknown"),
            value: number(view.value),
            threshold: match view.objective {
                Some(objective) => format!("objective {objective} %"),
                None => number(view.threshold),
            },
            readings: readings.collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Incident {
    id: String,
    alert: String,
    status: String,
    ended: bool,
    stages: Vec<Stage>,
    began: String,
    took: String,
    cause: String,
    action: String,
    error: String,
}

#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    state: StageState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum StageState {
    Done,
    Now,
    Ahead,
    /// It ended here, badly.
    Failed,
}

const STAGES: [&str; 6] = [
    "received",
    "analysis",
    "council",
    "execution",
    "verification",
    "resolved",
];

/// How far along a phase is in [`STAGES`]; nothing for FAILED, which can come anywhere.
fn progress(phase: Phase) -> Option<usize> {
    Some(match phase {
        Phase::Received => 0,
        Phase::Analysing => 1,
        // Where a dry run ends: what comes next it only tells.
        Phase::CouncilReview | Phase::AwaitingApproval | Phase::Approved | Phase::DryRun => 2,
        Phase::Executing | Phase::Scaling => 3,
        Phase::Verifying => 4,
        Phase::Resolved => 5,
        Phase::Failed => return None,
    })
}

impl Incident {
    /// The row as of `at`, when the controller was asked.
    pub(super) fn new(one: &IncidentResult, at: Timestamp) -> Self {
        let analysis = one.analysis.as_ref();
        let phase = one.phase();
        Self {
            id: text(&one.incident_id),
            alert: text(&one.alert_type),
            status: name(&phase),
            ended: phase.is_end(),
            stages: stages(one),
            began: one
                .timeline
                .first()
                .map_or_else(String::new, |entry| clock(entry.ts.0)),
            took: lasted(one, at).map_or_else(String::new, span),
            cause: analysis.map_or_else(String::new, |analysis| text(&analysis.root_cause)),
            action: analysis.map_or_else(String::new, |analysis| name(&analysis.action)),
            error: one.error.as_deref().map_or_else(String::new, text),
        }
    }
}

fn stages(one: &IncidentResult) -> Vec<Stage> {
    let phase = one.phase();
    let failed = progress(phase).is_none();
    // Of a failed one, what it had reached: the votes and the analysis that it left.
    let reached = progress(phase).unwrap_or(match (&one.analysis, &one.council_decision) {
        (_, Some(_)) => 3,
        (Some(_), None) => 2,
        (None, None) => 1,
    });
    let state = |index: usize| match index.cmp(&reached) {
        std::cmp::Ordering::Less => StageState::Done,
        std::cmp::Ordering::Equal if failed => StageState::Failed,
        std::cmp::Ordering::Equal if phase.is_end() => StageState::Done,
        std::cmp::Ordering::Equal => StageState::Now,
        std::cmp::Ordering::Greater => StageState::Ahead,
    };
    let named = STAGES.iter().enumerate();
    named
        .map(|(index, name)| Stage {
            name,
            state: state(index),
        })
        .collect()
}

/// From the first line of the history to the last one, or to `at` while it goes on.
fn lasted(one: &IncidentResult, at: Timestamp) -> Option<SignedDuration> {
    let start = one.timeline.first()?.ts.0;
    let last = one.timeline.last().map_or(at, |entry| entry.ts.0);
    let end = match one.resolved_at {
        Some(end) => end.0,
        None if one.phase().is_end() => last,
        None => at,
    };
    Some(end.duration_since(start).max(SignedDuration::ZERO))
}

/// What the incidents add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) open: usize,
    pub(super) resolved: usize,
    pub(super) failed: usize,
    pub(super) dry_runs: usize,
    /// How much sooner the resolved ones were resolved than a person would have.
    pub(super) saved: SignedDuration,
}

impl Sums {
    pub(super) fn of(incidents: &[IncidentResult], manual: SignedDuration, at: Timestamp) -> Self {
        let mut sums = Self::default();
        for one in incidents {
            match one.phase() {
                Phase::Failed => sums.failed += 1,
                Phase::DryRun => sums.dry_runs += 1,
                Phase::Resolved => {
                    sums.resolved += 1;
                    let took = lasted(one, at).unwrap_or(manual);
                    sums.saved += (manual - took).max(SignedDuration::ZERO);
                }
                _ => sums.open += 1,
            }
        }
        sums
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Lesson {
    alert: String,
    container: String,
    cause: String,
    action: String,
    learned: String,
}

impl Lesson {
    pub(super) fn new(entry: &RunbookView) -> Self {
        Self {
            alert: text(&entry.alert_type),
            container: text(&entry.container_name),
            cause: text(&entry.root_cause),
            action: name(&entry.action),
            learned: entry.resolved_at.map_or_else(String::new, |at| clock(at.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::{at, incident};

    fn states(one: &IncidentResult) -> String {
        let letter = |stage: Stage| match stage.state {
            StageState::Done => 'x',
            StageState::Now => '>',
            StageState::Ahead => '.',
            StageState::Failed => '!',
        };
        stages(one).into_iter().map(letter).collect()
    }

    #[test]
    fn a_stage_is_done_now_ahead_or_where_it_failed() {
        let of = |status: &str| states(&incident(status, 0, None));
        assert_eq!(of("RECEIVED"), ">.....");
        assert_eq!(of("AWAITING_APPROVAL"), "xx>...");
        assert_eq!(of("SCALING"), "xxx>..");
        assert_eq!(of("RESOLVED"), "xxxxxx");
        let mut dry_run = incident("RESOLVED", 0, Some(60));
        dry_run.dry_run = true;
        assert_eq!(states(&dry_run), "xxx...");
        let mut failed = incident("FAILED", 0, None);
        assert_eq!(states(&failed), "xxx!..");
        failed.council_decision = None;
        assert_eq!(states(&failed), "xx!...");
        failed.analysis = None;
        assert_eq!(states(&failed), "x!....");
    }

    #[test]
    fn the_time_saved_is_what_a_person_would_have_taken_more() {
        let mut dry_run = incident("RESOLVED", 0, Some(60));
        dry_run.dry_run = true;
        let incidents = [
            dry_run,
            incident("RESOLVED", 0, Some(60)),
            incident("RESOLVED", 0, Some(100_000)),
            incident("FAILED", 0, None),
            incident("VERIFYING", 0, None),
        ];
        let sums = Sums::of(&incidents, SignedDuration::from_mins(15), at(200_000));
        assert_eq!(
            sums,
            Sums {
                open: 1,
                resolved: 2,
                failed: 1,
                dry_runs: 1,
                saved: SignedDuration::from_mins(14)
            }
        );
    }
}
