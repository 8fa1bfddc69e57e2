//! Which Incident an episode has: the trouble of one class on one workload for as long as it lasts has one, also
//! where an alert opened it. Pure.

use std::sync::Arc;

use aegis_api::facets::FAILURES_COUNT;
use aegis_api::proposal::Action;
use aegis_api::symptom::SymptomClass;
use aegis_api::{Duration, Incident, IncidentStatus, Phase, Time};

use super::Condition;
use crate::ledger;

pub use aegis_api::incident::DETECTOR;

/// The label of an incident that names the detector which opened it.
pub const DETECTOR_LABEL: &str = "detector";

/// What incidents about the same trouble of a workload have in common.
pub fn fingerprint(workload: &str, class: SymptomClass) -> String {
    let class = match class.episode() {
        SymptomClass::Availability => "availability",
        SymptomClass::Memory => "memory",
        SymptomClass::Cpu => "cpu",
        SymptomClass::Errors => "errors",
        SymptomClass::Latency => "latency",
        SymptomClass::Processes => "processes",
        SymptomClass::Network => "network",
        SymptomClass::Rule => "rule",
        SymptomClass::External => "external",
    };
    format!("detector/{workload}/{class}")
}

/// The same of incidents about the host, where each detector has one.
pub fn host_fingerprint(detector: &str) -> String {
    format!("detector//{detector}")
}

/// Words of an alert's type that say which class of trouble it reports, by what they begin with.
const WORDS: &[(SymptomClass, &[&str])] = &[
    (
        SymptomClass::Availability,
        &[
            "avail",
            "crash",
            "dead",
            "died",
            "down",
            "exit",
            "hang",
            "health",
            "hung",
            "kill",
            "oom",
            "outage",
            "restart",
            "stop",
            "unavail",
            "unhealth",
            "unreach",
            "unrespons",
        ],
    ),
    (
        SymptomClass::Memory,
        &["heap", "leak", "mem", "oom", "ram", "rss"],
    ),
    (SymptomClass::Cpu, &["cpu", "load", "spin", "throttl"]),
    (SymptomClass::Processes, &["fork", "pid", "process", "thread"]),
    (
        SymptomClass::Errors,
        &[
            "4xx",
            "5xx",
            "burn",
            "err",
            "exception",
            "http",
            "latenc",
            "slo",
            "timeout",
        ],
    ),
];

/// Which classes of trouble an alert of this type reports; none where its words do not say. They decide only which incident
/// an alert joins: one that fits none has an incident of its own.
fn classes_of(alert_type: &str) -> impl Iterator<Item = SymptomClass> {
    let words = words_of(alert_type);
    WORDS.iter().filter_map(move |(class, begins)| {
        let says = |word: &String| begins.iter().any(|begin| word.starts_with(begin));
        words.iter().any(says).then_some(*class)
    })
}

