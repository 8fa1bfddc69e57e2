//! Whether an address is a container's, now, as nginx reaches it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aegis_api::load_balancer::Server;
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::{ContainerId, Time};

use crate::probe::host_address;

/// One container as the engine sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub state: ContainerState,
    /// When its process started.
    pub started_at: Option<Time>,
    /// Its address on each network where it has one.
    pub addresses: BTreeMap<String, IpAddr>,
    /// It is on the host's network, where it has no address of its own.
    pub on_host: bool,
}

impl Endpoint {
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }
}

/// Containers by id, those that exist.
pub type Endpoints = BTreeMap<ContainerId, Endpoint>;
/// The networks that nginx is on.
pub type Networks = BTreeMap<String, Option<IpAddr>>;

/// Name of the network of containers that have none of their own: the host's.
pub const HOST: &str = "host";

/// Whether nginx reaches what is on this network: it is on it, or on the host's, which reaches all of them.
fn reaches(networks: &Networks, network: &str) -> bool {
    networks.contains_key(network) || networks.contains_key(HOST)
}

/// Where nginx reaches a container: `10.0.0.2`, or `[fd00::2]`. `None` where it shares no network with it. One on the
/// host's network is reached on this host: at its loopback by an nginx that is on that network, too, else at the gateway of
/// a network of nginx.
pub fn host(endpoint: &Endpoint, nginx: &ContainerDetails) -> Option<String> {
    hosts(endpoint, nginx).next().map(written)
}

fn hosts(endpoint: &Endpoint, nginx: &ContainerDetails) -> impl Iterator<Item = IpAddr> {
    let shared = endpoint.addresses.iter();
    let shared = shared.filter(|(network, _)| reaches(&nginx.networks, network));
    let on_host = endpoint.on_host.then(|| host_address(Some(nginx))).flatten();
    shared.map(|(_, ip)| *ip).chain(on_host)
}

fn written(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// `address:port` without the port.
pub fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Whether a server's container runs and has the server's address. Otherwise the engine may give it to anybody.
pub(crate) fn is_home(server: &Server, endpoints: &Endpoints, nginx: &ContainerDetails) -> bool {
    let endpoint = endpoints.get(&server.id).filter(|endpoint| endpoint.is_running());
    endpoint.is_some_and(|endpoint| hosts(endpoint, nginx).any(|ip| written(ip) == host_of(&server.address)))
}
