//! The controller on the simulated host: the one assembly of reconcilers, with the detectors that arrive with the first
//! start, and a record of what they found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::signals::{Disk, HostSignals};
use aegis_api::{Detector, Duration, Incident, Kind, Time, Workload, kinds};
use aegis_brain::{Brain, BrainConfig};
use aegis_docker::Engine;
use aegis_docker_fake::FakeEngine;
use aegis_reconcilers::detector::defaults;
use aegis_reconcilers::docker_events::DockerEvents;
use aegis_reconcilers::endpoints::Endpoints;
use aegis_reconcilers::host_reader::HostReader;
use aegis_reconcilers::probe::Prober;
use aegis_reconcilers::recall::Recall;
use aegis_reconcilers::{Context, Jitter, Parts, Settings, Surroundings, Turns, controllers};
use aegis_runtime::store::Clock;
use aegis_runtime::{EventRecorder, Feed, Observer, Reconciled, Store, StoreEvent, StoreOptions};
use aegis_signals::collector::Samples;
use aegis_signals::lifecycle::Lifecycle;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What goes on when nothing happens.
pub(crate) const IDLE: &str = "an idle stretch";

/// A detector began to fire.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) detector: String,
    workload: String,
    at: Time,
    scene: String,
    words: String,
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            detector,
            workload,
            at,
            scene,
            words,
        } = self;
        write!(f, "{at} {detector} of {workload} during {scene}: {words}")
    }
}

#[derive(Default)]
struct Notes {
    scene: String,
    alarms: Vec<Alarm>,
    /// What held while nothing happened.
    unrest: Vec<Alarm>,
    reconciles: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What is noted. Clones share it.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Notes>>);

impl Record {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, event: &StoreEvent, now: Time) {
        let Some(detector) = event.object.typed::<Detector>() else {
            return;
        };
        let old = event.old.as_ref().and_then(|old| old.typed::<Detector>());
        let fired = |workload: &Option<String>| {
            let rows = old.iter().filter_map(|old| old.status.as_ref());
            let mut rows = rows.flat_map(|status| &status.workloads);
            rows.any(|row| row.workload == *workload && row.firing)
        };
        let mut notes = self.notes();
        for row in detector.status.iter().flat_map(|status| &status.workloads) {
            let verdicts = notes.verdicts.entry(detector.name().to_owned()).or_default();
            *verdicts.entry(row.condition.clone()).or_default() += 1;
            let fires = row.firing && !fired(&row.workload);
            if fires || notes.scene == IDLE && row.condition == "True" {
                let alarm = Alarm {
                    detector: detector.name().to_owned(),
                    workload: row.workload.clone().unwrap_or_else(|| "the host".to_owned()),
                    at: now,
                    scene: notes.scene.clone(),
                    words: row.message.clone(),
                };
                let list = if fires {
                    &mut notes.alarms
                } else {
                    &mut notes.unrest
                };
                list.push(alarm);
            }
        }
    }
}

impl Observer for Record {
    fn reconciled(&self, r: &Reconciled<'_>) {
        *self.notes().reconciles.entry(r.kind).or_default() += 1;
    }
}

