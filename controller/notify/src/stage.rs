//! Which entries of an incident's timeline people have not been notified of yet. Pure: a mark names the last entry that
//! was posted, and what stands behind it is news. The timeline drops its oldest entries, so a mark is no position.

use aegis_api::Time;
use aegis_api::incident::TimelineEntry;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The last entry of a timeline that was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When it was entered.
    ts: Time,
    /// SHA-256 over stage, seat and message, the first 16 hexadecimal characters.
    digest: String,
}

impl Mark {
    pub(crate) fn of(entry: &TimelineEntry) -> Self {
        let mut hash = Sha256::new();
        hash.update(entry.status.as_str());
        hash.update([0]);
        hash.update(entry.agent.map_or("", |seat| seat.as_str()));
        hash.update([0]);
        hash.update(&entry.message);
        let digest = hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { ts: entry.ts, digest }
    }

    /// As part of an id.
    pub(crate) fn words(&self) -> String {
        format!("{}-{}", self.ts.0.as_microsecond(), self.digest)
    }
}

/// The entries behind the mark, oldest first; all of them without one. Where the marked entry is no longer listed, those
/// that are younger.
pub(crate) fn news<'a>(timeline: &'a [TimelineEntry], mark: Option<&Mark>) -> &'a [TimelineEntry] {
    let Some(mark) = mark else {
        return timeline;
    };
    let found = timeline.iter().rposition(|entry| Mark::of(entry) == *mark);
    let start = match found {
        Some(index) => index + 1,
        None => timeline
            .iter()
            .position(|entry| entry.ts > mark.ts)
            .unwrap_or(timeline.len()),
    };
    timeline.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aegis_api::incident::Stage;

    use super::*;

    fn entry(second: i64, status: Stage) -> TimelineEntry {
        TimelineEntry {
            ts: Time(jiff::Timestamp::from_second(second).unwrap()),
            status,
            message: format!("{status:?}"),
            agent: None,
        }
    }

    #[test]
    fn what_stands_behind_the_mark_is_news() {
        let timeline = [
            entry(1, Stage::Received),
            entry(1, Stage::Analysing),
            entry(1, Stage::AiComplete),
        ];
        assert_eq!(news(&timeline, None).len(), 3);
        assert_eq!(news(&timeline, Some(&Mark::of(&timeline[1]))), &timeline[2..]);
        assert!(news(&timeline, Some(&Mark::of(&timeline[2]))).is_empty());
    }

    #[test]
    fn a_mark_that_fell_off_the_timeline_counts_by_its_time() {
        let posted = entry(1, Stage::Received);
        let timeline = [entry(1, Stage::Held), entry(2, Stage::Analysing)];
        assert_eq!(news(&timeline, Some(&Mark::of(&posted))), &timeline[1..]);
    }
}
