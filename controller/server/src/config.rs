//! How the server is set up. Pure data.

use aegis_api::hosts::OwnHosts;
use aegis_planning::admission::HostMounts;
use aegis_planning::correlation::burst::Closeness;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::auth::Role;
use crate::proxies::TrustedProxies;
use crate::reach::AlertsOnly;

/// The server's configuration. Secrets are redacted in every debug output.
#[derive(Debug)]
pub struct ServerConfig {
    /// What a client without a token may do; `None`: nothing.
    pub anonymous_role: Option<Role>,
    /// From where that is (`AEGIS_ANONYMOUS_FROM`); from everywhere, where it is empty, which the controller rules out. The
    /// address of a managed workload may post alerts, and nothing else, whatever stands here.
    pub anonymous_from: Vec<IpNet>,
    /// The token of the admin.
    pub admin_token: SecretString,
    /// A token that can do nothing but post alerts.
    pub webhook_token: Option<SecretString>,
    /// The container that an alert without one, and `/scale`, are about (`TARGET_CONTAINER`).
    pub target_container: String,
    /// Most replicas beside the base that `/scale/up` makes (`MAX_REPLICAS`).
    pub max_replicas: u32,
    /// Incidents a second, sustained, that the alerts of one token may open; more get 429 with `Retry-After`.
    pub alerts_per_second: u32,
    /// Incidents that may be open before further alerts are counted on those about the same workload.
    pub open_incidents: usize,
    /// How close alerts about one workload must follow each other to be one burst (`AEGIS_COALESCE_SECS`).
    pub closeness: Closeness,
    /// Origins such as `https://ops.example.org` whose pages may call this server from a browser, beside its own.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are believed (`AEGIS_TRUSTED_PROXIES`).
    pub trusted_proxies: TrustedProxies,
    /// Names that browsers and others know this controller by (`AEGIS_PUBLIC_HOSTS` and its own).
    pub own_hosts: OwnHosts,
    /// Where workloads are, to which nothing but the webhook is offered (`AEGIS_ALERTS_ONLY_AT`).
    pub alerts_only: AlertsOnly,
    /// It speaks TLS itself, so cookies are for that alone.
    pub tls: bool,
    /// Folders of the host that templates of operators may mount.
    pub host_mounts: HostMounts,
    /// The controller's version, as `/health` reports it.
    pub version: String,
}

/// Incidents a second that the alerts of one token may open, where nothing else is set.
pub const ALERTS_PER_SECOND: u32 = 1000;
/// Incidents that may be open, where nothing else is set.
pub const OPEN_INCIDENTS: usize = 2000;
