//! One life of the controller: the same reconcilers, triggers and store as in the real one, put together on the
//! simulation's runtime, and a switch that stops all of it between two steps as `kill -9` does.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::proposal::Action;
use aegis_api::signals::Outcome;
use aegis_brain::{Brain, BrainConfig};
use aegis_docker::{Engine, ListFilter};
use aegis_docker_fake::When;
use aegis_reconcilers::docker_events::DockerEvents;
use aegis_reconcilers::endpoints::Endpoints;
use aegis_reconcilers::host_reader::HostReader;
use aegis_reconcilers::probe::Prober;
use aegis_reconcilers::recall::Recall;
use aegis_reconcilers::{Context, Jitter, Parts, Settings, Surroundings, Turns};
use aegis_runtime::store::Clock;
use aegis_runtime::{EventRecorder, Feed, Store, StoreError, StoreOptions};
use aegis_signals::collector::{Samples, collect};
use aegis_signals::lifecycle::Lifecycle;
use futures::StreamExt;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::acts::Moment;
use super::ledger::Ledger;
use super::settled;
use super::world::{BALANCER, EPOCH, World};

const READINGS: Duration = Duration::from_secs(3);
/// Operations of the engine that change something.
const CHANGES: [&str; 7] = ["create", "start", "stop", "remove", "signal", "exec", "put_files"];
const NEVER: i64 = i64::MAX;

/// Stops every task of one life at the same instant.
pub(crate) struct Kill {
    dead: AtomicBool,
    steps: AtomicI64,
    changes: AtomicI64,
    stored: AtomicI64,
    side: Mutex<When>,
    died: Notify,
}

impl Default for Kill {
    fn default() -> Self {
        Self {
            dead: AtomicBool::new(false),
            steps: AtomicI64::new(NEVER),
            changes: AtomicI64::new(NEVER),
            stored: AtomicI64::new(NEVER),
            side: Mutex::new(When::Before),
            died: Notify::new(),
        }
    }
}

