//! `completion`: a script that teaches a shell this program's words. Needs no server.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::console::Console;
use crate::error::CliError;

/// Write a completion script, such as: source <(aegisctl completion bash)
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionArgs, console: &Console) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "aegisctl", &mut script);
    console.write(&String::from_utf8_lossy(&script))
}
