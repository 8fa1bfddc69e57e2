//! At which of its addresses a container is asked. A controller that runs in a container itself reaches only networks
//! that it is on: all probes must choose alike. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most addresses of one container that are tried.
const MOST: usize = 4;

/// Every address that may lead to a container, the likeliest first: those on networks that this controller shares, else
/// all. On a `named` network that one only.
pub fn candidates<'a>(
    addresses: impl IntoIterator<Item = (&'a String, IpAddr)>,
    own_networks: &BTreeSet<String>,
    named: Option<&str>,
) -> Vec<IpAddr> {
    let all: Vec<(&String, IpAddr)> = addresses
        .into_iter()
        .filter(|(network, _)| named.is_none_or(|named| named == network.as_str()))
        .collect();
    let shared = |(network, _): &&(&String, IpAddr)| own_networks.contains(*network);
    let any_shared = all.iter().any(|row| shared(&row));
    let likely = all.iter().filter(|row| !any_shared || shared(row));
    likely.map(|(_, address)| *address).take(MOST).collect()
}

/// The address on a network that this controller shares, else on any.
pub fn address<'a>(
    addresses: impl IntoIterator<Item = (&'a String, IpAddr)>,
    own_networks: &BTreeSet<String>,
) -> Option<IpAddr> {
    candidates(addresses, own_networks, None).into_iter().next()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn shared_networks_come_first_a_named_one_alone_and_else_all_are_tried() {
        let addresses: BTreeMap<String, IpAddr> =
            [("a-lan", "10.0.0.2"), ("b", "10.0.1.2"), ("z", "10.0.2.2")]
                .map(|(network, ip)| (network.to_owned(), ip.parse().unwrap()))
                .into();
        let tried = |own: &[&str], named| {
            let own = own.iter().map(|name| (*name).to_owned()).collect();
            let rows = addresses.iter().map(|(network, ip)| (network, *ip));
            let found = candidates(rows, &own, named);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(tried(&[], None), ["10.0.0.2", "10.0.1.2", "10.0.2.2"]);
        assert_eq!(tried(&["z"], None), ["10.0.2.2"]);
        assert_eq!(tried(&["z", "b"], None), ["10.0.1.2", "10.0.2.2"]);
        assert_eq!(tried(&["elsewhere"], None).len(), 3);
        assert_eq!(tried(&["z"], Some("a-lan")), ["10.0.0.2"], "as people say");
        assert_eq!(tried(&[], Some("gone")), Vec::<String>::new());
    }
}
