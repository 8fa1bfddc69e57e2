//! Notifies people, and programs, of what becomes of incidents: Slack, webhooks, mail, traces. Reads incidents and changes
//! none, but for what a person decides by a click in Slack, which the program that wires this up writes; remediation never
//! waits for any of it. Each destination has a loop, a queue and a memory of its own. `card`, `story`, `stage`, `rules`,
//! `bursts`, `digest` and `folds` are pure.

mod backoff;
mod bursts;
mod card;
mod client;
mod destination;
mod digest;
mod folds;
mod journal;
mod ledger;
mod level;
mod mail;
mod message;
mod notifier;
mod otlp;
mod outbox;
mod posted;
mod reconciles;
mod rules;
mod slack;
mod stage;
mod story;
mod webhook;

pub use bursts::Closeness;
pub use card::Look;
pub use client::ConfigError;
pub use destination::Destination;
pub use journal::Journal;
pub use ledger::LedgerError;
pub use level::{Level, UnknownLevel};
pub use mail::Mail;
pub use notifier::{Handle, Notifier, Report, Surroundings, Update};
pub use otlp::Otlp;
pub use reconciles::{FilterError, ReconcileFilter, ReconcileNews, ReconcileSeen, Reconciles};
pub use rules::Wishes;
pub use slack::app::{API, App};
pub use slack::clicks::{
    Answers, Choice, ClickCounters, Clicks, Decide, Decision, HttpAnswer, Record, RefusedClick,
};
pub use slack::incoming::Slack;
pub use slack::socket::SocketMode;
pub use webhook::Webhook;
