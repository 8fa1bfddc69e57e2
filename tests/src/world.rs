//! A world: everything one test has of its own. Its id is in every name, so that worlds never meet.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{InspectNetworkOptions, ListContainersOptionsBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cleanup;
use crate::container::{Container, Patient};
use crate::engine_events::EngineEvents;
use crate::engine_proxy::EngineProxy;
use crate::launch::Launch;
use crate::nginx::Nginx;

/// A network, the containers on it and a state directory. Dropping it removes all of that, and nothing else.
#[derive(Debug)]
pub struct World {
    id: String,
    docker: Docker,
    network: String,
    gateway: IpAddr,
    folder: TempDir,
    events: EngineEvents,
}

impl World {
    /// The label that names a container's world.
    pub const LABEL: &'static str = "io.aegisops.test";

    /// A world with a network and nothing on it.
    pub async fn new() -> Self {
        let docker =
            Docker::connect_with_defaults().unwrap_or_else(|error| panic!("{}: {error}", Self::NO_ENGINE));
        docker
            .ping()
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", Self::NO_ENGINE));
        let id: String = rand::random::<[u8; 4]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let network = format!("aegis-test-{id}");
        let request: NetworkCreateRequest =
            serde_json::from_value(json!({"Name": network, "Driver": "bridge", "Labels": {Self::LABEL: id}}))
                .expect("a body for the engine");
        docker
            .create_network(request)
            .await
            .unwrap_or_else(|error| panic!("cannot make network {network}: {error}"));
        let folder = tempfile::Builder::new()
            .prefix("aegis-test-")
            .tempdir()
            .expect("a temporary folder");
        let events = EngineEvents::follow(&docker, &id);
        let mut world = Self {
            id,
            docker,
            network,
            gateway: IpAddr::from([127, 0, 0, 1]),
            folder,
            events,
        };
        world.gateway = world.find_gateway().await;
        world
    }

    const NO_ENGINE: &'static str = "these tests run real containers and no Docker engine answers: start one with `compose/engine.sh` (as `make test` does)";

    async fn find_gateway(&self) -> IpAddr {
        let details = self
            .docker
            .inspect_network(&self.network, None::<InspectNetworkOptions>)
            .await;
        let details: Value = details
            .ok()
            .and_then(|details| serde_json::to_value(details).ok())
            .unwrap_or_default();
        let gateway = details["IPAM"]["Config"][0]["Gateway"]
            .as_str()
            .unwrap_or_default();
        gateway
            .parse()
            .unwrap_or_else(|error| panic!("network {} has no gateway ({error}): {details}", self.network))
    }

    /// Its id, 8 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A name that no other world has.
    pub fn name(&self, base: &str) -> String {
        format!("{base}-{}", self.id)
    }

    /// Its network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// This machine's address on its network: where its containers reach a controller.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// What happened to its containers.
    pub fn events(&self) -> &EngineEvents {
        &self.events
    }

    /// Its folder; everything in it goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The controller's state directory.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// A patient called `<base>-<id>`, still to be started.
    pub fn patient(&self, base: &str) -> Patient<'_> {
        Patient::new(self, &self.name(base))
    }

    /// A patient with exactly this name.
    pub fn patient_named(&self, name: &str) -> Patient<'_> {
        assert!(
            name.contains(&self.id),
            "{name} could meet another world's container"
        );
        Patient::new(self, name)
    }

    /// A running nginx called `<base>-<id>`.
    pub async fn nginx(&self, base: &str) -> Nginx {
        Nginx::start(self, &self.name(base), false).await
    }

    /// As [`World::nginx`], and Docker itself starts it again, as it does for most people's.
    pub async fn nginx_that_comes_back(&self, base: &str) -> Nginx {
        Nginx::start(self, &self.name(base), true).await
    }

    /// A running nginx called `<base>-<id>`, of a body such as `POST /containers/create` takes.
    pub async fn nginx_of(&self, base: &str, body: Value) -> Nginx {
        Nginx::made(self, &self.name(base), body).await
    }

    /// Writes a file into a folder of its own, and answers its path on this machine.
    pub fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A Docker socket of its own that can be cut; it is cut at first.
    pub fn engine_proxy(&self) -> EngineProxy {
        EngineProxy::new(self.folder())
    }

    /// A controller that is still to be started.
    pub fn controller(&self) -> Launch {
        Launch::new(self)
    }

    /// The container of this exact name, in any state.
    pub async fn find(&self, name: &str) -> Option<Container> {
        let all = self.containers().await;
        all.into_iter().find(|container| container.name == name)
    }

    /// Every container whose name holds this world's id, sorted by name.
    pub async fn containers(&self) -> Vec<Container> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let rows = self
            .docker
            .list_containers(Some(options))
            .await
            .expect("the engine lists containers");
        let mut found: Vec<Container> = rows
            .into_iter()
            .filter_map(|row| {
                let name = row.names?.into_iter().next()?.trim_start_matches('/').to_owned();
                name.contains(&self.id).then_some(())?;
                Some(Container::of(self, &name, &row.id?))
            })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Their names.
    pub async fn container_names(&self) -> Vec<String> {
        self.containers()
            .await
            .into_iter()
            .map(|container| container.name)
            .collect()
    }

    /// Names of the replicas `<workload>-replica-…` that there are.
    pub async fn replica_names(&self, workload: &str) -> Vec<String> {
        let prefix = format!("{workload}-replica-");
        let mut names = self.container_names().await;
        names.retain(|name| name.starts_with(&prefix));
        names
    }
}

impl Drop for World {
    fn drop(&mut self) {
        cleanup::remove(&self.id, &self.network, self.folder.path());
    }
}
