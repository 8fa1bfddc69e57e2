//! At which of its addresses a container is asked. A controller that runs in a container itself reaches only networks
//! that it is on: every probe, whoever makes it, must choose alike. Reads only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aegis_docker::{EngineResult, ListFilter};

use crate::context::Context;

/// The networks that this controller's own container is on; none where it runs in no container.
pub(crate) async fn own_networks(context: &Context) -> EngineResult<BTreeSet<String>> {
    let Some(own) = context.settings.own_container.as_deref() else {
        return Ok(BTreeSet::new());
    };
    let all = context.engine.list(ListFilter::default()).await?;
    let own = all.into_iter().filter(|row| row.id.starts_with(own));
    Ok(own.flat_map(|row| row.networks.into_keys()).collect())
}

/// The address on a network that this controller shares, else on any.
pub(crate) fn address<'a>(
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
