//! What servers of many kinds send, and what is made of it: a table of bodies in `testdata/dialects`, written by hand in our
//! own words after each server's documentation, and variations of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::Instant;

use super::anthropic::Blocks;
use super::http::error_words;
use super::node::Node;
use super::ollama::Lines;
use super::openai::ChatCompletions;
use super::reading::Reading;
use super::refused::{Learned, Offer};
use super::stream::{Timers, read};
use super::{Again, Completion, ProviderError, Request, Timeouts};
use crate::answer::schema::PROPOSAL;
use crate::answer::{self, listed};
use crate::prompt::Prompt;

const CASES: [&str; 6] = [
    "whole",
    "streamed",
    "refused parameter",
    "cut off",
    "error",
    "refusal",
];
const MAX_TOKENS: u32 = 1500;

struct Server {
    name: String,
    speaks: String,
    cases: Vec<Case>,
}

struct Case {
    title: String,
    code: u16,
    body: String,
    expected: String,
}

fn servers() -> Vec<Server> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dialects");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| server(path)).collect()
}

fn server(path: &Path) -> Server {
    let text = std::fs::read_to_string(path).unwrap();
    let (head, cases) = text.split_once("\n\n== ").unwrap();
    let speaks = head
        .lines()
        .find_map(|line| line.strip_prefix("speaks: "))
        .unwrap();
    Server {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        speaks: speaks.to_owned(),
        cases: cases.split("\n== ").map(case).collect(),
    }
}

fn case(text: &str) -> Case {
    let (title, text) = text.split_once('\n').unwrap();
    let (status, text) = text.split_once('\n').unwrap();
    let (body, expected) = text.rsplit_once("-> ").unwrap();
    Case {
        title: title.to_owned(),
        code: status["HTTP ".len()..]
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap(),
        body: body.to_owned(),
        expected: expected.trim().to_owned(),
    }
}

/// What comes of a body whose head was good, in pieces of so many bytes.
async fn completion(speaks: &str, body: &[u8], piece: usize) -> Result<Completion, ProviderError> {
    let prompt = Prompt::new("rules".to_owned(), "case".to_owned());
    let now = Instant::now();
    let request = Request {
        model: "m",
        prompt: &prompt,
        schema: &PROPOSAL,
        max_tokens: MAX_TOKENS,
        deadline: now + Duration::from_secs(3600),
        again: Again::No,
    };
    let pieces: Vec<Result<Bytes, String>> = body
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let bytes = futures::stream::iter(pieces).boxed();
    let timers = Timers::start(Timeouts::default(), request.deadline);
    let harmless = |text: &str| text.chars().take(400).collect::<String>();
    let sink: super::Sink<'_> = &mut |_| {};
    match speaks {
        "openai" => {
            read(
                bytes,
                Reading::new(request, &harmless, ChatCompletions),
                timers,
                sink,
            )
            .await
        }
        "ollama" => read(bytes, Reading::new(request, &harmless, Lines), timers, sink).await,
        "anthropic" => {
            read(
                bytes,
                Reading::new(request, &harmless, Blocks::default()),
                timers,
                sink,
            )
            .await
        }
        other => panic!("nothing speaks {other}"),
    }
}

/// The action of the proposal in a body, or why there is none.
async fn outcome(speaks: &str, body: &[u8], piece: usize) -> Result<String, String> {
    let completion = completion(speaks, body, piece)
        .await
        .map_err(|error| error.to_string())?;
    let proposal = answer::proposal(&completion.text).map_err(|faults| listed(&faults))?;
    Ok(format!(
        "{} {} {}",
        proposal.action, proposal.confidence, proposal.replica_count
    ))
}

