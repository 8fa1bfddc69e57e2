//! A world's nginx: what it was given to serve, and what it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::container::Container;
use crate::world::World;

const CONFIG: &str = "/etc/nginx/conf.d/upstream.conf";

/// An nginx container like the stack's own.
#[derive(Debug, Clone)]
pub struct Nginx {
    docker: bollard::Docker,
    http: reqwest::Client,
    /// Its name, and the container's.
    pub name: String,
    /// The container.
    pub container: Container,
}

impl Nginx {
    pub(crate) async fn start(world: &World, name: &str, comes_back: bool) -> Self {
        let policy = if comes_back { "unless-stopped" } else { "no" };
        let body = json!({
            "Image": "aegisops/nginx:dev",
            "Labels": {},
            "Volumes": {"/etc/nginx/conf.d": {}, "/etc/nginx/stream.d": {}},
            "HostConfig": {
                "NetworkMode": world.network(),
                "RestartPolicy": {"Name": policy},
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": true,
                "Tmpfs": {"/tmp": ""},
            },
        });
        let container = Container::make(world, name, body).await;
        Self {
            docker: world.docker().clone(),
            http: crate::api::http_client(),
            name: name.to_owned(),
            container,
        }
    }

    /// A container of this body that runs nginx.
    pub async fn made(world: &World, name: &str, body: Value) -> Self {
        Self {
            docker: world.docker().clone(),
            http: crate::api::http_client(),
            name: name.to_owned(),
            container: Container::make(world, name, body).await,
        }
    }

    /// The files at a path of the container, a file or a folder, by name.
    pub async fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(folder)
            .build();
        let stream = self
            .docker
            .download_from_container(&self.container.id, Some(options));
        let archive: Vec<u8> = stream
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
            .expect("the path can be read");
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice())
            .entries()
            .expect("an archive")
        {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("a content");
            files.insert(path, content);
        }
        files
    }

    /// The configuration file as it lies in the container.
    pub async fn config(&self) -> String {
        let files = self.files(CONFIG).await;
        let content = files.into_values().next().expect("one file");
        String::from_utf8(content).expect("a configuration is UTF-8")
    }

    /// Addresses in its `server` lines.
    pub async fn servers(&self) -> BTreeSet<String> {
        let config = self.config().await;
        let lines = config
            .lines()
            .filter_map(|line| line.trim().strip_prefix("server "));
        let addresses = lines.filter_map(|rest| rest.split([' ', ';']).next());
        addresses
            .filter(|word| word.contains(':'))
            .map(str::to_owned)
            .collect()
    }

    /// GET through nginx: status and body.
    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let ip = self.container.ip().await.ok_or("nginx has no address")?;
        let answer = self
            .http
            .get(format!("http://{ip}{path}"))
            // Over a connection of its own, so that any worker may answer.
            .header("connection", "close")
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    /// The host name of the container that answers a request through nginx.
    pub async fn who_answers(&self) -> Result<String, String> {
        let (status, body) = self.get("/").await?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        match (status, answer["hostname"].as_str()) {
            (200, Some(host)) => Ok(host.to_owned()),
            _ => Err(format!("nginx answers {status}: {body}")),
        }
    }

    /// Everybody who answers a number of requests.
    pub async fn answerers(&self, requests: usize) -> Result<BTreeSet<String>, String> {
        let mut hosts = BTreeSet::new();
        for _ in 0..requests {
            hosts.insert(self.who_answers().await?);
        }
        Ok(hosts)
    }
}
