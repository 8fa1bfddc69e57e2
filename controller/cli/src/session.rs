//! What a verb works with, and how long it waits. Reads lists from the server; decides nothing.

use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, ListQuery, Shape};
use crate::config::{Environment, Settings};
use crate::console::Console;
use crate::error::CliError;
use crate::target::{Selection, Target};

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) console: Console,
    pub(crate) env: Environment,
    pub(crate) settings: Settings,
}

impl Session {
    /// The objects of a selection; whole kinds are listed, with these labels only.
    pub(crate) async fn targets(
        &self,
        selection: Selection,
        labels: Option<&str>,
    ) -> Result<Vec<Target>, CliError> {
        let kinds = match selection {
            Selection::Objects(targets) => return Ok(targets),
            Selection::Kinds(kinds) => kinds,
        };
        let query = ListQuery {
            labels: labels.map(str::to_owned),
            fields: None,
        };
        let mut targets = Vec::new();
        for info in kinds {
            let list = self.client.list(info, &query, Shape::Objects).await?;
            let items = list.get("items").and_then(Value::as_array);
            let names = items
                .into_iter()
                .flatten()
                .filter_map(|item| item.pointer("/metadata/name")?.as_str());
            targets.extend(names.map(|name| Target {
                info,
                name: name.to_owned(),
            }));
        }
        Ok(targets)
    }
}

/// How long to wait for a change to be carried out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitOptions {
    /// Waits until the change is carried out: a Workload ready with all its replicas, an Incident resolved
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as 90s or 5m; 0s without end
    #[arg(long, value_name = "TIME", default_value = "120s")]
    pub(crate) timeout: aegis_api::Duration,
}

impl WaitOptions {
    pub(crate) fn limit(&self) -> Option<Duration> {
        limit(self.timeout)
    }
}

/// A limit as people write it: zero is none.
pub(crate) fn limit(timeout: aegis_api::Duration) -> Option<Duration> {
    Some(timeout.std()).filter(|limit| !limit.is_zero())
}
