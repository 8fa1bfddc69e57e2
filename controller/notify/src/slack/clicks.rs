//! Clicks in Slack: who may, whether the request is Slack's, and the answer that only the clicker sees. Does I/O through
//! what it is given: the decision itself is written by the program that wires this crate up. Both ways in, signed requests
//! and Socket Mode, end in [`Clicks::interaction`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::app::App;
use super::click::{Click, Subject, Verb, payload};
use super::signature::verify;
use crate::posted::Posted;

/// Most answers that wait to be sent to clickers.
const ANSWERS: usize = 64;
/// How often an answer is tried.
const TRIES: u32 = 3;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Slack shows the user an error after three seconds.
const DECIDE_WITHIN: Duration = Duration::from_millis(2_500);

/// How long a click silences.
const SILENCE: aegis_api::Duration = aegis_api::Duration::from_secs(3_600);

/// What a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The plan is to be carried out.
    Approve,
    /// The plan is rejected.
    Reject,
    /// The incident's workload is to be silenced for so long.
    Silence(aegis_api::Duration),
}

/// What a person decided by a click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The incident's name.
    pub incident: String,
    /// Its uid.
    pub uid: String,
    /// The hash of the plan that they saw; empty for a silence.
    pub plan: String,
    /// What they chose.
    pub choice: Choice,
    /// Who: `slack:U123 (ada)`.
    pub by: String,
}

/// Writes a decision, durably, before it answers. The error is shown to the person: why it does not count. The same
/// decision again by the same person is no error.
pub type Decide = Arc<dyn Fn(Decision) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A click that does not count, for the audit log. Slack vouches for who clicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClick {
    /// Who: `slack:U123 (ada)`.
    pub by: String,
    /// The incident that the button names; empty where it names none.
    pub incident: String,
    /// What they chose: `approve`, `reject`, `silence`.
    pub choice: &'static str,
    /// Why it does not count.
    pub why: String,
}

/// Records a click that does not count. Its time is part of the click's.
pub type Record = Arc<dyn Fn(RefusedClick) -> BoxFuture<'static, ()> + Send + Sync>;

/// How an HTTP request of Slack's is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAnswer {
    /// 200 without a body.
    Taken,
    /// 401: it is not Slack's, or no signing secret is configured.
    Forged,
    /// 400: it is Slack's, and cannot be read.
    Unreadable,
    /// 503: it could not be decided in time; Slack shows an error, and the person may click again.
    TryAgain,
}

/// What became of clicks, for metrics.
#[derive(Debug, Default)]
pub struct ClickCounters {
    decided: AtomicU64,
    refused: AtomicU64,
    forged: AtomicU64,
}

impl ClickCounters {
    /// Decisions that were written.
    pub fn decided(&self) -> u64 {
        self.decided.load(Ordering::Relaxed)
    }

    /// Clicks that were refused: not an approver, a stale plan.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests whose signature is none of Slack's.
    pub fn forged(&self) -> u64 {
        self.forged.load(Ordering::Relaxed)
    }
}

/// Takes clicks.
pub struct Clicks {
    approvers: BTreeSet<String>,
    signing_secret: Option<SecretString>,
    decide: Decide,
    record: Record,
    answers: mpsc::Sender<Answer>,
    counters: ClickCounters,
}

impl std::fmt::Debug for Clicks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clicks")
            .field("approvers", &self.approvers)
            .finish_non_exhaustive()
    }
}

/// Sends the answers to those who clicked; a task of its own, so that no click waits for it.
#[derive(Debug)]
pub struct Answers {
    app: Arc<App>,
    receiver: mpsc::Receiver<Answer>,
}

#[derive(Debug)]
struct Answer {
    channel: String,
    user: String,
    text: String,
}

