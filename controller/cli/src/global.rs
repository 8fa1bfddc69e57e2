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
    /// A file with the only certificates (PEM) to believe an https:// server by, such as the controller's own
    /// state/.secrets/tls/cert.pem [env: AEGIS_CA]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "insecure_skip_tls_verify"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Believe any https:// server: others on the network can read the token
    #[arg(long, global = true)]
    pub(crate) insecure_skip_tls_verify: bool,
    /// The configuration file (YAML: server, token, tokenFile, ca) [env: AEGIS_CONFIG] [default:
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
