//! One kind's reconcile loop: triggers → scheduler → runner → what follows. Owns the wiring between them, the retries
//! and the resync. Does no I/O; whatever the world needs is the [`Reconciler`]'s.
//!
//! Level-triggered: a reconciler is given a name and observes the whole state itself. What a trigger saw is not passed on.

mod observe;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::precedence::{Urgency, reserve};
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::runner::{Finished, Outcome, Runner, panic_message};
use crate::scheduler::Scheduler;

pub use observe::{Activity, Observer, Reconciled};

/// When a key runs again after a successful reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look again after this time, or earlier if something triggers it.
    Requeue(Duration),
    /// Look again when something triggers it.
    AwaitChange,
}

/// What follows a reconcile that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Try again, later each time.
    Backoff,
    /// As [`OnError::Backoff`], and never later than this: what is wrong does harm for as long as it lasts.
    BackoffWithin(Duration),
    /// Trying again would change nothing: wait for a trigger.
    AwaitChange,
}

/// Brings one object of a kind closer to its desired state.
pub trait Reconciler: Send + Sync + 'static {
    /// Why it could not.
    type Error: ReconcileError;
    /// The kind, such as `Workload`.
    const KIND: &'static str;

    /// Observes the whole state of the object of this name (which may be gone) and does what is to be done.
    /// Never called for one name twice at a time. It may be dropped at any await, as in a crash.
    fn reconcile(&self, name: &str) -> impl Future<Output = Result<Action, Self::Error>> + Send;
}

/// An error that knows its name in metrics and what should follow.
pub trait ReconcileError: std::error::Error + Send + Sync + 'static {
    /// A short fixed word for metrics and Events.
    fn category(&self) -> &'static str;
    /// What follows.
    fn on_error(&self) -> OnError;
}

/// A reason to reconcile an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The object's name.
    pub name: String,
    /// `store`, `docker`, `probe`, `timer`, `resync` or `retry`.
    pub why: &'static str,
}

/// How long [`Controller::run`] waits for running reconciles after the shutdown.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The shortest and the longest requeue: a reconciler that goes on requesting zero must not turn into a busy loop, and
/// one that requests ever more must not overflow the clock.
const REQUEUE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(365 * 86_400));
/// Runs in a row that may follow each other without any pause.
const AT_ONCE: u32 = 16;
/// Into how many parts a resync is spread.
const PARTS: f64 = 8.0;

/// A trigger, or the end of the stream that this number of [`Controller::trigger`] calls came before.
enum Incoming {
    Trigger(Trigger),
    Ended { stream: usize, panic: Option<String> },
}

