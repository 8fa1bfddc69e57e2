//! The loop against a receiver that takes, stalls and refuses.

use futures::channel::mpsc;
use secrecy::SecretString;
use serde_json::Value;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::card::tests::incident;

const STORY: [Stage; 6] = [
    Stage::Received,
    Stage::Analysing,
    Stage::CouncilDecision,
    Stage::Executing,
    Stage::Restarted,
    Stage::Resolved,
];

struct Running {
    send: mpsc::UnboundedSender<Update>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    counters: Arc<Counters>,
}

async fn run(server: &MockServer, level: Level, file: PathBuf) -> Running {
    let slack = Slack::new(&SecretString::from(server.uri())).unwrap();
    let mut notifier = Notifier::open(slack, level, file).await;
    notifier.spacing = Duration::ZERO;
    let counters = notifier.counters();
    let (send, receive) = mpsc::unbounded();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(notifier.run(receive.boxed(), shutdown.clone()));
    Running {
        send,
        shutdown,
        task,
        counters,
    }
}

impl Running {
    fn changed(&self, uid: &str, stages: &[Stage]) {
        let update = Update::Changed(Arc::new(incident(uid, "a leak", stages)));
        self.send.unbounded_send(update).unwrap();
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

async fn posts(server: &MockServer, wanted: usize) -> Vec<String> {
    for _ in 0..2_000 {
        let requests = server.received_requests().await.unwrap_or_default();
        if requests.len() >= wanted {
            return requests.iter().map(headline).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{wanted} posts have not come");
}

fn headline(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body.pointer("/text")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

async fn taking() -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_string("ok");
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("slack.json")
}

#[tokio::test]
async fn cards_come_at_received_decision_action_and_end_in_that_order() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::Important, file(&folder)).await;
    for until in 1..=STORY.len() {
        running.changed("a", &STORY[..until]);
    }
    let posts = posts(&server, 4).await;
    let words = ["Incident received", "Council decided", "Action taken", "Resolved"];
    assert_eq!(posts.len(), words.len(), "{posts:?}");
    for (post, word) in posts.iter().zip(words) {
        assert!(post.contains(word), "{post} should say {word}");
    }
    running.end().await;
}

#[tokio::test]
async fn every_entry_is_posted_where_all_are_wanted() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::All, file(&folder)).await;
    running.changed("a", &STORY);
    assert_eq!(posts(&server, STORY.len()).await.len(), STORY.len());
    running.end().await;
}

#[tokio::test]
async fn a_restart_repeats_no_card_and_loses_none() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let first = run(&server, Level::Important, file(&folder)).await;
    first.changed("a", &STORY[..3]);
    posts(&server, 2).await;
    first.end().await;
    let second = run(&server, Level::Important, file(&folder)).await;
    let all = vec![Arc::new(incident("a", "a leak", &STORY))];
    second.send.unbounded_send(Update::All(all)).unwrap();
    let posts = posts(&server, 4).await;
    assert!(
        posts[2].contains("Action taken") && posts[3].contains("Resolved"),
        "{posts:?}"
    );
    second.end().await;
    assert_eq!(server.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_incident_that_ended_and_changes_once_more_is_not_posted_again() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::Important, file(&folder)).await;
    running.changed("a", &STORY);
    posts(&server, 4).await;
    running.changed("a", &STORY);
    running.changed("b", &STORY[..1]);
    posts(&server, 5).await;
    running.end().await;
    assert_eq!(server.received_requests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_dry_run_that_an_earlier_version_left_open_is_past() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let story = [Stage::Received, Stage::CouncilDecision, Stage::DryRun];
    let first = run(&server, Level::Important, file(&folder)).await;
    first.changed("a", &story[..2]);
    posts(&server, 2).await;
    first.end().await;
    let second = run(&server, Level::Important, file(&folder)).await;
    let mut old = incident("a", "a leak", &story);
    old.status.as_mut().unwrap().finished_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    second
        .send
        .unbounded_send(Update::All(vec![Arc::new(old)]))
        .unwrap();
    second.changed("b", &STORY[..1]);
    posts(&server, 3).await;
    second.end().await;
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_had_ended_before_the_first_start_is_not_posted() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::Important, file(&folder)).await;
    let mut old = incident("old", "a leak", &STORY);
    old.status.as_mut().unwrap().finished_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    running
        .send
        .unbounded_send(Update::All(vec![Arc::new(old)]))
        .unwrap();
    running.changed("new", &STORY[..1]);
    posts(&server, 1).await;
    running.end().await;
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it_and_the_card_after_it() {
    let (server, folder) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let wait = ResponseTemplate::new(429).insert_header("retry-after", "1");
    Mock::given(method("POST"))
        .respond_with(wait)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let answer = ResponseTemplate::new(200);
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let running = run(&server, Level::Important, file(&folder)).await;
    running.changed("a", &STORY[..1]);
    let posts = posts(&server, 2).await;
    assert_eq!(posts[0], posts[1]);
    let counters = Arc::clone(&running.counters);
    running.end().await;
    assert_eq!(
        (counters.sent(), counters.failed(), counters.waiting()),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_card_that_is_refused_is_sent_as_plain_text() {
    let (server, folder) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let refuse = ResponseTemplate::new(400).set_body_string("invalid_blocks");
    Mock::given(method("POST"))
        .respond_with(refuse)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let running = run(&server, Level::Important, file(&folder)).await;
    running.changed("a", &STORY[..1]);
    posts(&server, 2).await;
    running.end().await;
    let requests = server.received_requests().await.unwrap();
    let body: Value = serde_json::from_slice(&requests[1].body).unwrap();
    assert!(
        body.pointer("/blocks").is_none() && body.pointer("/text").is_some(),
        "{body}"
    );
}

#[tokio::test]
async fn a_webhook_that_was_revoked_is_left_alone_for_a_while() {
    let (server, folder) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let gone = ResponseTemplate::new(404).set_body_string("no_service");
    Mock::given(method("POST"))
        .respond_with(gone)
        .mount(&server)
        .await;
    let running = run(&server, Level::Important, file(&folder)).await;
    running.changed("a", &STORY);
    posts(&server, 1).await;
    let counters = Arc::clone(&running.counters);
    running.end().await;
    assert_eq!(counters.sent(), 0);
    assert!(counters.dropped() >= 1);
}

#[tokio::test]
async fn a_receiver_that_hangs_blocks_no_sender() {
    let (server, folder) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let hang = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("POST"))
        .respond_with(hang)
        .mount(&server)
        .await;
    let running = run(&server, Level::Important, file(&folder)).await;
    running.changed("a", &STORY[..1]);
    posts(&server, 1).await;
    // Two thousand updates are taken in while the post hangs: no sender of them waits.
    for number in 0..1_000 {
        running.changed(&number.to_string(), &STORY[..2]);
    }
    running.task.abort();
}
