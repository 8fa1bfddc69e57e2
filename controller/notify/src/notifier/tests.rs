//! The loop against a receiver that takes, stalls and refuses.

mod slack_app;

use futures::channel::mpsc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use secrecy::SecretString;
use serde_json::Value;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::card::tests::incident;
use crate::slack::incoming::Slack;

const STORY: [Stage; 6] = [
    Stage::Received,
    Stage::Analysing,
    Stage::CouncilDecision,
    Stage::Executing,
    Stage::Restarted,
    Stage::Resolved,
];

pub(super) struct Running {
    pub(super) send: mpsc::UnboundedSender<Update>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    pub(super) handle: Handle,
    pub(super) reports: Arc<std::sync::Mutex<Vec<String>>>,
}

/// Nothing is quiet, everything is ongoing.
pub(super) fn around() -> Surroundings {
    Surroundings {
        wishes: Arc::new(|_| Wishes::default()),
        is_ongoing: Arc::new(|_| true),
        report: Arc::new(|_, _, _| {}),
        closeness: crate::bursts::Closeness {
            quiet: Duration::ZERO,
            longest: Duration::ZERO,
        },
        look: Look::default(),
    }
}

pub(super) async fn start(
    destination: Destination,
    level: Level,
    mut around: Surroundings,
    folder: &tempfile::TempDir,
) -> Running {
    let reports = Arc::new(std::sync::Mutex::new(Vec::new()));
    let written = Arc::clone(&reports);
    around.report = Arc::new(move |to, incident, why| {
        written.lock().unwrap().push(format!("{to} {incident} {why}"));
    });
    let mut notifier = Notifier::open(destination, level, around, folder.path().to_owned()).await;
    notifier.spacing = Duration::ZERO;
    let handle = notifier.handle();
    let (send, receive) = mpsc::unbounded();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(notifier.run(receive.boxed(), shutdown.clone()));
    Running {
        send,
        shutdown,
        task,
        handle,
        reports,
    }
}

async fn run(server: &MockServer, level: Level, folder: &tempfile::TempDir) -> Running {
    let slack = Slack::new(&SecretString::from(server.uri())).unwrap();
    start(Destination::Slack(slack), level, around(), folder).await
}

impl Running {
    pub(super) fn changed(&self, uid: &str, stages: &[Stage]) {
        let update = Update::Changed(Arc::new(incident(uid, "a leak", stages)));
        self.send.unbounded_send(update).unwrap();
    }

    pub(super) async fn end(self) {
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

#[tokio::test]
async fn cards_come_at_received_decision_action_and_end_in_that_order() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::Important, &folder).await;
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
async fn people_are_notified_of_how_an_incident_stands_when_its_burst_of_alerts_is_over() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let slack = Slack::new(&SecretString::from(server.uri())).unwrap();
    let hours = Duration::from_secs(3600);
    let around = Surroundings {
        closeness: Closeness {
            quiet: hours,
            longest: hours,
        },
        ..around()
    };
    let running = start(Destination::Slack(slack), Level::All, around, &folder).await;
    let update = |uid: &str, stages: &[Stage], folded: usize| {
        let mut incident = incident(uid, uid, stages);
        let alert = |number: usize| aegis_api::incident::JoinedAlert {
            incident_id: number.to_string(),
            ..Default::default()
        };
        incident.spec.source.joined = (0..folded).map(alert).collect();
        incident.spec.count = u32::try_from(folded).unwrap() + 1;
        running
            .send
            .unbounded_send(Update::Changed(Arc::new(incident)))
            .unwrap();
    };
    update("alone", &STORY[..1], 0);
    posts(&server, 1).await;
    update("alone", &STORY[..1], 1);
    update("alone", &STORY[..3], 1);
    update("alone", &STORY[..3], 2);
    update("other", &STORY[..2], 0);
    // What came later and is about another one goes before.
    let about = posts(&server, 3).await;
    assert!(about[1..].iter().all(|post| post.contains("other")), "{about:?}");
    // An end waits for nothing, and takes along what led to it, in order.
    update("alone", &STORY, 3);
    let all = posts(&server, 2 + STORY.len()).await;
    assert_eq!(all.len(), 2 + STORY.len());
    assert!(all.last().unwrap().contains("Resolved"), "{all:?}");
    running.end().await;
}

