//! The fake engine as an [`Engine`]: each operation passes its crash points and faults, and takes effect in a task of its
//! own, so that it is finished even if its caller goes away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::create::CreateSpec;
use aegis_api::observed::{
    ChangeKind, ContainerDetails, ContainerSummary, EngineEvent, ExecOutput, FileChange, HostFacts,
    HostQuery, LogLine, ProcessRow, Stats,
};
use aegis_api::probe::HttpRequest;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::Value;

use super::chaos::{Fate, When};
use super::effects::{Actor, Op};
use super::lifecycle::End;
use super::world::World;
use super::{FakeEngine, Shared};
use aegis_docker::EngineInfo;
use aegis_docker::engine::{
    Engine, EngineError, EngineResult, Files, HttpAnswer, ListFilter, LogQuery, ProbeError, Session,
};
use aegis_docker::script;

/// How long a caller waits for an answer that was lost.
const LOST_ANSWER_AFTER: Duration = Duration::from_secs(10);

impl FakeEngine {
    pub(super) async fn crash_point(&self, op: Op, when: When) {
        let hook = self.shared.with(|world| world.chaos.hook.clone());
        if hook.is_some_and(|hook| hook(op.as_str(), when)) {
            std::future::pending::<()>().await;
        }
    }

    /// Runs one operation with everything that can go wrong around it.
    pub(super) async fn perform<T, F>(
        &self,
        op: Op,
        operation: String,
        effect: impl FnOnce(Arc<Shared>) -> F + Send,
    ) -> EngineResult<T>
    where
        T: Send + 'static,
        F: Future<Output = EngineResult<T>> + Send + 'static,
    {
        self.crash_point(op, When::Before).await;
        let fate = self.shared.with(|world| world.chaos.fate(op, &operation));
        let begun = match &fate {
            Fate::Refused(error) => {
                tokio::time::sleep(self.shared.options.call_takes).await;
                Err(error.clone())
            }
            Fate::Slow(span) => {
                tokio::time::sleep(*span).await;
                Ok(())
            }
            Fate::Fine | Fate::AnswerLost => Ok(()),
        };
        let result = match begun {
            Ok(()) => self.detached(&operation, effect(self.shared.clone())).await,
            Err(error) => Err(error),
        };
        self.crash_point(op, When::After).await;
        if fate == Fate::AnswerLost {
            tokio::time::sleep(LOST_ANSWER_AFTER).await;
            return Err(EngineError::Timeout {
                operation,
                seconds: LOST_ANSWER_AFTER.as_secs(),
            });
        }
        result
    }

    async fn detached<T, F>(&self, operation: &str, effect: F) -> EngineResult<T>
    where
        T: Send + 'static,
        F: Future<Output = EngineResult<T>> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let takes = self.shared.options.call_takes;
        self.shared.spawn(async move {
            tokio::time::sleep(takes).await;
            // The caller may be gone; the effect took place all the same.
            drop(answer.send(effect.await));
        });
        let gone = || EngineError::Unreachable {
            operation: operation.to_owned(),
            message: "runtime shut down".to_owned(),
        };
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// An operation that only looks or acts in one instant.
    pub(super) fn instantly<'a, T: Send + 'static>(
        &'a self,
        op: Op,
        operation: String,
        work: impl FnOnce(&mut World, &str) -> EngineResult<T> + Send + 'static,
    ) -> BoxFuture<'a, EngineResult<T>> {
        let name = operation.clone();
        let effect = move |shared: Arc<Shared>| async move { shared.with(|world| work(world, &name)) };
        self.perform(op, operation, effect).boxed()
    }
}

/// Waits until the engine has time for a container; that one may be gone by then.
async fn exclusive(
    shared: &Arc<Shared>,
    id: &str,
    operation: &str,
) -> EngineResult<tokio::sync::OwnedMutexGuard<()>> {
    let busy = shared.with(|world| world.found(id, operation).map(|container| container.busy.clone()))?;
    Ok(busy.lock_owned().await)
}

async fn start(shared: Arc<Shared>, id: String, operation: String) -> EngineResult<()> {
    let _guard = exclusive(&shared, &id, &operation).await?;
    let running = shared.with(|world| {
        world
            .found(&id, &operation)
            .map(|container| container.is_running())
    })?;
    if running {
        return Ok(());
    }
    tokio::time::sleep(shared.options.start_takes).await;
    shared.with(|world| world.begin_run(&id, Actor::Client))
}