fn refusal(case: &Case) -> (u16, String) {
    (case.code, error_words(case.body.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn every_server_s_answers_are_read_and_its_failures_are_said_in_its_own_words() {
    let servers = servers();
    assert!(servers.len() >= 12);
    for server in &servers {
        let titles: Vec<&str> = server.cases.iter().map(|case| case.title.as_str()).collect();
        assert_eq!(titles, CASES, "{}", server.name);
        for case in &server.cases {
            let what = format!("{}, {}", server.name, case.title);
            if case.title == "refused parameter" {
                let first = match server.speaks.as_str() {
                    "ollama" => Offer::OLLAMA,
                    "anthropic" => Offer::ANTHROPIC,
                    _ => Offer::default(),
                };
                let learned = Learned::starting(first);
                let mut tries = learned.tries("m");
                let (code, words) = refusal(case);
                assert!(tries.refused(code, &words), "{what}: {words}");
                let refused = learned.keep("m", &tries).unwrap_or_default();
                assert_eq!(format!("without {refused}"), case.expected, "{what}: {words}");
                continue;
            }
            if case.code != 200 {
                let (code, words) = refusal(case);
                let said = ProviderError::Status {
                    code,
                    retry_after: None,
                    message: words,
                };
                assert!(said.to_string().contains(&case.expected), "{what}: {said}");
                continue;
            }
            for piece in [1, 11, 1 << 20] {
                match outcome(&server.speaks, case.body.as_bytes(), piece).await {
                    Ok(action) => assert_eq!(action, format!("{} 0.9 0", case.expected), "{what} by {piece}"),
                    Err(why) => assert!(why.contains(&case.expected), "{what} by {piece}: {why}"),
                }
            }
        }
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Values that a field which decides nothing may have.
fn odd(dice: &mut Dice) -> Node {
    match dice.below(9) {
        0 => Node::Null,
        1 => Node::Number(12.0),
        2 => Node::Number(-0.5),
        3 => Node::Text("12".to_owned()),
        4 => Node::Text("x {\"action\": \"NOOP\"} \u{1f980}".to_owned()),
        5 => Node::List(Vec::new()),
        6 => Node::Map(vec![("a".to_owned(), Node::Bool(true))]),
        7 => Node::Bool(false),
        _ => Node::Text(String::new()),
    }
}

/// Changes what may be changed without changing what is said.
fn vary(node: &mut Node, within: &str, dice: &mut Dice) {
    match node {
        Node::Map(fields) => {
            for (name, value) in fields.iter_mut() {
                let counts = name.ends_with("tokens") || name.ends_with("_count") && within != "arguments";
                if counts && dice.below(3) == 0 {
                    *value = odd(dice);
                } else if !matches!(name.as_str(), "content" | "arguments" | "error") {
                    let name = name.clone();
                    vary(value, &name, dice);
                }
            }
            if dice.below(2) == 0 {
                let at = dice.below(fields.len() + 1);
                let name = ["x_new", "created", "logprobs", "metadata", "annotations"][dice.below(5)];
                if !fields.iter().any(|(known, _)| known == name) {
                    fields.insert(at, (name.to_owned(), odd(dice)));
                }
            }
            if dice.below(2) == 0 && fields.len() > 1 {
                let (a, b) = (dice.below(fields.len()), dice.below(fields.len()));
                fields.swap(a, b);
            }
            if dice.below(8) == 0 && !fields.is_empty() {
                let again = fields[dice.below(fields.len())].clone();
                fields.push(again);
            }
        }
        Node::List(items) => items.iter_mut().for_each(|item| vary(item, within, dice)),
        _ => {}
    }
}

/// A text that says the same in another way.
fn variation(body: &str, dice: &mut Dice) -> String {
    let mut text = String::new();
    let spread = body.trim_start().starts_with('{') && serde_json::from_str::<Node>(body).is_ok();
    let whole = [body.to_owned()];
    let lines: Vec<&str> = if spread {
        whole.iter().map(String::as_str).collect()
    } else {
        body.split('\n').collect()
    };
    for (at, line) in lines.iter().enumerate() {
        let (before, json) = match line.strip_prefix("data: ") {
            Some(json) => (if dice.below(4) == 0 { "data:" } else { "data: " }, json),
            None => ("", *line),
        };
        text.push_str(before);
        match serde_json::from_str::<Node>(json.trim()) {
            Ok(mut node) => {
                vary(&mut node, "", dice);
                text.push_str(&node.to_string());
            }
            Err(_) => text.push_str(json),
        }
        if at + 1 < lines.len() {
            text.push('\n');
        }
    }
    match dice.below(8) {
        0 => format!("\u{feff}{text}"),
        1 => text.replace('\n', "\r\n"),
        2 => text.replace("data: [DONE]\n\n", ""),
        3 => text.trim_end().to_owned(),
        4 => text.replace("data:", ": still here\ndata:"),
        5 if !spread => text.replace("\n\n", "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"),
        // The same documents in another frame: a line each.
        6 if text.contains("data: {") => text
            .split('\n')
            .filter_map(|line| line.strip_prefix("data:"))
            .filter(|json| json.trim() != "[DONE]")
            .fold(String::new(), |all, json| all + json + "\n"),
        _ => text,
    }
}

#[tokio::test(start_paused = true)]
async fn any_well_formed_variation_of_an_answer_gives_the_same_proposal_or_says_why_not() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut same, mut refused) = (0, 0);
    for server in servers() {
        for case in server.cases.iter().take(2) {
            for _ in 0..150 {
                let body = variation(&case.body, &mut dice);
                let piece = [1, 7, 100, 1 << 20][dice.below(4)];
                match outcome(&server.speaks, body.as_bytes(), piece).await {
                    Ok(action) => {
                        assert_eq!(action, "RESTART 0.9 0", "{}: {body}", server.name);
                        same += 1;
                    }
                    Err(why) => {
                        assert!(why.len() > 10, "{}: {why}", server.name);
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{same} the same, {refused} refused by name");
    assert!(refused * 20 < same, "{refused} of {} are refused", same + refused);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_anywhere_gives_the_same_proposal_or_says_why_not() {
    for server in servers() {
        for case in server.cases.iter().take(2) {
            let bytes = case.body.as_bytes();
            for end in (0..bytes.len()).step_by(13) {
                match outcome(&server.speaks, &bytes[..end], 1 << 20).await {
                    Ok(action) => assert_eq!(action, "RESTART 0.9 0", "{} cut at {end}", server.name),
                    Err(why) => assert!(why.len() > 10, "{} cut at {end}: {why}", server.name),
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i12_whatever_is_repeated_without_end_is_hung_up_on() {
    const MOST: usize = 5 << 20;
    for server in servers() {
        for case in server.cases.iter().filter(|case| case.code == 200) {
            let unended: String = case
                .body
                .lines()
                .filter(|line| {
                    !line.contains("DONE") && !line.contains("stop") && !line.contains("\"done\":true")
                })
                .map(|line| format!("{line}\n"))
                .collect();
            if unended.trim().is_empty() {
                continue;
            }
            let flood = unended.repeat(MOST / unended.len() + 1);
            if let Ok(completion) = completion(&server.speaks, flood.as_bytes(), 4096).await {
                assert!(
                    completion.text.len() <= 64 * 1024,
                    "{}, {}",
                    server.name,
                    case.title
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_decides_is_never_guessed() {
    let choice =
        |fields: &str| format!("{{\"choices\":[{{\"message\":{{{fields}}},\"finish_reason\":\"stop\"}}]}}");
    let object = |action: &str| {
        format!(
            "{{\\\"root_cause\\\":\\\"a leak\\\",\\\"action\\\":\\\"{action}\\\",\\\"justification\\\":\\\"j\\\",\\\"confidence\\\":0.9,\\\"replica_count\\\":0}}"
        )
    };
    let (restart, noop) = (object("RESTART"), object("NOOP"));
    let call = |at: usize, arguments: &str| {
        format!("{{\"index\":{at},\"function\":{{\"name\":\"proposal\",\"arguments\":\"{arguments}\"}}}}")
    };
    let calls = |calls: &[String]| format!("\"content\":null,\"tool_calls\":[{}]", calls.join(","));
    for (what, body, words) in [
        (
            "a content of two texts",
            choice(&format!("\"content\":\"{restart}\",\"content\":\"{noop}\"")),
            "given twice, with two texts",
        ),
        (
            "calls of two actions",
            choice(&calls(&[call(0, &restart), call(1, &noop)])),
            "a call of a tool",
        ),
        (
            "a call beside another text",
            choice(&format!(
                "\"content\":\"{noop}\",\"tool_calls\":[{}]",
                call(0, &restart)
            )),
            "2 different answers",
        ),
        (
            "thoughts of two actions",
            choice(&format!("\"content\":\"\",\"reasoning\":\"{restart} or {noop}\"")),
            "only thoughts",
        ),
        (
            "thoughts that go on",
            choice(&format!(
                "\"content\":\"\",\"reasoning\":\"{restart} would be rash.\""
            )),
            "only thoughts",
        ),
        (
            "a text and thoughts",
            choice(&format!("\"content\":\"No.\",\"reasoning\":\"{restart}\"")),
            "no JSON object",
        ),
        (
            "parts of two actions",
            choice(&format!(
                "\"content\":[{{\"text\":\"{restart}\"}},{{\"text\":\"{noop}\"}}]"
            )),
            "2 different answers",
        ),
        (
            "another tool",
            choice(&calls(&[call(0, "{\\\"query\\\":1}")])),
            "only a call of a tool (proposal)",
        ),
        ("a null", choice("\"content\":null"), "not a word"),
        ("no choice", "{\"choices\":[]}".to_owned(), "no answer"),
        (
            "another protocol",
            "{\"candidates\":[{\"content\":{}}]}".to_owned(),
            "candidates",
        ),
    ] {
        let why = outcome("openai", body.as_bytes(), 1 << 20).await.expect_err(what);
        assert!(why.contains(words), "{what}: {words:?} is missing in {why:?}");
    }
    for (what, body) in [
        ("one call", choice(&calls(&[call(0, &restart)]))),
        (
            "the same call twice",
            choice(&calls(&[call(0, &restart), call(1, &restart)])),
        ),
        (
            "a call and the same text",
            choice(&format!(
                "\"content\":\"{restart}\",\"tool_calls\":[{}]",
                call(0, &restart)
            )),
        ),
        (
            "thoughts that end with it",
            choice(&format!("\"content\":null,\"reasoning\":\"It leaks. {restart}\"")),
        ),
        (
            "no reason to end",
            format!("{{\"choices\":[{{\"message\":{{\"content\":\"{restart}\"}}}}]}}"),
        ),
        (
            "a number for a reason",
            choice(&format!("\"content\":\"{restart}\"")).replace("\"stop\"", "0"),
        ),
        (
            "empty errors",
            choice(&format!("\"content\":\"{restart}\""))
                .replace("{\"choices\"", "{\"error\":{},\"choices\""),
        ),
        (
            "a choice that is no list",
            format!("{{\"choices\":{{\"message\":{{\"content\":\"{restart}\"}}}}}}"),
        ),
        (
            "arguments that are an object",
            choice(&calls(&[call(0, &restart)]))
                .replace("\"{\\\"", "{\"")
                .replace("\\\"", "\"")
                .replace("}\"}}", "}}}"),
        ),
    ] {
        assert_eq!(
            outcome("openai", body.as_bytes(), 1 << 20).await,
            Ok("RESTART 0.9 0".to_owned()),
            "{what}: {body}"
        );
    }
}
