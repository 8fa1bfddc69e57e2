//! Conditions in the Kubernetes convention: one row a type, `lastTransitionTime` moves only with `status`. Pure.
//!
//! They are set and looked up by [`ConditionType`] and [`Reason`], and stored as the strings that Kubernetes has there.

mod vocabulary;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
pub use vocabulary::{ConditionType, Reason};

use crate::scalar::Time;

/// The longest message a condition carries, in characters; the rest is cut with an ellipsis.
const MESSAGE_LIMIT: usize = 1024;

/// The conditions of one object, as they are set at one moment.
#[derive(Debug)]
pub struct Conditions<'a> {
    all: &'a mut Vec<Condition>,
    generation: Option<i64>,
    now: Time,
}

impl<'a> Conditions<'a> {
    /// Those of an object, of which this generation was observed now.
    pub fn at(all: &'a mut Vec<Condition>, generation: Option<i64>, now: Time) -> Self {
        Self { all, generation, now }
    }

    /// Sets one. `lastTransitionTime` is kept unless the status changes.
    pub fn set(
        &mut self,
        kind: ConditionType,
        status: bool,
        reason: Reason,
        message: impl Into<String>,
    ) -> &mut Self {
        let status = if status { "True" } else { "False" };
        let mut message: String = message.into();
        if let Some((cut, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
            message.truncate(cut);
            message.push('…');
        }
        let reason = reason.as_str().to_owned();
        match self.all.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) => {
                if condition.status != status {
                    status.clone_into(&mut condition.status);
                    condition.last_transition_time = self.now.meta();
                }
                condition.reason = reason;
                condition.message = message;
                condition.observed_generation = self.generation;
            }
            None => self.all.push(Condition {
                type_: kind.as_str().to_owned(),
                status: status.to_owned(),
                reason,
                message,
                observed_generation: self.generation,
                last_transition_time: self.now.meta(),
            }),
        }
        self
    }

    /// Takes one away, where it says nothing any more.
    pub fn remove(&mut self, kind: ConditionType) -> &mut Self {
        self.all.retain(|condition| condition.type_ != kind);
        self
    }

    /// The condition of this type, if it was ever set.
    pub fn find(&self, kind: ConditionType) -> Option<&Condition> {
        find(self.all, kind)
    }

    /// Whether the condition of this type is `True`.
    pub fn is_true(&self, kind: ConditionType) -> bool {
        is_true(self.all, kind)
    }
}

/// The condition of this type, if it was ever set.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of this type is `True` for this reason.
pub fn is_true_for(conditions: &[Condition], kind: ConditionType, reason: Reason) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True" && condition.reason == reason)
}

/// Whether the condition of this type is `True`.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_unique_and_is_read_as_it_is_written() {
        let types: BTreeSet<&str> = ConditionType::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(types.len(), ConditionType::ALL.len());
        for kind in ConditionType::ALL {
            assert_eq!(ConditionType::parse(kind.as_str()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let reasons: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(reasons.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_word_of_another_version_is_read_as_none_and_kept() {
        assert_eq!(Reason::parse("OfALaterVersion"), None);
        assert_eq!(ConditionType::parse("ready"), None);
        let stored = r#"[{"type": "Later", "status": "True", "reason": "OfALaterVersion", "message": "",
            "lastTransitionTime": "2026-11-22T12:00:00Z"}]"#;
        let mut conditions: Vec<Condition> = serde_json::from_str(stored).unwrap();
        let now = "2026-11-22T13:00:00Z".parse().unwrap();
        Conditions::at(&mut conditions, Some(1), now).set(ConditionType::Ready, true, Reason::Ready, "");
        let kept = (&*conditions[0].type_, &*conditions[0].reason);
        assert_eq!(kept, ("Later", "OfALaterVersion"));
        assert!(is_true_for(&conditions, ConditionType::Ready, Reason::Ready));
    }

    #[test]
    fn the_transition_moves_with_the_status_alone() {
        let mut conditions = Vec::new();
        let (first, later): (Time, Time) = (
            "2026-11-22T12:00:00Z".parse().unwrap(),
            "2026-11-22T13:00:00Z".parse().unwrap(),
        );
        Conditions::at(&mut conditions, Some(1), first).set(
            ConditionType::Ready,
            false,
            Reason::Unhealthy,
            "a",
        );
        Conditions::at(&mut conditions, Some(2), later).set(
            ConditionType::Ready,
            false,
            Reason::Deleting,
            "b",
        );
        let ready = find(&conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.last_transition_time, first.meta());
        assert_eq!(
            (ready.reason.as_str(), ready.observed_generation),
            ("Deleting", Some(2))
        );
        Conditions::at(&mut conditions, Some(2), later).set(
            ConditionType::Ready,
            true,
            Reason::Ready,
            "x".repeat(2000),
        );
        let ready = find(&conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.last_transition_time, later.meta());
        assert_eq!(ready.message.chars().count(), MESSAGE_LIMIT + 1);
    }
}