/// The words of a name such as `HighMemoryUsage`, `memory_leak` or `http-5xx`, in lower case.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        let is_word = letter.is_alphanumeric();
        if !is_word || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| is_word) {
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The fingerprints of what detectors may have opened about a workload that an alert of this type is about, too.
pub fn fingerprints(workload: &str, alert_type: &str) -> impl Iterator<Item = String> {
    classes_of(alert_type).map(move |class| fingerprint(workload, class))
}

/// Whether an alert about the workload joins this incident: a detector opened it, and it has not ended.
pub fn takes_alerts(incident: &Incident) -> bool {
    incident.spec.source.kind == DETECTOR && !incident.is_finished()
}

/// Whether an episode of this class on this workload has this incident. An alert's that has not measured anything yet may
/// be about it: it will measure what the detector did. One of which nothing was measured, and that waits for a human, is
/// the human's alone: what goes wrong meanwhile has an incident of its own.
pub fn is_joined(incident: &Incident, workload: &str, class: SymptomClass) -> bool {
    let is_about = incident.workload().is_some_and(|name| name.as_str() == workload);
    if incident.is_finished() || !is_about {
        return false;
    }
    let status = incident.status.as_ref();
    let symptoms = status
        .map(|status| status.symptoms.as_slice())
        .unwrap_or_default();
    let fits = |kind: SymptomClass| kind.episode() == class.episode() || kind == SymptomClass::Rule;
    let source = &incident.spec.source;
    if source.kind == DETECTOR && source.fingerprint == fingerprint(workload, class) {
        return true;
    }
    if symptoms.is_empty() {
        let is_humans = status.is_some_and(|status| status.phase == Phase::AwaitingApproval);
        return source.kind != DETECTOR && !is_humans;
    }
    symptoms.iter().any(|symptom| fits(symptom.kind.class()))
}

/// How long an incident that ended without a cure is the last word while the condition lasts; then people are notified
/// again.
const LAST_WORD: Duration = Duration::from_secs(4 * 3600);
/// How long one that failed is, the first time: after each further failure in a row twice as long, at most the above. Then
/// it is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(15 * 60);
/// How long after an incident found nothing to do, the same trouble only counts on it.
const REPEATS: Duration = Duration::from_secs(600);
/// The same of trouble of the host, about which automation does nothing in any case.
const HOST_REPEATS: Duration = Duration::from_secs(3600);

/// From when on, if a condition that holds since then goes on holding, that is a new episode: since an action resolved its
/// incident. One that ended without doing anything is the last word for some hours; one that failed, for a pause that grows
/// with each failure in a row, after which it is tried again; one that only took a repeat, for as long as it takes those,
/// counted from the repeat. `same` answers the incidents with its fingerprint.
pub fn ended_at(
    incident: &Incident,
    since: Option<Time>,
    same: impl FnOnce() -> Vec<Arc<Incident>>,
    now: Time,
) -> Option<Time> {
    let status = incident.status.as_ref()?;
    let ended = status.finished_at?;
    let is_cured = has_acted(status) && status.phase == Phase::Resolved;
    let repeated = since.filter(|since| *since > ended);
    let is_tried_again = status.phase == Phase::Failed && incident.workload().is_some();
    let is_over = match repeated {
        Some(repeated) => repeated.age(now) >= REPEATS.std(),
        None if is_tried_again => {
            let age = ended.age(now);
            age >= FIRST_RETRY.std() && age >= pause_after(failures_in_a_row(&same(), now))
        }
        None => ended.age(now) >= LAST_WORD.std(),
    };
    (is_cured || is_over).then_some(ended)
}

/// How long is waited after so many failures in a row before it is tried again.
fn pause_after(failures: u32) -> std::time::Duration {
    ledger::doubled(FIRST_RETRY.std(), failures.saturating_sub(1), LAST_WORD.std())
}

/// How often in a row these, incidents about the same trouble, have failed within a day, since one was resolved; the one
/// that is asked about counts in any case.
fn failures_in_a_row(same: &[Arc<Incident>], now: Time) -> u32 {
    let ended = same
        .iter()
        .filter_map(|incident| incident.status.as_ref())
        .filter_map(|status| Some((status.finished_at?, status.phase == Phase::Failed)))
        .filter(|(at, _)| at.age(now) < FAILURES_COUNT.std());
    ledger::newest_in_a_row(ended).max(1)
}

/// Whether the same trouble, come again, is a repeat of this incident: the same detector opened it, and it ended a short
/// while ago without an action. Of a workload only what is over in a moment is: a crash that nothing was left of. What
/// lasts, and what could not be analysed, is trouble of its own.
pub fn is_repeated_by(incident: &Incident, detector: &str, condition: Option<&Condition>, now: Time) -> bool {
    let source = &incident.spec.source;
    let by_same = source
        .labels
        .get(DETECTOR_LABEL)
        .is_some_and(|name| name == detector);
    let Some(status) = incident.status.as_ref().filter(|_| by_same) else {
        return false;
    };
    let within = match condition {
        None => HOST_REPEATS,
        Some(Condition::Died | Condition::OutOfMemory) if status.phase == Phase::Resolved => REPEATS,
        Some(_) => return false,
    };
    let ended = status.finished_at.filter(|at| at.age(now) < within.std());
    ended.is_some() && !has_acted(status)
}

fn has_acted(status: &IncidentStatus) -> bool {
    let plan = status.plan.as_ref();
    plan.is_some_and(|plan| plan.action != Action::Noop)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn incident(status: &Value) -> Incident {
        serde_json::from_value(json!({
            "metadata": {"name": "i"},
            "spec": {"workloadRef": "web", "alertType": "x", "source": {"kind": "webhook"}},
            "status": status,
        }))
        .unwrap()
    }

    fn measured(kinds: &[&str]) -> Value {
        let symptoms: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({"kind": kind, "message": "m"}))
            .collect();
        json!({"phase": "ANALYSING", "symptoms": symptoms, "timeline": []})
    }

    #[test]
    fn an_open_incident_of_the_same_class_on_the_same_workload_is_joined() {
        let joins = |status: &Value, workload, class| is_joined(&incident(status), workload, class);
        let (memory, cpu) = (SymptomClass::Memory, SymptomClass::Cpu);
        assert!(joins(&measured(&["MemoryHigh"]), "web", memory));
        assert!(joins(&measured(&["CpuHigh", "MemoryGrowing"]), "web", memory));
        assert!(!joins(&measured(&["CpuHigh"]), "web", memory));
        assert!(!joins(&measured(&["MemoryHigh"]), "db", memory));
        assert!(joins(&measured(&[]), "web", cpu), "nothing was measured yet");
        assert!(joins(&Value::Null, "web", cpu), "just opened");
        for class in [SymptomClass::Availability, memory, cpu] {
            let mut asked = json!({"phase": "AWAITING_APPROVAL", "timeline": []});
            assert!(
                !joins(&asked, "web", class),
                "it waits for a human, and nothing was measured"
            );
            asked["symptoms"] = json!([{"kind": "MemoryHigh", "message": "m"}]);
            assert_eq!(joins(&asked, "web", class), class == memory);
        }
        let ended = json!({"phase": "FAILED", "finishedAt": "2026-11-28T10:00:00Z", "timeline": []});
        assert!(!joins(&ended, "web", cpu));
    }

    #[test]
    fn an_alert_is_about_the_classes_that_its_words_name() {
        for (alert_type, wanted) in [
            ("memory_leak", vec![SymptomClass::Memory]),
            ("HighMemoryUsage", vec![SymptomClass::Memory]),
            (
                "OOMKilled",
                vec![SymptomClass::Availability, SymptomClass::Memory],
            ),
            ("HTTP-5xx burst", vec![SymptomClass::Errors]),
            ("cpuSpike", vec![SymptomClass::Cpu]),
            ("ContainerDown", vec![SymptomClass::Availability]),
            ("orders stuck", vec![]),
            ("", vec![]),
            ("\u{0}\u{7f}", vec![]),
        ] {
            let found: Vec<SymptomClass> = classes_of(alert_type).collect();
            assert_eq!(found, wanted, "{alert_type:?}: {:?}", words_of(alert_type));
        }
    }

    #[test]
    fn what_failed_is_tried_again_with_pauses_that_grow_up_to_four_hours() {
        let failed = |name: &str, at: &str, phase: &str| {
            let mut it = incident(&json!({"phase": phase, "finishedAt": at, "timeline": []}));
            it.metadata.name = Some(name.to_owned());
            it.spec.source.fingerprint = "detector/web/memory".to_owned();
            it
        };
        let now: Time = "2026-11-28T12:00:00Z".parse().unwrap();
        let minutes = |count: u64| now.plus(Duration::from_secs(60 * count));
        let newest = failed("e", "2026-11-28T12:00:00Z", "FAILED");
        for (failures, pause) in [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 240), (64, 240)] {
            let earlier =
                (1..failures).map(|nth| failed(&format!("f-{nth}"), "2026-11-28T11:00:00Z", "FAILED"));
            let all: Vec<Arc<Incident>> = earlier.chain([newest.clone()]).map(Arc::new).collect();
            let ended = |at| ended_at(&newest, None, || all.clone(), at);
            assert_eq!(ended(minutes(pause - 1)), None, "{failures}");
            assert!(ended(minutes(pause)).is_some(), "{failures}");
        }
        let mut host = newest.clone();
        host.spec.workload_ref = None;
        assert_eq!(ended_at(&host, None, Vec::new, minutes(239)), None);
        let all: Vec<Arc<Incident>> = [
            failed("a", "2026-11-27T11:59:00Z", "FAILED"),
            failed("b", "2026-11-28T09:00:00Z", "FAILED"),
            failed("c", "2026-11-28T10:00:00Z", "RESOLVED"),
            failed("d", "2026-11-28T11:00:00Z", "FAILED"),
            newest,
        ]
        .map(Arc::new)
        .into();
        assert_eq!(failures_in_a_row(&all, now), 2, "since one was resolved");
        assert_eq!(failures_in_a_row(&[], now), 1);
    }

    #[test]
    fn what_an_action_resolved_makes_room_for_another_episode_and_the_rest_after_some_hours() {
        let ended = |phase: &str, action: &str| {
            incident(&json!({
                "phase": phase, "finishedAt": "2026-11-28T10:00:00Z", "timeline": [],
                "plan": {"hash": "h", "action": action, "target": "web", "parentGeneration": 1, "patch": {},
                    "createdAt": "2026-11-28T09:59:00Z"},
            }))
        };
        let soon: Time = "2026-11-28T10:05:00Z".parse().unwrap();
        let later: Time = "2026-11-28T14:00:00Z".parse().unwrap();
        let (before, after) = (Some("2026-11-28T09:58:00Z"), Some("2026-11-28T10:04:00Z"));
        let at = |text: Option<&str>| text.map(|text| text.parse::<Time>().unwrap());
        let ended_at = |it: &Incident, since: Option<&str>, now| ended_at(it, at(since), Vec::new, now);
        assert!(ended_at(&ended("RESOLVED", "RESTART"), before, soon).is_some());
        let half_an_hour: Time = "2026-11-28T10:30:00Z".parse().unwrap();
        for (phase, action) in [("RESOLVED", "NOOP"), ("FAILED", "RESTART")] {
            let it = ended(phase, action);
            assert_eq!(ended_at(&it, before, soon), None, "{phase} {action}");
            let is_tried_again = ended_at(&it, before, half_an_hour).is_some();
            assert_eq!(is_tried_again, phase == "FAILED", "{phase} {action}");
            assert!(
                ended_at(&it, after, half_an_hour).is_some(),
                "it only took a repeat"
            );
            assert!(ended_at(&it, before, later).is_some(), "{phase} {action}");
        }
        assert_eq!(ended_at(&incident(&Value::Null), before, later), None);
        let by = |detector: &str, phase: &str, action: &str| {
            let mut it = ended(phase, action);
            let labels = &mut it.spec.source.labels;
            labels.insert(DETECTOR_LABEL.to_owned(), detector.to_owned());
            it
        };
        let (died, memory) = (Condition::Died, Condition::Memory { percent: 90.0 });
        let repeats = |it: &Incident, condition, now| is_repeated_by(it, "crashed", condition, now);
        assert!(repeats(&by("crashed", "RESOLVED", "NOOP"), Some(&died), soon));
        for (it, condition, now) in [
            (by("crashed", "RESOLVED", "NOOP"), Some(&died), later),
            (by("crashed", "RESOLVED", "NOOP"), Some(&memory), soon),
            (by("crash-loop", "RESOLVED", "NOOP"), Some(&died), soon),
            (by("crashed", "RESOLVED", "RESTART"), Some(&died), soon),
            (by("crashed", "FAILED", "NOOP"), Some(&died), soon),
            (by("crashed", "FAILED", "NOOP"), None, later),
            (incident(&Value::Null), Some(&died), soon),
        ] {
            assert!(!repeats(&it, condition, now), "{it:?} {condition:?}");
        }
        assert!(repeats(&by("crashed", "FAILED", "NOOP"), None, half_an_hour));
    }
}
