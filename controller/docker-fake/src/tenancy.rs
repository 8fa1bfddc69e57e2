//! Who had which address when: an address is a container's only as long as the engine says so. Pure.

use std::net::IpAddr;

use aegis_api::Time;
use aegis_api::meta::LABEL_WORKLOAD;

use super::FakeEngine;
use super::world::World;

/// One container's time at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// The address.
    pub address: IpAddr,
    /// Container id.
    pub id: String,
    /// Container name when it moved in.
    pub container: String,
    /// The Workload it was made for, by its label.
    pub owner: Option<String>,
    /// When it got the address.
    pub from: Time,
    /// When it lost it; `None` while it has it.
    pub until: Option<Time>,
}

impl World {
    pub(super) fn move_in(&mut self, id: &str, address: IpAddr) {
        let Some(container) = self.get(id) else { return };
        let tenancy = Tenancy {
            address,
            id: container.id.clone(),
            container: container.name.clone(),
            owner: container.labels.get(LABEL_WORKLOAD).cloned(),
            from: self.now,
            until: None,
        };
        self.tenancies.push(tenancy);
    }

    /// Takes the address on this network, or on all of them, from a container.
    pub(super) fn move_out(&mut self, id: &str, network: Option<&str>) {
        let now = self.now;
        let Some(container) = self.get_mut(id) else { return };
        let id = container.id.clone();
        let endpoints = container.endpoints.iter_mut();
        let left = endpoints.filter(|(name, _)| network.is_none_or(|network| network == *name));
        let addresses: Vec<IpAddr> = left.filter_map(|(_, endpoint)| endpoint.address.take()).collect();
        let open = self
            .tenancies
            .iter_mut()
            .filter(|tenancy| tenancy.until.is_none());
        for tenancy in open.filter(|tenancy| tenancy.id == id && addresses.contains(&tenancy.address)) {
            tenancy.until = Some(now);
        }
    }
}

impl FakeEngine {
    /// Who had which address when, oldest first.
    pub fn tenancies(&self) -> Vec<Tenancy> {
        self.shared.with(|world| world.tenancies.clone())
    }
}
