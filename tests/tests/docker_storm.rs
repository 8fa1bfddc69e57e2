//! Promise: in a storm of alerts nothing is lost and nothing is done twice, also over a `kill -9` in the middle. Each workload that
//! is sick is healed once, by one incident; no other is touched; every alert is counted somewhere; and what is critical goes
//! before the warnings that wait.
//!
//! `make test` runs a reduced storm, `make storm` the whole one: 10,000 alerts in a minute over 50 workloads. It prints how long
//! messages took to be answered, how long what is critical took to be acted on, and what was resident meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::eventually::within;
use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::live::Live;
use aegis_tests::process::status_kb;
use aegis_tests::{Api, Container, Controller, World, eventually, manifests};
use futures::StreamExt as _;
use serde_json::{Value, json};

/// Containers started, and alerts posted, at a time.
const AT_ONCE: usize = 8;
/// How long the incidents of a storm may take; it bounds a hang and measures nothing.
const ENDS: Duration = Duration::from_secs(240);
/// Repeats of a message that was not answered.
const TRIES: usize = 600;

/// How large a storm is.
#[derive(Debug, Clone, Copy)]
struct Storm {
    alerts: usize,
    workloads: usize,
    /// Every so manieth workload is sick.
    sick_one_of: usize,
    /// Over which time the alerts come.
    over: Duration,
}

