//! What is forgiven in the form of an answer, each beside an answer of the same form that can be read in two ways.

use super::*;

/// The one reading is the expected one.
#[track_caller]
fn read(texts: &[String]) {
    for text in texts {
        assert_eq!(proposal(text), Ok(expected()), "{text}");
    }
}

/// There are two readings, or none.
#[track_caller]
fn unclear(texts: &[String]) {
    for text in texts {
        assert!(proposal(text).is_err(), "{text}");
    }
}

fn edit(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replace(from, to)
}

#[test]
fn backslashes_that_escape_nothing_are_dropped_and_no_name_is_made_of_them() {
    read(&[
        edit("root_cause", "root\\_cause"),
        edit("replica_count", "replica\\_count").replace("root_cause", "root\\_cause"),
        edit("97 %", "97 \\%"),
        edit("\"a leak\"", "\"a\\ leak\""),
    ]);
    let path = proposal(&edit("a leak", "C:\\Windows\\users leak it\\'s \\ud83d")).unwrap();
    assert_eq!(path.root_cause, "C:\\Windows\\users leak it's \u{fffd}");
    let scale = edit("RESTART", "SCALE\\_UP").replace("count\": 0", "count\": 1");
    assert_eq!(proposal(&scale).unwrap().action, Action::ScaleUp);
    unclear(&[
        edit("action", "a\\ction"),
        edit("RESTART", "RE\\START"),
        edit("RESTART", "\\RESTART NOOP"),
    ]);
}

#[test]
fn comments_are_passed_over_unless_they_name_another_answer() {
    read(&[
        edit(", \"action\"", ", // what grows\n \"action\""),
        edit("\"a leak\"", "\"a leak\" /* memory, 97 % */"),
        edit("{\"root", "{ # the proposal\n\"root"),
        edit("\"RESTART\"", "\"RESTART\" // a RESTART is enough\n"),
        edit(": 0}", ": 0 // none\n}"),
        edit("a leak", "a leak"),
    ]);
    assert_eq!(
        proposal(&edit("a leak", "see http://h/#a /* b */"))
            .unwrap()
            .root_cause,
        "see http://h/#a /* b */"
    );
    unclear(&[
        edit("\"RESTART\"", "\"RESTART\" // or SCALE_UP\n"),
        edit("\"RESTART\"", "\"RESTART\" /* \"NOOP\" */"),
        edit("\"RESTART\"", "\"RESTART\" // or scale up\n"),
        edit(": 0}", ": 0 /* \"replica_count\": 3 */}"),
        edit("\"a leak\"", "\"a leak\" /* without end"),
    ]);
}

#[test]
fn single_and_curly_quotes_are_quotes_unless_one_may_be_an_apostrophe() {
    let single = GOOD.replace('"', "'");
    read(&[
        single.clone(),
        GOOD.replace("\"a leak\"", "'a leak'"),
        GOOD.replace("\"a leak\"", "\u{201c}a leak\u{201d}"),
        GOOD.replace("\"action\"", "\u{201c}action\u{201d}")
            .replace("\"RESTART\"", "\u{201e}RESTART\u{201c}"),
        GOOD.replace("\"a leak\"", "\u{2018}a leak\u{2019}"),
    ]);
    assert_eq!(
        proposal(&single.replace("a leak", "it's the app's leak"))
            .unwrap()
            .root_cause,
        "it's the app's leak"
    );
    assert_eq!(
        proposal(&single.replace("a leak", "a \"db\" leak"))
            .unwrap()
            .root_cause,
        "a \"db\" leak"
    );
    unclear(&[
        single.replace("a leak", "the users' leak"),
        single.replace("a leak", "a leak', 'action': 'NOOP"),
        GOOD.replace("\"a leak\"", "\u{201c}a \u{201c}db\u{201d} leak\u{201d}"),
        GOOD.replace("a leak", "a \"db\" leak"),
    ]);
}

#[test]
fn names_without_quotes_and_python_s_words_are_read_and_two_words_are_none() {
    read(&[
        edit("\"root_cause\"", "root_cause").replace("\"action\"", "action"),
        edit("\"RESTART\"", "RESTART"),
        edit("0.9", "+0.9"),
        edit("0.9", ".9"),
        edit("0.9", "90%"),
    ]);
    unclear(&[
        edit("\"RESTART\"", "RESTART NOOP"),
        edit("\"RESTART\"", "RESTART | NOOP"),
        edit("\"RESTART\"", "None"),
        edit("0.9", "NaN"),
        edit("0.9", "0,9"),
        edit("0.9", "0.9.1"),
        edit("\"root_cause\"", "root cause"),
    ]);
}

#[test]
fn a_last_comma_is_forgiven_and_a_hole_is_not() {
    read(&[edit(": 0}", ": 0,}"), edit(": 0}", ": 0 ,\n }\n")]);
    unclear(&[
        edit(", \"action\"", ",, \"action\""),
        edit("{\"root", "{, \"root"),
        edit(", \"action\"", " \"action\""),
        edit(": 0}", ": }"),
    ]);
}

#[test]
fn a_last_brace_that_is_missing_is_put_there_unless_the_value_may_go_on() {
    let open = GOOD.trim_end_matches('}').to_owned();
    read(&[
        open.clone(),
        format!("{open}\n"),
        format!("{open},"),
        format!("```json\n{open}\n```"),
    ]);
    let scale = open
        .replace("RESTART", "SCALE_UP")
        .replace("count\": 0", "count\": 1");
    assert_eq!(proposal(&format!("{scale} ")).unwrap().replica_count, 1);
    let reordered = r#"{"root_cause": "a", "action": "RESTART", "justification": "b", "replica_count": 0, "confidence": 0"#;
    refused(
        &scale,
        "it can be read in two ways, as it stops right behind `replica_count`",
    );
    refused(reordered, "it can be read in two ways");
    refused(
        &reordered.replace("\"confidence\": 0", "\"confidence\": 0.9"),
        "in two ways",
    );
    unclear(&[
        open.replace("\"replica_count\": 0", "\"replica_count\":"),
        open.replace("0.9, \"replica_count\": 0", "0.9, \"replica_count"),
        open.replace("RESTART\", ", "RESTART"),
        format!("{open} and then"),
        open.replace(": 0", ": [0"),
        r#"{"root_cause": "a", "justification": "b", "confidence": 1, "replica_count": 0, "action": RESTART"#
            .to_owned(),
    ]);
}

