//! Answers that arrive in every way that the protocols allow.

use super::server::{Act, Reply, Server, error, events, head, says, send, stream_head, words};
use super::*;

async fn answered(reply: Reply) -> (Analysis, Screen) {
    let server = Server::start(vec![reply]).await;
    let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(analysis.provider, "primary", "{:?}", analysis.attempts);
    assert_eq!(analysis.proposal.action, Action::Restart);
    (analysis, screen)
}

#[tokio::test]
async fn a_streamed_answer_becomes_a_proposal_with_its_account() {
    let server = Server::start(vec![says(&["The memory ", "is at its limit.\n", RESTART])]).await;
    let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(screen.text, "The memory is at its limit.\n");
    assert_eq!(
        (analysis.provider.as_str(), analysis.model.as_str()),
        ("primary", "some/model")
    );
    assert_eq!(
        (
            analysis.tokens,
            analysis.prompt_tokens,
            analysis.completion_tokens
        ),
        (120, 100, 20)
    );
    assert_eq!(analysis.attempts, []);
    assert_eq!(analysis.prompt_hash.map(|hash| hash.len()), Some(64));
    let [request] = &server.requests()[..] else {
        panic!("{:?}", server.requests())
    };
    assert!(
        request.head.starts_with("POST /chat/completions HTTP/1.1"),
        "{}",
        request.head
    );
    assert!(request.head.contains("authorization: Bearer sk-test-key"));
    assert_eq!(request.body["model"], "some/model");
    assert_eq!(request.body["stream"], true);
    assert_eq!(request.body["stream_options"]["include_usage"], true);
    assert_eq!(request.body["response_format"]["type"], "json_schema");
    assert_eq!(request.body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(request.body["messages"][0]["role"], "system");
}

#[tokio::test]
async fn reasoning_in_the_object_streams_as_it_is_written() {
    let object = RESTART.replacen('{', r#"{"reasoning": "Memory \u2192 limit.\nSo:", "#, 1);
    let pieces: Vec<String> = object.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (_, screen) = answered(says(&pieces)).await;
    assert_eq!(screen.text, "Memory → limit.\nSo:");
}

#[tokio::test]
async fn an_answer_without_a_word_beside_the_object_shows_its_justification() {
    let (_, screen) = answered(says(&[RESTART])).await;
    assert_eq!(screen.text, "memory is at 97 %");
}

#[tokio::test]
async fn half_a_character_per_chunk_is_no_matter() {
    let text = events(&["Der Speicher läuft über – 🦀. ", RESTART], "stop");
    let mut reply = vec![stream_head()];
    reply.extend(text.as_bytes().chunks(1).map(|byte| Act::Send(byte.to_vec())));
    let (_, screen) = answered(reply).await;
    assert_eq!(screen.text, "Der Speicher läuft über – 🦀. ");
}

#[tokio::test]
async fn every_oddity_of_server_sent_events_is_understood() {
    const FIRST: &str = "{\"choices\":[{";
    const SECOND: &str = "\"index\":1,\"delta\":{\"content\":\"No. \"},\"finish_reason\":\"stop\"}";
    let plain = events(&["Ja. ", RESTART], "stop");
    let odd = [
        ("CRLF", plain.replace('\n', "\r\n")),
        ("CR", plain.replace('\n', "\r")),
        ("a byte order mark", format!("\u{feff}{plain}")),
        (
            "comments",
            format!(
                ": hello\n\n{}",
                plain.replace("data: ", ":\n: PROCESSING\ndata: ")
            ),
        ),
        ("no space", plain.replace("data: ", "data:")),
        (
            "other fields",
            plain.replace("data: ", "id: 7\nretry: 10\nevent: message\nfoo\ndata: "),
        ),
        (
            "data on several lines",
            plain.replace("\"choices\":", "\ndata: \"choices\":\ndata: "),
        ),
        ("pings as a text", plain.replace("data: ", "data: ping\n\ndata: ")),
        (
            "pings by name",
            plain.replace("data: ", "event: ping\ndata: ping\n\nevent: ping\n\ndata: "),
        ),
        (
            "pings as an object",
            plain.replace("data: ", "event: ping\ndata: {\"type\": \"ping\"}\n\ndata: "),
        ),
        (
            "a second choice that comes first",
            plain.replace(FIRST, &format!("{FIRST}{SECOND},{{")),
        ),
        (
            "a second choice in events of its own",
            plain.replace(FIRST, &format!("{FIRST}{SECOND}]}}\n\ndata: {FIRST}")),
        ),
        (
            "a text as completions had it",
            plain
                .replace("\"delta\":{\"content\":", "\"text\":")
                .replace("\"},\"index\"", "\",\"index\""),
        ),
        ("empty events", plain.replace("data: ", "data:\n\n\n\ndata: ")),
        ("no end mark", plain.replace("data: [DONE]\n\n", "")),
        ("no count", plain.replace("\"usage\"", "\"other\"")),
        (
            "null fields",
            plain.replace(
                "\"delta\":{\"content\"",
                "\"finish_reason\":null,\"delta\":{\"role\":null,\"refusal\":null,\"content\"",
            ),
        ),
        ("noise after the end", format!("{plain}data: {{garbage\n\n")),
    ];
    for (name, text) in odd {
        let (analysis, screen) = answered(vec![stream_head(), send(&text)]).await;
        assert_eq!(screen.text, "Ja. ", "{name}");
        assert!(analysis.tokens > 0, "{name}");
    }
}

#[tokio::test]
async fn thoughts_that_come_by_themselves_are_shown_and_are_no_answer() {
    let thought =
        serde_json::json!({"choices": [{"delta": {"reasoning_content": format!("Perhaps {SCALE}? ")}}]});
    let text = format!("data: {thought}\n\n{}", events(&[RESTART], "stop"));
    let (_, screen) = answered(vec![stream_head(), send(&text)]).await;
    assert_eq!(screen.text, format!("Perhaps {SCALE}? "));
    let (_, screen) = answered(says(&["<think>Perhaps ", SCALE, "</think>", RESTART])).await;
    assert_eq!(screen.text, format!("<think>Perhaps {SCALE}</think>"));
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood_too() {
    let whole = serde_json::json!({
        "choices": [{"message": {"role": "assistant", "content": format!("So. {RESTART}")}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    });
    let reply = error(
        "200 OK",
        "content-type: application/json; charset=utf-8\r\n",
        &whole.to_string(),
    );
    let (analysis, screen) = answered(reply).await;
    assert_eq!((analysis.tokens, screen.text.as_str()), (12, "So. "));
    let text = format!("So. {RESTART}");
    for choices in [
        serde_json::json!([{"index": 1, "message": {"content": "No."}}, {"index": 0, "message": {"content": text}}]),
        serde_json::json!([{"text": text, "index": 0, "logprobs": null, "finish_reason": "stop"}]),
    ] {
        let whole = serde_json::json!({"object": "text_completion", "choices": choices});
        let reply = error("200 OK", "content-type: application/json\r\n", &whole.to_string());
        let (_, screen) = answered(reply).await;
        assert_eq!(screen.text, "So. ", "{choices}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_schema_is_asked_without_and_remembered() {
    let refusal = error(
        "400 Bad Request",
        "",
        r#"{"error": {"message": "response_format is not supported"}}"#,
    );
    let server = Server::start(vec![refusal, says(&["Ja. ", RESTART])]).await;
    let brain = brain(vec![openai("primary", &server)]);
    assert_eq!(analyse(&brain).await.0.provider, "primary");
    assert_eq!(analyse(&brain).await.0.provider, "primary");
    let offered: Vec<bool> = server
        .requests()
        .iter()
        .map(|it| it.body.get("response_format").is_some())
        .collect();
    assert_eq!(offered, [true, false, false]);
}

/// What each question went out with, beside what every question has.
fn offered(server: &Server) -> Vec<String> {
    let optional = [
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "response_format",
        "stream_options",
    ];
    let requests = server.requests().into_iter();
    requests
        .map(|request| {
            let has = optional.iter().filter(|name| request.body.get(*name).is_some());
            let names: Vec<&str> = has.copied().collect();
            format!("{}: {}", request.body["model"].as_str().unwrap(), names.join(" "))
        })
        .collect()
}

#[tokio::test]
async fn what_is_refused_of_one_model_is_not_held_against_another_and_nothing_else_is_left_out() {
    const ALL: &str = "max_tokens temperature response_format stream_options";
    for (message, left) in [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_completion_tokens temperature response_format stream_options",
        ),
        (
            "Unsupported value: 'temperature' does not support 0 with this model.",
            "max_tokens response_format stream_options",
        ),
        (
            "json_schema is not supported",
            "max_tokens temperature stream_options",
        ),
        (
            "stream_options: Extra inputs are not permitted",
            "max_tokens temperature response_format",
        ),
    ] {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        let refusal = error("400 Bad Request", "", &body);
        let server = Server::start(vec![refusal, says(&["Ja. ", RESTART])]).await;
        let brain = brain(vec![openai("primary", &server)]);
        for model in ["some/model", "other", "some/model"] {
            let policy = aegis_api::policy::AnalysisPolicy {
                models: [("primary".to_owned(), model.to_owned())].into(),
                ..Default::default()
            };
            let (analysis, _) = analyse(&brain.under(&policy).unwrap()).await;
            assert_eq!(analysis.provider, "primary", "{:?}", analysis.attempts);
        }
        let expected = [
            format!("some/model: {ALL}"),
            format!("some/model: {left}"),
            format!("other: {ALL}"),
            format!("some/model: {left}"),
        ];
        assert_eq!(offered(&server), expected, "{message}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_refused_apart_from_the_words_is_left_out() {
    let body = r#"{"error": {"message": "Unsupported parameter", "param": "stream_options"}}"#;
    let server = Server::start(vec![error("400 Bad Request", "", body), says(&["Ja. ", RESTART])]).await;
    assert_eq!(
        analyse(&brain(vec![openai("primary", &server)])).await.0.provider,
        "primary"
    );
    assert_eq!(
        offered(&server)[1],
        "some/model: max_tokens temperature response_format"
    );
}

#[tokio::test]
async fn a_model_to_which_no_limit_can_be_said_is_bounded_all_the_same() {
    let refusal = |name: &str| {
        error(
            "400 Bad Request",
            "",
            &format!("{{\"error\": \"unknown field {name}\"}}"),
        )
    };
    let endless: Reply = std::iter::once(stream_head())
        .chain((0..100).map(|_| send(&words(&"x".repeat(1000)))))
        .collect();
    let script = vec![refusal("max_tokens"), refusal("max_completion_tokens"), endless];
    let server = Server::start(script).await;
    let (analysis, _) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(
        offered(&server)[2],
        "some/model: temperature response_format stream_options"
    );
    let reason = &analysis.attempts[0].reason;
    assert!(
        reason.contains("the answer was cut off: more than 48000 bytes"),
        "{reason}"
    );
}

#[tokio::test]
async fn ollama_streams_lines() {
    let line =
        |words: &str| serde_json::json!({"message": {"role": "assistant", "content": words}, "done": false});
    let end = serde_json::json!({"message": {"content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 30, "eval_count": 12});
    let thought = serde_json::json!({"message": {"thinking": "Hm. "}, "done": false});
    let text = format!("{thought}\n{}\r\n\n{}\n{end}", line("Überlauf. "), line(RESTART));
    let mut reply = vec![head("200 OK", "content-type: application/x-ndjson\r\n")];
    reply.extend(text.as_bytes().chunks(7).map(|bytes| Act::Send(bytes.to_vec())));
    let server = Server::start(vec![reply]).await;
    let (analysis, screen) = analyse(&brain(vec![ollama("local", &server)])).await;
    assert_eq!((analysis.provider.as_str(), analysis.tokens), ("local", 42));
    assert_eq!(screen.text, "Hm. Überlauf. ");
    let request = &server.requests()[0];
    assert!(request.head.starts_with("POST /api/chat "), "{}", request.head);
    assert_eq!(
        request.body["format"]["properties"]["action"]["enum"][0],
        "RESTART"
    );
    assert!(request.body["options"]["num_ctx"].as_u64().unwrap() >= 4096);
    assert!(request.body.get("tool_choice").is_none());
}

#[tokio::test]
async fn what_is_complete_counts_also_when_the_end_is_ragged() {
    let text = words("Ja. ") + &words(RESTART) + "data: {\"choices\": [{\"finish_reason\": \"stop\"}]}\n\n";
    for last in [Act::Stall, Act::Reset] {
        let (_, screen) = answered(vec![stream_head(), send(&text), last]).await;
        assert_eq!(screen.text, "Ja. ");
    }
}
