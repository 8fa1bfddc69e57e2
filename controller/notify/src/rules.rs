//! Who hears what: the policy's wishes about one incident, and storms. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use aegis_api::Incident;
use aegis_api::incident::{Severity, Stage};
use aegis_api::policy::{NotifyPolicy, NotifyStages, NotifyTo};
use tokio::time::Instant;

use crate::level::Level;

/// More messages than this within [`WITHIN`] to one destination are a storm.
const CALM: usize = 60;
const WITHIN: Duration = Duration::from_secs(60);

/// What the policy of an incident's workload says about notifications at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// The policy's field.
    pub policy: NotifyPolicy,
    /// Whether one of its quiet hours is now.
    pub quiet: bool,
}

/// What becomes of one entry of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It is sent.
    Send,
    /// It is counted in the next digest.
    Fold,
    /// It is not for this destination.
    Never,
}

impl Wishes {
    /// What becomes of an entry at this destination; `level` is what the configuration says, `storm` whether too much is
    /// sent already. Approvals are never folded, nor is the failure of anything; critical incidents are folded in no quiet hour.
    pub(crate) fn hears(
        &self,
        to: Option<NotifyTo>,
        level: Level,
        incident: &Incident,
        stage: Stage,
        storm: bool,
    ) -> Hearing {
        let Some(to) = to else {
            return if level.wants(stage) {
                Hearing::Send
            } else {
                Hearing::Never
            };
        };
        let policy = &self.policy;
        let level = policy.stages.map_or(level, Level::from);
        let addressed = policy.to.is_empty() || policy.to.contains(&to);
        let severity = incident.spec.severity;
        if !addressed || severity < policy.min_severity || !level.wants(stage) {
            return Hearing::Never;
        }
        let urgent = matches!(stage, Stage::AwaitingApproval | Stage::Failed);
        let quiet = self.quiet && severity != Severity::Critical && stage != Stage::AwaitingApproval;
        if quiet || (storm && !urgent) {
            return Hearing::Fold;
        }
        Hearing::Send
    }
}

impl From<NotifyStages> for Level {
    fn from(stages: NotifyStages) -> Self {
        match stages {
            NotifyStages::All => Self::All,
            NotifyStages::Important => Self::Important,
            NotifyStages::End => Self::End,
        }
    }
}

/// Tells a storm from its absence.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// When the latest messages came, sent or folded by it, at most [`CALM`].
    latest: VecDeque<Instant>,
}

impl Storm {
    /// Whether as much as is sent in calm times came within the last minute.
    pub(crate) fn rages(&self, now: Instant) -> bool {
        let first = self.latest.front().filter(|_| self.latest.len() >= CALM);
        first.is_some_and(|first| now.duration_since(*first) < WITHIN)
    }

    pub(crate) fn count(&mut self, now: Instant) {
        self.latest.push_back(now);
        while self.latest.len() > CALM {
            self.latest.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::incident;

    fn hears(wishes: &Wishes, severity: Severity, stage: Stage, storm: bool) -> Hearing {
        let mut incident = incident("a", "x", &[stage]);
        incident.spec.severity = severity;
        wishes.hears(Some(NotifyTo::Slack), Level::Important, &incident, stage, storm)
    }

    fn wishes(policy: NotifyPolicy, quiet: bool) -> Wishes {
        Wishes { policy, quiet }
    }

    #[test]
    fn quiet_hours_fold_all_but_what_is_critical_or_waits_for_a_person() {
        let night = wishes(NotifyPolicy::default(), true);
        assert_eq!(
            hears(&night, Severity::Warning, Stage::Received, false),
            Hearing::Fold
        );
        assert_eq!(
            hears(&night, Severity::Warning, Stage::Failed, false),
            Hearing::Fold
        );
        assert_eq!(
            hears(&night, Severity::Critical, Stage::Received, false),
            Hearing::Send
        );
        assert_eq!(
            hears(&night, Severity::Warning, Stage::AwaitingApproval, false),
            Hearing::Send
        );
    }

    #[test]
    fn a_storm_folds_all_but_failures_and_what_waits_for_a_person() {
        let day = Wishes::default();
        assert_eq!(
            hears(&day, Severity::Critical, Stage::Received, true),
            Hearing::Fold
        );
        assert_eq!(
            hears(&day, Severity::Warning, Stage::Resolved, true),
            Hearing::Fold
        );
        assert_eq!(hears(&day, Severity::Warning, Stage::Failed, true), Hearing::Send);
        assert_eq!(
            hears(&day, Severity::Info, Stage::AwaitingApproval, true),
            Hearing::Send
        );
    }

    #[test]
    fn severity_destination_and_stages_decide_who_hears_it() {
        let grave = NotifyPolicy {
            min_severity: Severity::Critical,
            ..NotifyPolicy::default()
        };
        assert_eq!(
            hears(
                &wishes(grave.clone(), false),
                Severity::Warning,
                Stage::Failed,
                false
            ),
            Hearing::Never
        );
        assert_eq!(
            hears(&wishes(grave, false), Severity::Critical, Stage::Failed, false),
            Hearing::Send
        );
        let mail = NotifyPolicy {
            to: vec![NotifyTo::Email],
            ..NotifyPolicy::default()
        };
        assert_eq!(
            hears(&wishes(mail, false), Severity::Critical, Stage::Failed, false),
            Hearing::Never
        );
        let ends = NotifyPolicy {
            stages: Some(NotifyStages::End),
            ..NotifyPolicy::default()
        };
        assert_eq!(
            hears(&wishes(ends, false), Severity::Critical, Stage::Received, false),
            Hearing::Never
        );
    }

    #[test]
    fn a_storm_is_more_in_a_minute_than_calm_times_have() {
        let (mut storm, now) = (Storm::default(), Instant::now());
        for _ in 0..CALM {
            assert!(!storm.rages(now));
            storm.count(now);
        }
        assert!(storm.rages(now));
        assert!(!storm.rages(now + WITHIN));
    }
}
