//! What a request without a token may do, by where it comes from: what runs in the workloads' containers is not trusted
//! with more than alerts, whatever everybody else may do. Reads memory only.

use std::net::IpAddr;

use aegis_api::Workload;

use super::{Identity, Need, Role, Source};
use crate::state::ServerState;
use crate::status::Status;

/// The identity as far as it goes for this address; one that showed a token is what it is.
pub(super) fn narrowed(
    state: &ServerState,
    mut identity: Identity,
    address: Option<IpAddr>,
) -> Result<Identity, Status> {
    if !matches!(identity.source, Source::Anonymous) {
        return Ok(identity);
    }
    let from = &state.config.anonymous_from;
    let address = address.map(|address| address.to_canonical());
    if address.is_some_and(|address| is_workload(state, address)) {
        if !Need::Alert.is_of(identity.role) {
            return Err(Status::unauthorized());
        }
        identity.role = Role::Webhook;
    } else if !from.is_empty()
        && !address.is_some_and(|address| from.iter().any(|network| network.contains(&address)))
    {
        return Err(Status::unauthorized());
    }
    if let Some(address) = address {
        identity.caller = format!("{} {}", identity.user, super::network(address)).into();
    }
    Ok(identity)
}

/// Whether a container of a Workload has this address.
fn is_workload(state: &ServerState, address: IpAddr) -> bool {
    let workloads = state.store.list::<Workload>();
    let statuses = workloads.iter().filter_map(|workload| workload.status.as_ref());
    let mut addresses = statuses
        .flat_map(|status| &status.instances)
        .flat_map(|instance| instance.addresses.values());
    addresses.any(|known| known.parse::<IpAddr>().is_ok_and(|known| known == address))
}
