//! `pause` and `resume`: the brake of automation, for the whole host or one Workload.

use aegis_api::Duration;
use aegis_api::automation::{AutomationView, PauseWanted};
use reqwest::Method;
use serde_json::json;

use crate::client::Body;
use crate::error::CliError;
use crate::session::Session;
use crate::target::{Target, object_of};
use crate::text;

const ACCEPT: &str = "application/json";

/// Pause automation: nothing is restarted or healed by itself, no incident acts without a human
///
/// Without a workload, on the whole host. What people request (scale, restart, apply, approve) goes on, and so do load
/// balancers. It outlives restarts of the controller. Examples: `pause --reason "database migration" --for 2h`, `pause
/// workload/web`.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    /// workload/NAME, workload NAME, or just NAME; without it the whole host
    #[arg(value_name = "WORKLOAD")]
    what: Vec<String>,
    /// Why, for those who find it paused
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// When it ends by itself, such as 30m or 2h; until `resume` by default
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<Duration>,
}

/// Let automation go on after `pause`, or after it paused itself
///
/// Without a workload, on the whole host; workloads that are paused on their own stay so.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// workload/NAME, workload NAME, or just NAME; without it the whole host
    #[arg(value_name = "WORKLOAD")]
    what: Vec<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn pause(args: &PauseArgs, session: &Session) -> Result<(), CliError> {
    let seconds = args.lasts.map(seconds).transpose()?;
    let (target, wanted) = wanted(&args.what, &args.reason, seconds)?;
    let view = ask(session, "pause", &wanted).await?;
    let pause = match &target {
        Some(target) => view.workloads.get(&target.name),
        None => view.paused.as_ref(),
    };
    let words = pause.map_or_else(|| "paused".to_owned(), |pause| text::line(&pause.words()));
    match target {
        Some(target) => session
            .console
            .line(format!("automation for {target} is {words}")),
        None => session.console.line(format!("all automation is {words}")),
    }
}

pub(crate) async fn resume(args: &ResumeArgs, session: &Session) -> Result<(), CliError> {
    let (target, wanted) = wanted(&args.what, &args.reason, None)?;
    let view = ask(session, "resume", &wanted).await?;
    match target {
        Some(target) => session.console.line(format!("automation for {target} goes on"))?,
        None => session.console.line("automation goes on")?,
    }
    if let Some(pause) = &view.paused {
        let words = pause.words();
        session
            .console
            .remark(format!("all automation is {}", text::line(&words)));
    }
    for (name, pause) in &view.workloads {
        let words = pause.words();
        let text = format!("automation for workload/{name} is {}", text::line(&words));
        session.console.remark(text);
    }
    Ok(())
}

/// Whole seconds; a pause that would end at once is none.
fn seconds(lasts: Duration) -> Result<u32, CliError> {
    let seconds = u32::try_from(lasts.std().as_secs())
        .ok()
        .filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| CliError::Usage(format!("--for {lasts}: at least 1s, at most a year")))
}

fn wanted(
    what: &[String],
    reason: &str,
    seconds: Option<u32>,
) -> Result<(Option<Target>, PauseWanted), CliError> {
    let target = match what {
        [] => None,
        some => Some(object_of(some, "Workload")?),
    };
    let workload = match &target {
        Some(target) => {
            let name = target.name.parse();
            Some(name.map_err(|error| CliError::Usage(format!("{target}: {error}")))?)
        }
        None => None,
    };
    let wanted = PauseWanted {
        workload,
        reason: reason.to_owned(),
        seconds,
    };
    Ok((target, wanted))
}

async fn ask(session: &Session, verb: &str, wanted: &PauseWanted) -> Result<AutomationView, CliError> {
    let path = ["automation", verb];
    let body = json!(wanted);
    let answer = session
        .client
        .json(Method::POST, &path, &[], ACCEPT, Body::Json(&body))
        .await?;
    serde_json::from_value(answer).map_err(|error| {
        CliError::Failed(format!(
            "what the server says of automation cannot be read: {error}"
        ))
    })
}
