//! An nginx inside a container of the fake engine: it checks and loads the files that are in its container, and answers
//! from what it has loaded, not from what was written since. Pure.

mod config;
mod syntax;

use std::collections::BTreeMap;

use aegis_api::Time;
use aegis_api::observed::ProcessRow;
use tokio::time::Instant;

pub(super) use config::{Config, Route};

use super::FakeEngine;
use super::effects::{Actor, Op};
use super::lifecycle::{Due, End, Timer};
use super::world::World;

/// The main configuration unless a command names another.
pub(super) const MAIN: &str = "/etc/nginx/nginx.conf";

/// One configuration that an nginx has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedConfig {
    /// When it began to serve it.
    pub at: Time,
    /// Container name.
    pub container: String,
    /// What `location = /aegis-revision` answers.
    pub revision: Option<String>,
    /// Upstream → its servers as written (`172.18.0.2:8000`), without those marked `down`.
    pub upstreams: BTreeMap<String, Vec<String>>,
    /// The files it was loaded from, main configuration first, one after the other.
    pub text: String,
}

#[derive(Default)]
pub(super) struct Nginx {
    loaded: Option<Config>,
    /// The configuration before it, while workers that know no other still take requests.
    before: Option<(Config, Instant)>,
    /// Process id of the worker that knows what is loaded.
    worker: i64,
    /// The worker of each earlier configuration, and when it is gone.
    old_workers: Vec<(i64, Instant)>,
    /// Requests taken so far; picks the worker, and the next server.
    pub(super) turn: usize,
}

impl Nginx {
    /// What the load balancer's image holds.
    pub(super) fn image_files() -> BTreeMap<String, Vec<u8>> {
        let main = "worker_processes auto;\nevents { }\nhttp {\n    include /etc/nginx/conf.d/*.conf;\n}\n\
                    stream {\n    include /etc/nginx/stream.d/*.conf;\n}\n";
        let seed = "server {\n    listen 80 default_server;\n    location = /lb-health { return 200 '{\"status\":\"ok\"}'; }\n    \
                    location / { return 503 'no backend yet'; }\n}\n";
        [
            (MAIN, main),
            ("/etc/nginx/conf.d/upstream.conf", seed),
            ("/etc/nginx/mime.types", "types { }\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into_iter()
        .collect()
    }

    pub(super) fn unload(&mut self) {
        self.loaded = None;
        self.before = None;
        self.old_workers.clear();
    }

    /// What the worker knows that takes the next request.
    pub(super) fn config(&self, now: Instant) -> Option<&Config> {
        let before = self
            .before
            .as_ref()
            .filter(|(_, until)| now < *until && self.turn.is_multiple_of(2));
        before.map(|(config, _)| config).or(self.loaded.as_ref())
    }

    /// Processes at `now`, with the titles they give themselves, master first.
    pub(super) fn processes(&self, master: i64, now: Instant) -> Vec<ProcessRow> {
        let mut rows = vec![
            process_row(master, "master process nginx -g daemon off;"),
            process_row(self.worker, "worker process"),
        ];
        let old = self.old_workers.iter().filter(|(_, until)| *until > now);
        rows.extend(old.map(|(pid, _)| process_row(*pid, "worker process is shutting down")));
        rows
    }
}

fn process_row(pid: i64, title: &str) -> ProcessRow {
    ProcessRow {
        pid,
        command: format!("nginx: {title}"),
    }
}

impl World {
    /// Reads and checks a container's nginx configuration; the error is what nginx says.
    pub(super) fn check_nginx(&self, id: &str, main: &str) -> Result<Config, String> {
        let Some(container) = self.get(id) else {
            return Err("no such container".to_owned());
        };
        let resolves = |host: &str| self.resolves(host);
        Config::load(&container.files, main, &resolves)
    }

    /// Docker's DNS knows containers by name and alias.
    fn resolves(&self, host: &str) -> bool {
        self.containers.values().any(|container| {
            container.is_running()
                && (container.name == host
                    || container.endpoints.values().any(|endpoint| {
                        let aliases = endpoint
                            .settings
                            .get("Aliases")
                            .and_then(serde_json::Value::as_array);
                        aliases
                            .into_iter()
                            .flatten()
                            .any(|alias| alias.as_str() == Some(host))
                    }))
        })
    }

    /// nginx starts with its container; with a configuration that it refuses, it ends at once.
    pub(super) fn boot_nginx(&mut self, id: &str) {
        if self.get(id).is_none_or(|container| container.nginx.is_none()) {
            return;
        }
        match self.check_nginx(id, MAIN) {
            Ok(config) => self.serve(id, config),
            Err(complaint) => {
                self.say(id, true, &complaint);
                self.end_run(
                    id,
                    End {
                        exit_code: 1,
                        oom: false,
                        on_request: false,
                        actor: Actor::Engine,
                    },
                );
            }
        }
    }

    /// A HUP: after a while, nginx loads its files or goes on with what it has.
    pub(super) fn plan_reload(&mut self, id: &str) {
        let at = self.instant + self.options.reload_takes;
        if let Some(container) = self.get(id).filter(|container| container.nginx.is_some()) {
            let timer = Timer {
                at,
                id: container.id.clone(),
                run: container.run,
                what: Due::Reload,
            };
            self.timers.push(timer);
        }
    }

    pub(super) fn reload_nginx(&mut self, id: &str) {
        if self.get(id).is_none_or(|container| !container.is_running()) {
            return;
        }
        match self.check_nginx(id, MAIN) {
            Ok(config) => {
                let until = self.instant + self.options.old_workers_for;
                if let Some(nginx) = self.get_mut(id).and_then(|container| container.nginx.as_mut()) {
                    nginx.old_workers.push((nginx.worker, until));
                }
                self.serve(id, config);
            }
            Err(complaint) => self.say(id, true, &complaint),
        }
    }

    fn serve(&mut self, id: &str, config: Config) {
        let (at, instant) = (self.now, self.instant);
        let accepting = instant + self.options.old_workers_accept_for;
        self.next_pid += 1;
        let worker = self.next_pid;
        let Some(container) = self.get_mut(id) else { return };
        let load = LoadedConfig {
            at,
            container: container.name.clone(),
            revision: config.revision(),
            upstreams: config.upstreams.clone(),
            text: config.text.clone(),
        };
        if let Some(nginx) = &mut container.nginx {
            let before = nginx.loaded.replace(config);
            nginx.before = before.map(|before| (before, accepting));
            nginx.worker = worker;
        }
        self.log(
            id,
            Actor::Engine,
            Op::Reload,
            load.revision.clone().unwrap_or_default(),
        );
        self.loads.push(load);
    }
}

impl FakeEngine {
    /// Every configuration that any nginx has loaded, oldest first: upstream membership over time.
    pub fn loaded_configs(&self) -> Vec<LoadedConfig> {
        self.shared.with(|world| world.loads.clone())
    }

    /// What the nginx of this container serves now.
    pub fn serving_config(&self, container: &str) -> Option<LoadedConfig> {
        self.loaded_configs()
            .into_iter()
            .rev()
            .find(|load| load.container == container)
    }

    /// A file inside a container as it is now.
    pub fn file(&self, container: &str, path: &str) -> Option<Vec<u8>> {
        self.shared.with(|world| {
            world
                .get(container)
                .and_then(|container| container.files.get(path).cloned())
        })
    }
}
