//! `watch`: the live event stream, until it is interrupted or an incident has ended.

use aegis_api::wire::{self, FrameType};
use reqwest::Method;
use serde_json::Value;

use crate::client::Body;
use crate::client::feed::{Feed, FeedItem, Frame};
use crate::error::CliError;
use crate::printer::feed::{FeedPrinter, incident_of};
use crate::printer::format;
use crate::session::{Session, limit};
use crate::text;

/// Follow what happens, as it happens: incidents, reasoning, votes, actions, probes
///
/// A lost connection is made again, and nothing is missed or shown twice.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// Only this incident, by its name or the id its sender gave it
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Ends with the incident (or else the first one that appears): 0 when it is RESOLVED or was a dry run, 1 when it
    /// FAILED
    #[arg(long)]
    until_resolved: bool,
    /// Gives up after this time with exit code 124, such as 90s; 0s never
    #[arg(long, value_name = "TIME", default_value = "0s")]
    timeout: aegis_api::Duration,
    /// Also what comes all the time: metrics, heartbeats, reconciles, resource changes
    #[arg(short, long, visible_alias = "all")]
    verbose: bool,
    /// The frames as they come, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &WatchArgs, session: &Session) -> Result<(), CliError> {
    let watching = follow(args, session);
    let Some(limit) = limit(args.timeout) else {
        return watching.await;
    };
    match tokio::time::timeout(limit, watching).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // The cursor may stand at the end of a line of reasoning.
            session.console.write("\n")?;
            let what = match &args.incident {
                Some(id) => format!("incident {id} to end"),
                None => "an incident to end".to_owned(),
            };
            Err(CliError::Timeout {
                what: text::line(&what),
                seconds: limit.as_secs_f64(),
            })
        }
    }
}

async fn follow(args: &WatchArgs, session: &Session) -> Result<(), CliError> {
    let mut view = View {
        args,
        session,
        printer: FeedPrinter::new(session.console.clone(), args.verbose),
        followed: args.incident.clone(),
        alias: None,
        is_lost: false,
    };
    let mut feed = Feed::connect(&session.client).await?;
    // It may have ended before this began.
    if let Some(outcome) = view.poll_incident().await? {
        return outcome;
    }
    loop {
        let item = feed.next().await?;
        if view.is_lost && !matches!(item, FeedItem::Lost { .. }) {
            view.is_lost = false;
            view.say("connected again")?;
        }
        match item {
            FeedItem::Frame(frame) => {
                if FrameType::of(&frame.kind) == Some(FrameType::IncidentNew)
                    && let Some(outcome) = view.appeared(&frame).await?
                {
                    return outcome;
                }
                view.show(&frame)?;
                if let Some(outcome) = view.judge(&frame) {
                    return outcome;
                }
            }
            FeedItem::Gap => {
                view.say("events may be missing: the controller restarted, or this client was too slow")?;
                if let Some(outcome) = view.poll_incident().await? {
                    return outcome;
                }
            }
            FeedItem::Quiet => {
                if let Some(outcome) = view.poll_incident().await? {
                    return outcome;
                }
            }
            FeedItem::Lost { cause } => view.lost(&cause)?,
        }
    }
}

struct View<'a> {
    args: &'a WatchArgs,
    session: &'a Session,
    printer: FeedPrinter,
    /// The incident that decides when this ends, as it was requested.
    followed: Option<String>,
    /// The id that its frames carry, where that is another: a resource's name, and its sender's id for it.
    alias: Option<String>,
    /// The connection is gone, and that was reported.
    is_lost: bool,
}

const NO_REASON: &str = "no reason given";

/// How the followed incident ended.
type Outcome = Result<(), CliError>;

impl View<'_> {
    fn show(&mut self, frame: &Frame) -> Result<(), CliError> {
        if self.args.incident.is_some() && !self.is_followed(incident_of(frame).as_deref()) {
            return Ok(());
        }
        if self.args.json {
            let value = serde_json::from_str::<Value>(&frame.raw);
            let line = value.map_or_else(
                |_| text::line(&frame.raw),
                |value| format::escape(&value.to_string()),
            );
            return self.session.console.line(line);
        }
        let text = self.printer.frame(frame);
        if text.is_empty() {
            Ok(())
        } else {
            self.session.console.write(&text)
        }
    }

    fn is_followed(&self, incident: Option<&str>) -> bool {
        incident.is_some() && (incident == self.followed.as_deref() || incident == self.alias.as_deref())
    }

    /// Takes note of an incident that is new.
    async fn appeared(&mut self, frame: &Frame) -> Result<Option<Outcome>, CliError> {
        match (&self.followed, &self.alias) {
            (None, _) => {
                self.followed = incident_of(frame).filter(|_| self.args.until_resolved);
                Ok(None)
            }
            // It may be the one that was requested by another name.
            (Some(_), None) if !self.is_followed(incident_of(frame).as_deref()) => self.poll_incident().await,
            _ => Ok(None),
        }
    }

    /// Whether a frame ends it.
    fn judge(&self, frame: &Frame) -> Option<Outcome> {
        let incident = incident_of(frame).filter(|_| self.args.until_resolved)?;
        if !self.is_followed(Some(&incident)) {
            return None;
        }
        // The type alone ends it, whatever a later version says beside it.
        match FrameType::of(&frame.kind)? {
            FrameType::Resolved => Some(Ok(())),
            FrameType::Failed => {
                let why = match wire::Frame::read(&frame.kind, &frame.data) {
                    Ok(Some(wire::Frame::Failed(end))) => end.error,
                    _ => None,
                };
                Some(Err(failed(&incident, why.as_deref().unwrap_or(NO_REASON))))
            }
            _ => None,
        }
    }

    /// Asks how the followed incident stands, for the times that no frame reported.
    async fn poll_incident(&mut self) -> Result<Option<Outcome>, CliError> {
        let Some(followed) = self.followed.clone() else {
            return Ok(None);
        };
        let path = ["incidents", followed.as_str()];
        let asked = self
            .session
            .client
            .json(Method::GET, &path, &[], "application/json", Body::None)
            .await;
        let found = match asked {
            Ok(found) => found,
            // It is not there yet, or the controller is away: the stream will report it.
            Err(error) if error.is_not_found() || matches!(error, CliError::Unreachable { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        self.alias = text("incident_id").map(str::to_owned);
        match text("status").filter(|_| self.args.until_resolved) {
            Some("RESOLVED") => {
                let is_dry_run = found.get("dry_run") == Some(&Value::Bool(true));
                self.say(&match is_dry_run {
                    true => format!("incident {followed} was a dry run: nothing was done"),
                    false => format!("incident {followed} is RESOLVED"),
                })?;
                Ok(Some(Ok(())))
            }
            Some("FAILED") => Ok(Some(Err(failed(&followed, text("error").unwrap_or(NO_REASON))))),
            _ => Ok(None),
        }
    }

    /// Reports a loss once, however many tries follow.
    fn lost(&mut self, cause: &str) -> Result<(), CliError> {
        if std::mem::replace(&mut self.is_lost, true) {
            return Ok(());
        }
        self.say(&format!("connection lost ({cause}), trying again"))
    }

    fn say(&mut self, message: &str) -> Result<(), CliError> {
        if self.args.json {
            self.session.console.remark(text::line(message));
            return Ok(());
        }
        let text = self.printer.remark(&format!("# {message}"));
        self.session.console.write(&text)
    }
}

fn failed(incident: &str, why: &str) -> CliError {
    CliError::Failed(text::line(&format!("incident {incident} FAILED: {why}")))
}
