//! Storms of alerts: they end in counts, and neither in objects nor in lost alerts.

use super::*;
use crate::ServerConfig;

async fn bounded(alerts_per_second: u32, open_incidents: usize) -> Server {
    let server = Server::with(ServerConfig {
        alerts_per_second,
        open_incidents,
        ..config()
    })
    .await;
    create(&server, "Workload", "web", json!({"container": "web"})).await;
    create(&server, "Workload", "db", json!({"container": "db"})).await;
    server
}

async fn fire(server: &Server, id: &str, kind: &str, container: &str) -> Answer {
    let body = json!({"incident_id": id, "alert_type": kind, "container_name": container});
    alert(server, body).await
}

#[tokio::test]
async fn i12_past_the_open_cap_alerts_are_counted_on_the_incident_about_the_same() {
    let server = bounded(1000, 2).await;
    fire(&server, "leak", "MemoryLeak", "web").await;
    fire(&server, "slow", "Slow", "web").await;
    for n in 0..50 {
        let answer = fire(&server, &format!("new-{n}"), "Slow", "web").await;
        assert_eq!(
            (answer.code.as_u16(), &answer.json()["incident_id"]),
            (200, &json!("slow"))
        );
    }
    let odd = fire(&server, "odd", "NeverSeen", "web").await;
    assert_eq!(
        odd.code, 200,
        "of another type it is counted where there is one about the workload"
    );
    server.flush().await;
    let all = incidents(&server);
    assert_eq!(all.len(), 2, "no object an alert");
    let count: u32 = all.iter().map(|incident| incident.spec.count).sum();
    assert_eq!(count, 53, "and none is lost");
    let own = server.get("/incidents/new-49").await;
    assert_eq!(
        own.json()["incident_id"],
        "slow",
        "a sender finds it by its own id: {}",
        own.text
    );
}

#[tokio::test]
async fn past_the_open_cap_a_workload_without_an_incident_still_gets_its_first_one() {
    let server = bounded(1000, 1).await;
    fire(&server, "a", "Slow", "web").await;
    assert_eq!(fire(&server, "b", "Slow", "db").await.json()["incident_id"], "b");
    assert_eq!(fire(&server, "c", "Slow", "db").await.json()["incident_id"], "b");
    let stray = fire(&server, "d", "Slow", "unknown").await;
    assert_eq!(stray.code, 429, "{}", stray.text);
    assert!(stray.headers.contains_key("retry-after"));
    assert_eq!(incidents(&server).len(), 2);
}

#[tokio::test]
async fn i12_a_token_past_its_rate_gets_429_with_retry_after_and_repeats_are_counted_all_the_same() {
    let server = bounded(1, 1000).await;
    let mut codes = Vec::new();
    for n in 0..10 {
        codes.push(
            fire(&server, &format!("i-{n}"), "Slow", "web")
                .await
                .code
                .as_u16(),
        );
    }
    assert_eq!(codes[..5], [200; 5]);
    assert!(codes[6..].iter().all(|code| *code == 429), "{codes:?}");
    let refused = fire(&server, "i-9", "Slow", "web").await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    for _ in 0..10 {
        assert_eq!(fire(&server, "i-0", "Slow", "web").await.code, 200);
    }
    server.flush().await;
    let first = server.store.get::<Incident>("i-0").unwrap();
    assert_eq!(first.spec.count, 11);
}

#[tokio::test]
async fn i12_a_storm_of_repeats_is_one_write_a_second_and_no_picture() {
    let server = bounded(1000, 1000).await;
    fire(&server, "i", "Slow", "web").await;
    let (before, begun) = (server.store.revision(), std::time::Instant::now());
    for _ in 0..200 {
        fire(&server, "i", "Slow", "web").await;
    }
    server.flush().await;
    let writes = server.store.revision() - before;
    assert!(writes <= begun.elapsed().as_secs() + 3, "{writes}");
    assert_eq!(server.store.get::<Incident>("i").unwrap().spec.count, 201);
    let page = server.store.audit().page(None, 2).await.unwrap();
    assert!(
        page.lines
            .iter()
            .all(|line| line.contains("count") && !line.contains("\"before\"")),
        "{page:?}"
    );
}

/// Of the alerts that are counted on the incident `first`, one is written, and one waits.
async fn with_one_that_waits() -> Server {
    let server = bounded(1000, 1).await;
    for id in ["first", "written", "waits"] {
        let answer = fire(&server, id, "Slow", "web").await;
        assert_eq!(answer.json()["incident_id"], "first", "{}", answer.text);
    }
    server
}

#[tokio::test]
async fn an_alert_that_waits_to_be_listed_is_counted_where_its_incident_ends_meanwhile() {
    let server = with_one_that_waits().await;
    assert_eq!(server.store.get::<Incident>("first").unwrap().spec.count, 2);
    let end = json!({"phase": "RESOLVED", "finishedAt": jiff::Timestamp::now().to_string(), "timeline": []});
    status(&server, "Incident", "first", end).await;
    server.flush().await;
    let spec = server.store.get::<Incident>("first").unwrap().spec.clone();
    let ids: Vec<&str> = spec
        .source
        .joined
        .iter()
        .map(|alert| alert.incident_id.as_str())
        .collect();
    assert_eq!((spec.count, ids), (3, vec!["written", "waits"]));
}

