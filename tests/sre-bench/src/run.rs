//! One scenario with one agent, from an empty engine to an empty engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};

use crate::agent::{Kind, Report};
use crate::engine::Engine;
use crate::load::{Users, Window};
use crate::oracle::Oracle;
use crate::scenario::{Category, Role, Scenario};
use crate::score::{self, Observations, Score};
use crate::shop::Shop;
use crate::steps::Stage;

/// Users at work before what counts as the baseline.
const SETTLING: Duration = Duration::from_secs(4);
/// What counts as the baseline.
const BASELINE: Duration = Duration::from_secs(10);
/// Longest time a user's request is under way: what is younger is not complete.
const UNDER_WAY: f64 = 2.5;

/// How long things are watched.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// What can be mitigated: at most, from the fault to the begin of the proof, seconds.
    pub mitigation_secs: f64,
    /// Everything: at least, from the last step, seconds.
    pub control_secs: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            mitigation_secs: 120.0,
            control_secs: 90.0,
        }
    }
}

/// What a run needs beside its scenario.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The engine.
    pub engine: Engine,
    /// The services' image.
    pub image: String,
    /// The agent.
    pub agent: Kind,
    /// Decides when users come.
    pub seed: u64,
    /// How long things are watched.
    pub watch: Watch,
    /// Places of scenarios that are under way. Shops open and agents warm up before they have one.
    pub places: Arc<Semaphore>,
    /// Where logs of failed runs are kept; none are otherwise.
    pub logs: Option<PathBuf>,
}

/// What became of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which scenario.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// Its category.
    pub category: Category,
    /// Which agent.
    pub agent: String,
    /// Which seed.
    pub seed: u64,
    /// What it amounts to.
    pub score: Score,
    /// Whether the row passes.
    pub passes: bool,
    /// What the agent reported.
    pub reports: Vec<Report>,
    /// Tokens paid for.
    pub tokens: u64,
    /// SHA-256 of the agent's rules, where it has some.
    pub rules: Option<String>,
    /// How long things were watched.
    pub watch: Watch,
    /// When it began.
    pub began: String,
    /// Version of the engine.
    pub engine: String,
    /// Load of the machine at the end, over a minute.
    pub load: String,
}

impl Bench {
    /// Runs a scenario.
    ///
    /// # Errors
    /// Where the shop does not open, the agent does not start or a step cannot be done: then there is no result.
    pub async fn run(&self, scenario: &Scenario) -> anyhow::Result<Outcome> {
        let folder = tempfile::Builder::new().prefix("sre-bench-").tempdir()?;
        let name = name(&self.agent, &scenario.id);
        let began = jiff::Timestamp::now().to_string();
        let shop = Shop::open(
            &self.engine,
            &self.image,
            &name,
            &scenario.setup,
            self.agent.wishes(),
            folder.path(),
        );
        // The agent warms up while the shop opens.
        let zero = Instant::now();
        let (shop, agent) = tokio::join!(shop, self.agent.start(folder.path(), zero));
        let shop = shop.context("the shop does not open")?;
        let result = match agent.context("the agent does not start") {
            Ok(agent) => self.watch(scenario, &shop, agent, zero).await,
            Err(error) => Err(error),
        };
        let closed = shop.close().await;
        let failed = !matches!(&result, Ok((.., true)));
        if let (Some(logs), true) = (&self.logs, failed) {
            keep(folder.path(), &logs.join(&name));
        }
        let (score, reports, tokens, rules, passes) = result?;
        closed.context("the shop does not close")?;
        Ok(Outcome {
            scenario: scenario.id.clone(),
            title: scenario.title.clone(),
            category: scenario.category,
            agent: self.agent.name(),
            seed: self.seed,
            score,
            passes,
            reports,
            tokens,
            rules,
            watch: self.watch,
            began,
            engine: self.engine.version().await?,
            load: load_of_machine(),
        })
    }

    async fn watch(
        &self,
        scenario: &Scenario,
        shop: &Shop,
        mut agent: crate::agent::Running,
        zero: Instant,
    ) -> anyhow::Result<(Score, Vec<Report>, u64, Option<String>, bool)> {
        agent
            .take_over(shop)
            .await
            .context("the agent does not take the shop over")?;
        shop.serves().await?;
        let quiet = self.agent.warm_up().saturating_sub(SETTLING + BASELINE);
        tokio::time::sleep_until((zero + quiet).into()).await;
        let _place = self.places.acquire().await?;
        let users = Users::arrive(shop.address(Role::Front).await?, zero, self.seed);
        tokio::time::sleep(SETTLING).await;
        let from = zero.elapsed().as_secs_f64();
        tokio::time::sleep(BASELINE).await;
        let broken = scenario.truth.as_ref().map(|truth| truth.component);
        let oracle = Arc::new(Mutex::new(Oracle::begin(shop, zero, broken).await?));
        let fault = zero.elapsed().as_secs_f64();
        let stage = Stage {
            shop,
            users: &users,
            oracle: &oracle,
            alerts: agent.alerts.as_ref(),
        };
        let all = async {
            stage.play(scenario).await.context("a step cannot be done")?;
            let played = zero.elapsed().as_secs_f64();
            self.until_the_end(scenario, &users, zero, (from, fault), played)
                .await;
            anyhow::Ok(())
        };
        let looking = async {
            loop {
                oracle.lock().await.look(shop).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            played = all => played?,
            failed = looking => return failed,
        }
        oracle.lock().await.look(shop).await?;
        let samples = users.samples();
        let reports = agent.reports.all();
        let oracle = oracle.lock().await;
        let observations = Observations {
            scenario,
            samples: &samples,
            actions: oracle.observed(),
            reports: &reports,
            baseline: (from, fault),
            end: zero.elapsed().as_secs_f64() - UNDER_WAY,
        };
        let score = Score::of(&observations);
        let passes = score.passes(scenario);
        let tokens = agent.tokens().await;
        let rules = agent.rules();
        Ok((score, reports, tokens, rules, passes))
    }

    async fn until_the_end(
        &self,
        scenario: &Scenario,
        users: &Users,
        zero: Instant,
        (from, fault): (f64, f64),
        played: f64,
    ) {
        let mitigable = !scenario.mitigation.is_empty();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = zero.elapsed().as_secs_f64();
            let over = if mitigable {
                let samples = users.samples();
                let baseline = Window::over(&samples, from, fault);
                let proved = score::mitigated(&samples, &baseline, fault, now - UNDER_WAY).is_some();
                // What is done wrong after the cure is seen, too.
                (proved && now > played + self.watch.control_secs + UNDER_WAY)
                    || now > fault + self.watch.mitigation_secs + score::PROOF + UNDER_WAY
            } else {
                now > played + self.watch.control_secs + UNDER_WAY
            };
            if over {
                return;
            }
        }
    }
}

/// The shop's name: short, and of this agent and scenario alone.
fn name(agent: &Kind, scenario: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(format!("{} {scenario} {}", agent.name(), std::process::id()));
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("sreb-{hash}")
}

fn keep(folder: &Path, to: &Path) {
    // What is kept of a failed run is a convenience: that it cannot be kept fails nothing.
    let _ = std::fs::create_dir_all(to);
    let _ = std::process::Command::new("cp")
        .arg("-r")
        .arg(folder)
        .arg(to)
        .status();
}

fn load_of_machine() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
