//! What was folded instead of sent, in quiet hours or a storm: counted, and reported as one message after it. Pure.

use std::collections::BTreeMap;

use aegis_api::incident::Stage;
use serde::{Deserialize, Serialize};

/// Most incidents that are counted one by one; beyond it they are counted together.
const INCIDENTS: usize = 2_048;
/// Most workloads that a digest names.
const NAMED: usize = 10;
/// Longest subject, characters.
const SUBJECT: usize = 128;

/// What was folded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// Messages.
    messages: u64,
    /// By the incident's uid: its subject, and the last stage that was folded.
    incidents: BTreeMap<String, (String, Stage)>,
    /// Of these, how many messages, where more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    repeated: BTreeMap<String, u64>,
    /// Messages of incidents beyond [`INCIDENTS`].
    others: u64,
}

impl Digest {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// As much of a subject as a digest names.
    pub(crate) fn subject(whole: &str) -> String {
        whole.chars().take(SUBJECT).collect()
    }

    /// Whether something of this subject was folded.
    pub(crate) fn is_about(&self, subject: &str) -> bool {
        self.incidents.values().any(|(known, _)| known == subject)
    }

    /// Whether something of this incident was folded.
    pub(crate) fn holds(&self, uid: &str) -> bool {
        self.incidents.contains_key(uid)
    }

    /// Folds one message.
    pub(crate) fn add(&mut self, uid: &str, subject: &str, stage: Stage) {
        self.add_all(uid, subject, stage, 1);
    }

    fn add_all(&mut self, uid: &str, subject: &str, stage: Stage, messages: u64) {
        self.messages = self.messages.saturating_add(messages);
        let known = if let Some(known) = self.incidents.get_mut(uid) {
            known.1 = stage;
            self.repeated.get(uid).copied().unwrap_or(1)
        } else if self.incidents.len() < INCIDENTS {
            let subject = Self::subject(subject);
            self.incidents.insert(uid.to_owned(), (subject, stage));
            0
        } else {
            self.others = self.others.saturating_add(messages);
            return;
        };
        let messages = known.saturating_add(messages);
        if messages > 1 {
            self.repeated.insert(uid.to_owned(), messages);
        }
    }

    /// Adds what an earlier one has; of an incident that is in both, the last stage is that of this one.
    pub(crate) fn merge(&mut self, earlier: &Self) {
        for (uid, (subject, stage)) in &earlier.incidents {
            let messages = earlier.repeated.get(uid).copied().unwrap_or(1);
            let last = self.incidents.get(uid).map_or(*stage, |(_, last)| *last);
            self.add_all(uid, subject, last, messages);
        }
        self.others = self.others.saturating_add(earlier.others);
        self.messages = self.messages.saturating_add(earlier.others);
    }

    /// Takes out what is about subjects of which the time has come, and with them what is counted together.
    pub(crate) fn take(&mut self, is_due: impl Fn(&str) -> bool) -> Self {
        let (due, stays) = std::mem::take(&mut self.incidents)
            .into_iter()
            .partition(|(_, (subject, _))| is_due(subject));
        let of = |incidents: &BTreeMap<String, (String, Stage)>, repeated: &BTreeMap<String, u64>| {
            let repeated = repeated.iter().filter(|(uid, _)| incidents.contains_key(*uid));
            repeated.map(|(uid, messages)| (uid.clone(), *messages)).collect()
        };
        let taken = Self::whole(of(&due, &self.repeated), due, self.others);
        *self = Self::whole(of(&stays, &self.repeated), stays, 0);
        taken
    }

    fn whole(
        repeated: BTreeMap<String, u64>,
        incidents: BTreeMap<String, (String, Stage)>,
        others: u64,
    ) -> Self {
        let messages = incidents
            .keys()
            .map(|uid| repeated.get(uid).copied().unwrap_or(1));
        Self {
            messages: messages.fold(others, u64::saturating_add),
            incidents,
            repeated,
            others,
        }
    }

