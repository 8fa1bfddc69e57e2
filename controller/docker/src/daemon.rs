//! The real engine: Docker over its socket. Does I/O; decides nothing. The only folder that names bollard.
//!
//! What changes the engine goes through bollard's typed calls; what it answers, and the body of a creation, go as plain
//! JSON (see [`wire`]), so that nothing a container has is lost or refused. Every call opens a connection of its own, so an
//! engine that was restarted is simply there again, and has a bound in time.

mod abridged;
mod archive;
mod create;
mod exec;
mod failure;
mod host_facts;
mod lifecycle;
mod lines;
mod session;
mod streams;
mod target;
mod together;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::bollard::query_parameters::KillContainerOptionsBuilder;
use aegis_api::ContainerId;
use aegis_api::create::CreateSpec;
use aegis_api::observed::{
    ContainerDetails, ContainerSummary, EngineEvent, ExecOutput, FileChange, HostFacts, HostQuery, LogLine,
    ProcessRow, Stats,
};
use aegis_api::probe::HttpRequest;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::json;

use crate::counters::Counters;
use crate::engine::{
    Engine, EngineError, EngineResult, Files, HttpAnswer, ListFilter, LogQuery, ProbeError, Session,
};
use crate::probe::KeptConnection;
use crate::version::EngineInfo;
use crate::{cgroup, convert, probe, script};
use failure::bounded;
use together::Together;
use wire::{Endpoint, encoded};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// bollard's own bound stays above all of ours, which name the operation.
const BOLLARD_BOUND: Duration = Duration::from_secs(2 * 3600);
const READ_BOUND: Duration = Duration::from_secs(10);
const CREATE_BOUND: Duration = Duration::from_secs(30);
const START_BOUND: Duration = Duration::from_secs(30);
const REMOVE_BOUND: Duration = Duration::from_secs(30);
const EXEC_BOUND: Duration = Duration::from_secs(30);
const FILES_BOUND: Duration = Duration::from_secs(30);

/// A Docker engine.
#[derive(Debug)]
pub struct Docker {
    place: Endpoint,
    /// Made with the first call that finds a socket: an engine that is away when we start is no reason to fail.
    api: OnceLock<::bollard::Docker>,
    /// What the engine said of itself; forgotten when it stops answering, as another version may come back.
    info: Mutex<Option<EngineInfo>>,
    /// Id of the state directory whose containers this program makes.
    instance: Option<String>,
    /// Every workload that is reconciled wants the list of all containers.
    lists: Together<Vec<ContainerSummary>>,
    /// What can be read without the engine; none where it listens on a network, and so may be anywhere.
    counters: Option<Arc<Mutex<Counters>>>,
}

