//! buggy-app: the patient. A small service with a fault for every occasion and a monitor that calls for help.

mod args;
mod cgroup;
mod episode;
mod faults;
mod healthcheck;
mod monitor;
mod params;
mod routes;
mod server;
mod webhook;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = aegis_settings::parse::<args::Args>();
    let filter = aegis_settings::variable("RUST_LOG").and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .init();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: args::Args) -> anyhow::Result<()> {
    if args.healthcheck {
        return healthcheck::ask(args.port);
    }
    tokio::runtime::Runtime::new()?.block_on(server::run(args))
}
