//! What a start of the fake engine depends on beside the container itself, and what it makes of it: owners of shared
//! namespaces, networks, host ports, files of the host. Pure.

use serde_json::Value;

use super::effects::Actor;
use super::lifecycle::End;
use super::world::{World, no_such};
use crate::engine::{EngineError, EngineResult};
use crate::restart::{Known, Questions};

/// What the engine calls a failed start.
const START_FAILED: i64 = 128;

impl World {
    /// Names of containers in `container:NAME` become ids when a container is made.
    pub(super) fn resolve_owners(&self, host_config: &mut Value, operation: &str) -> EngineResult<()> {
        for key in ["NetworkMode", "PidMode", "IpcMode"] {
            let Some(mode) = host_config.get_mut(key) else {
                continue;
            };
            let Some(owner) = mode.as_str().and_then(|mode| mode.strip_prefix("container:")) else {
                continue;
            };
            let id = self.id_of(owner).ok_or_else(|| no_such(owner, operation))?;
            *mode = Value::String(format!("container:{id}"));
        }
        Ok(())
    }

    /// Why the engine cannot start a container now.
    pub(super) fn can_begin(&self, id: &str, operation: &str) -> EngineResult<()> {
        let container = self.found(id, operation)?;
        let server = |message: String| {
            Err(EngineError::Server {
                operation: operation.to_owned(),
                message,
            })
        };
        if let Some(message) = container.behaviour.start_error.clone() {
            return server(message);
        }
        for key in ["NetworkMode", "PidMode", "IpcMode"] {
            let Some(owner) = container.host(key).strip_prefix("container:") else {
                continue;
            };
            match self.get(owner) {
                None => return Err(no_such(owner, operation)),
                Some(owner) if !owner.is_up() => {
                    let message = format!(
                        "cannot join the namespace of a non running container: {}",
                        owner.id
                    );
                    return Err(EngineError::Conflict {
                        operation: operation.to_owned(),
                        message,
                    });
                }
                Some(_) => {}
            }
        }
        let endpoints = container.endpoints.iter().filter(|_| container.has_own_network());
        for (name, endpoint) in endpoints {
            let known = self.network_ids.get(name);
            let lost = endpoint.network_id.is_some() && endpoint.network_id.as_ref() != known;
            if lost || !self.networks.contains_key(name) {
                return Err(EngineError::Refused {
                    operation: operation.to_owned(),
                    message: format!(
                        "network {} not found",
                        endpoint.network_id.as_deref().unwrap_or(name)
                    ),
                });
            }
        }
        let wanted = container.wanted_ports();
        let others = self.containers.values().filter(|other| other.id != container.id);
        let mut held = others.flat_map(|other| other.published());
        if let Some(port) = held.find(|held| {
            wanted
                .iter()
                .any(|port| port.port == held.port && port.protocol == held.protocol)
        }) {
            return server(format!(
                "Bind for port {} failed: port is already allocated",
                port.port
            ));
        }
        let mut needed = crate::restart::questions(&container.details(self.instant))
            .paths
            .into_iter();
        match needed.find(|path| self.missing_paths.contains(path)) {
            Some(path) => server(format!("bind source path does not exist: {path}")),
            None => Ok(()),
        }
    }

    /// A start that failed leaves its mark, and deletes what was started with `--rm`.
    pub(super) fn failed_start(&mut self, id: &str) {
        let Some(container) = self.get_mut(id) else { return };
        if container.exit_code == 0 {
            container.exit_code = START_FAILED;
        }
        if container.auto_remove() {
            let id = container.id.clone();
            self.doomed.push(id);
        }
    }

    /// Whoever lives in a process namespace ends with the container that owns it.
    pub(super) fn end_sharers(&mut self, owner: &str) {
        let mode = format!("container:{owner}");
        let shares = self
            .containers
            .values()
            .filter(|container| container.host("PidMode") == mode && container.is_up());
        let ids: Vec<String> = shares.map(|container| container.id.clone()).collect();
        for id in ids {
            self.end_run(
                &id,
                End {
                    exit_code: 137,
                    oom: false,
                    on_request: false,
                    actor: Actor::Engine,
                },
            );
        }
    }

    pub(super) fn known(&self, questions: &Questions) -> Known {
        let networks = self.networks.keys().chain(self.network_ids.values());
        let image = |name: &String| {
            self.images.contains_key(name) || self.images.values().any(|image| image.id == *name)
        };
        Known {
            networks: questions.networks.then(|| networks.cloned().collect()),
            runtimes: questions.runtimes.then(|| ["runc".to_owned()].into()),
            missing_paths: questions
                .paths
                .iter()
                .filter(|path| self.missing_paths.contains(*path))
                .cloned()
                .collect(),
            has_image: questions.image.as_ref().map(image),
        }
    }
}
