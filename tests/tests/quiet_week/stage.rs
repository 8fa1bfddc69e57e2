//! Plays recorded scenes to the controller, and what is between them: counters, events and inspections as they were, in
//! virtual time. Readings come every three seconds, as in the controller. In and around scenes each is evaluated; between them
//! all are kept, and the loops run more seldom: nothing changes there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::observed::{ContainerState, Stats};
use aegis_api::signals::Sample;
use aegis_docker::{Engine as _, ListFilter};
use aegis_docker_fake::{Behaviour, FakeEngine, FakeOptions, Shown};
use aegis_signals::collector::collect;
use aegis_tests::trace::{Happening, Line, Link, Made, Reading, Scene};
use tokio::time::Instant;

use crate::Without;
use crate::controller::{IDLE, Running};
use crate::host::{self, CAST, MADE, Part};
use crate::week::{Play, What};

/// Virtual time begins at midnight of a Monday.
const EPOCH: &str = "2030-01-07T00:00:00Z";
const A_DAY: Duration = Duration::from_secs(24 * 3600);
const EVERY: Duration = Duration::from_secs(3);
/// How long after that the loops run so often that no detector starts to wait again because of a gap.
const LATER: Duration = Duration::from_secs(300);
const SHORT_STEP: Duration = Duration::from_secs(81);
/// How often they run in an idle stretch.
const STEP: Duration = Duration::from_secs(180);
const SETTLE: Duration = Duration::from_millis(100);
/// How long before a scene, and after one, all detectors evaluate with every reading.
const BEFORE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(66);
/// What tells who ended a container.
const CAUSES: [&str; 3] = ["kill", "stop", "restart"];

/// The host while the week goes on.
pub(crate) struct Stage {
    engine: FakeEngine,
    pub(crate) running: Running,
    began: Instant,
    scenes: BTreeMap<String, Scene>,
    quiet: BTreeMap<&'static str, Vec<Quiet>>,
    meters: BTreeMap<String, Meter>,
    /// Who is in the present scene: their readings are recorded ones.
    busy: BTreeSet<String>,
    /// Those that do not answer any more.
    hung: BTreeSet<&'static str>,
    without: Without,
    /// Rounds of readings.
    pub(crate) readings: u64,
}

/// A reading between scenes: nanoseconds of CPU time a second, memory, processes.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    cpu: u64,
    memory: u64,
    pids: u64,
}

/// The counters of one container, which go on from scene to scene.
#[derive(Debug, Clone, Default)]
struct Meter {
    cpu: u64,
    recorded: Option<u64>,
    read: Option<Time>,
    turn: usize,
}

