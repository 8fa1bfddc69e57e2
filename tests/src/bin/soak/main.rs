//! `make soak`: the controller as it ships but for the fault points by which its clock can be set, with the bounds that ship,
//! under a storm for half an hour, on loopback and in a folder of its own: 100,000 distinct alerts from eight tokens, readers
//! that read slowly or not at all, an engine that goes away and comes back, a disk that fills and empties (where a tmpfs may be
//! mounted), a clock that is set ahead and back. Then a `kill -9`. Says what is resident every ten seconds; ends with 1 if
//! something was lost, something was stuck, the clock took something with it, or memory still grew in the last third.
//!
//! `AEGIS_SOAK_MINUTES` (30), `AEGIS_SOAK_ALERTS` (100,000), `AEGIS_BENCH_CONTROLLER` (another program).

mod clock;
mod disk;
mod engine;
mod resident;
mod senders;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_tests::binaries::{binary, repository};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use clock::Clock;
use disk::Disk;
use engine::Engine;
use resident::Resident;
use senders::{Senders, Storm};

/// Memory may grow so much in a minute, kB: in the last third, and in all but the first, in which less is hidden by what a storm
/// takes and gives back.
const SLOPE: f64 = 102.4;
/// How often memory is said.
const EVERY: Duration = Duration::from_secs(10);
/// How long the controller may take to start, and to answer.
const START: Duration = Duration::from_secs(60);
const KINDS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default";

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match soak().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

fn setting(name: &str, default: u32) -> u32 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

async fn soak() -> Result<()> {
    let minutes = setting("AEGIS_SOAK_MINUTES", 30).max(1);
    let length = Duration::from_secs(60) * minutes;
    let storm = Storm {
        alerts: setting("AEGIS_SOAK_ALERTS", 100_000),
        over: length,
    };
    let folder = tempfile::tempdir()?;
    let disk = Disk::over(&folder.path().join("disk"))?;
    let engine = Engine::start(&folder.path().join("engine.sock"))?;
    let mut clock = Clock::new(folder.path())?;
    let mut controller = Soaked::start(folder.path(), &disk, &engine, clock.as_ref())?;
    controller.is_ready().await?;
    let token = controller.admin_token(&disk)?;
    let api = Api::new(controller.address, token)?;
    api.prepare().await?;
    say(&format!(
        "{minutes} minutes, {} alerts; the controller is process {}",
        storm.alerts,
        controller.child.id()
    ));
    let senders = Senders::start(&api, &storm).await?;
    if let Some(clock) = &mut clock {
        clock.begin(&api).await?;
    }
    let mut resident = Resident::default();
    let begin = Instant::now();
    let mut late = 0_u32;
    while begin.elapsed() < length {
        tokio::time::sleep(EVERY).await;
        if let Some(status) = controller.child.try_wait()? {
            bail!("the controller ended with {status}");
        }
        let elapsed = begin.elapsed();
        engine.step(elapsed);
        disk.step(elapsed)?;
        if let Some(clock) = &mut clock {
            clock.step(elapsed, &api, senders.taken(), disk.is_full()).await?;
        }
        let alive = api.is_alive().await;
        late += u32::from(!alive);
        let kb = resident.read(controller.child.id(), elapsed)?;
        say(&format!(
            "{:>5} s  {:>7} kB resident  {}  engine {}  disk {}  {}{}",
            elapsed.as_secs(),
            kb,
            senders.summary(),
            if engine.is_up() { "up" } else { "away" },
            disk.summary(),
            clock.as_ref().map(Clock::summary).unwrap_or_default(),
            if alive {
                ""
            } else {
                "  /healthz did not answer within 5 s"
            },
        ));
    }
    engine.up();
    disk.empty()?;
    if let Some(clock) = &mut clock {
        clock.reset()?;
    }
    let acknowledged = senders.end().await;
    let counted = api.settled_count(acknowledged).await?;
    let (at_the_end, since_full) = (resident.growth(length * 2 / 3), resident.growth(length / 3));
    controller.kill()?;
    let mut controller = Soaked::start(folder.path(), &disk, &engine, clock.as_ref())?;
    controller.is_ready().await?;
    let api = api.at(controller.address);
    let after = api.count().await?;
    controller.kill()?;
    say(&format!(
        "{acknowledged} acknowledged, {counted} counted, {after} after kill -9; {late} late answers; memory grew by {at_the_end} in the last third, by {since_full} in the last two"
    ));
    ensure!(
        counted >= acknowledged,
        "{} acknowledged alerts are lost",
        acknowledged - counted
    );
    ensure!(
        after >= acknowledged,
        "{} acknowledged alerts are lost by kill -9",
        acknowledged.saturating_sub(after)
    );
    ensure!(late == 0, "/healthz was late {late} times");
    for growth in [at_the_end, since_full] {
        ensure!(!growth.is_more_than(SLOPE), "memory still grows: {growth}");
    }
    say("nothing lost, nothing stuck, nothing grows");
    match &clock {
        Some(clock) => say(&format!("the clock was set {} times", clock.steps())),
        None => say(
            "not covered: steps of the clock, for the controller was built without --features fault-points",
        ),
    }
    Ok(())
}

/// The controller's process. Dropping it kills it.
struct Soaked {
    child: Child,
    address: SocketAddr,
}

