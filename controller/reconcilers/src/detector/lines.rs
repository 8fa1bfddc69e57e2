//! How many log lines of now report an error, or match a pattern: read seldom, since reading a log costs the engine. Does
//! I/O through the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::detector::compiled;
use aegis_api::{ContainerId, Time};
use aegis_brain::reports_error;
use aegis_docker::{Engine, EngineResult, LogQuery};
use futures::StreamExt;

use crate::inspect::undated;

/// How long a count is good for.
const EVERY: Duration = Duration::from_secs(15);
/// How long a log may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Lines that are read, from the end.
const MOST_LINES: u32 = 1000;
/// Counts that are kept.
const MOST: usize = 4096;

/// What is counted in one container's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    id: ContainerId,
    /// Lines that report an error, where there is no pattern.
    pattern: Option<String>,
    /// Lines of before do not count.
    acted_at: Option<Time>,
}

/// When each was last read, and how many lines there were.
type Counts = HashMap<Query, (Time, Option<u32>)>;

/// The counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Counts>>);

impl Lines {
    /// Lines since then; `None` where they could not be read.
    pub(super) async fn count(
        &self,
        engine: &dyn Engine,
        id: &ContainerId,
        pattern: Option<&str>,
        (since, acted_at, now): (Time, Option<Time>, Time),
    ) -> Option<u32> {
        let query = Query {
            id: id.clone(),
            pattern: pattern.map(str::to_owned),
            acted_at,
        };
        let known = self.with(|counts| counts.get(&query).copied());
        if let Some((at, count)) = known
            && at.apart(now) < EVERY
        {
            return count;
        }
        let read = tokio::time::timeout(WITHIN, read(engine, id, pattern, since)).await;
        let count = read.ok().and_then(Result::ok).flatten();
        self.with(|counts| {
            keep(counts, query, (now, count), MOST);
        });
        count
    }

    fn with<T>(&self, f: impl FnOnce(&mut Counts) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a count, and `most` at the most: where as many are young, the older half goes, so that it is looked for once for
/// many that come.
fn keep(counts: &mut Counts, query: Query, count: (Time, Option<u32>), most: usize) {
    let now = count.0;
    if counts.len() >= most && !counts.contains_key(&query) {
        counts.retain(|_, (at, _)| at.apart(now) < EVERY);
        if counts.len() > most / 2 {
            let mut ages: Vec<Time> = counts.values().map(|(at, _)| *at).collect();
            ages.sort_unstable();
            let mut left = ages.len() / 2;
            let newest_to_go = ages.get(left.saturating_sub(1)).copied();
            counts.retain(|_, (at, _)| {
                let goes = left > 0 && newest_to_go.is_some_and(|newest| *at <= newest);
                left = left.saturating_sub(usize::from(goes));
                !goes
            });
        }
    }
    counts.insert(query, count);
}

async fn read(
    engine: &dyn Engine,
    id: &str,
    pattern: Option<&str>,
    since: Time,
) -> EngineResult<Option<u32>> {
    let pattern = match pattern.map(compiled) {
        Some(Ok(pattern)) => Some(pattern),
        // Validation refuses it.
        Some(Err(_)) => return Ok(None),
        None => None,
    };
    let query = LogQuery {
        tail: MOST_LINES,
        follow: false,
        timestamps: true,
        since: since.unix_seconds(),
    };
    let mut lines = engine.logs(id, query).await?;
    let mut count = 0_u32;
    while let Some(line) = lines.next().await {
        let line = line?;
        let (at, text) = undated(&line.text);
        let hits = match &pattern {
            Some(pattern) => pattern.is_match(text),
            None => reports_error(text),
        };
        // A line without a date is not of now.
        if hits && at.is_some_and(|at| at >= since) {
            count = count.saturating_add(1);
        }
    }
    Ok(Some(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_all_young_stay_within_their_bound_and_the_newest_stay() {
        let mut counts = Counts::new();
        let query = |nth: u64| Query {
            id: ContainerId::from(nth.to_string()),
            pattern: None,
            acted_at: None,
        };
        let start: Time = "2026-11-28T10:00:00Z".parse().unwrap();
        // One after the other, and then as many at one moment.
        for nth in 0..200 {
            let at = start.plus(aegis_api::Duration::from_secs(nth.min(100)));
            keep(&mut counts, query(nth), (at, Some(1)), 8);
            assert!(counts.len() <= 8, "{}", counts.len());
            assert!(counts.contains_key(&query(nth)));
            let is_before = nth > 0 && nth <= 100;
            assert!(
                !is_before || counts.contains_key(&query(nth.saturating_sub(1))),
                "{nth}"
            );
        }
    }
}
