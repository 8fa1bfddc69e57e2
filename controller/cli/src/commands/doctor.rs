//! `doctor`: whether this client and its controller can work together, and what to do where they cannot.

use aegis_api::{KINDS, KindInfo, Workload};
use owo_colors::Style;
use serde_json::Value;

use super::version;
use crate::client::feed::Feed;
use crate::client::{ListQuery, Shape};
use crate::error::CliError;
use crate::session::Session;
use crate::text;

/// Check configuration, connection, token and readiness, and say what to do
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {}

/// What a check found.
enum Finding {
    Good(String),
    /// It works, with a warning.
    Note(String),
    Bad {
        error: CliError,
        advice: &'static str,
    },
}

pub(crate) async fn run(_: &DoctorArgs, session: &Session) -> Result<(), CliError> {
    let settings = &session.settings;
    let mut report = Report { session, first: None };
    let server = format!("{} (from {})", session.client.server(), settings.server_origin);
    report.print("server", Finding::Good(server))?;
    let token = match &settings.token {
        Some((_, origin)) => Finding::Good(format!("set (from {origin})")),
        None => Finding::Note("none: only what is open to everybody will work".to_owned()),
    };
    report.print("token", token)?;
    let reachable = reachable(session).await;
    let goes_on = !matches!(reachable, Finding::Bad { .. });
    report.print("reachable", reachable)?;
    if goes_on {
        let accepted = accepted(session).await;
        let may_read = !matches!(accepted, Finding::Bad { .. });
        report.print("accepted", accepted)?;
        report.print("ready", ready(session).await)?;
        // One bad token is reported once.
        if may_read {
            report.print("events", events(session).await)?;
            report.print("files", files(session).await)?;
            for (name, finding) in state_files(session).await {
                report.print(name, finding)?;
            }
        }
    }
    report.outcome()
}

struct Report<'a> {
    session: &'a Session,
    first: Option<CliError>,
}

impl Report<'_> {
    fn print(&mut self, name: &str, finding: Finding) -> Result<(), CliError> {
        let console = &self.session.console;
        let line = |word: &str, style: Style, what: &str| {
            console.line(format!(
                "{}  {name:<10} {what}",
                console.paint(format!("{word:<4}"), style)
            ))
        };
        match finding {
            Finding::Good(what) => line("ok", Style::new().green(), &what),
            Finding::Note(what) => line("note", Style::new().yellow(), &what),
            Finding::Bad { error, advice } => {
                line("FAIL", Style::new().red().bold(), &error.to_string())?;
                if !advice.is_empty() {
                    console.line(format!("                 -> {advice}"))?;
                }
                self.first.get_or_insert(error);
                Ok(())
            }
        }
    }

    fn outcome(self) -> Result<(), CliError> {
        self.first.map_or(Ok(()), Err)
    }
}

async fn reachable(session: &Session) -> Finding {
    match version::controller(session).await {
        Ok(controller) if controller == version::CLIENT => Finding::Good(format!("controller {controller}")),
        Ok(controller) => {
            let client = version::CLIENT;
            Finding::Note(format!(
                "controller {controller}, and this client is {client}: use the same version"
            ))
        }
        Err(error @ CliError::Unreachable { .. }) => Finding::Bad {
            error,
            advice: "start it with `make up`; if it runs elsewhere, set AEGIS_SERVER",
        },
        Err(error) => Finding::Bad {
            error,
            advice: "is something else listening there? Set AEGIS_SERVER",
        },
    }
}

async fn accepted(session: &Session) -> Finding {
    match session
        .client
        .list(KindInfo::of::<Workload>(), &ListQuery::default(), Shape::Objects)
        .await
    {
        Ok(list) => {
            let count = list.get("items").and_then(Value::as_array).map_or(0, Vec::len);
            Finding::Good(format!("resources can be read ({count} workloads)"))
        }
        Err(error @ CliError::Unauthorized { .. }) => Finding::Bad {
            error,
            advice: "export AEGIS_TOKEN=\"$(make -s token)\"",
        },
        Err(error) => Finding::Bad {
            error,
            advice: "use a token whose role may read resources",
        },
    }
}

async fn ready(session: &Session) -> Finding {
    let advice =
        "the controller runs, but cannot work yet; is the Docker engine running? See the controller's log";
    match session.client.probe(&["readyz"]).await {
        Ok((200, text)) => Finding::Good(text::brief(&text, 100)),
        Ok((_, why)) => Finding::Bad {
            error: CliError::Failed(text::line(&why)),
            advice,
        },
        Err(error) => Finding::Bad { error, advice },
    }
}

async fn events(session: &Session) -> Finding {
    match Feed::connect(&session.client).await {
        Ok(_) => Finding::Good("the live event stream connects".to_owned()),
        Err(error) => Finding::Bad {
            error,
            advice: "a proxy in between must let /ws through as a WebSocket",
        },
    }
}

/// Folders and files of the state directory that are not in force as they are, and deletions that are held.
async fn state_files(session: &Session) -> Vec<(&'static str, Finding)> {
    // A controller of an earlier version has no such route.
    let Ok(report) = session.client.raw(&["files"]).await else {
        return Vec::new();
    };
    let list = |field: &str| {
        report
            .get(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let cell =
        |value: &Value, field: &str| text::line(value.get(field).and_then(Value::as_str).unwrap_or_default());
    let mut findings = Vec::new();
    for fault in list("faults") {
        let message = text::brief(&cell(&fault, "message"), 300);
        findings.push(match cell(&fault, "name").is_empty() {
            true => (
                "folder",
                Finding::Bad {
                    error: CliError::Failed(message),
                    advice: "",
                },
            ),
            false => ("file", Finding::Note(message)),
        });
    }
    let held = list("held");
    for info in KINDS.iter() {
        let names: Vec<String> = held
            .iter()
            .filter(|held| cell(held, "plural") == info.plural)
            .map(|held| cell(held, "name"))
            .collect();
        if !names.is_empty() {
            let shown = text::brief(&names.join(", "), 200);
            let message = format!("deletions of {} {} are held: {shown}", names.len(), info.plural);
            findings.push((
                "held",
                Finding::Bad {
                    error: CliError::Failed(message),
                    advice: "their files are gone: put them back, or run `aegisctl confirm`",
                },
            ));
        }
    }
    findings
}

/// Files of the state directory that the controller could not read are reported as Events.
async fn files(session: &Session) -> Finding {
    let list = match session.client.events(Some("type=Warning")).await {
        Ok(list) => list,
        Err(error) => return Finding::Bad { error, advice: "" },
    };
    let warnings = list.get("items").and_then(Value::as_array).map_or(0, Vec::len);
    match warnings {
        0 => Finding::Good("no warnings among the events".to_owned()),
        count => Finding::Note(format!(
            "{count} warnings among the events: see `aegisctl events`"
        )),
    }
}
