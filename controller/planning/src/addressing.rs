//! At which of its addresses a container is asked. A controller that runs in a container itself reaches only networks
//! that it is on: all probes must choose alike. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The address on a network that this controller shares, else on any.
pub fn address<'a>(
    addresses: impl IntoIterator<Item = (&'a String, IpAddr)>,
    own_networks: &BTreeSet<String>,
) -> Option<IpAddr> {
    let mut any = None;
    for (network, address) in addresses {
        if own_networks.contains(network) {
            return Some(address);
        }
        any = any.or(Some(address));
    }
    any
}
