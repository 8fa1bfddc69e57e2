use SymptomKind::{ErrorBurst, HttpErrors, HttpSlow, MemoryHigh, ProbeFailing, Rule};
use serde_json::json;

use super::log::{Names, Reader, Spans};
use super::*;
use crate::incident::testing::{self, REPORT, incident, judge as judged};

fn at(text: &str) -> Time {
    format!("2026-11-30T{text}Z").parse().unwrap()
}

/// A log that says this, so many times a minute before trouble began at 12:00 and after it, until 12:02.
fn log(line: &str, before: u64, after: u64) -> Result<Said, String> {
    log_until(line, before, after, "12:02:00")
}

fn log_until(line: &str, before: u64, after: u64, now: &str) -> Result<Said, String> {
    let names = Names {
        own: ["web".to_owned()].into(),
        others: ["api", "cache", "db", "payments"]
            .map(|name| (name.to_owned(), name.to_owned()))
            .into(),
    };
    let spans = Spans {
        before: at("11:50:00"),
        began: at("12:00:00"),
        since: at("12:00:00"),
        now: at(now),
    };
    let mut reader = Reader::new(&names, spans);
    for (from, minutes, each) in [("11:50:00", 10, before), ("12:00:00", 2, after)] {
        for number in 0..minutes * each {
            let secs = number * 60 / each;
            reader.line(Some(at(from).plus(Duration::from_secs(secs))), line, true);
        }
    }
    reader.finish(true)
}

fn own() -> Result<Said, String> {
    log("ERROR checksum of the entry does not match", 0, 60)
}

fn blames(name: &str) -> Result<Said, String> {
    log(&format!("ERROR {name} answered 500"), 0, 60)
}

fn quiet() -> Result<Said, String> {
    log("ERROR", 0, 0)
}

fn candidate(name: &str, needs: &[&str], log: Result<Said, String>) -> Candidate {
    Candidate {
        name: name.to_owned(),
        is_workload: true,
        needs: needs.iter().map(|name| (*name).to_owned()).collect(),
        log: Some(log),
        ..Candidate::default()
    }
}

/// web needs api, which needs cache and db, each of which logs this.
fn chain(logs: [Result<Said, String>; 4]) -> Vec<Candidate> {
    let [web, api, cache, db] = logs;
    vec![
        candidate("web", &["api", "cache", "db"], web),
        candidate("api", &["cache", "db"], api),
        candidate("cache", &[], cache),
        candidate("db", &[], db),
    ]
}

/// Who is named of these.
fn named(candidates: &[Candidate]) -> Option<String> {
    let found = find("web", candidates, &[HttpErrors]);
    found.workload.map(|name| name.to_string())
}

#[test]
fn the_deepest_whose_own_lines_blame_no_other_is_named_wherever_it_stands() {
    for (logs, whose) in [
        ([blames("api"), blames("cache"), own(), quiet()], Some("cache")),
        ([blames("api"), own(), quiet(), quiet()], Some("api")),
        ([own(), quiet(), quiet(), quiet()], Some("web")),
        // Those above pass it on in words that blame no other.
        ([own(), own(), quiet(), own()], Some("db")),
        // Two of one height, and none at all.
        ([blames("api"), blames("cache"), own(), own()], None),
        ([quiet(), quiet(), quiet(), quiet()], None),
        ([blames("api"), blames("cache"), quiet(), quiet()], None),
    ] {
        let candidates = chain(logs);
        assert_eq!(
            named(&candidates).as_deref(),
            whose,
            "{:?}",
            find("web", &candidates, &[HttpErrors])
        );
    }
    let found = find(
        "web",
        &chain([blames("api"), own(), quiet(), quiet()]),
        &[HttpErrors],
    );
    assert!(
        found.own_errors && found.message.contains("checksum of the entry"),
        "{found:?}"
    );
}

