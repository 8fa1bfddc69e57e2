//! `completion`: a script that teaches a shell this program's words. Needs no server.

use clap_complete::Shell;

use crate::console::Console;
use crate::error::CliError;

/// Write a completion script, such as: source <(aegisctl completion bash)
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(
    args: &CompletionArgs,
    mut grammar: clap::Command,
    console: &Console,
) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar, "aegisctl", &mut script);
    console.write(&String::from_utf8_lossy(&script))
}
