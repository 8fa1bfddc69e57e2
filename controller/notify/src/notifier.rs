//! The loop of one destination: incidents in, messages out. Owns what waits and what was sent. It reads the whole incident
//! each time, so an update that was missed costs nothing; no caller ever waits for it. Does I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::incident::{Phase, Stage};
use aegis_api::kinds::Kind as _;
use aegis_api::{Incident, Time};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::backoff;
use crate::bursts::{Bursts, Closeness};
use crate::card::{self, Look};
use crate::destination::Destination;
use crate::digest::Digest;
use crate::folds::Folds;
use crate::journal::Journal;
use crate::ledger::{Ledger, Root};
use crate::level::Level;
use crate::message::Message;
use crate::outbox::{Outbox, Waiting};
use crate::posted::{MessageRef, Posted};
use crate::rules::{Hearing, Storm, Wishes};
use crate::stage::{Mark, news};

/// How often one message is tried before it is given up: some ten minutes.
const TRIES: u32 = 14;
/// How long nothing is sent after the receiver itself refused.
const REFUSED: Duration = Duration::from_secs(300);
/// What a digest is about, in the log.
const DIGEST: &str = "DIGEST";
/// How long what waits is still sent at the end.
const GRACE: Duration = Duration::from_secs(3);
/// How often what is only received is saved, at most; what is sent is saved at once.
const SAVE: Duration = Duration::from_secs(1);
/// How often digests and reminders are thought of.
const TICK: Duration = Duration::from_secs(30);
/// How often people are reminded of an incident that failed and is not over.
const REMIND: aegis_api::Duration = aegis_api::Duration::from_secs(4 * 3600);
/// Most failed incidents that people are reminded of; the oldest are forgotten.
const FAILED: usize = 256;

/// What the notifier receives.
#[derive(Debug, Clone)]
pub enum Update {
    /// All incidents there are, at the start or after a gap.
    All(Vec<Arc<Incident>>),
    /// One is new or has changed.
    Changed(Arc<Incident>),
    /// One that a silence keeps from people has changed: nothing new is sent about it, but what stands there is kept true.
    Silenced(Arc<Incident>),
    /// One is gone.
    Gone(String),
}

/// Reports what did not arrive: destination, incident, why.
pub type Report = Arc<dyn Fn(&str, &str, &str) + Send + Sync>;

/// What the notifier asks of the program that wires it up. Cheap: each change of an incident calls them.
#[derive(Clone)]
pub struct Surroundings {
    /// What the policy of an incident's workload says about notifications now.
    pub wishes: Arc<dyn Fn(&Incident) -> Wishes + Send + Sync>,
    /// Whether what an incident failed at is still wrong, and no later one has taken its place.
    pub is_ongoing: Arc<dyn Fn(&Incident) -> bool + Send + Sync>,
    /// Reports a message that was given up, or a destination that was stopped: destination, incident, why.
    pub report: Report,
    /// How close alerts of a burst are: people are notified of how an incident stands when its burst is over.
    pub closeness: Closeness,
    /// What cards show beside the incident.
    pub look: Look,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("look", &self.look)
            .finish_non_exhaustive()
    }
}

/// The way to a running notifier.
#[derive(Debug, Clone)]
pub struct Handle {
    journal: Arc<Journal>,
    tests: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
}

/// Requests for test messages, each with where its outcome goes.
pub(crate) type Tests = mpsc::Receiver<oneshot::Sender<Result<(), String>>>;

impl Handle {
    pub(crate) fn new(journal: Arc<Journal>) -> (Self, Tests) {
        let (sender, tests) = mpsc::channel(1);
        (
            Self {
                journal,
                tests: sender,
            },
            tests,
        )
    }

    /// What became of its messages.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Sends a test message, past what waits. A destination that was stopped goes on if it is taken. The error is
    /// human-readable.
    pub async fn test(&self) -> Result<(), String> {
        let (answer, receiver) = oneshot::channel();
        let busy = || "a test is being sent already: try again in a moment".to_owned();
        self.tests.try_send(answer).map_err(|_| busy())?;
        receiver
            .await
            .map_err(|_| "the controller is shutting down".to_owned())?
    }
}

/// Sends what becomes of incidents to one destination.
#[derive(Debug)]
pub struct Notifier {
    destination: Destination,
    level: Level,
    around: Surroundings,
    ledger: Ledger,
    outbox: Outbox,
    journal: Arc<Journal>,
    tests: Tests,
    handle: Handle,
    started: Time,
    spacing: Duration,
    tries: u32,
    not_before: Instant,
    storm: Storm,
    bursts: Bursts,
    folds: Folds,
    /// By uid.
    failed: BTreeMap<String, Arc<Incident>>,
    /// Messages that were dropped and not reported yet.
    dropped: u64,
    stopped: Option<String>,
    /// Whether the incidents there are have been seen.
    has_seen: bool,
    saved: Instant,
}