#[tokio::test]
async fn every_entry_is_posted_where_all_are_wanted() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let running = run(&server, Level::All, &folder).await;
    running.changed("a", &STORY);
    assert_eq!(posts(&server, STORY.len()).await.len(), STORY.len());
    running.end().await;
}

#[tokio::test]
async fn a_restart_repeats_no_card_and_loses_none() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let first = run(&server, Level::Important, &folder).await;
    first.changed("a", &STORY[..3]);
    posts(&server, 2).await;
    first.end().await;
    let second = run(&server, Level::Important, &folder).await;
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
    let running = run(&server, Level::Important, &folder).await;
    running.changed("a", &STORY);
    posts(&server, 4).await;
    running.changed("a", &STORY);
    running.changed("b", &STORY[..1]);
    posts(&server, 5).await;
    running.end().await;
    assert_eq!(server.received_requests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_collector_is_sent_one_trace_of_each_incident_that_has_ended_however_often_it_changes() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let otlp = crate::otlp::Otlp::new(&server.uri(), None, "").unwrap();
    let running = start(Destination::Otlp(otlp), Level::All, around(), &folder).await;
    running.changed("open", &STORY[..5]);
    for uid in ["a", "b"] {
        for until in 1..=STORY.len() {
            running.changed(uid, &STORY[..until]);
        }
        running.changed(uid, &STORY);
    }
    while running.handle.journal().sent() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.changed("a", &STORY);
    running.end().await;
    let requests = server.received_requests().await.unwrap();
    let traces: Vec<Vec<Span>> = requests.iter().map(|request| spans(&request.body)).collect();
    assert_eq!(traces.len(), 2, "one an incident");
    let ids: std::collections::BTreeSet<_> = traces.iter().flatten().map(|span| &span.trace_id).collect();
    assert_eq!(ids.len(), 2, "each under an id of its own");
    for trace in &traces {
        let names: Vec<&str> = trace
            .iter()
            .skip(1)
            .map(|span| &*span.name)
            .take(STORY.len())
            .collect();
        assert_eq!(names, STORY.map(Stage::as_str), "its spans are the timeline");
    }
}

fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

#[tokio::test]
async fn a_dry_run_that_an_earlier_version_left_open_is_past() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let story = [Stage::Received, Stage::CouncilDecision, Stage::DryRun];
    let first = run(&server, Level::Important, &folder).await;
    first.changed("a", &story[..2]);
    posts(&server, 2).await;
    first.end().await;
    let second = run(&server, Level::Important, &folder).await;
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
    let running = run(&server, Level::Important, &folder).await;
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
    let running = run(&server, Level::Important, &folder).await;
    running.changed("a", &STORY[..1]);
    let posts = posts(&server, 2).await;
    assert_eq!(posts[0], posts[1]);
    let counters = Arc::clone(running.handle.journal());
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
    let running = run(&server, Level::Important, &folder).await;
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
    let running = run(&server, Level::Important, &folder).await;
    running.changed("a", &STORY);
    posts(&server, 1).await;
    let counters = Arc::clone(running.handle.journal());
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
    let running = run(&server, Level::Important, &folder).await;
    running.changed("a", &STORY[..1]);
    posts(&server, 1).await;
    // Two thousand updates are taken in while the post hangs: no sender of them waits.
    for number in 0..1_000 {
        running.changed(&number.to_string(), &STORY[..2]);
    }
    running.task.abort();
}

#[tokio::test]
async fn a_message_that_is_given_up_is_reported_by_its_incident() {
    let (server, folder) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let gone = ResponseTemplate::new(404).set_body_string("no_service");
    Mock::given(method("POST"))
        .respond_with(gone)
        .mount(&server)
        .await;
    let running = run(&server, Level::Important, &folder).await;
    running.changed("a", &STORY[..1]);
    posts(&server, 1).await;
    let (reports, handle) = (Arc::clone(&running.reports), running.handle.clone());
    running.end().await;
    assert_eq!(*reports.lock().unwrap(), ["slack inc-a HTTP 404: no_service"]);
    let dead = &handle.journal().deliveries()[0];
    assert_eq!(
        (dead.incident.as_str(), dead.about.as_str()),
        ("inc-a", "RECEIVED")
    );
}

fn quiet(is_quiet: &Arc<std::sync::atomic::AtomicBool>) -> Surroundings {
    let is_quiet = Arc::clone(is_quiet);
    Surroundings {
        wishes: Arc::new(move |_| Wishes {
            quiet: is_quiet.load(std::sync::atomic::Ordering::SeqCst),
            ..Wishes::default()
        }),
        ..around()
    }
}

