//! Times as people say them. Pure.

use std::time::Duration;

use aegis_api::Time;

/// `45s`, `3m12s`, `5h`, `12d`: two units where the second one still matters, as kubectl writes ages.
pub(crate) fn age(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0..120 => format!("{secs}s"),
        120..600 => two_units(secs / 60, "m", secs % 60, "s"),
        600..10_800 => format!("{}m", secs / 60),
        10_800..28_800 => two_units(secs / 3600, "h", secs % 3600 / 60, "m"),
        28_800..172_800 => format!("{}h", secs / 3600),
        172_800..691_200 => two_units(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
        _ => format!("{}d", secs / 86_400),
    }
}

/// Without the smaller unit where nothing of it is left.
fn two_units(big: u64, unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    }
}

/// `2026-01-31 12:00:00Z (5m ago)`.
pub(crate) fn when(time: Time, now: Time) -> String {
    format!("{} ({} ago)", stamp(time), age(time.age(now)))
}

/// `2026-01-31 12:00:00Z (in 5m)`: when something ends.
pub(crate) fn until(end: Time, now: Time) -> String {
    match end > now {
        true => format!("{} (in {})", stamp(end), age(now.age(end))),
        false => when(end, now),
    }
}

/// `2026-01-31 12:00:00Z`.
pub(crate) fn stamp(time: Time) -> String {
    time.0.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `12:00:00.123`, UTC, as the controller's own log writes it.
pub(crate) fn clock(time: Time) -> String {
    time.0.strftime("%H:%M:%S.%3f").to_string()
}

/// Now.
pub(crate) fn now() -> Time {
    Time(jiff::Timestamp::now())
}

/// `1.25s`, `340ms`: for the time between two events of one incident.
pub(crate) fn span(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        return format!("{}ms", span.as_millis());
    }
    if span < Duration::from_secs(60) {
        return format!("{:.2}s", span.as_secs_f64());
    }
    age(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (192, "3m12s"),
            (660, "11m"),
            (10_860, "3h1m"),
        ];
        for (secs, text) in cases
            .into_iter()
            .chain([(36_000, "10h"), (180_000, "2d2h"), (864_000, "10d")])
        {
            assert_eq!(age(Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn times_and_spans_are_short() {
        let time: Time = "2026-01-31T12:00:00.123456Z".parse().unwrap();
        let later: Time = "2026-01-31T12:05:00Z".parse().unwrap();
        assert_eq!(clock(time), "12:00:00.123");
        assert_eq!(when(time, later), "2026-01-31 12:00:00Z (4m59s ago)");
        assert_eq!(until(later, time), "2026-01-31 12:05:00Z (in 4m59s)");
        assert_eq!(until(time, later), when(time, later));
        assert_eq!(span(Duration::from_millis(340)), "340ms");
        assert_eq!(span(Duration::from_millis(1250)), "1.25s");
    }
}
