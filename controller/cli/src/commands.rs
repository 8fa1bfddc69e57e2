//! The verbs, one a file. This one only chooses.

pub(crate) mod api_resources;
pub(crate) mod apply;
pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod autoscale;
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
pub(crate) mod intake;
pub(crate) mod label;
pub(crate) mod logs;
pub(crate) mod notify;
pub(crate) mod patch;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod rollout;
pub(crate) mod runbook;
pub(crate) mod scale;
pub(crate) mod silence;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod why;

use clap::Subcommand;

use crate::client::Client;
use crate::config::{self, Environment};
use crate::console::Console;
use crate::error::CliError;
use crate::global::Global;
use crate::session::Session;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(get::GetArgs),
    Describe(describe::DescribeArgs),
    Apply(apply::ApplyArgs),
    Create(create::CreateArgs),
    Edit(edit::EditArgs),
    Patch(patch::PatchArgs),
    Label(label::LabelArgs),
    Annotate(label::AnnotateArgs),
    Delete(delete::DeleteArgs),
    Confirm(confirm::ConfirmArgs),
    Diff(diff::DiffArgs),
    Scale(scale::ScaleArgs),
    Autoscale(autoscale::AutoscaleArgs),
    Restart(restart::RestartArgs),
    Rollout(rollout::RolloutArgs),
    #[command(visible_alias = "undo")]
    Rollback(rollback::RollbackArgs),
    Plan(plan::PlanArgs),
    Approve(approve::ApproveArgs),
    Reject(approve::RejectArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Silence(silence::SilenceArgs),
    Intake(intake::IntakeArgs),
    Why(why::WhyArgs),
    Top(top::TopArgs),
    Wait(wait::WaitArgs),
    Watch(watch::WatchArgs),
    Logs(logs::LogsArgs),
    Events(events::EventsArgs),
    Notify(notify::NotifyArgs),
    Runbook(runbook::RunbookArgs),
    Explain(explain::ExplainArgs),
    ApiResources(api_resources::ApiResourcesArgs),
    Audit(audit::AuditArgs),
    Auth(auth::AuthArgs),
    Token(token::TokenArgs),
    Doctor(doctor::DoctorArgs),
    Version(version::VersionArgs),
    Completion(completion::CompletionArgs),
}

/// Carries out a verb. `grammar`: the whole command line as clap knows it.
pub(crate) async fn run(
    command: Command,
    global: &Global,
    grammar: fn() -> clap::Command,
    env: Environment,
    console: &Console,
) -> Result<(), CliError> {
    let command = match command {
        // These need no server, and must work where the configuration is broken.
        Command::Completion(args) => return completion::run(&args, grammar(), console),
        Command::Explain(args) => return explain::run(&args, console),
        other => other,
    };
    if let Command::Audit(args) = &command
        && let Some(done) = audit::offline(args, console)
    {
        return done;
    }
    let settings = config::resolve(global, &env)?;
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
        Command::Autoscale(args) => autoscale::run(&args, &session).await,
        Command::Restart(args) => restart::run(&args, &session).await,
        Command::Rollout(args) => rollout::run(&args, &session).await,
        Command::Rollback(args) => rollback::run(&args, &session).await,
        Command::Plan(args) => plan::run(&args, &session).await,
        Command::Pause(args) => pause::pause(&args, &session).await,
        Command::Resume(args) => pause::resume(&args, &session).await,
        Command::Approve(args) => approve::approve(&args, &session).await,
        Command::Reject(args) => approve::reject(&args, &session).await,
        Command::Silence(args) => silence::run(&args, &session).await,
        Command::Intake(args) => intake::run(&args, &session).await,
        Command::Why(args) => why::run(&args, &session).await,
        Command::Top(args) => top::run(&args, &session).await,
        Command::Wait(args) => wait::run(&args, &session).await,
        Command::Watch(args) => watch::run(&args, &session).await,
        Command::Logs(args) => logs::run(&args, &session).await,
        Command::Events(args) => events::run(&args, &session).await,
        Command::Notify(args) => notify::run(&args, &session).await,
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