#[test]
fn what_is_no_workload_is_shown_as_blamed_and_named_as_a_container_where_it_is_known_to_be_needed() {
    let found = find(
        "web",
        &chain([blames("api"), blames("payments"), quiet(), quiet()]),
        &[HttpErrors],
    );
    assert_eq!(
        (found.workload, found.blamed),
        (None, vec!["payments".to_owned()])
    );
    assert!(found.message.contains("payments"), "{}", found.message);
    let mut candidates = chain([blames("api"), blames("db"), quiet(), own()]);
    candidates[3].is_workload = false;
    let found = find("web", &candidates, &[HttpErrors]);
    assert!(
        found.workload.is_none() && found.message.starts_with("container db"),
        "{found:?}"
    );
}

#[test]
fn what_is_not_known_is_no_evidence_and_none_is_named_above_it() {
    let unread = || Err("its log cannot be read".to_owned());
    let found = find(
        "web",
        &chain([blames("api"), own(), unread(), quiet()]),
        &[HttpErrors],
    );
    assert!(
        found.workload.is_none() && found.message.contains("cache"),
        "{found:?}"
    );
    // Beside it, it explains nothing.
    assert_eq!(
        named(&chain([blames("api"), blames("db"), unread(), own()])).as_deref(),
        Some("db")
    );
    assert_eq!(named(&chain([blames("api"), unread(), unread(), unread()])), None);
    let mut never = chain([blames("api"), own(), quiet(), quiet()]);
    never[2].log = None;
    assert_eq!(named(&never), None);
}

#[test]
fn a_log_that_says_so_at_other_times_says_so_too_seldom_or_does_so_no_more_is_no_evidence() {
    const LINE: &str = "ERROR checksum of the entry does not match";
    for (log, is_named) in [
        (log(LINE, 0, 60), true),
        (log(LINE, 10, 60), true),
        // As ever, or hardly more.
        (log(LINE, 60, 60), false),
        (log(LINE, 30, 60), false),
        // Below the bound of a burst.
        (log(LINE, 0, 3), false),
        (log(LINE, 0, 4), true),
        // Two minutes ago.
        (log_until(LINE, 0, 60, "12:04:00"), false),
        // Ordinary lines.
        (
            log("ERROR GET /favicon.ico answered 404: no such page exists", 0, 60),
            false,
        ),
        (log("INFO error: pages are shown to new customers", 0, 60), false),
        (log("ERROR GET / answered 500", 0, 60), false),
    ] {
        let candidates = chain([blames("api"), blames("cache"), log.clone(), quiet()]);
        assert_eq!(named(&candidates).is_some(), is_named, "{log:?}");
    }
}

#[test]
fn one_that_does_not_serve_is_named_and_one_short_of_something_where_it_is_blamed_or_answers_are_only_slow() {
    let mut sick = chain([blames("api"), blames("db"), quiet(), quiet()]);
    sick[3].sick = Some("it fails its probe".to_owned());
    let found = find("web", &sick, &[HttpErrors]);
    assert_eq!(found.workload.as_ref().map(|name| name.as_str()), Some("db"));
    assert!(!found.own_errors, "its log says nothing: {found:?}");
    let short = |web, api, kinds: &[SymptomKind]| {
        let mut candidates = chain([web, api, quiet(), quiet()]);
        candidates[2].short = Some("it uses 99 % of a core".to_owned());
        find("web", &candidates, kinds)
            .workload
            .map(|name| name.to_string())
    };
    assert_eq!(
        short(blames("api"), blames("cache"), &[HttpErrors]).as_deref(),
        Some("cache")
    );
    assert_eq!(short(blames("api"), blames("db"), &[HttpErrors]), None);
    assert_eq!(short(quiet(), quiet(), &[HttpSlow]).as_deref(), Some("cache"));
    assert_eq!(short(quiet(), quiet(), &[HttpErrors]), None);
}

#[test]
fn a_deployment_of_a_moment_ago_is_shown() {
    let mut candidates = chain([blames("api"), own(), quiet(), quiet()]);
    candidates[1].deployed = Some(Duration::from_secs(90));
    let found = find("web", &candidates, &[HttpErrors]);
    assert!(found.message.contains("deployed"), "{}", found.message);
}

