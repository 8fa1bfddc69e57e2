//! Debian's own Prometheus and Alertmanager as processes of a test, on loopback ports, with everything they keep in the
//! world's folder. `compose/monitoring.sh` fetches them; no service is installed.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::eventually;
use crate::launch::free_port;
use crate::world::World;

/// A program that answers HTTP. Dropping it ends it.
#[derive(Debug)]
pub struct Monitor {
    program: &'static str,
    flags: Vec<String>,
    folder: PathBuf,
    address: SocketAddr,
    http: reqwest::Client,
    child: Child,
}

impl Monitor {
    /// Prometheus with this configuration, ready.
    pub async fn prometheus(world: &World, config: &str) -> Self {
        let flags = |folder: &Path| {
            let storage = format!("--storage.tsdb.path={}", folder.display());
            vec![storage, "--rules.alert.resend-delay=1s".to_owned()]
        };
        Self::start(world, "prometheus", config, flags).await
    }

    /// Alertmanager with this configuration, ready.
    pub async fn alertmanager(world: &World, config: &str) -> Self {
        let flags = |folder: &Path| {
            let storage = format!("--storage.path={}", folder.display());
            // Alone: it looks for no others.
            vec![storage, "--cluster.listen-address=".to_owned()]
        };
        Self::start(world, "prometheus-alertmanager", config, flags).await
    }

    async fn start(
        world: &World,
        program: &'static str,
        config: &str,
        flags: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let config = world.file(&format!("{program}.yml"), config);
        let folder = world.folder().join(format!("{program}-data"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut all = flags(&folder);
        all.push(format!("--config.file={}", config.display()));
        all.push(format!("--web.listen-address={address}"));
        let child = spawn(program, &all, &folder);
        let mut monitor = Self {
            program,
            flags: all,
            folder,
            address,
            http: crate::api::http_client(),
            child,
        };
        monitor.is_ready().await;
        monitor
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// GET of its API, as JSON.
    ///
    /// # Errors
    ///
    /// It does not answer, or not with 200 and JSON.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("http://{}{path}", self.address);
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() => Ok(value),
            _ => Err(format!("{} {path}: {status} {text}", self.program)),
        }
    }

    /// Ends it as an administrator does, and starts it again where it was.
    pub async fn restart(&mut self) {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let id = id.expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .expect("a process of ours takes a signal");
        eventually(&format!("{} ends", self.program), async || {
            match self.child.try_wait() {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.child = spawn(self.program, &self.flags, &self.folder);
        self.is_ready().await;
    }

    async fn is_ready(&mut self) {
        let url = format!("http://{}/-/ready", self.address);
        let (http, child, program, folder) = (&self.http, &mut self.child, self.program, &self.folder);
        eventually(&format!("{program} is ready"), async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{program} ended with {status}:\n{}", said(program, folder));
            }
            let answer = http
                .get(&url)
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;
            match answer.status().is_success() {
                true => Ok(()),
                false => Err(answer.status().to_string()),
            }
        })
        .await;
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait().map(|_| ()));
        if let Err(error) = killed {
            eprintln!("{} could not be ended: {error}", self.program);
        }
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.program, said(self.program, &self.folder));
        }
    }
}

fn log(program: &str, folder: &Path) -> PathBuf {
    folder.with_file_name(format!("{program}.log"))
}

fn said(program: &str, folder: &Path) -> String {
    std::fs::read_to_string(log(program, folder)).unwrap_or_default()
}

fn spawn(program: &'static str, flags: &[String], folder: &Path) -> Child {
    let mut options = File::options();
    let log = options
        .create(true)
        .append(true)
        .open(log(program, folder))
        .expect("a log file");
    let mut command = Command::new(found(program));
    command
        .args(flags)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null());
    command
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Where `compose/monitoring.sh` has put it: in cargo's target folder, some way above this program.
fn found(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let mut places = test
        .ancestors()
        .map(|folder| folder.join("monitoring/usr/bin").join(program));
    places.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{program} is missing: run `make test`, or compose/monitoring.sh before the tests")
    })
}
