//! Requests of a span of time: how many were answered, how many of them with an error, how many clients did not wait for an
//! answer, and how long they took. Pure.

use std::time::Duration;

use crate::scalar::Time;

/// Upper bounds of the latency classes in which requests are counted, milliseconds; what is slower is in the last class. From
/// 8 ms on each is at most 1.3 times the one before, which bounds what a quantile may be wrong by.
pub const LATENCY_MS: [u32; 38] = [
    1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630,
    800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10_000,
];
/// Upper bounds of the coarser classes in which minutes are kept for a day, milliseconds. Each is one of [`LATENCY_MS`], too.
pub const COARSE_LATENCY_MS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];
/// Number of those classes.
pub const CLASSES: usize = LATENCY_MS.len() + 1;
/// Number of the coarser classes.
pub const COARSE_CLASSES: usize = COARSE_LATENCY_MS.len() + 1;

/// nginx's status of a request whose client closed the connection before there was an answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that is no error of the server.
    Answered,
    /// With 5xx.
    Failed,
    /// Its client went away before an answer (499): neither an error nor a success.
    Cancelled,
}

impl Outcome {
    /// What a status says.
    pub fn of_status(status: u16) -> Self {
        match status {
            CLIENT_CLOSED_REQUEST => Self::Cancelled,
            500..=599 => Self::Failed,
            _ => Self::Answered,
        }
    }
}

/// Requests of one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// When the span began.
    pub at: Time,
    /// How long it is, seconds.
    pub secs: u32,
    /// Those that were answered.
    pub answered: u32,
    /// Of those, answered with 5xx.
    pub errors: u32,
    /// Those whose client went away before an answer (499).
    pub cancelled: u32,
    /// How long all of them took together, the cancelled ones included, milliseconds.
    pub busy_ms: u32,
    /// How many of the answered ones took as long as each class of [`LATENCY_MS`], and how many took longer.
    pub latency: [u32; CLASSES],
}

impl Requests {
    /// A span without requests.
    pub fn none(at: Time, span: Duration) -> Self {
        Self {
            at,
            secs: u32::try_from(span.as_secs()).unwrap_or(u32::MAX),
            answered: 0,
            errors: 0,
            cancelled: 0,
            busy_ms: 0,
            latency: [0; CLASSES],
        }
    }

