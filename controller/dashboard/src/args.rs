//! The command line. Every flag has an environment twin; a token is only ever named by its file. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aegis_api::hosts::OwnHosts;
use clap::Parser;

/// The AegisOps dashboard: the state of a host on one page, without scripts.
#[derive(Debug, Parser)]
#[command(name = "aegis-dashboard", version)]
pub(crate) struct Args {
    /// Address to serve HTTP on.
    #[arg(
        long,
        env = "AEGIS_DASHBOARD_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8501"
    )]
    pub(crate) listen: SocketAddr,
    /// Where the controller is.
    #[arg(
        long,
        env = "AEGIS_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8001"
    )]
    pub(crate) server: String,
    /// File that holds a token of the role viewer. Read with every request, so that it may be created or replaced
    /// meanwhile.
    #[arg(long, env = "AEGIS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Names that browsers reach this dashboard by, such as ops.example.org, beside localhost and the machine's (or
    /// container's) own name; under another one they get 421. Addresses always do.
    #[arg(
        long,
        env = "AEGIS_PUBLIC_HOSTS",
        value_delimiter = ',',
        value_name = "NAMES",
        value_parser = aegis_api::hosts::public_host
    )]
    pub(crate) public_hosts: Vec<String>,
    /// Seconds between two polls of the controller, and between two loads of the page.
    #[arg(
        long,
        env = "AEGIS_DASHBOARD_REFRESH_SECS",
        value_name = "SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub(crate) refresh_secs: u32,
    /// Minutes that a person would take for an incident: what "time saved" is reckoned with.
    #[arg(
        long,
        env = "AEGIS_DASHBOARD_MANUAL_MINUTES",
        value_name = "MINUTES",
        default_value_t = 15,
        value_parser = clap::value_parser!(u32).range(1..=10_080)
    )]
    pub(crate) manual_minutes: u32,
    /// Ask the dashboard that listens here whether it is alive, and exit 0 or 1.
    #[arg(long)]
    pub(crate) healthcheck: bool,
}

impl Args {
    /// The names that are ours.
    pub(crate) fn own_hosts(&self) -> OwnHosts {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let named = self.public_hosts.iter().map(String::as_str);
        OwnHosts::new(named.chain([machine.trim()]))
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(self.refresh_secs.into())
    }
}