impl Stage {
    /// Must be called inside the run's runtime: the engine's time begins here.
    pub(crate) async fn new(without: Without, day: u32) -> Self {
        let engine = FakeEngine::new(FakeOptions {
            epoch: later(EPOCH.parse().expect("a time"), A_DAY * day),
            seed: 1,
            ..FakeOptions::default()
        });
        engine.add_network(host::NETWORK);
        engine.add_image("app:1", Behaviour::default());
        engine.add_image("app:2", Behaviour::default());
        for part in &CAST {
            let name = engine
                .run_container(&part.container())
                .expect("an engine without faults");
            let health = health_of(part);
            engine
                .replay(&name, |it| it.health = health)
                .expect("it is there");
        }
        let scenes = Scene::all();
        let quiet = CAST.iter().map(|part| {
            let kind = part.kind.recorded();
            (kind, quiet(&scenes["idle"], kind))
        });
        let running = Running::start(&engine, host::manifests(), without == Without::Hysteresis).await;
        let mut stage = Self {
            quiet: quiet.collect(),
            engine,
            running,
            began: Instant::now(),
            scenes,
            meters: BTreeMap::new(),
            busy: BTreeSet::new(),
            hung: BTreeSet::new(),
            without,
            readings: 0,
        };
        stage.running.scene("the first minutes");
        stage.watch_for(Duration::from_secs(300)).await;
        stage
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Plays one scene at its time.
    pub(crate) async fn play(&mut self, play: &Play) {
        self.idle_until(play.at.saturating_sub(BEFORE)).await;
        assert!(
            self.now() <= play.at,
            "{play:?} comes too late: at {:?}",
            self.now()
        );
        match &play.what {
            What::Rollout { image } => {
                self.running.scene("a rollout of ours");
                self.watch_until(play.at).await;
                self.running.rollout(MADE, image).await;
            }
            What::Scene {
                name,
                roles,
                times,
                held,
            } => {
                self.running.scene(name);
                self.watch_until(play.at).await;
                let lines = self.scenes[*name].lines.clone();
                for _ in 0..*times {
                    self.scene(&lines, roles, *held).await;
                }
            }
        }
        self.watch_for(AFTER).await;
        for part in &CAST {
            let state = self
                .engine
                .inspect_now(part.name)
                .map(|container| container.state);
            assert_eq!(
                state,
                Some(ContainerState::Running),
                "{} after {play:?}",
                part.name
            );
        }
        self.step_until(self.now() + LATER, SHORT_STEP).await;
        self.running.scene(IDLE);
    }

    async fn scene(&mut self, lines: &[Line], roles: &[(&str, &str)], mut held: Option<(i64, Duration)>) {
        let mut began = Instant::now();
        let mut base = self.engine.now();
        // By number in the recording.
        let mut ids: BTreeMap<u32, String> = BTreeMap::new();
        let mut begun = false;
        for line in lines {
            if let Some((_, span)) = held.take_if(|(at, _)| line.t >= *at) {
                // What is read of those who are in the scene stays as it is: they do nothing.
                let end = self.now() + span;
                self.idle_until(end).await;
                began += span;
                base = later(base, span);
            }
            begun |= !matches!(line.what, Happening::Made(_) | Happening::Shown(_));
            let due = u64::try_from(line.t).unwrap_or_default();
            // A reading is dated when it was read, and noted when all were.
            if !matches!(line.what, Happening::Reading(_)) {
                tokio::time::sleep_until(began + Duration::from_millis(due)).await;
            }
            let at = |t: i64| (t >= 0).then(|| base.plus(aegis_api::Duration::from_millis(t.unsigned_abs())));
            self.line(line, roles, &mut ids, begun, &at).await;
        }
        self.busy.clear();
    }

    async fn line(
        &mut self,
        line: &Line,
        roles: &[(&str, &str)],
        ids: &mut BTreeMap<u32, String>,
        begun: bool,
        at: &dyn Fn(i64) -> Option<Time>,
    ) {
        match (&line.what, ids.get(&line.id).cloned()) {
            (Happening::Made(made), _) => {
                ids.insert(line.id, self.make(made, roles));
            }
            (Happening::Round(_), _) => self.round().await,
            (Happening::Engine(link), _) => self.engine.set_down(*link == Link::Away),
            (Happening::Event(event), Some(id)) => {
                let is_cause = CAUSES.contains(&event.action.as_str());
                if event.action == "create" || is_cause && self.without == Without::Causes {
                    return;
                }
                let renamed = |(key, value): (&'static str, &String)| (key, actual(value, roles));
                let attribute = |key| event.attributes.get(key).map(|value| renamed((key, value)));
                let attributes = ["exitCode", "signal", "oldName", "name"]
                    .into_iter()
                    .filter_map(attribute);
                let attributes: Vec<(&str, String)> = attributes.collect();
                // One that is gone has no more events.
                drop(self.engine.replay_event(&id, &event.action, &attributes));
            }
            (Happening::Shown(seen), Some(id)) => {
                let health = match seen.health.as_deref() {
                    Some("healthy") => Some("healthy"),
                    Some("unhealthy") => Some("unhealthy"),
                    Some(_) => Some("starting"),
                    None => None,
                };
                drop(self.engine.replay(&id, |it| it.health = health));
                if begun {
                    let shown = Shown {
                        state: seen.state,
                        exit_code: seen.exit_code,
                        oom_killed: seen.oom_killed,
                        started: seen.started.and_then(at),
                        finished: seen.finished.and_then(at),
                    };
                    drop(self.engine.replay_shown(&id, &shown));
                }
            }
            (Happening::Reading(reading), Some(id)) => self.read(&id, reading, at(line.t)),
            (_, None) => panic!("{line:?} is about a container that was not made"),
        }
    }

    /// The container of the host that a recorded one stands for.
    fn make(&mut self, made: &Made, roles: &[(&str, &str)]) -> String {
        let name = actual(&made.name, roles);
        let id = match self.engine.inspect_now(&name).filter(|_| made.found) {
            Some(there) => there.id.to_string(),
            None => {
                let policy = &made.restart_policy;
                let spec = host::newcomer(&name, made.healthcheck, policy, made.auto_remove);
                self.engine.run_container(&spec).expect("its name is free")
            }
        };
        self.engine.replay(&id, |_| {}).expect("it is there");
        self.meters.entry(id.clone()).or_default().recorded = None;
        self.busy.insert(id.clone());
        id
    }

    /// A recorded reading: what was used since the one before is added to what the container has used so far.
    fn read(&mut self, id: &str, reading: &Reading, at: Option<Time>) {
        let meter = self.meters.entry(id.to_owned()).or_default();
        let (before, now) = (meter.recorded.replace(reading.cpu), reading.cpu);
        meter.cpu = match before {
            Some(before) if before <= now => meter.cpu + (now - before) * 1000,
            Some(_) => now * 1000,
            None => meter.cpu,
        };
        meter.read = at;
        let stats = Stats {
            read_at: at,
            cpu_total_ns: meter.cpu,
            memory_bytes: reading.memory,
            memory_limit_bytes: reading.limit,
            pids: reading.pids,
            cpu_periods: reading.periods,
            cpu_throttled_periods: reading.throttled,
            ..Stats::default()
        };
        let answers = reading.answers.unwrap_or(true);
        // It may have gone since it was read.
        drop(self.engine.replay(id, |it| {
            it.stats = Some(stats);
            it.answers = answers;
        }));
    }

    /// Those that are in no scene and run.
    fn at_rest(&self) -> Vec<(&'static Part, String)> {
        let rests = |part: &'static Part| {
            let (id, state) = self.engine.state(part.name)?;
            let rests = state == ContainerState::Running && !self.busy.contains(&id);
            rests.then_some((part, id))
        };
        CAST.iter().filter_map(rests).collect()
    }

    /// What a container that is in no scene uses now.
    fn rest(&mut self, part: &Part, id: &str, at: Time) -> Stats {
        let meter = match self.meters.get_mut(id) {
            Some(meter) => meter,
            None => self.meters.entry(id.to_owned()).or_default(),
        };
        meter.turn += 1;
        let all = &self.quiet[part.kind.recorded()];
        let quiet = all[meter.turn % all.len()];
        let passed = meter.read.map_or(EVERY, |read| read.age(at));
        let used = u128::from(quiet.cpu) * passed.as_millis() / 1000;
        meter.cpu += u64::try_from(used).expect("it is little");
        meter.read = Some(at);
        Stats {
            read_at: Some(at),
            cpu_total_ns: meter.cpu,
            memory_bytes: quiet.memory,
            memory_limit_bytes: host::MEMORY,
            pids: quiet.pids,
            ..Stats::default()
        }
    }

    /// Containers of our own workload, which nothing was recorded of.
    fn made(&self) -> Vec<String> {
        let mut names = self.engine.names();
        names.retain(|name| name.starts_with(MADE));
        names
    }

    /// A round of readings, as the controller takes them.
    async fn round(&mut self) {
        let at = self.engine.now();
        for (part, id) in self.at_rest() {
            let stats = self.rest(part, &id, at);
            let (health, answers) = (health_of(part), !self.hung.contains(part.name));
            let set = self.engine.replay(&id, |it| {
                (it.stats, it.health, it.answers) = (Some(stats), health, answers);
            });
            set.expect("it was there just now");
        }
        let Ok(containers) = self.engine.list(ListFilter::default()).await else {
            return;
        };
        let samples = &self.running.context.samples;
        let readings = collect(&self.engine, samples, containers).await;
        samples.remember(self.engine.now(), &readings);
        self.readings += 1;
    }

    /// Every round of readings is evaluated.
    async fn watch_until(&mut self, end: Duration) {
        while self.now() < end {
            let next = (self.now() + EVERY).min(end);
            tokio::time::sleep_until(self.began + next).await;
            self.round().await;
        }
    }

    pub(crate) async fn watch_for(&mut self, span: Duration) {
        let end = self.now() + span;
        self.watch_until(end).await;
    }

    pub(crate) async fn idle_until(&mut self, end: Duration) {
        self.step_until(end, STEP).await;
        self.watch_until(end).await;
    }

    /// Every reading is kept; the loops take a step at a time, as long as there is room for one.
    async fn step_until(&mut self, end: Duration, step: Duration) {
        while self.now() + step + EVERY < end {
            let (begin, resting) = (self.engine.now(), self.at_rest());
            let mut at = begin;
            let made = self.made();
            while at.age(later(begin, step)) >= EVERY {
                at = later(at, EVERY);
                let mut samples = Vec::with_capacity(resting.len());
                for (part, id) in &resting {
                    let before = self.meters.get(id).map_or(0, |meter| meter.cpu);
                    let stats = self.rest(part, id, at);
                    samples.push((part.name, sample(&stats, before)));
                }
                samples.extend(made.iter().map(|name| (name.as_str(), ours(at))));
                self.running.context.samples.history().add(at, samples);
                self.readings += 1;
            }
            tokio::time::advance(step).await;
            // What the step set off comes to its end.
            tokio::time::sleep(SETTLE).await;
            self.round().await;
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// What is really wrong, one after the other, and the incidents that each opens.
    pub(crate) async fn faults(&mut self) -> Vec<(&'static str, Vec<String>)> {
        let mut all = Vec::new();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        self.running.scene("a crash");
        let known = self.running.incidents();
        self.engine.crash("cart", 1).expect("it runs");
        self.watch_for(minutes(2)).await;
        all.push(("crash", self.since(&known)));

        self.running.scene("a hang");
        let known = self.running.incidents();
        self.hung.insert("shop");
        self.watch_for(minutes(2)).await;
        all.push(("hang", self.since(&known)));

        self.running.scene("a leak");
        let known = self.running.incidents();
        let leak = self.quiet.get_mut("cache").expect("it is recorded");
        let first = leak.first().copied().expect("it was read");
        let grown = |turn: u64| Quiet {
            memory: first.memory + turn * 150_000,
            ..first
        };
        // Some 3 MB a minute, from half of its memory on.
        *leak = (0..300).map(grown).collect();
        let id = self
            .engine
            .inspect_now("cache")
            .expect("it is there")
            .id
            .to_string();
        self.meters.entry(id).or_default().turn = 0;
        self.watch_for(minutes(12)).await;
        all.push(("leak", self.since(&known)));
        all
    }

    fn since(&self, known: &[String]) -> Vec<String> {
        let mut all = self.running.incidents();
        for old in known {
            if let Some(place) = all.iter().position(|one| one == old) {
                all.remove(place);
            }
        }
        all
    }
}

/// What Docker says of a container that is well.
fn health_of(part: &Part) -> Option<&'static str> {
    (part.kind == host::Kind::App).then_some("healthy")
}

fn later(at: Time, span: Duration) -> Time {
    Time(at.0.checked_add(span).expect("a week is not the end of time"))
}

/// A name of a recording, as it is on the host.
fn actual(name: &str, roles: &[(&str, &str)]) -> String {
    let exact = roles
        .iter()
        .find(|(role, _)| *role == name.trim_start_matches('/'));
    match (exact, roles) {
        (Some((role, own)), _) => name.replace(role, own),
        (None, [(role, own)]) => name.replace(role, own),
        (None, _) => name.to_owned(),
    }
}

/// What a container used while nothing happened.
fn quiet(idle: &Scene, kind: &str) -> Vec<Quiet> {
    let is_it = |line: &&Line| matches!(&line.what, Happening::Made(made) if made.name == kind);
    let id = idle.lines.iter().find(is_it).expect("each kind was recorded").id;
    let readings = idle.lines.iter().filter(|line| line.id == id);
    let readings: Vec<(i64, &Reading)> = readings
        .filter_map(|line| match &line.what {
            Happening::Reading(reading) => Some((line.t, reading)),
            _ => None,
        })
        .collect();
    let pairs = readings.windows(2).map(|pair| {
        let passed = u64::try_from(pair[1].0 - pair[0].0).expect("time passes").max(1);
        Quiet {
            cpu: (pair[1].1.cpu - pair[0].1.cpu) * 1_000_000 / passed,
            memory: pair[1].1.memory,
            pids: pair[1].1.pids,
        }
    });
    let all: Vec<Quiet> = pairs.collect();
    assert!(all.len() > 5, "{kind} was hardly read: {all:?}");
    all
}

/// A container of ours, which has hardly anything to do.
fn ours(at: Time) -> Sample {
    let stats = Stats {
        read_at: Some(at),
        cpu_total_ns: 30_000_000,
        memory_bytes: Behaviour::default().memory_bytes,
        memory_limit_bytes: host::MEMORY,
        pids: 1,
        ..Stats::default()
    };
    sample(&stats, 0)
}

/// As the collector makes one of two readings.
#[expect(
    clippy::as_conversions,
    reason = "a percentage: rounding is below what is shown"
)]
fn sample(stats: &Stats, before: u64) -> Sample {
    let used = stats.cpu_total_ns.saturating_sub(before) as f64;
    Sample {
        at: stats.read_at.expect("it was read"),
        cpu_percent: Some((used / EVERY.as_nanos() as f64 * 100.0) as f32),
        throttled_percent: None,
        memory_bytes: stats.memory_bytes,
        memory_limit_bytes: stats.memory_limit_bytes,
        net_rx_bytes: 0,
        net_tx_bytes: 0,
        pids: u32::try_from(stats.pids).unwrap_or(u32::MAX),
        pids_limit: 0,
    }
}
