//! What every verb takes: the global flags. Pure.

use std::path::PathBuf;

use aegis_api::Duration;
use clap::ValueEnum;
use secrecy::SecretString;

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
