//! Reconciles as CloudEvents to the generic webhook, for those that subscribe to them: the frames `reconcile` of the live
//! stream, through a filter and at most so many a second. Nothing of it is kept over a restart. Does I/O.

mod filter;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::incident::Severity;
use aegis_api::redact::{bound, redact};
use aegis_api::wire::ReconcileData;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use filter::{FilterError, ReconcileFilter};
use queue::Queue;

use crate::backoff::backoff;
use crate::journal::Journal;
use crate::notifier::{Handle, Tests};
use crate::posted::Posted;
use crate::webhook::{SOURCE, Webhook};

/// Its name among the destinations.
const NAME: &str = "webhook-reconcile";
/// What its deliveries are about.
const ABOUT: &str = "RECONCILE";
/// How often one is tried before it is given up: some two minutes, after which it is no news.
const TRIES: u32 = 8;
/// How long nothing is sent after the receiver itself refused.
const REFUSED: Duration = Duration::from_secs(300);
/// Most characters of an error.
const ERROR: usize = 1000;

/// One run of a reconciler, and what it was about.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconcileSeen {
    /// Unique, the same wherever it is read again.
    pub id: String,
    /// When it ended.
    pub at: Time,
    /// As the live stream has it.
    pub data: ReconcileData,
    /// How grave the incident is that it is about, if it is about one.
    pub severity: Option<Severity>,
    /// The workloads that it is about.
    pub workloads: Vec<String>,
}

/// What the sender receives.
#[derive(Debug, Clone, PartialEq)]
pub enum ReconcileNews {
    /// One ended.
    One(Box<ReconcileSeen>),
    /// So many frames were not read in time: at most so many of them were of reconciles.
    Missed(u64),
}

/// Sends them.
#[derive(Debug)]
pub struct Reconciles {
    webhook: Webhook,
    queue: Queue,
    journal: Arc<Journal>,
    tests: Tests,
    handle: Handle,
    tries: u32,
    not_before: Instant,
}

impl Reconciles {
    /// To this webhook, what the filter wants, at most so many a second.
    pub fn new(webhook: Webhook, filter: ReconcileFilter, per_second: u32) -> Self {
        let journal = Arc::new(Journal::new(NAME));
        let (handle, tests) = Handle::new(Arc::clone(&journal));
        Self {
            webhook,
            queue: Queue::new(filter, per_second),
            journal,
            tests,
            handle,
            tries: 0,
            not_before: Instant::now(),
        }
    }

    /// The way to it once it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sends until the shutdown.
    pub async fn run(mut self, news: BoxStream<'static, ReconcileNews>, shutdown: CancellationToken) {
        let mut news = news.fuse().boxed();
        loop {
            let due = self.queue.front().is_some();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(self.not_before), if due => self.send(&mut news).await,
                one = news.next() => match one {
                    Some(one) => self.queue.receive(one, Instant::now()),
                    None => return,
                },
                Some(answer) = self.tests.recv() => self.test(answer).await,
            }
            self.journal.set_waiting(self.queue.len());
        }
    }

    /// Sends the first, and goes on reading meanwhile.
    async fn send(&mut self, news: &mut BoxStream<'static, ReconcileNews>) {
        let Some(front) = self.queue.front().cloned() else {
            return;
        };
        let posted = {
            let sending = self.webhook.send(&front.post, jiff::Timestamp::now().as_second());
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    posted = &mut sending => break posted,
                    Some(one) = news.next() => self.queue.receive(one, Instant::now()),
                }
            }
        };
        // What waits may have pushed it out meanwhile: then it is counted as lost, and was not.
        let is_front = self.queue.front().is_some_and(|now| now.post.id == front.post.id);
        self.settle(posted, is_front);
    }

    fn settle(&mut self, posted: Posted, is_front: bool) {
        let why = match posted {
            Posted::Taken(_) => {
                self.journal.taken("", ABOUT);
                self.tries = 0;
                if is_front {
                    self.queue.sent();
                }
                return;
            }
            Posted::Later { why, after } => {
                self.not_before =
                    Instant::now() + backoff(self.tries, rand::random()).max(after.unwrap_or_default());
                why
            }
            Posted::BodyRefused { why } => {
                self.tries = TRIES;
                why
            }
            Posted::Refused { why } | Posted::Revoked { why } => {
                self.not_before = Instant::now() + REFUSED;
                self.tries = TRIES;
                why
            }
        };
        self.journal.count_failure();
        self.tries = self.tries.saturating_add(1);
        if self.tries == 1 {
            tracing::warn!("cannot send to {NAME}: {why}; trying again");
        }
        if self.tries >= TRIES {
            self.tries = 0;
            self.journal.gave_up("", ABOUT, &why);
            if is_front {
                self.queue.give_up();
            }
        }
    }

    async fn test(&mut self, answer: oneshot::Sender<Result<(), String>>) {
        let now = jiff::Timestamp::now();
        let text = "A test of the notifications of AegisOps: this destination works.";
        let post = self.webhook.notice(text, Time(now));
        let posted = self.webhook.send(&post, now.as_second()).await;
        let result = match posted.is_taken() {
            true => Ok(()),
            false => Err(posted.why().to_owned()),
        };
        if result.is_ok() {
            (self.tries, self.not_before) = (0, Instant::now());
        }
        // The caller may be gone.
        answer.send(result).unwrap_or_default();
    }
}

/// The event about one, which says how many were left out before it.
fn event(seen: &ReconcileSeen, lost: u64) -> Value {
    let data = &seen.data;
    let error = data
        .error
        .as_ref()
        .map(|error| json!({"category": error.category, "message": bound(&redact(&error.message), ERROR)}));
    json!({
        "specversion": "1.0",
        "id": seen.id,
        "source": SOURCE,
        "type": format!("io.aegisops.reconcile.{}", data.result),
        "subject": format!("{}/{}", data.kind, data.name),
        "time": seen.at,
        "datacontenttype": "application/json",
        "data": {
            "kind": data.kind,
            "name": data.name,
            "generation": data.generation,
            "trigger": data.trigger,
            "result": data.result,
            "error": error,
            "duration_ms": data.duration_ms,
            "requeue_after_ms": data.requeue_after_ms,
            "severity": seen.severity,
            "workloads": seen.workloads,
            "lost": lost,
        },
    })
}

#[cfg(test)]
mod tests;
