//! The command line: global flags and one subcommand a verb. Pure; each verb's own flags stand beside its code.

use clap::Parser;

use crate::commands::Command;
use crate::error::EXIT_CODES;
use crate::global::Global;

/// The command line of AegisOps: what runs, what is unhealthy, and what is done about it.
#[derive(Debug, Parser)]
#[command(name = "aegisctl", version, after_help = EXIT_CODES, propagate_version = false)]
#[command(disable_help_subcommand = true, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}