impl Docker {
    /// The engine at `host` (`unix:///path` or `tcp://host:port`); `None`: at `DOCKER_HOST`, or the default socket. Does
    /// not connect yet, so it fails only for an address that cannot be one.
    pub fn connect(host: Option<&str>) -> EngineResult<Self> {
        let from_env = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.trim().is_empty());
        let host = host.map(str::to_owned).or(from_env);
        let place = Endpoint::parse(host.as_deref().unwrap_or(DEFAULT_HOST))?;
        let tls = std::env::var("DOCKER_TLS_VERIFY").is_ok_and(|verify| !verify.trim().is_empty());
        if tls && matches!(place, Endpoint::Tcp(_)) {
            let message = "DOCKER_TLS_VERIFY is set, but TLS is not supported: use the engine's socket, or tunnel to it";
            return Err(failure::refused("connect to the engine", message));
        }
        let counters = match place {
            Endpoint::Unix(_) => Some(Arc::default()),
            Endpoint::Tcp(_) => None,
        };
        Ok(Self {
            place,
            api: OnceLock::new(),
            info: Mutex::default(),
            instance: None,
            lists: Together::default(),
            counters,
        })
    }

    /// For the controller of this state directory: what it left half made is completed when it is started. Without, no
    /// label of any container chooses anything.
    pub fn for_instance(self, instance: &str) -> Self {
        Self {
            instance: Some(instance.to_owned()),
            ..self
        }
    }

    fn api(&self, operation: &str) -> EngineResult<&::bollard::Docker> {
        if let Some(api) = self.api.get() {
            return Ok(api);
        }
        let made = match &self.place {
            Endpoint::Unix(path) => {
                let path = path.to_string_lossy();
                ::bollard::Docker::connect_with_unix(
                    &path,
                    BOLLARD_BOUND.as_secs(),
                    ::bollard::API_DEFAULT_VERSION,
                )
            }
            Endpoint::Tcp(address) => ::bollard::Docker::connect_with_http(
                address,
                BOLLARD_BOUND.as_secs(),
                ::bollard::API_DEFAULT_VERSION,
            ),
        };
        let made = made.map_err(|error| failure::of(operation, &error))?;
        Ok(self.api.get_or_init(|| made))
    }

    /// Runs one operation within its bound.
    async fn run<T>(
        &self,
        operation: &str,
        bound: Duration,
        work: impl Future<Output = EngineResult<T>>,
    ) -> EngineResult<T> {
        let start = tokio::time::Instant::now();
        let result = bounded(operation, bound, work).await;
        let milliseconds = start.elapsed().as_millis();
        tracing::debug!(operation, milliseconds, ok = result.is_ok(), "engine");
        if matches!(result, Err(EngineError::Unreachable { .. })) {
            *self.info.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    async fn ask_info(&self) -> EngineResult<EngineInfo> {
        let operation = "read the engine's version";
        let version = self.place.get(operation, "/version");
        let info = self.place.get(operation, "/info");
        let (version, info) = futures::try_join!(version, info)?;
        let info = convert::engine_info(&version, &info);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.clone());
        Ok(info)
    }

    async fn known_info(&self) -> EngineResult<EngineInfo> {
        let known = self.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(info) => Ok(info),
            None => self.ask_info().await,
        }
    }

    async fn list_together(&self, filter: &ListFilter) -> EngineResult<Vec<ContainerSummary>> {
        match filter.labels.is_empty() {
            true => self.lists.ask(self.list_now(filter)).await,
            false => self.list_now(filter).await,
        }
    }

    async fn list_now(&self, filter: &ListFilter) -> EngineResult<Vec<ContainerSummary>> {
        let labels: Vec<String> = filter
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let filters = encoded(&json!({ "label": labels }).to_string());
        let target = format!("/containers/json?all=true&filters={filters}");
        let rows = self
            .place
            .get_abridged("list containers", &target, convert::list)
            .await?;
        rows.ok_or_else(|| failure::odd("list containers", "the answer is no list"))
    }

    /// An engine reads counters once a second for all who wait: one reading may take that long, a hundred at the same time
    /// take no longer.
    async fn stats_now(&self, id: &str, operation: &str) -> EngineResult<Stats> {
        let id = self.target(id, operation).await?;
        let one_shot = if self.known_info().await?.has_one_shot_stats() {
            "&one-shot=true"
        } else {
            ""
        };
        let target = format!("/containers/{id}/stats?stream=false{one_shot}");
        let (stats, interfaces) = self.place.get_with(operation, &target, convert::stats).await?;
        if let Some(counters) = &self.counters {
            let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
            counters.learn(&id, &stats, &interfaces);
        }
        Ok(stats)
    }
}

