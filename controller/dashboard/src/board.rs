//! What is known of the controller: the last look, since when it has been away, and the load of the last minutes. Owns the
//! waiting: the page reads from here and never waits for the controller. Asks through [`Client`], else no I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use crate::chart::SAMPLES;
use crate::client::{Client, Seen};

/// One container's load: percentages, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    pub(crate) cpu: VecDeque<f64>,
    pub(crate) memory: VecDeque<f64>,
}

/// Since when, and why, the controller cannot be asked.
#[derive(Debug, Clone)]
pub(crate) struct Away {
    pub(crate) since: Timestamp,
    pub(crate) why: String,
}

/// What is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The last look that succeeded.
    pub(crate) seen: Option<(Timestamp, Arc<Seen>)>,
    pub(crate) away: Option<Away>,
    pub(crate) load: HashMap<String, Load>,
}

/// The one place where it is kept.
#[derive(Debug, Default)]
pub(crate) struct Board {
    known: RwLock<Known>,
}

impl Board {
    pub(crate) fn known(&self) -> Known {
        // Nothing that runs under this lock can leave it half done.
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what a poll brought.
    pub(crate) fn take(&self, fetched: anyhow::Result<Seen>, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(seen) => known.saw(seen, now),
            Err(error) => known.missed(format!("{error:#}"), now),
        }
    }
}

impl Known {
    fn saw(&mut self, seen: Seen, now: Timestamp) {
        if self.away.take().is_some() {
            tracing::info!("the controller answers again");
        }
        let there = |name: &String| seen.metrics.iter().any(|metrics| metrics.name == *name);
        self.load.retain(|name, _| there(name));
        for metrics in &seen.metrics {
            let load = self.load.entry(metrics.name.clone()).or_default();
            push(&mut load.cpu, metrics.cpu_percent);
            push(&mut load.memory, metrics.memory_percent);
        }
        self.seen = Some((now, Arc::new(seen)));
    }

    fn missed(&mut self, why: String, now: Timestamp) {
        if self.away.as_ref().is_none_or(|away| away.why != why) {
            tracing::warn!("the controller is away: {why}");
        }
        let since = self.away.as_ref().map_or(now, |away| away.since);
        self.away = Some(Away { since, why });
    }
}

fn push(samples: &mut VecDeque<f64>, sample: f64) {
    if samples.len() >= SAMPLES {
        samples.pop_front();
    }
    samples.push_back(sample);
}

/// Polls the controller.
pub(crate) async fn keep(board: Arc<Board>, client: Client, interval: Duration) {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let fetched = client.fetch().await;
        board.take(fetched, Timestamp::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::{at, seen};

    #[test]
    fn a_controller_that_is_away_is_away_since_the_first_miss_and_its_last_state_stays() {
        let board = Board::default();
        board.take(Ok(seen()), at(0));
        board.take(Err(anyhow::anyhow!("refused")), at(5));
        board.take(Err(anyhow::anyhow!("no route")), at(10));
        let known = board.known();
        let away = known.away.unwrap();
        assert_eq!((away.since, away.why.as_str()), (at(5), "no route"));
        assert_eq!(known.seen.unwrap().0, at(0));
        board.take(Ok(seen()), at(15));
        let known = board.known();
        assert!(known.away.is_none());
        assert_eq!(known.seen.unwrap().0, at(15));
    }

    #[test]
    fn the_load_is_bounded_and_goes_with_its_container() {
        let board = Board::default();
        for second in 0..200 {
            board.take(Ok(seen()), at(second));
        }
        assert_eq!(board.known().load["web"].cpu.len(), SAMPLES);
        let mut empty = seen();
        empty.metrics.clear();
        board.take(Ok(empty), at(200));
        assert!(board.known().load.is_empty());
    }
}
