//! A container of a world, as its tests see it: through the engine and through its own address.

use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RestartContainerOptions, StartContainerOptions,
};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::eventually;
use crate::launch::{Launch, WEBHOOK_TOKEN};
use crate::world::World;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    docker: Docker,
    network: String,
    http: reqwest::Client,
    /// Its name.
    pub name: String,
    /// Its id, 64 characters.
    pub id: String,
}

/// A patient that is still to be made.
#[derive(Debug)]
pub struct Patient<'a> {
    world: &'a World,
    name: String,
    body: Value,
}

impl<'a> Patient<'a> {
    pub(crate) fn new(world: &'a World, name: &str) -> Self {
        let body = json!({
            "Image": "aegisops/buggy-app:dev",
            "Labels": {},
            "Env": [format!("CONTAINER_NAME={name}"), "AEGIS_WEBHOOK_URL=http://127.0.0.1:9/webhook"],
            // Docker's own check runs a program in the container again and again; nothing here reads its result.
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": world.network(),
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": true,
            },
        });
        Self {
            world,
            name: name.to_owned(),
            body,
        }
    }

    /// Sets a variable of its environment; the last one of a name wins.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        if let Some(env) = self.body["Env"].as_array_mut() {
            env.retain(|pair| {
                !pair
                    .as_str()
                    .is_some_and(|pair| pair.starts_with(&format!("{name}=")))
            });
            env.push(format!("{name}={value}").into());
        }
        self
    }

    /// Has it report itself to the controller that is launched so, and soon.
    pub fn reporting_to(self, launch: &Launch) -> Self {
        self.env("AEGIS_WEBHOOK_URL", &launch.url("/webhook"))
            .env("AEGIS_WEBHOOK_TOKEN", WEBHOOK_TOKEN)
            .env("MONITOR_INTERVAL_MS", "100")
    }

    /// Sets a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.body["Labels"][name] = value.into();
        self
    }

    /// Limits its memory, without swap on top.
    pub fn memory_mb(mut self, mb: u64) -> Self {
        self.body["HostConfig"]["Memory"] = (mb << 20).into();
        self.body["HostConfig"]["MemorySwap"] = (mb << 20).into();
        self
    }

    /// Sets anything else of the body of `POST /containers/create`, by JSON pointer below `HostConfig`.
    pub fn host_config(mut self, field: &str, value: Value) -> Self {
        self.body["HostConfig"][field] = value;
        self
    }

    /// Makes it, starts it and waits until it answers.
    pub async fn start(self) -> Container {
        let container = Container::make(self.world, &self.name, self.body).await;
        container.answers().await;
        container
    }

    /// Makes it and starts it.
    pub async fn start_unasked(self) -> Container {
        Container::make(self.world, &self.name, self.body).await
    }
}

impl Container {
    /// Makes and starts a container; its label says which world it belongs to.
    pub(crate) async fn make(world: &World, name: &str, mut body: Value) -> Self {
        body["Labels"][World::LABEL] = world.id().into();
        let body: ContainerCreateBody = serde_json::from_value(body).expect("a body for the engine");
        let image = body.image.clone().unwrap_or_default();
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = world.docker().create_container(Some(options), body).await;
        let made = made.unwrap_or_else(|error| {
            panic!(
                "cannot make container {name}: {error} (is image {image} missing? compose/images.sh makes it)"
            )
        });
        let started = world
            .docker()
            .start_container(&made.id, None::<StartContainerOptions>)
            .await;
        started.unwrap_or_else(|error| panic!("cannot start container {name}: {error}"));
        Self::of(world, name, &made.id)
    }

    /// A container that is there already.
    pub(crate) fn of(world: &World, name: &str, id: &str) -> Self {
        Self {
            docker: world.docker().clone(),
            network: world.network().to_owned(),
            http: crate::api::http_client(),
            name: name.to_owned(),
            id: id.to_owned(),
        }
    }

    /// Everything the engine says of it.
    pub async fn inspect(&self) -> Value {
        self.try_inspect()
            .await
            .unwrap_or_else(|error| panic!("cannot inspect {}: {error}", self.name))
    }

