//! The kinds of destinations: what each is sent about an incident, and how. What they have in common, the queue and its
//! retries, is the notifier's. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::incident::{Stage, TimelineEntry};
use aegis_api::policy::NotifyTo;
use aegis_api::{Incident, Time};
use serde_json::json;

use crate::card::{self, Look};
use crate::level::Level;
use crate::mail::{Letter, Mail};
use crate::message::Message;
use crate::otlp::Otlp;
use crate::posted::{MessageRef, Posted};
use crate::slack::app::App;
use crate::slack::incoming::Slack;
use crate::story::Story;
use crate::webhook::Webhook;

/// Where notifications go.
#[derive(Debug)]
pub enum Destination {
    /// Slack's incoming webhook: a card a stage.
    Slack(Slack),
    /// A Slack app: a message an incident, updated in place, the stages in its thread.
    SlackApp(Arc<App>),
    /// The generic webhook.
    Webhook(Webhook),
    /// Mail.
    Email(Mail),
    /// A collector of traces: one an incident, once it has ended.
    Otlp(Otlp),
}

impl Destination {
    /// Its name, also that of its file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::SlackApp(_) => "slack-app",
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
            Self::Otlp(_) => "otlp",
        }
    }

    /// As policies name it; `None` for what is no person.
    pub(crate) fn to(&self) -> Option<NotifyTo> {
        match self {
            Self::Slack(_) => Some(NotifyTo::Slack),
            Self::SlackApp(_) => Some(NotifyTo::SlackApp),
            Self::Webhook(_) => Some(NotifyTo::Webhook),
            Self::Email(_) => Some(NotifyTo::Email),
            Self::Otlp(_) => None,
        }
    }

    /// The stages that are sent, where `level` is configured.
    pub(crate) fn level(&self, level: Level) -> Level {
        match self {
            Self::Otlp(_) => Level::End,
            _ => level,
        }
    }

    /// Whether a stage is sent at all.
    pub(crate) fn takes(&self, stage: Stage) -> bool {
        !matches!(self, Self::Otlp(_)) || matches!(stage, Stage::Resolved | Stage::Failed | Stage::DryRun)
    }

    /// Whether it is read by people, whom a storm tires. A program gets every CloudEvent.
    pub(crate) fn tires(&self) -> bool {
        match self {
            Self::Slack(_) | Self::SlackApp(_) | Self::Email(_) => true,
            Self::Webhook(webhook) => webhook.is_for_people(),
            Self::Otlp(_) => false,
        }
    }

    /// Between two messages. Slack takes about one a second.
    pub(crate) fn spacing(&self) -> Duration {
        match self {
            Self::Slack(_) | Self::SlackApp(_) | Self::Email(_) => Duration::from_secs(1),
            Self::Webhook(_) | Self::Otlp(_) => Duration::from_millis(20),
        }
    }

    /// What is sent about one entry of an incident's timeline.
    pub(crate) fn entry(&self, incident: &Incident, entry: &TimelineEntry, look: &Look) -> Message {
        let story = || Story::of(incident, entry, look);
        match self {
            Self::Slack(_) => Message::Card(card::card(incident, entry, look)),
            Self::SlackApp(_) => {
                let mut reply = card::card(incident, entry, &Look::default());
                // A message that is updated in place notifies no person; what requires one does.
                let shout = matches!(entry.status, Stage::AwaitingApproval | Stage::Failed);
                if let Some(fields) = reply.as_object_mut().filter(|_| shout) {
                    fields.insert("reply_broadcast".to_owned(), true.into());
                }
                Message::Reply(reply)
            }
            Self::Webhook(webhook) => Message::Post(webhook.render(&story())),
            Self::Email(_) => Message::Mail(Box::new(Letter::of(&story()))),
            Self::Otlp(otlp) => Message::Trace(otlp.render(incident)),
        }
    }

    /// The incident's own message, where it has one.
    pub(crate) fn root(&self, incident: &Incident, look: &Look) -> Option<Message> {
        matches!(self, Self::SlackApp(_)).then(|| Message::Root(card::root::card(incident, look)))
    }

    /// A line that is about no entry of a timeline: what was dropped, a digest, a reminder, a test.
    pub(crate) fn notice(&self, text: &str, now: Time) -> Message {
        match self {
            Self::Slack(_) => Message::Card(card::notice(text)),
            Self::SlackApp(_) => Message::Reply(card::notice(text)),
            Self::Webhook(webhook) => Message::Post(webhook.notice(&crate::story::text(text), now)),
            Self::Email(_) => Message::Mail(Box::new(Letter::notice(&crate::story::text(text)))),
            Self::Otlp(otlp) => Message::Trace(otlp.nothing()),
        }
    }

    /// The same without what a receiver may have refused; `None` where there is nothing plainer.
    pub(crate) fn plainer(message: &Message) -> Option<Message> {
        let plain = |body: &serde_json::Value| {
            let mut plain = json!({ "text": body.get("text").cloned().unwrap_or_default() });
            if let (Some(shout), Some(fields)) = (body.get("reply_broadcast"), plain.as_object_mut()) {
                fields.insert("reply_broadcast".to_owned(), shout.clone());
            }
            plain
        };
        match message {
            Message::Card(body) => Some(Message::Card(plain(body))),
            Message::Root(body) => Some(Message::Root(plain(body))),
            Message::Reply(body) => Some(Message::Reply(plain(body))),
            Message::Post(_) | Message::Mail(_) | Message::Trace(_) => None,
        }
    }

    /// Sends one message; `root` is where the incident's own message stands.
    pub(crate) async fn send(&self, message: &Message, root: Option<&MessageRef>) -> Posted {
        match (self, message) {
            (Self::Slack(slack), Message::Card(card)) => slack.post(card).await,
            (Self::SlackApp(app), Message::Root(card)) => app.root(card, root).await,
            (Self::SlackApp(app), Message::Reply(card)) => app.reply(card, root).await,
            (Self::Webhook(webhook), Message::Post(post)) => {
                webhook.send(post, aegis_clock::timestamp().as_second()).await
            }
            (Self::Email(mail), Message::Mail(letter)) => mail.send(letter).await,
            (Self::Otlp(otlp), Message::Trace(trace)) => otlp.send(trace).await,
            _ => Posted::BodyRefused {
                why: "it is no message for this destination".to_owned(),
            },
        }
    }
}
