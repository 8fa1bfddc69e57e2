//! The shop on the engine: a network, nginx in front, five services, and what is removed at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::http::Ask;
use crate::scenario::{Role, Setup};

/// Carried by every container and network of the bench; its value is the shop's name.
pub const LABEL: &str = "io.aegisops.test";
/// nginx's image; `compose/images.sh nginx` makes it.
pub const NGINX: &str = "aegisops/nginx:dev";
/// How long a shop may take to answer.
const OPENING: Duration = Duration::from_secs(60);

/// nginx's site where no agent writes it: web is looked up by name, so that another address of it is found within a second.
const SITE: &str = "server {
    listen 80 default_server;
    location / {
        resolver 127.0.0.11 valid=1s ipv6=off;
        set $web web;
        proxy_pass http://$web:8000;
        proxy_connect_timeout 1s;
    }
}
";

/// How an agent wants the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Docker's restart policy of the five services.
    pub restart_policy: &'static str,
    /// Whether the agent writes nginx's site; else it is mounted read-only.
    pub writes_site: bool,
}

/// A shop that is open.
#[derive(Debug, Clone)]
pub struct Shop {
    /// The engine it runs on.
    pub engine: Engine,
    /// Its name: the prefix of its containers, and its network.
    pub name: String,
    image: String,
    wishes: Wishes,
    setup: Setup,
    folder: PathBuf,
}

impl Shop {
    /// Makes the image of the services where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made, or nginx's is missing.
    pub async fn image(engine: &Engine) -> anyhow::Result<String> {
        use sha2::Digest as _;
        ensure!(
            engine.has_image(NGINX).await?,
            "the image {NGINX} is missing: run compose/images.sh nginx"
        );
        let program = beside("sre-bench-shop")?;
        let hash = sha2::Sha256::digest(std::fs::read(&program)?);
        let tag: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let image = format!("aegisops/sre-bench-shop:{tag}");
        if !engine.has_image(&image).await? {
            engine.import(&program, &image).await?;
            engine.remove_other_images(&image).await?;
        }
        Ok(image)
    }

    /// Opens one.
    ///
    /// # Errors
    /// Where the engine refuses or a service does not start.
    pub async fn open(
        engine: &Engine,
        image: &str,
        name: &str,
        setup: &Setup,
        wishes: Wishes,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let shop = Self {
            engine: engine.clone(),
            name: name.to_owned(),
            image: image.to_owned(),
            wishes,
            setup: setup.clone(),
            folder: folder.to_owned(),
        };
        shop.close().await?;
        let network = json!({"Name": name, "Labels": {LABEL: name}});
        engine.post("/networks/create", &network).await?;
        if setup.payments {
            shop.start(Role::Payments, &BTreeMap::new()).await?;
        }
        for role in Role::SHOP {
            shop.start(role, &BTreeMap::new()).await?;
        }
        shop.start_front().await?;
        Ok(shop)
    }

    /// A container's name.
    pub fn container(&self, role: Role) -> String {
        format!("{}-{role}", self.name)
    }

