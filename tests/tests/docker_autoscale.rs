//! Promise: a load that grows is answered by more replicas before clients notice, and by fewer again once it has gone, without
//! flapping and without a failed request, also where a replica is killed in the middle. The clients repeat nothing, and keep
//! their connections: one that nginx closes under them is a failed request. Of one replica the same load is too much, which is
//! shown first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aegis_api::workload::autoscale::ScaleChange;
use aegis_tests::arrivals::{Arrivals, Arrived, p95};
use aegis_tests::eventually::within;
use aegis_tests::{Api, Container, Controller, Nginx, World, eventually, manifests};
use serde_json::{Value, json};

/// CPU time of a request, and what one replica has of it: it can answer 60 a second.
const WORKS_MS: u32 = 5;
const CPU_MILLIS: u32 = 300;
/// Requests a second of one replica, and 95 of 100 within. Six replicas are as many as the highest load needs; each has room for
/// what others do to this machine meanwhile.
const EACH: f64 = 12.0;
const TARGET: Duration = Duration::from_secs(2);
const NEEDED: u64 = 6;
const SCALE_DOWN_WINDOW: &str = "10s";
/// Requests a second before and after, and at most.
const LOW: f64 = 5.0;
const HIGH: f64 = 70.0;
/// When the load begins to grow, and has grown, seconds. It goes when a test says so.
const GROWS: f64 = 3.0;
const GROWN: f64 = 38.0;
/// 95 of 100 answers are to come within, where answers are what replicas are for; and as many replicas may be made of it.
const ANSWERS_WITHIN_MS: u64 = 1000;
const FOR_ANSWERS: u64 = 2;
/// How long a machine that is busy otherwise may take for what takes half a minute by the windows above.
const GIVEN: Duration = Duration::from_secs(150);
/// In which stretches the p95 of clients is taken, seconds.
const STRETCH: u64 = 5;
/// Over which time the load's rate is taken, and how often, in the trace that the test prints, seconds.
const WINDOW: u64 = 6;
const STEP: usize = 2;

fn ramp(at: Duration) -> f64 {
    let part = (at.as_secs_f64() - GROWS) / (GROWN - GROWS);
    LOW + (HIGH - LOW) * part.clamp(0.0, 1.0)
}

fn autoscale() -> Value {
    json!({
        "min": 1, "max": NEEDED, "metricWindow": "6s", "scaleDownWindow": SCALE_DOWN_WINDOW, "holdAfterManual": "1m",
        "targets": [{"metric": "RequestsPerSecond", "value": EACH}],
    })
}

struct Stage {
    controller: Controller,
    front: Nginx,
    name: String,
    world: World,
}

impl Stage {
    /// One replica behind a load balancer, not autoscaled yet.
    async fn new() -> Self {
        let world = World::new().await;
        let front = world.nginx("lb").await;
        let controller = world.controller().start().await;
        let name = world.name("web");
        let api = controller.api();
        let mut workload = manifests::working(&name, world.network(), 1, CPU_MILLIS);
        // It is the load that is put to the test, not what a probe makes of it.
        workload["spec"]["health"]["timeout"] = json!("5s");
        api.apply(&workload).await;
        api.apply(&manifests::balancing(&front.name, &name)).await;
        api.workload_ready(&name, 1).await;
        api.balancer_serves(&front.name, 1).await;
        eventually("every worker of nginx has the server", async || {
            front.answerers(20).await.map(drop)
        })
        .await;
        Self {
            controller,
            front,
            name,
            world,
        }
    }

    fn api(&self) -> Api {
        self.controller.api()
    }

    async fn load(&self, rate: impl Fn(Duration) -> f64 + Send + 'static) -> Arrivals {
        let address = self.front.container.ip().await.expect("nginx has an address");
        Arrivals::on(address, &format!("/?works_ms={WORKS_MS}"), rate)
    }

