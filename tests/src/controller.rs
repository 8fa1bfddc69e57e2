//! A running controller: the real binary as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

use crate::api::Api;
use crate::ctl::Ctl;
use crate::eventually;
use crate::launch::Launch;
use crate::live::Live;

/// The process. Dropping it kills it; its log is shown if the test panics.
#[derive(Debug)]
pub struct Controller {
    launch: Launch,
    child: Child,
    log: PathBuf,
}

impl Controller {
    pub(crate) fn new(launch: Launch, child: Child, log: PathBuf) -> Self {
        Self { launch, child, log }
    }

    /// Waits until `/readyz` answers 200.
    pub async fn is_ready(&mut self) {
        let http = crate::api::http_client();
        let url = self.launch.url("/readyz");
        let child = &mut self.child;
        let log = &self.log;
        eventually("the controller is ready", async || {
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                panic!("the controller ended with {status}:\n{said}");
            }
            let answer = http
                .get(&url)
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            let body = answer.text().await.unwrap_or_default();
            if status.is_success() {
                Ok(())
            } else {
                Err(format!("/readyz answers {status}: {body}"))
            }
        })
        .await;
    }

    /// Waits until `/readyz` answers 503, and answers what it says.
    pub async fn is_unready(&self) -> String {
        let token = self.state_dir().join(".secrets/admin-token");
        eventually("the controller says that it is not ready", async || {
            // Why, it says to those who may read.
            let token = std::fs::read_to_string(&token).unwrap_or_default();
            let token = Some(token.trim()).filter(|token| !token.is_empty());
            let api = self.api_as(token);
            match api.ask(api.request(reqwest::Method::GET, "/readyz")).await? {
                (503, why) => Ok(why.to_string()),
                (status, body) => Err(format!("{status} {body}")),
            }
        })
        .await
    }

    /// Its HTTP interface, as an admin.
    pub fn api(&self) -> Api {
        Api::new(&self.launch.url(""), Some(self.admin_token()))
    }

    /// Its HTTP interface with another token, or none.
    pub fn api_as(&self, token: Option<&str>) -> Api {
        Api::new(&self.launch.url(""), token.map(str::to_owned))
    }

    /// The token that it made on its first start.
    pub fn admin_token(&self) -> String {
        let path = self.state_dir().join(".secrets/admin-token");
        let token =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        token.trim().to_owned()
    }

    /// `aegisctl`, pointed at it.
    pub fn ctl(&self) -> Ctl {
        Ctl::new(&self.launch.url(""), &self.admin_token(), self.launch.folder())
    }

    /// Its live stream from now on, as an admin; `query` is what follows `/ws`.
    pub async fn live(&self, query: &str) -> Live {
        Live::connect(
            &self.launch.url(&format!("/ws{query}")),
            Some(&self.admin_token()),
        )
        .await
    }

    /// Its live stream, without a token.
    pub async fn live_as_anybody(&self, query: &str) -> Live {
        Live::connect(&self.launch.url(&format!("/ws{query}")), None).await
    }

    /// A client of its live stream that never reads.
    pub async fn sleeping_client(&self) -> tokio::net::TcpStream {
        crate::live::asleep(&self.launch.url("/ws"), &self.admin_token()).await
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> &Path {
        self.launch.state_dir()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it was started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a process of ours can be waited for");
    }

    /// SIGTERM, and waits until it has ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .expect("a process of ours takes a signal");
        self.ends().await
    }

    /// Waits until it has ended by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        self.ends_at("").await
    }

    async fn ends_at(&mut self, point: &str) -> ExitStatus {
        let child = &mut self.child;
        eventually(&format!("the controller ends {point}"), async || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it goes on running".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Starts it again where it was, with its launch changed, and waits until it is ready.
    pub async fn start_again(&mut self, change: impl FnOnce(Launch) -> Launch) {
        let ended = self.child.try_wait().expect("a process of ours can be asked");
        assert!(ended.is_some(), "it still runs");
        self.launch = change(self.launch.clone());
        (self.child, self.log) = self.launch.spawn();
        self.is_ready().await;
    }

    /// Starts it again where it was.
    pub fn start_again_unasked(&mut self) {
        let ended = self.child.try_wait().expect("a process of ours can be asked");
        assert!(ended.is_some(), "it still runs");
        (self.child, self.log) = self.launch.spawn();
    }

    /// Starts it again, waits until it has died at this point of its work, and starts it once more, for good.
    pub async fn start_again_dying_at(&mut self, point: &str) {
        let ended = self.child.try_wait().expect("a process of ours can be asked");
        assert!(ended.is_some(), "it still runs");
        self.launch = self.launch.clone().dying_at(point);
        (self.child, self.log) = self.launch.spawn();
        let status = self.ends_at(point).await;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(
            signal,
            Some(9),
            "{point}: it died as by kill -9, not with {status}"
        );
        self.start_again(|launch| launch.without_env("AEGIS_FAULT")).await;
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait().map(|_| ()));
        if let Err(error) = killed {
            eprintln!("the controller could not be ended: {error}");
        }
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.launch.folder())
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    eprintln!("--- {} ---\n{text}", entry.file_name().display());
                }
            }
        }
    }
}
