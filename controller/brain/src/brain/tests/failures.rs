//! Providers that fail in every way there is: each ends in a good proposal from the next one, or from the built-in
//! analyst, and what failed is on the record.

use super::server::{Act, Reply, Server, error, events, head, says, send, stream_head, words};
use super::*;
use crate::provider::Timeouts;

/// `primary` follows the script, `second` answers well. What became of the primary one, and of the screen.
async fn falls_to_the_next(script: Vec<Reply>, timeouts: Timeouts) -> (Analysis, Screen, Server) {
    let (server, second) = (
        Server::start(script).await,
        Server::start(vec![says(&["Load. ", SCALE])]).await,
    );
    let primary = ProviderConfig {
        timeouts,
        ..openai("primary", &server)
    };
    let (analysis, screen) = analyse(&brain(vec![primary, openai("second", &second)])).await;
    assert_eq!(analysis.provider, "second", "{:?}", analysis.attempts);
    assert_eq!(
        (analysis.proposal.action, screen.text.as_str()),
        (Action::ScaleUp, "Load. ")
    );
    assert_eq!(analysis.attempts.len(), 1);
    assert_eq!(
        (
            analysis.attempts[0].provider.as_str(),
            analysis.attempts[0].model.as_str()
        ),
        ("primary", "some/model")
    );
    (analysis, screen, server)
}

#[track_caller]
fn reason(analysis: &Analysis, words: &str) {
    let reason = &analysis.attempts[0].reason;
    assert!(reason.contains(words), "{words:?} is missing in {reason:?}");
}

/// Short where the test waits for it, long where a slow machine might.
fn stage(edit: fn(&mut Timeouts)) -> Timeouts {
    let mut timeouts = PATIENT;
    edit(&mut timeouts);
    timeouts
}

#[tokio::test]
async fn a_stall_before_the_first_word_ends_in_the_next_provider() {
    let short = stage(|it| it.first_token = Duration::from_millis(150));
    for script in [
        vec![Act::Stall],
        vec![stream_head(), Act::Stall],
        vec![
            stream_head(),
            send(": PROCESSING\n\n: PROCESSING\n\n"),
            Act::Stall,
        ],
        vec![
            stream_head(),
            send("data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n"),
            Act::Stall,
        ],
    ] {
        let (analysis, screen, server) = falls_to_the_next(vec![script], short).await;
        reason(&analysis, "no first word within 0.1 s");
        assert_eq!(
            screen.restarts, [""; 0],
            "nothing was shown that would have to go"
        );
        assert_eq!(server.requests().len(), 1, "a timeout is not retried");
    }
}

#[tokio::test]
async fn a_stall_in_the_middle_ends_in_the_next_provider_and_the_screen_says_so() {
    let short = stage(|it| it.between_tokens = Duration::from_millis(150));
    let script = vec![stream_head(), send(&words("It leaks, I th")), Act::Stall];
    let (analysis, screen, _) = falls_to_the_next(vec![script], short).await;
    reason(&analysis, "stopped in the middle of its answer");
    assert_eq!(screen.restarts.len(), 1);
    assert!(
        screen.restarts[0].starts_with("primary: stopped"),
        "{:?}",
        screen.restarts
    );
}

#[tokio::test]
async fn an_answer_that_never_ends_is_ended() {
    let short = stage(|it| it.total = Duration::from_millis(400));
    let mut drip = vec![stream_head()];
    drip.extend((0..2000).map(|_| send(&words("and "))));
    let (analysis, _, _) = falls_to_the_next(vec![drip], short).await;
    reason(&analysis, "the answer was not complete within");
}

