//! The REST routes of the earlier system, unchanged for its clients. Every answer is a view of resources; the shapes are
//! `aegis_api::wire`.

mod alert;
mod book;
mod bursts;
mod host;
mod incidents;
mod keyed_mutex;
mod rate;
mod runbook;
mod scale;
mod tally;
mod webhook;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use alert::{Alert, Ended, Known, Message, NOTED, WEBHOOK, names_something, pairs, read_value};
pub(crate) use book::Book;
pub(crate) use bursts::Bursts;
pub(crate) use incidents::by_age;
pub(crate) use keyed_mutex::KeyedMutex;
pub(crate) use rate::Rate;
pub(crate) use tally::Tally;
pub use tally::tally;
pub(crate) use webhook::{Taken, take, take_at};

use crate::state::ServerState;

/// Routes that need a role.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::get))
        .route("/containers", get(host::containers))
        .route("/metrics", get(host::metrics))
        .route("/metrics/history", get(host::history))
        .route("/metrics/host", get(host::of_the_host))
        .route("/metrics/load-balancers", get(host::load_balancers))
        .route("/metrics/workloads", get(host::workloads))
        .route("/detectors", get(host::detectors))
        .route("/topology", get(host::topology))
        .route("/scale/{direction}", post(scale::scale))
        .route("/runbook", get(runbook::list))
        .route("/rag/test", get(runbook::recall))
}

/// Routes that are open.
pub(crate) fn open_routes() -> Router<ServerState> {
    Router::new().route("/health", get(host::health))
}

#[cfg(test)]
mod tests;
