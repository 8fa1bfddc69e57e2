//! Which Incident an episode has: the trouble of one class on one workload for as long as it lasts has one, also
//! where an alert opened it. Pure.

use aegis_api::proposal::Action;
use aegis_api::symptom::SymptomClass;
use aegis_api::{Incident, Phase, Time};

pub use aegis_api::incident::DETECTOR;

/// What incidents about the same trouble of a workload have in common.
pub fn fingerprint(workload: &str, class: SymptomClass) -> String {
    let class = match class {
        SymptomClass::Availability => "availability",
        SymptomClass::Memory => "memory",
        SymptomClass::Cpu => "cpu",
        SymptomClass::Errors => "errors",
        SymptomClass::Rule => "rule",
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
/// be about it: it will measure what the detector did.
pub fn is_joined(incident: &Incident, workload: &str, class: SymptomClass) -> bool {
    let status = incident.status.as_ref();
    let about = status
        .and_then(|status| status.workload.as_ref())
        .or(incident.spec.workload_ref.as_ref());
    if incident.is_finished() || about.is_none_or(|name| name.as_str() != workload) {
        return false;
    }
    let symptoms = status
        .map(|status| status.symptoms.as_slice())
        .unwrap_or_default();
    let fits = |kind: SymptomClass| kind == class || kind == SymptomClass::Rule;
    if symptoms.is_empty() {
        let source = &incident.spec.source;
        return source.kind != DETECTOR || source.fingerprint == fingerprint(workload, class);
    }
    symptoms.iter().any(|symptom| fits(symptom.kind.class()))
}

/// How long an incident that ended without a cure is the last word while the condition lasts; then people are notified again.
const LAST_WORD: aegis_api::Duration = aegis_api::Duration::from_secs(4 * 3600);

/// From when on, if the condition goes on holding, that is a new episode: since an action resolved its incident. One that
/// ended without doing anything, or failed, is the last word for some hours.
pub fn is_over_at(incident: &Incident, now: Time) -> Option<Time> {
    let status = incident.status.as_ref()?;
    let acted = status
        .plan
        .as_ref()
        .is_some_and(|plan| plan.action != Action::Noop);
    let is_cured = acted && status.phase == Phase::Resolved;
    let last_word = |at: &Time| at.age(now) < LAST_WORD.std();
    status.finished_at.filter(|at| is_cured || !last_word(at))
}

/// How long after an incident found nothing to do, the same trouble only counts on it.
const REPEATS: aegis_api::Duration = aegis_api::Duration::from_secs(600);

/// Whether the same trouble, come again, is a repeat of this incident: it ended a short while ago without an action.
pub fn takes_repeats(incident: &Incident, now: Time) -> bool {
    let Some(status) = &incident.status else {
        return false;
    };
    let acted = status
        .plan
        .as_ref()
        .is_some_and(|plan| plan.action != Action::Noop);
    let ended = status.finished_at.filter(|at| at.age(now) < REPEATS.std());
    ended.is_some() && !acted
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
        assert!(is_over_at(&ended("RESOLVED", "RESTART"), soon).is_some());
        for (phase, action) in [("RESOLVED", "NOOP"), ("FAILED", "RESTART")] {
            assert_eq!(is_over_at(&ended(phase, action), soon), None, "{phase} {action}");
            assert!(
                is_over_at(&ended(phase, action), later).is_some(),
                "{phase} {action}"
            );
        }
        assert_eq!(is_over_at(&incident(&Value::Null), later), None);
        assert!(takes_repeats(&ended("RESOLVED", "NOOP"), soon));
        assert!(!takes_repeats(&ended("RESOLVED", "NOOP"), later));
        assert!(!takes_repeats(&ended("RESOLVED", "RESTART"), soon));
        assert!(!takes_repeats(&incident(&Value::Null), soon));
    }
}
