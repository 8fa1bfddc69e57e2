//! One line of nginx's log in the format of the template: how a request ended, and what each server that was tried made of
//! it. A log is hostile input: whatever does not read as nginx writes it is not counted. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::signals::Outcome;
use serde::Deserialize;

/// Name of the log format in a configuration that makes counting possible.
pub const FORMAT: &str = "aegis_receipt";

/// nginx logs an upgraded connection (a WebSocket) when it ends: it is open for as long as its client likes, which says
/// nothing about how soon requests are answered.
const SWITCHING_PROTOCOLS: u16 = 101;
/// Servers of one request that are counted. The template has nginx try three.
const MOST_TRIES: usize = 16;
/// How far a line may be dated after the moment at which it is read: nginx and this controller may have clocks of their own.
const AHEAD: Duration = Duration::from_secs(60);
/// How long ago a line may be dated.
const LATE: Duration = Duration::from_secs(15 * 60);

/// As nginx writes it; `-`, or nothing, where it has nothing to say.
#[derive(Deserialize)]
struct Line<'a> {
    end: &'a str,
    status: &'a str,
    seconds: &'a str,
    upstream: &'a str,
    #[serde(default)]
    upstream_name: &'a str,
    #[serde(default)]
    upstream_status: &'a str,
    #[serde(default)]
    upstream_seconds: &'a str,
}

/// A request that at least one server was tried for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine<'a> {
    /// When it was over.
    pub end: Time,
    /// How it ended for its client.
    pub outcome: Outcome,
    /// How long it took, milliseconds.
    pub millis: u32,
    /// The upstream that it was passed to; absent where the log does not say.
    pub upstream: Option<&'a str>,
    /// `address:port` of the server that was tried last: it answered, if any did.
    pub last: &'a str,
    /// Each server that was tried, in order; none where the log says too little of them.
    pub tries: Vec<Try<'a>>,
}

/// What one server made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try<'a> {
    /// `address:port`.
    pub address: &'a str,
    /// How it ended there.
    pub outcome: Outcome,
    /// How long it took there, milliseconds.
    pub millis: u32,
}

impl<'a> AccessLine<'a> {
    /// Reads a line; `None` where it is none that counts: not of this format, of an upgraded connection, of no server, or
    /// dated to another time than `now`.
    pub fn parse(text: &'a str, now: Time) -> Option<Self> {
        let line: Line<'a> = serde_json::from_str(text).ok()?;
        let end = Time::from_unix(line.end)?;
        if end.age(now) > LATE || now.age(end) > AHEAD {
            return None;
        }
        let status = status(line.status).filter(|status| *status != SWITCHING_PROTOCOLS)?;
        let outcome = Outcome::of_status(status);
        // Where no server is left, nginx names the upstream in its place.
        let last = words(line.upstream).rfind(|word| word.contains(':'))?;
        Some(Self {
            end,
            outcome,
            millis: millis(line.seconds)?,
            upstream: Some(line.upstream_name).filter(|name| !matches!(*name, "" | "-")),
            last,
            tries: tries(&line, outcome).unwrap_or_default(),
        })
    }
}

/// `None` where the three lists are not of the same servers.
fn tries<'a>(line: &Line<'a>, outcome: Outcome) -> Option<Vec<Try<'a>>> {
    let count = words(line.upstream).take(MOST_TRIES + 1).count();
    let same = |list: &str| words(list).take(MOST_TRIES + 1).count() == count;
    if count > MOST_TRIES || !same(line.upstream_status) || !same(line.upstream_seconds) {
        return None;
    }
    let all = words(line.upstream)
        .zip(words(line.upstream_status))
        .zip(words(line.upstream_seconds))
        .enumerate();
    let tried = all.filter_map(|(index, ((address, code), seconds))| {
        // Of a client that went away nginx says nothing in the server's place: it had not answered.
        let is_cancelled = outcome == Outcome::Cancelled && index.saturating_add(1) == count;
        Some(Try {
            address: Some(address).filter(|address| address.contains(':'))?,
            outcome: match is_cancelled {
                true => Outcome::Cancelled,
                false => Outcome::of_status(status(code)?),
            },
            millis: millis(seconds)?,
        })
    });
    Some(tried.collect())
}

/// nginx separates servers by `, `, and across internal redirects by ` : `.
fn words(list: &str) -> impl DoubleEndedIterator<Item = &str> {
    list.split([',', ' '])
        .filter(|word| !word.is_empty() && *word != ":")
}

/// Three digits.
fn status(text: &str) -> Option<u16> {
    let is_status = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_status.then(|| text.parse().ok()).flatten()
}

