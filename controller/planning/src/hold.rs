//! Why automation leaves a workload alone though it may be unhealthy: the brake of the host, its own, or its protection.
//! The one home of these rules, for incidents and for restarts by `spec.restart`. Pure.

use std::sync::Arc;

use aegis_api::audit::Actor;
use aegis_api::automation::Pause;
use aegis_api::meta::ANNOTATION_PROTECTED;
use aegis_api::{Kind, Reason, Silence, Time, Workload};

use crate::correlation::silence::holding;

/// What keeps automation from a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The reason of conditions.
    pub reason: Reason,
    /// Human-readable: by whom, why, and how to lift it.
    pub message: String,
    /// When it ends by itself.
    pub until: Option<Time>,
    /// Automation put it on, no person.
    pub by_itself: bool,
}

/// The part of the controller that pauses automation, to the audit log.
pub const BLAST_RADIUS_PART: &str = "blast-radius";

/// The pause that is in force for a workload: the host's, its own, or that of a silence.
pub fn paused(
    workload: &Workload,
    host: Option<&Pause>,
    silences: &[Arc<Silence>],
    now: Time,
) -> Option<Hold> {
    let host = host.filter(|pause| pause.holds(now)).map(|pause| Hold {
        reason: Reason::Paused,
        message: format!(
            "all automation is {}; `aegisctl resume` resumes it",
            pause.words()
        ),
        until: pause.until,
        by_itself: pause.by == Actor::system(BLAST_RADIUS_PART).user,
    });
    // What a person put on binds more.
    match host {
        Some(hold) if !hold.by_itself => Some(hold),
        host => own_pause(workload, now)
            .or_else(|| maintenance(workload, silences, now))
            .or(host),
    }
}

/// A silence under which people work on it.
fn maintenance(workload: &Workload, silences: &[Arc<Silence>], now: Time) -> Option<Hold> {
    let silence = holding(silences, workload, now)?;
    let (name, spec) = (silence.name(), &silence.spec);
    Some(Hold {
        reason: Reason::Paused,
        message: format!(
            "automation for workload {} holds still under silence {name} of {} ({}); `aegisctl silence expire {name}` ends it",
            workload.name(),
            spec.owner,
            spec.reason
        ),
        until: spec.until.filter(|_| spec.windows.is_empty()),
        by_itself: false,
    })
}

/// The pause of the workload itself.
fn own_pause(workload: &Workload, now: Time) -> Option<Hold> {
    let name = workload.name();
    let pause = Pause::of(workload.metadata.annotations.as_ref()).filter(|pause| pause.holds(now))?;
    Some(Hold {
        reason: Reason::Paused,
        message: format!(
            "automation for workload {name} is {}; `aegisctl resume workload/{name}` resumes it",
            pause.words()
        ),
        until: pause.until,
        by_itself: false,
    })
}

/// Whether automated actions on a workload always require approval.
pub(crate) fn is_protected(workload: &Workload) -> bool {
    let annotations = workload.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(ANNOTATION_PROTECTED))
        .is_some_and(|value| value == "true")
}

/// Why nothing of a workload is restarted by itself.
pub fn no_restarts(
    workload: &Workload,
    host: Option<&Pause>,
    silences: &[Arc<Silence>],
    now: Time,
) -> Option<Hold> {
    match paused(workload, host, silences, now) {
        Some(hold) if !hold.by_itself => Some(hold),
        paused => protection(workload).or(paused),
    }
}

fn protection(workload: &Workload) -> Option<Hold> {
    is_protected(workload).then(|| Hold {
        reason: Reason::Protected,
        message: format!(
            "workload {name} is protected ({ANNOTATION_PROTECTED}): `aegisctl restart workload/{name}` restarts it",
            name = workload.name()
        ),
        until: None,
        by_itself: false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn workload(annotations: &[(&str, &str)]) -> Workload {
        let mut workload = Workload::new("web", serde_json::from_str(r#"{"container": "web"}"#).unwrap());
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        workload.metadata.annotations = Some(annotations.collect::<BTreeMap<_, _>>());
        workload
    }

    #[test]
    fn a_workload_is_held_by_the_hosts_pause_its_own_or_its_protection() {
        let now: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let host = Pause {
            by: "ada".to_owned(),
            ..Pause::default()
        };
        let over = Pause {
            until: Some("2026-11-22T11:59:59Z".parse().unwrap()),
            ..Pause::default()
        };
        for (annotations, host, reason, said) in [
            (&[][..], None, None, ""),
            (&[], Some(&over), None, ""),
            (
                &[],
                Some(&host),
                Some(Reason::Paused),
                "all automation is paused by ada; `aegisctl resume`",
            ),
            (
                &[("aegisops.io/paused", "true")],
                None,
                Some(Reason::Paused),
                "`aegisctl resume workload/web`",
            ),
            (&[("aegisops.io/paused", "false")], None, None, ""),
            (
                &[("aegisops.io/protected", "true")],
                None,
                Some(Reason::Protected),
                "`aegisctl restart workload/web`",
            ),
            (&[("aegisops.io/protected", "yes")], None, None, ""),
        ] {
            let held = no_restarts(&workload(annotations), host, &[], now);
            assert_eq!(held.as_ref().map(|held| held.reason), reason, "{annotations:?}");
            assert!(
                held.is_none_or(|held| held.message.contains(said)),
                "{annotations:?}"
            );
        }
    }

    #[test]
    fn a_silence_holds_automation_where_it_says_so_and_a_persons_pause_comes_first() {
        let now: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let silence = |automation: &str| -> Arc<Silence> {
            let text = format!(
                r#"{{"metadata": {{"name": "move"}}, "spec": {{"owner": "ada", "reason": "disks", "automation": "{automation}",
                "until": "2026-11-22T13:00:00Z"}}}}"#
            );
            Arc::new(serde_json::from_str(&text).unwrap())
        };
        let held =
            |automation, annotations| no_restarts(&workload(annotations), None, &[silence(automation)], now);
        assert_eq!(held("Continue", &[]), None);
        let hold = held("Hold", &[]).unwrap();
        assert!(
            hold.message.contains("silence move of ada (disks)"),
            "{}",
            hold.message
        );
        assert_eq!(hold.until, Some("2026-11-22T13:00:00Z".parse().unwrap()));
        let own = held("Hold", &[("aegisops.io/paused", "true")]).unwrap();
        assert!(own.message.contains("aegisctl resume"), "{}", own.message);
    }
}
