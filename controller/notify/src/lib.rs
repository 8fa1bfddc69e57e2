//! Notifies people of what becomes of an incident: one card a stage, sent to a Slack incoming webhook. Reads incidents
//! and changes none; remediation never waits for it. `card` and `stage` are pure; `slack` and `ledger` do I/O.

mod card;
mod ledger;
mod level;
mod notifier;
mod outbox;
mod slack;
mod stage;

pub use ledger::LedgerError;
pub use level::{Level, UnknownLevel};
pub use notifier::{Counters, Notifier, Update};
pub use slack::{ConfigError, Slack};