/// `0.004` as milliseconds, with as many digits as nginx writes; what is more than can be counted counts as the most.
fn millis(seconds: &str) -> Option<u32> {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    let whole: u32 = whole.parse().unwrap_or(u32::MAX);
    let part: u32 = part.get(..3).unwrap_or(part).parse().ok()?;
    Some(whole.saturating_mul(1000).saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_900_000_000;

    fn at(secs: i64) -> Time {
        Time(jiff::Timestamp::from_second(END + secs).unwrap())
    }

    fn text(status: &str, upstream: [&str; 3]) -> String {
        let [servers, codes, seconds] = upstream;
        format!(
            r#"{{"time":"x","remote":"::1","method":"GET","uri":"/\u0001","status":"{status}","bytes":"2","seconds":"1.504","upstream":"{servers}","upstream_name":"web","upstream_status":"{codes}","upstream_seconds":"{seconds}","end":"{END}.250"}}"#
        )
    }

    fn tried(status: &str, upstream: [&str; 3]) -> Vec<(String, Outcome, u32)> {
        let text = text(status, upstream);
        let line = AccessLine::parse(&text, at(1)).unwrap();
        let tries = line.tries.iter();
        tries
            .map(|one| (one.address.to_owned(), one.outcome, one.millis))
            .collect()
    }

    #[test]
    fn each_server_that_was_tried_has_its_own_status_and_time() {
        let one = |address: &str, outcome, millis| (address.to_owned(), outcome, millis);
        assert_eq!(
            tried("200", ["10.0.0.2:80", "200", "0.004"]),
            [one("10.0.0.2:80", Outcome::Answered, 4)]
        );
        assert_eq!(
            tried(
                "200",
                [
                    "10.0.0.2:80, 10.0.0.3:80 : [fd00::4]:80",
                    "502, 504 : 200",
                    "0.001, 1.000 : 0.003"
                ]
            ),
            [
                one("10.0.0.2:80", Outcome::Failed, 1),
                one("10.0.0.3:80", Outcome::Failed, 1000),
                one("[fd00::4]:80", Outcome::Answered, 3),
            ]
        );
        // The client went away while the second one worked: that is no error of either.
        assert_eq!(
            tried("499", ["10.0.0.2:80, 10.0.0.3:80", "502, -", "0.001, 1.500"]),
            [
                one("10.0.0.2:80", Outcome::Failed, 1),
                one("10.0.0.3:80", Outcome::Cancelled, 1500),
            ]
        );
        // What nginx does not say of a server is not counted; nor is an upstream without one.
        assert_eq!(
            tried("502", ["10.0.0.2:80, web", "502, 502", "-, 0.000"]),
            Vec::new()
        );
    }

    #[test]
    fn a_request_counts_once_with_what_its_client_got_of_the_server_tried_last() {
        let text = text(
            "499",
            [
                "10.0.0.2:80, 10.0.0.3:80, web",
                "502, -, 502",
                "0.001, 1.5, 0.000",
            ],
        );
        let line = AccessLine::parse(&text, at(1)).unwrap();
        assert_eq!(
            (line.outcome, line.millis, line.last, line.upstream),
            (Outcome::Cancelled, 1504, "10.0.0.3:80", Some("web"))
        );
    }

    #[test]
    fn lists_of_different_lengths_and_endless_ones_count_for_no_server() {
        let endless = "10.0.0.2:80, ".repeat(5000);
        let codes = "502, ".repeat(5000);
        for upstream in [
            ["10.0.0.2:80, 10.0.0.3:80", "200", "0.004"],
            ["10.0.0.2:80", "200, 200", "0.004"],
            ["10.0.0.2:80", "200", ""],
            [endless.as_str(), codes.as_str(), codes.as_str()],
        ] {
            assert_eq!(tried("200", upstream), Vec::new(), "{upstream:?}");
        }
    }

    #[test]
    fn what_nginx_does_not_write_is_not_counted() {
        let good = text("200", ["10.0.0.2:80", "200", "0.004"]);
        assert!(AccessLine::parse(&good, at(1)).is_some());
        for (from, to) in [
            ("10.0.0.2:80", "-"),
            ("10.0.0.2:80", ""),
            (r#""status":"200""#, r#""status":"101""#),
            (r#""status":"200""#, r#""status":"+20""#),
            (r#""status":"200""#, r#""status":"99999999999""#),
            (r#""status":"200""#, r#""status":200"#),
            (r#""seconds":"1.504""#, r#""seconds":"-1.504""#),
            (r#""seconds":"1.504""#, r#""seconds":"x""#),
            (r#""end":"1900000000.250""#, r#""end":"99999999999999999999.250""#),
            (r#""end":"1900000000.250""#, r#""end":"-""#),
            ("{", "{{"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(AccessLine::parse(&bad, at(1)), None, "{bad}");
        }
        assert_eq!(AccessLine::parse("", at(1)), None);
        for now in [-3600, -61, 3600, 10 * 365 * 24 * 3600] {
            assert_eq!(AccessLine::parse(&good, at(now)), None, "read at {now}");
        }
    }

    #[test]
    fn a_time_that_is_too_large_to_count_is_the_largest_that_can_be() {
        assert_eq!((millis("0.120"), millis("3")), (Some(120), Some(3000)));
        assert_eq!(millis("99999999999999999999.999"), Some(u32::MAX));
        assert_eq!(millis("4294967.999"), Some(u32::MAX));
        assert_eq!((millis("x"), millis(""), millis("1.")), (None, None, None));
    }

    #[test]
    fn a_line_of_a_template_that_says_less_still_counts_for_the_workload() {
        let text =
            format!(r#"{{"status":"200","seconds":"0.001","upstream":"10.0.0.2:80","end":"{END}.250"}}"#);
        let line = AccessLine::parse(&text, at(0)).unwrap();
        assert_eq!(
            (line.last, line.upstream, line.tries),
            ("10.0.0.2:80", None, Vec::new())
        );
    }
}