    /// At its highest the load is more than one replica can answer in time; and answers that come late are a reason for more
    /// replicas by themselves.
    async fn one_replica_is_too_few_which_its_answers_say(&self) {
        let load = self.load(|_| HIGH).await;
        eventually("clients of one replica wait for too long", async || {
            let seen = load.seen();
            let last = seen.iter().rev().take(100);
            let waits = p95(last);
            match waits > TARGET {
                true => Ok(()),
                false => Err(format!("p95 {waits:?} of {}", seen.len())),
            }
        })
        .await;
        let by_answers = json!({
            "min": 1, "max": FOR_ANSWERS, "metricWindow": "6s", "scaleDownWindow": "10s",
            "targets": [{"metric": "LatencyP95", "milliseconds": ANSWERS_WITHIN_MS}],
        });
        let patch = json!({"spec": {"autoscale": by_answers}});
        self.api().merge_ok("workloads", &self.name, &patch).await;
        let said = "late answers bring another replica";
        let scaled = self.until(said, |workload| {
            workload["spec"]["replicas"] == FOR_ANSWERS && workload["status"]["readyReplicas"] == FOR_ANSWERS
        });
        scaled.await;
        let events = self.api().events("Workload", &self.name).await;
        let why = events.iter().find(|event| event["reason"] == "ScaledOut");
        let why = why.map_or_else(|| format!("{events:?}"), |event| event["message"].to_string());
        assert!(why.contains("LatencyP95"), "{why}");
        let seen = load.stop().await;
        println!(
            "one replica: p95 {} ms of {} requests at {HIGH} a second; {why}",
            p95(&seen).as_millis(),
            seen.len()
        );
        let patch = json!({"spec": {"autoscale": null, "replicas": 1}});
        self.api().merge_ok("workloads", &self.name, &patch).await;
        self.has_shrunk().await;
    }

    async fn is_measured(&self) {
        let patch = json!({"spec": {"autoscale": autoscale()}});
        self.api().merge_ok("workloads", &self.name, &patch).await;
        let said = "its requests are measured";
        self.api()
            .until("workloads", &self.name, said, |workload| {
                let target = &workload["status"]["autoscale"]["targets"][0];
                let current = target["current"].as_f64();
                let is_idle = current.is_some_and(|current| current < EACH);
                is_idle.then_some(()).ok_or_else(|| target.to_string())
            })
            .await;
        // What came a moment ago may have counted.
        self.has_shrunk().await;
    }

    /// As many replicas as the highest load needs serve.
    async fn has_grown(&self) -> Value {
        let enough = |workload: &Value| {
            workload["spec"]["replicas"] == NEEDED && workload["status"]["readyReplicas"] == NEEDED
        };
        self.until("it has as many replicas as the load needs", enough)
            .await
    }

    /// The killed replica runs again, or another container took its place.
    async fn has_replaced(&self, killed: &Container, started: &str) {
        eventually("the killed replica runs again", async || {
            let all = self.world.find(&killed.name).await;
            let found = all.ok_or("there is none of its name")?;
            let state = found.inspect().await["State"].clone();
            let runs = state["Running"] == true && state["StartedAt"] != started;
            runs.then_some(()).ok_or_else(|| state.to_string())
        })
        .await;
    }

    /// What nginx logged of requests that took long, and of what went wrong.
    async fn print_what_was_slow(&self) {
        let log = self.front.container.log().await;
        let slow = |line: &&str| {
            let parsed: Value = serde_json::from_str(line).unwrap_or_default();
            let seconds = parsed["seconds"]
                .as_str()
                .and_then(|text| text.parse::<f64>().ok());
            seconds.is_some_and(|seconds| seconds > 5.0)
                || line.contains("[error]")
                || line.contains("[alert]")
        };
        for line in log.lines().filter(slow).take(40) {
            println!("nginx: {line}");
        }
    }

    async fn has_shrunk(&self) -> Value {
        let is_one =
            |workload: &Value| workload["spec"]["replicas"] == 1 && workload["status"]["replicas"] == 1;
        self.until("it has one replica again", is_one).await
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        within(GIVEN, what, async || {
            let workload = self.api().object("workloads", &self.name).await;
            let workload = workload.ok_or("it is gone")?;
            match is_so(&workload) {
                true => Ok(workload),
                false => Err(workload["status"]["autoscale"].to_string()),
            }
        })
        .await
    }

