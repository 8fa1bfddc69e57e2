//! Alerts in every sender's language: `/webhook` recognises who sent a body, `/webhook/<name>` goes by its name in the URL. A reader a
//! sender turns a body into [`report::Report`]s; what becomes of each is decided where our own alerts are taken in
//! ([`crate::compat`]). What cannot be read is kept and reported, never lost.

mod alertmanager;
mod ambiguous;
mod authenticity;
mod body;
mod bytes;
mod cloud_events;
pub(crate) mod desk;
mod endings;
mod forms;
mod grafana;
mod instruments;
mod mapped;
mod ours;
mod pagerduty;
mod pagerduty_webhook;
mod proof;
mod released;
pub(crate) mod report;
mod sender;
mod sns;
mod taking;
mod unreadable;

use std::path::Path;

use axum::Router;
use axum::routing::post;

use crate::compat::Rate;
use crate::state::ServerState;
use endings::Endings;
use unreadable::Unreadable;

pub use instruments::IntakeMetrics;
pub(crate) use proof::{admit, prove};
pub use released::release;

/// Failed proofs a second that an address may send.
const FAILURES: u32 = 1;

/// What the intake remembers.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) unreadable: Unreadable,
    pub(crate) endings: Endings,
    /// Proofs that failed, by address.
    pub(crate) failures: Rate,
}

impl Intake {
    /// `state_dir`: where what is unreadable is kept, in a folder of its own.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            unreadable: Unreadable::new(state_dir.join(".intake").join("unreadable")),
            endings: Endings::default(),
            failures: Rate::new(FAILURES),
        }
    }
}

/// The addresses of alerts.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/webhook", post(taking::recognised))
        .route("/webhook/", post(taking::recognised))
        .route("/webhook/{source}", post(taking::of_source))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
