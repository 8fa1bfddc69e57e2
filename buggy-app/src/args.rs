//! The command line. Every flag has a twin in the environment; values are typed once, here.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::webhook::{Endpoint, Token};

/// A service that can be made sick on purpose, and says so when its memory runs out.
#[derive(Debug, Parser)]
#[command(name = "buggy-app", version)]
pub(crate) struct Args {
    /// Port to serve on, on all addresses.
    #[arg(long, env = "PORT", default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Ask a running instance on this machine for its health and exit: 0 when it answers 200, 1 otherwise.
    #[arg(long)]
    pub(crate) healthcheck: bool,

    /// The name this service has for the receiver of its alerts.
    #[arg(long, env = "CONTAINER_NAME", default_value = "buggy-app-v2", value_parser = not_empty)]
    pub(crate) container_name: String,

    /// Where alerts are posted.
    #[arg(
        long,
        env = "AEGIS_WEBHOOK_URL",
        default_value = "http://aegis-agent:8001/webhook"
    )]
    pub(crate) webhook_url: Endpoint,

    /// Bearer token sent with each alert.
    #[arg(long, env = "AEGIS_WEBHOOK_TOKEN", hide_env_values = true)]
    pub(crate) webhook_token: Option<Token>,

    /// File that holds the token; read again for each alert. A token given directly wins.
    #[arg(long, env = "AEGIS_WEBHOOK_TOKEN_FILE")]
    pub(crate) webhook_token_file: Option<PathBuf>,

    /// Share of the memory limit, in percent, above which an alert is posted.
    #[arg(long, env = "MEMORY_THRESHOLD_PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) memory_threshold: u8,

    /// Milliseconds between two looks at the memory.
    #[arg(long, env = "MONITOR_INTERVAL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) monitor_interval_ms: u64,
}

impl Args {
    pub(crate) fn monitor_interval(&self) -> Duration {
        Duration::from_millis(self.monitor_interval_ms)
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("must not be empty".to_owned()),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Asked of the definition, as the environment of the tests may set any of them.
    #[test]
    fn the_defaults_are_those_of_the_stack() {
        let command = Args::command();
        let default = |id: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
            arg.get_default_values()[0].to_str().unwrap().to_owned()
        };
        assert_eq!(default("port"), "8000");
        assert_eq!(default("container_name"), "buggy-app-v2");
        assert_eq!(default("webhook_url"), "http://aegis-agent:8001/webhook");
        assert_eq!(default("memory_threshold"), "85");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            ["--port", "0"],
            ["--memory-threshold", "100"],
            ["--container-name", " "],
        ] {
            assert!(
                Args::try_parse_from(["buggy-app"].into_iter().chain(bad)).is_err(),
                "{bad:?}"
            );
        }
    }
}
