//! `make bench`: what AegisOps adds to what Docker itself costs, as ratios measured in one run. The floor and ours take
//! turns, so that a busy machine slows both; medians are compared. Nothing here passes or fails.
//!
//! `AEGIS_BENCH_ROUNDS` says how often each is measured, `AEGIS_BENCH_ONLY` which (such as `heal,eject`), `AEGIS_BENCH_CHANGES`
//! how many changes of servers long streams outlive.

mod autoscale;
mod by_dns;
mod by_hand;
mod crowd;
mod detect;
mod evaluate;
mod healing;
mod log_reading;
mod long_streams;
mod memory;
mod name_server;
mod report;
mod scaling;
mod serving;
mod stack;
mod storm;

use crate::report::say;

/// How often one thing is measured, floor and ours each.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let rounds = std::env::var("AEGIS_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS);
    say(&format!(
        "{rounds} rounds each, floor and ours in turn; medians; a budget is a ratio\n"
    ));
    say(&format!(
        "{:<52} {:>9} {:>9} {:>7} {:>8}",
        "what", "floor", "ours", "ratio", "budget"
    ));
    let only = std::env::var("AEGIS_BENCH_ONLY").unwrap_or_default();
    let asked = |row: &str| only.is_empty() || only.split(',').any(|name| name == row);
    if asked("mttr") {
        healing::mttr_in_place(rounds).await;
        healing::mttr_without_balancer(rounds).await;
        healing::mttr_behind_a_stand_in(rounds).await;
    }
    if asked("heal") {
        healing::removed_by_force(rounds).await;
        healing::killed(rounds).await;
    }
    if asked("eject") {
        healing::eject(rounds).await;
    }
    if asked("scale") {
        scaling::scale(rounds).await;
    }
    if asked("autoscale") {
        autoscale::autoscale(rounds).await;
    }
    if asked("serving") {
        serving::serving(rounds).await;
    }
    if asked("webhook") {
        crowd::webhook().await;
    }
    if asked("acknowledged") {
        storm::acknowledged().await;
    }
    if asked("storm") {
        storm::memory_after().await;
    }
    if asked("detect") {
        detect::detect(rounds).await;
    }
    if asked("idle") {
        crowd::idle_with_detectors().await;
    }
    if asked("logs") {
        log_reading::log_reading().await;
    }
    if asked("evaluate") {
        evaluate::evaluate(rounds).await;
    }
    if asked("crowd") {
        crowd::crowd().await;
    }
    if asked("memory") {
        memory::memory().await;
    }
}
