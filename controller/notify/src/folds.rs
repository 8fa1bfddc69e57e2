//! When what was folded is reported: after the quiet hours of the workload it is about, and after a storm, or within one that
//! goes on for long. Pure but for the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::Incident;
use tokio::time::Instant;

use crate::card;
use crate::digest::Digest;
use crate::story::line;

/// How long a storm may go on before what was folded so far is reported.
const LONG: Duration = Duration::from_secs(5 * 60);
/// Most subjects whose policies are asked whether it is quiet; for further ones it is not.
const SUBJECTS: usize = 256;

/// What is in the digest, and since when.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    /// By subject, an incident whose policy says whether it is quiet.
    incidents: BTreeMap<String, Arc<Incident>>,
    /// Since when something is folded that no digest has reported.
    since: Option<Instant>,
}

impl Folds {
    /// What a digest names the messages about an incident by.
    pub(crate) fn subject(incident: &Incident) -> String {
        Digest::subject(&line(&card::subject(incident)))
    }

    /// Remembers an incident of which something is folded.
    pub(crate) fn remember(&mut self, incident: &Arc<Incident>, now: Instant) {
        self.since.get_or_insert(now);
        let subject = Self::subject(incident);
        if self.incidents.len() < SUBJECTS || self.incidents.contains_key(&subject) {
            self.incidents.insert(subject, Arc::clone(incident));
        }
    }

    /// Takes out of the digest what is to be reported now; nothing where nothing is.
    pub(crate) fn take_due(
        &mut self,
        digest: &mut Digest,
        is_quiet: impl Fn(&Arc<Incident>) -> bool,
        storm: bool,
        now: Instant,
    ) -> Option<Digest> {
        let long = self.since.is_some_and(|since| now.duration_since(since) >= LONG);
        if digest.is_empty() || (storm && !long) {
            return None;
        }
        let due = digest.take(|subject| !self.incidents.get(subject).is_some_and(&is_quiet));
        if due.is_empty() {
            return None;
        }
        self.incidents.retain(|subject, _| digest.is_about(subject));
        self.since = None;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::incident::Stage;

    use super::*;
    use crate::card::tests::incident;

    fn of(uid: &str, workload: &str) -> Arc<Incident> {
        let mut incident = incident(uid, "x", &[Stage::Received]);
        incident.spec.workload_ref = Some(workload.parse().unwrap());
        incident.status.as_mut().unwrap().workload = Some(workload.parse().unwrap());
        Arc::new(incident)
    }

    fn folded(incidents: &[Arc<Incident>], now: Instant) -> (Folds, Digest) {
        let (mut folds, mut digest) = (Folds::default(), Digest::default());
        for incident in incidents {
            let uid = incident.metadata.uid.as_deref().unwrap();
            digest.add(uid, &Folds::subject(incident), Stage::Received);
            folds.remember(incident, now);
        }
        (folds, digest)
    }

    #[test]
    fn each_workloads_quiet_hours_hold_back_what_is_about_it_alone() {
        let now = Instant::now();
        let (mut folds, mut digest) = folded(&[of("a", "web"), of("b", "db")], now);
        let is_quiet =
            |name: &'static str| move |incident: &Arc<Incident>| Folds::subject(incident).contains(name);
        let due = folds.take_due(&mut digest, is_quiet("web"), false, now).unwrap();
        assert!(due.holds("b") && !due.holds("a"), "{due:?}");
        assert_eq!(folds.take_due(&mut digest, is_quiet("web"), false, now), None);
        let due = folds.take_due(&mut digest, is_quiet("db"), false, now).unwrap();
        assert!(due.holds("a"), "{due:?}");
        assert!(digest.is_empty());
    }

    #[test]
    fn a_storm_that_goes_on_is_reported_every_five_minutes() {
        let now = Instant::now();
        let (mut folds, mut digest) = folded(&[of("a", "web")], now);
        let loud = |_: &Arc<Incident>| false;
        let mut due = |folds: &mut Folds, after: Duration| {
            folds.take_due(&mut digest, loud, true, now + after).is_some()
        };
        assert!(!due(&mut folds, LONG.saturating_sub(Duration::from_secs(1))));
        assert!(due(&mut folds, LONG));
        assert!(!due(&mut folds, LONG * 3), "nothing was folded since");
        digest.add("a", "web", Stage::Resolved);
        folds.remember(&of("a", "web"), now + LONG * 3);
        assert_eq!(folds.take_due(&mut digest, loud, true, now + LONG * 3), None);
        assert!(folds.take_due(&mut digest, loud, true, now + LONG * 4).is_some());
    }

    #[test]
    fn many_subjects_are_bounded_and_all_are_reported() {
        let now = Instant::now();
        let many: Vec<_> = (0..SUBJECTS + 9)
            .map(|n| of(&n.to_string(), &format!("w-{n}")))
            .collect();
        let (mut folds, mut digest) = folded(&many, now);
        assert_eq!(folds.incidents.len(), SUBJECTS);
        let due = folds.take_due(&mut digest, |_| true, false, now).unwrap();
        assert_eq!(due.messages(), 9);
        let due = folds.take_due(&mut digest, |_| false, false, now).unwrap();
        assert_eq!(due.messages(), u64::try_from(SUBJECTS).unwrap());
        assert!(folds.incidents.is_empty());
    }
}