struct Resync {
    every: Duration,
    names: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// How urgent the object of a name is.
type Urgent = Box<dyn Fn(&str) -> Urgency + Send + Sync>;

/// The loop, as it is put together before it runs.
#[must_use = "a controller does nothing until it runs"]
pub struct Controller<R> {
    reconciler: Arc<R>,
    triggers: SelectAll<BoxStream<'static, Incoming>>,
    streams: usize,
    resync: Option<Resync>,
    concurrency: usize,
    urgent: Option<Urgent>,
    deadline: Duration,
    observers: Vec<Arc<dyn Observer>>,
    random: Box<dyn FnMut() -> f64 + Send>,
}

impl<R> std::fmt::Debug for Controller<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller")
            .field("streams", &self.streams)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl<R: Reconciler> Controller<R> {
    /// A loop without triggers: 4 reconciles at a time, each at most 10 minutes.
    pub fn new(reconciler: Arc<R>) -> Self {
        Self {
            reconciler,
            triggers: SelectAll::new(),
            streams: 0,
            resync: None,
            concurrency: 4,
            urgent: None,
            deadline: Duration::from_secs(600),
            observers: Vec::new(),
            random: Box::new(rand::random::<f64>),
        }
    }

    /// Adds a stream of triggers. One that ends (or panics) is reported; the loop goes on without it.
    pub fn trigger(mut self, stream: impl Stream<Item = Trigger> + Send + 'static) -> Self {
        self.streams += 1;
        let number = self.streams;
        let ended = stream::once(std::future::ready(Incoming::Ended {
            stream: number,
            panic: None,
        }));
        let caught = AssertUnwindSafe(stream)
            .catch_unwind()
            .map(move |item| match item {
                Ok(trigger) => Incoming::Trigger(trigger),
                Err(panic) => Incoming::Ended {
                    stream: number,
                    panic: Some(panic_message(&*panic).to_owned()),
                },
            });
        self.triggers.push(caught.chain(ended).boxed());
        self
    }

    /// Reconciles every one of `names` when the loop starts, and again about every `every`: each round comes up to a
    /// tenth early or late, and the names of later rounds are spread over a tenth of the time, in [`PARTS`] parts: what is
    /// reconciled at the same time can share what it reads.
    pub fn resync(
        mut self,
        every: Duration,
        names: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.resync = Some(Resync {
            every,
            names: Box::new(names),
        });
        self
    }

    /// How many reconciles may be at work at a time; at least 1. One that waits [`aside`](crate::slot::aside), or has
    /// run for more than 5 s, is not: however many hang, the others go on.
    pub fn concurrency(mut self, n: usize) -> Self {
        self.concurrency = n.max(1);
        self
    }

    /// Which objects go first, whenever one is enqueued: before those that are ordinary, of which one in nine goes on
    /// nevertheless, and into a [`reserve`] of places that ordinary ones do not take. Called inside the loop: it must
    /// return at once.
    pub fn urgent(mut self, urgent: impl Fn(&str) -> Urgency + Send + Sync + 'static) -> Self {
        self.urgent = Some(Box::new(urgent));
        self
    }

    /// How long one reconcile may take before it is dropped and counts as failed with the category `timeout`: a
    /// safety net, so that objects whose reconcile hangs do not use up the concurrency for ever.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Reports every reconcile to `observer`; any number of them.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Takes the randomness of jitter from `random`, which answers numbers in `0.0..1.0`.
    pub fn random(mut self, random: impl FnMut() -> f64 + Send + 'static) -> Self {
        self.random = Box::new(random);
        self
    }

    /// Runs until `shutdown`; then starts nothing more and ends when the running reconciles have, after [`DRAIN`] at
    /// the latest.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            reconciler,
            mut triggers,
            resync,
            concurrency,
            urgent,
            deadline,
            observers,
            random,
            ..
        } = self;
        let kept = urgent.as_ref().map_or(0, |_| reserve(concurrency));
        let mut runner = Runner::new(reconciler, concurrency, kept, deadline);
        let slots = runner.slots();
        let mut queue = Queue {
            kind: R::KIND,
            scheduler: Scheduler::new(),
            failures: HashMap::new(),
            at_once: HashMap::new(),
            urgent,
            observers,
            random,
        };
        queue.report(&Activity::Limit { concurrency });
        let next_resync = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(next_resync);
        let mut rounds = 0_u64;
        loop {
            // A burst of triggers that are all ready must not keep the thread from everything else.
            tokio::task::coop::consume_budget().await;
            let ordinary_fits = runner.has_ordinary_room();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(finished) = runner.next(), if !runner.is_idle() => queue.settle(finished),
                Some(incoming) = triggers.next(), if !triggers.is_empty() => queue.take(incoming),
                () = &mut next_resync, if resync.is_some() => {
                    if let Some(resync) = &resync {
                        let pause = queue.resync(resync, rounds == 0);
                        rounds += 1;
                        next_resync.as_mut().reset(Instant::now() + pause);
                    }
                }
                // Only so that the loop looks again whether there is room.
                () = slots.freed() => {}
                due = poll_fn(|cx| queue.scheduler.poll_due(cx, ordinary_fits)), if runner.has_room() => {
                    queue.report(&Activity::Started { waited: due.at.elapsed() });
                    runner.start(due);
                }
            }
            let depth = queue.scheduler.depth();
            queue.report(&Activity::Load {
                depth,
                active: runner.active(),
            });
        }
        drain(&mut runner, &mut queue).await;
    }
}

async fn drain<R: Reconciler>(runner: &mut Runner<R>, queue: &mut Queue) {
    let all = async {
        while let Some(finished) = runner.next().await {
            queue.settle(finished);
        }
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        warn!(
            kind = R::KIND,
            running = runner.active(),
            "reconciles were still running at the shutdown and are dropped"
        );
    }
    queue.report(&Activity::Load { depth: 0, active: 0 });
}

