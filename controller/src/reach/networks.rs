//! Which networks some addresses of this machine, or container, are on: as the kernel lists them. Elsewhere than on Linux, and
//! where these lists cannot be read, none is known. Reads two files of `/proc`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The networks of these addresses.
pub(super) fn of(addresses: &[IpAddr]) -> Vec<IpNet> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let routes = connected(&read("/proc/net/route"));
    let own = own_v6(&read("/proc/net/if_inet6"));
    let mut networks: Vec<IpNet> = addresses
        .iter()
        .flat_map(|address| {
            let on_v4 = routes.iter().copied().map(IpNet::from);
            let v4 = on_v4.filter(move |network| network.contains(address));
            let v6 = own.iter().copied().filter(move |own| own.addr() == *address);
            v4.chain(v6.map(|own| own.trunc().into()))
        })
        .collect();
    networks.sort();
    networks.dedup();
    networks
}

/// Networks that are reached without a gateway, of `/proc/net/route`: columns of which the second, third and eighth are
/// destination, gateway and mask, as the machine's own words in hexadecimal.
fn connected(routes: &str) -> Vec<Ipv4Net> {
    let address = |word: &str| {
        u32::from_str_radix(word, 16)
            .ok()
            .map(|word| Ipv4Addr::from(word.to_ne_bytes()))
    };
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let at = |index: usize| columns.get(index).and_then(|word| address(word));
        let (destination, gateway, mask) = (at(1)?, at(2)?, at(7)?);
        let network = Ipv4Net::with_netmask(destination, mask).ok()?;
        (gateway.is_unspecified() && network.prefix_len() > 0).then_some(network)
    };
    routes.lines().skip(1).filter_map(row).collect()
}

/// Addresses with their networks, of `/proc/net/if_inet6`: 32 digits, the interface's number and the length of the prefix, in
/// hexadecimal.
fn own_v6(addresses: &str) -> Vec<Ipv6Net> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let address = u128::from_str_radix(columns.next()?, 16).ok()?;
        let length = u8::from_str_radix(columns.nth(1)?, 16).ok()?;
        Ipv6Net::new(Ipv6Addr::from(address), length).ok()
    };
    addresses.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_those_that_the_kernel_lists_without_a_gateway() {
        let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let row = |to, by, mask| {
            format!(
                "eth1\t{}\t{}\t0001\t0\t0\t0\t{}\t0\t0\t0",
                word(to),
                word(by),
                word(mask)
            )
        };
        let routes = [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT".to_owned(),
            row([0, 0, 0, 0], [172, 19, 0, 1], [0, 0, 0, 0]),
            row([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
            row([172, 18, 0, 0], [0, 0, 0, 0], [255, 255, 0, 0]),
            row([10, 0, 0, 0], [172, 19, 0, 1], [255, 0, 0, 0]),
            "nonsense".to_owned(),
            "a b c d e f g h".to_owned(),
        ];
        let expected: Ipv4Net = "172.18.0.0/16".parse().unwrap();
        assert_eq!(connected(&routes.join("\n")), [expected]);
        assert!(connected("").is_empty());
    }

    #[test]
    fn addresses_of_ipv6_come_with_the_length_of_their_network() {
        let listed = "00000000000000000000000000000001 01 80 10 80       lo\n\
                      fd000000000000010000000000000003 1c 40 00 80     eth1\nodd\n";
        let expected: [Ipv6Net; 2] = ["::1/128".parse().unwrap(), "fd00:0:0:1::3/64".parse().unwrap()];
        assert_eq!(own_v6(listed), expected);
    }

    #[test]
    fn an_address_that_is_not_ours_is_on_no_network() {
        assert!(of(&["203.0.113.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]).is_empty());
    }
}
