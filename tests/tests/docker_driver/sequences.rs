//! The engine in memory behaves as the real one does under a person's hands: the same random commands, the same states.
//! What simulations prove of stops, namespaces and addresses is worth no more than this.
//!
//! `AEGIS_SEQUENCES=200` compares 200 sequences, which takes minutes; without it 24 do, in which every command occurs.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_api::observed::ContainerDetails;
use aegis_docker::{Engine, EngineError};
use aegis_docker_fake::{FakeEngine, FakeOptions, RunSpec};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use serde_json::{Value, json};

use super::lab::{APP, Lab};

/// How many sequences run, unless `AEGIS_SEQUENCES` says so.
const SEQUENCES: u64 = 24;
const COMMANDS: usize = 8;
/// Real sequences side by side.
const WORKERS: u64 = 8;
/// How many commands come to somebody's mind before one is given that fails.
const IDEAS: u32 = 4;
const SLOTS: [&str; 3] = ["a", "b", "c"];
const NETWORKS: [&str; 2] = ["n0", "n1"];
/// How long the real engine may take to become what it says it is.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

fn sequences() -> u64 {
    let configured = std::env::var("AEGIS_SEQUENCES").ok();
    configured.map_or(SEQUENCES, |count| {
        count.parse().expect("AEGIS_SEQUENCES is a number")
    })
}

/// A port that no other slot listens on: containers that share a network share its ports.
fn port_of(slot: &str) -> String {
    let place = SLOTS.iter().position(|other| *other == slot).expect("a slot");
    (8000 + place).to_string()
}

/// splitmix64: a seed is a sequence, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        let sides = u64::try_from(of.len()).unwrap();
        of[usize::try_from(self.roll(sides)).unwrap()]
    }
}