/// The keys of one loop: which wait, how often each failed or went on at once in a row, and its observers.
struct Queue {
    kind: &'static str,
    scheduler: Scheduler<Arc<str>>,
    failures: HashMap<Arc<str>, u32>,
    at_once: HashMap<Arc<str>, u32>,
    urgent: Option<Urgent>,
    observers: Vec<Arc<dyn Observer>>,
    random: Box<dyn FnMut() -> f64 + Send>,
}

impl Queue {
    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Trigger(Trigger { name, why }) => self.add(name.into(), Duration::ZERO, why),
            Incoming::Ended {
                stream,
                panic: Some(message),
            } => {
                warn!(kind = self.kind, stream, message, "a stream of triggers panicked");
            }
            Incoming::Ended { stream, panic: None } => {
                warn!(kind = self.kind, stream, "a stream of triggers ended");
            }
        }
    }

    fn add(&mut self, key: Arc<str>, after: Duration, why: &'static str) {
        self.report(&Activity::Added { why });
        let urgency = self
            .urgent
            .as_ref()
            .map_or(Urgency::Ordinary, |urgent| urgent(&key));
        self.scheduler
            .schedule_as(key, Instant::now() + after, why, urgency);
    }

    /// Adds every name; answers when the next round is due.
    fn resync(&mut self, resync: &Resync, first: bool) -> Duration {
        let spread = if first { 0.0 } else { 0.1 };
        for name in (resync.names)() {
            let part = ((self.random)().clamp(0.0, 1.0) * PARTS).floor() / PARTS;
            let after = resync.every.mul_f64(part * spread);
            self.add(name.into(), after, "resync");
        }
        resync
            .every
            .mul_f64(0.9 + 0.2 * (self.random)().clamp(0.0, 1.0))
            .clamp(REQUEUE.0, REQUEUE.1)
    }

    /// Draws the consequence of a run that ended.
    fn settle(&mut self, finished: Finished) {
        let Finished {
            key,
            why,
            took,
            outcome,
        } = finished;
        let (result, error, requeue) = match outcome {
            Outcome::Done(Action::AwaitChange) => ("success", None, None),
            Outcome::Done(Action::Requeue(after)) => ("requeue", None, Some(self.pause(&key, after))),
            Outcome::Failed {
                category,
                chain,
                on_error,
            } => ("error", Some((category, chain)), self.retry(&key, on_error)),
        };
        if requeue.is_none_or(|after| !after.is_zero()) {
            self.at_once.remove(&key);
        }
        let retried = error.is_some() && requeue.is_some();
        if !retried {
            self.failures.remove(&key);
        }
        let reconciled = Reconciled {
            kind: self.kind,
            name: &key,
            trigger: why,
            result,
            error,
            duration: took,
            requeue_after: requeue,
        };
        match &reconciled.error {
            Some((category, chain)) => {
                warn!(kind = self.kind, name = &*key, category, error = chain, retry_after = ?requeue, "reconcile failed");
            }
            None => debug!(
                kind = self.kind,
                name = &*key,
                trigger = why,
                result,
                ?took,
                "reconciled"
            ),
        }
        for observer in &self.observers {
            observer.reconciled(&reconciled);
        }
        self.scheduler.finish(&key);
        if let Some(after) = requeue {
            if retried {
                self.report(&Activity::Retried);
            }
            self.add(key, after, if retried { "retry" } else { "timer" });
        }
    }

    /// The delay before a key that was requeued after `after` runs again: none, [`AT_ONCE`] times in a row.
    fn pause(&mut self, key: &Arc<str>, after: Duration) -> Duration {
        if after.is_zero() {
            let runs = self.at_once.entry(Arc::clone(key)).or_default();
            *runs += 1;
            if *runs <= AT_ONCE {
                return Duration::ZERO;
            }
        }
        after.clamp(REQUEUE.0, REQUEUE.1)
    }

    fn retry(&mut self, key: &Arc<str>, on_error: OnError) -> Option<Duration> {
        let cap = match on_error {
            OnError::AwaitChange => return None,
            OnError::Backoff => Duration::MAX,
            OnError::BackoffWithin(cap) => cap,
        };
        let failures = self.failures.entry(Arc::clone(key)).or_default();
        *failures = failures.saturating_add(1);
        Some(Backoff::RECONCILE.delay(*failures, (self.random)()).min(cap))
    }

    fn report(&self, activity: &Activity) {
        for observer in &self.observers {
            observer.activity(self.kind, activity);
        }
    }
}

#[cfg(test)]
mod tests;
