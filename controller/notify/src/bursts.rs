//! Incidents whose alerts still come, one closely after the other: people are notified of how they stand when the burst is over.
//! The first message waits for nothing, neither does an end, nor what requires a person. Remediation knows nothing of this. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_api::Incident;
use aegis_api::incident::Phase;
use tokio::time::Instant;

/// Most bursts that are known at a time; of more nothing waits.
const MOST: usize = 1024;

/// How close alerts of one burst are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closeness {
    /// A burst is over when nothing came for so long. Zero: there are no bursts.
    pub quiet: Duration,
    /// And at the latest so long after it began.
    pub longest: Duration,
}

#[derive(Debug)]
struct Burst {
    began: Instant,
    /// When the newest alert came that was folded into it; `None`: none has.
    last: Option<Instant>,
    /// How many had been folded, and the newest of them.
    folded: (usize, Option<String>),
    /// Whether it goes on, and requires no person.
    waits: bool,
    /// Whether people were notified of it.
    is_known: bool,
}

/// The bursts that go on, by the incident's uid.
#[derive(Debug)]
pub(crate) struct Bursts {
    closeness: Closeness,
    all: BTreeMap<String, Burst>,
}

impl Bursts {
    pub(crate) fn new(closeness: Closeness) -> Self {
        Self {
            closeness,
            all: BTreeMap::new(),
        }
    }

    /// Takes in how an incident stands. What is seen for the first time begins a burst if it `is_new`.
    pub(crate) fn note(&mut self, uid: &str, incident: &Incident, is_new: bool, now: Instant) {
        let phase = incident.status.as_ref().map(|status| status.phase);
        let waits = !phase.is_some_and(|phase| phase.is_end() || phase == Phase::AwaitingApproval);
        let joined = &incident.spec.source.joined;
        let folded = (joined.len(), joined.last().map(|alert| alert.incident_id.clone()));
        if let Some(burst) = self.all.get_mut(uid) {
            if burst.folded != folded {
                burst.last = Some(now);
                burst.folded = folded;
            }
            burst.waits = waits;
            return;
        }
        if !is_new || self.closeness.quiet.is_zero() {
            return;
        }
        let closeness = self.closeness;
        self.all.retain(|_, burst| now < burst.began + closeness.longest);
        if self.all.len() < MOST {
            let burst = Burst {
                began: now,
                last: None,
                folded,
                waits,
                is_known: false,
            };
            self.all.insert(uid.to_owned(), burst);
        }
    }

    /// A message about this incident was taken.
    pub(crate) fn posted(&mut self, uid: &str) {
        if let Some(burst) = self.all.get_mut(uid) {
            burst.is_known = true;
        }
    }

    /// Until when messages about this incident wait.
    pub(crate) fn until(&self, uid: &str, now: Instant) -> Option<Instant> {
        let burst = self.all.get(uid).filter(|burst| burst.waits && burst.is_known)?;
        let quiet = burst.last? + self.closeness.quiet;
        let until = quiet.min(burst.began + self.closeness.longest);
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::incident::{JoinedAlert, Stage};

    use super::*;
    use crate::card::tests::incident;

    const CLOSE: Closeness = Closeness {
        quiet: Duration::from_secs(5),
        longest: Duration::from_secs(30),
    };

    fn with(folded: usize, stages: &[Stage]) -> Incident {
        let mut incident = incident("a", "a leak", stages);
        if stages.last() == Some(&Stage::AwaitingApproval) {
            incident.status.as_mut().unwrap().phase = Phase::AwaitingApproval;
        }
        let alert = |number: usize| JoinedAlert {
            incident_id: number.to_string(),
            ..JoinedAlert::default()
        };
        // As the server bounds them: the newest last.
        let first = folded.saturating_sub(20);
        incident.spec.source.joined = (first..folded).map(alert).collect();
        incident
    }

    #[test]
    fn people_wait_for_the_end_of_a_burst_and_no_longer_than_the_longest() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut bursts = Bursts::new(CLOSE);
        let open = [Stage::Received, Stage::Analysing];
        bursts.note("a", &with(0, &open), true, at(0));
        assert_eq!(bursts.until("a", at(1)), None, "one alert is no burst");
        bursts.note("a", &with(1, &open), false, at(2));
        assert_eq!(bursts.until("a", at(3)), None, "no person knows of it yet");
        bursts.posted("a");
        assert_eq!(bursts.until("a", at(3)), Some(at(7)));
        assert_eq!(bursts.until("a", at(7)), None, "it is over");
        // How it stands has changed, no alert came.
        bursts.note("a", &with(1, &open), false, at(4));
        assert_eq!(bursts.until("a", at(4)), Some(at(7)));
        for second in 5..40 {
            bursts.note(
                "a",
                &with(usize::try_from(second).unwrap(), &open),
                false,
                at(second),
            );
        }
        assert_eq!(
            bursts.until("a", at(29)),
            Some(at(30)),
            "also where the list is full"
        );
        assert_eq!(bursts.until("a", at(30)), None);
        assert_eq!(bursts.until("another", at(3)), None);
    }

    #[test]
    fn neither_an_end_waits_nor_what_requires_a_person_nor_what_is_older() {
        let begin = Instant::now();
        for stages in [
            &[Stage::Received, Stage::Resolved][..],
            &[Stage::Received, Stage::Failed],
            &[Stage::Received, Stage::AwaitingApproval],
        ] {
            let mut bursts = Bursts::new(CLOSE);
            bursts.note("a", &with(0, &[Stage::Received]), true, begin);
            bursts.note("a", &with(1, &[Stage::Received]), false, begin);
            bursts.posted("a");
            assert!(bursts.until("a", begin).is_some());
            bursts.note("a", &with(1, stages), false, begin);
            assert_eq!(bursts.until("a", begin), None, "{stages:?}");
        }
        let mut bursts = Bursts::new(CLOSE);
        bursts.note("old", &with(3, &[Stage::Received]), false, begin);
        bursts.note("old", &with(4, &[Stage::Received]), false, begin);
        bursts.posted("old");
        assert_eq!(bursts.until("old", begin), None);
        let none = Closeness {
            quiet: Duration::ZERO,
            ..CLOSE
        };
        let mut bursts = Bursts::new(none);
        bursts.note("a", &with(0, &[Stage::Received]), true, begin);
        bursts.note("a", &with(1, &[Stage::Received]), false, begin);
        bursts.posted("a");
        assert_eq!(bursts.until("a", begin), None, "switched off");
    }

    #[test]
    fn i12_the_bursts_that_are_known_are_bounded() {
        let begin = Instant::now();
        let mut bursts = Bursts::new(CLOSE);
        for number in 0..2 * MOST {
            bursts.note(&number.to_string(), &with(0, &[Stage::Received]), true, begin);
        }
        assert_eq!(bursts.all.len(), MOST);
        let later = begin + CLOSE.longest;
        bursts.note("later", &with(0, &[Stage::Received]), true, later);
        assert_eq!(bursts.all.len(), 1, "those that are over have gone");
    }
}