    /// Counts one that took this long.
    pub fn count(&mut self, outcome: Outcome, millis: u32) {
        self.busy_ms = self.busy_ms.saturating_add(millis);
        if outcome == Outcome::Cancelled {
            self.cancelled = self.cancelled.saturating_add(1);
            return;
        }
        self.answered = self.answered.saturating_add(1);
        self.errors = self.errors.saturating_add(u32::from(outcome == Outcome::Failed));
        let class = LATENCY_MS.iter().position(|bound| millis <= *bound);
        if let Some(count) = self.latency.get_mut(class.unwrap_or(LATENCY_MS.len())) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts those of another span, too.
    pub fn add(&mut self, other: &Self) {
        self.answered = self.answered.saturating_add(other.answered);
        self.errors = self.errors.saturating_add(other.errors);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.busy_ms = self.busy_ms.saturating_add(other.busy_ms);
        for (sum, count) in self.latency.iter_mut().zip(other.latency) {
            *sum = sum.saturating_add(count);
        }
    }

    /// The sum of those spans that began within the last `within`; `None` where there is none of them.
    pub fn sum(spans: &[Self], now: Time, within: Duration) -> Option<Self> {
        let inside = spans
            .iter()
            .filter(|span| span.at <= now && span.at.age(now) < within);
        inside.copied().reduce(|mut sum, span| {
            sum.add(&span);
            sum.secs = sum.secs.saturating_add(span.secs);
            sum
        })
    }

    /// Its latency in the coarser classes.
    pub fn coarse_latency(&self) -> [u32; COARSE_CLASSES] {
        let mut coarse = [0_u32; COARSE_CLASSES];
        let bounds = LATENCY_MS.iter().map(Some).chain([None]);
        for (bound, count) in bounds.zip(self.latency) {
            let class = bound.and_then(|bound| COARSE_LATENCY_MS.iter().position(|coarse| bound <= coarse));
            if let Some(sum) = coarse.get_mut(class.unwrap_or(COARSE_LATENCY_MS.len())) {
                *sum = sum.saturating_add(count);
            }
        }
        coarse
    }

    /// What was kept in the coarser classes, each spread evenly over those that it covers. What is more than they are is left
    /// out.
    pub fn spread_latency(coarse: &[u32]) -> [u32; CLASSES] {
        let mut latency = [0; CLASSES];
        let mut lower = 0;
        for (upper, count) in COARSE_LATENCY_MS.iter().zip(coarse) {
            let (mut before, width) = (0, u64::from(upper.saturating_sub(lower)).max(1));
            let slots = LATENCY_MS.iter().zip(latency.iter_mut());
            for (bound, slot) in slots.filter(|(bound, _)| **bound > lower && *bound <= upper) {
                let up_to = u64::from(*count) * u64::from(bound.saturating_sub(lower)) / width;
                *slot = u32::try_from(up_to.saturating_sub(before)).unwrap_or(u32::MAX);
                before = up_to;
            }
            lower = *upper;
        }
        if let (Some(slowest), Some(count)) = (latency.last_mut(), coarse.get(COARSE_LATENCY_MS.len())) {
            *slowest = *count;
        }
        latency
    }

    /// Percent of the answered ones that failed; `None` where none was answered.
    pub fn failed_percent(&self) -> Option<f64> {
        (self.answered > 0).then(|| f64::from(self.errors) / f64::from(self.answered) * 100.0)
    }

    /// Within how many milliseconds this part of the answered ones was answered: linear within a class, as Prometheus'
    /// `histogram_quantile` has it; what is slower than every class counts as the last bound. `None` where none was
    /// answered. It lies in the same class as the true one: from 8 ms on it differs by less than 30 percent of it, and
    /// where answers spread over the class by much less.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        if self.answered == 0 {
            return None;
        }
        let wanted = f64::from(self.answered) * part;
        let (mut before, mut lower) = (0.0, 0.0);
        for (bound, count) in LATENCY_MS.iter().zip(self.latency) {
            let (upper, count) = (f64::from(*bound), f64::from(count));
            if count > 0.0 && before + count >= wanted {
                return Some(lower + (upper - lower) * ((wanted - before) / count).clamp(0.0, 1.0));
            }
            before += count;
            lower = upper;
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(at: i64) -> Requests {
        let at = jiff::Timestamp::from_second(1_900_000_000 + at).unwrap();
        Requests::none(Time(at), Duration::from_secs(3))
    }

    #[test]
    fn a_client_that_went_away_is_neither_an_error_nor_a_success() {
        let mut span = span(0);
        for (status, millis) in [(200, 4), (404, 4), (500, 40), (502, 40), (499, 60_000)] {
            span.count(Outcome::of_status(status), millis);
        }
        assert_eq!((span.answered, span.errors, span.cancelled), (4, 2, 1));
        assert_eq!(span.latency.iter().sum::<u32>(), 4, "its time is no latency");
        assert_eq!(span.busy_ms, 60_088, "it kept the server busy all the same");
        assert_eq!(span.failed_percent(), Some(50.0));
    }

    #[test]
    fn a_quantile_is_linear_within_its_class_and_of_nothing_there_is_none() {
        let mut counted = span(0);
        assert_eq!((counted.quantile(0.95), counted.failed_percent()), (None, None));
        counted.count(Outcome::Cancelled, 5);
        assert_eq!(counted.quantile(0.5), None);
        (0..90).for_each(|_| counted.count(Outcome::Answered, 4));
        (0..10).for_each(|_| counted.count(Outcome::Answered, u32::MAX));
        let median = counted.quantile(0.5).unwrap();
        assert!((median - (3.0 + 50.0 / 90.0)).abs() < 1e-9, "{median}");
        assert_eq!(counted.quantile(0.99), Some(10_000.0));
    }

    #[test]
    fn a_quantile_is_wrong_by_less_than_30_percent_however_answers_lie_in_their_class() {
        for millis in [
            8, 30, 51, 101, 255, 260, 320, 501, 510, 1001, 1100, 2501, 2600, 5100, 9999,
        ] {
            let mut counted = span(0);
            (0..85).for_each(|_| counted.count(Outcome::Answered, millis / 2));
            (0..15).for_each(|_| counted.count(Outcome::Answered, millis));
            let (read, truth) = (counted.quantile(0.95).unwrap(), f64::from(millis));
            assert!((read / truth - 1.0).abs() < 0.3, "{read} of {truth}");
        }
        assert!(COARSE_LATENCY_MS.iter().all(|bound| LATENCY_MS.contains(bound)));
        let pairs = LATENCY_MS.iter().zip(LATENCY_MS.iter().skip(1));
        for (lower, upper) in pairs.filter(|(lower, _)| **lower >= 8) {
            assert!(
                upper > lower && f64::from(*upper) <= f64::from(*lower) * 1.3,
                "{lower} {upper}"
            );
        }
    }

    #[test]
    fn coarser_classes_keep_every_request_and_spread_them_evenly() {
        let mut counted = span(0);
        for millis in [1, 4, 4, 26, 60, 300, 300, 490, 9000, 20_000] {
            counted.count(Outcome::Answered, millis);
        }
        let coarse = counted.coarse_latency();
        assert_eq!(coarse, [1, 0, 2, 0, 0, 1, 1, 0, 3, 0, 0, 1, 1]);
        let spread = Requests {
            latency: Requests::spread_latency(&coarse),
            ..counted
        };
        assert_eq!(spread.coarse_latency(), coarse);
        let even = Requests::spread_latency(&[0, 0, 0, 0, 0, 0, 0, 0, 1000]);
        // 315, 400 and 500 of the width from 250 to 500.
        assert_eq!(
            (even[22], even[23], even[24], even[25]),
            (260, 340, 400, 0),
            "{even:?}"
        );
        let most = Requests::spread_latency(&[u32::MAX; 99]);
        assert_eq!((most[0], most[CLASSES - 1]), (u32::MAX, u32::MAX));
    }

    #[test]
    fn sums_leave_out_what_is_older_or_of_a_time_to_come_and_never_overflow() {
        let full = |at: i64| Requests {
            answered: u32::MAX,
            busy_ms: u32::MAX,
            latency: [u32::MAX; CLASSES],
            ..span(at)
        };
        let spans = [full(0), full(30), full(57), full(90)];
        let now = span(60).at;
        let sum = Requests::sum(&spans, now, Duration::from_secs(60)).unwrap();
        assert_eq!((sum.secs, sum.answered), (6, u32::MAX));
        assert_eq!(Requests::sum(&spans, now, Duration::from_secs(1)), None);
    }
}