    /// A person's number is held, and the answer says so.
    async fn a_person_s_number_is_held(&self) {
        let target = format!("workload/{}", self.name);
        let scaled = self
            .controller
            .ctl()
            .run(&["scale", &target, "--replicas=2"])
            .await;
        let said = format!("{scaled:?}");
        assert!(said.contains("are held for 1m"), "{said}");
        let is_held = |workload: &Value| {
            workload["status"]["autoscale"]["decision"] == "ManualHold" && workload["spec"]["replicas"] == 2
        };
        self.until("its replicas are held", is_held).await;
    }

    /// The recorded signals of the ramp, by its own spec and by another, that nothing is changed by.
    async fn what_was_recorded_can_be_tried_out(&self) {
        let target = format!("workload/{}", self.name);
        let own = self
            .controller
            .ctl()
            .ok(&["autoscale", "simulate", &target])
            .await;
        println!("{own}");
        let rows = |of: &str, word: &str| of.lines().filter(|line| line.contains(word)).count();
        assert!(
            rows(&own, "ScaledOut") > 0 && own.contains("of 12 a replica needs"),
            "{own}"
        );
        let tried = self.world.file("tried.yaml", &tried(&self.name, 2));
        let tried = tried.display().to_string();
        let other = self
            .controller
            .ctl()
            .ok(&["autoscale", "simulate", &target, "-f", &tried])
            .await;
        assert!(other.contains("1 to 2 replicas"), "{other}");
        let workload = self.api().object("workloads", &self.name).await;
        assert_eq!(workload.unwrap_or_default()["spec"]["autoscale"]["max"], NEEDED);
    }

    async fn is_reported(&self) {
        let events = self.api().events("Workload", &self.name).await;
        let said = |reason: &str| events.iter().any(|event| event["reason"] == reason);
        assert!(said("ScaledOut") && said("ScaledIn"), "{events:?}");
        let target = format!("workload/{}", self.name);
        let described = self.controller.ctl().ok(&["describe", &target]).await;
        assert!(
            described.contains("Autoscaling") && described.contains("RequestsPerSecond"),
            "{described}"
        );
    }
}

/// No request failed, and in no stretch of the load clients waited for longer than the target.
fn was_noticed_by_no_client(seen: &[Arrived]) {
    let failed: Vec<_> = seen.iter().filter(|one| one.failed.is_some()).take(5).collect();
    assert!(failed.is_empty(), "of {} requests failed {failed:?}", seen.len());
    assert!(seen.len() > 1500, "there was load: {}", seen.len());
    let last = seen.iter().map(|one| one.at.as_secs()).max().unwrap_or_default();
    for begin in (0..=last).step_by(5) {
        let stretch = begin..begin + STRETCH;
        let inside: Vec<_> = seen
            .iter()
            .filter(|one| stretch.contains(&one.at.as_secs()))
            .collect();
        let waits = p95(inside.iter().copied());
        println!(
            "from {begin} s: {} requests, p95 {} ms",
            inside.len(),
            waits.as_millis()
        );
        assert!(
            waits <= TARGET,
            "from {begin} s clients waited {waits:?}: more than {TARGET:?}"
        );
    }
}

/// Own changes since a moment, as the controller dates them.
fn changes_since(workload: &Value, since: jiff::Timestamp) -> Vec<ScaleChange> {
    let changes = workload["status"]["autoscale"]["changes"].clone();
    let mut changes: Vec<ScaleChange> = serde_json::from_value(changes).expect("changes");
    changes.retain(|change| change.at.0 > since);
    changes
}

/// Out, then in, and never out again; and in for the first time not before the window has passed since the last time out, by the
/// controller's own dates.
fn it_did_not_flap(workload: &Value, since: jiff::Timestamp) {
    let changes = changes_since(workload, since);
    let ways: Vec<bool> = changes.iter().map(|change| change.to > change.from).collect();
    let turns = ways.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(
        (turns, ways.first(), ways.last()),
        (1, Some(&true), Some(&false)),
        "{changes:?}"
    );
    let first_in = changes.iter().find(|change| change.to < change.from);
    let last_out = changes.iter().rfind(|change| change.to > change.from);
    let window: aegis_api::Duration = SCALE_DOWN_WINDOW.parse().expect("a duration");
    let waited = last_out.zip(first_in).map(|(out, into)| out.at.age(into.at));
    println!("scaled in {waited:?} after it last scaled out");
    assert!(
        waited.is_some_and(|waited| waited >= window.std()),
        "{waited:?}: {changes:?}"
    );
}

