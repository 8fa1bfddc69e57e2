//! `silence`: for a while, or again and again, people are not notified. A verb around the kind Silence, which `apply`, `get`
//! and `delete` know like any other.

use std::collections::BTreeMap;

use aegis_api::policy::{FreezeWindow, Weekday};
use aegis_api::silence::SilencedAutomation;
use aegis_api::{Duration, Kind as _, KindInfo, Silence, SilenceSpec, Time};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::{DryRun, ListQuery, Shape};
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::target::Target;
use crate::text;

/// Keep people from being notified of what is known: by workload, alert type or label, for a time or in weekly windows
///
/// Incidents open and are healed as the policy says, unless --hold-automation is given; only people are left in peace.
/// Examples: `silence add web --for 2h --reason "new disks"`, `silence add --window "Sun 02:00-04:00" --reason backup
/// --hold-automation`.
#[derive(Debug, clap::Args)]
pub(crate) struct SilenceArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Begin a silence
    Add(Box<AddArgs>),
    /// Show silences, whether each is in force, and how long
    List,
    /// End silences now
    Expire {
        /// Names of silences
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Workloads; without any, all, and what is about none
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Why, for those who wonder at the quiet
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long, such as 30m or 2h
    #[arg(long = "for", value_name = "TIME", required_unless_present = "windows")]
    lasts: Option<Duration>,
    /// A weekly window in UTC, such as "Sat,Sun 02:00-04:00" or "22:00-06:00"; more than once for several
    #[arg(long = "window", value_name = "WINDOW", value_parser = window)]
    windows: Vec<FreezeWindow>,
    /// Only this alert type; more than once for several
    #[arg(long = "alert-type", value_name = "TYPE")]
    alert_types: Vec<String>,
    /// Only alerts with this label, NAME=VALUE; more than once: all of them
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Who is to be asked; you, by default
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Its name; made of owner and time by default
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Automation holds still meanwhile, as while it is paused
    #[arg(long)]
    hold_automation: bool,
}

pub(crate) async fn run(args: &SilenceArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Add(args) => add(args, session).await,
        Verb::List => list(session).await,
        Verb::Expire { names } => expire(names, session).await,
    }
}

fn now(session: &Session) -> Time {
    // The server's clock decides what is in force.
    session
        .client
        .server_time()
        .unwrap_or_else(|| Time(jiff::Timestamp::now()))
}

async fn add(args: &AddArgs, session: &Session) -> Result<(), CliError> {
    let owner = match &args.owner {
        Some(owner) => owner.clone(),
        None => {
            let answer = session.client.raw(&["auth", "session"]).await?;
            let user = answer.get("user").and_then(Value::as_str).unwrap_or_default();
            user.to_owned()
        }
    };
    if owner.is_empty() {
        return Err(CliError::Usage(
            "--owner is needed: who you are is not known".to_owned(),
        ));
    }
    let now = now(session);
    let mut match_labels = BTreeMap::new();
    for label in &args.labels {
        let pair = label.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| CliError::Usage(format!("--label {label}: write NAME=VALUE")))?;
        match_labels.insert(name.to_owned(), value.to_owned());
    }
    let names = args.workloads.iter().map(|name| {
        let plain = name.split_once('/').map_or(name.as_str(), |(_, name)| name);
        let parsed = plain.parse();
        parsed.map_err(|error| CliError::Usage(format!("{name}: {error}")))
    });
    let spec = SilenceSpec {
        workloads: aegis_api::policy::WorkloadSelector {
            names: names.collect::<Result<_, _>>()?,
            ..Default::default()
        },
        alert_types: args.alert_types.clone(),
        match_labels,
        owner: owner.clone(),
        reason: args.reason.clone(),
        from: None,
        until: args.lasts.map(|lasts| now.plus(lasts)),
        windows: args.windows.clone(),
        automation: if args.hold_automation {
            SilencedAutomation::Hold
        } else {
            SilencedAutomation::Continue
        },
    };
    let name = args.name.clone().unwrap_or_else(|| {
        let stem = aegis_api::naming::resource_name(&owner);
        format!("{stem}-{}", now.unix_seconds())
    });
    let object = json!({"apiVersion": aegis_api::API_VERSION, "kind": "Silence", "metadata": {"name": name}, "spec": spec});
    session
        .client
        .create(KindInfo::of::<Silence>(), &object, DryRun::None)
        .await?;
    let until = match (spec.until, spec.windows.len()) {
        (Some(until), 0) => format!("until {until}"),
        (Some(until), windows) => format!("in {windows} weekly window(s), until {until}"),
        (None, windows) => format!("in {windows} weekly window(s)"),
    };
    session.console.line(format!("silence/{name} created: {until}"))
}

