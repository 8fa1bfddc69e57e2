//! The controller's clock, set ahead and back while it works, and what must hold of it: times are of the clock as it is, nothing
//! is refused for as long as it was set back, a session neither ends nor lasts for ever, a token ends when its maker said.
//! For a controller with the feature `fault-points`, which reads how far its clock is off from a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_tests::binaries::binary;
use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{Api, KINDS};

/// How far it is off, seconds, one after the other: an hour ahead, back, and another one back; five minutes; a day and forty
/// days ahead, and back.
const STEPS: [i64; 10] = [0, 3600, 0, -3600, 0, -300, 86_100, -300, 40 * 86_400, 0];
/// How long each lasts.
const EACH: u64 = 30;
/// How long a token lasts by the clock: an hour ahead it has ended.
const TOKEN_SECONDS: u32 = 3000;
/// How exactly times are compared: what is written within a batch, and read after it.
const EXACT: SignedDuration = SignedDuration::from_secs(8);
const NAME: &str = "AEGIS_CLOCK_OFFSET_FILE";

/// A browser that is logged in, and a program with a token that ends.
#[derive(Debug)]
struct Holders {
    cookie: String,
    csrf: String,
    token: String,
    /// When the token ends, by the clock as it was.
    ends: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    offset: i64,
    steps: usize,
    taken_at_step: u64,
    was_full: bool,
    kept: u64,
    holders: Option<Holders>,
}

impl Clock {
    /// `None` where the controller has no such clock.
    pub(crate) fn new(folder: &Path) -> Result<Option<Self>> {
        let program = std::fs::read(binary("aegis-controller"))?;
        if !program
            .windows(NAME.len())
            .any(|window| window == NAME.as_bytes())
        {
            return Ok(None);
        }
        let clock = Self {
            file: folder.join("clock"),
            offset: 0,
            steps: 0,
            taken_at_step: 0,
            was_full: false,
            kept: 0,
            holders: None,
        };
        clock.write()?;
        Ok(Some(clock))
    }

    /// What the controller finds the file by.
    pub(crate) fn variable(&self) -> (&'static str, &Path) {
        (NAME, &self.file)
    }

    pub(crate) fn summary(&self) -> String {
        format!("clock {:+} s", self.offset)
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Logs in, and makes the token.
    pub(crate) async fn begin(&mut self, api: &Api) -> Result<()> {
        let (cookie, csrf) = api.log_in().await?;
        let wanted = json!({"name": "clock", "role": "viewer", "ttlSeconds": TOKEN_SECONDS});
        let made = api.post("/auth/tokens", &wanted).await?;
        let token = made["token"].as_str().context("a token was made")?.to_owned();
        let ends = time(&made["expiresAt"]).context("the token has an end")?;
        self.holders = Some(Holders {
            cookie,
            csrf,
            token,
            ends,
        });
        self.kept = api.incidents().await?;
        Ok(())
    }

    /// Sets the clock where that is due, after it was seen that all is well as it is. `taken` alerts were taken until now.
    pub(crate) async fn step(&mut self, elapsed: Duration, api: &Api, taken: u64, full: bool) -> Result<()> {
        let place = usize::try_from(elapsed.as_secs() / EACH).unwrap_or_default() % STEPS.len();
        let next = STEPS.get(place).copied().unwrap_or_default();
        self.was_full |= full;
        if next == self.offset {
            return Ok(());
        }
        self.check(api, taken).await.with_context(|| self.summary())?;
        self.set(next)?;
        self.steps += 1;
        (self.taken_at_step, self.was_full) = (taken, full);
        Ok(())
    }

    /// As it was in the beginning.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.set(0)
    }

    fn set(&mut self, offset: i64) -> Result<()> {
        self.offset = offset;
        self.write()
    }

    fn write(&self) -> Result<()> {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, self.offset.to_string())?;
        Ok(std::fs::rename(&beside, &self.file)?)
    }

    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.offset)
    }

    async fn check(&mut self, api: &Api, taken: u64) -> Result<()> {
        if self.was_full {
            // Then changes are refused, whatever the clock says, and what has ended makes room before its time.
            self.kept = api.incidents().await?;
            return Ok(());
        }
        ensure!(
            self.steps == 0 || taken > self.taken_at_step,
            "no alert was taken since the clock was set"
        );
        self.check_times(api).await?;
        self.check_holders(api).await?;
        // Open ones stay, those that ended are kept by number: what is old by a clock that was set ahead alone is not.
        let kept = api.incidents().await?;
        ensure!(
            kept >= self.kept * 9 / 10,
            "{kept} incidents are left of {}",
            self.kept
        );
        self.kept = kept;
        Ok(())
    }

    /// What is made now is of now by the clock as it is, and nothing of it lies ahead.
    async fn check_times(&self, api: &Api) -> Result<()> {
        let name = format!("clock-{}", self.steps);
        let entry = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "RunbookEntry", "metadata": {"name": name},
            "spec": {"incidentId": name, "alertType": "Clock", "rootCause": "none", "action": "NOOP", "confidence": 1.0}});
        let made = api.post(&format!("{KINDS}/runbookentries"), &entry).await?;
        let created =
            time(&made["metadata"]["creationTimestamp"]).context("an object has a creation time")?;
        let off = created.duration_since(self.now());
        ensure!(
            off.abs() <= EXACT,
            "an object made now is of {created}, {} s off",
            off.as_secs()
        );
        let tokens = api.get("/auth/tokens").await?;
        for token in tokens["tokens"].as_array().into_iter().flatten() {
            if let Some(used) = time(&token["lastUsedAt"]) {
                // Those of the senders are used all the time.
                ensure!(
                    used <= self.now() + EXACT,
                    "{} was last used at {used}, which is to come",
                    token["name"]
                );
            }
        }
        Ok(())
    }

    async fn check_holders(&self, api: &Api) -> Result<()> {
        let Some(holders) = &self.holders else {
            return Ok(());
        };
        let session = api.session(&holders.cookie, &holders.csrf).await?;
        ensure!(session == 200, "the browser's session is answered {session}");
        let token = api.whoami(&holders.token).await?;
        let (is_over, is_near) = (
            self.now() >= holders.ends,
            self.now().duration_since(holders.ends).abs() <= EXACT,
        );
        ensure!(
            is_near || token == if is_over { 401 } else { 200 },
            "a token that ends at {} is answered {token}",
            holders.ends
        );
        Ok(())
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
