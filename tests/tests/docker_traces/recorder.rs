//! Writes down what the driver reads of each scene's containers: events with what an inspection shows right after, counters
//! every three seconds, and when the engine was away. Judges nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::observed::{ContainerDetails, ContainerState, ContainerSummary, EngineEvent};
use aegis_docker::daemon::Docker;
use aegis_docker::{Engine, ListFilter};
use aegis_tests::trace::{Event, Happening, Line, Link, Made, Reading, Scene, Shown};
use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);
const PORT: u16 = 8000;
/// Attributes that tell how a container ended, and what it was called.
const ATTRIBUTES: [&str; 3] = ["exitCode", "signal", "oldName"];

/// Records until its runtime ends.
pub(crate) struct Recorder {
    docker: Arc<Docker>,
    tapes: Arc<Mutex<BTreeMap<String, Tape>>>,
    runtime: tokio::runtime::Handle,
}

/// What was recorded of one scene.
struct Tape {
    began: Time,
    runs: bool,
    ids: BTreeMap<String, u32>,
    lines: Vec<Line>,
}

impl Tape {
    fn add(&mut self, at: Time, id: u32, what: Happening) {
        let t = millis(self.began, at);
        self.lines.push(Line { t, id, what });
    }

    fn shown(&self, details: &ContainerDetails) -> Shown {
        let at = |time: Option<Time>| time.map(|time| millis(self.began, time));
        Shown {
            state: details.state,
            exit_code: details.exit_code,
            oom_killed: details.oom_killed,
            started: at(details.started_at),
            finished: at(details.finished_at),
            health: details.health.as_ref().map(|health| health.status.clone()),
        }
    }

    /// The number of a container; notes how it was made, if it is new.
    fn number(&mut self, scene: &str, details: &ContainerDetails, found: bool) -> u32 {
        if let Some(number) = self.ids.get(details.id.as_str()) {
            return *number;
        }
        let number = u32::try_from(self.ids.len()).expect("few containers") + 1;
        self.ids.insert(details.id.to_string(), number);
        let host = |key: &str| &details.host_config[key];
        let name = details.name.strip_prefix(&format!("{scene}."));
        let made = Made {
            name: name.unwrap_or(&details.name).to_owned(),
            found,
            memory_limit: details.memory_limit,
            healthcheck: details.health.is_some(),
            restart_policy: host("RestartPolicy")["Name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            auto_remove: host("AutoRemove") == true,
        };
        self.add(now(), number, Happening::Made(made));
        number
    }
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}

fn millis(began: Time, at: Time) -> i64 {
    at.0.as_millisecond() - began.0.as_millisecond()
}

fn scene_of(name: &str) -> Option<&str> {
    Some(name.split_once('.')?.0)
}

impl Recorder {
    /// Starts to follow the engine.
    pub(crate) fn start() -> Self {
        let recorder = Self {
            docker: Arc::new(Docker::connect(None).expect("DOCKER_HOST is an address")),
            tapes: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        let (docker, tapes) = (Arc::clone(&recorder.docker), Arc::clone(&recorder.tapes));
        tokio::spawn(async move {
            let follower = Follower { docker, tapes };
            loop {
                follower.follow().await;
                tokio::time::sleep(AGAIN).await;
            }
        });
        let (docker, tapes) = (Arc::clone(&recorder.docker), Arc::clone(&recorder.tapes));
        tokio::spawn(async move {
            let follower = Follower { docker, tapes };
            let mut timer = tokio::time::interval(EVERY);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                follower.read().await;
            }
        });
        recorder
    }

    /// A scene begins: its containers are there.
    pub(crate) fn begin(&self, scene: &str) {
        let mut tape = Tape {
            began: now(),
            runs: true,
            ids: BTreeMap::new(),
            lines: Vec::new(),
        };
        let found = self.runtime.block_on(async {
            let mut rows = self
                .docker
                .list(ListFilter::default())
                .await
                .expect("the engine answers");
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            let rows = rows.into_iter().filter(|row| scene_of(&row.name) == Some(scene));
            join_all(rows.map(|row| async move { self.docker.inspect(&row.id).await })).await
        });
        for details in found.into_iter().flatten().flatten() {
            let number = tape.number(scene, &details, true);
            let shown = tape.shown(&details);
            tape.add(now(), number, Happening::Shown(shown));
        }
        println!("{scene} begins");
        let mut tapes = self.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        tapes.insert(scene.to_owned(), tape);
    }

    /// It is over.
    pub(crate) fn end(&self, scene: &str) {
        println!("{scene} ends");
        let mut tapes = self.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = tapes.get_mut(scene) {
            tape.runs = false;
        }
    }

    /// GET of a container.
    pub(crate) fn ask(&self, name: &str, path: &str) {
        self.runtime.block_on(async {
            let details = self.docker.inspect(name).await.expect("the engine answers");
            let address = details
                .expect("it is there")
                .networks
                .into_values()
                .flatten()
                .next();
            let address = SocketAddr::new(address.expect("it has an address"), PORT);
            let answer = self.docker.http_get(address, path, Duration::from_secs(5)).await;
            assert!(
                answer.as_ref().is_ok_and(|answer| answer.status == 200),
                "{answer:?}"
            );
        });
    }

