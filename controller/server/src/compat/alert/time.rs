//! Times as senders write them. Pure.

use aegis_api::Time;
use jiff::fmt::rfc2822;
use serde_json::Value;

/// Before this, it is no time of an alert but an empty field: year 1 as Go writes it, 0 and -1 in seconds since 1970.
const FIRST: i64 = 946_684_800; // 2000-01-01
/// How far a sender's clock may go ahead of ours, seconds; what is later is an empty field, too, such as year 9999.
const AHEAD: i64 = 86_400;

/// The time that a value means, if it means one. A time without a zone is UTC.
pub(super) fn read(value: &Value, now: Time) -> Option<Time> {
    let time = match value {
        Value::String(text) => {
            let text = text.trim();
            let zoned = text.parse().or_else(|_| format!("{text}Z").parse());
            let zoned = zoned.ok().or_else(|| utc(text)).or_else(|| mail(text));
            zoned.or_else(|| unix(text.parse().ok()?))
        }
        Value::Number(number) => unix(number.as_f64()?),
        _ => None,
    }?;
    let (second, now) = (time.0.as_second(), now.0.as_second());
    (FIRST..=now.saturating_add(AHEAD))
        .contains(&second)
        .then_some(time)
}

/// A time with a word for UTC, as `date` and Go print it: `2006-01-02 15:04:05 +0000 UTC`.
fn utc(text: &str) -> Option<Time> {
    let text = text
        .strip_suffix("UTC")
        .or_else(|| text.strip_suffix("GMT"))?
        .trim_end();
    let text = text.strip_suffix("+0000").unwrap_or(text).trim_end();
    format!("{text}Z").parse().ok()
}

/// A time as mail and HTTP have it (RFC 2822, RFC 1123): `Mon, 02 Jan 2006 15:04:05 GMT`.
fn mail(text: &str) -> Option<Time> {
    // A wrong day of the week says nothing about the time.
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok().map(Time)
}

/// Unix seconds, or milliseconds, microseconds, nanoseconds where they would be of the far future.
fn unix(number: f64) -> Option<Time> {
    let seconds = match number.abs() {
        huge if huge > 1e17 => number / 1e9,
        large if large > 1e14 => number / 1e6,
        more if more > 1e11 => number / 1e3,
        _ => number,
    };
    let span = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    jiff::Timestamp::UNIX_EPOCH.checked_add(span).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(value: impl Into<Value>) -> Option<String> {
        read(&value.into(), "2026-02-01T00:00:00Z".parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn times_are_read_in_the_ways_senders_write_them() {
        for same in [
            json!("2026-01-31T12:00:00Z"),
            json!("2026-01-31T13:00:00+01:00"),
            json!("2026-01-31T12:00:00"),
            json!("2026-01-31 12:00:00"),
            json!("2026-01-31T12:00:00.000+0000"),
            json!("2026-01-31 12:00:00 UTC"),
            json!("2026-01-31 12:00:00 +0000 UTC"),
            json!("2026-01-31T12:00:00 GMT"),
            json!("Sat, 31 Jan 2026 12:00:00 +0000"),
            json!("Sat, 31 Jan 2026 13:00:00 +0100"),
            json!("Sat, 31 Jan 2026 12:00:00 GMT"),
            json!("Sat, 31 Jan 2026 12:00:00 UT"),
            json!("Sat, 31 Jan 2026 12:00:00 UTC"),
            json!("Sat, 31 Jan 2026 12:00:00 Z"),
            json!("Sat, 31 Jan 2026 07:00:00 EST"),
            json!("31 Jan 2026 12:00 +0000"),
            json!("Mon, 31 Jan 2026 12:00:00 GMT"),
            json!(1_769_860_800),
            json!("1769860800"),
            json!(1_769_860_800_000_i64),
            json!(1_769_860_800_000_000_i64),
            json!(1_769_860_800_000_000_000_i64),
        ] {
            assert_eq!(
                at(same.clone()).as_deref(),
                Some("2026-01-31T12:00:00Z"),
                "{same}"
            );
        }
    }

    #[test]
    fn an_empty_time_is_none() {
        for none in [
            json!("0001-01-01T00:00:00Z"),
            json!("0001-01-01T00:00:00+00:00"),
            json!("1970-01-01T00:00:00Z"),
            json!(0),
            json!(-1),
            json!("0"),
            json!(-62_135_596_800_i64),
            json!("2099-01-01T00:00:00Z"),
            json!("9999-12-31T23:59:59Z"),
            json!(4_070_908_800_i64),
            json!(1e300),
            json!("yesterday"),
            json!("2026-01-31"),
            json!("2026-01-31 UTC"),
            json!("31 Jan 2026"),
            json!("Mon, 01 Jan 0001 00:00:00 GMT"),
            json!(""),
            json!(true),
            json!(["2026-01-31T12:00:00Z"]),
        ] {
            assert_eq!(at(none.clone()), None, "{none}");
        }
        assert!(
            at(json!("2026-02-01T01:00:00Z")).is_some(),
            "a clock that goes ahead a little"
        );
    }
}
