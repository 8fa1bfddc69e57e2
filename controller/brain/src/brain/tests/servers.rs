//! Servers of several kinds over a real connection: how each is asked, what is learned of it, and what is said where
//! something else answers.

use serde_json::json;

use super::server::{Act, Reply, Server, error, events, head, says, send, stream_head};
use super::*;

fn anthropic(name: &str, server: &Server) -> ProviderConfig {
    ProviderConfig {
        key: Some(SecretString::from("sk-test-key")),
        timeouts: PATIENT,
        ..ProviderConfig::new(name, ProviderKind::Anthropic, &*server.url, "claude")
    }
}

fn reasons(analysis: &Analysis) -> String {
    let reasons: Vec<&str> = analysis
        .attempts
        .iter()
        .map(|attempt| attempt.reason.as_str())
        .collect();
    reasons.join("\n")
}

#[tokio::test]
async fn anthropic_is_asked_with_the_rules_beside_the_messages() {
    let event =
        |event: serde_json::Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    let text = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 90, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Ja. "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": RESTART}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 30}}),
        json!({"type": "message_stop"}),
    ]
    .map(event)
    .concat();
    let server = Server::start(vec![vec![stream_head(), send(&text)]]).await;
    let (analysis, screen) = analyse(&brain(vec![anthropic("anthropic", &server)])).await;
    assert_eq!(
        (analysis.provider.as_str(), analysis.tokens, screen.text.as_str()),
        ("anthropic", 120, "Ja. ")
    );
    let request = &server.requests()[0];
    assert!(
        request.head.starts_with("POST /v1/messages HTTP/1.1"),
        "{}",
        request.head
    );
    assert!(
        request.head.contains("x-api-key: sk-test-key"),
        "{}",
        request.head
    );
    assert!(request.head.contains("anthropic-version: 2023-06-01"));
    assert!(!request.head.contains("authorization"));
    assert!(request.body["system"].as_str().unwrap().contains("SRE agent"));
    assert_eq!(request.body["messages"][0]["role"], "user");
    assert_eq!(request.body["max_tokens"], 1500);
}

#[tokio::test]
async fn azure_gets_the_query_behind_the_path_and_its_key_in_its_own_header() {
    let server = Server::start(vec![says(&["Ja. ", RESTART])]).await;
    let mut azure = openai("azure", &server);
    azure.base_url += "/openai/deployments/gpt?api-version=2024-10-21";
    assert_eq!(analyse(&brain(vec![azure])).await.0.provider, "azure");
    let head = &server.requests()[0].head;
    assert!(
        head.starts_with("POST /openai/deployments/gpt/chat/completions?api-version=2024-10-21 "),
        "{head}"
    );
    assert!(head.contains("api-key: sk-test-key"), "{head}");
}

#[tokio::test]
async fn what_answers_in_a_model_s_place_is_named() {
    let page = "<html><title>Sign in to Corp</title><form>password</form></html>";
    let html =
        |status: &str, headers: &str| error(status, &format!("content-type: text/html\r\n{headers}"), page);
    for (reply, words) in [
        (
            html("200 OK", ""),
            "a sign-in page answered, and no model: \"Sign in to Corp\"",
        ),
        (
            html("302 Found", "location: https://login.example.test/x?y\r\n"),
            "it sends us on to https://login.example.test, which is not followed",
        ),
        (html("404 Not Found", ""), "is /v1 missing at its end?"),
        (
            error("200 OK", "", "no healthy upstream"),
            "it is no JSON: no healthy upstream",
        ),
        (
            error("200 OK", "", "{\"candidates\": [{}]}"),
            "candidates, which is no answer of this protocol",
        ),
        (
            error(
                "200 OK",
                "content-encoding: br\r\ncontent-type: text/event-stream\r\n",
                "xyz",
            ),
            "packed as br",
        ),
    ] {
        let server = Server::start(vec![reply]).await;
        let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
        assert_eq!(analysis.provider, "builtin");
        assert!(
            reasons(&analysis).contains(words),
            "{words:?} is missing in {:?}",
            reasons(&analysis)
        );
        assert_eq!(server.requests().len(), 1, "{words}");
    }
}

