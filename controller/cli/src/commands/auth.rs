//! `auth`: who one is to the controller, and what one may do.

use aegis_api::GROUP;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Body;
use crate::error::CliError;
use crate::session::Session;
use crate::target::{Selection, select};
use crate::text;

const REVIEW: [&str; 4] = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];

/// Ask who you are and what you may do
#[derive(Debug, clap::Args)]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Your name and role
    Whoami,
    /// Whether you may: `can-i delete workloads`, `can-i get /audit`. Answers yes or no, and exits 0 or 1
    CanI {
        /// get, list, watch, create, update, patch, delete; post for a path
        #[arg(value_name = "VERB")]
        verb: String,
        /// A kind, or a path that begins with /
        #[arg(value_name = "WHAT")]
        what: String,
    },
}

pub(crate) async fn run(args: &AuthArgs, session: &Session) -> Result<(), CliError> {
    match &args.verb {
        Verb::Whoami => {
            let me = session.client.raw(&["auth", "session"]).await?;
            let field = |name: &str| text::line(me.get(name).and_then(Value::as_str).unwrap_or("unknown"));
            session
                .console
                .line(format!("{} ({})", field("user"), field("role")))
        }
        Verb::CanI { verb, what } => can_i(session, verb, what).await,
    }
}

async fn can_i(session: &Session, verb: &str, what: &str) -> Result<(), CliError> {
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let Selection::Kinds(kinds) = select(&[what.to_owned()])? else {
            return Err(CliError::Usage(format!(
                "name a kind such as workloads, not {what:?}"
            )));
        };
        let [info] = kinds.as_slice() else {
            return Err(CliError::Usage(format!("name one kind, not {what:?}")));
        };
        json!({"resourceAttributes": {"verb": verb, "group": GROUP, "resource": info.plural}})
    };
    let review =
        json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    let answer = session
        .client
        .json(
            Method::POST,
            &REVIEW,
            &[],
            "application/json",
            Body::Json(&review),
        )
        .await?;
    if answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true) {
        return session.console.line("yes");
    }
    session.console.line("no")?;
    let why = answer.pointer("/status/reason").and_then(Value::as_str);
    Err(CliError::Failed(text::line(
        why.unwrap_or("the controller says no"),
    )))
}