fn warning(uid: &str, stages: &[Stage]) -> Arc<Incident> {
    let mut incident = incident(uid, "a leak", stages);
    incident.spec.severity = aegis_api::incident::Severity::Warning;
    Arc::new(incident)
}

/// A notifier that is driven by hand.
async fn driven(server: &MockServer, around: Surroundings, folder: &tempfile::TempDir) -> Notifier {
    let slack = Slack::new(&SecretString::from(server.uri())).unwrap();
    Notifier::open(
        Destination::Slack(slack),
        Level::Important,
        around,
        folder.path().to_owned(),
    )
    .await
}

#[tokio::test]
async fn what_quiet_hours_fold_is_counted_and_sent_as_one_digest_after_them() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let is_quiet = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut notifier = driven(&server, quiet(&is_quiet), &folder).await;
    for uid in ["a", "b"] {
        notifier.receive(Update::Changed(warning(uid, &STORY))).await;
    }
    notifier.think(now()).await;
    assert_eq!(notifier.outbox.len(), 0, "it is quiet");
    // It outlives a restart.
    let mut notifier = driven(&server, quiet(&is_quiet), &folder).await;
    notifier
        .receive(Update::All(vec![warning("a", &STORY), warning("b", &STORY)]))
        .await;
    is_quiet.store(false, std::sync::atomic::Ordering::SeqCst);
    notifier.think(now()).await;
    let front = notifier.outbox.first(|_| false).cloned();
    notifier.deliver(front.expect("a message waits")).await;
    assert_eq!(notifier.outbox.len(), 0);
    let posts = posts(&server, 1).await;
    assert!(
        posts[0].contains("8 messages about 2 incidents were folded: 2 resolved"),
        "{posts:?}"
    );
}

#[tokio::test]
async fn a_storm_is_folded_and_its_messages_are_all_accounted_for() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let mut notifier = driven(&server, around(), &folder).await;
    for number in 0..500 {
        let update = Update::Changed(warning(&number.to_string(), &STORY[..1]));
        notifier.receive(update).await;
    }
    let waiting = u64::try_from(notifier.outbox.len()).unwrap();
    assert!(waiting < 100, "{waiting}");
    assert_eq!(waiting + notifier.journal.folded(), 500);
    assert_eq!(notifier.ledger.digest().messages(), notifier.journal.folded());
}

#[tokio::test(start_paused = true)]
async fn what_a_storm_folds_behind_a_message_that_waits_is_folded_once_and_not_sent_later() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let mut notifier = driven(&server, around(), &folder).await;
    notifier.receive(Update::Changed(warning("a", &STORY[..1]))).await;
    for number in 0..60 {
        let update = Update::Changed(warning(&number.to_string(), &STORY[..1]));
        notifier.receive(update).await;
    }
    let before = notifier.journal.folded();
    for _ in 0..3 {
        notifier.receive(Update::Changed(warning("a", &STORY[..3]))).await;
    }
    let folded = notifier.journal.folded() - before;
    assert!(folded > 0 && folded <= 2, "each entry once: {folded}");
    // Its first message is delivered, the storm is over, and it changes once more.
    while let Some(front) = notifier.outbox.first(|uid| uid != "a").cloned() {
        notifier.deliver(front).await;
    }
    tokio::time::advance(Duration::from_secs(120)).await;
    notifier.receive(Update::Changed(warning("a", &STORY[..3]))).await;
    assert!(
        notifier.outbox.subjects().all(|uid| uid != "a"),
        "what was folded is not sent as well"
    );
}

