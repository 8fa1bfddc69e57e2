//! The log of everything that changed in the fake engine, and by whom. Invariants are checked against it. Pure.

use std::collections::BTreeMap;

use aegis_api::Time;
use aegis_api::meta::LABEL_WORKLOAD;

use super::FakeEngine;
use super::container::Container;

/// Who caused an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    /// The code under test, through [`aegis_docker::Engine`].
    Client,
    /// Somebody at a terminal, through the methods of [`FakeEngine`].
    Human,
    /// The engine itself: its restart policy, a process that ended.
    Engine,
}

macro_rules! operations {
    ($($name:ident $word:literal),* $(,)?) => {
        /// What was done. The first ones are operations of [`aegis_docker::Engine`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is the word it stands for")]
        pub enum Op { $($name),* }

        impl Op {
            /// The word by which crash hooks and fault plans name it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

operations! {
    Info "info", List "list", Inspect "inspect", Create "create", ConnectNetwork "connect_network", Start "start", Stop "stop",
    Remove "remove", Signal "signal", Exec "exec", OpenSession "open_session", PutFiles "put_files", ReadFiles "read_files", Processes "processes",
    Changes "changes", Logs "logs", Stats "stats", Events "events", HttpGet "http_get", TcpConnect "tcp_connect",
    Die "die", Oom "oom", Rename "rename", Reload "reload",
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// When it took effect, by the engine's clock.
    pub at: Time,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub op: Op,
    /// Container id.
    pub id: String,
    /// Container name at that time.
    pub container: String,
    /// The Workload it was made for, by its label.
    pub owner: Option<String>,
    /// Whether a test made it with [`FakeEngine::create_bystander`].
    pub bystander: bool,
    /// Signal, command, files, exit code: whatever says more.
    pub detail: String,
}

impl Effect {
    pub(super) fn of(container: &Container, at: Time, actor: Actor, op: Op, detail: String) -> Self {
        Self {
            at,
            actor,
            op,
            id: container.id.clone(),
            container: container.name.clone(),
            owner: container.labels.get(LABEL_WORKLOAD).cloned(),
            bystander: container.bystander,
            detail,
        }
    }
}

impl FakeEngine {
    /// Every effect so far, oldest first.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.with(|world| world.effects.clone())
    }

    /// Effects on the containers that had this name when they happened.
    pub fn effects_on(&self, name: &str) -> Vec<Effect> {
        self.effects()
            .into_iter()
            .filter(|effect| effect.container == name)
            .collect()
    }

    /// What the code under test did to bystanders. Anything in here is a broken promise.
    pub fn bystanders_touched(&self) -> Vec<Effect> {
        self.effects()
            .into_iter()
            .filter(|effect| effect.bystander && effect.actor == Actor::Client)
            .collect()
    }

    /// How often containers of this name were started, by any actor.
    pub fn starts(&self, name: &str) -> usize {
        self.effects_on(name)
            .iter()
            .filter(|effect| effect.op == Op::Start)
            .count()
    }

    /// How often the code under test started each container, by id.
    pub fn client_starts(&self) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for effect in self.effects() {
            if effect.op == Op::Start && effect.actor == Actor::Client {
                *starts.entry(effect.id).or_default() += 1;
            }
        }
        starts
    }
}
