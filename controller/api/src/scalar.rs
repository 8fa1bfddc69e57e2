//! Checked scalar types: a value of one of these is valid by construction. Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is no value of a scalar type. Display says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidScalar(String);

macro_rules! text_scalar {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $max:literal, $allowed:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidScalar;
            fn from_str(text: &str) -> Result<Self, InvalidScalar> {
                let check: fn(&str) -> bool = $check;
                if text.is_empty() || text.len() > $max || !check(text) {
                    return Err(InvalidScalar(format!("{text:?} is not allowed: use {}", $allowed)));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidScalar;
            fn try_from(text: String) -> Result<Self, InvalidScalar> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern})
            }
        }
    };
}

text_scalar!(
    /// A Docker container name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 128 characters.
    ContainerName, "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", 128,
    "a letter or digit followed by letters, digits, '_', '.' or '-'",
    |text| text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
);

text_scalar!(
    /// The name of a resource: an RFC 1123 subdomain, at most 128 characters, so that it is also a file name.
    ResourceName, "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", 128,
    "lower-case letters, digits, '-' or '.', beginning and ending with a letter or digit",
    |text| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
);

text_scalar!(
    /// An image reference (`name[:tag][@digest]`), at most 512 characters, without white space.
    ImageRef, "^[a-zA-Z0-9][a-zA-Z0-9_./:@-]*$", 512,
    "an image reference such as 'app:1.2', without white space",
    |text| text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '@' | '-'))
);

text_scalar!(
    /// An absolute path inside a container: no `..`, no control characters, at most 512 characters.
    AbsolutePath, "^/[^\\x00-\\x1f]*$", 512,
    "an absolute path without '..'",
    |text| text.starts_with('/') && !text.chars().any(char::is_control) && !text.split('/').any(|part| part == "..")
);

text_scalar!(
    /// The file name of a template in `lb-templates/`: no folder, ends in `.tera`.
    TemplateName, "^[a-zA-Z0-9][a-zA-Z0-9_.-]*\\.tera$", 128,
    "a file name in the template folder that ends in '.tera'",
    |text| text.ends_with(".tera") && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
);

text_scalar!(
    /// An nginx upstream name: letters, digits and `_`, so that it can stand in a config unquoted.
    UpstreamName, "^[a-zA-Z_][a-zA-Z0-9_]*$", 64,
    "a letter or '_' followed by letters, digits or '_'",
    |text| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
);

text_scalar!(
    /// A path that a load balancer serves: begins and ends with `/`, with letters, digits, `.`, `_`, `~` and `-` between.
    LocationPath, "^/([a-zA-Z0-9._~-]+/)*$", 200,
    "a path that begins and ends with '/', with letters, digits, '.', '_', '~' or '-' between",
    |text| {
        let inner = text.strip_prefix('/');
        let is_part = |part: &str| !part.is_empty() && !matches!(part, "." | "..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-'));
        inner.is_some_and(|inner| inner.is_empty() || inner.strip_suffix('/').is_some_and(|inner| inner.split('/').all(is_part)))
    }
);

text_scalar!(
    /// Addresses of a network (`10.0.0.0/8`, `fd00::/8`), or one address.
    NetworkPrefix, "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", 49,
    "an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8",
    |text| {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.is_none_or(|length| {
            let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
            is_number && length.parse::<u8>().is_ok_and(|length| length <= most)
        })
    }
);

text_scalar!(
    /// HTTP status codes and ranges of them: `200-399`, `200,204`, `200-299,401`.
    StatusCodes, "^[1-5][0-9]{2}(-[1-5][0-9]{2})?( *, *[1-5][0-9]{2}(-[1-5][0-9]{2})?)*$", 128,
    "HTTP status codes and ranges of them, such as '200-399' or '200,204,401'",
    |text| text.split(',').all(|part| status_range(part).is_some())
);

impl StatusCodes {
    /// Whether a status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        let mut ranges = self.0.split(',').filter_map(status_range);
        ranges.any(|(first, last)| (first..=last).contains(&status))
    }
}

/// One code, or two with a dash between them, the smaller one first.
fn status_range(part: &str) -> Option<(u16, u16)> {
    let part = part.trim_matches(' ');
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let code = text.parse::<u16>().ok().filter(|_| digits)?;
        (100..600).contains(&code).then_some(code)
    };
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some((first, last))
}

/// A span of time written as numbers with units, as Go and Compose do: `250ms`, `30s`, `1m30s`, `1.5h`, `7d`. Whole
/// milliseconds, at most 365 d. Shown in the largest unit that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Duration {
    /// A duration of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(std::time::Duration::from_millis(ms))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// As the standard library's type.
    pub const fn std(self) -> std::time::Duration {
        self.0
    }

    /// As jiff's signed type, for arithmetic with [`Time`].
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl FromStr for Duration {
    type Err = InvalidScalar;
    fn from_str(text: &str) -> Result<Self, InvalidScalar> {
        let refuse = || {
            InvalidScalar(format!(
                "{text:?} is not a duration: use a number with ms, s, m, h or d, such as '30s' or '1h30m', of whole \
                 milliseconds, up to 365d"
            ))
        };
        let (mut rest, mut ms) = (text, 0_u64);
        loop {
            let (part, after) = duration_part(rest).ok_or_else(refuse)?;
            ms = ms
                .checked_add(part)
                .filter(|ms| *ms <= 365 * 86_400_000)
                .ok_or_else(refuse)?;
            if after.is_empty() {
                break;
            }
            rest = after;
        }
        Ok(Self::from_millis(ms))
    }
}

