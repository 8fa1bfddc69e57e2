//! The command line: global flags and one subcommand a verb. Pure; each verb's own flags stand beside its code.

use std::path::PathBuf;

use aegis_api::Duration;
use clap::{Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::commands;
use crate::error::EXIT_CODES;

/// The command line of AegisOps: what runs, what is sick, and what is done about it.
#[derive(Debug, Parser)]
#[command(name = "aegisctl", version, after_help = EXIT_CODES, propagate_version = false)]
#[command(disable_help_subcommand = true, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every verb takes. Flags win over environment variables, those over the configuration file.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The controller's address [env: AEGIS_SERVER] [default: http://127.0.0.1:8001]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token to show; prefer a file, for other users of this machine see command lines [env: AEGIS_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<SecretString>,
    /// A file that holds the token [env: AEGIS_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The configuration file (YAML: server, token, tokenFile) [env: AEGIS_CONFIG] [default:
    /// ~/.config/aegisctl/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long one request may take, such as 5s; 0s for no limit [default: 30s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) request_timeout: Option<Duration>,
    /// Colours; they never carry meaning alone. NO_COLOR turns them off
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(commands::get::GetArgs),
    Describe(commands::describe::DescribeArgs),
    Apply(commands::apply::ApplyArgs),
    Create(commands::create::CreateArgs),
    Edit(commands::edit::EditArgs),
    Patch(commands::patch::PatchArgs),
    Label(commands::label::LabelArgs),
    Annotate(commands::label::AnnotateArgs),
    Delete(commands::delete::DeleteArgs),
    Confirm(commands::confirm::ConfirmArgs),
    Diff(commands::diff::DiffArgs),
    Scale(commands::scale::ScaleArgs),
    Restart(commands::restart::RestartArgs),
    Rollout(commands::rollout::RolloutArgs),
    #[command(visible_alias = "undo")]
    Rollback(commands::rollback::RollbackArgs),
    Plan(commands::plan::PlanArgs),
    Approve(commands::approve::ApproveArgs),
    Reject(commands::approve::RejectArgs),
    Pause(commands::pause::PauseArgs),
    Resume(commands::pause::ResumeArgs),
    Why(commands::why::WhyArgs),
    Top(commands::top::TopArgs),
    Wait(commands::wait::WaitArgs),
    Watch(commands::watch::WatchArgs),
    Logs(commands::logs::LogsArgs),
    Events(commands::events::EventsArgs),
    Runbook(commands::runbook::RunbookArgs),
    Explain(commands::explain::ExplainArgs),
    ApiResources(commands::api_resources::ApiResourcesArgs),
    Audit(commands::audit::AuditArgs),
    Auth(commands::auth::AuthArgs),
    Token(commands::token::TokenArgs),
    Doctor(commands::doctor::DoctorArgs),
    Version(commands::version::VersionArgs),
    Completion(commands::completion::CompletionArgs),
}
