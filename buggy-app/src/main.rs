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

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
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
