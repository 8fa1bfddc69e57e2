//! Which networks this controller itself is on, and where it reaches containers on them. Reads only.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use aegis_api::observed::ContainerDetails;
use aegis_docker::{EngineResult, ListFilter};

use crate::context::Context;

/// Where a container answers on a network that this controller shares, else on any.
pub(crate) fn reachable(
    container: &ContainerDetails,
    own: &BTreeSet<String>,
    port: u16,
) -> Option<SocketAddr> {
    let addresses = container.networks.iter();
    let address = aegis_planning::addressing::address(
        addresses.filter_map(|(network, ip)| Some((network, (*ip)?))),
        own,
    );
    address.map(|ip| SocketAddr::new(ip, port))
}

/// The networks that this controller's own container is on; none where it runs in no container.
pub(crate) async fn own_networks(context: &Context) -> EngineResult<BTreeSet<String>> {
    let Some(own) = context.settings.own_container.as_deref() else {
        return Ok(BTreeSet::new());
    };
    let all = context.engine.list(ListFilter::default()).await?;
    let own = all.into_iter().filter(|row| row.id.starts_with(own));
    Ok(own.flat_map(|row| row.networks.into_keys()).collect())
}
