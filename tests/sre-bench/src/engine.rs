//! A small client of the Docker Engine's API, of the bench's own. What it reads is what `docker inspect` shows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::http::Ask;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(40);

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
}

/// What the oracle compares of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Its name, without the slash.
    pub name: String,
    /// `SHOP_ROLE` of its environment.
    pub role: Option<String>,
    /// `State.StartedAt`.
    pub started: String,
    /// `State.Status`.
    pub status: String,
    /// `State.Health.Status`.
    pub health: String,
    /// Names of its networks.
    pub networks: BTreeSet<String>,
    /// Limits: memory, nano CPUs.
    pub limits: (i64, i64),
}

impl Engine {
    /// The engine that `DOCKER_HOST` names, else the one of this machine.
    ///
    /// # Errors
    /// Where it is not reached over a Unix socket.
    pub fn connect() -> anyhow::Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let socket = host
            .strip_prefix("unix://")
            .with_context(|| format!("DOCKER_HOST={host}: the bench needs unix://"))?;
        Ok(Self {
            socket: socket.into(),
        })
    }

    async fn raw(&self, method: Method, path: &str, kind: &str, body: Bytes) -> anyhow::Result<(u16, Bytes)> {
        let ask = Ask {
            method: method.clone(),
            path,
            host: "docker",
            authorization: None,
            content_type: kind,
            body,
            timeout: CALL,
        };
        let answer = ask.send_unix(&self.socket).await;
        answer.with_context(|| format!("{method} {path}"))
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let sent = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let (status, answer) = self.raw(method.clone(), path, "application/json", sent).await?;
        let text = String::from_utf8_lossy(&answer);
        // 304: it is so already.
        ensure!(
            (200..300).contains(&status) || status == 304,
            "{method} {path}: {status} {text}"
        );
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// POST.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, body).await
    }

    /// GET.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Its version.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn version(&self) -> anyhow::Result<String> {
        let version = self.get("/version").await?;
        Ok(version["Version"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Whether it has an image.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn has_image(&self, name: &str) -> anyhow::Result<bool> {
        let path = format!("/images/{name}/json");
        Ok(self
            .raw(Method::GET, &path, "application/json", Bytes::new())
            .await?
            .0
            == 200)
    }

    /// Makes an image out of one program.
    ///
    /// # Errors
    /// Where the program cannot be read or the engine refuses.
    pub async fn import(&self, program: &std::path::Path, name: &str) -> anyhow::Result<()> {
        let content = std::fs::read(program).with_context(|| program.display().to_string())?;
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len())?);
        header.set_mode(0o755);
        archive.append_data(&mut header, "shop", content.as_slice())?;
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let change: String = form_urlencoded::byte_serialize(br#"ENTRYPOINT ["/shop"]"#).collect();
        let path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}&changes={change}");
        let body = archive.into_inner()?.into();
        let (status, answer) = self.raw(Method::POST, &path, "application/x-tar", body).await?;
        ensure!(
            status == 200 && self.has_image(name).await?,
            "the image {name} was not made: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }

    /// Removes the images of a repository but one, as far as no container uses them.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn remove_other_images(&self, name: &str) -> anyhow::Result<()> {
        let repository = name.split(':').next().unwrap_or(name);
        let filters = json!({"reference": [repository]}).to_string();
        let filters: String = form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        let images = self.get(&format!("/images/json?filters={filters}")).await?;
        let images = images.as_array().into_iter().flatten();
        let tags = images.flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
        for tag in tags.filter_map(Value::as_str).filter(|tag| *tag != name) {
            self.raw(
                Method::DELETE,
                &format!("/images/{tag}"),
                "application/json",
                Bytes::new(),
            )
            .await?;
        }
        Ok(())
    }

    /// Creates a container and answers its id.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn create(&self, name: &str, body: &Value) -> anyhow::Result<String> {
        let made = self
            .post(&format!("/containers/create?name={name}"), body)
            .await?;
        match made["Id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => bail!("the engine gave no id for {name}: {made}"),
        }
    }

    /// Does something to a container: `start`, `stop?t=2`, `kill`, `pause`, …
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn act(&self, container: &str, verb: &str) -> anyhow::Result<()> {
        let path = format!("/containers/{container}/{verb}");
        self.post(&path, &Value::Null).await.map(drop)
    }

    /// Removes a container, running or not, and its volumes.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove(&self, container: &str) -> anyhow::Result<()> {
        let path = format!("/containers/{container}?force=1&v=1");
        let (status, answer) = self
            .raw(Method::DELETE, &path, "application/json", Bytes::new())
            .await?;
        let gone = matches!(status, 200..300 | 404 | 409);
        ensure!(
            gone,
            "DELETE {container}: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }

    /// Removes a network.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_network(&self, name: &str) -> anyhow::Result<()> {
        let path = format!("/networks/{name}");
        self.call(Method::DELETE, &path, &Value::Null).await.map(drop)
    }

    /// Ids of the containers that a filter finds, such as `network=x`, running or not.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn list(&self, kind: &str, value: &str) -> anyhow::Result<Vec<String>> {
        let filters = json!({kind: [value]}).to_string();
        let filters: String = form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        let found = self
            .get(&format!("/containers/json?all=1&filters={filters}"))
            .await?;
        let ids = found.as_array().into_iter().flatten();
        Ok(ids
            .filter_map(|container| Some(container["Id"].as_str()?.to_owned()))
            .collect())
    }

    /// What there is to see of a container; nothing where it does not exist.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn inspect(&self, container: &str) -> anyhow::Result<Option<(Seen, Value)>> {
        let path = format!("/containers/{container}/json");
        let (status, answer) = self
            .raw(Method::GET, &path, "application/json", Bytes::new())
            .await?;
        if status == 404 {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(&answer)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let env = value["Config"]["Env"].as_array().into_iter().flatten();
        let role = env
            .filter_map(|entry| entry.as_str()?.strip_prefix("SHOP_ROLE="))
            .next()
            .map(str::to_owned);
        let networks = value["NetworkSettings"]["Networks"].as_object();
        let limits = &value["HostConfig"];
        let seen = Seen {
            id: text(&value["Id"]),
            name: text(&value["Name"]).trim_start_matches('/').to_owned(),
            role,
            started: text(&value["State"]["StartedAt"]),
            status: text(&value["State"]["Status"]),
            health: text(&value["State"]["Health"]["Status"]),
            networks: networks.into_iter().flat_map(|map| map.keys().cloned()).collect(),
            limits: (
                limits["Memory"].as_i64().unwrap_or_default(),
                limits["NanoCpus"].as_i64().unwrap_or_default(),
            ),
        };
        Ok(Some((seen, value)))
    }
}
