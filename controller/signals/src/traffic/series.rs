//! The requests of one workload, upstream or server: spans of three seconds, exact, and minutes, compact. No I/O.

use std::collections::VecDeque;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::signals::{COARSE_CLASSES, Outcome, Requests};
use aegis_api::wire::RequestTotals;

use super::at;

/// Seconds of a span, and how long spans are kept.
const SPAN: i64 = 3;
const SPANS_FOR: i64 = 15 * 60;
pub(super) const MINUTE: i64 = 60;
/// Minutes that are kept: a day.
const MOST_MINUTES: u32 = 24 * 60;
/// By how many a ring grows.
const STEP: usize = 60;
/// What is dated so much earlier than what was counted before was counted after the clock was set back, seconds.
const SET_BACK: i64 = 20 * 60;

#[derive(Debug, Default)]
pub(super) struct Series {
    spans: VecDeque<Requests>,
    minutes: VecDeque<Minute>,
    totals: RequestTotals,
}

/// The requests of one minute. The coarse classes of latency are kept in proportion to each other: each is to be multiplied by two
/// to the power of `scale`, which is 0 below 65,536 requests of one class.
#[derive(Debug, Clone, Copy)]
struct Minute {
    minute: u32,
    answered: u32,
    errors: u32,
    cancelled: u32,
    busy_ms: u32,
    latency: [u16; COARSE_CLASSES],
    scale: u8,
}

impl Series {
    /// Counts a request that ended then.
    pub(super) fn count(&mut self, end: Time, outcome: Outcome, millis: u32) {
        self.totals.answered += u64::from(outcome != Outcome::Cancelled);
        self.totals.errors += u64::from(outcome == Outcome::Failed);
        self.totals.cancelled += u64::from(outcome == Outcome::Cancelled);
        let begin = floor(end.unix_seconds(), SPAN);
        if self
            .newest()
            .is_some_and(|newest| newest > begin.saturating_add(SET_BACK))
        {
            // What is dated later than now says nothing about now.
            while self.spans.back().is_some_and(|last| begin_of(last) > begin) {
                self.spans.pop_back();
            }
            let minute = minute_of(begin);
            while self.minutes.back().is_some_and(|last| last.minute > minute) {
                self.minutes.pop_back();
            }
        }
        if self.spans.back().is_none_or(|last| begin_of(last) < begin) {
            self.fold(begin);
        }
        if let Some(span) = self.span(begin) {
            span.count(outcome, millis);
        }
    }

    /// The span that begins then. A log may be out of order by a moment: what is late counts where it belongs; `None` where
    /// that is before all that is kept.
    fn span(&mut self, begin: i64) -> Option<&mut Requests> {
        let earlier = self.spans.iter().rposition(|span| begin_of(span) <= begin);
        let known = earlier.and_then(|index| Some((index, begin_of(self.spans.get(index)?))));
        let index = match known {
            Some((index, known)) if known == begin => index,
            None if !self.spans.is_empty() => return None,
            _ => {
                let index = earlier.map_or(0, |index| index.saturating_add(1));
                reserve(&mut self.spans);
                self.spans.insert(index, Requests::none(at(begin), seconds(SPAN)));
                index
            }
        };
        self.spans.get_mut(index)
    }

    fn newest(&self) -> Option<i64> {
        let minute = self.minutes.back().map(|last| last.begin());
        self.spans.back().map(begin_of).max(minute)
    }

    /// Makes minutes of the spans that are too old at a moment.
    fn fold(&mut self, now: i64) {
        while let Some(first) = self.spans.front().copied() {
            let minute = floor(begin_of(&first), MINUTE);
            if minute.saturating_add(SPANS_FOR) >= now {
                return;
            }
            self.spans.pop_front();
            self.push(minute_of(minute), &first);
        }
    }

    fn push(&mut self, minute: u32, requests: &Requests) {
        match self.minutes.back_mut() {
            Some(last) if last.minute == minute => {
                let mut sum = last.requests();
                sum.add(requests);
                *last = Minute::of(minute, &sum);
            }
            // Of a clock that was set back.
            Some(last) if last.minute > minute => {}
            _ => {
                while self
                    .minutes
                    .front()
                    .is_some_and(|first| first.minute.saturating_add(MOST_MINUTES) <= minute)
                {
                    self.minutes.pop_front();
                }
                reserve(&mut self.minutes);
                self.minutes.push_back(Minute::of(minute, requests));
            }
        }
    }

    /// Puts back a minute that an earlier run counted, if it is of the last day.
    pub(super) fn restore(&mut self, minute: u32, requests: &Requests, now: Time) {
        let this = minute_of(now.unix_seconds());
        if minute <= this && minute.saturating_add(MOST_MINUTES) >= this {
            self.push(minute, requests);
        }
    }

    /// Drops what is older than a day.
    pub(super) fn forget(&mut self, now: Time) {
        let now = now.unix_seconds();
        self.fold(now);
        let oldest = minute_of(now).saturating_sub(MOST_MINUTES);
        while self.minutes.front().is_some_and(|first| first.minute < oldest) {
            self.minutes.pop_front();
        }
    }

    /// What reaches into the last `within`, oldest first.
    pub(super) fn within(&self, now: Time, within: Duration) -> Vec<Requests> {
        let is_past = |span: &Requests| span.at <= now;
        let reaches = |span: &Requests| span.at.age(now) < within;
        let minutes = self.minutes.iter().rev().map(Minute::requests);
        let mut all: Vec<Requests> = minutes.filter(is_past).take_while(reaches).collect();
        all.reverse();
        let spans = self.spans.iter().filter(|span| is_past(span) && reaches(span));
        all.extend(spans.copied());
        all
    }

