//! aegisctl: a client of the controller's HTTP API that feels like kubectl. It holds no state of its own.

mod args;
mod client;
mod commands;
mod config;
mod console;
mod desired;
mod error;
mod manifest;
mod patch;
mod printer;
mod settled;
mod target;
mod text;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let console = console::Console::standard(args.global.color);
    match commands::run(args, config::Environment::of_process(), &console).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                console.remark(format!("error: {error}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}
