//! `api-resources`: the kinds that the server has.

use serde_json::Value;

use crate::error::CliError;
use crate::printer::columns::{Columns, aligned};
use crate::printer::jsonpath::plain;
use crate::session::Session;
use crate::text;

/// List the kinds that the server has
#[derive(Debug, clap::Args)]
pub(crate) struct ApiResourcesArgs {
    /// Leaves out the line of column names
    #[arg(long)]
    no_headers: bool,
}

pub(crate) async fn run(args: &ApiResourcesArgs, session: &Session) -> Result<(), CliError> {
    let list = session
        .client
        .raw(&["apis", aegis_api::GROUP, aegis_api::VERSION])
        .await?;
    let resources = list
        .get("resources")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    // Names with a slash are subresources.
    let own = resources
        .iter()
        .filter(|resource| !text_of(resource, "name").contains('/'));
    let rows: Vec<Vec<String>> = own
        .map(|resource| {
            vec![
                text_of(resource, "name"),
                texts_of(resource, "shortNames"),
                aegis_api::API_VERSION.to_owned(),
                text_of(resource, "kind"),
                texts_of(resource, "verbs"),
            ]
        })
        .collect();
    let text = match args.no_headers {
        true => Columns::default().lay_out(&rows),
        false => aligned(&["NAME", "SHORTNAMES", "APIVERSION", "KIND", "VERBS"], rows),
    };
    session.console.write(&text)
}

fn text_of(resource: &Value, name: &str) -> String {
    text::line(resource.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn texts_of(resource: &Value, name: &str) -> String {
    let items = resource.get(name).and_then(Value::as_array).into_iter().flatten();
    text::line(&items.map(plain).collect::<Vec<_>>().join(","))
}