impl Engine for Docker {
    fn info(&self) -> BoxFuture<'_, EngineResult<EngineInfo>> {
        self.run("read the engine's version", READ_BOUND, self.ask_info())
            .boxed()
    }

    fn list(&self, filter: ListFilter) -> BoxFuture<'_, EngineResult<Vec<ContainerSummary>>> {
        async move {
            self.run("list containers", READ_BOUND, self.list_together(&filter))
                .await
        }
        .boxed()
    }

    fn host_facts<'a>(&'a self, query: &'a HostQuery) -> BoxFuture<'a, EngineResult<HostFacts>> {
        async move {
            let operation = "inspect the host before a stop or a start";
            self.run(operation, READ_BOUND, self.host_facts_now(query, operation))
                .await
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Option<ContainerDetails>>> {
        async move {
            let operation = format!("inspect container {id}");
            self.run(&operation, READ_BOUND, self.inspect_now(id, &operation))
                .await
        }
        .boxed()
    }

    fn create(&self, spec: CreateSpec) -> BoxFuture<'_, EngineResult<String>> {
        async move {
            let operation = format!("create container {}", spec.name);
            self.run(&operation, CREATE_BOUND, self.create_now(spec, &operation))
                .await
        }
        .boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        async move {
            let operation = format!("start container {id}");
            self.run(&operation, START_BOUND, self.start_now(id, &operation))
                .await
        }
        .boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> BoxFuture<'a, EngineResult<()>> {
        async move {
            let operation = format!("stop container {id}");
            self.run(
                &operation,
                lifecycle::LONGEST_STOP,
                self.stop_now(id, grace, &operation),
            )
            .await
        }
        .boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        async move {
            let operation = format!("remove container {id}");
            self.run(&operation, REMOVE_BOUND, self.remove_now(id, &operation))
                .await
        }
        .boxed()
    }

    fn signal<'a>(&'a self, id: &'a str, signal: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        async move {
            let operation = format!("send {signal} to container {id}");
            let send = async {
                let id = self.target(id, &operation).await?;
                let options = KillContainerOptionsBuilder::default().signal(signal).build();
                let sent = self.api(&operation)?.kill_container(&id, Some(options)).await;
                sent.map_err(|error| failure::of(&operation, &error))
            };
            self.run(&operation, READ_BOUND, send).await
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
        input: &'a [u8],
    ) -> BoxFuture<'a, EngineResult<ExecOutput>> {
        async move {
            let operation = format!("run {} in container {id}", script::shown(command));
            let run = async {
                let id = self.target(id, &operation).await?;
                exec::run(self.api(&operation)?, &id, command, input, &operation).await
            };
            self.run(&operation, EXEC_BOUND, run).await
        }
        .boxed()
    }

    fn open_session<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
    ) -> BoxFuture<'a, EngineResult<Box<dyn Session>>> {
        async move {
            let operation = format!("open {} in container {id}", script::shown(command));
            let open = async {
                let id = self.target(id, &operation).await?;
                session::open(self.api(&operation)?, &id, command).await
            };
            self.run(&operation, EXEC_BOUND, open).await
        }
        .boxed()
    }

    fn put_files<'a>(
        &'a self,
        id: &'a str,
        folder: &'a str,
        files: &'a [(String, Vec<u8>)],
    ) -> BoxFuture<'a, EngineResult<()>> {
        async move {
            let operation = format!("put files into {folder} of container {id}");
            let put = async {
                let id = self.target(id, &operation).await?;
                archive::put(self.api(&operation)?, &id, folder, files, &operation).await
            };
            self.run(&operation, FILES_BOUND, put).await
        }
        .boxed()
    }

    fn read_files<'a>(&'a self, id: &'a str, path: &'a str) -> BoxFuture<'a, EngineResult<Files>> {
        async move {
            let operation = format!("read {path} of container {id}");
            let read = async {
                let id = self.target(id, &operation).await?;
                archive::read(self.api(&operation)?, &id, path, &operation).await
            };
            self.run(&operation, FILES_BOUND, read).await
        }
        .boxed()
    }

    fn processes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<ProcessRow>>> {
        async move {
            let operation = format!("list processes of container {id}");
            let list = async {
                if let Some(rows) = cgroup::processes(id).await {
                    return Ok(rows);
                }
                let id = self.target(id, &operation).await?;
                let target = format!("/containers/{id}/top?ps_args={}", encoded("-eo pid,args"));
                Ok(convert::processes(&self.place.get(&operation, &target).await?))
            };
            self.run(&operation, READ_BOUND, list).await
        }
        .boxed()
    }

    fn changes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<FileChange>>> {
        async move {
            let operation = format!("list changed files of container {id}");
            let list = async {
                let id = self.target(id, &operation).await?;
                let target = format!("/containers/{id}/changes");
                Ok(convert::changes(&self.place.get(&operation, &target).await?))
            };
            self.run(&operation, READ_BOUND, list).await
        }
        .boxed()
    }

    fn logs<'a>(
        &'a self,
        id: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, EngineResult<BoxStream<'static, EngineResult<LogLine>>>> {
        async move {
            let operation = format!("read the log of container {id}");
            self.run(&operation, READ_BOUND, self.open_log(id, query, &operation))
                .await
        }
        .boxed()
    }

    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Stats>> {
        async move {
            let operation = format!("read counters of container {id}");
            self.run(&operation, READ_BOUND, self.stats_now(id, &operation))
                .await
        }
        .boxed()
    }

    fn stats_at_hand(&self, ids: Vec<ContainerId>) -> BoxFuture<'_, HashMap<ContainerId, Stats>> {
        let Some(counters) = self.counters.clone() else {
            return std::future::ready(HashMap::new()).boxed();
        };
        let read = move || {
            let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
            counters.read(&ids)
        };
        async move { tokio::task::spawn_blocking(read).await.unwrap_or_default() }.boxed()
    }

    fn usage<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Stats>> {
        async move {
            match cgroup::usage(id).await {
                Some(usage) => Ok(usage),
                None => self.stats(id).await,
            }
        }
        .boxed()
    }

    fn events(&self) -> BoxFuture<'_, EngineResult<BoxStream<'static, EngineResult<EngineEvent>>>> {
        self.run("listen to events", READ_BOUND, self.open_events())
            .boxed()
    }

    fn http_ask<'a>(
        &'a self,
        request: &'a HttpRequest,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>> {
        probe::http_ask(request, timeout).boxed()
    }

    fn http_ask_again<'a>(
        &'a self,
        kept: &'a mut KeptConnection,
        request: &'a HttpRequest,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>> {
        kept.ask(request, timeout).boxed()
    }

    fn grpc_check<'a>(
        &'a self,
        address: SocketAddr,
        service: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<&'static str, ProbeError>> {
        probe::grpc_check(address, service, timeout).boxed()
    }

    fn tcp_connect(&self, address: SocketAddr, timeout: Duration) -> BoxFuture<'_, Result<(), ProbeError>> {
        probe::tcp_connect(address, timeout).boxed()
    }
}

#[cfg(test)]
mod tests;
