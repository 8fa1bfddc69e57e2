//! `token`: named tokens are made, listed, rotated and revoked; a one-time link logs a browser in. For admins; anybody may make a
//! link for themselves.

use aegis_api::Duration;
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Body;
use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::session::Session;
use crate::text;

const ACCEPT: &str = "application/json";
const TOKENS: [&str; 2] = ["auth", "tokens"];

/// Make, list, rotate and revoke tokens; make a one-time link for the cockpit
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Reads everything but tokens and the audit log
    Viewer,
    /// And scales, restarts, approves, changes what runs
    Operator,
    /// Everything
    Admin,
    /// Posts alerts, nothing else
    Webhook,
    /// Reads what the dashboard shows, nothing else
    Dashboard,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token; it is shown this once
    Create {
        /// Whose it is: a person or a program; the audit log names them so
        #[arg(value_name = "NAME")]
        name: String,
        /// What it allows
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// How long it is good, such as 12h or 720h; without end by default
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Duration>,
        /// Print the token and nothing else
        #[arg(short, long)]
        quiet: bool,
    },
    /// List tokens: roles, expiry and last use, never the tokens themselves
    List,
    /// Give a token another secret, which is shown this once; what the former one began ends. `admin` and `webhook` are the
    /// tokens of the first start, whose files are written, too; the former webhook token stays good for a while
    Rotate {
        #[arg(value_name = "NAME")]
        name: String,
        /// How long it is good from now on, such as 12h or 720h; by default as long as before, the admin token without end
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Duration>,
        /// How long the former webhook token stays good beside the new one, such as 1h or 7d, at most 30d; 24h by default
        #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
        grace: Option<Duration>,
        /// Print the token and nothing else
        #[arg(short, long)]
        quiet: bool,
    },
    /// Revoke a token; the sessions that it began end with it. `admin`, the token of the first start, only where another
    /// admin has one
    Revoke {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make a link that logs a browser in once, as you
    Once {
        /// Where the browser finds the controller
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000/api")]
        url: String,
    },
}

pub(crate) async fn run(args: &TokenArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Create {
            name,
            role,
            expires_in,
            quiet,
        } => create(session, name, *role, *expires_in, *quiet).await,
        Verb::List => list(session).await,
        Verb::Rotate {
            name,
            expires_in,
            grace,
            quiet,
        } => rotate(session, name, (*expires_in, *grace), *quiet).await,
        Verb::Revoke { name } => revoke(session, name).await,
        Verb::Once { url } => once(session, url).await,
    }
}

async fn create(
    session: &Session,
    name: &str,
    role: Role,
    expires_in: Option<Duration>,
    quiet: bool,
) -> Result<(), CliError> {
    let role = role.to_possible_value().map(|value| value.get_name().to_owned());
    let mut wanted = json!({"name": name, "role": role});
    if let (Some(life), Some(fields)) = (expires_in, wanted.as_object_mut()) {
        fields.insert("ttlSeconds".to_owned(), life.std().as_secs().into());
    }
    let made = session
        .client
        .json(Method::POST, &TOKENS, &[], ACCEPT, Body::Json(&wanted))
        .await?;
    show(session, &made, quiet)
}

async fn rotate(
    session: &Session,
    name: &str,
    (expires_in, grace): (Option<Duration>, Option<Duration>),
    quiet: bool,
) -> Result<(), CliError> {
    let seconds = |span: Option<Duration>| span.map(|span| span.std().as_secs());
    let wanted = match grace {
        Some(_) => json!({"graceSeconds": seconds(grace)}),
        None => json!({"ttlSeconds": seconds(expires_in)}),
    };
    let path = [&TOKENS[..], &[name, "rotate"]].concat();
    let made = session
        .client
        .json(Method::POST, &path, &[], ACCEPT, Body::Json(&wanted))
        .await?;
    show(session, &made, quiet)
}

/// The only time that it is shown.
fn show(session: &Session, made: &Value, quiet: bool) -> Result<(), CliError> {
    session.console.line(cell(made, "token"))?;
    if !quiet {
        let ends = match made.get("expiresAt").and_then(Value::as_str) {
            Some(at) => format!("until {}", text::line(at)),
            None => "until it is revoked".to_owned(),
        };
        session.console.remark(format!(
            "token {:?} of role {}, good {ends}. It is not shown again.",
            cell(made, "name"),
            cell(made, "role")
        ));
        if let Some(until) = made.get("formerGoodUntil").and_then(Value::as_str) {
            session.console.remark(format!(
                "The former one is good until {}: give senders the new one by then.",
                text::line(until)
            ));
        }
    }
    Ok(())
}

async fn list(session: &Session) -> Result<(), CliError> {
    let answer = session.client.raw(&TOKENS).await?;
    if let Some(former) = answer.get("formerWebhookToken") {
        let used = match former.get("lastUsedAt").and_then(Value::as_str) {
            Some(at) => format!("a sender used it at {}", text::line(at)),
            None => "no sender has used it since".to_owned(),
        };
        session.console.remark(format!(
            "The former webhook token is good until {}; {used}.",
            cell(former, "goodUntil")
        ));
    }
    let tokens = answer.get("tokens").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = tokens.into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        session.console.remark("No tokens but those of the first start.");
        return Ok(());
    }
    let head = ["NAME", "ROLE", "CREATED", "BY", "EXPIRES", "LAST USED"];
    session.console.write(&aligned(&head, rows))
}

fn row(token: &Value) -> Vec<String> {
    let expired = token.get("expired").and_then(Value::as_bool).unwrap_or_default();
    let at = |name: &str, none: &str| {
        let time = cell(token, name);
        let whole = time.split('.').next().unwrap_or_default().trim_end_matches('Z');
        if whole.is_empty() {
            none.to_owned()
        } else {
            format!("{whole}Z")
        }
    };
    let expires = at("expiresAt", "never");
    vec![
        cell(token, "name"),
        cell(token, "role"),
        at("createdAt", ""),
        cell(token, "createdBy"),
        if expired {
            format!("{expires} (expired)")
        } else {
            expires
        },
        at("lastUsedAt", "never"),
    ]
}

async fn revoke(session: &Session, name: &str) -> Result<(), CliError> {
    let path = [&TOKENS[..], &[name]].concat();
    session
        .client
        .json(Method::DELETE, &path, &[], ACCEPT, Body::None)
        .await?;
    session
        .console
        .line(format!("token {:?} revoked", text::line(name)))
}

async fn once(session: &Session, url: &str) -> Result<(), CliError> {
    let link = session
        .client
        .json(Method::POST, &["auth", "once"], &[], ACCEPT, Body::None)
        .await?;
    session
        .console
        .line(format!("{}{}", url.trim_end_matches('/'), cell(&link, "path")))
}

fn cell(value: &Value, name: &str) -> String {
    text::line(value.get(name).and_then(Value::as_str).unwrap_or_default())
}