fn about_web(kinds: &[SymptomKind], origin: &Origin, phase: Phase, source: &str) -> ValidatedIncident {
    let spec = format!("{{workloadRef: web, alertType: odd, severity: critical{source}}}");
    let mut validated = judged(vec![incident(&spec, "{}")], "{mode: Auto}");
    validated.status.symptoms = testing::symptoms(kinds);
    validated.status.origin = Some(origin.clone());
    validated.status.phase = phase;
    validated
}

#[test]
fn an_incident_about_the_one_at_fault_is_opened_once_and_only_while_users_get_errors() {
    let api = Origin {
        workload: Some("api".parse().unwrap()),
        message: "api has logged errors".to_owned(),
        own_errors: true,
        ..Origin::default()
    };
    let opens = |kinds: &[SymptomKind], origin: &Origin, phase, source| {
        to_open(&about_web(kinds, origin, phase, source))
    };
    let (name, spec) = opens(&[HttpErrors], &api, Phase::CouncilReview, "").unwrap();
    assert_eq!(spec.workload_ref.as_ref().unwrap().as_str(), "api");
    assert_eq!(spec.source.dependent.as_ref().unwrap().as_str(), "inc");
    assert_eq!(spec.source.fingerprint, "detector/api/errors");
    assert_eq!(spec.source.incident_id, name.as_str());
    // The same name for the same two: after a crash it is the same incident.
    assert_eq!(
        opens(&[HttpErrors, HttpSlow], &api, Phase::AwaitingApproval, "")
            .unwrap()
            .0,
        name
    );
    for (kinds, origin, phase, source) in [
        (&[HttpSlow][..], api.clone(), Phase::CouncilReview, ""),
        (&[ErrorBurst], api.clone(), Phase::CouncilReview, ""),
        (&[HttpErrors], api.clone(), Phase::Executing, ""),
        (&[HttpErrors], api.clone(), Phase::Resolved, ""),
        (
            &[HttpErrors],
            Origin {
                own_errors: false,
                ..api.clone()
            },
            Phase::CouncilReview,
            "",
        ),
        (
            &[HttpErrors],
            Origin {
                workload: None,
                ..api.clone()
            },
            Phase::CouncilReview,
            "",
        ),
        (
            &[HttpErrors],
            Origin {
                workload: Some("web".parse().unwrap()),
                ..api.clone()
            },
            Phase::CouncilReview,
            "",
        ),
        (
            &[HttpErrors],
            Origin {
                incident: Some("x".parse().unwrap()),
                ..api.clone()
            },
            Phase::CouncilReview,
            "",
        ),
        (
            &[HttpErrors],
            api,
            Phase::CouncilReview,
            ", source: {kind: detector, dependent: other}",
        ),
    ] {
        assert_eq!(
            opens(kinds, &origin, phase, source),
            None,
            "{kinds:?} {origin:?} {phase:?} {source}"
        );
    }
}

#[test]
fn it_matters_where_they_come_from_only_where_errors_or_slow_answers_are_all_that_is_measured() {
    let validated = judged(vec![incident(REPORT, "{}")], "{mode: Auto}");
    for (kinds, does) in [
        (&[HttpErrors][..], true),
        (&[HttpErrors, HttpSlow, ErrorBurst], true),
        (&[], false),
        (&[HttpErrors, MemoryHigh], false),
        (&[HttpErrors, ProbeFailing], false),
        (&[Rule], false),
    ] {
        assert_eq!(matters(&validated, kinds.iter().copied()), does, "{kinds:?}");
    }
}

#[test]
fn a_senders_word_for_when_it_began_counts_for_nothing_and_a_detectors_does() {
    let began_of = |kind: &str| {
        let spec = json!({"workloadRef": "web", "alertType": "x", "startsAt": "2026-11-30T09:00:00Z", "source": {"kind": kind}});
        let metadata = json!({"name": "i", "creationTimestamp": "2026-11-30T10:00:00Z"});
        let incident: Incident = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        began(&incident).unwrap()
    };
    assert_eq!(began_of("webhook"), at("09:59:00"));
    assert_eq!(began_of("detector"), at("08:59:00"));
}
