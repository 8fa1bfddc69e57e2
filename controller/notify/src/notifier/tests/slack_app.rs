//! A Slack app against a scripted Slack: its messages, threads, limits and refusals, clicks over both ways in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use serde_json::json;
use wiremock::{Respond, matchers::any};

use super::*;
use crate::card::limits::broken;
use crate::slack::app::App;
use crate::slack::click::tests::clicked;
use crate::slack::click::{Subject, Verb};
use crate::slack::clicks::{Choice, Clicks, Decide, Decision, HttpAnswer, Record, RefusedClick};
use crate::slack::signature::sign;
use crate::slack::socket::SocketMode;

/// What Slack has, and what it will answer instead of taking the next calls.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By timestamp.
    messages: BTreeMap<String, Value>,
    calls: Vec<(String, Value)>,
    instead: VecDeque<ResponseTemplate>,
    socket: String,
}

impl Respond for Scripted {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let method = request.url.path().trim_start_matches('/').to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        state.calls.push((method.clone(), body.clone()));
        if let Some(answer) = state.instead.pop_front() {
            return answer;
        }
        let no = |error: &str| ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": error}));
        if request.headers.get("authorization").is_none() {
            return no("not_authed");
        }
        match method.as_str() {
            "chat.postMessage" => {
                assert_eq!(broken(&body), Vec::<String>::new());
                let ts = format!("1700000000.{:06}", state.messages.len());
                state.messages.insert(ts.clone(), body);
                ResponseTemplate::new(200).set_body_json(json!({"ok": true, "channel": "C1", "ts": ts}))
            }
            "chat.update" => {
                assert_eq!(broken(&body), Vec::<String>::new());
                let ts = body["ts"].as_str().unwrap().to_owned();
                if body["channel"] != "C1" || !state.messages.contains_key(&ts) {
                    return no("message_not_found");
                }
                state.messages.insert(ts.clone(), body);
                ResponseTemplate::new(200).set_body_json(json!({"ok": true, "channel": "C1", "ts": ts}))
            }
            "apps.connections.open" => {
                ResponseTemplate::new(200).set_body_json(json!({"ok": true, "url": state.socket}))
            }
            _ => ResponseTemplate::new(200).set_body_json(json!({"ok": true})),
        }
    }
}

impl Scripted {
    async fn start() -> (MockServer, Self) {
        let (server, slack) = (MockServer::start().await, Self::default());
        Mock::given(any())
            .respond_with(slack.clone())
            .mount(&server)
            .await;
        (server, slack)
    }

    fn instead(&self, answer: ResponseTemplate) {
        self.0.lock().unwrap().instead.push_back(answer);
    }

    fn messages(&self) -> Vec<Value> {
        self.0.lock().unwrap().messages.values().cloned().collect()
    }

    fn calls(&self, method: &str) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        let calls = state.calls.iter().filter(|(called, _)| called == method);
        calls.map(|(_, body)| body.clone()).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?}", self.0.lock().unwrap().calls);
    }
}

fn app(server: &MockServer) -> Arc<App> {
    Arc::new(App::new(&server.uri(), &SecretString::from("xoxb-1"), "#ops").unwrap())
}

async fn running(server: &MockServer, folder: &tempfile::TempDir) -> Running {
    let around = Surroundings {
        look: Look {
            cockpit: Some("https://ops.test".to_owned()),
            buttons: true,
            silences: false,
        },
        ..around()
    };
    start(
        Destination::SlackApp(app(server)),
        Level::Important,
        around,
        folder,
    )
    .await
}

fn in_phase(uid: &str, stages: &[Stage], phase: Phase) -> Update {
    let mut incident = incident(uid, "a leak", stages);
    incident.status.as_mut().unwrap().phase = phase;
    Update::Changed(Arc::new(incident))
}

