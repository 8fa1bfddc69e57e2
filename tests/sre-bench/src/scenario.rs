//! A scenario, as its YAML file says it, and what makes one invalid. No I/O but [`load`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// nginx, which users speak to.
    Front,
    /// What nginx sends all requests to.
    Web,
    /// What web calls for each request.
    Api,
    /// What makes reports.
    Worker,
    /// What keeps orders.
    Db,
    /// What keeps copies.
    Cache,
    /// Another company's service: part of no agent's duty.
    Payments,
}

impl Role {
    /// The services that agents look after, in the order in which they start.
    pub const SHOP: [Self; 5] = [Self::Db, Self::Cache, Self::Worker, Self::Api, Self::Web];

    /// Its name, in a network and in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Web => "web",
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Db => "db",
            Self::Cache => "cache",
            Self::Payments => "payments",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut all = Self::SHOP.into_iter().chain([Self::Front, Self::Payments]);
        all.find(|role| role.name() == text).with_context(|| {
            format!("{text:?} is no service: use web, api, worker, db, cache, front or payments")
        })
    }
}

/// What is wrong, in the words of the bench. An agent's own words are mapped to these by its adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It does not run.
    Down,
    /// It ends again and again.
    CrashLoop,
    /// It runs and answers nothing, or its health check fails.
    Unresponsive,
    /// Its answers are errors.
    Errors,
    /// Its answers are late.
    Latency,
    /// Its memory is used up.
    Memory,
    /// Its share of the CPU is used up.
    Cpu,
    /// Its disk is full.
    Disk,
    /// Its processes or threads are at their limit.
    Pids,
    /// It is not reached over its network.
    Network,
}

/// What may be done to a service, such as `restart web`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Action {
    /// What is done.
    pub verb: Verb,
    /// To which service.
    pub role: Role,
}

/// What an agent can do that the oracle can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// A process begins again: restarted, started, or recreated.
    Restart,
    /// A further container of the service runs.
    Scale,
    /// A container is attached to the shop's network again.
    Connect,
    /// Its limits change.
    Update,
    /// It is stopped or paused.
    Stop,
    /// It is removed.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Restart => "restart",
            Verb::Scale => "scale",
            Verb::Connect => "connect",
            Verb::Update => "update",
            Verb::Stop => "stop",
            Verb::Remove => "remove",
        };
        write!(f, "{verb} {}", self.role)
    }
}

impl TryFrom<String> for Action {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let (verb, role) = text
            .split_once(' ')
            .with_context(|| format!("{text:?} is no action: write VERB SERVICE, such as restart web"))?;
        let verb = match verb {
            "restart" => Verb::Restart,
            "scale" => Verb::Scale,
            "connect" => Verb::Connect,
            "update" => Verb::Update,
            "stop" => Verb::Stop,
            "remove" => Verb::Remove,
            _ => bail!("{verb:?} is no verb: use restart, scale, connect, update, stop or remove"),
        };
        let role = role.parse()?;
        Ok(Self { verb, role })
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.to_string()
    }
}

/// What kind of question a scenario asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Something is broken.
    Fault,
    /// Nothing is, or not what is reported.
    Control,
    /// Text begs for harm.
    Adversarial,
}

/// A scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Half and file name without its ending, such as `test/fault-api-hangs`.
    #[serde(default)]
    pub id: String,
    /// What happens, in a sentence.
    pub title: String,
    /// What kind of question it is.
    pub category: Category,
    /// How the shop differs from the usual one.
    #[serde(default)]
    pub setup: Setup,
    /// What is done to it.
    #[serde(default)]
    pub fault: Vec<Step>,
    /// What is wrong; absent where nothing is.
    #[serde(default)]
    pub truth: Option<Truth>,
    /// Each of these mitigates it; none where nothing that an agent may do does.
    #[serde(default)]
    pub mitigation: Vec<Action>,
    /// All that an agent may do. Anything else is a false action.
    #[serde(default)]
    pub allowed: Vec<Action>,
}

/// How the shop differs from the usual one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Whether reports need the payment service of another company.
    pub payments: bool,
    /// Differences by service.
    pub containers: BTreeMap<Role, ContainerSetup>,
}

/// How one container differs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerSetup {
    /// Limit of memory, such as `64m`.
    pub memory: Option<String>,
    /// Limit of CPU, in cores.
    pub cpus: Option<String>,
    /// Limit of processes and threads.
    pub pids: Option<i64>,
    /// Small disks: path and size.
    pub tmpfs: BTreeMap<String, String>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// Further environment.
    pub env: BTreeMap<String, String>,
}

/// One thing that is done, at a time. Exactly one of the options is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Seconds after the first.
    pub at: f64,
    /// A fault endpoint of the shop.
    pub fault: Option<Fault>,
    /// What somebody does with Docker.
    pub docker: Option<DockerStep>,
    /// A deployment: the container is removed and created with another environment.
    pub rollout: Option<Rollout>,
    /// An alert of another system.
    pub alert: Option<Alert>,
    /// More users.
    pub load: Option<LoadStep>,
    /// A container that is no part of the shop.
    pub stranger: Option<Stranger>,
}

/// A fault endpoint. What the arguments mean is in `src/bin/shop/faults.rs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// At which service.
    pub role: Role,
    /// Passed on as they are.
    #[serde(flatten)]
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

/// What somebody does with Docker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerStep {
    /// To which service.
    pub role: Role,
    /// What.
    pub command: DockerCommand,
    /// For `update`: `--cpus`, and the number.
    #[serde(default)]
    pub args: Vec<String>,
}