#[tokio::test]
async fn a_missing_key_is_named_where_one_is_wanted() {
    let server = Server::start(vec![error(
        "401 Unauthorized",
        "",
        "{\"detail\": \"Unauthorized\"}",
    )])
    .await;
    let keyless = ProviderConfig {
        key: None,
        ..openai("primary", &server)
    };
    let (analysis, _) = analyse(&brain(vec![keyless])).await;
    assert!(
        reasons(&analysis).contains("Unauthorized no key is configured"),
        "{}",
        reasons(&analysis)
    );
}

#[tokio::test]
async fn the_label_of_an_answer_does_not_matter() {
    let whole =
        json!({"choices": [{"message": {"content": format!("So. {RESTART}")}, "finish_reason": "stop"}]});
    let stream = events(&["So. ", RESTART], "stop");
    let lines: String = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|line| format!("{{{line}\n"))
        .collect();
    for kind in [
        "application/json",
        "text/event-stream",
        "text/plain",
        "application/x-ndjson",
        "image/png",
        "",
    ] {
        for body in [
            &whole.to_string(),
            &stream,
            &lines,
            &serde_json::to_string_pretty(&whole).unwrap(),
        ] {
            let headers = if kind.is_empty() {
                String::new()
            } else {
                format!("content-type: {kind}\r\n")
            };
            let server = Server::start(vec![error("200 OK", &headers, body)]).await;
            let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
            assert_eq!(
                (analysis.provider.as_str(), screen.text.as_str()),
                ("primary", "So. "),
                "{kind}: {body}"
            );
        }
    }
}

/// What gzip makes of a text, stored and not squeezed: a head, one block, and the sum.
fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut crc = !0_u32;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let length = u16::try_from(text.len()).unwrap();
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend_from_slice(text);
    packed.extend((!crc).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

#[tokio::test]
async fn an_answer_that_is_gzipped_unasked_is_unpacked() {
    let packed = gzipped(events(&["Ja. ", RESTART], "stop").as_bytes());
    let headers = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";
    let server = Server::start(vec![vec![head("200 OK", headers), Act::Send(packed)]]).await;
    let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(
        (analysis.provider.as_str(), screen.text.as_str()),
        ("primary", "Ja. "),
        "{}",
        reasons(&analysis)
    );
    assert!(server.requests()[0].head.contains("accept-encoding: identity"));
}

fn ollama_says(lines: &[serde_json::Value]) -> Reply {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    vec![
        head("200 OK", "content-type: application/x-ndjson\r\n"),
        send(&text),
    ]
}

#[tokio::test]
async fn a_model_that_thinks_its_allowance_away_gets_room_and_is_asked_not_to_think() {
    let thinks = ollama_says(&[
        json!({"message": {"thinking": "Perhaps it leaks. ", "content": ""}, "done": false}),
        json!({"message": {"content": ""}, "done": true, "done_reason": "length", "eval_count": 1500}),
    ]);
    let answers = ollama_says(&[
        json!({"message": {"content": format!("So. {RESTART}")}, "done": false}),
        json!({"done": true, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5}),
    ]);
    let server = Server::start(vec![thinks, answers]).await;
    let brain = brain(vec![ollama("local", &server)]);
    let (analysis, screen) = analyse(&brain).await;
    assert_eq!(
        (analysis.provider.as_str(), screen.text.as_str()),
        ("local", "So. ")
    );
    assert!(
        reasons(&analysis).starts_with(
            "the answer was cut off at 1500 tokens, all of them spent on thinking: it is asked once more"
        ),
        "{}",
        reasons(&analysis)
    );
    assert_eq!(analyse(&brain).await.0.attempts, [], "it is known now");
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|it| {
            (
                it.body["options"]["num_predict"].as_u64().unwrap(),
                it.body.get("think").cloned(),
            )
        })
        .collect();
    let quiet = Some(json!(false));
    assert_eq!(asked, [(1500, None), (6000, quiet.clone()), (6000, quiet)]);
}