fn text(body: &Value) -> &str {
    body["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_incident_is_one_message_that_is_updated_with_its_stages_in_the_thread() {
    let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    let running = running(&server, &folder).await;
    running
        .send
        .unbounded_send(in_phase("a", &STORY[..1], Phase::Received))
        .unwrap();
    slack
        .until("the first stage", |slack| slack.messages().len() == 2)
        .await;
    running
        .send
        .unbounded_send(in_phase("a", &STORY, Phase::Resolved))
        .unwrap();
    slack
        .until("the end", |slack| {
            slack.messages().len() == 5 && text(&slack.messages()[0]).contains("Resolved")
        })
        .await;
    running.end().await;
    let messages = slack.messages();
    assert_eq!(messages[0]["channel"], "C1", "an update names the channel's id");
    for (reply, word) in messages[1..]
        .iter()
        .zip(["received", "Council", "Action", "Resolved"])
    {
        assert_eq!(reply["thread_ts"], "1700000000.000000");
        assert!(text(reply).contains(word), "{reply}");
    }
    assert!(
        messages[0]
            .to_string()
            .contains("https://ops.test/incidents/inc-a")
    );
}

#[tokio::test]
async fn under_a_silence_the_message_that_stands_there_is_kept_true_and_nothing_new_is_sent() {
    let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    let running = running(&server, &folder).await;
    running
        .send
        .unbounded_send(in_phase("a", &STORY[..1], Phase::AwaitingApproval))
        .unwrap();
    slack
        .until("its message", |slack| slack.messages().len() == 2)
        .await;
    for uid in ["b", "a"] {
        let mut ended = incident(uid, "a leak", &STORY);
        ended.status.as_mut().unwrap().phase = Phase::Resolved;
        running
            .send
            .unbounded_send(Update::Silenced(Arc::new(ended)))
            .unwrap();
    }
    slack
        .until("the end", |slack| text(&slack.messages()[0]).contains("Resolved"))
        .await;
    running.end().await;
    assert_eq!(
        slack.messages().len(),
        2,
        "no reply, and no message about another"
    );
}

#[tokio::test]
async fn a_restart_updates_the_message_that_stands_there_and_repeats_no_stage() {
    let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    let first = running(&server, &folder).await;
    first
        .send
        .unbounded_send(in_phase("a", &STORY[..3], Phase::CouncilReview))
        .unwrap();
    slack
        .until("two stages", |slack| slack.messages().len() == 3)
        .await;
    first.end().await;
    let second = running(&server, &folder).await;
    second
        .send
        .unbounded_send(in_phase("a", &STORY, Phase::Resolved))
        .unwrap();
    slack.until("the end", |slack| slack.messages().len() == 5).await;
    second.end().await;
    assert_eq!(slack.calls("chat.postMessage").len(), 5);
    assert_eq!(slack.calls("chat.update").len(), 1);
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_posted_again() {
    let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    let running = running(&server, &folder).await;
    running
        .send
        .unbounded_send(in_phase("a", &STORY[..1], Phase::Received))
        .unwrap();
    slack
        .until("the first stage", |slack| slack.messages().len() == 2)
        .await;
    slack
        .0
        .lock()
        .unwrap()
        .messages
        .insert("1700000000.000000".to_owned(), json!({}));
    slack.0.lock().unwrap().messages.remove("1700000000.000000");
    running
        .send
        .unbounded_send(in_phase("a", &STORY[..1], Phase::Analysing))
        .unwrap();
    slack
        .until("a new message", |slack| {
            slack.calls("chat.postMessage").len() == 3
        })
        .await;
    running.end().await;
}

#[tokio::test]
async fn a_pause_that_slack_requests_and_errors_of_its_own_delay_a_message_and_lose_none() {
    let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    slack.instead(ResponseTemplate::new(429).insert_header("retry-after", "0"));
    slack.instead(ResponseTemplate::new(503));
    let running = running(&server, &folder).await;
    running
        .send
        .unbounded_send(in_phase("a", &STORY[..1], Phase::Received))
        .unwrap();
    slack
        .until("both messages", |slack| slack.messages().len() == 2)
        .await;
    let journal = Arc::clone(running.handle.journal());
    running.end().await;
    assert_eq!((journal.sent(), journal.failed(), journal.dropped()), (2, 2, 0));
}

#[tokio::test]
async fn a_revoked_token_ends_all_tries_is_reported_once_and_a_test_that_is_taken_begins_again() {
    for error in ["invalid_auth", "token_revoked", "channel_not_found"] {
        let ((server, slack), folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
        slack.instead(ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": error})));
        let running = running(&server, &folder).await;
        running
            .send
            .unbounded_send(in_phase("a", &STORY[..1], Phase::Received))
            .unwrap();
        let journal = Arc::clone(running.handle.journal());
        slack
            .until("a stop", |_| journal.stopped().is_some_and(|why| why == error))
            .await;
        running
            .send
            .unbounded_send(in_phase("a", &STORY, Phase::Resolved))
            .unwrap();
        slack.until("dead letters", |_| journal.dropped() >= 4).await;
        assert_eq!(slack.0.lock().unwrap().calls.len(), 1, "nothing is tried again");
        assert_eq!(running.handle.test().await, Ok(()));
        assert_eq!(journal.stopped(), None);
        running
            .send
            .unbounded_send(in_phase("b", &STORY[..1], Phase::Received))
            .unwrap();
        slack
            .until("the next incident", |slack| slack.messages().len() >= 3)
            .await;
        running.end().await;
    }
}

/// Decisions as the store would take them: the first on a plan counts, the same again is none.
#[derive(Debug, Clone, Default)]
struct Decided(Arc<Mutex<Vec<Decision>>>, Arc<Mutex<Vec<RefusedClick>>>);

impl Decided {
    fn record(&self) -> Record {
        let all = Arc::clone(&self.1);
        Arc::new(move |refused| {
            all.lock().unwrap().push(refused);
            Box::pin(std::future::ready(()))
        })
    }

    fn decide(&self) -> Decide {
        let all = Arc::clone(&self.0);
        Arc::new(move |decision| {
            let mut all = all.lock().unwrap();
            let answer = match all.first() {
                Some(first) if *first == decision => Ok(()),
                Some(first) => Err(format!("{} has decided already", first.by)),
                None if decision.plan != "abc" => Err("the plan is another one now".to_owned()),
                None => {
                    all.push(decision);
                    Ok(())
                }
            };
            Box::pin(std::future::ready(answer))
        })
    }
}

const SIGNING: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const NOW: i64 = 1_700_000_000;

fn subject(plan: &str) -> Subject {
    Subject {
        incident: "inc-a".to_owned(),
        uid: "a".to_owned(),
        plan: plan.to_owned(),
    }
}

fn form(payload: &Value) -> Vec<u8> {
    let mut url = reqwest::Url::parse("http://localhost/").unwrap();
    url.query_pairs_mut().append_pair("payload", &payload.to_string());
    url.query().unwrap().as_bytes().to_vec()
}

fn clicks(server: &MockServer, decided: &Decided) -> (Arc<Clicks>, tokio::task::JoinHandle<()>) {
    let signing = Some(SecretString::from(SIGNING));
    let (clicks, answers) = Clicks::new(
        app(server),
        ["U1".to_owned()],
        signing,
        decided.decide(),
        decided.record(),
    );
    let task = tokio::spawn(answers.run(CancellationToken::new()));
    (Arc::new(clicks), task)
}

async fn click(clicks: &Clicks, payload: &Value) -> HttpAnswer {
    let (body, at) = (form(payload), NOW.to_string());
    let signature = sign(SIGNING, NOW, &body);
    clicks.http(Some(&at), Some(&signature), &body, NOW).await
}

#[tokio::test]
async fn a_click_of_an_approver_decides_once_and_a_retry_is_the_same_decision() {
    let ((server, slack), decided) = (Scripted::start().await, Decided::default());
    let (clicks, task) = clicks(&server, &decided);
    let payload = clicked(Verb::Approve, "U1", &subject("abc"));
    for _ in 0..3 {
        assert_eq!(click(&clicks, &payload).await, HttpAnswer::Taken);
    }
    let all = decided.0.lock().unwrap().clone();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].by.as_str(), all[0].choice),
        ("slack:U1 (ada)", Choice::Approve)
    );
    assert_eq!(clicks.counters().decided(), 3);
    assert!(slack.calls("chat.postEphemeral").is_empty());
    task.abort();
}

#[tokio::test]
async fn a_stale_plan_a_second_decision_and_a_user_who_is_no_approver_get_an_answer_only_they_see() {
    let ((server, slack), decided) = (Scripted::start().await, Decided::default());
    let (clicks, task) = clicks(&server, &decided);
    let stranger = clicked(Verb::Approve, "U2", &subject("abc"));
    let stale = clicked(Verb::Approve, "U1", &subject("old"));
    let approve = clicked(Verb::Approve, "U1", &subject("abc"));
    let reject = clicked(Verb::Reject, "U1", &subject("abc"));
    for payload in [stranger, stale, approve, reject] {
        assert_eq!(click(&clicks, &payload).await, HttpAnswer::Taken);
    }
    slack
        .until("answers", |slack| slack.calls("chat.postEphemeral").len() == 3)
        .await;
    let answers = slack.calls("chat.postEphemeral");
    for (answer, (user, why)) in answers.iter().zip([
        ("U2", "SLACK_APPROVERS"),
        ("U1", "the plan is another one now"),
        ("U1", "has decided already"),
    ]) {
        assert_eq!(
            (&answer["user"], &answer["channel"]),
            (&json!(user), &json!("C1"))
        );
        assert!(text(answer).contains(why), "{answer}");
    }
    assert_eq!(decided.0.lock().unwrap().len(), 1);
    assert_eq!((clicks.counters().decided(), clicks.counters().refused()), (1, 3));
    let recorded = decided.1.lock().unwrap().clone();
    let rows: Vec<_> = recorded
        .iter()
        .map(|it| (it.by.as_str(), it.incident.as_str(), it.choice))
        .collect();
    assert_eq!(
        rows,
        [
            ("slack:U2 (ada)", "inc-a", "approve"),
            ("slack:U1 (ada)", "inc-a", "approve"),
            ("slack:U1 (ada)", "inc-a", "reject"),
        ]
    );
    assert!(
        recorded[1].why.contains("the plan is another one now"),
        "{recorded:?}"
    );
    task.abort();
}

#[tokio::test]
async fn a_forged_an_old_and_an_unsigned_request_decide_nothing() {
    let ((server, slack), decided) = (Scripted::start().await, Decided::default());
    let (clicks, task) = clicks(&server, &decided);
    let body = form(&clicked(Verb::Approve, "U1", &subject("abc")));
    let (at, good) = (NOW.to_string(), sign(SIGNING, NOW, &body));
    let other = sign("another secret", NOW, &body);
    for (at, signature, now) in [
        (Some(at.as_str()), Some(other.as_str()), NOW),
        (Some(at.as_str()), Some(good.as_str()), NOW + 301),
        (Some(at.as_str()), None, NOW),
        (None, Some(good.as_str()), NOW),
    ] {
        assert_eq!(clicks.http(at, signature, &body, now).await, HttpAnswer::Forged);
    }
    let garbage = sign(SIGNING, NOW, b"payload=%7B");
    let answer = clicks.http(Some(&at), Some(&garbage), b"payload=%7B", NOW).await;
    assert_eq!(answer, HttpAnswer::Unreadable);
    assert!(decided.0.lock().unwrap().is_empty());
    assert_eq!(clicks.counters().forged(), 4);
    // Without a signing secret nothing is Slack's.
    let (bare, _answers) = Clicks::new(
        app(&server),
        ["U1".to_owned()],
        None,
        decided.decide(),
        decided.record(),
    );
    assert_eq!(
        bare.http(Some(&at), Some(&good), &body, NOW).await,
        HttpAnswer::Forged
    );
    assert!(slack.calls("chat.postEphemeral").is_empty());
    task.abort();
}

/// Slack's end of one connection.
type Accepted = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn accept(listener: &tokio::net::TcpListener) -> Accepted {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    say(&mut socket, &json!({"type": "hello"})).await;
    socket
}

async fn say(socket: &mut Accepted, what: &Value) {
    use futures::SinkExt as _;
    let message = tokio_tungstenite::tungstenite::Message::text(what.to_string());
    socket.send(message).await.unwrap();
}

async fn acknowledged(socket: &mut Accepted) -> Value {
    let message = socket.next().await.unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn socket_mode_acknowledges_clicks_and_connects_again_when_a_connection_is_renewed_or_lost() {
    let ((server, slack), decided) = (Scripted::start().await, Decided::default());
    let (clicks, task) = clicks(&server, &decided);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    slack.0.lock().unwrap().socket = format!("ws://{}/?ticket=1", listener.local_addr().unwrap());
    let socket_mode = SocketMode::new(&server.uri(), &SecretString::from("xapp-1"), clicks).unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(socket_mode.run(shutdown.clone()));
    let envelope =
        |id: &str, payload: Value| json!({"type": "interactive", "envelope_id": id, "payload": payload});

    let mut first = accept(&listener).await;
    say(
        &mut first,
        &envelope("e1", clicked(Verb::Approve, "U1", &subject("abc"))),
    )
    .await;
    assert_eq!(acknowledged(&mut first).await, json!({"envelope_id": "e1"}));
    say(
        &mut first,
        &json!({"type": "disconnect", "reason": "refresh_requested"}),
    )
    .await;

    // Slack sends what it is not sure of again: it decides nothing twice.
    let mut second = accept(&listener).await;
    say(
        &mut second,
        &envelope("e1", clicked(Verb::Approve, "U1", &subject("abc"))),
    )
    .await;
    assert_eq!(acknowledged(&mut second).await, json!({"envelope_id": "e1"}));
    drop(second);

    let mut third = accept(&listener).await;
    say(&mut third, &envelope("e2", json!({"type": "view_submission"}))).await;
    assert_eq!(acknowledged(&mut third).await, json!({"envelope_id": "e2"}));
    assert_eq!(decided.0.lock().unwrap().len(), 1);
    assert_eq!(slack.calls("apps.connections.open").len(), 3);
    shutdown.cancel();
    running.await.unwrap();
    task.abort();
}
