//! aegis-dashboard: the legacy pages. Asks the controller over REST as any other client, and renders what it heard on the
//! server: no script runs in the browser, and nothing here changes anything. Wiring only.

mod args;
mod board;
mod chart;
mod client;
mod door;
mod page;
mod serve;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use args::Args;
use board::Board;
use client::Client;
use page::Pages;

#[tokio::main]
async fn main() -> ExitCode {
    let args = aegis_settings::parse::<Args>();
    if args.healthcheck {
        return serve::check(args.listen).await;
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(args)?;
    let board = Arc::new(Board::default());
    let pages = Pages::new(args)?;
    tokio::select! {
        () = board::keep(Arc::clone(&board), client, args.interval()) => Ok(()),
        ended = serve::run(args, board, pages) => ended,
        ended = terminated() => ended,
    }
}

async fn terminated() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
