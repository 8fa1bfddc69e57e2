//! The loop: incidents in, posts out. Owns what waits and what was posted. It reads the whole incident each time, so
//! an update that was missed costs nothing; no caller ever waits for it. Does I/O.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aegis_api::incident::Stage;
use aegis_api::{Incident, Time};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::card;
use crate::ledger::Ledger;
use crate::level::Level;
use crate::outbox::{Outbox, Waiting};
use crate::slack::{Posted, Slack};
use crate::stage::{Mark, news};

/// The first pause after a failed post; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// How often one card is tried before it is given up: some ten minutes.
const TRIES: u32 = 14;
/// How long nothing is posted after the webhook itself was refused.
const REFUSED: Duration = Duration::from_secs(300);
/// Between two posts: Slack takes about one a second.
const SPACING: Duration = Duration::from_secs(1);
/// How long what waits is still posted at the end.
const GRACE: Duration = Duration::from_secs(3);

/// What the notifier receives.
#[derive(Debug, Clone)]
pub enum Update {
    /// All incidents there are, at the start or after a gap.
    All(Vec<Arc<Incident>>),
    /// One is new or has changed.
    Changed(Arc<Incident>),
    /// One is gone.
    Gone(String),
}

/// What became of cards, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicU64,
}

impl Counters {
    /// Cards that were posted.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Cards that were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Cards that wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Posts what becomes of incidents to a Slack webhook.
#[derive(Debug)]
pub struct Notifier {
    slack: Slack,
    level: Level,
    ledger: Ledger,
    outbox: Outbox,
    counters: Arc<Counters>,
    started: Time,
    spacing: Duration,
    tries: u32,
    not_before: Instant,
}

impl Notifier {
    /// `file` is where it remembers what was posted.
    pub async fn open(slack: Slack, level: Level, file: PathBuf) -> Self {
        Self::with(slack, level, Ledger::open(file).await)
    }

    fn with(slack: Slack, level: Level, ledger: Ledger) -> Self {
        Self {
            slack,
            level,
            ledger,
            outbox: Outbox::default(),
            counters: Arc::default(),
            started: Time(jiff::Timestamp::now()),
            spacing: SPACING,
            tries: 0,
            not_before: Instant::now(),
        }
    }

    /// What became of cards.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Posts until the shutdown, and then for a moment what still waits.
    pub async fn run(mut self, mut updates: BoxStream<'static, Update>, shutdown: CancellationToken) {
        loop {
            let due = self.outbox.front().is_some();
            tokio::select! {
                () = shutdown.cancelled() => break,
                update = updates.next() => match update {
                    Some(update) => self.receive(update).await,
                    None => break,
                },
                () = tokio::time::sleep_until(self.not_before), if due => self.post_next(&mut updates).await,
            }
        }
        let rest = async {
            while self.outbox.front().is_some() && self.tries == 0 {
                self.deliver().await;
            }
        };
        // What is not posted now is posted after the next start.
        drop(tokio::time::timeout(GRACE, rest).await);
        self.save().await;
    }

    async fn receive(&mut self, update: Update) {
        match update {
            Update::All(incidents) => {
                for incident in &incidents {
                    self.enqueue(incident);
                }
            }
            Update::Changed(incident) => self.enqueue(&incident),
            Update::Gone(uid) => self.ledger.close(&uid),
        }
        self.save().await;
    }

    /// A post can take seconds, and incidents go on meanwhile: both are served at once.
    async fn post_next(&mut self, updates: &mut (impl Stream<Item = Update> + Unpin)) {
        let Some(front) = self.outbox.front() else {
            return;
        };
        let (card, mark) = (front.card.clone(), front.mark.clone());
        let mut heard = Vec::new();
        let posted = {
            let post = self.slack.post(&card);
            tokio::pin!(post);
            loop {
                tokio::select! {
                    posted = &mut post => break posted,
                    Some(update) = updates.next(), if heard.len() < 1024 => heard.push(update),
                }
            }
        };
        self.settle(posted, &mark).await;
        for update in heard {
            self.receive(update).await;
        }
        self.save().await;
    }

    async fn deliver(&mut self) {
        let Some(front) = self.outbox.front() else {
            return;
        };
        let (card, mark) = (front.card.clone(), front.mark.clone());
        let posted = self.slack.post(&card).await;
        self.settle(posted, &mark).await;
    }