async fn stop(
    shared: Arc<Shared>,
    id: String,
    grace: Option<Duration>,
    operation: String,
) -> EngineResult<()> {
    let _guard = exclusive(&shared, &id, &operation).await?;
    let usual = shared.options.stop_takes;
    let asked = shared.with(|world| {
        let container = world.found(&id, &operation)?;
        let grace = grace.unwrap_or_else(|| container.stop_timeout());
        if !container.is_up() {
            let end = End {
                exit_code: container.exit_code,
                oom: false,
                on_request: true,
                actor: Actor::Client,
            };
            world.end_run(&id, end);
            return Ok(None);
        }
        let obeys = !container.behaviour.ignores_sigterm && usual <= grace;
        let ends = (
            if obeys { usual } else { grace },
            if obeys { container.stopped_with() } else { 137 },
        );
        world.log(&id, Actor::Client, Op::Stop, format!("{} s", grace.as_secs()));
        if let Some(container) = world.get_mut(&id) {
            container.stopping = !container.behaviour.ignores_sigterm;
        }
        world.emit(&id, "kill", &[("signal", "15".to_owned())]);
        Ok(Some(ends))
    })?;
    let Some((takes, exit_code)) = asked else {
        return Ok(());
    };
    tokio::time::sleep(takes).await;
    shared.with(|world| {
        if exit_code == 137 {
            world.emit(&id, "kill", &[("signal", "9".to_owned())]);
        }
        world.end_run(
            &id,
            End {
                exit_code,
                oom: false,
                on_request: true,
                actor: Actor::Client,
            },
        );
        world.emit(&id, "stop", &[]);
    });
    Ok(())
}

