//! aegisctl: a client of the controller's HTTP API that feels like kubectl. It holds no state of its own.

mod args;
mod client;
mod commands;
mod config;
mod console;
mod desired;
mod error;
mod global;
mod manifest;
mod patch;
mod printer;
mod problem;
mod session;
mod settled;
mod target;
mod text;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let console = console::Console::standard(args.global.color);
    let env = config::Environment::of_process();
    match commands::run(args.command, &args.global, args::Args::command, env, &console).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                console.remark(format!("error: {error}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}
