//! What follows from a dependency that does not serve is listed on its incident and opens none. Over the engine in memory,
//! with every loop of the controller and no policy, so that the root's incident waits for a human.

use aegis_api::incident::JoinedAlert;

use super::*;

/// `web` depends on `db`; `db` hangs, and has an incident.
async fn root_is_down() -> (Life, tempfile::TempDir) {
    let (life, state) = well().await;
    let spec = RunSpec::new("db", "app:1").memory(LIMIT).restart_policy("always");
    life.engine.run_container(&spec).unwrap();
    let health = json!({"http": {"port": 8000, "path": "/health"}, "interval": "2s"});
    life.apply("Workload", "db", json!({"container": "db", "health": health}))
        .await;
    let web = life.context.store.get::<Workload>("web").unwrap();
    let mut spec = web.spec.clone();
    spec.depends_on = vec!["db".parse().unwrap()];
    life.context
        .store
        .edit_spec::<Workload, _>("web", move |_| Ok(spec))
        .await
        .unwrap();
    life.pass(30).await;
    life.engine.hang("db").unwrap();
    life.until_open(Duration::from_secs(60)).await.unwrap();
    (life, state)
}

fn about(life: &Life, workload: &str) -> Vec<std::sync::Arc<Incident>> {
    let mut all = life.context.store.list::<Incident>();
    all.retain(|incident| incident.workload().is_some_and(|name| name.as_str() == workload));
    all
}

/// What the root's only incident lists.
fn listed(life: &Life) -> Vec<JoinedAlert> {
    let all = about(life, "db");
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].spec.source.joined.clone()
}

#[tokio::test(start_paused = true)]
async fn what_a_dependent_measures_while_its_root_is_down_is_counted_on_the_roots_incident_and_opens_none() {
    let (life, _state) = root_is_down().await;
    let before = about(&life, "db")[0].spec.count;
    life.engine.hang("web").unwrap();
    life.pass(60).await;
    assert!(about(&life, "web").is_empty(), "{:#?}", about(&life, "web"));
    let listed = listed(&life);
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(listed[0].is_held());
    assert_eq!(listed[0].inhibited.as_ref().unwrap().as_str(), "web");
    assert_eq!(listed[0].detector.as_ref().unwrap().as_str(), "unhealthy");
    assert_eq!(
        about(&life, "db")[0].spec.count,
        before + 1,
        "once, however many passes there were"
    );
    // It recovers by itself.
    life.engine.heal("web").unwrap();
    life.pass(60).await;
    let listed = self::listed(&life);
    assert!(
        listed[0].resolved_at.is_some() && listed[0].released_at.is_none(),
        "{listed:#?}"
    );
    life.pass(600).await;
    assert!(about(&life, "web").is_empty());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dependents_trouble_that_outlives_the_roots_opens_an_incident_of_its_own() {
    let (life, _state) = root_is_down().await;
    life.engine.hang("web").unwrap();
    life.pass(60).await;
    assert!(about(&life, "web").is_empty());
    life.engine.heal("db").unwrap();
    life.pass(15).await;
    assert!(
        about(&life, "web").is_empty(),
        "its traces may be the root's for a moment longer"
    );
    life.pass(60).await;
    assert_eq!(about(&life, "web").len(), 1);
    let listed = listed(&life);
    assert!(
        listed[0].released_at.is_some() && !listed[0].is_held(),
        "{listed:#?}"
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dependents_trouble_is_inhibited_for_five_minutes_at_most_also_over_a_restart() {
    let (life, _state) = root_is_down().await;
    // Objects are stamped by the clock of this machine, and this one has run ahead: the root is some three minutes old by now.
    life.engine.hang("web").unwrap();
    life.pass(45).await;
    assert!(about(&life, "web").is_empty());
    let (context, engine) = (life.context.clone(), life.engine.clone());
    life.end().await;
    let life = Life::begin(&engine, &context);
    life.pass(30).await;
    assert!(about(&life, "web").is_empty());
    assert_eq!(listed(&life).len(), 1, "the same episode, or none");
    life.pass(120).await;
    assert_eq!(about(&life, "web").len(), 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn trouble_that_cannot_follow_from_the_root_opens_an_incident_at_once() {
    let (life, _state) = root_is_down().await;
    life.engine
        .set_behaviour("web", |it| it.memory_bytes = LIMIT / 10 * 9)
        .unwrap();
    life.pass(75).await;
    assert_eq!(about(&life, "web").len(), 1);
    assert!(listed(&life).is_empty());
    life.end().await;
}
