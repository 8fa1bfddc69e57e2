//! Against a receiver that records what comes.

use aegis_api::wire::ReconcileError;
use futures::{FutureExt as _, stream};
use secrecy::SecretString;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const SECRET: &str = "a secret of the two";

/// One of a workload, or of an incident about `web`.
pub(super) fn seen(kind: &str, name: &str, result: &str, severity: Option<Severity>) -> ReconcileSeen {
    ReconcileSeen {
        id: format!("s-{kind}-{name}"),
        at: "2026-11-29T12:00:00Z".parse().unwrap(),
        data: ReconcileData {
            duration_ms: 1.5,
            error: (result == "error").then(|| ReconcileError {
                category: "engine".to_owned(),
                message: "no answer, password=hunter2".to_owned(),
            }),
            generation: Some(3),
            kind: kind.to_owned(),
            name: name.to_owned(),
            requeue_after_ms: None,
            result: result.to_owned(),
            trigger: "store".to_owned(),
        },
        severity,
        workloads: vec![name.to_owned()],
    }
}

async fn receiver(answers: impl IntoIterator<Item = ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for answer in answers {
        let once = Mock::given(method("POST")).respond_with(answer).up_to_n_times(1);
        once.mount(&server).await;
    }
    let takes = Mock::given(method("POST")).respond_with(ResponseTemplate::new(204));
    takes.mount(&server).await;
    server
}

fn reconciles(server: &MockServer, filter: &str, per_second: u32) -> Reconciles {
    let (url, secret) = (SecretString::from(server.uri()), SecretString::from(SECRET));
    let webhook = Webhook::new(&url, Some(&secret), "cloudevents").unwrap();
    Reconciles::new(webhook, filter.parse().unwrap(), per_second)
}

/// All that came, once there are so many.
async fn bodies(server: &MockServer, count: usize) -> Vec<Value> {
    loop {
        let requests = server.received_requests().await.unwrap();
        if requests.len() >= count {
            let read = |request: &wiremock::Request| serde_json::from_slice(&request.body).unwrap();
            return requests.iter().map(read).collect();
        }
        tokio::task::yield_now().await;
    }
}

fn all(news: Vec<ReconcileSeen>) -> BoxStream<'static, ReconcileNews> {
    let news = news.into_iter().map(|seen| ReconcileNews::One(Box::new(seen)));
    stream::iter(news).chain(stream::pending()).boxed()
}

#[tokio::test]
async fn a_reconcile_is_a_cloud_event_that_is_signed_like_the_others_and_shows_no_secret() {
    let server = receiver([]).await;
    let sender = reconciles(&server, "result=error", 10);
    let (handle, shutdown) = (sender.handle(), CancellationToken::new());
    let news = all(vec![
        seen("Workload", "db", "success", None),
        seen("Workload", "web", "error", Some(Severity::Critical)),
    ]);
    let run = tokio::spawn(sender.run(news, shutdown.clone()));
    let all = bodies(&server, 1).await;
    assert_eq!(all.len(), 1, "{all:?}");
    for (pointer, expected) in [
        ("/specversion", json!("1.0")),
        ("/id", json!("s-Workload-web")),
        ("/source", json!("/aegisops")),
        ("/type", json!("io.aegisops.reconcile.error")),
        ("/subject", json!("Workload/web")),
        ("/time", json!("2026-11-29T12:00:00Z")),
        ("/datacontenttype", json!("application/json")),
        ("/data/kind", json!("Workload")),
        ("/data/result", json!("error")),
        ("/data/error/category", json!("engine")),
        ("/data/severity", json!("critical")),
        ("/data/lost", json!(0)),
    ] {
        assert_eq!(all[0].pointer(pointer), Some(&expected), "{pointer}");
    }
    assert!(!all[0].to_string().contains("hunter2"), "{}", all[0]);
    let request = &server.received_requests().await.unwrap()[0];
    let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(
        header("content-type"),
        "application/cloudevents+json; charset=utf-8"
    );
    assert_eq!(header("webhook-id"), "s-Workload-web");
    assert!(header("webhook-signature").starts_with("v1,"));
    shutdown.cancel();
    run.await.unwrap();
    assert_eq!((handle.journal().sent(), handle.journal().name()), (1, NAME));
}

#[tokio::test]
async fn a_receiver_that_refuses_one_costs_that_one_and_the_next_says_so() {
    let refuses = ResponseTemplate::new(400).set_body_string("no");
    let server = receiver([refuses]).await;
    let sender = reconciles(&server, "all", 100);
    let handle = sender.handle();
    let server = Arc::new(server);
    let news = stream::unfold((0, Arc::clone(&server)), |(number, server)| async move {
        // Each comes when the one before it has been answered.
        bodies(&server, number).await;
        let name = format!("w{number}");
        let one = ReconcileNews::One(Box::new(seen("Workload", &name, "success", None)));
        Some((one, (number + 1, server)))
    });
    let (shutdown, journal) = (CancellationToken::new(), Arc::clone(handle.journal()));
    let run = tokio::spawn(sender.run(news.boxed(), shutdown.clone()));
    while journal.sent() < 3 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    run.await.unwrap();
    assert_eq!(journal.dropped(), 1);
    let taken = bodies(&server, 4).await.split_off(1);
    let said: Vec<&Value> = taken.iter().take(3).map(|body| &body["data"]["lost"]).collect();
    assert_eq!(
        said.iter().filter_map(|lost| lost.as_u64()).sum::<u64>(),
        1,
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn while_a_receiver_hangs_what_comes_is_read_and_bounded_and_nothing_waits_for_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = SecretString::from(format!("http://{}", listener.local_addr().unwrap()));
    let webhook = Webhook::new(&url, None, "cloudevents").unwrap();
    let mut sender = Reconciles::new(webhook, ReconcileFilter::default(), 100);
    let mut news = all((0..10_000)
        .map(|n| seen("Workload", &format!("w{n}"), "success", None))
        .collect());
    sender.queue.receive(news.next().await.unwrap(), Instant::now());
    // The listener accepts and never answers: the stream is read to its end nevertheless.
    assert!(sender.send(&mut news).now_or_never().is_none());
    let mut left = 0;
    while news.next().now_or_never().is_some() {
        left += 1;
    }
    assert_eq!(left, 0);
    assert!(sender.queue.len() <= queue::MOST);
}
