//! aegis-controller: parses arguments, runs, and turns an error chain into an exit code.

mod anonymous;
mod args;
mod audit_head;
mod defaults;
mod health;
mod host;
mod limits;
mod model_metrics;
mod models;
mod notifications;
mod observer;
mod reach;
mod secrets;
mod shutdown;
mod silenced;
mod telemetry;
mod tls;
mod wiring;

use std::process::ExitCode;

/// Gives back what a storm has taken; glibc's keeps an arena a thread. Set up in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let args = aegis_settings::parse::<args::Args>();
    if args.healthcheck {
        return health::check(args.listen, args.tls.is_on()).await;
    }
    telemetry::start(args.log_format);
    match wiring::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