    /// All that was recorded.
    pub(crate) fn scenes(&self) -> Vec<Scene> {
        let tapes = self.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        let scene = |(name, tape): (&String, &Tape)| Scene {
            name: name.clone(),
            lines: tape.lines.clone(),
        };
        tapes.iter().map(scene).collect()
    }
}

struct Follower {
    docker: Arc<Docker>,
    tapes: Arc<Mutex<BTreeMap<String, Tape>>>,
}

impl Follower {
    fn all(&self, work: impl Fn(&str, &mut Tape)) {
        let mut tapes = self.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tape) in tapes.iter_mut().filter(|(_, tape)| tape.runs) {
            work(name, tape);
        }
    }

    async fn follow(&self) {
        let Ok(mut events) = self.docker.events().await else {
            return;
        };
        // A tape has gaps to tell of only once it runs.
        self.all(|_, tape| tape.add(now(), 0, Happening::Engine(Link::Back)));
        self.look().await;
        while let Some(Ok(event)) = events.next().await {
            self.event(&event, now()).await;
        }
        self.all(|_, tape| tape.add(now(), 0, Happening::Engine(Link::Away)));
    }

    /// What is there, after events were missed.
    async fn look(&self) {
        let rows = self.docker.list(ListFilter::default()).await.unwrap_or_default();
        for row in rows {
            if let Ok(Some(details)) = self.docker.inspect(&row.id).await {
                self.note(&row.name, &details);
            }
        }
    }

    fn note(&self, name: &str, details: &ContainerDetails) {
        self.all(|scene, tape| {
            if scene_of(name) == Some(scene) {
                let number = tape.number(scene, details, false);
                let shown = tape.shown(details);
                tape.add(now(), number, Happening::Shown(shown));
            }
        });
    }

    async fn event(&self, event: &EngineEvent, at: Time) {
        if event.name.is_empty() || event.action.starts_with("exec_") {
            return;
        }
        let details = self.docker.inspect(&event.id).await.ok().flatten();
        self.all(|scene, tape| {
            if scene_of(&event.name) != Some(scene) {
                return;
            }
            let number = match &details {
                Some(details) => tape.number(scene, details, false),
                // Gone already: of one that was never seen there is nothing to tell.
                None => match tape.ids.get(event.id.as_str()) {
                    Some(number) => *number,
                    None => return,
                },
            };
            let kept = ATTRIBUTES.iter().filter_map(|key| {
                let value = event.attributes.get(*key)?;
                Some(((*key).to_owned(), value.replace(&format!("{scene}."), "")))
            });
            let mut attributes: BTreeMap<String, String> = kept.collect();
            if event.action == "rename" {
                // Elsewhere it has the name that it was made with.
                let name = event.name.strip_prefix(&format!("{scene}."));
                attributes.insert("name".to_owned(), name.unwrap_or_default().to_owned());
            }
            let what = Event {
                action: event.action.clone(),
                attributes,
            };
            tape.add(at, number, Happening::Event(what));
            if let Some(details) = &details {
                let shown = tape.shown(details);
                tape.add(now(), number, Happening::Shown(shown));
            }
        });
    }

    /// A round of readings.
    async fn read(&self) {
        let Ok(rows) = self.docker.list(ListFilter::default()).await else {
            return;
        };
        let running = rows.iter().filter(|row| row.state == ContainerState::Running);
        let readings = join_all(running.map(|row| self.reading(row))).await;
        for (row, at, reading) in readings.into_iter().flatten() {
            self.all(|scene, tape| {
                if scene_of(&row.name) == Some(scene)
                    && let Some(number) = tape.ids.get(row.id.as_str()).copied()
                {
                    tape.add(at, number, Happening::Reading(reading.clone()));
                }
            });
        }
        self.all(|_, tape| {
            let number = tape
                .lines
                .iter()
                .filter(|line| matches!(line.what, Happening::Round(_)));
            let number = u32::try_from(number.count()).unwrap_or(u32::MAX);
            tape.add(now(), 0, Happening::Round(number));
        });
    }

    async fn reading<'a>(&self, row: &'a ContainerSummary) -> Option<(&'a ContainerSummary, Time, Reading)> {
        let serves = row.image.contains("buggy-app");
        let address = row.networks.values().flatten().next().filter(|_| serves);
        let answer = async {
            let address = SocketAddr::new(*address?, PORT);
            let answer = self
                .docker
                .http_get(address, "/health", Duration::from_secs(2))
                .await;
            Some(answer.is_ok_and(|answer| answer.status == 200))
        };
        let (stats, answers) = futures::join!(self.docker.stats(&row.id), answer);
        let stats = stats.ok()?;
        let reading = Reading {
            cpu: stats.cpu_total_ns / 1000,
            memory: stats.memory_bytes,
            limit: stats.memory_limit_bytes,
            pids: stats.pids,
            periods: stats.cpu_periods,
            throttled: stats.cpu_throttled_periods,
            answers,
        };
        Some((row, stats.read_at?, reading))
    }
}
