use aegis_api::Duration;

use super::*;

fn at(text: &str) -> Time {
    format!("2026-11-30T{text}Z").parse().unwrap()
}

/// Trouble began at 12:00:00, and it is 12:02:00.
fn spans() -> Spans {
    Spans {
        before: at("11:50:00"),
        began: at("12:00:00"),
        since: at("12:00:00"),
        now: at("12:02:00"),
    }
}

/// The api, called by web, which needs a cache; payments is none of ours.
fn names() -> Names {
    Names {
        own: ["api", "shop-api", "web", "front"].map(str::to_owned).into(),
        others: [
            ("cache", "cache"),
            ("shop-cache", "cache"),
            ("payments", "payments"),
            ("10.0.0.7", "cache"),
        ]
        .map(|(called, whose)| (called.to_owned(), whose.to_owned()))
        .into(),
    }
}

fn of(line: &str) -> Line {
    classify(line, &names())
}

fn blames(name: &str) -> Line {
    Line::Blames(Some(name.to_owned()))
}

#[test]
fn a_line_that_names_another_or_an_unreachable_peer_blames_that_and_one_with_a_cause_of_its_own_none() {
    for line in [
        "ERROR GET /catalog answered 500: checksum of the entry does not match",
        "[error] cannot write /data/entry: No space left on device",
        "level=error msg=\"order book is not consistent\"",
        "ERROR worker thread panicked at index out of bounds",
        // Who calls it is not to blame, whatever it is called here.
        "ERROR request of web failed: checksum of the entry does not match",
        "ERROR api: checksum of the entry does not match",
        "java.lang.NullPointerException: customer must not be null",
        "ERROR 500 for http://api:8000/catalog: invalid checksum of the entry",
    ] {
        assert_eq!(of(line), Line::Own, "{line}");
    }
    for (line, whose) in [
        ("ERROR GET / answered 500: cache answered 500", "cache"),
        ("ERROR shop-cache:8000 answered an invalid checksum", "cache"),
        ("ERROR cache.internal answered an invalid checksum", "cache"),
        ("ERROR cannot parse the answer of 10.0.0.7:6379", "cache"),
        (
            "ERROR GET /report answered 500: payments answered 503",
            "payments",
        ),
        (
            "ERROR charge of card failed: 503 of https://pay.example.com/v1/charges",
            "pay.example.com",
        ),
        (
            "ERROR cannot log in at postgres://shop:secret@ledger:5432/shop",
            "ledger",
        ),
    ] {
        assert_eq!(of(line), blames(whose), "{line}");
    }
    for line in [
        "ERROR dial tcp 10.9.9.9:80: connect: connection refused",
        "ERROR query took too long: context deadline exceeded",
        "[error] upstream prematurely closed the stream",
        "ERROR getaddrinfo ENOTFOUND",
        "ERROR write failed: Broken pipe",
    ] {
        assert_eq!(of(line), Line::Blames(None), "{line}");
    }
}

#[test]
fn a_word_of_errors_in_an_ordinary_line_a_4xx_and_an_error_without_a_cause_count_for_nothing() {
    for line in [
        "INFO the page error is shown to new customers",
        "2026-11-30T12:00:00Z WARN retry after error: entry is locked by another job",
        "{\"level\":\"info\",\"msg\":\"error: of last run was cleared by itself\"}",
        "level=debug msg=\"no fatal problem was found here\"",
        "ERROR GET /favicon.ico answered 404: no such page exists",
        "[error] 422 validation of the order form was not passed",
    ] {
        assert_eq!(of(line), Line::Ordinary, "{line}");
    }
    for line in [
        "ERROR GET / 500",
        "ERROR GET / answered 500: Internal Server Error",
        "[error] request failed",
        "ERROR Exception on /catalog [GET]",
        "Traceback (most recent call last):",
    ] {
        assert_eq!(of(line), Line::Generic, "{line}");
    }
    // A 4xx of which a 5xx came is one.
    assert_eq!(
        of("ERROR answered 500 after 404 pages of the catalog vanished"),
        Line::Own
    );
}