#[test]
fn an_object_in_a_text_is_taken_out_of_it_and_two_are_none() {
    let quoted = serde_json::to_string(GOOD).unwrap();
    let inner = &quoted[1..quoted.len() - 1];
    read(&[
        quoted.clone(),
        format!("Here it is: {inner}"),
        format!("```\n{quoted}\n```"),
    ]);
    let noop = serde_json::to_string(&with("action", "\"NOOP\"")).unwrap();
    unclear(&[
        format!("{quoted} or {noop}"),
        format!("{{\"a\": {quoted}, \"b\": {noop}}}"),
    ]);
}

#[test]
fn of_two_answers_in_two_forms_none_counts() {
    let noop = with("action", "\"NOOP\"");
    refused(
        &format!("{} {noop}", GOOD.replace('"', "'")),
        "2 different answers",
    );
    refused(
        &format!("{noop}\n{}", GOOD.replace("root_cause", "root\\_cause")),
        "2 different answers",
    );
    read(&[format!("{} {GOOD}", GOOD.replace('"', "'"))]);
}

#[test]
fn what_is_wrong_with_the_object_that_was_begun_is_named() {
    refused("", "nor anything else");
    refused(
        &GOOD.replace("a leak", "a \"db\" leak"),
        "what was begun is not JSON (expected `,` or `}` at line 1",
    );
}

#[test]
fn doing_nothing_has_several_names_and_words_may_be_joined() {
    for (text, action) in [
        ("NONE", Action::Noop),
        ("no_action", Action::Noop),
        ("No-Op", Action::Noop),
        ("Do nothing", Action::Noop),
    ] {
        assert_eq!(
            proposal(&with("action", &format!("{text:?}"))).unwrap().action,
            action,
            "{text}"
        );
    }
    let scale = with("action", "\"ScaleUp\"").replace("count\":0", "count\":2");
    assert_eq!(proposal(&scale).unwrap().action, Action::ScaleUp);
    for text in [
        "RESTART or NOOP",
        "NOT RESTART",
        "RESTART!NOOP",
        "no restart",
        "REST/ART",
        "true",
    ] {
        refused(&with("action", &format!("{text:?}")), "use one of");
    }
}

#[test]
fn a_confidence_is_read_as_people_write_one_and_a_thousand_is_none() {
    for (text, share) in [
        ("0,92", 0.92),
        ("0,925", 0.925),
        ("92,5", 0.925),
        ("92,5 %", 0.925),
        ("9/10", 0.9),
        ("90 percent", 0.9),
    ] {
        assert_eq!(
            proposal(&with("confidence", &format!("{text:?}")))
                .unwrap()
                .confidence,
            share,
            "{text}"
        );
    }
    for text in [
        "1,000",
        "92,500",
        "0,9,2",
        "9/0",
        "10/9",
        "9/1000",
        ",9",
        "0.9-1.0",
        "0.9 or 0.1",
    ] {
        refused(&with("confidence", &format!("{text:?}")), "`confidence`");
    }
}

#[test]
fn ballots_are_read_in_their_usual_spellings_and_qualified_ones_are_none() {
    let vote = |verdict: &str| {
        ballot(&format!("{{\"reasoning\": \"r\", \"verdict\": {verdict}}}")).map(|it| it.verdict)
    };
    for (verdict, texts) in [
        (
            Verdict::Approved,
            [
                "\"approved\"",
                "\"Approved.\"",
                "\"\u{2705} APPROVE\"",
                "\"YES\"",
                "true",
            ],
        ),
        (
            Verdict::Rejected,
            ["\"REJECT\"", "\"no\"", "\"Not approved\"", "\"Denied!\"", "false"],
        ),
        (
            Verdict::NeedsReview,
            [
                "\"NEEDS REVIEW\"",
                "\"needs-human-review\"",
                "\"ABSTAIN\"",
                "\"Unsure\"",
                "\"**REVIEW**\"",
            ],
        ),
    ] {
        for text in texts {
            assert_eq!(vote(text), Ok(verdict), "{text}");
        }
    }
    for text in [
        "\"APPROVED with reservations\"",
        "\"APPROVED/REJECTED\"",
        "\"yes and no\"",
        "\"approved?, rejected?\"",
        "1",
        "null",
        "[\"APPROVED\"]",
    ] {
        assert!(vote(text).is_err(), "{text}");
    }
    let named = |text: &str| ballot(text).map(|it| (it.verdict, it.reasoning));
    assert_eq!(
        named(r#"{"decision": "REJECT", "justification": "why"}"#),
        Ok((Verdict::Rejected, "why".to_owned()))
    );
    assert!(named(r#"{"decision": "REJECT", "verdict": "APPROVED", "reasoning": "r"}"#).is_err());
}

#[test]
fn a_flood_of_broken_objects_is_given_up_in_no_time() {
    for piece in ["{'a':", "{a:[", "{\"a\\_\": /*", "{\"a\":\"\\", "{\u{201c}a"] {
        refused(&piece.repeat(64 * 1024 / piece.len()), "no JSON object");
    }
}
