//! Whether a container that is stopped can be started again, and whether one that does not run can be: decided before the
//! stop, from what the engine says. Pure; the engine answers the [`host_query`].
//!
//! The engine starts a container from what was configured when it was made, so all of that must still be there. What it
//! does not tell without trying stays out: ports that processes of the host hold, volume plugins, a full disk. A named
//! volume is not looked for, since the engine keeps it for as long as a container refers to it, running or not; nor is the
//! image, which a start does not need. Between this check and the stop the world may still change: nothing rules out
//! that an owner dies in that instant, so a failed start stays possible and is reported as a failure.

use std::collections::BTreeMap;

use aegis_api::ContainerId;
use aegis_api::observed::{ContainerDetails, ContainerState, ContainerSummary, HostFacts, PublishedPort};
use aegis_api::restart::CannotRestart;
use serde_json::Value;

mod needs;
mod remedy;

pub use needs::host_query;

/// Everything beside the container itself that decides.
#[derive(Debug, Clone, Copy)]
pub struct HostState<'a> {
    /// All containers of the host.
    pub containers: &'a [ContainerSummary],
    /// The answer to [`host_query`].
    pub facts: &'a HostFacts,
    /// Id → name of containers that were there earlier, so that one that is gone can be named.
    pub names: &'a BTreeMap<ContainerId, String>,
}

/// A stop or a start that must not be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For programs.
    pub reason: CannotRestart,
    /// What stands in the way, human-readable.
    pub message: String,
    /// What they can do about it.
    pub remedy: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.remedy)
    }
}

/// Whether a container may be stopped in order to be started again.
pub fn restartable(container: &ContainerDetails, host: HostState<'_>) -> Result<(), Refused> {
    let refuse = |reason, message, remedy| {
        Err(Refused {
            reason,
            message,
            remedy,
        })
    };
    let name = &container.name;
    if needs::is_swarm_task(container) {
        let service = container.label_name("com.docker.swarm.service.name");
        let whose = service.map_or("a Swarm service".to_owned(), |service| {
            format!("the Swarm service {service}")
        });
        let message = format!("{name} is a task of {whose}, which replaces what stops");
        let remedy = remedy::update_service(service);
        return refuse(CannotRestart::SwarmTask, message, remedy);
    }
    if needs::flag(container, "AutoRemove") {
        let message = format!("{name} was started with --rm, so stopping it deletes it");
        let remedy = format!(
            "run it again without --rm (docker update cannot change that); `docker restart {name}` by hand keeps it"
        );
        return refuse(CannotRestart::AutoRemove, message, remedy);
    }
    startable(container, host)
}

/// Whether a container that does not run could be started now.
pub(crate) fn startable(container: &ContainerDetails, host: HostState<'_>) -> Result<(), Refused> {
    let checks = [owners, networks, addresses, ports, links, paths, runtime];
    checks
        .into_iter()
        .find_map(|check| check(container, host))
        .map_or(Ok(()), Err)
}

/// What is wrong with the containers whose namespaces it shares. It concerns one that runs, too: it is cut off.
pub fn owners(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let shared = needs::namespaces(container);
    shared.into_iter().find_map(|(kind, owner)| {
        let row = host
            .containers
            .iter()
            .find(|row| row.id == owner || row.name == owner);
        let (network, name) = (kind == needs::Namespace::Network, &container.name);
        let Some(row) = row else {
            let known = host.names.get(owner).map(|name| format!("{name} "));
            let shown = format!("{}({})", known.unwrap_or_default(), needs::short(owner));
            return Some(Refused {
                reason: match network {
                    true => CannotRestart::NetworkOwnerGone,
                    false => CannotRestart::NamespaceOwnerGone,
                },
                message: format!(
                    "{name} runs in the {} of container {shown}, which no longer exists",
                    kind.words()
                ),
                remedy: remedy::recreate(container),
            });
        };
        let runs = matches!(row.state, ContainerState::Running | ContainerState::Paused);
        (!runs).then(|| Refused {
            reason: match network {
                true => CannotRestart::NetworkOwnerDown,
                false => CannotRestart::NamespaceOwnerDown,
            },
            message: format!(
                "{name} runs in the {} of container {}, which is {}",
                kind.words(),
                row.name,
                row.state.as_str()
            ),
            remedy: format!("docker start {}", row.name),
        })
    })
}