    fn enqueue(&mut self, incident: &Incident) {
        let (Some(uid), Some(status)) = (incident.metadata.uid.as_deref(), &incident.status) else {
            return;
        };
        if !self.ledger.knows(uid) {
            // What had ended before this process began was posted then, or is past.
            if status.finished_at.is_some_and(|at| at < self.started) {
                return;
            }
            self.ledger.note(uid);
        }
        let posted = self.outbox.newest(uid).or_else(|| self.ledger.mark(uid)).cloned();
        let fresh = news(&status.timeline, posted.as_ref());
        let mut passed = None;
        for entry in fresh {
            let mark = Mark::of(entry);
            // An earlier version ended dry runs by an entry that no level posts, and left it open: it is past.
            let is_past =
                entry.status == Stage::DryRun && status.finished_at.is_some_and(|at| at < self.started);
            if is_past || !self.level.wants(entry.status) {
                passed = Some(mark);
                continue;
            }
            passed = None;
            let vital = is_end(entry.status) || entry.status == Stage::AwaitingApproval;
            self.outbox
                .push(Waiting::new(uid, mark, vital, card::card(incident, entry)));
        }
        // Entries that become no card are settled at once, unless a card before them still waits.
        if let Some(mark) = passed
            && self.outbox.newest(uid).is_none()
        {
            self.ledger.settle(uid, mark);
        }
        self.note_dropped();
    }

    async fn settle(&mut self, posted: Posted, mark: &Mark) {
        let now = Instant::now();
        let why = match posted {
            Posted::Taken => {
                self.counters.sent.fetch_add(1, Ordering::Relaxed);
                self.done(mark);
                self.not_before = now + self.spacing;
                return self.report_dropped().await;
            }
            Posted::BodyRefused { why } => {
                // Better a plain line than nothing.
                if let Some(front) = self.outbox.front()
                    && self.slack.post(&card::plain(&front.card)).await == Posted::Taken
                {
                    tracing::warn!("a card was refused ({why}) and sent as plain text");
                    self.counters.sent.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.give_up(&why, 1);
                }
                self.done(mark);
                self.not_before = now + self.spacing;
                return;
            }
            Posted::Later { why, after } => {
                let pause = backoff(self.tries, rand::random()).max(after.unwrap_or_default());
                self.not_before = now + pause;
                why
            }
            Posted::Refused { why } => {
                self.not_before = now + REFUSED;
                self.tries = TRIES;
                why
            }
        };
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        self.tries += 1;
        if self.tries == 1 {
            tracing::warn!("cannot post to Slack: {why}; trying again");
        }
        if self.tries >= TRIES {
            self.give_up(&why, 1);
            self.done(mark);
        }
    }

    /// The card in front is settled, unless it was dropped meanwhile.
    fn done(&mut self, mark: &Mark) {
        self.tries = 0;
        if self.outbox.front().is_none_or(|front| front.mark != *mark) {
            return;
        }
        if let Some(card) = self.outbox.take() {
            // Also after the last one: a repeat of the alert changes the incident once more.
            self.ledger.settle(&card.uid, card.mark);
        }
        self.counters.waiting.store(
            u64::try_from(self.outbox.len()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn give_up(&mut self, why: &str, count: u64) {
        tracing::warn!("{count} card for Slack was given up: {why}");
        self.outbox.count_dropped(count);
        self.counters.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn note_dropped(&self) {
        self.counters.waiting.store(
            u64::try_from(self.outbox.len()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    async fn report_dropped(&mut self) {
        let count = self.outbox.take_dropped();
        if count > 0 && self.slack.post(&card::dropped(count)).await != Posted::Taken {
            self.outbox.count_dropped(count);
        }
    }

    async fn save(&mut self) {
        if let Err(error) = self.ledger.save().await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!("{error}: {}", cause.unwrap_or_default());
        }
    }
}

fn is_end(stage: Stage) -> bool {
    matches!(stage, Stage::Resolved | Stage::Failed | Stage::DryRun)
}

/// Half of the pause is fixed and half is jitter; `dice` is uniform in 0 to 1.
fn backoff(tries: u32, dice: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST);
    doubled / 2 + (doubled / 2).mul_f64(dice)
}

#[cfg(test)]
mod tests;