#[tokio::test]
async fn the_end_of_an_alert_that_waits_to_be_listed_comes_after_it() {
    let server = with_one_that_waits().await;
    let over =
        json!({"incident_id": "waits", "alert_type": "Slow", "container_name": "web", "status": "resolved"});
    let over = alert(&server, over).await;
    assert_eq!(over.json()["incident_id"], "first", "{}", over.text);
    server.flush().await;
    let spec = server.store.get::<Incident>("first").unwrap().spec.clone();
    let firing: Vec<&str> = spec
        .source
        .joined
        .iter()
        .filter(|alert| alert.resolved_at.is_none())
        .map(|alert| alert.incident_id.as_str())
        .collect();
    assert_eq!((spec.count, firing), (3, vec!["written"]));
}

/// How many senders there are at a time.
const SENDERS: usize = 16;

/// Posts so many distinct alerts over this many containers, half of them unknown; answers how many of each code were
/// answered.
async fn storm(server: &Server, alerts: usize, containers: usize) -> std::collections::BTreeMap<u16, u32> {
    use futures::StreamExt as _;
    let posts = (0..alerts).map(|n| async move {
        let container = n % containers;
        let container = match container % 2 {
            0 => format!("known-{container}"),
            _ => format!("stranger-{container}"),
        };
        let answer = fire(
            server,
            &format!("storm-{n}"),
            &format!("Kind{}", n % 7),
            &container,
        )
        .await;
        let code = answer.code.as_u16();
        if code == 429 {
            let wait = answer
                .headers
                .get("retry-after")
                .and_then(|wait| wait.to_str().ok());
            let wait = wait.and_then(|wait| wait.parse::<u64>().ok());
            assert!(
                wait.is_some_and(|wait| (1..=60).contains(&wait)),
                "{:?}",
                answer.headers
            );
        }
        code
    });
    let mut codes = std::collections::BTreeMap::new();
    let mut posts = futures::stream::iter(posts).buffer_unordered(SENDERS);
    while let Some(code) = posts.next().await {
        *codes.entry(code).or_default() += 1;
    }
    codes
}

fn counted(incidents: &[std::sync::Arc<Incident>]) -> u32 {
    incidents.iter().map(|incident| incident.spec.count).sum()
}

/// The earlier system's storm, reduced: every answer of 200 is counted on an incident, before and after a restart, and
/// neither the directory nor what is loaded from it grows with the number of alerts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i12_a_storm_of_twenty_thousand_distinct_alerts_is_capped_and_loses_nothing_acknowledged() {
    const ALERTS: usize = 20_000;
    const CAP: usize = 100;
    const KNOWN: usize = 20;
    let server = bounded(100_000, CAP).await;
    for n in 0..KNOWN {
        let name = format!("known-{}", n * 2);
        create(&server, "Workload", &name, json!({"container": name})).await;
    }
    let codes = storm(&server, ALERTS, KNOWN * 2).await;
    server.flush().await;
    let taken = codes.get(&200).copied().unwrap_or_default();
    let refused = codes.get(&429).copied().unwrap_or_default();
    assert_eq!(usize::try_from(taken + refused).unwrap(), ALERTS, "{codes:?}");
    let all = incidents(&server);
    assert!(all.len() <= CAP + KNOWN, "{} are open", all.len());
    assert_eq!(
        counted(&all),
        taken,
        "all that was acknowledged, and nothing else"
    );
    let folder = server.folder.path().join("incidents");
    let files = std::fs::read_dir(&folder).unwrap().count();
    // And the few that wait to be written over.
    assert!(files <= 2 * (CAP + KNOWN) + 8 + 1024, "{files} files");

    let Server {
        folder,
        shutdown,
        store,
        ..
    } = server;
    shutdown.cancel();
    drop(store);
    let mut options = aegis_runtime::StoreOptions::new(folder.path());
    options.retention.max_open = CAP;
    // It waits for the lock a while each time.
    let (store, _driver) = loop {
        match aegis_runtime::Store::open(options.clone(), aegis_runtime::EventRecorder::new()).await {
            Err(aegis_runtime::StoreError::Locked { .. }) => {}
            opened => break opened.unwrap(),
        }
    };
    let loaded = store.list::<Incident>();
    assert!(loaded.len() <= CAP, "{} are loaded", loaded.len());
    let aside = std::fs::read_dir(folder.path().join(".aside/incidents")).map_or(0, Iterator::count);
    assert_eq!(
        loaded.len() + aside / 2,
        all.len(),
        "what is over is put aside, and there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i12_a_storm_past_a_tokens_rate_is_answered_429_and_what_was_taken_is_there() {
    let server = bounded(20, 10_000).await;
    let codes = storm(&server, 2000, 10).await;
    server.flush().await;
    let taken = codes.get(&200).copied().unwrap_or_default();
    assert!(codes.get(&429).is_some_and(|refused| *refused > 500), "{codes:?}");
    assert_eq!(codes.len(), 2, "{codes:?}");
    assert_eq!(counted(&incidents(&server)), taken);
}