    /// All of the last so many seconds that are over: whole spans, so that a rate over that time is right.
    pub(super) fn sum(&self, now: Time, over_seconds: u32) -> Requests {
        let end = floor(now.unix_seconds(), SPAN);
        let begin = end.saturating_sub(over_seconds.into());
        let mut sum = Requests::none(at(begin), Duration::from_secs(over_seconds.into()));
        let spans = self.spans.iter();
        for span in spans.filter(|span| (begin..end).contains(&begin_of(span))) {
            sum.add(span);
        }
        sum
    }

    /// What was counted in a minute that is still kept by the span; `None` where nothing was.
    pub(super) fn minute(&self, minute: u32) -> Option<Requests> {
        let own = self
            .spans
            .iter()
            .filter(|span| minute_of(begin_of(span)) == minute);
        own.copied().reduce(|mut sum, span| {
            sum.add(&span);
            sum
        })
    }

    /// Whether it had a request within the time for which spans are kept.
    pub(super) fn is_recent(&self, now: Time) -> bool {
        let last = self.spans.back();
        last.is_some_and(|last| last.at.age(now) <= seconds(SPANS_FOR))
    }

    /// When it last had a request.
    pub(super) fn last(&self) -> Option<Time> {
        self.newest().map(at)
    }

    pub(super) fn totals(&self) -> RequestTotals {
        self.totals
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.minutes.is_empty()
    }

    /// How many minutes it has.
    pub(super) fn minutes(&self) -> usize {
        self.minutes.len()
    }

    /// How much room its rings take.
    pub(super) fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Requests>() + self.minutes.capacity() * size_of::<Minute>()
    }

    /// Drops the older half of its minutes; answers whether there was any.
    pub(super) fn halve(&mut self) -> bool {
        let half = self.minutes.len().div_ceil(2);
        self.minutes.drain(..half);
        self.minutes.shrink_to_fit();
        half > 0
    }
}

impl Minute {
    fn of(minute: u32, requests: &Requests) -> Self {
        let latency = requests.coarse_latency();
        let most = latency.iter().copied().max().unwrap_or_default();
        let bits = u32::BITS - most.leading_zeros();
        let scale = bits.saturating_sub(u16::BITS);
        Self {
            minute,
            answered: requests.answered,
            errors: requests.errors,
            cancelled: requests.cancelled,
            busy_ms: requests.busy_ms,
            latency: latency.map(|count| u16::try_from(count >> scale).unwrap_or(u16::MAX)),
            scale: u8::try_from(scale).unwrap_or_default(),
        }
    }

    fn requests(&self) -> Requests {
        Requests {
            answered: self.answered,
            errors: self.errors,
            cancelled: self.cancelled,
            busy_ms: self.busy_ms,
            latency: Requests::spread_latency(&self.latency.map(|count| u32::from(count) << self.scale)),
            ..Requests::none(at(self.begin()), seconds(MINUTE))
        }
    }

    fn begin(&self) -> i64 {
        i64::from(self.minute) * MINUTE
    }
}

fn begin_of(span: &Requests) -> i64 {
    span.at.unix_seconds()
}

fn floor(secs: i64, unit: i64) -> i64 {
    secs.saturating_sub(secs.rem_euclid(unit))
}

fn minute_of(secs: i64) -> u32 {
    u32::try_from(secs / MINUTE).unwrap_or_default()
}

fn seconds(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).unwrap_or_default())
}

/// Makes room for another, not for as many again.
fn reserve<T>(ring: &mut VecDeque<T>) {
    if ring.len() == ring.capacity() {
        ring.reserve_exact(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_keeps_what_it_counts_and_the_shape_of_what_is_too_many() {
        let mut requests = Requests::none(at(1_900_000_020), seconds(3));
        requests.answered = 3_000_000;
        requests.errors = 17;
        requests.busy_ms = 9;
        requests.latency = Requests::spread_latency(&[0, 0, 0, 1_500_000, 0, 0, 0, 0, 1_500_000]);
        let kept = Minute::of(31_666_667, &requests).requests();
        assert_eq!(
            (kept.answered, kept.errors, kept.busy_ms, kept.secs),
            (3_000_000, 17, 9, 60)
        );
        for part in [0.25, 0.5, 0.95] {
            let (before, after) = (requests.quantile(part).unwrap(), kept.quantile(part).unwrap());
            assert!(
                (before - after).abs() <= before * 0.01,
                "{part}: {before} {after}"
            );
        }
        requests.latency = Requests::spread_latency(&[u32::MAX; COARSE_CLASSES]);
        assert!(Minute::of(0, &requests).requests().latency[0] > u32::MAX - (1 << 16));
    }

    #[test]
    fn a_series_takes_as_much_room_as_is_said() {
        let mut series = Series::default();
        for secs in 0..26 * 3600 {
            series.count(at(1_900_000_020 + secs), Outcome::Answered, 4);
            if secs % 60 == 0 {
                series.forget(at(1_900_000_020 + secs));
            }
        }
        assert!((1420..=1440).contains(&series.minutes()), "{}", series.minutes());
        let (span, minute) = (size_of::<Requests>(), size_of::<Minute>());
        assert!(
            series.bytes() <= 136 << 10,
            "{} bytes: {span} {minute}",
            series.bytes()
        );
        assert_eq!(series.totals().answered, 26 * 3600);
    }
}