#[tokio::test]
async fn what_is_learned_of_one_model_s_thinking_is_not_held_against_another() {
    let cut = vec![stream_head(), send(&events(&[], "length"))];
    let server = Server::start(vec![cut, says(&[RESTART])]).await;
    let brain = brain(vec![openai("primary", &server)]);
    analyse(&brain).await;
    let policy = aegis_api::policy::AnalysisPolicy {
        models: [("primary".to_owned(), "other".to_owned())].into(),
        ..Default::default()
    };
    analyse(&brain.under(&policy).unwrap()).await;
    let allowed: Vec<_> = server
        .requests()
        .iter()
        .map(|it| it.body["max_tokens"].clone())
        .collect();
    assert_eq!(allowed, [1500, 6000, 1500]);
}

#[tokio::test]
async fn a_model_that_says_nothing_is_asked_once_more_without_a_schema() {
    let silent = vec![stream_head(), send(&events(&[], "stop"))];
    let server = Server::start(vec![silent.clone(), says(&["Ja. ", RESTART])]).await;
    let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(analysis.provider, "primary");
    assert_eq!(
        reasons(&analysis),
        "gave no answer: not a word: it is asked once more, without a schema"
    );
    let offered: Vec<bool> = server
        .requests()
        .iter()
        .map(|it| it.body.get("response_format").is_some())
        .collect();
    assert_eq!(offered, [true, false]);
    let server = Server::start(vec![silent]).await;
    let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(
        (analysis.provider.as_str(), server.requests().len()),
        ("builtin", 2),
        "never a third time"
    );
}

#[tokio::test]
async fn what_a_server_refused_is_on_the_incident() {
    let refusal = |text: &str| error("400 Bad Request", "", &json!({"error": text}).to_string());
    let server = Server::start(vec![refusal("temperature is not supported"), says(&[RESTART])]).await;
    let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(analysis.provider, "primary");
    assert_eq!(
        reasons(&analysis),
        "its server refuses temperature: it was asked without, and will be from now on"
    );
    let old = refusal("json: cannot unmarshal object into Go struct field ChatRequest.format of type string");
    let answer = json!({"message": {"content": RESTART}, "done": true});
    let server = Server::start(vec![old, ollama_says(&[answer])]).await;
    let (analysis, _) = analyse(&brain(vec![ollama("local", &server)])).await;
    assert_eq!(analysis.provider, "local");
    assert!(
        reasons(&analysis).contains("\"json\" is sent in its place"),
        "{}",
        reasons(&analysis)
    );
    assert_eq!(server.requests()[1].body["format"], "json");
}

#[tokio::test]
async fn a_short_key_does_not_blank_the_letters_of_a_message() {
    let server = Server::start(vec![error(
        "400 Bad Request",
        "",
        "{\"error\": \"unexpected index\"}",
    )])
    .await;
    let short = ProviderConfig {
        key: Some(SecretString::from("x")),
        ..openai("primary", &server)
    };
    let (analysis, _) = analyse(&brain(vec![short])).await;
    assert!(
        reasons(&analysis).contains("unexpected index"),
        "{}",
        reasons(&analysis)
    );
}

#[tokio::test]
async fn an_answer_whose_end_is_missing_counts_where_its_object_is_complete() {
    let pieces = |pieces: &[&str]| {
        pieces
            .iter()
            .map(|piece| super::server::words(piece))
            .collect::<String>()
    };
    let stop = "data: {\"choices\": [{\"finish_reason\": \"stop\"}]}";
    for text in [
        pieces(&["Ja. ", RESTART]),
        pieces(&["Ja. ", RESTART]) + stop,
        pieces(&["Ja. ", RESTART, "\n"]),
    ] {
        let server = Server::start(vec![vec![stream_head(), send(&text)]]).await;
        let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
        assert_eq!(
            (analysis.provider.as_str(), server.requests().len()),
            ("primary", 1),
            "{text}"
        );
    }
    let open = RESTART.trim_end_matches('}');
    for text in [
        pieces(&["Ja. ", open]),
        pieces(&[RESTART, " But"]),
        pieces(&[RESTART, SCALE]),
    ] {
        let server = Server::start(vec![vec![stream_head(), send(&text)]]).await;
        let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
        assert_eq!(analysis.provider, "builtin", "{text}");
        assert!(
            reasons(&analysis).contains("it has no end"),
            "{}",
            reasons(&analysis)
        );
    }
}