/// In which namespaces a container is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    On(&'static str),
    NetworkOf(&'static str),
    ProcessesOf(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Command {
    Run {
        rm: bool,
        place: Place,
    },
    Start,
    Stop,
    Kill,
    Restart,
    Pause,
    Unpause,
    Remove,
    Connect(&'static str),
    Disconnect(&'static str),
    /// Removes a network and makes another one of its name.
    Renew(&'static str),
}

/// Mostly what comes to something, as people know what is there: the first idea that the engine in memory takes.
fn sequence(seed: u64) -> Vec<(&'static str, Command)> {
    let mut dice = Dice(seed);
    let mut commands: Vec<(&'static str, Command)> = Vec::new();
    for turn in 0..COMMANDS {
        let mut ideas = 0;
        let next = loop {
            let (slot, command) = idea(&mut dice, turn);
            ideas += 1;
            let memory = InMemory::after(&commands);
            let depends = command == Command::Pause && memory.lives_in_other_processes(slot);
            if !depends && (memory.give(slot, command).is_ok() || ideas >= IDEAS) {
                break (slot, command);
            }
        };
        commands.push(next);
    }
    commands
}

/// Each command of a sequence, and the engine in memory as it is before that.
fn given_one_by_one(seed: u64) -> Vec<(&'static str, Command, InMemory)> {
    let commands = sequence(seed);
    let each = commands.iter().enumerate();
    each.map(|(turn, (slot, command))| (*slot, *command, InMemory::after(&commands[..turn])))
        .collect()
}

/// Whether it restarts a container that was started with `--rm`. An older engine (20.10) removes such a one now and then,
/// though a restart is meant to spare it: the flag is away for the stop only, and the removal that follows an end may
/// look at it later. So a sequence that does this differs only if it does so every time.
fn restarts_what_is_removed(seed: u64) -> bool {
    given_one_by_one(seed).iter().any(|(slot, command, memory)| {
        let details = memory.0.inspect_now(slot);
        let removed = details.is_some_and(|details| details.host_config["AutoRemove"] == json!(true));
        *command == Command::Restart && removed
    })
}

fn idea(dice: &mut Dice, turn: usize) -> (&'static str, Command) {
    let run = |dice: &mut Dice, place| Command::Run {
        rm: dice.roll(3) == 0,
        place,
    };
    // The first two are there, so that what follows has somebody to happen to.
    let slot = SLOTS.get(turn).filter(|_| turn < 2).copied();
    let slot = slot.unwrap_or_else(|| dice.one(&SLOTS));
    let sides = match turn {
        0 => 2,
        1 => 7,
        _ => 26,
    };
    let command = match dice.roll(sides) {
        0 | 1 => {
            let network = dice.one(&NETWORKS);
            run(dice, Place::On(network))
        }
        2..=6 => {
            let owner = dice.one(&SLOTS);
            let shared = dice.one(&[Place::NetworkOf(owner), Place::ProcessesOf(owner)]);
            run(dice, shared)
        }
        7 | 8 => Command::Stop,
        9 | 10 => Command::Kill,
        11 | 12 => Command::Restart,
        13 | 14 => Command::Pause,
        15..=18 => Command::Unpause,
        19 => Command::Remove,
        20 | 21 => Command::Start,
        22 => Command::Connect(dice.one(&NETWORKS)),
        23 | 24 => Command::Disconnect(dice.one(&NETWORKS)),
        _ => Command::Renew(dice.one(&NETWORKS)),
    };
    (slot, command)
}

/// What a command came to.
type Done = Result<(), Failure>;

struct Failure {
    /// Of a start that fails it matters how: the product reads that.
    how: &'static str,
    words: String,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.how, self.words)
    }
}

/// The engine's words are its own.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.how == other.how
    }
}

fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> Done {
    result.map(drop).map_err(|error| Failure {
        how: "fails",
        words: error.to_string(),
    })
}

fn started<T>(result: Result<T, EngineError>) -> Done {
    result.map(drop).map_err(|error| Failure {
        how: match error {
            EngineError::NotFound { .. } => "is not found",
            EngineError::Conflict { .. } => "is a conflict",
            EngineError::Refused { .. } => "is refused",
            EngineError::Server { .. } => "is the engine's failure",
            EngineError::Unreachable { .. } | EngineError::Timeout { .. } => "has no answer",
        },
        words: error.to_string(),
    })
}

/// What a container looks like from outside, in words that do not depend on the engine: `None` for none.
type Seen = Vec<Option<String>>;

fn seen(details: Option<&ContainerDetails>, networks: &BTreeMap<String, &'static str>) -> Option<String> {
    let details = details?;
    let joined = details.networks.iter().map(|(network, address)| {
        let host = address.map(|address| match address {
            std::net::IpAddr::V4(address) => format!(".{}", address.octets()[3]),
            std::net::IpAddr::V6(address) => address.to_string(),
        });
        let name = networks.get(network).copied().unwrap_or(network);
        format!("{name}{}", host.unwrap_or_default())
    });
    let joined: Vec<String> = joined.collect();
    Some(format!(
        "{} with {}{} on [{}]",
        details.state.as_str(),
        details.exit_code,
        if details.host_config["AutoRemove"] == json!(true) {
            ", --rm"
        } else {
            ""
        },
        joined.join(" ")
    ))
}

/// A person at the engine in memory.
struct InMemory(FakeEngine);

impl InMemory {
    fn new() -> Self {
        let engine = FakeEngine::new(FakeOptions {
            addresses_reused: true,
            ..FakeOptions::default()
        });
        for network in NETWORKS {
            engine.add_network(network);
        }
        Self(engine)
    }

    fn after(commands: &[(&'static str, Command)]) -> Self {
        let memory = Self::new();
        for (slot, command) in commands {
            let _done = memory.give(slot, *command);
        }
        memory
    }

    fn give(&self, slot: &'static str, command: Command) -> Done {
        let engine = &self.0;
        match command {
            Command::Run { rm, place } => {
                let spec = RunSpec::new(slot, "app").stop_signal("SIGKILL");
                let spec = match place {
                    Place::On(network) => spec.network(network),
                    Place::NetworkOf(owner) => spec.shares("NetworkMode", owner),
                    Place::ProcessesOf(owner) => spec.network(NETWORKS[0]).shares("PidMode", owner),
                };
                let spec = if rm { spec.auto_remove() } else { spec };
                started(engine.run_container(&spec))
            }
            Command::Start => started(engine.start_by_hand(slot)),
            Command::Stop => done(engine.stop_by_hand(slot)),
            Command::Kill => done(engine.kill(slot)),
            Command::Restart => done(engine.restart_by_hand(slot)),
            Command::Pause => done(engine.pause(slot)),
            Command::Unpause => done(engine.unpause(slot)),
            Command::Remove => done(engine.remove_by_hand(slot)),
            Command::Connect(network) => done(engine.connect_to(slot, network)),
            Command::Disconnect(network) => done(engine.disconnect(slot, network)),
            Command::Renew(network) => {
                let removed = engine.remove_network(network);
                engine.add_network(network);
                done(removed)
            }
        }
    }

    /// Frozen in there, it would hold up the end of the namespace's first process, or not: that is the kernel's to say, by
    /// the version of its control groups.
    fn lives_in_other_processes(&self, slot: &str) -> bool {
        let details = self.0.inspect_now(slot);
        details.is_some_and(|details| details.host_config["PidMode"].is_string())
    }

    fn observe(&self) -> Seen {
        let none = BTreeMap::new();
        let observed = |slot: &&'static str| seen(self.0.inspect_now(slot).as_ref(), &none);
        SLOTS.iter().map(observed).collect()
    }
}

/// A person at the real one, with names and networks of their own.
struct Real<'a> {
    lab: &'a Lab,
    worker: u64,
    networks: BTreeMap<String, &'static str>,
}

impl<'a> Real<'a> {
    async fn new(lab: &'a Lab, worker: u64) -> anyhow::Result<Self> {
        let mut networks = BTreeMap::new();
        for name in NETWORKS {
            networks.insert(lab.small_network(&format!("{worker}-{name}")).await?, name);
        }
        Ok(Self {
            lab,
            worker,
            networks,
        })
    }

    fn name(&self, slot: &str) -> String {
        self.lab.name(&format!("{}-{slot}", self.worker))
    }

    async fn run(&self, slot: &str, rm: bool, place: Place) -> anyhow::Result<Done> {
        let mut host = json!({ "AutoRemove": rm });
        let network = |name: &str| self.name(name);
        match place {
            Place::On(name) => host["NetworkMode"] = json!(network(name)),
            Place::NetworkOf(owner) => host["NetworkMode"] = json!(format!("container:{}", self.name(owner))),
            Place::ProcessesOf(owner) => {
                host["NetworkMode"] = json!(network(NETWORKS[0]));
                host["PidMode"] = json!(format!("container:{}", self.name(owner)));
            }
        }
        let body = json!({
            "Image": APP, "Cmd": ["--port", port_of(slot)], "StopSignal": "SIGKILL", "HostConfig": host
        });
        let ran = self.lab.run(&format!("{}-{slot}", self.worker), body).await;
        match ran.map_err(anyhow::Error::downcast::<EngineError>) {
            Ok(_) => Ok(Ok(())),
            Err(Ok(error)) => Ok(started::<()>(Err(error))),
            Err(Err(other)) => Err(other),
        }
    }

    async fn give(&self, slot: &'static str, command: Command) -> anyhow::Result<Done> {
        let (raw, name) = (&self.lab.raw, self.name(slot));
        let endpoint = |rest: Value| {
            let mut body = json!({ "Container": name });
            body.as_object_mut()
                .unwrap()
                .extend(rest.as_object().cloned().unwrap_or_default());
            body
        };
        let outcome = match command {
            Command::Run { rm, place } => return self.run(slot, rm, place).await,
            Command::Start => started(self.lab.docker.start(&name).await),
            Command::Stop => {
                let now = StopContainerOptionsBuilder::default().t(0).build();
                done(raw.stop_container(&name, Some(now)).await)
            }
            Command::Kill => {
                let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
                done(raw.kill_container(&name, Some(kill)).await)
            }
            Command::Restart => {
                let now = RestartContainerOptionsBuilder::default().t(0).build();
                done(raw.restart_container(&name, Some(now)).await)
            }
            Command::Pause => done(raw.pause_container(&name).await),
            Command::Unpause => done(raw.unpause_container(&name).await),
            Command::Remove => {
                let force = RemoveContainerOptionsBuilder::default().force(true).build();
                done(raw.remove_container(&name, Some(force)).await)
            }
            Command::Connect(network) => {
                let body = serde_json::from_value(endpoint(json!({})))?;
                done(raw.connect_network(&self.name(network), body).await)
            }
            Command::Disconnect(network) => {
                let body = serde_json::from_value(endpoint(json!({ "Force": false })))?;
                done(raw.disconnect_network(&self.name(network), body).await)
            }
            Command::Renew(network) => {
                let removed = done(raw.remove_network(&self.name(network)).await);
                if removed.is_ok() {
                    self.lab
                        .small_network(&format!("{}-{network}", self.worker))
                        .await?;
                }
                removed
            }
        };
        Ok(outcome)
    }

    async fn observe(&self) -> anyhow::Result<Seen> {
        let mut all = Vec::new();
        for slot in SLOTS {
            let details = self.lab.docker.inspect(&self.name(slot)).await?;
            all.push(seen(details.as_ref(), &self.networks));
        }
        Ok(all)
    }

    /// What it looks like as soon as that is what is expected, or at the end of its time.
    async fn settled(&self, expected: &Seen) -> anyhow::Result<Seen> {
        let end = tokio::time::Instant::now() + SETTLES_WITHIN;
        loop {
            let now = self.observe().await?;
            if now == *expected || tokio::time::Instant::now() > end {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Removes what is there; what goes by itself may take its time.
    async fn clear(&self) -> anyhow::Result<()> {
        for slot in SLOTS {
            self.lab
                .eventually("everything is removed", || async {
                    // It fails for one that is not there, or is going.
                    let _done = self.give(slot, Command::Remove).await?;
                    let found = self.lab.docker.inspect(&self.name(slot)).await?;
                    Ok(found.is_none().then_some(()))
                })
                .await?;
        }
        Ok(())
    }
}

async fn compare(real: &Real<'_>, seed: u64) -> anyhow::Result<()> {
    let memory = InMemory::new();
    let mut so_far = Vec::new();
    for (slot, command) in sequence(seed) {
        let expected = memory.give(slot, command);
        let done = real.give(slot, command).await?;
        so_far.push(format!("{slot} {command:?}"));
        let steps = format!("seed {seed}: {}", so_far.join(", "));
        anyhow::ensure!(
            done == expected,
            "{steps}: comes to {done:?}, in memory to {expected:?}"
        );
        let expected = memory.observe();
        let found = real.settled(&expected).await?;
        anyhow::ensure!(found == expected, "{steps}: is {found:?}, in memory {expected:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_commands_of_a_person_lead_to_the_same_states_in_memory_and_on_the_real_engine()
-> anyhow::Result<()> {
    let lab = Lab::new("sequences")?;
    let mut people = Vec::new();
    for worker in 0..WORKERS {
        people.push(Real::new(&lab, worker).await?);
    }
    let shares = people.iter().map(|real| async move {
        let mut differences = Vec::new();
        for seed in (0..sequences()).filter(|seed| seed % WORKERS == real.worker) {
            let mut left = if restarts_what_is_removed(seed) { 3 } else { 1 };
            while left > 0 {
                left -= 1;
                let compared = compare(real, seed).await;
                let cleared = real.clear().await;
                let failed = compared.and(cleared).err();
                if failed.is_none() {
                    break;
                }
                let difference = failed.map(|difference| format!("{difference:#}"));
                differences.extend(difference.filter(|_| left == 0));
            }
        }
        differences
    });
    let differences: Vec<String> = futures::future::join_all(shares).await.concat();
    anyhow::ensure!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

#[test]
fn the_sequences_of_every_test_run_do_everything_that_people_do() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (slot, command, memory) in (0..SEQUENCES).flat_map(given_one_by_one) {
        let how = memory
            .give(slot, command)
            .err()
            .map_or("done", |failure| failure.how);
        let shown = format!("{command:?}");
        let word = shown.split(['(', ' ']).next().unwrap_or_default();
        *counts.entry(format!("{word} {how}")).or_default() += 1;
        if let Command::Run { rm, place } = command {
            let place = format!("{place:?}");
            let place = place.split('(').next().unwrap_or_default();
            *counts.entry(format!("Run {place} {how}")).or_default() += 1;
            *counts.entry(format!("Run with --rm {rm} {how}")).or_default() += 1;
        }
    }
    let wanted = [
        "Run On done",
        "Run NetworkOf done",
        "Run ProcessesOf done",
        "Run with --rm true done",
        "Run is a conflict",
        "Run is refused",
        "Run is the engine's failure",
        "Start done",
        "Stop done",
        "Kill done",
        "Restart done",
        "Restart fails",
        "Pause done",
        "Unpause done",
        "Unpause fails",
        "Remove done",
        "Connect done",
        "Disconnect done",
        "Renew done",
    ];
    for what in wanted {
        assert!(counts.contains_key(what), "{what} is not among {counts:#?}");
    }
}