/// The first number with its unit, in milliseconds, and what comes after it.
fn duration_part(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        // As the schema has it: what ends with its point is no number.
        Some(rest) => rest
            .split_at_checked(digits(rest))
            .filter(|(fraction, _)| !fraction.is_empty())?,
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 12 {
        return None;
    }
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, after) = rest.split_at_checked(letters)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let parts = parts.checked_mul(*factor)?;
    // What is less than a millisecond would be lost.
    let fraction = parts.is_multiple_of(scale).then(|| parts / scale)?;
    Some((whole.checked_mul(*factor)?.checked_add(fraction)?, after))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let best = UNITS
            .iter()
            .rev()
            .find(|(_, factor)| ms > 0 && ms.is_multiple_of(u128::from(*factor)));
        match best {
            Some((unit, factor)) => write!(f, "{}{unit}", ms / u128::from(*factor)),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl TryFrom<String> for Duration {
    type Error = InvalidScalar;
    fn try_from(text: String) -> Result<Self, InvalidScalar> {
        text.parse()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for String {
    fn from(value: Duration) -> String {
        value.to_string()
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]*[.]?[0-9]+(ms|s|m|h|d))+$", "maxLength": 16})
    }
}

/// An instant, RFC 3339 in UTC with as many fractional digits as it has. Docker's clock and ours are the
/// same host's, so these compare with a container's `StartedAt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub jiff::Timestamp);

impl Time {
    /// This instant plus `span`; saturates at the end of representable time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.checked_add(span.signed()).unwrap_or(jiff::Timestamp::MAX))
    }

    /// How long ago `self` was at `now`; zero if it is still to come.
    pub fn age(self, now: Time) -> std::time::Duration {
        std::time::Duration::try_from(now.0.duration_since(self.0)).unwrap_or_default()
    }

    /// How long until `self` at `now`; zero if it has passed.
    pub fn until(self, now: Time) -> std::time::Duration {
        now.age(self)
    }

    /// How far apart both are. What was done so far away from now, in either direction, is not of now: the clock may have
    /// been set back.
    pub fn apart(self, other: Time) -> std::time::Duration {
        self.age(other).max(other.age(self))
    }

    /// Seconds since 1970, as `1795348801.250`: nginx's `$msec`. `None` for anything else.
    pub fn from_unix(text: &str) -> Option<Self> {
        let (seconds, millis) = text.split_once('.')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if millis.len() != 3 || !digits(seconds) || !digits(millis) {
            return None;
        }
        let millis = seconds
            .parse::<i64>()
            .ok()?
            .checked_mul(1000)?
            .checked_add(millis.parse().ok()?)?;
        jiff::Timestamp::from_millisecond(millis).ok().map(Self)
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// As Kubernetes' metadata spells times (whole seconds when serialised).
    pub fn meta(self) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Time {
    type Err = InvalidScalar;
    fn from_str(text: &str) -> Result<Self, InvalidScalar> {
        text.parse().map(Self).map_err(|_| {
            InvalidScalar(format!(
                "{text:?} is not a time: use RFC 3339, such as '2026-01-31T12:00:00Z'"
            ))
        })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_written() {
        for text in ["250ms", "30s", "5m", "1h", "7d", "0ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!("60s".parse::<Duration>().unwrap().to_string(), "1m");
        for (text, shown) in [
            ("1h30m", "90m"),
            ("1m30s", "90s"),
            ("1m0.5s", "60500ms"),
            ("1.5s", "1500ms"),
            (".5s", "500ms"),
            ("1h0m0s", "1h"),
            ("24h", "1d"),
            ("0.5d", "12h"),
            ("0s", "0ms"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Duration>().unwrap(), duration);
        }
        for text in [
            "1.0005s",
            "1m30",
            "1m 30s",
            "1h-5m",
            "1.2.3s",
            ".s",
            "1.s",
            "1us",
            "1m30s ",
            "366d12h",
            "0.0000000000001d",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_duration_says_what_is_allowed() {
        for text in [
            "",
            "5",
            "s",
            "-3s",
            "5 s",
            "999999d",
            "18446744073709551616s",
            "5é",
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains("ms, s, m, h or d"), "{text}: {error}");
        }
    }

    #[test]
    fn names_that_could_escape_a_path_or_a_config_are_refused() {
        assert!("../etc/passwd".parse::<ResourceName>().is_err());
        assert!("..".parse::<ResourceName>().is_err());
        assert!("a/b".parse::<ContainerName>().is_err());
        assert!("x;}".parse::<UpstreamName>().is_err());
        assert!("/etc/../passwd".parse::<AbsolutePath>().is_err());
        assert!("../x.tera".parse::<TemplateName>().is_err());
        assert!("buggy-app-v2_1.x".parse::<ContainerName>().is_ok());
    }

    #[test]
    fn status_codes_are_single_ones_and_ranges_and_nothing_else() {
        for (text, inside, outside) in [
            ("200-399", 302, 400),
            ("401", 401, 400),
            ("200, 204,500-503", 502, 201),
        ] {
            let codes: StatusCodes = text.parse().unwrap();
            assert!(codes.contains(inside) && !codes.contains(outside), "{text}");
        }
        for text in [
            "", "2xx", "200-", "399-200", "99", "600", "+20", "200,,204", "200 204", "0200",
        ] {
            assert!(text.parse::<StatusCodes>().is_err(), "{text}");
        }
    }
}
