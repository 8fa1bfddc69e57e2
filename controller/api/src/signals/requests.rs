//! Requests of a span of time: how many were answered, how many of them with an error, how many clients did not wait for an
//! answer, and how long they took. Pure.

use std::time::Duration;

use crate::scalar::Time;

/// Upper bounds of the latency classes in which requests are counted, milliseconds; what is slower is in the last class.
pub const LATENCY_MS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];
/// Number of those classes.
pub const CLASSES: usize = LATENCY_MS.len() + 1;

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

    /// Percent of the answered ones that failed; `None` where none was answered.
    pub fn failed_percent(&self) -> Option<f64> {
        (self.answered > 0).then(|| f64::from(self.errors) / f64::from(self.answered) * 100.0)
    }

    /// Within how many milliseconds this part of the answered ones was answered: linear within a class, as Prometheus'
    /// `histogram_quantile` has it; what is slower than every class counts as the last bound. `None` where none was
    /// answered.
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
        assert!((median - (2.0 + 3.0 * 50.0 / 90.0)).abs() < 1e-9, "{median}");
        assert_eq!(counted.quantile(0.99), Some(10_000.0));
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
