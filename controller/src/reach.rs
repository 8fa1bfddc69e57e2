//! Whom requests come from, and what is offered at which address: names in the arguments, looked up before anything is
//! served. Does I/O.

mod networks;

use std::net::IpAddr;
use std::time::Duration;

use aegis_api::hosts::OwnHosts;
use aegis_server::{AlertsOnly, TrustedProxies};
use anyhow::Context as _;

use crate::args::Args;

/// How long a name of our own may take to be known: a container is started while its networks are still joined.
const NAMED_WITHIN: Duration = Duration::from_secs(10);

/// In place of names, where something else than nothing has to be set.
const NONE: &str = "none";

/// What the server is set up with.
pub(crate) struct Reach {
    /// Proxies that are believed.
    pub(crate) proxies: TrustedProxies,
    /// Where workloads are: there is only the entrance for alerts.
    pub(crate) alerts_only: AlertsOnly,
    /// Names that are ours.
    pub(crate) hosts: OwnHosts,
}

impl Reach {
    /// Of the arguments; takes the proxies out of them.
    pub(crate) async fn of(args: &mut Args) -> anyhow::Result<Self> {
        let addresses = own_addresses(&args.alerts_only_at).await?;
        let networks = networks::of(&addresses);
        if !addresses.is_empty() {
            tracing::info!(
                ?addresses,
                ?networks,
                "nothing but alerts is taken from where workloads are"
            );
        }
        let proxies = TrustedProxies::from(std::mem::take(&mut args.trusted_proxies)).apart_from(&networks);
        proxies.refresh().await;
        Ok(Self {
            proxies,
            alerts_only: AlertsOnly::new(addresses, networks),
            hosts: own_hosts(args),
        })
    }
}

/// The names of this machine, or container, and those that settings name: whose pages may use this server is served under
/// that name by a proxy of ours.
fn own_hosts(args: &Args) -> OwnHosts {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let origins = args.allowed_origins.iter().filter_map(|origin| {
        let authority = origin.split_once("://")?.1;
        Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
    });
    let named = args
        .public_hosts
        .iter()
        .chain(&args.alerts_only_at)
        .map(String::as_str);
    OwnHosts::new(named.chain(origins).chain([machine.trim()]))
}

/// The addresses of names of our own. One that is not known is an error: it would open what it is to close.
async fn own_addresses(names: &[String]) -> anyhow::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for name in names
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty() && *name != NONE)
    {
        if let Ok(address) = name.parse::<IpAddr>() {
            addresses.push(address.to_canonical());
            continue;
        }
        let look = async {
            loop {
                match tokio::net::lookup_host((name, 0)).await {
                    Ok(found) => break found.map(|found| found.ip().to_canonical()).collect::<Vec<_>>(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let found = tokio::time::timeout(NAMED_WITHIN, look).await;
        addresses.extend(found.with_context(|| {
            format!("AEGIS_ALERTS_ONLY_AT: {name:?} stands for no address of this machine, or container")
        })?);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn our_names_are_those_of_the_machine_and_of_the_settings() {
        let args = Args::parse_from([
            "aegis-controller",
            "--public-hosts=ops.example.org,,aegis-agent",
            "--alerts-only-at=aegis-agent-data",
            "--allowed-origins=https://page.example.org:8443",
        ]);
        let hosts = own_hosts(&args);
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        for ours in [
            "ops.example.org",
            "aegis-agent:8001",
            "aegis-agent-data",
            "page.example.org",
            machine.trim(),
        ] {
            assert!(hosts.takes(ours), "{ours}");
        }
        assert!(!hosts.takes("evil.example") && !hosts.takes(""));
    }

    #[tokio::test]
    async fn addresses_stand_for_themselves_and_none_for_nothing() {
        let names = ["none", " 172.18.0.3 ", "", "::ffff:10.0.0.1"].map(str::to_owned);
        let expected: [IpAddr; 2] = [[172, 18, 0, 3].into(), [10, 0, 0, 1].into()];
        assert_eq!(own_addresses(&names).await.unwrap(), expected);
    }
}