/// The controller while it runs.
pub(crate) struct Running {
    pub(crate) context: Context,
    record: Record,
    _state: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

/// A host that has room.
fn host_signals(_: &Path, _: Option<&Path>) -> HostSignals {
    let disk = Disk {
        bytes: Some((40 << 30, 100 << 30)),
        inodes: Some((900_000, 1_000_000)),
    };
    HostSignals {
        engine_disk: Some(disk),
        state_disk: Some(disk),
        ..HostSignals::default()
    }
}

impl Running {
    /// Starts it over an empty state directory, and applies what people have.
    pub(crate) async fn start(engine: &FakeEngine, manifests: Vec<Value>, impatient: bool) -> Self {
        let (shared, now): (Arc<dyn Engine>, FakeEngine) = (Arc::new(engine.clone()), engine.clone());
        let clock = Clock::new(move || now.now());
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let state = tempfile::Builder::new().prefix("aegis-week-").tempdir_in(folder);
        let state = state.expect("a folder for the state");
        let events = EventRecorder::new();
        let options = StoreOptions {
            watch_files: false,
            clock: clock.clone(),
            ..StoreOptions::new(state.path())
        };
        let (store, driver) = Store::open(options, events.clone())
            .await
            .expect("an empty folder");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            driver
                .run(CancellationToken::new())
                .await
                .expect("the store works");
        });
        let context = Context {
            prober: Prober::new(Arc::clone(&shared)),
            store,
            engine: shared,
            events,
            feed: Feed::bounded(64 << 10),
            samples: Samples::default(),
            host: HostReader::default(),
            lifecycle: Lifecycle::default(),
            endpoints: Endpoints::default(),
            turns: Turns::default(),
            clock,
            settings: Arc::new(Settings {
                host: Some(host_signals),
                ..Settings::default()
            }),
        };
        let record = Record::default();
        let running = Self {
            context,
            record,
            _state: state,
            _tasks: JoinSet::new(),
        };
        running.prepare(manifests, impatient).await;
        running.spawn(tasks)
    }

    /// What a first start gives, and what people apply.
    async fn prepare(&self, manifests: Vec<Value>, impatient: bool) {
        let store = &self.context.store;
        defaults::give(store).await.expect("the detectors can be stored");
        if impatient {
            for detector in store.list::<Detector>() {
                let at_once = |detector: &Detector| {
                    let mut spec = detector.spec.clone();
                    (spec.for_, spec.clear) = (Duration::from_secs(0), Duration::from_secs(0));
                    Ok(spec)
                };
                let edited = store.edit_spec::<Detector, _>(detector.name(), at_once).await;
                edited.expect("a detector may fire at once");
            }
        }
        for manifest in manifests {
            let info = kinds::find(manifest["kind"].as_str().unwrap_or_default()).expect("a kind");
            store
                .create(info, manifest, false)
                .await
                .expect("a good manifest");
        }
    }

    fn spawn(mut self, mut tasks: JoinSet<()>) -> Self {
        let context = &self.context;
        let events = DockerEvents::new(context);
        let parts = Parts {
            context,
            events: &events,
            brain: &Arc::new(Brain::new(BrainConfig::default()).expect("the default brain")),
            recall: &Recall::default(),
        };
        let mut dice = StdRng::seed_from_u64(7);
        let surroundings = Surroundings {
            observers: vec![Arc::new(self.record.clone())],
            jitter: Some(Box::new(move || -> Jitter {
                let mut jitter = StdRng::seed_from_u64(dice.random());
                Box::new(move || jitter.random())
            })),
            shutdown: CancellationToken::new(),
        };
        for (_, run) in controllers(parts, surroundings) {
            tasks.spawn(run);
        }
        let prober = context.prober.clone();
        tasks.spawn(async move { prober.run(CancellationToken::new()).await });
        let engine = Arc::clone(&context.engine);
        tasks.spawn(async move { events.run(engine, CancellationToken::new()).await });
        let mut changes = context.store.watch(None).expect("from now on never is too old");
        let (record, clock) = (self.record.clone(), context.clock.clone());
        tasks.spawn(async move {
            while let Some(event) = changes.next().await {
                record.follow(&event, clock.now());
            }
        });
        self._tasks = tasks;
        self
    }

    /// What goes on from now on.
    pub(crate) fn scene(&self, name: &str) {
        name.clone_into(&mut self.record.notes().scene);
    }

    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.record.notes().alarms.clone()
    }

    pub(crate) fn unrest(&self) -> Vec<Alarm> {
        self.record.notes().unrest.clone()
    }

    pub(crate) fn evaluations(&self) -> u64 {
        let notes = self.record.notes();
        notes
            .reconciles
            .get(Detector::info().kind)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn verdicts(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.record.notes().verdicts.clone()
    }

    /// `detector of workload` of each incident, also of those that no detector opened.
    pub(crate) fn incidents(&self) -> Vec<String> {
        let incidents = self.context.store.list::<Incident>();
        let words = |incident: &Arc<Incident>| {
            let spec = &incident.spec;
            let labels = &spec.source.labels;
            let by = labels.get("detector").unwrap_or(&spec.alert_type);
            let about = spec.workload_ref.as_ref().map_or("?", |name| name.as_str());
            format!("{by} of {about}")
        };
        incidents.iter().map(words).collect()
    }

    /// Another image for a workload of our own.
    pub(crate) async fn rollout(&self, workload: &str, image: &'static str) {
        let edit = move |workload: &Workload| {
            let mut spec = workload.spec.clone();
            if let Some(template) = &mut spec.template {
                template.image = image.parse().expect("an image");
            }
            Ok(spec)
        };
        let edited = self.context.store.edit_spec::<Workload, _>(workload, edit).await;
        edited.expect("another image");
    }
}