impl Clicks {
    /// `approvers` are the ids of those whose clicks count (`U…`); without any, no click does.
    pub fn new(
        app: Arc<App>,
        approvers: impl IntoIterator<Item = String>,
        signing_secret: Option<SecretString>,
        decide: Decide,
        record: Record,
    ) -> (Self, Answers) {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let clicks = Self {
            approvers: approvers.into_iter().collect(),
            signing_secret,
            decide,
            record,
            answers,
            counters: ClickCounters::default(),
        };
        (clicks, Answers { app, receiver })
    }

    /// What became of clicks.
    pub fn counters(&self) -> &ClickCounters {
        &self.counters
    }

    /// One request to `/slack/interactions`; `now` is in seconds since 1970.
    pub async fn http(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: i64,
    ) -> HttpAnswer {
        let Some(secret) = &self.signing_secret else {
            return HttpAnswer::Forged;
        };
        if let Err(why) = verify(secret, timestamp, signature, body, now) {
            self.counters.forged.fetch_add(1, Ordering::Relaxed);
            // Anybody can send these: they are counted, and fill no log. The server's audit log bounds them.
            tracing::debug!("a request to /slack/interactions was refused: {why}");
            return HttpAnswer::Forged;
        }
        let Some(payload) = payload(body) else {
            return HttpAnswer::Unreadable;
        };
        match self.interaction(&payload).await {
            true => HttpAnswer::Taken,
            false => HttpAnswer::TryAgain,
        }
    }

    /// One interaction that Slack vouches for. Whether it was dealt with: otherwise Slack may send it again.
    pub(crate) async fn interaction(&self, payload: &Value) -> bool {
        let Some(click) = Click::of(payload) else {
            return true;
        };
        let Ok(decided) = tokio::time::timeout(DECIDE_WITHIN, self.decided(&click)).await else {
            tracing::warn!("a decision by {} could not be written in time", click.by());
            return false;
        };
        match decided {
            Ok(()) => {
                self.counters.decided.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!("a click by {} does not count: {why}", click.by());
                let refused = RefusedClick {
                    by: click.by(),
                    incident: click.subject.map(|subject| subject.incident).unwrap_or_default(),
                    choice: click.verb.as_str(),
                    why: why.clone(),
                };
                (self.record)(refused).await;
                let answer = Answer {
                    channel: click.channel,
                    user: click.user,
                    text: crate::card::line(&format!("Nothing was done: {why}")),
                };
                if self.answers.try_send(answer).is_err() {
                    tracing::warn!("too many answers to clicks wait: one was dropped");
                }
            }
        }
        true
    }

    async fn decided(&self, click: &Click) -> Result<(), String> {
        if !self.approvers.contains(&click.user) {
            return Err(format!(
                "{} may not decide on plans; who may is set by SLACK_APPROVERS",
                click.by()
            ));
        }
        let Some(Subject { incident, uid, plan }) = click.subject.clone() else {
            return Err("the button names no plan".to_owned());
        };
        let decision = Decision {
            incident,
            uid,
            plan,
            choice: match click.verb {
                Verb::Approve => Choice::Approve,
                Verb::Reject => Choice::Reject,
                Verb::Silence => Choice::Silence(SILENCE),
            },
            by: click.by(),
        };
        (self.decide)(decision).await
    }
}

impl Answers {
    /// Sends until the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while let Some(Some(answer)) = shutdown.run_until_cancelled(self.receiver.recv()).await {
            let sending = self.send(&answer);
            if shutdown.run_until_cancelled(sending).await.is_none() {
                return;
            }
        }
        shutdown.cancelled().await;
    }

    async fn send(&self, answer: &Answer) {
        for _ in 0..TRIES {
            let posted = self
                .app
                .ephemeral(&answer.channel, &answer.user, &answer.text)
                .await;
            match posted {
                Posted::Taken(_) => return,
                Posted::Later { after, .. } => {
                    let pause = after.unwrap_or(Duration::from_secs(1)).min(LONGEST_PAUSE);
                    tokio::time::sleep(pause).await;
                }
                other => return tracing::warn!("the answer to a click was not taken: {}", other.why()),
            }
        }
        tracing::warn!("the answer to a click was given up");
    }
}
