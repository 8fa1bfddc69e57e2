//! Which silence is in force for what. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::silence::SilencedAutomation;
use aegis_api::{Incident, Kind as _, Silence, SilenceSpec, Time, Workload};

use crate::incident::gate::is_frozen;

/// What a silence is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The workload that it is about, where there is one.
    pub workload: Option<&'a Workload>,
    /// What the alert, or the incident, reports. `None`: all of the workload, as automation asks.
    pub alert_type: Option<&'a str>,
    /// What the sender attached.
    pub labels: &'a BTreeMap<String, String>,
}

/// Whether a silence is in force now, whatever it is about.
pub fn in_force(spec: &SilenceSpec, now: Time) -> bool {
    let began = spec.from.is_none_or(|from| from <= now);
    let runs = spec.until.is_none_or(|until| now < until);
    let within = spec.windows.is_empty() || spec.windows.iter().any(|window| is_frozen(window, now));
    began && runs && within
}

/// Whether a silence will never be in force again.
pub fn is_expired(spec: &SilenceSpec, now: Time) -> bool {
    spec.until.is_some_and(|until| until <= now)
}

/// The silence that keeps people from hearing of this, the first by name.
pub fn silencing<'a>(
    silences: &'a [Arc<Silence>],
    subject: Subject<'_>,
    now: Time,
) -> Option<&'a Arc<Silence>> {
    silences
        .iter()
        .find(|silence| in_force(&silence.spec, now) && covers(&silence.spec, subject))
}

/// The silence that keeps people from hearing of an incident: one of now, or, where it has ended, of then. What is still open
/// when a silence ends is heard of then.
pub fn silencing_incident<'a>(
    silences: &'a [Arc<Silence>],
    workloads: &[Arc<Workload>],
    incident: &Incident,
    now: Time,
) -> Option<&'a Arc<Silence>> {
    let name = incident.workload();
    let workload = name.and_then(|name| workloads.iter().find(|workload| workload.name() == name.as_str()));
    let subject = Subject {
        workload: workload.map(|workload| &**workload),
        alert_type: Some(&incident.spec.alert_type),
        labels: &incident.spec.source.labels,
    };
    let ended = incident.status.as_ref().and_then(|status| status.finished_at);
    silencing(silences, subject, ended.unwrap_or(now))
}

/// The silence under which automation holds still for a workload, the first by name. One that is about single alert types
/// or labels holds nothing: it says nothing of the workload.
pub fn holding<'a>(silences: &'a [Arc<Silence>], workload: &Workload, now: Time) -> Option<&'a Arc<Silence>> {
    let none = BTreeMap::new();
    let subject = Subject {
        workload: Some(workload),
        alert_type: None,
        labels: &none,
    };
    silences.iter().find(|silence| {
        silence.spec.automation == SilencedAutomation::Hold
            && in_force(&silence.spec, now)
            && covers(&silence.spec, subject)
    })
}

fn covers(spec: &SilenceSpec, subject: Subject<'_>) -> bool {
    let none = BTreeMap::new();
    let is_about = match subject.workload {
        Some(workload) => {
            let labels = workload.metadata.labels.as_ref().unwrap_or(&none);
            spec.workloads.rank(workload.name(), labels).is_some()
        }
        // What is about no workload is meant only where none is chosen.
        None => spec.workloads.names.is_empty() && spec.workloads.match_labels.is_empty(),
    };
    let types = &spec.alert_types;
    let is_of_type = types.is_empty()
        || subject
            .alert_type
            .is_some_and(|kind| types.iter().any(|wanted| wanted == kind));
    let mut labels = spec.match_labels.iter();
    let has_labels = labels.all(|(name, value)| {
        // Senders' labels are kept below `labels.` where they stand in an object of that name.
        let found = subject
            .labels
            .get(name)
            .or_else(|| subject.labels.get(&format!("labels.{name}")));
        found == Some(value)
    });
    is_about && is_of_type && has_labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn silence(spec: &Value) -> Arc<Silence> {
        let mut whole = json!({"owner": "ada", "reason": "work", "until": "2026-11-29T12:00:00Z"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        whole.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        Arc::new(serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": whole})).unwrap())
    }

    fn workload() -> Workload {
        serde_json::from_value(
            json!({"metadata": {"name": "web", "labels": {"tier": "front"}}, "spec": {"container": "web"}}),
        )
        .unwrap()
    }

    fn at(text: &str) -> Time {
        format!("2026-11-29T{text}Z").parse().unwrap()
    }

    #[test]
    fn a_silence_is_about_what_it_selects_and_nothing_else() {
        let labels: BTreeMap<String, String> = [("labels.team".to_owned(), "shop".to_owned())].into();
        let workload = workload();
        let of_web = Subject {
            workload: Some(&workload),
            alert_type: Some("Leak"),
            labels: &labels,
        };
        let of_none = Subject {
            workload: None,
            ..of_web
        };
        for (spec, web, none) in [
            (json!({}), true, true),
            (json!({"workloads": {"names": ["web"]}}), true, false),
            (json!({"workloads": {"names": ["db"]}}), false, false),
            (
                json!({"workloads": {"matchLabels": {"tier": "front"}}}),
                true,
                false,
            ),
            (json!({"alertTypes": ["Leak"]}), true, true),
            (json!({"alertTypes": ["Slow"]}), false, false),
            (json!({"matchLabels": {"team": "shop"}}), true, true),
            (json!({"matchLabels": {"team": "bank"}}), false, false),
        ] {
            let all = [silence(&spec)];
            assert_eq!(silencing(&all, of_web, at("11:00:00")).is_some(), web, "{spec}");
            assert_eq!(silencing(&all, of_none, at("11:00:00")).is_some(), none, "{spec}");
        }
    }

    #[test]
    fn a_silence_expires_and_a_window_comes_back() {
        let once = silence(&json!({"from": "2026-11-29T11:00:00Z"}));
        for (now, runs) in [
            ("10:59:59", false),
            ("11:00:00", true),
            ("11:59:59", true),
            ("12:00:00", false),
        ] {
            assert_eq!(in_force(&once.spec, at(now)), runs, "{now}");
        }
        assert!(is_expired(&once.spec, at("12:00:00")));
        // 2026-11-29 is a Sunday.
        let weekly = silence(
            &json!({"until": null, "windows": [{"days": ["Sun"], "start": "02:00", "end": "04:00"}]}),
        );
        assert!(in_force(&weekly.spec, at("03:00:00")) && !in_force(&weekly.spec, at("05:00:00")));
        assert!(in_force(&weekly.spec, "2026-12-06T03:00:00Z".parse().unwrap()));
        assert!(!is_expired(&weekly.spec, at("05:00:00")));
    }

    #[test]
    fn automation_holds_only_where_a_silence_of_the_whole_workload_says_so() {
        let workload = workload();
        for (spec, holds) in [
            (json!({}), false),
            (json!({"automation": "Hold"}), true),
            (
                json!({"automation": "Hold", "workloads": {"names": ["db"]}}),
                false,
            ),
            (json!({"automation": "Hold", "alertTypes": ["Leak"]}), false),
            (
                json!({"automation": "Hold", "matchLabels": {"team": "shop"}}),
                false,
            ),
        ] {
            let all = [silence(&spec)];
            assert_eq!(
                holding(&all, &workload, at("11:00:00")).is_some(),
                holds,
                "{spec}"
            );
        }
    }
}