    /// How many messages it stands for.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// In words, human-readable.
    pub(crate) fn words(&self) -> String {
        let count = |wanted: &[Stage]| {
            let folded = self.incidents.values();
            folded.filter(|(_, stage)| wanted.contains(stage)).count()
        };
        let (resolved, failed) = (count(&[Stage::Resolved, Stage::DryRun]), count(&[Stage::Failed]));
        let open = self.incidents.len() - resolved - failed;
        let mut by_subject: BTreeMap<&str, u32> = BTreeMap::new();
        for (subject, _) in self.incidents.values() {
            *by_subject.entry(subject).or_default() += 1;
        }
        let mut busiest: Vec<_> = by_subject.into_iter().collect();
        busiest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let more = busiest.len().saturating_sub(NAMED);
        let mut named: Vec<String> = busiest
            .iter()
            .take(NAMED)
            .map(|(subject, count)| format!("{subject} ({count})"))
            .collect();
        if more > 0 {
            named.push(format!("{more} more workloads"));
        }
        let mut text = format!(
            "Digest: {} messages about {} incidents were folded: {resolved} resolved, {failed} failed, {open} still open when it was written. {}",
            self.messages,
            self.incidents.len(),
            named.join(", ")
        );
        if self.others > 0 {
            text.push_str(&format!(
                ". Beside them {} messages about further incidents",
                self.others
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_folded_is_counted_and_the_last_stage_of_each_incident_counts() {
        let mut digest = Digest::default();
        for (uid, workload) in [("a", "web"), ("b", "web"), ("c", "db")] {
            digest.add(uid, workload, Stage::Received);
        }
        digest.add("a", "web", Stage::Resolved);
        digest.add("c", "db", Stage::Failed);
        let words = digest.words();
        assert!(words.contains("5 messages about 3 incidents"), "{words}");
        assert!(words.contains("1 resolved, 1 failed, 1 still open"), "{words}");
        assert!(words.contains("web (2), db (1)"), "{words}");
    }

    #[test]
    fn what_is_taken_out_and_what_stays_are_all_of_it() {
        let mut digest = Digest::default();
        for (uid, workload) in [("a", "web"), ("b", "db"), ("a", "web"), ("a", "web"), ("c", "db")] {
            digest.add(uid, workload, Stage::Received);
        }
        let none = digest.clone().take(|_| false);
        assert!(none.is_empty(), "{none:?}");
        let taken = digest.take(|subject| subject == "web");
        assert!(
            taken.words().contains("3 messages about 1 incidents"),
            "{}",
            taken.words()
        );
        assert!(
            digest.words().contains("2 messages about 2 incidents"),
            "{}",
            digest.words()
        );
        assert!(digest.holds("b") && !digest.holds("a"));
        assert_eq!(digest.take(|_| true).messages(), 2);
        assert!(digest.is_empty());
    }

    #[test]
    fn what_is_put_back_is_counted_once_and_keeps_the_newer_stage() {
        let (mut digest, mut earlier) = (Digest::default(), Digest::default());
        for stage in [Stage::Received, Stage::Restarted] {
            earlier.add("a", "web", stage);
        }
        earlier.add("b", "db", Stage::Received);
        digest.add("a", "web", Stage::Resolved);
        digest.merge(&earlier);
        let words = digest.words();
        assert!(words.contains("4 messages about 2 incidents"), "{words}");
        assert!(words.contains("1 resolved, 0 failed, 1 still open"), "{words}");
    }

    #[test]
    fn one_that_an_earlier_version_kept_is_read() {
        let kept = r#"{"messages":3,"incidents":{"a":["web","RECEIVED"]},"others":2}"#;
        let mut digest: Digest = serde_json::from_str(kept).unwrap();
        assert_eq!(digest.take(|_| true).messages(), 3);
    }

    #[test]
    fn it_is_bounded_and_counts_what_is_over_the_bound() {
        let mut digest = Digest::default();
        for number in 0..INCIDENTS + 7 {
            digest.add(&number.to_string(), &"x".repeat(10_000), Stage::Received);
        }
        assert!(digest.words().contains("7 messages about further incidents"));
        assert!(serde_json::to_string(&digest).unwrap().len() < 512 * 1024);
    }
}
