//! How a controller is started: its flags and its environment, and nothing of the environment the tests run in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::binaries::{binary, repository};
use crate::controller::Controller;
use crate::eventually::within;
use crate::world::World;

/// Token of the patients: it may post alerts and nothing else.
pub const WEBHOOK_TOKEN: &str = "webhook-token-of-the-tests";
/// How long a controller may take to refuse.
const REFUSAL: Duration = Duration::from_secs(20);

/// Everything a start needs.
#[derive(Debug, Clone)]
pub struct Launch {
    folder: PathBuf,
    state: PathBuf,
    templates: PathBuf,
    listen: SocketAddr,
    /// Whether it listens at all addresses, and not just at that.
    everywhere: bool,
    gateway: IpAddr,
    flags: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Launch {
    pub(crate) fn new(world: &World) -> Self {
        let keep = ["PATH", "DOCKER_HOST", "AEGIS_DOCKER_SOCK"];
        let kept = keep
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let mut env: BTreeMap<String, String> = kept.collect();
        env.insert("AEGIS_WEBHOOK_TOKEN".to_owned(), WEBHOOK_TOKEN.to_owned());
        env.insert(
            "RUST_LOG".to_owned(),
            "info,aegis_reconcilers=debug,aegis_runtime=debug".to_owned(),
        );
        // Many tests at once on one small machine are no reason not to scale up.
        env.insert("AEGIS_HOST_LOAD_PER_CORE".to_owned(), "1000".to_owned());
        // What is detected by itself is tested where it is the question: elsewhere only what a test reports happens.
        env.insert("AEGIS_DEFAULT_DETECTORS".to_owned(), "false".to_owned());
        env.insert("RUST_BACKTRACE".to_owned(), "1".to_owned());
        Self {
            folder: world.folder().to_owned(),
            state: world.state(),
            templates: repository().join("lb-templates"),
            listen: free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            everywhere: false,
            gateway: world.gateway(),
            flags: Vec::new(),
            env,
        }
    }

    /// Listens where the world's containers reach it.
    pub fn reachable_from_containers(mut self) -> Self {
        self.listen = free_port(self.gateway);
        self.env("AEGIS_INSECURE", "true")
    }

    /// Listens at every address of this machine, as a controller in a container does.
    pub fn reachable_everywhere(mut self) -> Self {
        self.listen = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            free_port(Ipv4Addr::UNSPECIFIED.into()).port(),
        );
        self.everywhere = true;
        self.env("AEGIS_INSECURE", "true")
    }

    /// Gives the state directory the default detectors.
    pub fn default_detectors(self) -> Self {
        self.env("AEGIS_DEFAULT_DETECTORS", "true")
    }

    /// Another flag.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Another variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without a variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Dies, as by `kill -9`, at this point of its work.
    pub fn dying_at(self, point: &str) -> Self {
        crate::binaries::controller_with_fault_points();
        self.env("AEGIS_FAULT", point)
    }

    /// Takes its load balancer templates from here.
    pub fn templates(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.templates);
        self
    }

    /// A state directory of another name in the world's folder.
    pub fn state(mut self, name: &str) -> Self {
        self.state = self.folder.join(name);
        self
    }

    /// Its address for clients.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Controller {
        let mut controller = self.start_unasked();
        controller.is_ready().await;
        controller
    }

    /// Starts it.
    pub fn start_unasked(self) -> Controller {
        let (child, log) = self.spawn();
        Controller::new(self, child, log)
    }

    /// Starts it, expects it to refuse, and answers how it ended and what it said.
    pub async fn refusal(self) -> (ExitStatus, String) {
        let (mut child, log) = self.spawn();
        let status = within(REFUSAL, "the controller refuses to start", async || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it goes on running".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        (status, std::fs::read_to_string(log).unwrap_or_default())
    }

    pub(crate) fn spawn(&self) -> (Child, PathBuf) {
        let program = binary("aegis-controller");
        let number = (1..)
            .find(|number| !self.log(*number).exists())
            .unwrap_or_default();
        let path = self.log(number);
        let log = File::create(&path).expect("a log file");
        let mut command = Command::new(program);
        let wanted = std::env::var("RUST_LOG").map(|filter| ("RUST_LOG", filter));
        command.env_clear().envs(&self.env).envs(wanted.ok());
        command.arg("--state-dir").arg(&self.state);
        let all = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.listen.port());
        let listen = if self.everywhere { all } else { self.listen };
        command.arg("--listen").arg(listen.to_string());
        command.arg("--lb-templates").arg(&self.templates);
        command.args(&self.flags).current_dir(&self.folder);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let child = command.spawn().expect("the controller's binary starts");
        (child, path)
    }

    fn log(&self, number: u32) -> PathBuf {
        self.folder.join(format!("controller-{number}.log"))
    }
}

/// A port that no process listens on. Below those that the kernel picks for outgoing connections, which could otherwise take
/// it before its controller does, and never the same one twice in this process.
pub fn free_port(ip: IpAddr) -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().expect("the lock is not poisoned");
    for _ in 0..1000 {
        let port = rand::random_range(15_000_u16..30_000);
        let address = SocketAddr::new(ip, port);
        if !given.contains(&port) && TcpListener::bind(address).is_ok() {
            given.insert(port);
            return address;
        }
    }
    panic!("no port is free between 15000 and 30000");
}
