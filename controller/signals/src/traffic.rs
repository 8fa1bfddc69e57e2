//! Requests to each workload, as a load balancer's log tells of them: spans of ten seconds for five minutes, and minutes
//! for six hours before those. Owns the counts, in memory alone. No I/O: what reads the log counts.
//!
//! Bounds: a workload has at most 391 spans of some 80 bytes, 31 KiB; [`MOST_WORKLOADS`] of them 6 MiB.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::signals::Requests;

/// Seconds of a fine span, and how long they stay fine.
const FINE_SECS: i64 = 10;
const FINE_FOR: i64 = 300;
const MINUTE: i64 = 60;
/// Seconds that are kept.
const KEPT: i64 = 6 * 3600 + FINE_FOR;
/// Workloads that are counted.
const MOST_WORKLOADS: usize = 200;

/// The counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Mutex<BTreeMap<String, VecDeque<Requests>>>>);

impl Traffic {
    /// Counts a request that ended then and took so long.
    pub fn count(&self, workload: &str, end: Time, failed: bool, millis: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(workload) {
            let is_old = |spans: &VecDeque<Requests>| {
                let last = spans.back().map_or(i64::MIN, begin_of);
                last.saturating_add(KEPT) < end.unix_seconds()
            };
            if all.len() >= MOST_WORKLOADS {
                all.retain(|_, spans| !is_old(spans));
            }
            if all.len() >= MOST_WORKLOADS {
                return;
            }
            all.insert(workload.to_owned(), VecDeque::new());
        }
        let Some(spans) = all.get_mut(workload) else {
            return;
        };
        let begin = floor(end.unix_seconds(), FINE_SECS);
        let newest = spans.back().map_or(i64::MIN, begin_of);
        if begin.saturating_add(KEPT) < newest {
            // The clock was set back: what is dated later than now says nothing about now.
            spans.clear();
        }
        if spans.back().is_none_or(|last| begin_of(last) < begin) {
            fold(spans, begin);
            spans.push_back(Requests::none(at(begin), span(FINE_SECS)));
        }
        // A log may be out of order by a moment: what is late counts where it belongs, if that is still fine.
        let place = spans.iter_mut().rev().find(|span| begin_of(span) <= begin);
        if let Some(place) = place {
            place.count(failed, millis);
        }
        spans.make_contiguous();
    }

    /// Reads the spans of a workload, oldest first; `None` where its requests are not counted.
    pub fn with<T>(&self, workload: &str, look: impl FnOnce(Option<&[Requests]>) -> T) -> T {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.get(workload).map(|spans| spans.as_slices().0))
    }
}

/// Makes minutes of what is fine no more before a span that begins now, and drops what is too old.
fn fold(spans: &mut VecDeque<Requests>, now: i64) {
    let mut folded: VecDeque<Requests> = VecDeque::with_capacity(spans.len().saturating_add(1));
    for one in spans.drain(..) {
        let begin = begin_of(&one);
        if begin.saturating_add(KEPT) < now {
            continue;
        }
        let minute = floor(begin, MINUTE);
        let is_fine = minute.saturating_add(FINE_FOR) >= now;
        match folded
            .back_mut()
            .filter(|last| !is_fine && begin_of(last) == minute)
        {
            Some(last) => last.add(&one),
            None if is_fine => folded.push_back(one),
            None => folded.push_back(Requests {
                at: at(minute),
                secs: u32::try_from(MINUTE).unwrap_or_default(),
                ..one
            }),
        }
    }
    *spans = folded;
}

fn begin_of(span: &Requests) -> i64 {
    span.at.unix_seconds()
}

fn floor(secs: i64, unit: i64) -> i64 {
    secs.saturating_sub(secs.rem_euclid(unit))
}

fn at(secs: i64) -> Time {
    Time(jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

fn span(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(secs: i64) -> Time {
        at(1_900_000_020 + secs)
    }

    #[test]
    fn a_day_of_requests_is_six_hours_of_spans_that_do_not_overlap_and_lose_nothing() {
        let traffic = Traffic::default();
        for secs in 0..24 * 3600 {
            traffic.count("web", begin(secs), secs % 100 == 0, 3);
        }
        traffic.with("web", |spans| {
            let spans = spans.unwrap();
            assert!((360..=391).contains(&spans.len()), "{}", spans.len());
            for (one, next) in spans.iter().zip(&spans[1..]) {
                assert_eq!(
                    begin_of(one) + i64::from(one.secs),
                    begin_of(next),
                    "{one:?} {next:?}"
                );
            }
            let all: u32 = spans.iter().map(|span| span.total).sum();
            let secs: u32 = spans.iter().map(|span| span.secs).sum();
            assert!(all <= secs && all + 10 >= secs, "{all} of {secs}");
            assert!(spans.last().unwrap().secs == 10 && spans[0].secs == 60);
        });
        assert!(traffic.with("db", |spans| spans.is_none()));
    }

    #[test]
    fn late_lines_and_a_clock_that_is_set_back_are_taken() {
        let traffic = Traffic::default();
        traffic.count("web", begin(100), false, 3);
        traffic.count("web", begin(85), true, 3);
        traffic.count("web", begin(95), true, 3);
        let sum = |spans: Option<&[Requests]>| spans.unwrap().iter().map(|span| span.total).sum::<u32>();
        assert_eq!(
            traffic.with("web", sum),
            1,
            "what was before the first span is not counted"
        );
        traffic.count("web", begin(-100_000), false, 3);
        assert_eq!(traffic.with("web", sum), 1);
        assert_eq!(traffic.with("web", |spans| spans.unwrap()[0].total), 1);
    }
}