impl Kill {
    pub(crate) fn now(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_one();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Resolves once it is dead.
    pub(crate) async fn died(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// Arms the switch.
    pub(crate) fn at(&self, moment: Moment) {
        let armed = |counter: &AtomicI64, count: u64| {
            counter.store(i64::try_from(count).unwrap_or(NEVER), Ordering::SeqCst);
        };
        let side = |when| *self.side.lock().unwrap_or_else(PoisonError::into_inner) = when;
        match moment {
            Moment::Now | Moment::Orderly => self.now(),
            Moment::Step(count) => armed(&self.steps, count),
            Moment::Durable(count) => armed(&self.stored, count),
            Moment::Before(count) => {
                side(When::Before);
                armed(&self.changes, count);
            }
            Moment::After(count) => {
                side(When::After);
                armed(&self.changes, count);
            }
        }
    }

    /// Withdraws what was armed.
    pub(crate) fn disarm(&self) {
        for counter in [&self.steps, &self.changes, &self.stored] {
            counter.store(NEVER, Ordering::SeqCst);
        }
    }

    fn count(&self, counter: &AtomicI64) {
        let left = counter.load(Ordering::SeqCst);
        if left == NEVER {
            return;
        }
        counter.store(left - 1, Ordering::SeqCst);
        if left <= 1 {
            self.now();
        }
    }

    /// The engine's crash hook: whether this call never returns.
    fn strikes(&self, operation: &str, when: When) -> bool {
        let side = *self.side.lock().unwrap_or_else(PoisonError::into_inner);
        if when == side && CHANGES.contains(&operation) {
            self.count(&self.changes);
        }
        self.is_dead()
    }
}

/// A task that makes no further step once the switch has struck.
struct Mortal {
    inner: BoxFuture<'static, ()>,
    kill: Arc<Kill>,
}

impl Future for Mortal {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        self.kill.count(&self.kill.steps);
        if self.kill.is_dead() {
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context)
    }
}

/// A running controller.
pub(crate) struct Process {
    pub(crate) store: Store,
    pub(crate) kill: Arc<Kill>,
    tasks: JoinSet<&'static str>,
    shutdown: CancellationToken,
    closing: CancellationToken,
    watcher: JoinHandle<()>,
    ledger: Ledger,
}

impl Process {
    /// Starts a controller from nothing but the state directory.
    pub(crate) async fn start(world: &World, life: u64) -> Self {
        let clock = {
            let engine = world.engine.clone();
            Clock::new(move || engine.now())
        };
        let events = EventRecorder::new();
        let (store, driver) = loop {
            let options = StoreOptions {
                watch_files: false,
                clock: clock.clone(),
                ..StoreOptions::new(world.state.path())
            };
            match Store::open(options, events.clone()).await {
                Ok(opened) => break opened,
                // A write that was under way when the last life ended still holds its share of the lock.
                Err(StoreError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("the store cannot be opened: {error:?}"),
            }
        };
        world.ledger.i10_reopened(&store);
        let kill: Arc<Kill> = Arc::default();
        let watcher = watch(&store, &world.ledger, &kill);
        let hook = Arc::clone(&kill);
        world
            .engine
            .on_operation(Some(Arc::new(move |operation: &str, when| {
                hook.strikes(operation, when)
            })));
        let engine: Arc<dyn Engine> = Arc::new(world.engine.clone());
        let context = Context {
            prober: Prober::new(Arc::clone(&engine)),
            store: store.clone(),
            engine,
            events,
            feed: Feed::bounded(64 << 10),
            samples: Samples::default(),
            host: HostReader::default(),
            lifecycle: Lifecycle::default(),
            endpoints: Endpoints::default(),
            turns: Turns::default(),
            clock,
            settings: Arc::new(Settings {
                templates: world.templates.clone(),
                limits: world.scenario.limits(),
                ..Settings::default()
            }),
        };
        let mut process = Self {
            store,
            kill,
            tasks: JoinSet::new(),
            shutdown: CancellationToken::new(),
            closing: CancellationToken::new(),
            watcher,
            ledger: world.ledger.clone(),
        };
        let (closing, ledger) = (process.closing.clone(), world.ledger.clone());
        process.spawn("store", async move {
            if let Err(error) = driver.run(closing).await {
                ledger.complain(format!("the store failed: {error:?}"));
            }
        });
        process.load(world, &context);
        let dice = StdRng::seed_from_u64(world.scenario.dice ^ (life << 32));
        process.reconcilers(&context, dice, world.scenario.model);
        process
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = Mortal {
            inner: Box::pin(task),
            kill: Arc::clone(&self.kill),
        };
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    fn reconcilers(&mut self, context: &Context, mut dice: StdRng, model: Option<(Action, u64)>) {
        let events = DockerEvents::new(context);
        let parts = Parts {
            context,
            events: &events,
            brain: &Arc::new(brain(model)),
            recall: &Recall::default(),
        };
        let surroundings = Surroundings {
            observers: vec![Arc::new(self.ledger.clone())],
            jitter: Some(Box::new(move || -> Jitter {
                let mut jitter = StdRng::seed_from_u64(dice.random());
                Box::new(move || jitter.random())
            })),
            shutdown: self.shutdown.clone(),
        };
        for (kind, run) in aegis_reconcilers::controllers(parts, surroundings) {
            self.spawn(kind, run);
        }
        let (prober, shutdown) = (context.prober.clone(), self.shutdown.clone());
        self.spawn("probes", async move { prober.run(shutdown).await });
        let (engine, shutdown) = (Arc::clone(&context.engine), self.shutdown.clone());
        self.spawn("docker events", async move { events.run(engine, shutdown).await });
        let (engine, samples, shutdown) = (
            Arc::clone(&context.engine),
            context.samples.clone(),
            self.shutdown.clone(),
        );
        self.spawn("readings", async move {
            while !shutdown.is_cancelled() {
                // What cannot be read is no reading: evidence then goes without.
                if let Ok(containers) = engine.list(ListFilter::default()).await {
                    drop(collect(&*engine, &samples, containers).await);
                }
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(READINGS) => {}
                }
            }
        });
    }

    /// Counts the requests of the load, as if they stood in nginx's log: those that a replica was there to answer. The log ends
    /// with nginx, and can be followed again once that runs.
    fn load(&mut self, world: &World, context: &Context) {
        let Some(load) = world.scenario.load.clone() else {
            return;
        };
        let begun: Time = EPOCH.parse().expect("a time");
        let (engine, traffic) = (world.engine.clone(), context.samples.traffic().clone());
        let services = world.scenario.services.iter().filter(|service| service.balanced);
        let names: Vec<&'static str> = services.map(|service| service.name).collect();
        let shutdown = self.shutdown.clone();
        self.spawn("load", async move {
            while !shutdown.is_cancelled() {
                let now = engine.now();
                let runs = engine.is_serving(BALANCER);
                match (runs, traffic.followed_since(BALANCER)) {
                    (true, None) => traffic.set_followed(BALANCER, now),
                    (false, Some(_)) => traffic.set_unfollowed(BALANCER),
                    (true, Some(_)) | (false, None) => {}
                }
                for name in names.iter().filter(|_| runs) {
                    let all = settled::containers(&engine, name);
                    if all.iter().any(|container| engine.is_serving(&container.name)) {
                        let requests = load.at(begun.age(now).as_secs());
                        (0..requests).for_each(|_| traffic.count(name, now, Outcome::Answered, 5));
                    }
                }
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        });
    }

    /// A task that ended or panicked although it was not stopped.
    pub(crate) fn casualty(&mut self) -> Option<String> {
        match self.tasks.try_join_next()? {
            Ok(name) => Some(format!("the task {name:?} ended by itself")),
            Err(error) => Some(format!("a task of the controller ended: {error}")),
        }
    }

    /// Ends it: all at once, or as with SIGTERM. It may be killed while it ends.
    pub(crate) async fn end(mut self, orderly: bool) {
        if orderly {
            self.shutdown.cancel();
            let kill = Arc::clone(&self.kill);
            tokio::select! {
                biased;
                () = kill.died() => {}
                () = self.all_end() => {}
            }
        }
        self.kill.now();
        self.tasks.abort_all();
        self.reap(0).await;
        // Its stream ends with the store, after all that was published.
        self.watcher.await.expect("the watcher does not panic");
    }

    async fn all_end(&mut self) {
        // The store goes on until the others have ended, so it is the one that is left.
        self.reap(1).await;
        self.closing.cancel();
        self.reap(0).await;
    }

    /// Waits until so many tasks are left.
    async fn reap(&mut self, left: usize) {
        while self.tasks.len() > left
            && let Some(ended) = self.tasks.join_next().await
        {
            if let Err(error) = ended
                && error.is_panic()
            {
                self.ledger
                    .complain(format!("a task of the controller panicked: {error}"));
            }
        }
    }
}

/// Who analyses and votes.
fn brain(model: Option<(Action, u64)>) -> Brain {
    let brain = match model {
        Some((action, secs)) => Brain::insisting(action, Duration::from_secs(secs)),
        None => Brain::new(BrainConfig::default()),
    };
    brain.expect("a brain")
}

/// Records every durable change until the store is gone.
fn watch(store: &Store, ledger: &Ledger, kill: &Arc<Kill>) -> JoinHandle<()> {
    let mut changes = store.watch(None).expect("a watch from now on never is too old");
    let (ledger, kill) = (ledger.clone(), Arc::clone(kill));
    tokio::spawn(async move {
        while let Some(event) = changes.next().await {
            ledger.follow(event);
            kill.count(&kill.stored);
        }
    })
}
