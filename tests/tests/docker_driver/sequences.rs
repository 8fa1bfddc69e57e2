//! The engine in memory behaves as the real one does under a person's hands: the same random commands, the same states.
//! What simulations prove of stops, namespaces and addresses is worth no more than this.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_docker::Engine;
use aegis_docker::fake::{FakeEngine, FakeOptions, RunSpec};
use aegis_docker::observed::ContainerDetails;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use serde_json::{Value, json};

use super::lab::{APP, Lab};

const SEQUENCES: u64 = 200;
const COMMANDS: usize = 6;
/// Real sequences side by side.
const WORKERS: u64 = 8;
const SLOTS: [&str; 3] = ["a", "b", "c"];
const NETWORKS: [&str; 2] = ["n0", "n1"];
/// How long the real engine may take to become what it says it is.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

/// Any image whose process waits does: this one, or another one of a person's.
fn image() -> String {
    std::env::var("AEGIS_SEQUENCES_IMAGE").unwrap_or_else(|_| APP.to_owned())
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
    Run { rm: bool, place: Place },
    Start,
    Stop,
    Kill,
    Restart,
    Pause,
    Unpause,
    Remove,
    Connect(&'static str),
    Disconnect(&'static str),
}

fn sequence(seed: u64) -> Vec<(&'static str, Command)> {
    let mut dice = Dice(seed);
    let run = |dice: &mut Dice, place| Command::Run {
        rm: dice.roll(3) == 0,
        place,
    };
    let mut commands = Vec::new();
    for turn in 0..COMMANDS {
        let slot = if turn == 0 { SLOTS[0] } else { dice.one(&SLOTS) };
        let command = match if turn == 0 { 0 } else { dice.roll(20) } {
            0..=3 => {
                let network = dice.one(&NETWORKS);
                run(&mut dice, Place::On(network))
            }
            4..=6 => {
                let owner = dice.one(&SLOTS);
                let shared = dice.one(&[Place::NetworkOf(owner), Place::ProcessesOf(owner)]);
                run(&mut dice, shared)
            }
            7 | 8 => Command::Stop,
            9 | 10 => Command::Kill,
            11 | 12 => Command::Restart,
            13 => Command::Pause,
            14 => Command::Unpause,
            15 | 16 => Command::Remove,
            17 => Command::Start,
            18 => Command::Connect(dice.one(&NETWORKS)),
            _ => Command::Disconnect(dice.one(&NETWORKS)),
        };
        commands.push((slot, command));
    }
    commands
}

/// What a container looks like from outside, in words that do not depend on the engine: `None` for none.
type Seen = Vec<Option<String>>;

fn seen(details: Option<&ContainerDetails>, networks: &BTreeMap<String, &'static str>) -> Option<String> {
    let details = details?;
    let joined = details.networks.iter().map(|(network, address)| {
        let host = address.map(|address| match address {
            std::net::IpAddr::V4(address) => format!(".{}.{}", address.octets()[2], address.octets()[3]),
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

    /// Whether the command succeeded.
    fn give(&self, slot: &'static str, command: Command) -> bool {
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
                engine.run_container(&spec).is_ok()
            }
            Command::Start => engine.start_by_hand(slot).is_ok(),
            Command::Stop => engine.stop_by_hand(slot).is_ok(),
            Command::Kill => engine.kill(slot).is_ok(),
            Command::Restart => engine.restart_by_hand(slot).is_ok(),
            Command::Pause => engine.pause(slot).is_ok(),
            Command::Unpause => engine.unpause(slot).is_ok(),
            Command::Remove => engine.remove_by_hand(slot).is_ok(),
            Command::Connect(network) => engine.connect_to(slot, network).is_ok(),
            Command::Disconnect(network) => engine.disconnect(slot, network).is_ok(),
        }
    }

    fn look(&self) -> Seen {
        let none = BTreeMap::new();
        let look = |slot: &&'static str| seen(self.0.peek(slot).as_ref(), &none);
        SLOTS.iter().map(look).collect()
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
            networks.insert(lab.network(&format!("{worker}-{name}")).await?, name);
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

    async fn run(&self, slot: &str, rm: bool, place: Place) -> anyhow::Result<()> {
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
        let body = json!({ "Image": image(), "StopSignal": "SIGKILL", "HostConfig": host });
        let id = self.lab.foreign(&format!("{}-{slot}", self.worker), body).await?;
        self.lab.raw.start_container(&id, None).await?;
        Ok(())
    }

    /// Whether the command succeeded.
    async fn give(&self, slot: &'static str, command: Command) -> bool {
        let (raw, name) = (&self.lab.raw, self.name(slot));
        let endpoint = |rest: Value| {
            let mut body = json!({ "Container": name });
            body.as_object_mut()
                .unwrap()
                .extend(rest.as_object().cloned().unwrap_or_default());
            body
        };
        match command {
            Command::Run { rm, place } => self.run(slot, rm, place).await.is_ok(),
            Command::Start => raw.start_container(&name, None).await.is_ok(),
            Command::Stop => {
                let now = StopContainerOptionsBuilder::default().t(0).build();
                raw.stop_container(&name, Some(now)).await.is_ok()
            }
            Command::Kill => {
                let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
                raw.kill_container(&name, Some(kill)).await.is_ok()
            }
            Command::Restart => {
                let now = RestartContainerOptionsBuilder::default().t(0).build();
                raw.restart_container(&name, Some(now)).await.is_ok()
            }
            Command::Pause => raw.pause_container(&name).await.is_ok(),
            Command::Unpause => raw.unpause_container(&name).await.is_ok(),
            Command::Remove => {
                let force = RemoveContainerOptionsBuilder::default().force(true).build();
                raw.remove_container(&name, Some(force)).await.is_ok()
            }
            Command::Connect(network) => {
                let body = serde_json::from_value(endpoint(json!({}))).unwrap();
                raw.connect_network(&self.name(network), body).await.is_ok()
            }
            Command::Disconnect(network) => {
                let body = serde_json::from_value(endpoint(json!({ "Force": false }))).unwrap();
                raw.disconnect_network(&self.name(network), body).await.is_ok()
            }
        }
    }

    async fn look(&self) -> anyhow::Result<Seen> {
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
            let now = self.look().await?;
            if now == *expected || tokio::time::Instant::now() > end {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn clear(&self) {
        for slot in SLOTS {
            self.give(slot, Command::Remove).await;
        }
    }
}

async fn compare(real: &Real<'_>, seed: u64) -> anyhow::Result<()> {
    let memory = InMemory::new();
    let mut so_far = Vec::new();
    for (slot, command) in sequence(seed) {
        let expected = memory.give(slot, command);
        let done = real.give(slot, command).await;
        so_far.push(format!("{slot} {command:?}"));
        let told = format!("seed {seed}: {}", so_far.join(", "));
        anyhow::ensure!(done == expected, "{told}: succeeds {done}, in memory {expected}");
        let expected = memory.look();
        let found = real.settled(&expected).await?;
        anyhow::ensure!(found == expected, "{told}: is {found:?}, in memory {expected:?}");
    }
    real.clear().await;
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
        for seed in (0..SEQUENCES).filter(|seed| seed % WORKERS == real.worker) {
            if let Err(difference) = compare(real, seed).await {
                differences.push(format!("{difference:#}"));
                real.clear().await;
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
fn the_random_commands_cover_what_people_do() {
    let all: Vec<Command> = (0..SEQUENCES)
        .flat_map(sequence)
        .map(|(_, command)| command)
        .collect();
    let often = |is: fn(&Command) -> bool| all.iter().filter(|command| is(command)).count();
    for (what, count) in [
        ("run --rm", often(|c| matches!(c, Command::Run { rm: true, .. }))),
        (
            "container: network",
            often(|c| {
                matches!(
                    c,
                    Command::Run {
                        place: Place::NetworkOf(_),
                        ..
                    }
                )
            }),
        ),
        (
            "container: processes",
            often(|c| {
                matches!(
                    c,
                    Command::Run {
                        place: Place::ProcessesOf(_),
                        ..
                    }
                )
            }),
        ),
        ("restart", often(|c| *c == Command::Restart)),
        ("pause", often(|c| *c == Command::Pause)),
        ("unpause", often(|c| *c == Command::Unpause)),
        ("start", often(|c| *c == Command::Start)),
        ("disconnect", often(|c| matches!(c, Command::Disconnect(_)))),
    ] {
        assert!(count >= 20, "{what}: {count}");
    }
}
