//! What an incident's status says of people's peace: which silence keeps them from being notified of it, and, once that has
//! ended while the incident is open, what they were not notified of. Pure.

use aegis_api::incident::Stage;
use aegis_api::silence::SilencedBy;
use aegis_api::{ConditionType, IncidentStatus, Kind as _, Reason, Silence, Time};

use super::reported;
use super::transition::Stated;
use super::validate::ValidatedIncident;

/// Most stages that a message names.
const NAMED: usize = 12;

/// The silence, as an incident has it.
pub(super) fn of(silence: &Silence, now: Time) -> SilencedBy {
    let spec = &silence.spec;
    SilencedBy {
        silence: silence.name().to_owned(),
        owner: spec.owner.clone(),
        reason: spec.reason.clone(),
        until: spec.until,
        since: now,
    }
}

/// Notes what is not noted yet. What had ended stays as it was: no person hears of it any more.
pub(super) fn note(status: &mut IncidentStatus, incident: &ValidatedIncident, at: Time) {
    if incident.incident.is_finished() {
        return;
    }
    match (status.silenced.take(), &incident.silence) {
        (None, None) => {}
        (before, Some(by)) => {
            let since = before.map_or(at, |before| before.since);
            let by = SilencedBy { since, ..by.clone() };
            let stated = Stated {
                kind: ConditionType::Silenced,
                status: true,
                reason: Reason::SilenceInForce,
                message: by.message(),
            };
            stated.set(status, at);
            status.silenced = Some(by);
        }
        (Some(before), None) => ended(status, &before, at),
    }
}

fn ended(status: &mut IncidentStatus, before: &SilencedBy, at: Time) {
    let message = format!(
        "silence {} of {} is over: people were not notified since {} of {}",
        before.silence,
        before.owner,
        before.since,
        withheld(status, before.since)
    );
    let stated = Stated {
        kind: ConditionType::Silenced,
        status: false,
        reason: Reason::SilenceEnded,
        message: message.clone(),
    };
    stated.set(status, at);
    reported::say(status, at, message);
}

/// The stages since then, each once, in the order in which they came.
fn withheld(status: &IncidentStatus, since: Time) -> String {
    let mut stages: Vec<Stage> = Vec::new();
    for entry in status.timeline.iter().filter(|entry| entry.ts >= since) {
        if !stages.contains(&entry.status) {
            stages.push(entry.status);
        }
    }
    let named: Vec<&str> = stages.iter().take(NAMED).map(|stage| stage.as_str()).collect();
    match (named.is_empty(), stages.len().saturating_sub(NAMED)) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => named.join(", "),
        (false, more) => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::condition;

    use super::*;
    use crate::incident::testing::{NOW, REPORT, incident, judge, object};
    use crate::incident::transition::applied;

    fn silence(reason: &str) -> Silence {
        let spec = format!(
            "{{owner: ada, reason: {reason}, until: '2026-11-22T13:00:00Z', workloads: {{names: [web]}}}}"
        );
        object("Silence", "disks", &spec)
    }

    /// The status after a look at an incident with this status, under these silences.
    fn seen(status: &IncidentStatus, silences: &[Silence], now: &str) -> IncidentStatus {
        let mut judged = judge(vec![incident(REPORT, "{}")], "{}");
        judged.status = status.clone();
        let mut whole = (*judged.incident).clone();
        whole.status = Some(status.clone());
        judged.incident = Arc::new(whole);
        judged.now = now.parse().unwrap();
        judged.silence = silences.first().map(|silence| of(silence, judged.now));
        applied(&judged, None)
    }

    fn condition(status: &IncidentStatus) -> (String, String, String) {
        let found = condition::find(&status.conditions, ConditionType::Silenced).unwrap();
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }

    #[test]
    fn a_silenced_incident_names_the_silence_its_owner_reason_and_expiry() {
        let status = seen(&IncidentStatus::default(), &[silence("new disks")], NOW);
        let by = status.silenced.clone().unwrap();
        assert_eq!(
            (by.silence.as_str(), by.owner.as_str(), by.reason.as_str()),
            ("disks", "ada", "new disks")
        );
        let (is, reason, message) = condition(&status);
        assert_eq!((is.as_str(), reason.as_str()), ("True", "SilenceInForce"));
        assert_eq!(
            message,
            "people are not notified of it until 2026-11-22T13:00:00Z: silence disks of ada (new disks)"
        );
        // The same again changes nothing, another reason does.
        assert_eq!(
            seen(&status, &[silence("new disks")], "2026-11-22T12:01:00Z"),
            status
        );
        let other = seen(&status, &[silence("old disks")], "2026-11-22T12:01:00Z");
        let other = other.silenced.unwrap();
        assert_eq!((other.reason.as_str(), other.since), ("old disks", by.since));
    }

    #[test]
    fn when_a_silence_ends_while_an_incident_is_open_it_is_said_what_was_withheld() {
        let silenced = seen(&IncidentStatus::default(), &[silence("x")], NOW);
        let over = seen(&silenced, &[], "2026-11-22T13:00:00Z");
        assert_eq!(over.silenced, None);
        let (is, reason, message) = condition(&over);
        assert_eq!((is.as_str(), reason.as_str()), ("False", "SilenceEnded"));
        assert_eq!(
            message,
            "silence disks of ada is over: people were not notified since 2026-11-22T12:00:00Z of RECEIVED"
        );
        let last = over.timeline.last().unwrap();
        assert_eq!((last.status, &last.message), (Stage::Received, &message));
        assert_eq!(seen(&over, &[], "2026-11-22T13:01:00Z"), over, "once");
    }

    #[test]
    fn what_ended_under_a_silence_keeps_its_mark_and_is_never_said() {
        let mut ended = seen(&IncidentStatus::default(), &[silence("x")], NOW);
        ended.phase = aegis_api::Phase::Resolved;
        ended.finished_at = Some(NOW.parse().unwrap());
        assert_eq!(seen(&ended, &[], "2026-11-22T14:00:00Z").silenced, ended.silenced);
    }

    #[test]
    fn i12_an_incident_without_a_silence_has_no_mark_and_a_restless_silence_pushes_nothing_out() {
        let mut status = seen(&IncidentStatus::default(), &[], NOW);
        assert!(condition::find(&status.conditions, ConditionType::Silenced).is_none());
        for _ in 0..300 {
            status = seen(&status, &[silence("x")], NOW);
            status = seen(&status, &[], NOW);
        }
        assert!(status.timeline.len() < 40, "{}", status.timeline.len());
    }
}