async fn list(session: &Session) -> Result<(), CliError> {
    let answer = session
        .client
        .list(KindInfo::of::<Silence>(), &ListQuery::default(), Shape::Objects)
        .await?;
    let items = answer
        .get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let now = now(session);
    let mut rows = Vec::new();
    for item in items {
        let silence: Silence = serde_json::from_value(item)
            .map_err(|error| CliError::Failed(format!("a silence cannot be read: {error}")))?;
        let spec = &silence.spec;
        let about: Vec<&str> = spec.workloads.names.iter().map(AsRef::as_ref).collect();
        let about = match (about.is_empty(), spec.workloads.match_labels.is_empty()) {
            (false, _) => about.join(","),
            (true, false) => "by label".to_owned(),
            (true, true) => "all".to_owned(),
        };
        rows.push(vec![
            silence.name().to_owned(),
            state(spec, now).to_owned(),
            about,
            text::brief(&spec.owner, 30),
            spec.until
                .map_or_else(|| "-".to_owned(), |until| until.to_string()),
            spec.windows.len().to_string(),
            format!("{:?}", spec.automation),
            text::brief(&spec.reason, 60),
        ]);
    }
    if rows.is_empty() {
        session.console.remark("No silences.");
        return Ok(());
    }
    let header = [
        "NAME",
        "STATE",
        "WORKLOADS",
        "OWNER",
        "UNTIL",
        "WINDOWS",
        "AUTOMATION",
        "REASON",
    ];
    session.console.write(&aligned(&header, rows))
}

/// Whether it runs out; which of its windows is open is the server's to say.
fn state(spec: &SilenceSpec, now: Time) -> &'static str {
    if spec.until.is_some_and(|until| until <= now) {
        "expired"
    } else if spec.from.is_some_and(|from| now < from) {
        "pending"
    } else if spec.windows.is_empty() {
        "active"
    } else {
        "recurring"
    }
}

async fn expire(names: &[String], session: &Session) -> Result<(), CliError> {
    for name in names {
        let plain = name.split_once('/').map_or(name.as_str(), |(_, name)| name);
        let target = Target {
            info: KindInfo::of::<Silence>(),
            name: plain.to_owned(),
        };
        session.client.get(&target, Shape::Objects).await?;
        let until = now(session);
        let patch = json!({"spec": {"until": until, "from": null}});
        session.client.patch(&target, &patch, DryRun::None).await?;
        session.console.line(format!("{target} expired"))?;
    }
    Ok(())
}

/// `Sat,Sun 02:00-04:00`, `22:00-06:00`.
fn window(text: &str) -> Result<FreezeWindow, String> {
    let allowed =
        "write DAYS HH:MM-HH:MM in UTC, such as \"Sat,Sun 02:00-04:00\", or HH:MM-HH:MM for every day";
    let (days, span) = match text.trim().rsplit_once(' ') {
        Some((days, span)) => (days, span),
        None => ("", text.trim()),
    };
    let (start, end) = span.split_once('-').ok_or(allowed)?;
    let is_time = |text: &str| {
        let pair = text
            .split_once(':')
            .filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
        let parts =
            pair.and_then(|(hour, minute)| Some((hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?)));
        parts.is_some_and(|(hour, minute)| hour < 24 && minute < 60)
    };
    if !is_time(start) || !is_time(end) {
        return Err(allowed.to_owned());
    }
    let days = days.split(',').map(str::trim).filter(|day| !day.is_empty());
    Ok(FreezeWindow {
        days: days
            .map(|day| weekday(day).ok_or(allowed))
            .collect::<Result<_, _>>()?,
        start: start.to_owned(),
        end: end.to_owned(),
        reason: String::new(),
    })
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.to_lowercase().get(..3)? {
        "mon" => Weekday::Mon,
        "tue" => Weekday::Tue,
        "wed" => Weekday::Wed,
        "thu" => Weekday::Thu,
        "fri" => Weekday::Fri,
        "sat" => Weekday::Sat,
        "sun" => Weekday::Sun,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_people_write_them() {
        let read = |text: &str| {
            window(text).map(|window| format!("{:?} {} {}", window.days, window.start, window.end))
        };
        assert_eq!(read("Sat,Sun 02:00-04:00").unwrap(), "[Sat, Sun] 02:00 04:00");
        assert_eq!(read("22:00-06:00").unwrap(), "[] 22:00 06:00");
        assert_eq!(read("monday 10:00-10:30").unwrap(), "[Mon] 10:00 10:30");
        for wrong in [
            "",
            "Sun",
            "2:00-4:00",
            "25:00-26:00",
            "Noday 02:00-04:00",
            "Sun 02:00",
        ] {
            assert!(read(wrong).unwrap_err().contains("HH:MM"), "{wrong}");
        }
    }
}
