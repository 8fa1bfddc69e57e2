//! What was done to the workload lately, and how it turned out. Pure.

use aegis_api::proposal::Action;

use super::{Facts, count};

impl Facts<'_> {
    /// Whether this incident has tried `action` already.
    pub(crate) fn was_tried(self, action: Action) -> bool {
        self.times_tried(action) > 0
    }

    /// How often this incident has tried `action`.
    pub(crate) fn times_tried(self, action: Action) -> u32 {
        count(self.case.tried.iter().filter(|tried| tried.action == action))
    }

    /// How often one incident may try `action`: as often as the ladder of what it can clear names it, else once.
    pub(crate) fn most_tries(self, action: Action) -> u32 {
        let symptoms = self.symptoms();
        let cleared = symptoms.iter().filter(|symptom| self.can_clear(symptom, action));
        let rungs = cleared.map(|symptom| {
            let ladder = symptom.kind.class().ladder().iter();
            count(ladder.filter(|rung| **rung == action))
        });
        rungs.max().unwrap_or_default().max(1)
    }

    /// Whether this incident has tried `action` as often as it may.
    pub(crate) fn is_tried_out(self, action: Action) -> bool {
        self.times_tried(action) >= self.most_tries(action)
    }

    /// How often `action` failed on the workload lately.
    pub(crate) fn failures(self, action: Action) -> u32 {
        let recent = self.evidence().recent_actions.iter();
        count(recent.filter(|recent| recent.action == action && recent.verified == Some(false)))
    }

    /// How often what `action` had cleared came back lately.
    pub(crate) fn relapses(self, action: Action) -> u32 {
        let recent = self.evidence().recent_actions.iter();
        count(recent.filter(|recent| recent.action == action && recent.relapsed))
    }

    /// Whether `action` is what was done last, and it did not help.
    pub(crate) fn just_failed(self, action: Action) -> bool {
        let decided = self
            .evidence()
            .recent_actions
            .iter()
            .rev()
            .find(|recent| recent.verified.is_some());
        decided.is_some_and(|recent| recent.action == action && recent.verified == Some(false))
    }

    /// Whether more replicas were added lately, and that was not enough.
    pub(crate) fn is_overloaded(self) -> bool {
        let more = Action::ScaleUp;
        self.was_tried(more) || self.failures(more) > 0 || self.relapses(more) > 0
    }
}
