mod forgiven;

use super::*;

const GOOD: &str = r#"{"root_cause": "a leak", "action": "RESTART", "justification": "memory is at 97 %", "confidence": 0.9, "replica_count": 0}"#;

fn expected() -> Proposal {
    Proposal {
        root_cause: "a leak".into(),
        action: Action::Restart,
        justification: "memory is at 97 %".into(),
        confidence: 0.9,
        replica_count: 0,
    }
}

fn with(field: &str, value: &str) -> String {
    let mut json: serde_json::Value = serde_json::from_str(GOOD).unwrap();
    json[field] = serde_json::from_str(value).unwrap();
    json.to_string()
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let faults = proposal(text).expect_err(text);
    assert!(
        listed(&faults).contains(words),
        "{words:?} is missing in {:?}",
        listed(&faults)
    );
}

#[test]
fn whatever_stands_around_the_object_it_is_found() {
    for text in [
        GOOD.to_owned(),
        format!("```json\n{GOOD}\n```"),
        format!("Sure! Memory is at its limit {{see above}}.\n\n{GOOD}\n\nHope this helps {{}}!"),
        format!("<think>perhaps {}?</think>\n{GOOD}", with("action", "\"NOOP\"")),
        format!("perhaps {}\n</think>{GOOD}", with("action", "\"NOOP\"")),
        format!("<think>so be it: {GOOD}"),
        format!("{{\"proposal\": {GOOD}}}"),
        format!("[{GOOD}]"),
        format!("{GOOD}\n{GOOD}"),
        format!("the log says {{\"level\": \"error\", \"action\"\n{GOOD}"),
        GOOD.replace('{', "{\"reasoning\": \"first, {this} \\\"}\", ")
            .replace("0}", "0,\n}"),
        GOOD.replace("root_cause", "rootCause")
            .replace("replica_count", "Replica-Count")
            .replace("action", "ACTION"),
        GOOD.replace("RESTART", "`restart`"),
        GOOD.replace("0.9", "\"90%\"").replace(": 0}", ": \"0\"}"),
    ] {
        assert_eq!(proposal(&text), Ok(expected()), "{text}");
    }
}

#[test]
fn actions_are_a_closed_set_in_any_case() {
    for (text, action) in [("\"noop\"", Action::Noop), ("\"Rollback \"", Action::Rollback)] {
        assert_eq!(proposal(&with("action", text)).unwrap().action, action);
    }
    let scale = with("action", "\"scale up\"").replace("count\":0", "count\":2");
    assert_eq!(proposal(&scale).unwrap().action, Action::ScaleUp);
    for text in [
        "\"DELETE\"",
        "\"RESTART db\"",
        "\"RESTART,NOOP\"",
        "\"\"",
        "1",
        "[\"RESTART\"]",
        "{}",
    ] {
        refused(
            &with("action", text),
            "use one of RESTART, SCALE_UP, SCALE_DOWN, ROLLBACK, NOOP",
        );
    }
}

#[test]
fn confidence_may_be_a_share_or_a_percentage() {
    for (text, share) in [
        ("0", 0.0),
        ("1", 1.0),
        ("0.85", 0.85),
        ("85", 0.85),
        ("100", 1.0),
        ("\"85%\"", 0.85),
        ("\" 0.5 % \"", 0.005),
        ("\"0.5\"", 0.5),
    ] {
        assert_eq!(
            proposal(&with("confidence", text)).unwrap().confidence,
            share,
            "{text}"
        );
    }
    for text in [
        "1.5", "101", "-0.1", "-5", "\"high\"", "\"NaN\"", "\"inf\"", "[]", "true", "1e308", "\"101%\"",
    ] {
        refused(&with("confidence", text), "`confidence`");
    }
}

#[test]
fn counts_are_whole_and_belong_to_scaling() {
    let scale = |count: &str| {
        GOOD.replace("RESTART", "SCALE_UP")
            .replace(": 0}", &format!(": {count}}}"))
    };
    for (text, count) in [("2", 2), ("\"2\"", 2), ("2.0", 2), ("200", 200)] {
        assert_eq!(proposal(&scale(text)).unwrap().replica_count, count, "{text}");
    }
    for text in ["-1", "1.5", "201", "1e9", "4294967297", "\"two\"", "[2]"] {
        refused(&scale(text), "whole number from 0 to 200");
    }
    refused(&scale("0"), "needs at least 1");
    refused(&with("replica_count", "3"), "use 0");
}

#[test]
fn i4_every_field_must_be_there_and_no_other() {
    for field in [
        "root_cause",
        "action",
        "justification",
        "confidence",
        "replica_count",
    ] {
        refused(&with(field, "null"), &format!("`{field}`: missing"));
        let mut json: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        json.as_object_mut().unwrap().remove(field);
        refused(&json.to_string(), &format!("`{field}`: missing"));
    }
    refused(&with("workload", "\"db\""), "`workload`: there is no such field");
    refused(
        &with("command", "\"rm -rf /\""),
        "`command`: there is no such field",
    );
    refused(
        &GOOD.replace("{", "{\"action\": \"NOOP\", "),
        "`action`: given twice",
    );
    refused(&with("root_cause", "\" \""), "`root_cause`: empty");
    refused(&with("root_cause", "[\"x\"]"), "use a text");
    refused(
        &with("root_cause", &format!("{:?}", "x".repeat(2001))),
        "longer than 2000",
    );
}

#[test]
fn every_error_is_named_at_once() {
    let faults = proposal(r#"{"action": "KILL", "confidence": 7.5e9, "target": "db"}"#).unwrap_err();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "target",
            "root_cause",
            "action",
            "justification",
            "confidence",
            "replica_count"
        ]
    );
}

#[test]
fn one_answer_is_an_answer_and_two_are_none() {
    refused(
        &format!("{GOOD}\nor\n{}", with("action", "\"NOOP\"")),
        "2 different answers",
    );
    for text in [
        "",
        "I cannot help with that.",
        "{}",
        "{\"a\": 1}",
        "{\"action",
        "```json\n```",
        "null",
    ] {
        refused(text, "there is no JSON object with the fields");
    }
}

#[test]
fn a_flood_is_given_up_in_no_time() {
    refused(&"{".repeat(64 * 1024), "no JSON object");
    refused(&"{\"a\":".repeat(13_000), "no JSON object");
    refused(&"x".repeat(100_000), "far too long");
}

#[test]
fn i11_secrets_and_control_characters_do_not_survive() {
    let text = with("root_cause", r#""the \u001b[31mtoken=abcdef123456\u0007 leaked""#);
    let root_cause = proposal(&text).unwrap().root_cause;
    assert!(
        !root_cause.contains(['\u{1b}', '\u{7}']) && !root_cause.contains("abcdef123456"),
        "{root_cause}"
    );
}

#[test]
fn a_vote_is_read_alike() {
    let vote = ballot("I think so.\n{\"Reasoning\": \"fine\", \"verdict\": \"needs review\"}").unwrap();
    assert_eq!(
        (vote.verdict, vote.reasoning.as_str()),
        (Verdict::NeedsReview, "fine")
    );
    for text in [
        r#"{"verdict": "APPROVED"}"#,
        r#"{"verdict": "MAYBE", "reasoning": "r"}"#,
        r#"{"verdict": "APPROVED", "reasoning": "r", "override": true}"#,
        r#"{"verdict": "APPROVED", "reasoning": "r"} {"verdict": "REJECTED", "reasoning": "r"}"#,
        "APPROVED",
    ] {
        assert!(ballot(text).is_err(), "{text}");
    }
}