/// What is said by these lines, each so many times, a second apart from this time on.
fn read(lines: &[(&str, &str, u32)], complete: bool) -> Result<Said, String> {
    let names = names();
    let mut reader = Reader::new(&names, spans());
    for (from, line, times) in lines {
        for number in 0..*times {
            let at = at(from).plus(Duration::from_secs(number.into()));
            let is_error = ["ERROR", "Exception", "Traceback"]
                .iter()
                .any(|word| line.contains(word));
            reader.line(Some(at), line, is_error);
        }
    }
    reader.finish(complete)
}

const OWN: &str = "ERROR checksum of the entry does not match";

#[test]
fn what_was_logged_before_trouble_began_is_kept_apart_and_what_a_log_does_not_reach_back_to_is_not_known() {
    let said = read(&[("11:55:00", OWN, 4), ("12:01:00", OWN, 12)], true).unwrap();
    assert_eq!((said.own, said.blaming), (12, 0));
    assert_eq!(said.per_minute_before(), Some(0.4), "over ten minutes");
    assert!(
        (said.per_minute() - 6.0).abs() < 1e-9,
        "over two: {}",
        said.per_minute()
    );
    assert_eq!(said.line.as_deref(), Some(OWN));
    // It was cut off at its beginning, within the time before.
    let said = read(&[("11:58:00", OWN, 4), ("12:01:00", OWN, 12)], false).unwrap();
    assert_eq!(
        said.per_minute_before(),
        Some(2.0),
        "over the two that it reaches back"
    );
    let said = read(&[("12:01:00", OWN, 12)], false).unwrap();
    assert_eq!(said.per_minute_before(), None);
    let said = read(&[("12:01:00", OWN, 12)], true).unwrap();
    assert_eq!(said.per_minute_before(), Some(0.0), "there is nothing before");
}

#[test]
fn a_log_without_times_says_nothing() {
    let names = names();
    let mut reader = Reader::new(&names, spans());
    reader.line(None, OWN, true);
    assert!(reader.finish(true).is_err());
}

#[test]
fn a_stack_trace_says_whose_an_error_is_and_an_ordinary_line_after_it_does_not() {
    let trace = |cause: &str| {
        let names = names();
        let mut reader = Reader::new(&names, spans());
        for number in 0..10 {
            let at = at("12:01:00").plus(Duration::from_secs(number));
            reader.line(Some(at), "ERROR order of the customer was lost", true);
            reader.line(Some(at), "    at OrderBook.add (order.js:3)", false);
            reader.line(Some(at), cause, false);
            reader.line(Some(at), cause, false);
        }
        reader.finish(true).unwrap()
    };
    let said = trace("    [cause]: connect ECONNREFUSED 10.9.9.9:80");
    assert_eq!((said.own, said.blaming), (10, 10), "once for each error");
    let said = trace("    host: 'cache'");
    assert!(said.blames("cache") && said.blaming == 10);
    let said = trace("connected to cache");
    assert_eq!((said.own, said.blaming), (10, 0), "it continues nothing");
}

#[test]
fn i11_whom_a_log_names_is_bounded_and_what_is_kept_of_it_has_no_secrets() {
    let names = names();
    let mut reader = Reader::new(&names, spans());
    for number in 0..1000 {
        let host = format!("ERROR charge failed at https://h{number}.example.com/x");
        reader.line(Some(at("12:01:00")), &host, true);
    }
    let long = format!("ERROR charge failed at https://{}/x", "shop.".repeat(100));
    assert!(matches!(of(&long), Line::Blames(Some(name)) if name.chars().count() <= NAME));
    reader.line(
        Some(at("12:01:01")),
        "ERROR login with password=hunter2hunter2 was of no use",
        true,
    );
    let said = reader.finish(true).unwrap();
    assert_eq!(said.blamed().count(), MOST_NAMES);
    assert!(said.blamed().all(|name| name.chars().count() <= NAME));
    let line = said.line.unwrap();
    assert!(
        !line.contains("hunter2") && line.chars().count() <= LINE,
        "{line}"
    );
}

#[test]
fn replicas_speak_together_and_one_that_is_not_known_makes_all_unknown() {
    let one = || read(&[("12:01:00", OWN, 5)], true);
    let both = Said::all([one(), one()]).unwrap();
    assert_eq!(both.own, 10);
    let cut = read(&[("12:01:00", OWN, 5)], false);
    assert_eq!(Said::all([one(), cut]).unwrap().per_minute_before(), None);
    assert!(Said::all([one(), Err("gone".to_owned())]).is_err());
    assert!(Said::all([]).is_err());
}