#[tokio::test]
async fn a_digest_that_is_not_delivered_is_not_lost_and_none_is_written_for_nothing() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let is_quiet = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut notifier = driven(&server, quiet(&is_quiet), &folder).await;
    notifier.receive(Update::All(vec![warning("a", &STORY)])).await;
    notifier.think(now()).await;
    let file = || {
        let entry = std::fs::read_dir(folder.path()).unwrap().next();
        entry.map(|entry| entry.unwrap().metadata().unwrap().modified().unwrap())
    };
    let written = file();
    assert!(written.is_some());
    notifier.think(now()).await;
    assert_eq!(file(), written, "nothing has changed");
    is_quiet.store(false, std::sync::atomic::Ordering::SeqCst);
    notifier.think(now()).await;
    assert_eq!(notifier.outbox.len(), 1, "the digest waits");
    // It ends before it is sent.
    let mut notifier = driven(&server, quiet(&is_quiet), &folder).await;
    notifier.receive(Update::All(vec![warning("a", &STORY)])).await;
    notifier.think(now()).await;
    let front = notifier.outbox.first(|_| false).cloned().expect("again");
    notifier.give_up(&front, "no");
    notifier.done(&front);
    notifier.think(now()).await;
    let front = notifier.outbox.first(|_| false).cloned().expect("once more");
    notifier.deliver(front).await;
    notifier.think(now()).await;
    assert_eq!(notifier.outbox.len(), 0);
    let posts = posts(&server, 1).await;
    assert!(
        posts[0].contains("messages about 1 incidents were folded"),
        "{posts:?}"
    );
}

#[tokio::test]
async fn what_waits_when_a_silence_begins_is_not_sent_and_comes_after_it_if_it_is_still_so() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let mut notifier = driven(&server, around(), &folder).await;
    for uid in ["a", "b"] {
        notifier.receive(Update::Changed(warning(uid, &STORY[..2]))).await;
    }
    let both = notifier.outbox.len();
    notifier
        .receive(Update::Silenced(warning("a", &STORY[..2])))
        .await;
    assert_eq!(notifier.outbox.len() * 2, both, "those about the other one stay");
    assert!(notifier.outbox.subjects().all(|uid| uid == "b"));
    notifier.receive(Update::Changed(warning("a", &STORY[..2]))).await;
    assert_eq!(notifier.outbox.len(), both, "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_storm_that_goes_on_is_one_and_is_reported_every_five_minutes() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let mut notifier = driven(&server, around(), &folder).await;
    notifier.receive(Update::All(Vec::new())).await;
    let mut digests = 0;
    // Two a second, for eleven minutes.
    for number in 0..1320 {
        let update = Update::Changed(warning(&number.to_string(), &STORY[..1]));
        notifier.receive(update).await;
        tokio::time::advance(Duration::from_millis(500)).await;
        if number % 60 == 59 {
            let before = notifier.outbox.len();
            notifier.think(now()).await;
            digests += notifier.outbox.len() - before;
        }
    }
    assert_eq!(digests, 2);
    let sent = u64::try_from(notifier.outbox.len() - digests).unwrap();
    assert!(sent <= 60, "one storm sends what calm times have, once: {sent}");
    assert_eq!(sent + notifier.journal.folded(), 1320);
    tokio::time::advance(Duration::from_secs(60)).await;
    notifier.think(now()).await;
    assert!(notifier.ledger.digest().is_empty(), "the rest, when it is over");
}

#[tokio::test]
async fn people_are_reminded_every_four_hours_of_what_failed_while_it_is_still_wrong() {
    let (server, folder) = (taking().await, tempfile::tempdir().unwrap());
    let is_wrong = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let wrong = Arc::clone(&is_wrong);
    let surroundings = Surroundings {
        is_ongoing: Arc::new(move |_| wrong.load(std::sync::atomic::Ordering::SeqCst)),
        ..around()
    };
    let mut notifier = driven(&server, surroundings.clone(), &folder).await;
    let mut failed = incident("a", "no way out", &[Stage::Received, Stage::Failed]);
    let ended: Time = now();
    let status = failed.status.as_mut().unwrap();
    (status.phase, status.finished_at) = (Phase::Failed, Some(ended));
    let failed = Arc::new(failed);
    notifier.receive(Update::Changed(Arc::clone(&failed))).await;
    let before = notifier.outbox.len();
    let after = |minutes: u64| ended.plus(aegis_api::Duration::from_secs(minutes * 60));
    for (minutes, reminders) in [(239, 0), (241, 1), (242, 1), (479, 1), (481, 2)] {
        notifier.think(after(minutes)).await;
        assert_eq!(notifier.outbox.len() - before, reminders, "after {minutes} min");
    }
    // Neither a restart nor its being over brings it again.
    let mut notifier = driven(&server, surroundings, &folder).await;
    notifier.receive(Update::All(vec![failed])).await;
    let before = notifier.outbox.len();
    notifier.think(after(482)).await;
    assert_eq!(notifier.outbox.len(), before);
    is_wrong.store(false, std::sync::atomic::Ordering::SeqCst);
    notifier.think(after(721)).await;
    assert_eq!(notifier.outbox.len(), before);
}
