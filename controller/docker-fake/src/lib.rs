//! `FakeEngine`: an engine in memory, for simulations and tests of whatever sits on [`aegis_docker::Engine`].
//!
//! Owns containers, images, networks, addresses, an nginx that loads what is put into it, and scripted misbehaviour. Time is
//! tokio's, so with paused time a simulated hour takes none. No I/O. Like the real engine it finishes what it has begun
//! when its caller goes away. Every effect is logged with who caused it, so that a test can prove what was never done.

mod behaviour;
mod chaos;
mod container;
mod effects;
mod exec;
mod hands;
mod human;
mod lifecycle;
mod nginx;
mod operations;
mod prerequisites;
mod readings;
mod replay;
mod run_spec;
mod session;
mod tenancy;
mod traffic;
mod world;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::observed::EngineEvent;
use aegis_docker::EngineInfo;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use behaviour::{Ailment, Behaviour, Cure, Symptom};
pub use chaos::{CrashHook, FaultPlan, When};
pub use effects::{Actor, Effect, Op};
pub use nginx::LoadedConfig;
pub use replay::{Replayed, Shown};
pub use run_spec::RunSpec;
pub use tenancy::Tenancy;

use lifecycle::Timer;
use world::World;

const EVENT_BUFFER: usize = 4096;

/// How fast and of which kind the engine is.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// The wall-clock time at which virtual time begins. The real time by default, so that times taken from the system's
    /// clock by the code under test lie before those of the engine.
    pub epoch: Time,
    /// What ids are made from; two engines of one seed make the same ids.
    pub seed: u64,
    /// Time that any call takes at least.
    pub call_takes: Duration,
    /// Time to create a container.
    pub create_takes: Duration,
    /// Time to start one.
    pub start_takes: Duration,
    /// Time that a process which listens to SIGTERM takes to end.
    pub stop_takes: Duration,
    /// Time to remove one.
    pub remove_takes: Duration,
    /// Time from the HUP until nginx serves its new configuration.
    pub reload_takes: Duration,
    /// How long nginx's old workers live on after a reload.
    pub old_workers_for: Duration,
    /// How long they still take every second request: until their master stops them from accepting.
    pub old_workers_accept_for: Duration,
    /// There is a shell in every container.
    pub shells: bool,
    /// A container that is started again gets another address.
    pub addresses_change: bool,
    /// A container that starts gets the lowest address that is free, as with Docker: also one that another container
    /// had before.
    pub addresses_reused: bool,
    /// What the engine says of itself.
    pub info: EngineInfo,
}

impl Default for FakeOptions {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            epoch: Time(jiff::Timestamp::now()),
            seed: 0,
            call_takes: ms(1),
            create_takes: ms(50),
            start_takes: ms(200),
            stop_takes: ms(100),
            remove_takes: ms(50),
            reload_takes: ms(20),
            old_workers_for: ms(300),
            old_workers_accept_for: ms(100),
            shells: true,
            addresses_change: false,
            addresses_reused: false,
            info: EngineInfo {
                root_dir: None,
                version: "20.10.24".to_owned(),
                api: (1, 41),
                cgroup_version: 2,
            },
        }
    }
}

/// An engine in memory. Clones are the same engine.
#[derive(Clone)]
pub struct FakeEngine {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEngine").finish_non_exhaustive()
    }
}

/// What an open event stream receives.
#[derive(Debug, Clone)]
enum Feed {
    Event(EngineEvent),
    Cut,
}

struct Shared {
    options: FakeOptions,
    began: Instant,
    world: Mutex<World>,
    events: broadcast::Sender<Feed>,
    /// A log line was written or a container's run ended.
    logged: Notify,
    /// Effects under way and timers. Tasks that are no effect hold only a weak reference to the engine.
    tasks: Mutex<JoinSet<()>>,
}

impl FakeEngine {
    /// An engine without containers; it knows the network `bridge` and no image.
    pub fn new(options: FakeOptions) -> Self {
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let world = World::new(&options);
        let shared = Shared {
            options,
            began: Instant::now(),
            world: Mutex::new(world),
            events,
            logged: Notify::new(),
            tasks: Mutex::new(JoinSet::new()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The engine's wall clock: the epoch plus the virtual time that has passed.
    pub fn now(&self) -> Time {
        self.shared.now()
    }
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new(FakeOptions::default())
    }
}

impl Shared {
    fn now(&self) -> Time {
        let passed = Instant::now().saturating_duration_since(self.began);
        Time(
            self.options
                .epoch
                .0
                .checked_add(passed)
                .unwrap_or(jiff::Timestamp::MAX),
        )
    }

    /// Works on the world and then sends out what that caused: events in order, timers.
    fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.now = self.now();
        world.instant = Instant::now();
        let result = work(&mut world);
        world.sweep();
        for event in world.outbox.drain(..) {
            // No receiver is no failure: no client listens to the engine just now.
            drop(self.events.send(Feed::Event(event)));
        }
        let timers = std::mem::take(&mut world.timers);
        drop(world);
        self.logged.notify_waiters();
        for timer in timers {
            self.arm(timer);
        }
        result
    }

    /// Reads the world without changing it.
    fn read<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Without a runtime (a test that never waits) there is no time that could pass.
    fn arm(self: &Arc<Self>, timer: Timer) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let engine = Arc::downgrade(self);
        self.spawn(async move {
            tokio::time::sleep_until(timer.at).await;
            if let Some(engine) = engine.upgrade() {
                engine.with(|world| world.fire(&timer));
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

#[cfg(test)]
mod tests;