#[tokio::test]
async fn errors_of_the_server_are_retried_and_then_the_next_one_is_asked() {
    for status in [
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        // What Cloudflare says of the server behind it.
        "520 Web Server Returned an Unknown Error",
        "521 Web Server Is Down",
        "522 Connection Timed Out",
        "523 Origin Is Unreachable",
        "524 A Timeout Occurred",
        "525 SSL Handshake Failed",
        "526 Invalid SSL Certificate",
        "527 Railgun Listener to Origin",
        "529 Overloaded",
    ] {
        let reply = error(status, "", r#"{"error": {"message": "too busy"}}"#);
        let (analysis, _, server) = falls_to_the_next(vec![reply], PATIENT).await;
        reason(&analysis, &format!("answered HTTP {}: too busy", &status[..3]));
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn an_error_that_passes_is_survived() {
    let busy = || error("503 Service Unavailable", "retry-after: 0\r\n", "busy");
    let server = Server::start(vec![
        busy(),
        vec![stream_head(), send(&words("It")), Act::Reset],
        says(&["Ja. ", RESTART]),
    ])
    .await;
    let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(
        (analysis.provider.as_str(), screen.text.as_str()),
        ("primary", "Ja. ")
    );
    assert_eq!(screen.restarts.len(), 1, "{:?}", screen.restarts);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn errors_of_ours_are_not_retried() {
    for status in [
        "401 Unauthorized",
        "402 Payment Required",
        "403 Forbidden",
        "413 Payload Too Large",
        "301 Moved Permanently",
    ] {
        let reply = error(status, "location: http://127.0.0.1:1/\r\n", "no");
        let (analysis, _, server) = falls_to_the_next(vec![reply], PATIENT).await;
        reason(&analysis, &format!("answered HTTP {}", &status[..3]));
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn who_asks_for_too_long_a_pause_is_left_alone() {
    for header in [
        "retry-after: 3600\r\n",
        "date: Sat, 31 Jan 2026 12:00:00 GMT\r\nretry-after: Sat, 31 Jan 2026 13:00:00 GMT\r\n",
    ] {
        let reply = error("429 Too Many Requests", header, "slow down");
        let (_, _, server) = falls_to_the_next(vec![reply], PATIENT).await;
        assert_eq!(server.requests().len(), 1, "{header}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again_and_then_the_next_one_is_asked() {
    for script in [
        vec![Act::Reset],
        vec![stream_head(), send(&words("It leaks")), Act::Reset],
        vec![stream_head(), send(&words("It leaks"))],
        vec![stream_head()],
    ] {
        let (analysis, _, server) = falls_to_the_next(vec![script.clone()], PATIENT).await;
        assert_eq!(server.requests().len(), 3, "{script:?}");
        assert!(!analysis.attempts[0].reason.is_empty());
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_no_drama() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let primary = ProviderConfig::new("primary", ProviderKind::OpenAi, gone, "m");
    let (analysis, _) = analyse(&brain(vec![primary])).await;
    assert_eq!(
        (analysis.provider.as_str(), analysis.proposal.action),
        ("builtin", Action::Restart)
    );
    reason(&analysis, "cannot be reached");
    assert_eq!((analysis.tokens, analysis.prompt_hash), (0, None));
}

#[tokio::test]
async fn garbage_ends_in_the_next_provider() {
    for garbage in [
        "data: {not json\n\n".to_owned(),
        "data: [1, 2]\n\n".to_owned(),
        "data: {\"choices\": 7}\n\n".to_owned(),
        "event: error\ndata: {\"error\": {\"message\": \"boom\"}}\n\n".to_owned(),
        words("It leaks") + "data: {\"error\": {\"message\": \"overloaded\", \"code\": 529}}\n\n",
        "<html><body>It works!</body></html>".to_owned(),
        format!("data: {}\n\n", "x".repeat(600_000)),
    ] {
        let (analysis, _, _) = falls_to_the_next(vec![vec![stream_head(), send(&garbage)]], PATIENT).await;
        assert!(analysis.attempts[0].reason.len() < 600, "{:?}", analysis.attempts);
    }
}

#[tokio::test]
async fn a_flood_is_dammed() {
    let flood: Vec<Act> = (0..60).map(|_| send(&": x\n".repeat(25_000))).collect();
    let (analysis, _, _) = falls_to_the_next(vec![[vec![stream_head()], flood].concat()], PATIENT).await;
    reason(&analysis, "sent more than");
}

#[tokio::test]
async fn a_refusal_ends_in_the_next_provider() {
    let refusal = serde_json::json!({"choices": [{"delta": {"refusal": "I cannot help with that."}, "finish_reason": "stop"}]});
    let (analysis, _, _) = falls_to_the_next(
        vec![vec![stream_head(), send(&format!("data: {refusal}\n\n"))]],
        PATIENT,
    )
    .await;
    reason(&analysis, "refused to answer: I cannot help with that.");
    let filtered = vec![stream_head(), send(&events(&["It"], "content_filter"))];
    let (analysis, screen, _) = falls_to_the_next(vec![filtered], PATIENT).await;
    reason(&analysis, "refused to answer");
    assert_eq!(screen.restarts.len(), 1);
    let (analysis, _, server) =
        falls_to_the_next(vec![says(&["I'm sorry, but I can't help with that."])], PATIENT).await;
    reason(&analysis, "gave no usable answer, twice");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_cut_off_twice_ends_in_the_next_provider() {
    let cut = vec![
        stream_head(),
        send(&events(&["It leaks, and ", RESTART], "length")),
    ];
    let (analysis, screen, server) = falls_to_the_next(vec![cut], PATIENT).await;
    reason(&analysis, "the answer was cut off at 6000 tokens");
    reason(
        &analysis,
        "before that: the answer was cut off at 1500 tokens: it is asked once more",
    );
    let allowed = server
        .requests()
        .iter()
        .map(|it| it.body["max_tokens"].clone())
        .collect::<Vec<_>>();
    assert_eq!(
        (screen.restarts.len(), allowed),
        (2, vec![1500.into(), 6000.into()])
    );
}

#[tokio::test]
async fn a_wrong_answer_is_repaired_once() {
    let wrong = RESTART.replace("RESTART", "REBOOT").replace("0.9", "9e9");
    let server = Server::start(vec![says(&["Hm. ", &wrong]), says(&["Better. ", RESTART])]).await;
    let (analysis, screen) = analyse(&brain(vec![openai("primary", &server)])).await;
    assert_eq!(
        (analysis.provider.as_str(), screen.text.as_str()),
        ("primary", "Better. ")
    );
    assert_eq!(analysis.tokens, 240, "both answers are paid for");
    assert_eq!(screen.restarts.len(), 1);
    let requests = server.requests();
    let messages = requests[1].body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    assert!(messages[2]["content"].as_str().unwrap().contains("REBOOT"));
    let listed = messages[3]["content"].as_str().unwrap();
    for error in [
        "- `action`: \"REBOOT\" is not possible: use one of RESTART",
        "- `confidence`",
    ] {
        assert!(listed.contains(error), "{error:?} is missing in {listed:?}");
    }
}

#[tokio::test]
async fn wrong_twice_ends_in_the_next_provider() {
    let wrong = RESTART.replace("RESTART", "DELETE_DATABASE");
    let (analysis, screen, server) = falls_to_the_next(vec![says(&["Hm. ", &wrong])], PATIENT).await;
    reason(
        &analysis,
        "gave no usable answer, twice: `action`: \"DELETE_DATABASE\" is not possible",
    );
    assert_eq!((server.requests().len(), screen.restarts.len()), (2, 2));
    assert_eq!(analysis.attempts[0].tokens, 240);
    assert_eq!(analysis.tokens, 360);
}

#[tokio::test]
async fn ollama_in_trouble_ends_in_the_next_provider() {
    let lines = |text: &str| {
        vec![
            head("200 OK", "content-type: application/x-ndjson\r\n"),
            send(text),
        ]
    };
    let words = "{\"message\": {\"content\": \"It leaks\"}, \"done\": false}\n";
    let ended = |why: &str| format!("{words}{{\"done\": true, \"done_reason\": \"{why}\"}}\n");
    let short = stage(|it| it.between_tokens = Duration::from_millis(150));
    for (script, expected) in [
        (
            error("404 Not Found", "", r#"{"error": "model 'x' not found"}"#),
            "model 'x' not found",
        ),
        (
            error("503 Service Unavailable", "retry-after: 0\r\n", ""),
            "HTTP 503",
        ),
        (lines("{\"error\": \"out of memory\"}\n"), "out of memory"),
        (
            lines("{\"error\": {\"message\": \"out of memory\", \"code\": 500}}\n"),
            "broke off: out of memory",
        ),
        (
            lines("{\"error\": {\"code\": 500}}\n"),
            "{\"error\": {\"code\": 500}}",
        ),
        (
            error(
                "500 Internal Server Error",
                "",
                r#"{"error": {"message": "out of memory"}}"#,
            ),
            "answered HTTP 500: out of memory",
        ),
        (lines("{garbage\n"), "{garbage"),
        (lines(words), "it has no end"),
        (lines(&ended("length")), "the answer was cut off"),
        (lines(&ended("load")), "the model was loaded"),
        ([lines(words), vec![Act::Reset]].concat(), "broke off"),
        ([lines(words), vec![Act::Stall]].concat(), "stopped in the middle"),
    ] {
        let (primary, second) = (
            Server::start(vec![script]).await,
            Server::start(vec![says(&["Load. ", SCALE])]).await,
        );
        let primary = ProviderConfig {
            timeouts: short,
            ..ollama("primary", &primary)
        };
        let (analysis, screen) = analyse(&brain(vec![primary, openai("second", &second)])).await;
        assert_eq!(
            (analysis.provider.as_str(), screen.text.as_str()),
            ("second", "Load. "),
            "{expected}: {:?}",
            analysis.attempts
        );
        reason(&analysis, expected);
    }
}

#[tokio::test]
async fn when_all_fail_the_built_in_analyst_answers_and_all_is_on_the_record() {
    let (one, two) = (
        Server::start(vec![error("500 Oops", "", "")]).await,
        Server::start(vec![says(&["No."])]).await,
    );
    let (analysis, screen) = analyse(&brain(vec![openai("one", &one), ollama("two", &two)])).await;
    assert_eq!(
        (analysis.provider.as_str(), analysis.proposal.action),
        ("builtin", Action::Restart)
    );
    let failed: Vec<&str> = analysis
        .attempts
        .iter()
        .map(|attempt| attempt.provider.as_str())
        .collect();
    assert_eq!(failed, ["one", "two"]);
    assert!(screen.text.contains("So I propose RESTART"));
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone() {
    let server = Server::start(vec![error("503 Service Unavailable", "", "")]).await;
    let brain = brain(vec![openai("primary", &server)]);
    analyse(&brain).await;
    let (analysis, _) = analyse(&brain).await;
    assert_eq!(server.requests().len(), 3);
    reason(&analysis, "left alone");
}

#[tokio::test]
async fn the_key_is_in_its_header_and_nowhere_else() {
    let echo = r#"{"error": {"message": "Incorrect API key provided: sk-test-key"}}"#;
    let (analysis, _, _) = falls_to_the_next(vec![error("401 Unauthorized", "", echo)], PATIENT).await;
    assert!(
        !analysis.attempts[0].reason.contains("sk-test-key"),
        "{:?}",
        analysis.attempts
    );
    let server = Server::start(vec![says(&[RESTART])]).await;
    let config = openai("primary", &server);
    assert!(!format!("{config:?} {:?}", brain(vec![config.clone()])).contains("sk-test-key"));
}

#[tokio::test]
async fn dropping_the_future_ends_the_call() {
    let server = Server::start(vec![vec![stream_head(), send(&words("It leaks")), Act::Stall]]).await;
    let brain = brain(vec![openai("primary", &server)]);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let it = brain.clone();
    let task = tokio::spawn(async move {
        it.analyse(&case(), &mut |_| sender.send(()).unwrap())
            .await
            .unwrap();
    });
    heard.recv().await.unwrap();
    assert_eq!(server.open(), 1);
    task.abort();
    // The server sees its client go: it waits for that, not for a time.
    while server.open() > 0 {
        tokio::task::yield_now().await;
    }
}

/// How many of the pieces the server got rid of before it was hung up on, and the account.
async fn runs_on(
    provider: fn(&str, &Server) -> ProviderConfig,
    head: Act,
    piece: String,
    pieces: usize,
) -> (usize, Analysis) {
    let mut endless = vec![head];
    endless.extend((0..pieces).map(|_| send(&piece)));
    let (primary, second) = (
        Server::start(vec![endless]).await,
        Server::start(vec![says(&["Load. ", SCALE])]).await,
    );
    let brain = brain(vec![provider("primary", &primary), openai("second", &second)]);
    let (analysis, _) = analyse(&brain).await;
    assert_eq!(analysis.provider, "second", "{:?}", analysis.attempts);
    assert_eq!(primary.requests().len(), 1, "it is not asked again");
    (primary.sent(), analysis)
}

#[tokio::test]
async fn i12_a_model_that_runs_on_is_hung_up_on_while_it_speaks() {
    let delta = |field: &str, size: usize| {
        let delta = serde_json::json!({"choices": [{"delta": {field: "x".repeat(size)}}]});
        format!("data: {delta}\n\n")
    };
    let line = |field: &str| format!("{}\n", serde_json::json!({"message": {field: "x".repeat(1000)}}));
    let ndjson = || head("200 OK", "content-type: application/x-ndjson\r\n");
    type Configured = fn(&str, &Server) -> ProviderConfig;
    let cases: [(&str, Configured, Act, String); 7] = [
        ("words", openai, stream_head(), delta("content", 1000)),
        (
            "thoughts",
            openai,
            stream_head(),
            delta("reasoning_content", 1000),
        ),
        (
            "thoughts under another name",
            openai,
            stream_head(),
            delta("reasoning", 1000),
        ),
        ("a refusal", openai, stream_head(), delta("refusal", 1000)),
        ("Ollama's words", ollama, ndjson(), line("content")),
        ("Ollama's thoughts", ollama, ndjson(), line("thinking")),
        (
            "one event that is too much by itself",
            openai,
            stream_head(),
            delta("content", 300_000),
        ),
    ];
    for (what, provider, head, piece) in cases {
        let (sent, analysis) = runs_on(provider, head, piece, 1000).await;
        reason(&analysis, "the answer was cut off: more than 48000 bytes");
        reason(&analysis, "ignores max_tokens");
        assert!(sent < 900, "{what}: {sent} pieces were taken");
        assert!(
            analysis.attempts[0].tokens < 20_000,
            "{what}: {:?}",
            analysis.attempts
        );
    }
}

#[tokio::test]
async fn i12_the_allowance_of_the_incident_counts_where_it_is_less_than_the_model_s() {
    let endless: Reply = std::iter::once(stream_head())
        .chain((0..200).map(|_| send(&words(&"x".repeat(1000)))))
        .collect();
    let server = Server::start(vec![endless]).await;
    let mut brain_config = BrainConfig {
        providers: vec![openai("primary", &server)],
        ..BrainConfig::default()
    };
    // What the prompt takes, and 300 tokens for the answer.
    let prompt = Brain::new(brain_config.clone()).unwrap();
    let estimate = prompt
        .shared
        .prompts
        .analysis(&case(), 24_000)
        .unwrap()
        .bytes()
        .div_ceil(4);
    brain_config.budget.tokens = u64::try_from(estimate).unwrap() + 300;
    let (analysis, _) = analyse(&Brain::new(brain_config).unwrap()).await;
    reason(&analysis, "more than 16384 bytes, several times the 300 tokens");
}

#[tokio::test]
async fn i12_a_whole_answer_that_is_too_much_is_not_read_to_its_end() {
    let head = head("200 OK", "content-type: application/json\r\n");
    let (sent, analysis) = runs_on(openai, head, " ".repeat(10_000), 400).await;
    reason(&analysis, "the answer was cut off: more than 288000 bytes");
    assert!(sent < 300, "{sent} pieces were taken");
    let whole = serde_json::json!({"choices": [{"message": {"content": "x".repeat(100_000)}, "finish_reason": "stop"}]});
    let reply = error("200 OK", "content-type: application/json\r\n", &whole.to_string());
    let (analysis, _, _) = falls_to_the_next(vec![reply], PATIENT).await;
    reason(&analysis, "the answer was cut off: more than 48000 bytes");
}

#[tokio::test]
async fn i12_a_reviewer_that_runs_on_is_hung_up_on_and_abstains() {
    let endless: Reply = std::iter::once(stream_head())
        .chain((0..1000).map(|_| send(&words(&"x".repeat(1000)))))
        .collect();
    let server = Server::start(vec![says(&["It leaks. ", RESTART]), endless]).await;
    let brain = brain(vec![openai("primary", &server)]);
    let (analysis, _) = analyse(&brain).await;
    let vote = brain
        .review(aegis_api::proposal::Seat::Auditor, &case(), &analysis, &[])
        .await;
    assert_eq!(vote.verdict, Verdict::NeedsReview, "{vote:?}");
    assert!(
        vote.reasoning.contains("the answer was cut off"),
        "{}",
        vote.reasoning
    );
}
