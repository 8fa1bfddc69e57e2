//! What was folded instead of sent, in quiet hours or a storm: counted, and reported as one message after it. Pure.

use std::collections::BTreeMap;

use aegis_api::incident::Stage;
use serde::{Deserialize, Serialize};

/// Most incidents that are counted one by one; beyond it they are counted together.
const INCIDENTS: usize = 2_048;
/// Most workloads that a digest names.
const NAMED: usize = 10;

/// What was folded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// Messages.
    messages: u64,
    /// By the incident's uid: its subject, and the last stage that was folded.
    incidents: BTreeMap<String, (String, Stage)>,
    /// Messages of incidents beyond [`INCIDENTS`].
    others: u64,
}

impl Digest {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether something of this incident was folded.
    pub(crate) fn holds(&self, uid: &str) -> bool {
        self.incidents.contains_key(uid)
    }

    /// Folds one message.
    pub(crate) fn add(&mut self, uid: &str, subject: &str, stage: Stage) {
        self.messages += 1;
        if let Some(known) = self.incidents.get_mut(uid) {
            known.1 = stage;
        } else if self.incidents.len() < INCIDENTS {
            let subject = subject.chars().take(128).collect();
            self.incidents.insert(uid.to_owned(), (subject, stage));
        } else {
            self.others += 1;
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
    fn it_is_bounded_and_counts_what_is_over_the_bound() {
        let mut digest = Digest::default();
        for number in 0..INCIDENTS + 7 {
            digest.add(&number.to_string(), &"x".repeat(10_000), Stage::Received);
        }
        assert!(digest.words().contains("7 messages about further incidents"));
        assert!(serde_json::to_string(&digest).unwrap().len() < 512 * 1024);
    }
}
