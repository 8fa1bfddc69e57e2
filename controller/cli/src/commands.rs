//! The verbs, one a file. This one only chooses.

pub(crate) mod api_resources;
pub(crate) mod apply;
pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod completion;
pub(crate) mod confirm;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod label;
pub(crate) mod logs;
pub(crate) mod patch;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod rollout;
pub(crate) mod runbook;
pub(crate) mod scale;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod why;

use std::time::Duration;

use serde_json::Value;

use crate::args::{Args, Command};
use crate::client::{Client, ListQuery, Shape};
use crate::config::{self, Environment, Settings};
use crate::console::Console;
use crate::error::CliError;
use crate::target::{Selection, Target};

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) console: Console,
    pub(crate) env: Environment,
    pub(crate) settings: Settings,
}

impl Session {
    /// The objects of a selection; whole kinds are listed, with these labels only.
    async fn targets(&self, selection: Selection, labels: Option<&str>) -> Result<Vec<Target>, CliError> {
        let kinds = match selection {
            Selection::Objects(targets) => return Ok(targets),
            Selection::Kinds(kinds) => kinds,
        };
        let query = ListQuery {
            labels: labels.map(str::to_owned),
            fields: None,
        };
        let mut targets = Vec::new();
        for info in kinds {
            let list = self.client.list(info, &query, Shape::Objects).await?;
            let items = list.get("items").and_then(Value::as_array);
            let names = items
                .into_iter()
                .flatten()
                .filter_map(|item| item.pointer("/metadata/name")?.as_str());
            targets.extend(names.map(|name| Target {
                info,
                name: name.to_owned(),
            }));
        }
        Ok(targets)
    }
}

/// How long to wait for a change to be carried out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitOptions {
    /// Waits until the change is carried out: a Workload ready with all its replicas, an Incident resolved
    #[arg(long)]
    wait: bool,
    /// How long to wait, such as 90s or 5m; 0s without end
    #[arg(long, value_name = "TIME", default_value = "120s")]
    timeout: aegis_api::Duration,
}

impl WaitOptions {
    fn limit(&self) -> Option<Duration> {
        limit(self.timeout)
    }
}

/// A limit as people write it: zero is none.
fn limit(timeout: aegis_api::Duration) -> Option<Duration> {
    Some(timeout.std()).filter(|limit| !limit.is_zero())
}

/// Carries out a command line.
pub(crate) async fn run(args: Args, env: Environment, console: &Console) -> Result<(), CliError> {
    let command = match args.command {
        // These need no server, and must work where the configuration is broken.
        Command::Completion(args) => return completion::run(&args, console),
        Command::Explain(args) => return explain::run(&args, console),
        other => other,
    };
    if let Command::Audit(args) = &command
        && let Some(done) = audit::offline(args, console)
    {
        return done;
    }
    let settings = config::resolve(&args.global, &env)?;
    let client = Client::new(&settings, console.clone())?;
    let session = Session {
        client,
        console: console.clone(),
        env,
        settings,
    };
    match command {
        Command::Get(args) => get::run(&args, &session).await,
        Command::Describe(args) => describe::run(&args, &session).await,
        Command::Apply(args) => apply::run(&args, &session).await,
        Command::Create(args) => create::run(&args, &session).await,
        Command::Edit(args) => edit::run(&args, &session).await,
        Command::Patch(args) => patch::run(&args, &session).await,
        Command::Label(args) => label::label(&args, &session).await,
        Command::Annotate(args) => label::annotate(&args, &session).await,
        Command::Delete(args) => delete::run(&args, &session).await,
        Command::Confirm(args) => confirm::run(&args, &session).await,
        Command::Diff(args) => diff::run(&args, &session).await,
        Command::Scale(args) => scale::run(&args, &session).await,
        Command::Restart(args) => restart::run(&args, &session).await,
        Command::Rollout(args) => rollout::run(&args, &session).await,
        Command::Rollback(args) => rollback::run(&args, &session).await,
        Command::Plan(args) => plan::run(&args, &session).await,
        Command::Pause(args) => pause::pause(&args, &session).await,
        Command::Resume(args) => pause::resume(&args, &session).await,
        Command::Approve(args) => approve::approve(&args, &session).await,
        Command::Reject(args) => approve::reject(&args, &session).await,
        Command::Why(args) => why::run(&args, &session).await,
        Command::Top(args) => top::run(&args, &session).await,
        Command::Wait(args) => wait::run(&args, &session).await,
        Command::Watch(args) => watch::run(&args, &session).await,
        Command::Logs(args) => logs::run(&args, &session).await,
        Command::Events(args) => events::run(&args, &session).await,
        Command::ApiResources(args) => api_resources::run(&args, &session).await,
        Command::Runbook(args) => runbook::run(&args, &session).await,
        Command::Audit(args) => audit::run(&args, &session).await,
        Command::Auth(args) => auth::run(&args, &session).await,
        Command::Token(args) => token::run(&args, &session).await,
        Command::Doctor(args) => doctor::run(&args, &session).await,
        Command::Version(args) => version::run(&args, &session).await,
        Command::Completion(_) | Command::Explain(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
