//! `version`: of this program and of the controller.

use serde_json::{Value, json};

use crate::error::CliError;
use crate::printer::format::{Output, data};
use crate::session::Session;
use crate::text;

/// Show the versions of this program and of the controller
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Only this program's; asks no server
    #[arg(long)]
    client: bool,
    /// yaml, json, jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
}

/// This program's version.
pub(super) const CLIENT: &str = env!("CARGO_PKG_VERSION");

pub(crate) async fn run(args: &VersionArgs, session: &Session) -> Result<(), CliError> {
    let server = if args.client {
        Ok(None)
    } else {
        ask(session).await.map(Some)
    };
    let mut versions = json!({"client": CLIENT});
    if let (Ok(Some((controller, api))), Some(versions)) = (&server, versions.as_object_mut()) {
        versions.insert("controller".to_owned(), json!(controller));
        versions.insert("api".to_owned(), json!(api));
    }
    match &args.output {
        Some(format @ (Output::Yaml | Output::Json | Output::JsonPath(_))) => {
            session.console.write(&data(format, &versions)?)?;
        }
        _ => {
            session.console.line(format!("Client:     {CLIENT}"))?;
            if let Ok(Some((controller, api))) = &server {
                let api = api.as_deref().unwrap_or("unknown (it wants a token)");
                session
                    .console
                    .line(format!("Controller: {controller}\nAPI:        {api}"))?;
            }
        }
    }
    server.map(|_| ())
}

/// The controller's version, and that of the Kubernetes API which it speaks; the latter takes a token.
async fn ask(session: &Session) -> Result<(String, Option<String>), CliError> {
    let controller = controller(session).await?;
    match session.client.raw(&["version"]).await {
        Ok(api) => Ok((controller, Some(text_of(&api, "gitVersion")))),
        Err(CliError::Unauthorized { .. }) => Ok((controller, None)),
        Err(error) => Err(error),
    }
}

/// The controller's version, which it shows to every client.
pub(super) async fn controller(session: &Session) -> Result<String, CliError> {
    Ok(text_of(&session.client.raw(&["health"]).await?, "version"))
}

fn text_of(value: &Value, name: &str) -> String {
    text::line(value.get(name).and_then(Value::as_str).unwrap_or("unknown"))
}
