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
