//! A corner of the real engine for one test: everything in it carries one label, by which it is removed at the end, also
//! when the test fails. Talks to the engine past the driver where the driver has no business (networks, volumes, tags).

use std::collections::HashMap;
use std::time::Duration;

use aegis_api::create::CreateSpec;
use aegis_api::observed::ContainerDetails;
use aegis_docker::Engine;
use aegis_docker::daemon::Docker;
use anyhow::Context;
use bollard::models::{ContainerCreateBody, Ipam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use serde_json::{Value, json};

pub(crate) const APP: &str = "aegisops/buggy-app:dev";
pub(crate) const NGINX: &str = "aegisops/nginx:dev";
const LABEL: &str = "io.aegisops.test";

pub(crate) struct Lab {
    pub(crate) docker: Docker,
    pub(crate) raw: bollard::Docker,
    tag: String,
}

impl Lab {
    /// `name` is the test's; with the process id it is unique on this engine.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let raw = bollard::Docker::connect_with_defaults().context("these tests need a Docker engine")?;
        let tag = format!("aegistest-{name}-{}", std::process::id());
        Ok(Self {
            docker: Docker::connect(None)?,
            raw,
            tag,
        })
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// The labels of this lab, to be merged into a body's.
    pub(crate) fn labels(&self) -> Value {
        json!({ LABEL: self.tag })
    }

    pub(crate) async fn network(&self, name: &str) -> anyhow::Result<String> {
        self.network_in(name, None).await
    }

    /// A network of 256 addresses that takes none from the engine's pools: those are few, and serve everybody. Its
    /// addresses are from the range that is set aside for benchmarks, where no network of this machine is.
    pub(crate) async fn small_network(&self, name: &str) -> anyhow::Result<String> {
        let first = std::process::id();
        for number in (0..256).map(|step| first.wrapping_add(step) % 256) {
            let subnet = format!("198.18.{number}.0/24");
            match self.network_in(name, Some(subnet)).await {
                Err(error) if format!("{error:#}").contains("overlaps") => {}
                answer => return answer,
            }
        }
        anyhow::bail!("198.18.0.0/16 is full")
    }

    async fn network_in(&self, name: &str, subnet: Option<String>) -> anyhow::Result<String> {
        let name = self.name(name);
        let labels = HashMap::from([(LABEL.to_owned(), self.tag.clone())]);
        let ipam = subnet.map(|subnet| Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet),
                ..Default::default()
            }]),
            ..Default::default()
        });
        self.raw
            .create_network(NetworkCreateRequest {
                name: name.clone(),
                labels: Some(labels),
                ipam,
                ..Default::default()
            })
            .await?;
        Ok(name)
    }

    pub(crate) async fn volume(&self, name: &str) -> anyhow::Result<String> {
        let name = self.name(name);
        let labels = HashMap::from([(LABEL.to_owned(), self.tag.clone())]);
        self.raw
            .create_volume(VolumeCreateRequest {
                name: Some(name.clone()),
                labels: Some(labels),
                ..Default::default()
            })
            .await?;
        Ok(name)
    }

    /// A container made past the driver, as Compose would.
    pub(crate) async fn foreign(&self, name: &str, mut body: Value) -> anyhow::Result<String> {
        self.mark(&mut body);
        let body: ContainerCreateBody = serde_json::from_value(body)?;
        let options = CreateContainerOptionsBuilder::default()
            .name(&self.name(name))
            .build();
        Ok(self.raw.create_container(Some(options), body).await?.id)
    }

    pub(crate) fn mark(&self, body: &mut Value) {
        let labels = &mut body["Labels"];
        if !labels.is_object() {
            *labels = json!({});
        }
        labels[LABEL] = json!(self.tag);
    }

    pub(crate) fn spec(&self, name: &str, mut body: Value) -> CreateSpec {
        self.mark(&mut body);
        CreateSpec {
            name: self.name(name),
            body,
            extra_networks: Default::default(),
            image_id: None,
        }
    }

    /// A container made and started by the driver; answers its id.
    pub(crate) async fn run(&self, name: &str, body: Value) -> anyhow::Result<String> {
        let id = self.docker.create(self.spec(name, body)).await?;
        self.docker.start(&id).await?;
        Ok(id)
    }

    pub(crate) async fn inspect(&self, id: &str) -> anyhow::Result<ContainerDetails> {
        self.docker
            .inspect(id)
            .await?
            .with_context(|| format!("there is no container {id}"))
    }

    /// Looks until `done` answers something, at most 20 s.
    pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<Option<T>>>>(
        &self,
        what: &str,
        mut done: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while tokio::time::Instant::now() < end {
            if let Some(found) = done().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("not within 20 s: {what}")
    }
}

async fn clean(raw: &bollard::Docker, tag: &str) -> anyhow::Result<()> {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={tag}")])]);
    let containers = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    for container in raw.list_containers(Some(containers)).await? {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        raw.remove_container(&container.id.unwrap_or_default(), Some(options))
            .await?;
    }
    let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
    for network in raw.list_networks(Some(networks)).await? {
        raw.remove_network(&network.name.unwrap_or_default()).await?;
    }
    let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
    for volume in raw.list_volumes(Some(volumes)).await?.volumes.unwrap_or_default() {
        raw.remove_volume(&volume.name, None::<RemoveVolumeOptions>)
            .await?;
    }
    Ok(())
}

impl Drop for Lab {
    #[expect(
        clippy::print_stderr,
        reason = "the person who runs the test has to know what is left behind"
    )]
    fn drop(&mut self) {
        let tag = self.tag.clone();
        // A runtime of its own: that of the test may be the one that is unwinding.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { clean(&bollard::Docker::connect_with_defaults()?, &tag).await })
        });
        match cleaner.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("{}: not everything could be removed: {error:#}", self.tag),
            Err(_) => eprintln!("{}: the clean-up panicked", self.tag),
        }
    }
}