/// A container that does not run may have lost a network; the engine removes none that a running one is attached to.
fn networks(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let known = host.facts.networks.as_ref()?;
    let gone = needs::networks(container)
        .into_iter()
        .find(|(_, key)| !known.contains(*key));
    gone.map(|(name, _)| Refused {
        reason: CannotRestart::NetworkGone,
        message: format!(
            "{} is attached to network {name}, which no longer exists (one of the same name is another network)",
            container.name
        ),
        remedy: format!(
            "docker network disconnect --force {name} {0} and docker network connect {name} {0}, or {1}",
            container.name,
            remedy::recreate(container)
        ),
    })
}

/// A fixed address belongs to a container only while it runs: another one may have it by now.
fn addresses(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let others = || host.containers.iter().filter(|row| row.id != container.id);
    needs::fixed_addresses(container)
        .into_iter()
        .find_map(|(network, address)| {
            let has = |row: &&ContainerSummary| row.networks.get(network) == Some(&Some(address));
            let other = others().find(has)?;
            Some(Refused {
                reason: CannotRestart::AddressTaken,
                message: format!(
                    "{} is to have {address} on network {network}, which container {} has by now",
                    container.name, other.name
                ),
                remedy: format!("stop {}, or give one of the two another address", other.name),
            })
        })
}

fn ports(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let wanted = needs::published(container);
    let others = host.containers.iter().filter(|row| row.id != container.id);
    others.into_iter().find_map(|row| {
        let taken = row
            .published
            .iter()
            .find(|held| wanted.iter().any(|port| collide(port, held)))?;
        Some(Refused {
            reason: CannotRestart::PortTaken,
            message: format!(
                "{} publishes port {}/{} of the host, which container {} has by now",
                container.name, taken.port, taken.protocol, row.name
            ),
            remedy: format!("stop {}, or let one of the two publish another port", row.name),
        })
    })
}

fn collide(one: &PublishedPort, other: &PublishedPort) -> bool {
    let same_place = match (one.address, other.address) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    same_place && one.port == other.port && one.protocol == other.protocol
}

/// A link to a container that is gone is dropped by the engine; one to a container that does not run stops a start.
fn links(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let linked = needs::links(container);
    let mut rows = host
        .containers
        .iter()
        .filter(|row| linked.contains(&row.name.as_str()));
    let down = rows.find(|row| !matches!(row.state, ContainerState::Running | ContainerState::Paused))?;
    Some(Refused {
        reason: CannotRestart::LinkDown,
        message: format!(
            "{} is linked to container {}, which is {}",
            container.name,
            down.name,
            down.state.as_str()
        ),
        remedy: format!("docker start {}", down.name),
    })
}

fn paths(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let (sources, devices) = needs::paths(container);
    let missing = |paths: &[&str]| {
        let mut paths = paths.iter().copied();
        paths
            .find(|path| host.facts.missing_paths.contains(*path))
            .map(str::to_owned)
    };
    if let Some(path) = missing(&sources) {
        return Some(Refused {
            reason: CannotRestart::BindSourceGone,
            message: format!(
                "{} mounts {path} of the host, which is not there any more",
                container.name
            ),
            remedy: format!("put {path} back"),
        });
    }
    missing(&devices).map(|path| Refused {
        reason: CannotRestart::DeviceGone,
        message: format!(
            "{} is given the device {path}, which is not there any more",
            container.name
        ),
        remedy: format!("plug {path} in again, or {}", remedy::recreate(container)),
    })
}

fn runtime(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let known = host.facts.runtimes.as_ref()?;
    let runtime = needs::runtime(container).filter(|runtime| !known.contains(*runtime))?;
    Some(Refused {
        reason: CannotRestart::RuntimeGone,
        message: format!(
            "{} was made with the runtime {runtime}, which the engine does not have any more",
            container.name
        ),
        remedy: format!("configure {runtime} in the engine's daemon.json again"),
    })
}

/// A replica must not be removed to be replaced while what it would be made from is not there.
pub fn replaceable(name: &str, image: &str, facts: &HostFacts) -> Result<(), Refused> {
    if facts.has_image != Some(false) {
        return Ok(());
    }
    Err(Refused {
        reason: CannotRestart::ImageGone,
        message: format!("{name} cannot be replaced: the engine does not have the image {image}"),
        remedy: format!("docker pull {image}, or build it"),
    })
}

fn host<'a>(container: &'a ContainerDetails, key: &str) -> &'a Value {
    container.host_config.get(key).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests;