impl Notifier {
    /// `folder` is where it remembers what was sent.
    pub async fn open(destination: Destination, level: Level, around: Surroundings, folder: PathBuf) -> Self {
        let file = folder.join(destination.name()).with_extension("json");
        let ledger = Ledger::open(file).await;
        let journal = Arc::new(Journal::new(destination.name()));
        let (handle, tests) = Handle::new(Arc::clone(&journal));
        Self {
            level: destination.level(level),
            spacing: destination.spacing(),
            destination,
            bursts: Bursts::new(around.closeness),
            around,
            ledger,
            outbox: Outbox::default(),
            journal,
            tests,
            handle,
            started: now(),
            tries: 0,
            not_before: Instant::now(),
            storm: Storm::default(),
            folds: Folds::default(),
            failed: BTreeMap::new(),
            dropped: 0,
            stopped: None,
            has_seen: false,
            saved: Instant::now(),
        }
    }

    /// Whether people read it: what is silenced is kept from them alone.
    pub fn is_for_people(&self) -> bool {
        self.destination.to().is_some()
    }

    /// The way to it once it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sends until the shutdown, and then for a moment what still waits.
    pub async fn run(mut self, mut updates: BoxStream<'static, Update>, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self.due(Instant::now());
            tokio::select! {
                () = shutdown.cancelled() => break,
                update = updates.next() => match update {
                    Some(update) => self.receive(update).await,
                    None => break,
                },
                Some(answer) = self.tests.recv() => self.test(answer).await,
                _ = tick.tick() => self.think(now()).await,
                () = sleep_until(due) => self.send_next(&mut updates).await,
            }
        }
        let rest = async {
            while self.tries == 0
                && let Some(front) = self.outbox.first(|_| false).cloned()
            {
                self.deliver(front).await;
            }
        };
        // What is not sent now is sent after the next start.
        drop(tokio::time::timeout(GRACE, rest).await);
        self.save().await;
    }

    /// What is sent next: nothing about an incident whose burst goes on.
    fn next(&self, now: Instant) -> Option<&Waiting> {
        self.outbox.first(|uid| self.bursts.until(uid, now).is_some())
    }

    /// When that is; `None` where nothing waits.
    fn due(&self, now: Instant) -> Option<Instant> {
        if self.next(now).is_some() {
            return Some(self.not_before);
        }
        let until = self
            .outbox
            .subjects()
            .filter_map(|uid| self.bursts.until(uid, now));
        until.min().map(|until| until.max(self.not_before))
    }

    async fn receive(&mut self, update: Update) {
        self.has_seen = true;
        match update {
            Update::All(incidents) => {
                for incident in &incidents {
                    self.enqueue(incident);
                }
            }
            Update::Changed(incident) => self.enqueue(&incident),
            Update::Silenced(incident) => {
                if let Some(uid) = incident.metadata.uid.as_deref() {
                    // What is not said yet comes after the silence, if it is still so.
                    if self.outbox.withhold(uid, self.ledger.root(uid).is_some()) {
                        // They were tries of one that is gone, or cost another one a few more.
                        self.tries = 0;
                    }
                    self.refresh_root(uid, &incident, false);
                    self.journal.set_waiting(self.outbox.len());
                }
            }
            Update::Gone(uid) => {
                self.failed.remove(&uid);
                self.ledger.close(&uid);
            }
        }
        // In a storm that would be a file a change; a crash repeats what was folded within the second.
        if self.saved.elapsed() >= SAVE {
            self.save().await;
        }
    }

    /// A post can take seconds, and incidents go on meanwhile: both are served at once.
    async fn send_next(&mut self, updates: &mut (impl Stream<Item = Update> + Unpin)) {
        let Some(front) = self.next(Instant::now()).cloned() else {
            return;
        };
        let mut heard = Vec::new();
        let root = self.root_of(&front);
        let posted = {
            let post = self.destination.send(&front.message, root.as_ref());
            tokio::pin!(post);
            loop {
                tokio::select! {
                    posted = &mut post => break posted,
                    Some(update) = updates.next(), if heard.len() < 1024 => heard.push(update),
                }
            }
        };
        self.settle(posted, front).await;
        for update in heard {
            self.receive(update).await;
        }
        self.save().await;
    }

    async fn deliver(&mut self, front: Waiting) {
        let root = self.root_of(&front);
        let posted = self.destination.send(&front.message, root.as_ref()).await;
        self.settle(posted, front).await;
    }

    fn root_of(&self, waiting: &Waiting) -> Option<MessageRef> {
        self.ledger.root(&waiting.uid).map(|root| root.at.clone())
    }

    fn enqueue(&mut self, incident: &Arc<Incident>) {
        let (Some(uid), Some(status)) = (incident.metadata.uid.as_deref(), &incident.status) else {
            return;
        };
        if self.ledger.digest().holds(uid) {
            self.folds.remember(incident, Instant::now());
        }
        let is_new = !self.ledger.knows(uid);
        if self.destination.tires() {
            self.bursts.note(uid, incident, is_new, Instant::now());
        }
        if is_new {
            // What had ended before this process began was posted then, or is past.
            if status.finished_at.is_some_and(|at| at < self.started) {
                return;
            }
            self.ledger.note(uid);
        }
        self.remember_failure(uid, incident);
        self.renew(uid, incident);
        let posted = self.outbox.newest(uid).or_else(|| self.ledger.mark(uid)).cloned();
        let fresh = news(&status.timeline, posted.as_ref());
        if fresh.is_empty() {
            return self.refresh_root(uid, incident, false);
        }
        let (wishes, mut passed, mut replies) = ((self.around.wishes)(incident), None, Vec::new());
        for entry in fresh {
            let mark = Mark::of(entry);
            // An earlier version ended dry runs by an entry that no level posts, and left it open: it is past.
            let is_past =
                entry.status == Stage::DryRun && status.finished_at.is_some_and(|at| at < self.started);
            let storm = self.destination.tires() && self.storm.rages(Instant::now());
            let hears =
                |storm| wishes.hears(self.destination.to(), self.level, incident, entry.status, storm);
            let (calm, hearing) = match is_past || !self.destination.takes(entry.status) {
                true => (Hearing::Never, Hearing::Never),
                false => (hears(false), hears(storm)),
            };
            // What a storm folds is part of it: else it would be over each time that a minute of it was folded.
            if calm == Hearing::Send {
                self.storm.count(Instant::now());
            }
            if hearing == Hearing::Fold {
                let subject = Folds::subject(incident);
                self.ledger.digest_mut().add(uid, &subject, entry.status);
                self.journal.count_folded();
                self.folds.remember(incident, Instant::now());
            }
            if hearing != Hearing::Send {
                passed = Some(mark);
                continue;
            }
            passed = None;
            let message = self.destination.entry(incident, entry, &self.around.look);
            replies.push(Waiting {
                incident: incident.name().to_owned(),
                mark: Some(mark),
                vital: is_end(entry.status) || entry.status == Stage::AwaitingApproval,
                ..Waiting::new(uid, entry.status.as_str(), message)
            });
        }
        self.refresh_root(uid, incident, !replies.is_empty());
        for reply in replies {
            let gone = self.outbox.push(reply);
            self.overflowed(&gone);
        }
        // Entries that become no message are settled at once, or with one before them that still waits.
        if let Some(mark) = passed.and_then(|mark| self.outbox.pass(uid, mark)) {
            self.ledger.settle(uid, mark);
        }
        self.bury_if_stopped();
        self.journal.set_waiting(self.outbox.len());
    }

    /// What waits for the end of a burst reports all that came until then.
    fn renew(&mut self, uid: &str, incident: &Incident) {
        if self.bursts.until(uid, Instant::now()).is_none() {
            return;
        }
        let timeline = incident.status.iter().flat_map(|status| &status.timeline);
        let entries: Vec<_> = timeline.map(|entry| (Mark::of(entry), entry)).collect();
        let gone = self.outbox.renew(uid, |mark| {
            let (_, entry) = entries.iter().find(|(of, _)| of == mark)?;
            Some(self.destination.entry(incident, entry, &self.around.look))
        });
        self.overflowed(&gone);
    }

    /// Brings the incident's own message up to date: where there is one, or `begin` says that there shall be.
    fn refresh_root(&mut self, uid: &str, incident: &Incident, begin: bool) {
        let Some(message) = self.destination.root(incident, &self.around.look) else {
            return;
        };
        let unchanged = match (self.outbox.root(uid), self.ledger.root(uid)) {
            (Some(waiting), _) => *waiting == message,
            (None, Some(root)) => root.says == digest(&message),
            (None, None) => !begin,
        };
        if unchanged {
            return;
        }
        let gone = self.outbox.put_root(Waiting {
            incident: incident.name().to_owned(),
            // What stands there is worth more than what led to it.
            vital: true,
            ..Waiting::new(uid, "MESSAGE", message)
        });
        self.overflowed(&gone);
        self.bury_if_stopped();
        self.journal.set_waiting(self.outbox.len());
    }

    fn overflowed(&mut self, gone: &[Waiting]) {
        for waiting in gone {
            self.give_up(waiting, "too many messages wait");
        }
    }

    async fn settle(&mut self, posted: Posted, front: Waiting) {
        let now = Instant::now();
        let why = match posted {
            Posted::Taken(at) => {
                self.taken(&front, at);
                self.not_before = now + self.spacing;
                return self.report_dropped().await;
            }
            Posted::BodyRefused { why } => {
                self.not_before = now + self.spacing;
                return self.send_plain(front, &why).await;
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
            Posted::Revoked { why } => return self.stop(&why),
        };
        self.journal.count_failure();
        self.tries += 1;
        if self.tries == 1 {
            tracing::warn!("cannot send to {}: {why}; trying again", self.destination.name());
        }
        if self.tries >= TRIES {
            self.give_up(&front, &why);
            self.done(&front);
        }
    }

    /// Better a plain line than nothing.
    async fn send_plain(&mut self, front: Waiting, why: &str) {
        let plain = Destination::plainer(&front.message);
        let root = self.root_of(&front);
        let posted = match &plain {
            Some(plain) => self.destination.send(plain, root.as_ref()).await,
            None => Posted::BodyRefused { why: String::new() },
        };
        match posted {
            Posted::Taken(at) => {
                tracing::warn!(
                    "a message to {} was refused ({why}) and sent as plain text",
                    self.destination.name()
                );
                self.taken(&front, at);
            }
            _ => {
                self.journal.count_failure();
                self.give_up(&front, why);
                self.done(&front);
            }
        }
    }

    fn taken(&mut self, front: &Waiting, at: Option<MessageRef>) {
        self.journal.taken(&front.incident, front.about);
        if front.about == DIGEST {
            self.ledger.set_reported();
        }
        self.bursts.posted(&front.uid);
        if let (Message::Root(_), Some(at)) = (&front.message, at) {
            let says = digest(&front.message);
            self.ledger.set_root(&front.uid, Root { at, says });
        }
        self.done(front);
    }

    /// The message in front is settled, unless it was dropped or replaced meanwhile.
    fn done(&mut self, front: &Waiting) {
        self.tries = 0;
        // What was passed since it was sent is known of the one in the outbox.
        let sent = self.outbox.take(front.number);
        if let Some(mark) = sent.as_ref().and_then(Waiting::settled) {
            // Also after the last one: a repeat of the alert changes the incident once more.
            self.ledger.settle(&front.uid, mark.clone());
        }
        self.journal.set_waiting(self.outbox.len());
    }

    fn give_up(&mut self, waiting: &Waiting, why: &str) {
        tracing::warn!("a message to {} was given up: {why}", self.destination.name());
        self.dropped += 1;
        self.bury(waiting, why);
    }

    fn bury(&mut self, waiting: &Waiting, why: &str) {
        if waiting.about == DIGEST {
            self.ledger.fold_again();
        }
        self.journal.gave_up(&waiting.incident, waiting.about, why);
        if !waiting.incident.is_empty() {
            (self.around.report)(self.destination.name(), &waiting.incident, why);
        }
    }

    /// Nothing is sent any more, and it is reported once.
    fn stop(&mut self, why: &str) {
        self.journal.count_failure();
        let name = self.destination.name();
        tracing::error!(
            "{name} takes nothing any more ({why}): nothing is sent until it is set right and `aegisctl notify test` succeeds"
        );
        self.journal.set_stopped(Some(why));
        self.stopped = Some(why.to_owned());
        self.tries = 0;
        self.bury_if_stopped();
        self.journal.set_waiting(self.outbox.len());
    }

    fn bury_if_stopped(&mut self) {
        let Some(why) = self.stopped.clone() else { return };
        for waiting in self.outbox.take_all() {
            self.bury(&waiting, &why);
            self.dropped += 1;
            if let Some(mark) = waiting.settled() {
                self.ledger.settle(&waiting.uid, mark.clone());
            }
        }
    }

    async fn report_dropped(&mut self) {
        let count = std::mem::take(&mut self.dropped);
        if count == 0 || self.destination.to().is_none() {
            return;
        }
        let text = format!("{count} earlier messages were dropped: they were taken too slowly or refused");
        let notice = self.destination.notice(&text, now());
        if !self.destination.send(&notice, None).await.is_taken() {
            self.dropped += count;
        }
    }

    async fn test(&mut self, answer: oneshot::Sender<Result<(), String>>) {
        let text = "A test of the notifications of AegisOps: this destination works.";
        let message = self.destination.notice(text, now());
        let posted = self.destination.send(&message, None).await;
        let result = match posted.is_taken() {
            true => Ok(()),
            false => Err(posted.why().to_owned()),
        };
        if result.is_ok() {
            if self.stopped.take().is_some() {
                tracing::info!("{} takes messages again", self.destination.name());
            }
            self.journal.set_stopped(None);
            self.tries = 0;
            self.not_before = Instant::now();
        }
        // The caller may be gone.
        answer.send(result).unwrap_or_default();
    }

    /// What is due by the clock: a digest after quiet hours or a storm, reminders.
    async fn think(&mut self, now: Time) {
        if self.stopped.is_some() {
            return;
        }
        if let Some(digest) = self.due_digest() {
            tracing::info!(
                "{} messages to {} were folded",
                digest.messages(),
                self.destination.name()
            );
            let message = self.destination.notice(&digest.words(), now);
            let gone = self.outbox.push(Waiting {
                vital: true,
                ..Waiting::new("", DIGEST, message)
            });
            self.overflowed(&gone);
        }
        self.remind(now);
        self.journal.set_waiting(self.outbox.len());
        self.save().await;
    }

    fn due_digest(&mut self) -> Option<Digest> {
        if !self.has_seen {
            return None;
        }
        let now = Instant::now();
        let (storm, wishes, folds) = (self.storm.rages(now), &self.around.wishes, &mut self.folds);
        let is_quiet = |incident: &Arc<Incident>| wishes(incident).quiet;
        self.ledger
            .take_folded(|digest| folds.take_due(digest, is_quiet, storm, now))
    }

    fn remember_failure(&mut self, uid: &str, incident: &Arc<Incident>) {
        let phase = incident.status.as_ref().map(|status| status.phase);
        if phase != Some(Phase::Failed) || self.destination.to().is_none() {
            self.failed.remove(uid);
            return;
        }
        self.failed.insert(uid.to_owned(), Arc::clone(incident));
        while self.failed.len() > FAILED {
            let ended = |incident: &Incident| incident.status.as_ref().and_then(|status| status.finished_at);
            let oldest = self.failed.iter().min_by_key(|(_, incident)| ended(incident));
            let Some(oldest) = oldest.map(|(uid, _)| uid.clone()) else {
                break;
            };
            self.failed.remove(&oldest);
        }
    }

    /// Reminds people of what failed and is still wrong, every four hours.
    fn remind(&mut self, now: Time) {
        let mut due = Vec::new();
        for (uid, incident) in &self.failed {
            let Some(ended) = incident.status.as_ref().and_then(|status| status.finished_at) else {
                continue;
            };
            let times = ended.age(now).as_secs() / REMIND.std().as_secs();
            if times > self.ledger.reminded(uid) && (self.around.is_ongoing)(incident) {
                due.push((uid.clone(), Arc::clone(incident), times));
            }
        }
        for (uid, incident, times) in due {
            self.ledger.remind(&uid, times);
            let wishes = (self.around.wishes)(&incident);
            let hearing = wishes.hears(self.destination.to(), self.level, &incident, Stage::Failed, false);
            if hearing != Hearing::Send {
                continue;
            }
            let hours = times * (REMIND.std().as_secs() / 3600);
            let error = incident
                .status
                .as_ref()
                .and_then(|status| status.error.clone())
                .unwrap_or_default();
            let text = format!(
                "❌ Still not solved after {hours} h: {} on {} (incident {}): {error}",
                incident.spec.alert_type,
                card::subject(&incident),
                incident.name()
            );
            let message = self.destination.notice(&text, now);
            let gone = self.outbox.push(Waiting {
                incident: incident.name().to_owned(),
                vital: true,
                // In the channel, not in the thread of hours ago.
                ..Waiting::new("", "REMINDER", message)
            });
            self.overflowed(&gone);
        }
    }

    async fn save(&mut self) {
        self.saved = Instant::now();
        if let Err(error) = self.ledger.save().await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!("{error}: {}", cause.unwrap_or_default());
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn now() -> Time {
    aegis_clock::now()
}

fn is_end(stage: Stage) -> bool {
    matches!(stage, Stage::Resolved | Stage::Failed | Stage::DryRun)
}

/// What a message says, as a hash that is kept.
fn digest(message: &Message) -> String {
    let text = match message {
        Message::Root(body) => body.to_string(),
        _ => String::new(),
    };
    let hash = Sha256::digest(text);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
