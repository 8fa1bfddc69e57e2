//! A world's cockpit: the real image, with a controller of the world's behind it, and a real browser before it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::json;

use crate::binaries::repository;
use crate::container::Container;
use crate::eventually;
use crate::world::World;

/// How long the browser may be busy with one step before it counts as hanging.
const STEP: Duration = Duration::from_secs(180);
/// How a line begins in which the browser requests something.
const ASKS: &str = "@ ";

/// The container that serves the page.
#[derive(Debug)]
pub struct Cockpit {
    /// Where a browser finds it.
    pub url: String,
    /// The container.
    pub container: Container,
}

impl Cockpit {
    /// The cockpit of a controller that listens at this address.
    pub async fn start(world: &World, controller: SocketAddr) -> Self {
        let config = world.folder().join("controller.conf");
        std::fs::write(&config, format!("set $controller {controller};\n"))
            .expect("a file in the world's folder");
        let body = json!({
            "Image": "aegisops/cockpit:dev",
            "Labels": {},
            "HostConfig": {
                "NetworkMode": world.network(),
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": true,
                "Tmpfs": {"/tmp": ""},
                "Binds": [format!("{}:/etc/nginx/controller.conf:ro", config.display())],
            },
        });
        let container = Container::make(world, &world.name("cockpit"), body).await;
        let http = crate::api::http_client();
        let url = eventually("the cockpit answers", async || {
            let ip = container.ip().await.ok_or("it has no address")?;
            let url = format!("http://{ip}:3000");
            let answer = http.get(format!("{url}/cockpit-health")).send().await;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            if answer.status().is_success() {
                Ok(url)
            } else {
                Err(answer.status().to_string())
            }
        })
        .await;
        Self { url, container }
    }
}

/// The browser: a Node program that drives Chromium, and asks this test for what only it can do.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    answers: ChildStdin,
    lines: Receiver<String>,
}

impl Browser {
    /// Starts a script of `cockpit-web/e2e` with these variables.
    pub fn start(script: &str, variables: &[(&str, &str)]) -> Self {
        let folder = repository().join("cockpit-web");
        assert!(
            folder.join("node_modules/playwright-core").is_dir(),
            "the browser's driver is missing: run `compose/cockpit.sh packages` (as `make test` does)"
        );
        let mut child = Command::new("node")
            .arg(format!("e2e/{script}"))
            .current_dir(folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts (the cockpit needs Node 20)");
        let answers = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            answers,
            lines,
        }
    }

    /// What it requests next; `None` when it has ended well. What it says besides is shown.
    pub fn asks(&mut self) -> Option<String> {
        loop {
            match self.lines.recv_timeout(STEP) {
                Ok(line) => match line.strip_prefix(ASKS) {
                    Some(what) => return Some(what.to_owned()),
                    None => println!("{line}"),
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the browser has said nothing for {} s", STEP.as_secs())
                }
            }
        }
        let status = self.child.wait().expect("the browser can be waited for");
        assert!(
            status.success(),
            "the browser found something wrong: {status}; what it said is above"
        );
        None
    }

    /// Reports to it that its request is done.
    pub fn done(&mut self) {
        writeln!(self.answers, "done").expect("the browser listens");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        if !ended && let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("the browser could not be ended: {error}");
        }
    }
}