const REDUCED: Storm = Storm {
    alerts: 2_000,
    workloads: 20,
    sick_one_of: 10,
    over: Duration::from_secs(10),
};
const WHOLE: Storm = Storm {
    alerts: 10_000,
    workloads: 50,
    sick_one_of: 10,
    over: Duration::from_secs(60),
};

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_heals_each_sick_workload_once_and_counts_every_alert_also_over_a_kill9() {
    blow(REDUCED).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make storm runs it: it takes some three minutes"]
async fn the_whole_storm_heals_each_sick_workload_once_and_counts_every_alert_also_over_a_kill9() {
    blow(WHOLE).await;
}

/// What one message became, and when it was answered.
struct Answered {
    at: Instant,
    /// How long that one took which was answered.
    took: Duration,
    code: u16,
    /// How often it was sent: the last time it was answered.
    sent: usize,
    /// Whether it opened an incident of its own.
    opened: bool,
}

async fn post(api: &Api, number: usize, container: &str) -> Answered {
    for sent in 1..=TRIES {
        // Every twentieth cannot be read: more than are kept.
        let request = match number % 20 {
            19 => api
                .request(reqwest::Method::POST, "/webhook/alertmanager")
                .header("content-type", "application/json")
                .body(format!("{{\"alerts\": {number}")),
            _ => api.request(reqwest::Method::POST, "/webhook").json(&json!({
                "incident_id": format!("storm-{number}"), "alert_type": format!("Kind{}", number % 7),
                "container_name": container, "severity": "warning"})),
        };
        let begun = Instant::now();
        if let Ok((code, body)) = api.ask(request).await
            && code != 429
            && code < 500
        {
            let at = Instant::now();
            let took = at - begun;
            let opened = body["incident_id"] == format!("storm-{number}");
            return Answered {
                at,
                took,
                code,
                sent,
                opened,
            };
        }
        // The controller is starting just now, or wants a pause.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("alert {number} was never answered");
}

/// The alerts of a storm, each at its time; answers what became of them.
async fn post_all(
    api: &Api,
    storm: Storm,
    names: &[String],
    numbers: std::ops::Range<usize>,
) -> Vec<Answered> {
    let (begin, first) = (Instant::now(), numbers.start);
    let each = storm.over / u32::try_from(storm.alerts).unwrap_or(u32::MAX);
    let posts = numbers.map(|number| {
        let due = begin + each * u32::try_from(number - first).unwrap_or(u32::MAX);
        async move {
            tokio::time::sleep_until(due.into()).await;
            post(api, number, &names[number % names.len()]).await
        }
    });
    futures::stream::iter(posts)
        .buffer_unordered(AT_ONCE * 4)
        .collect()
        .await
}

/// Lets each of these have its place only for a moment, or for almost two minutes.
async fn hold(api: &Api, sick: &[&Container], soak: &str) {
    let verification = json!({"verification": {"successes": 1, "soak": soak, "deadline": "2m"}});
    for patient in sick {
        api.apply(&manifests::policy(&patient.name, &verification)).await;
    }
}

/// Waits until a warning has the only place, and another one waits for it. It looks once a second: a list of everything, over
/// and over, would be a load that no storm is.
async fn the_place_is_taken(api: &Api) {
    within(
        ENDS,
        "a warning has the place, and another one waits",
        async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let all = api.list("Incident").await;
            let has_it = |incident: &&Value| incident["status"]["phase"] == "VERIFYING";
            let waits = |incident: &&Value| is_waiting_warning(incident);
            match (
                all.iter().filter(has_it).count(),
                all.iter().filter(waits).count(),
            ) {
                (1.., 1..) => Ok(()),
                counts => Err(format!("{counts:?}")),
            }
        },
    )
    .await;
}

/// Whether it waits for its turn on the host.
fn waits_for_its_turn(incident: &Value) -> bool {
    let held = condition(incident, ConditionType::Held);
    held["status"] == "True" && held["reason"] == "HostBusy"
}

fn is_waiting_warning(incident: &Value) -> bool {
    incident["spec"]["severity"] == "warning" && waits_for_its_turn(incident)
}

/// Whether it says that an incident is acted on.
fn is_executing(frame: &Value) -> bool {
    frame["type"] == "status.update" && frame["data"]["status"] == "EXECUTING"
}

/// What is critical in the middle of it: of a workload that no other alert is about, and that has just begun to hang. It comes
/// when one warning has the only place, and another one waits for it. Answers how long after its alert it was acted on.
async fn critical(
    api: &Api,
    webhook: &Api,
    live: &Live,
    patient: &Container,
    sick: &[&Container],
) -> Duration {
    the_place_is_taken(api).await;
    patient.trigger("hang").await;
    let alert = json!({"incident_id": "critical", "alert_type": "HANG", "severity": "critical",
        "container_name": patient.name});
    let begun = Instant::now();
    let (code, answer) = webhook.post("/webhook", &alert).await;
    assert_eq!(code, 200, "{answer}");
    let seen = within(ENDS, "what is critical is acted on", async || {
        match live.of_incident("critical").iter().any(is_executing) {
            true => Ok(Instant::now()),
            false => Err("not yet".to_owned()),
        }
    });
    let took = seen.await - begun;
    // Incidents of one workload wait for each other, so that none of them may be said to wait for the host just now.
    let acted_on = |incident: &&Value| {
        matches!(
            incident["status"]["phase"].as_str(),
            Some("EXECUTING" | "VERIFYING" | "RESOLVED")
        )
    };
    let all = api.list("Incident").await;
    let remedied: BTreeSet<String> = all.iter().filter(acted_on).map(workload).collect();
    let waiting = sick.iter().filter(|patient| !remedied.contains(&patient.name));
    assert!(waiting.count() > 0, "a warning waits for its turn meanwhile");
    hold(api, sick, "0s").await;
    took
}

/// What is resident of a process, now and at most, until it is dropped.
struct Resident {
    now: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Resident {
    fn of(process: u32) -> Self {
        let resident = Self {
            now: Arc::default(),
            most: Arc::default(),
            ended: Arc::default(),
        };
        let (now, most) = (Arc::clone(&resident.now), Arc::clone(&resident.most));
        let ended = Arc::clone(&resident.ended);
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                if let Some(kb) = status_kb(process, "VmRSS") {
                    now.store(kb, Ordering::Relaxed);
                    most.fetch_max(kb, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        resident
    }

    fn mb(&self) -> (u64, u64) {
        let mb = |kb: &AtomicU64| kb.load(Ordering::Relaxed) / 1024;
        (mb(&self.now), mb(&self.most))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The milliseconds within which so many percent of those were answered that are so.
fn percentile(answered: &[Answered], percent: usize, is: impl Fn(&Answered) -> bool) -> f64 {
    let mut took: Vec<f64> = answered
        .iter()
        .filter(|it| is(it))
        .map(|it| it.took.as_secs_f64() * 1000.0)
        .collect();
    took.sort_by(f64::total_cmp);
    let at = took.len().saturating_sub(1) * percent / 100;
    took.get(at).copied().unwrap_or_default()
}

async fn patients(world: &World, count: usize) -> Vec<Container> {
    let names = (0..count).map(|number| format!("s{number}"));
    let started = names.map(|name| async move { world.patient(&name).memory_mb(32).start().await });
    futures::stream::iter(started).buffered(AT_ONCE).collect().await
}

async fn adopt(api: &Api, patients: &[Container]) {
    for patient in patients {
        api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
        api.apply(&manifests::adopting(&patient.name, 1)).await;
    }
    for patient in patients {
        api.workload_ready(&patient.name, 1).await;
    }
}

fn workload(incident: &Value) -> String {
    incident["spec"]["workloadRef"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn symptoms(incident: &Value) -> BTreeSet<String> {
    let all = incident["status"]["symptoms"].as_array().into_iter().flatten();
    all.map(|symptom| symptom["kind"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn counted(incidents: &[Value]) -> u64 {
    incidents
        .iter()
        .map(|incident| incident["spec"]["count"].as_u64().unwrap_or_default())
        .sum()
}

/// The value of a metric, over all of its labels.
async fn metric(api: &Api, name: &str) -> u64 {
    let request = api
        .request(reqwest::Method::GET, "/metrics")
        .header("accept", "text/plain");
    let (_, text) = api.ask(request).await.expect("metrics");
    let text = text.as_str().unwrap_or_default().to_owned();
    let rows = text.lines().filter(|line| line.starts_with(name));
    rows.filter_map(|row| row.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn blow(storm: Storm) {
    let world = World::new().await;
    // The last one is what is critical; of the others one is remedied at a time.
    let patients = patients(&world, storm.workloads + 1).await;
    let launch = world.controller().env("AEGIS_HOST_BLAST_RADIUS", "1000");
    let launch = launch.env("AEGIS_HOST_ACTIONS_PER_HOUR", "100000");
    let launch = launch
        .env("AEGIS_HOST_CONCURRENCY", "1")
        .env("AEGIS_HOST_RESERVE", "1");
    let mut controller = launch.start().await;
    let api = controller.api();
    adopt(&api, &patients).await;
    let (resident, live) = (Resident::of(controller.process_id()), controller.live("").await);
    // What people do not hear of is counted like the rest.
    let silence = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Silence", "metadata": {"name": "quiet"},
        "spec": {"owner": "ada", "reason": "a test", "until": "2099-01-01T00:00:00Z", "workloads": {"names": [patients[1].name]}}});
    api.apply(&silence).await;
    let is_sick = |number: &usize| *number == storm.workloads || number.is_multiple_of(storm.sick_one_of);
    let sick: BTreeSet<String> = (0..patients.len())
        .filter(is_sick)
        .map(|number| patients[number].name.clone())
        .collect();
    let (urgent, others) = patients.split_last().expect("there are some");
    let warned: Vec<&Container> = others
        .iter()
        .filter(|patient| sick.contains(&patient.name))
        .collect();
    hold(&api, &warned, "110s").await;
    for patient in &warned {
        patient.trigger("hang").await;
    }
    let names: Vec<String> = others.iter().map(|patient| patient.name.clone()).collect();
    let webhook = controller.api_as(Some(WEBHOOK_TOKEN));

    // Half of it; then it dies while the other half begins to come.
    let half = storm.alerts / 2;
    let at_rest = resident.mb().0;
    let (mut answered, acted) = tokio::join!(
        post_all(&webhook, storm, &names, 0..half),
        critical(&api, &webhook, &live, urgent, &warned)
    );
    println!(
        "half a storm of {} alerts over {} workloads: answered within {:.1} ms (p50) and {:.1} ms (p99), those that open an incident \
         within {:.1} and {:.1} ms; what is critical was acted on after {} ms; resident {at_rest} MB before, at most {} MB, {} MB after",
        storm.alerts,
        storm.workloads,
        percentile(&answered, 50, |_| true),
        percentile(&answered, 99, |_| true),
        percentile(&answered, 50, |it| it.opened),
        percentile(&answered, 99, |it| it.opened),
        acted.as_millis(),
        resident.mb().1,
        resident.mb().0,
    );
    drop(resident);
    let before: Vec<Value> = api.list("Incident").await;
    let (rest, killed) = tokio::join!(
        post_all(&webhook, storm, &names, half..storm.alerts),
        kill_in_the_middle(&mut controller)
    );
    answered.extend(rest);
    let api = controller.api();

    // No incident is missing.
    let all = api.list("Incident").await;
    let known: BTreeSet<&str> = all
        .iter()
        .filter_map(|incident| incident["metadata"]["uid"].as_str())
        .collect();
    for incident in &before {
        let uid = incident["metadata"]["uid"].as_str().expect("a uid");
        assert!(known.contains(uid), "{incident:#} is missing");
    }
    // Every alert is counted on an incident, or kept as unreadable: none twice but those whose answer was lost, and at most
    // those missing that were counted within the last second before the kill.
    let taken = |it: &&Answered| it.code == 200;
    // And the one that is critical.
    let acknowledged = 1 + answered.iter().filter(taken).count();
    let unread = |it: &&Answered| it.code == 400 || it.code == 422;
    let refused = answered.iter().filter(unread).count();
    assert_eq!(
        acknowledged + refused,
        storm.alerts + 1,
        "each is one or the other"
    );
    let last_second =
        |it: &&Answered| it.at <= killed && killed.duration_since(it.at) <= Duration::from_millis(1_500);
    let may_be_missing = answered.iter().filter(taken).filter(last_second).count();
    let may_be_twice: usize = answered.iter().filter(taken).map(|it| it.sent.min(2) - 1).sum();
    let (low, high) = (acknowledged - may_be_missing, acknowledged + may_be_twice);
    eventually("the counts are written", async || {
        let counted = usize::try_from(counted(&api.list("Incident").await)).unwrap_or_default();
        match (low..=high).contains(&counted) {
            true => Ok(()),
            false => Err(format!("{counted} of {acknowledged}, from {low} to {high}")),
        }
    })
    .await;
    // Those that could not be read are counted on, over the kill, but for those of its last moments.
    let lately = |it: &&Answered| it.at <= killed && killed.duration_since(it.at) <= Duration::from_secs(4);
    let may_be_missing = answered.iter().filter(unread).filter(lately).count();
    let may_be_twice: usize = answered.iter().filter(unread).map(|it| it.sent.min(2) - 1).sum();
    let counted = metric(&api, "aegis_intake_unreadable_total").await;
    let counted = usize::try_from(counted).unwrap_or_default();
    assert!(
        (refused - may_be_missing..=refused + may_be_twice).contains(&counted),
        "{counted} of {refused} unreadable, of which {may_be_missing} may be missing and {may_be_twice} may be twice"
    );

    // Every incident ends; those with a symptom are one a workload and symptom, and none that is sick is missed.
    let ended = within(ENDS, "every incident ends", async || {
        let all = api.list("Incident").await;
        let is_open = |incident: &&Value| !incident["status"]["finishedAt"].is_string();
        match all.iter().filter(is_open).count() {
            0 => Ok(all),
            open => Err(format!("{open} of {} are open", all.len())),
        }
    })
    .await;
    let mut by_symptom: BTreeMap<(String, String), usize> = BTreeMap::new();
    for incident in &ended {
        for symptom in symptoms(incident) {
            *by_symptom.entry((workload(incident), symptom)).or_default() += 1;
        }
    }
    assert!(by_symptom.values().all(|count| *count == 1), "{by_symptom:#?}");
    let found: BTreeSet<String> = by_symptom.keys().map(|(workload, _)| workload.clone()).collect();
    assert_eq!(found, sick);
    for patient in &patients {
        let starts = world.events().count(&patient.name, "start").await;
        let expected = if sick.contains(&patient.name) { 2 } else { 1 };
        assert_eq!(starts, expected, "{} was started {starts} times", patient.name);
        patient.answers().await;
    }
}

/// Kills it while alerts come, and starts it again; answers when it was killed.
async fn kill_in_the_middle(controller: &mut Controller) -> Instant {
    tokio::time::sleep(Duration::from_millis(300)).await;
    controller.kill9();
    let killed = Instant::now();
    controller.start_again(|launch| launch).await;
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critical_incident_in_the_middle_of_a_storm_is_acted_upon_while_warnings_hold_the_places_and_others_wait()
 {
    let storm = Held::begin("1").await;
    storm.fire(5, "critical").await;
    storm.api.resolved("inc-5").await;
    let first = storm.api.in_phase("inc-0", "VERIFYING").await;
    assert!(first["status"]["finishedAt"].is_null(), "it has its place still");
    for number in 1..5 {
        storm.waits(number).await;
    }
    assert_eq!(storm.order().await[..2], [0, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_place_is_kept_a_critical_incident_goes_before_the_warnings_that_wait() {
    let storm = Held::begin("0").await;
    storm.fire(5, "critical").await;
    storm.waits(5).await;
    assert_eq!(storm.order().await[..2], [0, 5]);
}

/// A storm of warnings about five workloads that hang, of which one is remedied, and keeps the only place until it is let go.
/// The sixth hangs, too, and nothing has been reported of it.
struct Held {
    api: Api,
    live: Live,
    /// Before the containers: no controller is left that would bring them back.
    _controller: Controller,
    patients: Vec<Container>,
    _world: World,
}

impl Held {
    async fn begin(reserve: &str) -> Self {
        let world = World::new().await;
        let patients = patients(&world, 6).await;
        let launch = world.controller().env("AEGIS_HOST_BLAST_RADIUS", "1000");
        let launch = launch.env("AEGIS_HOST_CONCURRENCY", "1");
        let controller = launch.env("AEGIS_HOST_RESERVE", reserve).start().await;
        let api = controller.api();
        adopt(&api, &patients).await;
        for patient in &patients {
            patient.trigger("hang").await;
        }
        let storm = Self {
            live: controller.live("").await,
            api,
            patients,
            _controller: controller,
            _world: world,
        };
        storm.soak("110s").await;
        storm.fire(0, "warning").await;
        storm.api.in_phase("inc-0", "VERIFYING").await;
        for number in 1..5 {
            storm.fire(number, "warning").await;
        }
        for number in 1..5 {
            storm.waits(number).await;
        }
        storm
    }

    /// How long the first must be well before its place is free.
    async fn soak(&self, soak: &str) {
        hold(&self.api, &[&self.patients[0]], soak).await;
    }

    async fn fire(&self, number: usize, severity: &str) {
        let alert = json!({"incident_id": format!("inc-{number}"), "alert_type": "HANG", "severity": severity,
            "container_name": self.patients[number].name});
        let (status, body) = self.api.post("/webhook", &alert).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn waits(&self, number: usize) {
        let name = format!("inc-{number}");
        let waits = |incident: &Value| match waits_for_its_turn(incident) {
            true => Ok(()),
            false => Err(incident["status"].to_string()),
        };
        self.api
            .until("Incident", &name, "waits for its turn", waits)
            .await;
    }

    /// Lets the first go; answers in which order all of them were acted upon, as those who watch saw it.
    async fn order(&self) -> Vec<usize> {
        self.soak("0s").await;
        for number in 0..6 {
            self.api.resolved(&format!("inc-{number}")).await;
        }
        let number = |frame: &Value| frame["incident_id"].as_str()?.strip_prefix("inc-")?.parse().ok();
        within(ENDS, "all of them are seen", async || {
            let frames = self.live.frames();
            let order: Vec<usize> = frames
                .iter()
                .filter(|frame| is_executing(frame))
                .filter_map(number)
                .collect();
            match order.len() {
                6 => Ok(order),
                _ => Err(format!("{order:?}")),
            }
        })
        .await
    }
}