impl Soaked {
    fn start(folder: &Path, disk: &Disk, engine: &Engine, clock: Option<&Clock>) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("controller.log"))?;
        let mut command = Command::new(binary("aegis-controller"));
        command
            .env_clear()
            .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
        command
            .env("RUST_LOG", "warn")
            .env("AEGIS_WEBHOOK_TOKEN", "webhook-token-of-the-soak");
        if let Some((name, file)) = clock.map(Clock::variable) {
            command.env(name, file);
        }
        command.arg("--state-dir").arg(disk.folder().join("state"));
        command.arg("--listen").arg(address.to_string());
        command
            .arg("--lb-templates")
            .arg(repository().join("lb-templates"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("the controller starts")?;
        Ok(Self { child, address })
    }

    async fn is_ready(&mut self) -> Result<()> {
        let (http, begin) = (client(1)?, Instant::now());
        let url = format!("http://{}/healthz", self.address);
        while begin.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                bail!("the controller ended with {status} at its start");
            }
            if http
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the controller does not answer within {START:?}")
    }

    fn admin_token(&self, disk: &Disk) -> Result<String> {
        let path = disk.folder().join("state/.secrets/admin-token");
        let token = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(token.trim().to_owned())
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Soaked {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// What is asked of the controller.
#[derive(Clone)]
struct Api {
    address: SocketAddr,
    http: reqwest::Client,
    token: Arc<str>,
}

fn client(connections: usize) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(connections)
        .no_proxy();
    Ok(client.timeout(Duration::from_secs(30)).build()?)
}

impl Api {
    fn new(address: SocketAddr, token: String) -> Result<Self> {
        Ok(Self {
            address,
            http: client(4)?,
            token: token.into(),
        })
    }

    fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(self.url(path)).bearer_auth(&self.token).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Nothing is done about the alerts: what is soaked is what takes them.
    async fn prepare(&self) -> Result<()> {
        let policy = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "RemediationPolicy",
            "metadata": {"name": "off"}, "spec": {"mode": "Off"}});
        self.post(&format!("{KINDS}/remediationpolicies"), &policy)
            .await?;
        for number in (0..senders::NAMES).filter(|number| senders::is_known(*number)) {
            let name = senders::name(number);
            let workload = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
                "metadata": {"name": name}, "spec": {"container": name}});
            self.post(&format!("{KINDS}/workloads"), &workload).await?;
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(self.url(path)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Logs a browser in; answers its cookie, and the secret of its page.
    async fn log_in(&self) -> Result<(String, String)> {
        let body = json!({"token": self.token});
        let request = self.http.post(self.url("/auth/login")).json(&body);
        let answer = request.send().await?.error_for_status()?;
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.context("a login answers a cookie")?.to_owned();
        let view: Value = answer.json().await?;
        let csrf = view["csrfToken"]
            .as_str()
            .context("a login answers the page's secret")?;
        Ok((cookie, csrf.to_owned()))
    }

    /// What this browser is answered.
    async fn session(&self, cookie: &str, csrf: &str) -> Result<u16> {
        let request = self.http.get(self.url("/auth/session"));
        let request = request.header("cookie", cookie).header("x-csrf-token", csrf);
        Ok(request.send().await?.status().as_u16())
    }

    /// What the holder of this token is answered.
    async fn whoami(&self, token: &str) -> Result<u16> {
        let request = self.http.get(self.url("/auth/session")).bearer_auth(token);
        Ok(request.send().await?.status().as_u16())
    }

    /// How many incidents there are.
    async fn incidents(&self) -> Result<u64> {
        let page = self.get(&format!("{KINDS}/incidents?limit=1")).await?;
        let listed = page["items"].as_array().map_or(0, Vec::len);
        let more = page["metadata"]["remainingItemCount"]
            .as_u64()
            .unwrap_or_default();
        Ok(more + u64::try_from(listed).unwrap_or_default())
    }

    /// A token of its own for a sender.
    async fn sender_token(&self, name: &str) -> Result<String> {
        let made = self
            .post("/auth/tokens", &json!({"name": name, "role": "webhook"}))
            .await?;
        let token = made["token"].as_str().context("a token was made")?;
        Ok(token.to_owned())
    }

    async fn is_alive(&self) -> bool {
        let answer = self
            .http
            .get(self.url("/healthz"))
            .timeout(Duration::from_secs(5))
            .send();
        answer.await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Alerts that are counted on incidents about workloads.
    async fn count(&self) -> Result<u64> {
        let (mut count, mut next) = (0, String::new());
        loop {
            let path = format!("{KINDS}/incidents?limit=500&continue={next}");
            let request = self.http.get(self.url(&path)).bearer_auth(&self.token);
            let page: Value = request.send().await?.error_for_status()?.json().await?;
            for incident in page["items"].as_array().into_iter().flatten() {
                let container = incident["spec"]["containerName"].as_str().unwrap_or_default();
                let number = container
                    .strip_prefix("soak-")
                    .and_then(|number| number.parse().ok());
                if number.is_some_and(senders::is_known) {
                    count += incident["spec"]["count"].as_u64().unwrap_or(1);
                }
            }
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => return Ok(count),
            }
        }
    }

    /// The same, once repeats that are counted in memory are written: they are within a second or so.
    async fn settled_count(&self, acknowledged: u64) -> Result<u64> {
        let mut counted = 0;
        for _ in 0..30 {
            counted = self.count().await?;
            if counted >= acknowledged {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(counted)
    }
}
