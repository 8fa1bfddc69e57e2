//! `notify`: where notifications go, what became of the latest, and a test message.

use aegis_api::wire::{DeliveryOutcome, NotificationList, NotificationTests};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use crate::client::Body;
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::text;

const ACCEPT: &str = "application/json";

/// Where notifications go, and what became of them
#[derive(Debug, clap::Args)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    List(ListArgs),
    Test(TestArgs),
}

/// List the destinations, and what was given up
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Show what was sent, too
    #[arg(long)]
    all: bool,
}

/// Send a test message to every destination, or to one; one that was stopped goes on if it is taken
#[derive(Debug, clap::Args)]
struct TestArgs {
    /// slack, slack-app, webhook, webhook-reconcile, email or otlp
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

pub(crate) async fn run(args: &NotifyArgs, session: &Session) -> Result<(), CliError> {
    match &args.command {
        NotifyCommand::List(args) => list(args, session).await,
        NotifyCommand::Test(args) => test(args, session).await,
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, CliError> {
    serde_json::from_value(answer).map_err(|error| {
        CliError::Failed(format!(
            "what the server says of notifications cannot be read: {error}"
        ))
    })
}

async fn list(args: &ListArgs, session: &Session) -> Result<(), CliError> {
    let path = ["notifications"];
    let answer = session
        .client
        .json(Method::GET, &path, &[], ACCEPT, Body::None)
        .await?;
    let list: NotificationList = read(answer)?;
    if list.destinations.is_empty() {
        return session
            .console
            .line("no destination is configured: see docs/notifications.md");
    }
    let rows = list.destinations.iter().map(|destination| {
        let state = match &destination.stopped {
            Some(why) => format!("stopped: {}", text::line(why)),
            None => "active".to_owned(),
        };
        vec![
            text::line(&destination.name),
            destination.waiting.to_string(),
            destination.sent.to_string(),
            destination.failures.to_string(),
            destination.dropped.to_string(),
            destination.folded.to_string(),
            state,
        ]
    });
    let header = [
        "DESTINATION",
        "WAITING",
        "SENT",
        "FAILURES",
        "DROPPED",
        "FOLDED",
        "STATE",
    ];
    session.console.write(&aligned(&header, rows.collect()))?;
    let wanted = |outcome| args.all || outcome == DeliveryOutcome::Dropped;
    let shown = list.deliveries.iter().filter(|delivery| wanted(delivery.outcome));
    let rows: Vec<Vec<String>> = shown
        .map(|delivery| {
            vec![
                delivery.at.to_string(),
                text::line(&delivery.destination),
                text::line(&delivery.incident),
                text::line(&delivery.about),
                match delivery.outcome {
                    DeliveryOutcome::Sent => "sent".to_owned(),
                    DeliveryOutcome::Dropped => format!("dropped: {}", text::line(&delivery.message)),
                },
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    session.console.line("")?;
    let header = ["AT", "DESTINATION", "INCIDENT", "ABOUT", "OUTCOME"];
    session.console.write(&aligned(&header, rows))
}

async fn test(args: &TestArgs, session: &Session) -> Result<(), CliError> {
    let path = ["notifications", "test"];
    let query: Vec<(&str, &str)> = args
        .destination
        .iter()
        .map(|name| ("destination", name.as_str()))
        .collect();
    let answer = session
        .client
        .json(Method::POST, &path, &query, ACCEPT, Body::None)
        .await?;
    let tests: NotificationTests = read(answer)?;
    if tests.results.is_empty() {
        return Err(CliError::Failed(
            "no destination is configured: see docs/notifications.md".to_owned(),
        ));
    }
    let mut failed = 0;
    for result in &tests.results {
        let name = text::line(&result.destination);
        match &result.error {
            None => session.console.line(format!("{name} took the test message"))?,
            Some(why) => {
                failed += 1;
                session.console.remark(format!(
                    "{name} did not take the test message: {}",
                    text::line(why)
                ));
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!(
            "{failed} of {} destinations did not take the test message",
            tests.results.len()
        ))),
    }
}