/// The trace of a load, in the rows that `aegisctl autoscale simulate --trace` reads: requests a second as they arrived, and the
/// replicas that there were.
fn trace(seen: &[Arrived], changes: &[ScaleChange], began: jiff::Timestamp) -> Vec<String> {
    let last = seen.iter().map(|one| one.at.as_secs()).max().unwrap_or_default();
    let moments = (WINDOW..=last).step_by(STEP);
    let rows = moments.map(|at| {
        let inside = seen
            .iter()
            .filter(|one| (at - WINDOW..at).contains(&one.at.as_secs()));
        let rate = f64::from(u32::try_from(inside.count()).expect("requests")) / 6.0;
        let moment = began + std::time::Duration::from_secs(at);
        let before = changes.iter().rfind(|change| change.at.0 <= moment);
        let replicas = before.map_or(1, |change| change.to);
        json!({"at": at, "replicas": replicas, "requestsPerSecond": (rate * 10.0).round() / 10.0}).to_string()
    });
    rows.collect()
}

/// A manifest with another number of most replicas.
fn tried(name: &str, max: u32) -> String {
    format!(
        "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  template: {{image: tried}}\n  \
         autoscale: {{min: 1, max: {max}, scaleDownWindow: 10s, targets: [{{metric: RequestsPerSecond, value: 12}}]}}\n"
    )
}

