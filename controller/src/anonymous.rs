//! Who has the role of requests without a token. Pure; reads nothing.

use std::net::SocketAddr;

use anyhow::ensure;
use ipnet::IpNet;

use crate::args::AnonymousRole;

/// This machine, as its own programs reach it.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// The networks that have the role. A controller that only this machine reaches means this machine, where none is named;
/// one that others reach is not started until somebody says which.
pub(crate) fn peers(
    role: Option<AnonymousRole>,
    from: &[IpNet],
    listen: SocketAddr,
) -> anyhow::Result<Vec<IpNet>> {
    if role.is_none() || !from.is_empty() {
        return Ok(from.to_vec());
    }
    ensure!(
        listen.ip().to_canonical().is_loopback(),
        "refusing to give everybody who reaches {listen} a role without a token (AEGIS_ANONYMOUS_ROLE): name who is meant, \
         as by AEGIS_ANONYMOUS_FROM=192.168.1.0/24 (--anonymous-from), or 0.0.0.0/0,::/0 for everybody"
    );
    Ok(LOOPBACK
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_only_this_machine_and_those_named_have_a_role() {
        let role = Some(AnonymousRole::Viewer);
        let here: SocketAddr = "127.0.0.1:8001".parse().unwrap();
        let everywhere: SocketAddr = "0.0.0.0:8001".parse().unwrap();
        let lan: IpNet = "192.168.1.0/24".parse().unwrap();
        let own = peers(role, &[], here).unwrap();
        for (address, is_own) in [("127.0.0.2", true), ("::1", true), ("192.168.1.4", false)] {
            let address: std::net::IpAddr = address.parse().unwrap();
            assert_eq!(
                own.iter().any(|network| network.contains(&address)),
                is_own,
                "{address}"
            );
        }
        assert_eq!(peers(role, &[lan], here).unwrap(), [lan]);
        assert_eq!(peers(role, &[lan], everywhere).unwrap(), [lan]);
        assert!(peers(role, &[], everywhere).is_err());
        assert!(peers(None, &[], everywhere).unwrap().is_empty());
    }
}
