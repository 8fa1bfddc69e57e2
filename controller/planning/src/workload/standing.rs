//! What a container is beside what its workload's spec says: current, of an earlier revision, or due for a restart; and
//! why it is on its way out. Worked out once, in validate; everything else reads it. Pure.

use aegis_api::workload::{InstanceStatus, Leaving};
use aegis_api::{Time, WorkloadSpec};

/// How a container stands to what is desired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// As desired.
    #[default]
    Current,
    /// A replica of another revision than the workload's: it is replaced, whatever else is due.
    Outdated,
    /// It runs from before `spec.restartedAt`, and can be restarted: one that could not be started again is left as it is,
    /// and said so.
    RestartDue,
}

/// What decides how a container stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// The spec asks to restart it, whether or not that is possible.
    pub restart_asked: bool,
    /// Nothing speaks against a restart, or it does not run anyway.
    pub restart_possible: bool,
    /// It is a replica of another revision.
    pub is_outdated: bool,
}

impl Facts {
    fn restart_is_due(self) -> bool {
        self.restart_asked && self.restart_possible
    }

    pub(super) fn standing(self) -> Standing {
        match (self.is_outdated, self.restart_is_due()) {
            (true, _) => Standing::Outdated,
            (false, true) => Standing::RestartDue,
            (false, false) => Standing::Current,
        }
    }

    /// Why a container is on its way out since an earlier pass, if the reason still holds.
    pub(super) fn leaving(self, row: Option<&InstanceStatus>) -> Option<Leaving> {
        // One that does not say why goes for good.
        let why = row
            .filter(|row| row.draining)?
            .leaving
            .unwrap_or(Leaving::ScaleIn);
        let holds = match why {
            Leaving::Restart => self.restart_is_due(),
            Leaving::Rollout => self.is_outdated,
            Leaving::ScaleIn | Leaving::Unhealthy => true,
        };
        holds.then_some(why)
    }
}

/// Whether a container still runs from before the instant at which all were to be restarted.
pub(super) fn restart_asked(spec: &WorkloadSpec, started_at: Option<Time>, now: Time) -> bool {
    match (spec.restarted_at, started_at) {
        (Some(wanted), Some(started)) => started < wanted && wanted <= now,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(restart_asked: bool, restart_possible: bool, is_outdated: bool) -> Facts {
        Facts {
            restart_asked,
            restart_possible,
            is_outdated,
        }
    }

    #[test]
    fn what_is_outdated_is_replaced_and_what_cannot_be_started_again_is_left_as_it_is() {
        for (facts, standing) in [
            (facts(false, true, false), Standing::Current),
            (facts(true, true, false), Standing::RestartDue),
            (facts(true, false, false), Standing::Current),
            (facts(false, true, true), Standing::Outdated),
            (facts(true, true, true), Standing::Outdated),
        ] {
            assert_eq!(facts.standing(), standing, "{facts:?}");
        }
    }

    #[test]
    fn a_container_leaves_as_long_as_its_reason_holds() {
        let row = |leaving| {
            let row = serde_json::json!({"name": "web", "id": "i", "index": 1, "state": "running", "health": "Healthy",
                "revision": "r", "draining": true, "leaving": leaving});
            serde_json::from_value::<InstanceStatus>(row).unwrap()
        };
        let (restart, outdated, current) = (
            facts(true, true, false),
            facts(false, true, true),
            facts(false, true, false),
        );
        for (facts, leaving, left) in [
            (restart, Some(Leaving::Restart), Some(Leaving::Restart)),
            (current, Some(Leaving::Restart), None),
            (outdated, Some(Leaving::Rollout), Some(Leaving::Rollout)),
            (restart, Some(Leaving::Rollout), None),
            (
                facts(true, true, true),
                Some(Leaving::Restart),
                Some(Leaving::Restart),
            ),
            (current, Some(Leaving::ScaleIn), Some(Leaving::ScaleIn)),
            (current, Some(Leaving::Unhealthy), Some(Leaving::Unhealthy)),
            (current, None, Some(Leaving::ScaleIn)),
        ] {
            assert_eq!(facts.leaving(Some(&row(leaving))), left, "{facts:?} {leaving:?}");
        }
        assert_eq!(current.leaving(None), None);
        let stays = InstanceStatus {
            draining: false,
            ..row(Some(Leaving::ScaleIn))
        };
        assert_eq!(current.leaving(Some(&stays)), None);
    }
}