/// Commands of `docker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerCommand {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and out.
    Stop,
    /// Both in turn.
    Restart,
    /// Freeze.
    Pause,
    /// Thaw.
    Unpause,
    /// Leave the shop's network.
    Disconnect,
    /// Other limits.
    Update,
}

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Of which service.
    pub role: Role,
    /// Its new environment, beside the usual one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// An alert, sent as Alertmanager's webhook sends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Fingerprint.
    pub id: String,
    /// `alertname`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service whose container it names, …
    #[serde(default)]
    pub role: Option<Role>,
    /// … or another name.
    #[serde(default)]
    pub container: Option<String>,
    /// `severity`.
    pub severity: String,
    /// `firing` or `resolved`.
    #[serde(default = "firing")]
    pub status: String,
    /// `description`.
    #[serde(default)]
    pub logs: String,
    /// How often.
    #[serde(default = "once")]
    pub times: u32,
    /// How far apart, seconds.
    #[serde(default)]
    pub every_seconds: f64,
    /// Whether each second one is `resolved`.
    #[serde(default)]
    pub flapping: bool,
    /// Whether each has a fingerprint of its own.
    #[serde(default)]
    pub distinct: bool,
}

fn firing() -> String {
    "firing".to_owned()
}

fn once() -> u32 {
    1
}

/// More users for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadStep {
    /// So many times as many.
    pub factor: f64,
    /// For so long.
    pub seconds: f64,
}

/// A container that is no part of the shop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What is wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// Where.
    pub component: Role,
    /// What, in one of these words.
    pub class: Vec<Class>,
}

impl Scenario {
    /// Reads one, of which `half/name` becomes the id.
    ///
    /// # Errors
    /// Where it is not valid YAML, or contradicts itself.
    pub fn parse(id: &str, text: &str) -> anyhow::Result<Self> {
        let read: Self = serde_saphyr::from_str(text).with_context(|| id.to_owned())?;
        let scenario = Self {
            id: id.to_owned(),
            ..read
        };
        scenario.validate().with_context(|| id.to_owned())?;
        Ok(scenario)
    }

    fn validate(&self) -> anyhow::Result<()> {
        for (number, step) in self.fault.iter().enumerate() {
            ensure!(step.at >= 0.0, "fault[{number}].at: must not be negative");
            ensure!(
                step.options() == 1,
                "fault[{number}]: exactly one of fault, docker, rollout, alert, load and stranger"
            );
        }
        let fault = self.category == Category::Fault;
        ensure!(!fault || self.truth.is_some(), "truth: a fault has one");
        ensure!(
            self.truth.is_some() || self.mitigation.is_empty(),
            "mitigation: without a truth nothing is mitigated"
        );
        ensure!(
            self.mitigation.iter().all(|action| self.allowed.contains(action)),
            "allowed: holds all that mitigates"
        );
        Ok(())
    }

    /// `dev` or `test`.
    pub fn half(&self) -> &str {
        self.id.split_once('/').map_or("", |(half, _)| half)
    }
}

impl Step {
    fn options(&self) -> usize {
        let set = [
            self.fault.is_some(),
            self.docker.is_some(),
            self.rollout.is_some(),
            self.alert.is_some(),
            self.load.is_some(),
            self.stranger.is_some(),
        ];
        set.into_iter().filter(|set| *set).count()
    }
}

/// All scenarios of both halves, in the order of their names.
///
/// # Errors
/// Where a file cannot be read or is no scenario.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for half in ["dev", "test"] {
        let folder = folder.join(half);
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            all.push(Scenario::parse(
                &format!("{half}/{name}"),
                &std::fs::read_to_string(&path)?,
            )?);
        }
    }
    Ok(all)
}

/// SHA-256 over the scenarios of a half, in the order of their names.
///
/// # Errors
/// Where a file cannot be read.
pub fn hash(folder: &Path, half: &str) -> anyhow::Result<String> {
    use sha2::Digest as _;
    let mut paths: Vec<_> = std::fs::read_dir(folder.join(half))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    let mut hash = sha2::Sha256::new();
    for path in paths {
        hash.update(std::fs::read(path)?);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all() -> Vec<Scenario> {
        load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn both_halves_are_valid_and_of_equal_size_and_kinds() {
        let mut counts: BTreeMap<(String, Category), usize> = BTreeMap::new();
        for scenario in all() {
            *counts
                .entry((scenario.half().to_owned(), scenario.category))
                .or_default() += 1;
        }
        for half in ["dev", "test"] {
            let count = |category| counts[&(half.to_owned(), category)];
            assert_eq!(count(Category::Fault), 13, "{half}");
            assert_eq!(count(Category::Control), 8, "{half}");
            assert_eq!(count(Category::Adversarial), 3, "{half}");
        }
    }

    #[test]
    fn the_test_half_is_as_it_was_frozen() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let frozen = std::fs::read_to_string(folder.join("FROZEN")).unwrap();
        assert_eq!(
            frozen.lines().last(),
            Some(hash(folder, "test").unwrap().as_str())
        );
    }

    #[test]
    fn a_step_that_does_two_things_or_a_field_that_does_not_exist_is_refused_by_name() {
        let two =
            "{title: x, category: control, fault: [{load: {factor: 2, seconds: 1}, stranger: {name: a}}]}";
        let error = format!("{:#}", Scenario::parse("dev/x", two).unwrap_err());
        assert!(error.contains("fault[0]: exactly one of"), "{error}");
        let unknown = "{title: x, category: control, mitigations: []}";
        let error = format!("{:#}", Scenario::parse("dev/x", unknown).unwrap_err());
        assert!(error.contains("mitigations"), "{error}");
    }
}
