//! The command line. Every flag has an environment twin; everything is parsed into typed values here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use secrecy::SecretString;

/// The AegisOps controller: heals, scales and load-balances the containers of one Docker host.
#[derive(Debug, Parser)]
#[command(name = "aegis-controller", version)]
pub(crate) struct Args {
    /// Directory that holds every resource as YAML; made if it is missing.
    #[arg(long, env = "AEGIS_STATE_DIR", default_value = "state")]
    pub(crate) state_dir: PathBuf,
    /// Address to serve HTTP on.
    #[arg(long, env = "AEGIS_LISTEN", default_value = "127.0.0.1:8001")]
    pub(crate) listen: SocketAddr,
    /// Directory of the load balancer templates.
    #[arg(long, env = "AEGIS_LB_TEMPLATES", default_value = "lb-templates")]
    pub(crate) lb_templates: PathBuf,
    /// Docker engine, such as unix:///var/run/docker.sock.
    #[arg(long, env = "DOCKER_HOST")]
    pub(crate) docker_host: Option<String>,
    /// Token that may only post to /webhook. Without it one is made and kept beside the admin token.
    #[arg(long, env = "AEGIS_WEBHOOK_TOKEN", hide_env_values = true)]
    pub(crate) webhook_token: Option<SecretString>,
    /// Role of requests without a token; none by default. Only for networks you trust.
    #[arg(long, env = "AEGIS_ANONYMOUS_ROLE")]
    pub(crate) anonymous_role: Option<AnonymousRole>,
    /// Log as text or as one JSON object a line. What is logged: RUST_LOG, by default info.
    #[arg(long, env = "AEGIS_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Container that /scale/up and /scale/down speak of.
    #[arg(long, env = "TARGET_CONTAINER", default_value = "buggy-app-v2")]
    pub(crate) target_container: String,
    /// Most replicas beside the first one, where no policy names a bound.
    #[arg(long, env = "MAX_REPLICAS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..200))]
    pub(crate) max_replicas: u32,
    /// Seconds between two actions on one workload, where no policy names a cooldown.
    #[arg(long, env = "SCALE_COOLDOWN_SECS", default_value_t = 30)]
    pub(crate) scale_cooldown_secs: u64,
    /// Most characters of a container's log in the evidence.
    #[arg(long, env = "LOG_TRUNCATE_CHARS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..100_000))]
    pub(crate) log_truncate_chars: u32,
    /// Seconds between two readings of the containers' counters.
    #[arg(long, env = "METRICS_INTERVAL_SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..3600))]
    pub(crate) metrics_interval_secs: u64,
    /// Ask the controller that listens here whether it is alive, and exit 0 or 1.
    #[arg(long)]
    pub(crate) healthcheck: bool,
}

/// Roles that requests without a token can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnonymousRole {
    /// Reads.
    Viewer,
    /// Reads and changes resources.
    Operator,
    /// Everything.
    Admin,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}