    /// Everything the engine says of it, if it is there.
    pub async fn try_inspect(&self) -> Result<Value, String> {
        let details = self
            .docker
            .inspect_container(&self.id, None::<InspectContainerOptions>)
            .await;
        let details = details.map_err(|error| error.to_string())?;
        serde_json::to_value(details).map_err(|error| error.to_string())
    }

    /// When its process started.
    pub async fn started_at(&self) -> String {
        self.inspect().await["State"]["StartedAt"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Its present address on the world's network.
    pub async fn ip(&self) -> Option<IpAddr> {
        let details = self.inspect().await;
        let ip = &details["NetworkSettings"]["Networks"][&self.network]["IPAddress"];
        ip.as_str()?.parse().ok()
    }

    /// GET of a path on its port 8000: status and JSON.
    pub async fn get(&self, path: &str) -> Result<(u16, Value), String> {
        let ip = self
            .ip()
            .await
            .ok_or_else(|| format!("{} has no address", self.name))?;
        let request = self
            .http
            .get(format!("http://{ip}:8000{path}"))
            .timeout(ANSWER_WITHIN);
        let answer = request
            .send()
            .await
            .map_err(|error| format!("{} {path}: {error:?}", self.name))?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Waits until its health answers 200.
    pub async fn answers(&self) {
        let what = format!("{} answers", self.name);
        eventually(&what, async || match self.get("/health").await? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("/health answers {status}: {body}")),
        })
        .await;
    }

    /// Requests a fault and expects it to be accepted.
    pub async fn trigger(&self, fault: &str) {
        let (status, body) = self
            .get(&format!("/trigger_{fault}"))
            .await
            .expect("the patient takes the fault");
        assert_eq!(status, 200, "/trigger_{fault}: {body}");
    }

    /// Fills its memory through its own endpoint until it is above this share of the limit, and answers the share.
    pub async fn fill_memory(&self, percent: f64) -> f64 {
        eventually("the patient's memory fills", async || {
            self.trigger("memory").await;
            let (_, health) = self.get("/health").await?;
            let used = health["memory_percent"].as_f64().unwrap_or_default();
            if used > percent {
                Ok(used)
            } else {
                Err(format!("{used:.1} % in use"))
            }
        })
        .await
    }

    /// `docker pause`: its connections are accepted by the kernel and never answered.
    pub async fn freeze(&self) {
        let paused = self.docker.pause_container(&self.id).await;
        paused.unwrap_or_else(|error| panic!("cannot pause {}: {error}", self.name));
    }

    /// `docker unpause`.
    pub async fn thaw(&self) {
        let unpaused = self.docker.unpause_container(&self.id).await;
        unpaused.unwrap_or_else(|error| panic!("cannot unpause {}: {error}", self.name));
    }

    /// `docker restart`, by a person's hand.
    pub async fn restart_by_hand(&self) {
        let restarted = self
            .docker
            .restart_container(&self.id, None::<RestartContainerOptions>)
            .await;
        restarted.unwrap_or_else(|error| panic!("cannot restart {}: {error}", self.name));
    }

    /// `docker kill`: a lone SIGKILL.
    pub async fn kill(&self) {
        let killed = self
            .docker
            .kill_container(&self.id, None::<KillContainerOptions>)
            .await;
        killed.unwrap_or_else(|error| panic!("cannot kill {}: {error}", self.name));
    }

    /// `docker rm -f`.
    pub async fn remove_by_force(&self) {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let removed = self.docker.remove_container(&self.id, Some(options)).await;
        removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", self.name));
    }

    /// Everything it wrote, human-readable.
    pub async fn log(&self) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let lines = self.docker.logs(&self.id, Some(options));
        let lines: Vec<String> = lines
            .map(|line| line.map_or_else(|error| error.to_string(), |line| line.to_string()))
            .collect()
            .await;
        lines.concat()
    }

    /// The first 12 characters of its id, which are its host name too.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}