    /// Creates and starts a service.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn start(&self, role: Role, env: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let differs = self.setup.containers.get(&role).cloned().unwrap_or_default();
        let mut all = BTreeMap::from([("SHOP_ROLE".to_owned(), role.to_string())]);
        if self.setup.payments {
            all.insert("SHOP_PAYMENTS".to_owned(), "1".to_owned());
        }
        all.extend(differs.env.clone());
        all.extend(env.clone());
        let env: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut labels = differs.labels.clone();
        labels.insert(LABEL.to_owned(), self.name.clone());
        let policy = match role {
            Role::Payments => "no",
            _ => self.wishes.restart_policy,
        };
        let second = 1_000_000_000_i64;
        let body = json!({
            "Image": self.image,
            "Env": env,
            "Labels": labels,
            "Healthcheck": {
                "Test": ["CMD", "/shop", "check"],
                "Interval": 5 * second,
                "Timeout": 2 * second,
                "StartPeriod": 3 * second,
                "Retries": 2,
            },
            "HostConfig": {
                "NetworkMode": self.name,
                "RestartPolicy": {"Name": policy},
                "Memory": bytes(differs.memory.as_deref().unwrap_or("64m"))?,
                "MemorySwap": bytes(differs.memory.as_deref().unwrap_or("64m"))?,
                "NanoCpus": nano_cpus(differs.cpus.as_deref().unwrap_or("0.5"))?,
                "PidsLimit": differs.pids.unwrap_or(128),
                "Tmpfs": differs.tmpfs.iter().map(|(path, size)| (path.clone(), format!("size={size}"))).collect::<BTreeMap<_, _>>(),
            },
            "NetworkingConfig": {"EndpointsConfig": {&self.name: {"Aliases": [role.name()]}}},
        });
        let name = self.container(role);
        self.engine.create(&name, &body).await?;
        self.engine.act(&name, "start").await
    }

    /// Starts a container that is no part of the shop.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn start_stranger(&self, name: &str, env: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let env: Vec<String> = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let name = format!("{}-{name}", self.name);
        let body = json!({
            "Image": self.image,
            "Env": env,
            "Labels": {LABEL: &self.name},
            "HostConfig": {"NetworkMode": &self.name, "Memory": bytes("64m")?},
        });
        self.engine.create(&name, &body).await?;
        self.engine.act(&name, "start").await
    }

    async fn start_front(&self) -> anyhow::Result<()> {
        let mut host = json!({
            "NetworkMode": self.name,
            "ReadonlyRootfs": true,
            "Tmpfs": {"/tmp": ""},
            "Memory": bytes("128m")?,
        });
        let mut body = json!({"Image": NGINX, "Labels": {LABEL: &self.name}});
        if self.wishes.writes_site {
            body["Volumes"] = json!({"/etc/nginx/conf.d": {}});
        } else {
            let site = self.folder.join("site.conf");
            std::fs::write(&site, SITE)?;
            host["Binds"] = json!([format!("{}:/etc/nginx/conf.d/upstream.conf:ro", site.display())]);
        }
        body["HostConfig"] = host;
        let name = self.container(Role::Front);
        self.engine.create(&name, &body).await?;
        self.engine.act(&name, "start").await
    }

    /// Where a service is reached from this machine.
    ///
    /// # Errors
    /// Where it has no address.
    pub async fn address(&self, role: Role) -> anyhow::Result<SocketAddr> {
        let name = self.container(role);
        let (_, value) = self
            .engine
            .inspect(&name)
            .await?
            .with_context(|| format!("{name} does not exist"))?;
        let ip = &value["NetworkSettings"]["Networks"][&self.name]["IPAddress"];
        let ip = ip.as_str().unwrap_or_default();
        let port = if role == Role::Front { 80 } else { 8000 };
        format!("{ip}:{port}")
            .parse()
            .with_context(|| format!("{name} has no address in {}", self.name))
    }

    /// Waits until users are served.
    ///
    /// # Errors
    /// Where they are not in time.
    pub async fn serves(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut in_a_row = 0;
        let mut last = String::new();
        while begun.elapsed() < OPENING {
            let front = self.address(Role::Front).await?.to_string();
            for path in ["/", "/catalog", "/report"] {
                match Ask::get(&front, path).send().await {
                    Ok((200, _)) => in_a_row += 1,
                    Ok((status, body)) => {
                        in_a_row = 0;
                        last = format!("{status} {}", String::from_utf8_lossy(&body));
                    }
                    Err(error) => {
                        in_a_row = 0;
                        last = format!("{error:#}");
                    }
                }
            }
            if in_a_row >= 9 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("{} does not serve within {OPENING:?}: {last}", self.name)
    }

    /// Removes all that carries its label or is in its network, and the network.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn close(&self) -> anyhow::Result<()> {
        let mut ids = self
            .engine
            .list("label", &format!("{LABEL}={}", self.name))
            .await?;
        ids.extend(self.engine.list("network", &self.name).await.unwrap_or_default());
        ids.sort();
        ids.dedup();
        for id in ids {
            self.engine.remove(&id).await?;
        }
        let exists = self.engine.get(&format!("/networks/{}", self.name)).await.is_ok();
        if exists {
            self.engine.remove_network(&self.name).await?;
        }
        Ok(())
    }
}

/// A program that was built with this one.
///
/// # Errors
/// Where it is missing.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    // A test lives in target/…/deps, a program in the folder above.
    let places = this.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let mut found = places.filter(|path| path.is_file());
    found
        .next()
        .with_context(|| format!("{name} is missing beside {}: build the workspace", this.display()))
}

fn bytes(text: &str) -> anyhow::Result<i64> {
    let number = text
        .strip_suffix('m')
        .with_context(|| format!("{text:?} is no size: write megabytes, such as 64m"))?;
    Ok(number.parse::<i64>()? << 20)
}

fn nano_cpus(text: &str) -> anyhow::Result<Value> {
    let thousandths: f64 = text.parse::<f64>()? * 1000.0;
    let text = format!("{thousandths:.0}000000");
    Ok(serde_json::from_str(&text)?)
}

/// Limits of CPU for `update`.
///
/// # Errors
/// Where it is no number.
pub fn cpus(text: &str) -> anyhow::Result<Value> {
    Ok(json!({"NanoCpus": nano_cpus(text)?}))
}