async fn remove(shared: Arc<Shared>, id: String, operation: String) -> EngineResult<()> {
    let _guard = match exclusive(&shared, &id, &operation).await {
        Err(EngineError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    let refuse_running = |world: &mut World| match world.get(&id) {
        Some(container) if container.is_up() => {
            let message = format!("you cannot remove a running container {}", container.id);
            Err(EngineError::Conflict {
                operation: operation.clone(),
                message,
            })
        }
        _ => Ok(()),
    };
    shared.with(refuse_running)?;
    tokio::time::sleep(shared.options.remove_takes).await;
    shared.with(refuse_running)?;
    shared.with(|world| world.forget(&id, Actor::Client));
    Ok(())
}

impl Engine for FakeEngine {
    fn info(&self) -> BoxFuture<'_, EngineResult<EngineInfo>> {
        self.instantly(Op::Info, "read the engine's version".to_owned(), |world, _| {
            Ok(world.options.info.clone())
        })
    }

    fn list(&self, filter: ListFilter) -> BoxFuture<'_, EngineResult<Vec<ContainerSummary>>> {
        self.instantly(Op::List, "list containers".to_owned(), move |world, _| {
            let wanted = |labels: &std::collections::BTreeMap<String, String>| {
                filter
                    .labels
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
            };
            let found = world
                .containers
                .values()
                .filter(|container| wanted(&container.labels));
            Ok(found.map(|container| container.summary(world.instant)).collect())
        })
    }

    fn host_facts<'a>(&'a self, query: &'a HostQuery) -> BoxFuture<'a, EngineResult<HostFacts>> {
        let query = query.clone();
        self.instantly(Op::Inspect, "inspect the host".to_owned(), move |world, _| {
            Ok(world.host_facts(&query))
        })
    }

    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Option<ContainerDetails>>> {
        let name = id.to_owned();
        self.instantly(Op::Inspect, format!("inspect container {id}"), move |world, _| {
            Ok(world.get(&name).map(|container| container.details(world.instant)))
        })
    }

    fn create(&self, spec: CreateSpec) -> BoxFuture<'_, EngineResult<String>> {
        let operation = format!("create container {}", spec.name);
        let effect = move |shared: Arc<Shared>| async move {
            tokio::time::sleep(shared.options.create_takes).await;
            shared.with(|world| world.create(&spec, Actor::Client))
        };
        self.perform(Op::Create, operation, effect).boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        let (id, operation) = (id.to_owned(), format!("start container {id}"));
        let name = operation.clone();
        self.perform(Op::Start, operation, move |shared| start(shared, id, name))
            .boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> BoxFuture<'a, EngineResult<()>> {
        let (id, operation) = (id.to_owned(), format!("stop container {id}"));
        let name = operation.clone();
        self.perform(Op::Stop, operation, move |shared| stop(shared, id, grace, name))
            .boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        let (id, operation) = (id.to_owned(), format!("remove container {id}"));
        let name = operation.clone();
        self.perform(Op::Remove, operation, move |shared| remove(shared, id, name))
            .boxed()
    }

    fn signal<'a>(&'a self, id: &'a str, signal: &'a str) -> BoxFuture<'a, EngineResult<()>> {
        let (name, signal) = (id.to_owned(), signal.to_owned());
        self.instantly(
            Op::Signal,
            format!("send {signal} to container {id}"),
            move |world, operation| {
                world.running(&name, operation)?;
                world.signal(&name, &signal);
                Ok(())
            },
        )
    }

    fn exec<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
        input: &'a [u8],
    ) -> BoxFuture<'a, EngineResult<ExecOutput>> {
        let (name, input) = (id.to_owned(), input.to_vec());
        let operation = format!("run {} in container {id}", script::shown(command));
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        self.instantly(Op::Exec, operation, move |world, operation| {
            world.running(&name, operation)?;
            Ok(world.exec(&name, &command, &input))
        })
    }

    fn open_session<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
    ) -> BoxFuture<'a, EngineResult<Box<dyn Session>>> {
        self.session(id, command).boxed()
    }

    fn put_files<'a>(
        &'a self,
        id: &'a str,
        folder: &'a str,
        files: &'a [(String, Vec<u8>)],
    ) -> BoxFuture<'a, EngineResult<()>> {
        let (name, folder, files) = (id.to_owned(), folder.to_owned(), files.to_vec());
        self.instantly(
            Op::PutFiles,
            format!("put files into {folder} of container {id}"),
            move |world, operation| world.put_files(&name, &folder, files, operation),
        )
    }

    fn read_files<'a>(&'a self, id: &'a str, path: &'a str) -> BoxFuture<'a, EngineResult<Files>> {
        let (name, path) = (id.to_owned(), path.to_owned());
        self.instantly(
            Op::ReadFiles,
            format!("read {path} of container {id}"),
            move |world, operation| world.read_files(&name, &path, operation),
        )
    }

    fn processes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<ProcessRow>>> {
        let name = id.to_owned();
        self.instantly(
            Op::Processes,
            format!("list processes of container {id}"),
            move |world, operation| {
                let container = world.running(&name, operation)?;
                if let Some(nginx) = &container.nginx {
                    return Ok(nginx.processes(container.pid, world.instant));
                }
                let command = container
                    .config
                    .get("Cmd")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                let words: Vec<&str> = command.filter_map(Value::as_str).collect();
                let command = if words.is_empty() {
                    container.image.clone()
                } else {
                    words.join(" ")
                };
                let pid = container.pid;
                Ok(vec![ProcessRow { pid, command }])
            },
        )
    }

    fn changes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<FileChange>>> {
        let name = id.to_owned();
        self.instantly(
            Op::Changes,
            format!("list changed files of container {id}"),
            move |world, operation| {
                let container = world.found(&name, operation)?;
                let paths = container.files.keys();
                let added = paths.map(|path| FileChange {
                    kind: ChangeKind::Added,
                    path: path.clone(),
                });
                Ok(added.collect())
            },
        )
    }

    fn logs<'a>(
        &'a self,
        id: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, EngineResult<BoxStream<'static, EngineResult<LogLine>>>> {
        self.open_log(id, query).boxed()
    }

    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Stats>> {
        let name = id.to_owned();
        self.instantly(
            Op::Stats,
            format!("read counters of container {id}"),
            move |world, operation| world.stats(&name, operation),
        )
    }

    fn events(&self) -> BoxFuture<'_, EngineResult<BoxStream<'static, EngineResult<EngineEvent>>>> {
        self.open_events().boxed()
    }

    fn http_ask<'a>(
        &'a self,
        request: &'a HttpRequest,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>> {
        self.get(request, timeout).boxed()
    }

    fn grpc_check<'a>(
        &'a self,
        address: SocketAddr,
        _service: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<&'static str, ProbeError>> {
        self.check(address, timeout).boxed()
    }

    fn tcp_connect(&self, address: SocketAddr, timeout: Duration) -> BoxFuture<'_, Result<(), ProbeError>> {
        self.connect(address, timeout).boxed()
    }
}
