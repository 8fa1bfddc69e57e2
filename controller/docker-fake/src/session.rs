//! A command inside a container of the fake engine that answers one request after the other: each is what
//! [`Engine::exec`](aegis_docker::Engine::exec) makes of it, as long as the run of the container lasts in which it was opened.

use std::sync::Arc;

use aegis_api::observed::ExecOutput;
use aegis_docker::engine::{EngineError, EngineResult, Session};
use aegis_docker::script;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::FakeEngine;
use super::effects::Op;
use super::world::World;

/// The way to the command; the engine ends the command when this is dropped.
struct FakeSession {
    engine: FakeEngine,
    number: u64,
    command: Vec<String>,
    has_answered: bool,
}

impl std::fmt::Debug for FakeSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeSession")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl FakeEngine {
    pub(super) async fn session(&self, id: &str, command: &[&str]) -> EngineResult<Box<dyn Session>> {
        let operation = format!("open {} in container {id}", script::shown(command));
        let name = id.to_owned();
        let open = move |world: &mut World, operation: &str| {
            let container = world.running(&name, operation)?;
            let opened = (container.id.clone(), container.run);
            world.opened += 1;
            world.sessions.insert(world.opened, opened);
            Ok(world.opened)
        };
        let number = self.instantly(Op::OpenSession, operation, open).await?;
        Ok(Box::new(FakeSession {
            engine: self.clone(),
            number,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            has_answered: false,
        }))
    }

    /// How many sessions are open in a container that have not ended with its run.
    pub fn open_sessions(&self, container: &str) -> usize {
        self.shared.read(|world| {
            let open = world.sessions.keys();
            let runs = open.filter_map(|number| world.in_session(*number));
            let of = runs.filter(|id| world.get(id).is_some_and(|found| found.name == container));
            of.count()
        })
    }

    /// Ends the commands of all open sessions, as somebody in the container can.
    pub fn end_sessions(&self) {
        self.shared.with(|world| world.sessions.clear());
    }
}

impl World {
    /// The container that a session of this number goes on in.
    fn in_session(&self, number: u64) -> Option<String> {
        let (id, run) = self.sessions.get(&number)?;
        let container = self.get(id).filter(|container| container.is_running())?;
        (container.run == *run).then(|| id.clone())
    }

    fn ask(&mut self, session: &Asked, operation: &str) -> EngineResult<ExecOutput> {
        match self.in_session(session.number) {
            Some(id) => Ok(self.exec(&id, &session.command, &session.input)),
            None if session.has_answered => Err(EngineError::Conflict {
                operation: operation.to_owned(),
                message: "it has ended".to_owned(),
            }),
            None => Ok(ExecOutput {
                exit_code: 137,
                output: String::new(),
            }),
        }
    }
}

struct Asked {
    number: u64,
    command: Vec<String>,
    input: Vec<u8>,
    has_answered: bool,
}

impl Session for FakeSession {
    fn ask<'a>(&'a mut self, input: &'a [u8], _mark: &'a str) -> BoxFuture<'a, EngineResult<ExecOutput>> {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let operation = format!("run {}", script::shown(&words));
        let asked = Asked {
            number: self.number,
            command: self.command.clone(),
            input: input.to_vec(),
            has_answered: self.has_answered,
        };
        async move {
            let ask = move |world: &mut World, operation: &str| world.ask(&asked, operation);
            let answer = self.engine.instantly(Op::Exec, operation, ask).await?;
            self.has_answered = true;
            Ok(answer)
        }
        .boxed()
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.engine.shared);
        shared.with(|world| world.sessions.remove(&self.number));
    }
}
