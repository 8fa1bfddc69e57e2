//! What the targets requested within the stabilisation windows: scaling out follows the lowest answer of its window, scaling
//! in the highest. In memory only; the first answer is what is there. Pure.

use std::collections::VecDeque;

use aegis_api::workload::autoscale::Autoscale;
use aegis_api::{Duration, Time};

/// Stretches that are kept, of 32 bytes each: beyond, the two oldest become one, which scales less.
const MOST: usize = 1024;

/// A stretch of time in which the answers were within these.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    until: Time,
    lowest: u32,
    highest: u32,
}

/// The answers of the longest window. At most 32 KiB.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Windows(VecDeque<Stretch>);

impl Windows {
    /// Adds an answer, and forgets what no window reaches any more.
    pub(super) fn record(&mut self, now: Time, replicas: u32, answer: u32, spec: &Autoscale) {
        // A clock that was set back leaves nothing of a time to come.
        while self.0.back().is_some_and(|last| last.until > now) {
            self.0.pop_back();
        }
        if self.0.is_empty() {
            self.push(now, replicas);
        }
        self.push(now, answer);
        let longest = spec.scale_up_window.max(spec.scale_down_window).std();
        while self.0.front().is_some_and(|first| first.until.age(now) > longest) && self.0.len() > 1 {
            self.0.pop_front();
        }
        if self.0.len() > MOST
            && let Some(oldest) = self.0.pop_front()
            && let Some(next) = self.0.front_mut()
        {
            next.lowest = next.lowest.min(oldest.lowest);
            next.highest = next.highest.max(oldest.highest);
        }
    }

    fn push(&mut self, now: Time, answer: u32) {
        match self.0.back_mut() {
            Some(last) if (last.lowest, last.highest) == (answer, answer) => last.until = now,
            _ => self.0.push_back(Stretch {
                until: now,
                lowest: answer,
                highest: answer,
            }),
        }
    }

    /// The lowest answer of the last so long, the newest included.
    pub(super) fn lowest(&self, now: Time, window: Duration) -> Option<u32> {
        self.within(now, window).map(|stretch| stretch.lowest).min()
    }

    /// The highest answer of the last so long, the newest included.
    pub(super) fn highest(&self, now: Time, window: Duration) -> Option<u32> {
        self.within(now, window).map(|stretch| stretch.highest).max()
    }

    fn within(&self, now: Time, window: Duration) -> impl Iterator<Item = &Stretch> {
        let newest = self.0.len().saturating_sub(1);
        let all = self.0.iter().enumerate();
        let inside =
            all.filter(move |(index, stretch)| *index == newest || stretch.until.age(now) < window.std());
        inside.map(|(_, stretch)| stretch)
    }
}
