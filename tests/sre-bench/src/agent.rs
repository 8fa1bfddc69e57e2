//! The adapter: how an agent takes part. It has a shop to look after, may offer an address for alerts, and reports what it
//! has found. What it does, the oracle sees for itself.

mod aegisops;
mod autoheal;
mod command;

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::scenario::{Class, Role};
use crate::shop::{Shop, Wishes};

/// An agent that can take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// No agent at all.
    None,
    /// Docker's restart policies alone.
    RestartPolicy,
    /// A poller that restarts what is unhealthy, as docker-autoheal does it.
    Autoheal,
    /// AegisOps with its built-in analyst.
    AegisOps,
    /// AegisOps with the model that the environment names.
    AegisOpsWithModel,
    /// A program of one's own.
    Command(String),
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "none" => Self::None,
            "restart-policy" => Self::RestartPolicy,
            "autoheal" => Self::Autoheal,
            "aegisops" => Self::AegisOps,
            "aegisops-model" => Self::AegisOpsWithModel,
            _ => match text.strip_prefix("command:") {
                Some(program) => Self::Command(program.to_owned()),
                None => bail!(
                    "{text:?} is no agent: use none, restart-policy, autoheal, aegisops, aegisops-model or command:PROGRAM"
                ),
            },
        })
    }
}

impl Kind {
    /// Its name in results, which is also that of a folder.
    pub fn name(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::RestartPolicy => "restart-policy".to_owned(),
            Self::Autoheal => "autoheal".to_owned(),
            Self::AegisOps => "aegisops".to_owned(),
            Self::AegisOpsWithModel => "aegisops-model".to_owned(),
            Self::Command(program) => {
                let name = Path::new(program).file_name().unwrap_or_default();
                format!("command-{}", name.to_string_lossy())
            }
        }
    }

    /// How it wants the shop. Those who look after unhealthy containers alone are run as their users run them: with Docker's
    /// own restarts beside.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            restart_policy: match self {
                Self::RestartPolicy | Self::Autoheal => "unless-stopped",
                _ => "no",
            },
            writes_site: matches!(self, Self::AegisOps | Self::AegisOpsWithModel),
        }
    }

    /// How long it runs before anything happens: an agent that has just started does not know yet what ended before.
    pub fn warm_up(&self) -> Duration {
        match self {
            Self::AegisOps | Self::AegisOpsWithModel | Self::Command(_) => Duration::from_secs(32),
            _ => Duration::ZERO,
        }
    }

    /// Starts it, before the shop opens.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start(&self, folder: &Path, zero: Instant) -> anyhow::Result<Running> {
        let reports = Reports {
            zero,
            list: Arc::default(),
        };
        let inner = match self {
            Self::None | Self::RestartPolicy => Inner::Nothing,
            Self::Autoheal => Inner::Autoheal(None),
            Self::AegisOps => Inner::AegisOps(aegisops::AegisOps::start(folder, false).await?),
            Self::AegisOpsWithModel => Inner::AegisOps(aegisops::AegisOps::start(folder, true).await?),
            Self::Command(program) => Inner::Command(command::Command::new(program)),
        };
        Ok(Running {
            reports,
            inner,
            alerts: None,
        })
    }
}

/// Something that an agent says it has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was heard, seconds since the clock's zero.
    pub at: f64,
    /// Where.
    pub component: Option<Role>,
    /// What.
    pub class: Option<Class>,
    /// In its own words.
    pub text: String,
}

/// What an agent has reported.
#[derive(Debug, Clone)]
pub struct Reports {
    zero: Instant,
    list: Arc<Mutex<Vec<Report>>>,
}

impl Reports {
    fn add(&self, component: Option<Role>, class: Option<Class>, text: &str) {
        let report = Report {
            at: self.zero.elapsed().as_secs_f64(),
            component,
            class,
            text: text.chars().take(300).collect(),
        };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        // An agent that reports without end is cut off.
        if list.len() < 1000 {
            list.push(report);
        }
    }

    /// All of them so far.
    pub fn all(&self) -> Vec<Report> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where an agent takes alerts, in the form of Alertmanager's webhook.
#[derive(Debug, Clone)]
pub struct AlertSink {
    /// Address and port.
    pub host: String,
    /// Path.
    pub path: String,
    /// Value of `Authorization`.
    pub authorization: Option<String>,
}

/// An agent at work. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    /// What it has reported.
    pub reports: Reports,
    /// Where it takes alerts, if it does.
    pub alerts: Option<AlertSink>,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Nothing,
    Autoheal(Option<autoheal::Autoheal>),
    AegisOps(aegisops::AegisOps),
    Command(command::Command),
}

impl Running {
    /// Gives it the shop, which has opened.
    ///
    /// # Errors
    /// Where it cannot take it.
    pub async fn take_over(&mut self, shop: &Shop) -> anyhow::Result<()> {
        match &mut self.inner {
            Inner::Nothing => {}
            Inner::Autoheal(poller) => *poller = Some(autoheal::Autoheal::start(shop, self.reports.clone())),
            Inner::AegisOps(controller) => {
                self.alerts = Some(controller.take_over(shop, self.reports.clone()).await?);
            }
            Inner::Command(program) => {
                self.alerts = program.start(shop, self.reports.clone()).await?;
            }
        }
        Ok(())
    }

    /// Tokens that it has paid for.
    pub async fn tokens(&self) -> u64 {
        match &self.inner {
            Inner::AegisOps(controller) => controller.tokens().await,
            Inner::Command(program) => program.tokens(),
            _ => 0,
        }
    }

    /// SHA-256 of what decides, where it can say so.
    pub fn rules(&self) -> Option<String> {
        match &self.inner {
            Inner::AegisOps(controller) => controller.rules(),
            _ => None,
        }
    }
}
