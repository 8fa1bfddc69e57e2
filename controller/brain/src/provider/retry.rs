//! When to ask again: jittered, bounded backoff, and `Retry-After` as HTTP has it. Pure; the caller brings the dice.

use std::time::Duration;

use jiff::Timestamp;

/// How often one provider is asked again, and after which pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a question is asked again.
    pub retries: u32,
    /// The pause before the first retry; it doubles from there.
    pub base: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 2,
            base: Duration::from_millis(400),
            most: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The pause before retry number `retry`, counted from 0; `dice` is uniform in 0 to 1. `None`: do not.
    ///
    /// Half of the pause is fixed and half is jitter. What the server requests (`Retry-After`) counts where it is
    /// longer, and where it is longer than the longest pause there is no point in waiting.
    pub(crate) fn pause(&self, retry: u32, asked: Option<Duration>, dice: f64) -> Option<Duration> {
        if retry >= self.retries || asked.is_some_and(|asked| asked > self.most) {
            return None;
        }
        let doubled = self
            .base
            .saturating_mul(2_u32.saturating_pow(retry))
            .min(self.most);
        let jittered = doubled / 2 + (doubled / 2).mul_f64(dice.clamp(0.0, 1.0));
        Some(jittered.max(asked.unwrap_or_default()))
    }
}

/// The value of `Retry-After`: seconds, or a date (RFC 9110 §10.2.3). A date is measured against the server's own
/// `Date`, where it sends one, so that a wrong clock here does no harm.
pub(crate) fn retry_after(value: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    // No standard has fractions, and some gateways send them.
    if let Some(seconds) = value
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=MOST_SECONDS).contains(seconds))
    {
        return Some(Duration::from_secs_f64(seconds));
    }
    let until = http_date(value)?;
    let from = date.and_then(|date| http_date(date.trim())).unwrap_or(now);
    Some(until.duration_since(from).try_into().unwrap_or(Duration::ZERO))
}

/// Longer than any pause that is waited for.
const MOST_SECONDS: f64 = 1e9;

/// A date in one of the three forms that HTTP has (RFC 9110 §5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(date) = jiff::fmt::rfc2822::parse(text) {
        return Some(date.timestamp());
    }
    // RFC 850 with its full names of days, and what asctime() writes.
    let (_, without_day) = text.split_once(", ").unwrap_or(("", text));
    ["%d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| {
            jiff::fmt::strtime::parse(form, without_day)
                .ok()?
                .to_datetime()
                .ok()
        })
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        retries: 3,
        base: Duration::from_secs(1),
        most: Duration::from_secs(3),
    };

    #[test]
    fn pauses_double_up_to_a_bound_and_end() {
        let pauses: Vec<_> = (0..5).map(|retry| POLICY.pause(retry, None, 1.0)).collect();
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(pauses, [secs(1), secs(2), secs(3), None, None]);
        assert_eq!(POLICY.pause(0, None, 0.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_too_much() {
        let asked = |secs| POLICY.pause(0, Some(Duration::from_secs(secs)), 0.5);
        assert_eq!(asked(0), Some(Duration::from_millis(750)));
        assert_eq!(asked(2), Some(Duration::from_secs(2)));
        assert_eq!(asked(4), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let after = |value| retry_after(value, None, now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(after("0.0"), Some(Duration::ZERO));
        for date in ["Saturday, 31-Jan-26 12:00:09 GMT", "Sat Jan 31 12:00:09 2026"] {
            assert_eq!(after(date), Some(Duration::from_secs(9)), "{date}");
        }
        assert_eq!(
            after("Sat, 31 Jan 2026 12:00:09 GMT"),
            Some(Duration::from_secs(9))
        );
        assert_eq!(after("Sat, 31 Jan 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(
            after("99999999999999999999999"),
            Some(Duration::from_secs(u64::MAX))
        );
        for garbage in ["", "soon", "-1", "NaN", "inf", "Sat"] {
            assert_eq!(after(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_date_is_measured_against_the_server_s_own_clock() {
        let now: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        let after = retry_after(
            "Sat, 31 Jan 2026 12:00:09 GMT",
            Some("Sat, 31 Jan 2026 12:00:00 GMT"),
            now,
        );
        assert_eq!(after, Some(Duration::from_secs(9)));
    }
}