/// `aegisctl autoscale simulate` beside a real controller, on signals of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn what_autoscaling_would_have_done_is_answered_and_nothing_is_changed_by_it() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let name = world.name("web");
    let mut workload = manifests::templated(&name, world.network(), 1, &json!({}));
    workload["spec"]["autoscale"] = json!({"min": 1, "max": 4, "scaleDownWindow": "10s",
        "targets": [{"metric": "RequestsPerSecond", "value": 10}]});
    controller.api().apply(&workload).await;
    controller.api().workload_ready(&name, 1).await;
    let row =
        |at: u32, rate: u32| format!("{{\"at\": {at}, \"replicas\": 1, \"requestsPerSecond\": {rate}}}");
    let rows = |rates: &[u32]| -> String {
        let rows: Vec<String> = (0_u32..)
            .zip(rates)
            .map(|(step, rate)| row(step * 5, *rate))
            .collect();
        rows.join("\n")
    };
    let file = |name: &str, text: &str| world.file(name, text).display().to_string();
    let trace = file("trace.jsonl", &rows(&[8, 30, 90, 90, 8, 8, 8, 8]));
    let target = format!("workload/{name}");
    let ctl = controller.ctl();
    let ran = async |more: &[&str]| {
        let mut args = vec!["autoscale", "simulate"];
        args.extend(more);
        ctl.run(&args).await
    };
    // Its own spec: 30 a second need 3, 90 more than may be; 8 a second need one, once 10 s have passed since more were needed.
    let own = ran(&[&target, "--trace", &trace]).await;
    assert_eq!(own.code, 0, "{own:?}");
    let lines: Vec<Vec<&str>> = own
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let decided = |at: &str| {
        let row = lines.iter().find(|line| line.first() == Some(&at));
        row.map(|line| (line[2], line[4], line[5], line[6]))
            .unwrap_or_default()
    };
    assert_eq!(decided("5"), ("1", "3", "3", "ScaledOut"), "{}", own.stdout);
    assert_eq!(decided("10"), ("3", "9", "4", "ScaledOut"), "{}", own.stdout);
    assert_eq!(decided("15"), ("4", "9", "4", "AtMaximum"), "{}", own.stdout);
    assert_eq!(decided("20"), ("4", "1", "4", "Stabilizing"), "{}", own.stdout);
    assert_eq!(decided("25"), ("4", "1", "1", "ScaledIn"), "{}", own.stdout);
    assert!(
        own.stdout
            .contains("RequestsPerSecond 30, of 10 a replica needs 3")
            && own
                .stdout
                .contains("Scaled out 2 times and in 1 times, turned 1 times; 1 to 4 replicas"),
        "{}",
        own.stdout
    );
    // Another one, with the workload and without.
    let manifest = file("tried.yaml", &tried(&name, 2));
    for what in [
        &[target.as_str(), "-f", &manifest, "--trace", &trace][..],
        &["-f", &manifest, "--trace", &trace],
    ] {
        let other = ran(what).await;
        assert!(other.stdout.contains("; 1 to 2 replicas"), "{what:?}: {other:?}");
    }
    // What cannot be tried is named.
    let backwards = file("backwards.jsonl", &format!("{}\n{}", row(5, 1), row(5, 1)));
    let unknown = file("unknown.jsonl", "{\"at\": 0, \"rps\": 4}");
    let empty = file(
        "none.yaml",
        "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec: {container: a}\n",
    );
    let bad = file("bad.yaml", &tried(&name, 2).replace("min: 1", "min: 0"));
    for (what, words) in [
        (&["workload/none", "--trace", &trace][..], "\"none\" not found"),
        (
            &[&target, "--trace", &backwards],
            "trace: rows must be in order of time: 5 follows 5",
        ),
        (&[&target, "--trace", &unknown], "line 1: unknown field `rps`"),
        (
            &[&target, "-f", &empty, "--trace", &trace],
            "no manifest in it has spec.autoscale",
        ),
        (&[&target, "-f", &bad, "--trace", &trace], "autoscale.min: "),
        (&["-f", &manifest], "<WORKLOAD>"),
    ] {
        let refused = ran(what).await;
        assert!(
            refused.code != 0 && refused.stderr.contains(words),
            "{what:?}: {refused:?}"
        );
    }
    let after = controller
        .api()
        .object("workloads", &name)
        .await
        .unwrap_or_default();
    assert_eq!(
        (&after["spec"]["replicas"], &after["spec"]["autoscale"]["max"]),
        (&json!(1), &json!(4))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_load_is_answered_by_more_replicas_before_clients_notice_and_fewer_once_it_has_gone() {
    let stage = Stage::new().await;
    stage.one_replica_is_too_few_which_its_answers_say().await;
    stage.is_measured().await;
    let has_gone = Arc::new(AtomicBool::new(false));
    let goes = Arc::clone(&has_gone);
    let rate = move |at| {
        if goes.load(Ordering::Relaxed) {
            LOW
        } else {
            ramp(at)
        }
    };
    let began = jiff::Timestamp::now();
    let load = stage.load(rate).await;
    let grown = stage.has_grown().await;
    let said = |what: &str| println!("{what} after {:.1} s", load.began.elapsed().as_secs_f64());
    said("scaled out");
    println!("{}", grown["status"]["autoscale"]["changes"]);
    // In the middle of the load, and nothing announces it.
    let victim = &stage.world.replica_names(&stage.name).await[0];
    let victim = stage.world.find(victim).await.expect("a replica");
    let started = victim.started_at().await;
    victim.kill().await;
    said("killed one");
    stage.has_replaced(&victim, &started).await;
    stage.has_grown().await;
    said("another serves in its place");
    has_gone.store(true, Ordering::Relaxed);
    let shrunk = stage.has_shrunk().await;
    said("one replica again");
    let connections = load.connections();
    let seen = load.stop().await;
    if seen.iter().any(|one| one.failed.is_some()) {
        stage.print_what_was_slow().await;
    }
    let trace = trace(&seen, &changes_since(&shrunk, began), began);
    println!(
        "{} requests over {connections} connections; its trace:\n{}",
        seen.len(),
        trace.join("\n")
    );
    was_noticed_by_no_client(&seen);
    it_did_not_flap(&shrunk, began);
    stage.is_reported().await;
    stage.what_was_recorded_can_be_tried_out().await;
    stage.a_person_s_number_is_held().await;
}
