//! The Kubernetes-shaped routes: list, get, create, patch, delete, scale, logs, Events. Does I/O through [`Client`].

use aegis_api::wire::SimulationRequest;
use aegis_api::{GROUP, KindInfo, NAMESPACE, VERSION};
use futures::stream::{BoxStream, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Body, Client, lines};
use crate::error::CliError;
use crate::target::Target;

/// Objects of a page, as kubectl has it.
const PAGE: &str = "500";
/// JSON as it is stored.
pub(super) const ACCEPT_JSON: &str = "application/json";
/// A table that the server has laid out; columns come from one place.
pub(super) const ACCEPT_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// The form in which a list or an object is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Objects,
    Table,
}

impl Shape {
    pub(super) fn accept(self) -> &'static str {
        match self {
            Self::Objects => ACCEPT_JSON,
            Self::Table => ACCEPT_TABLE,
        }
    }
}

/// Whether a change is only tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DryRun {
    /// The change is made.
    #[default]
    None,
    /// The server checks it and answers what would be; nothing is stored.
    Server,
}

impl DryRun {
    /// What is appended to a result's line.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Server => " (server dry run)",
        }
    }
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

impl ListQuery {
    /// The one object of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            labels: None,
            fields: Some(format!("metadata.name={name}")),
        }
    }

    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        let labels = self.labels.as_deref().map(|labels| ("labelSelector", labels));
        let fields = self.fields.as_deref().map(|fields| ("fieldSelector", fields));
        labels.into_iter().chain(fields).collect()
    }
}

pub(super) const EVENTS: [&str; 5] = ["api", "v1", "namespaces", NAMESPACE, "events"];

pub(super) fn collection(info: &'static KindInfo) -> [&'static str; 6] {
    ["apis", GROUP, VERSION, "namespaces", NAMESPACE, info.plural]
}

impl Client {
    /// Every object of a kind that the query selects.
    pub(crate) async fn list(
        &self,
        info: &'static KindInfo,
        query: &ListQuery,
        shape: Shape,
    ) -> Result<Value, CliError> {
        self.pages(&collection(info), &query.pairs(), shape).await
    }

    /// A list, read a page at a time. Where the server has forgotten the moment that the first pages are of, the rest is
    /// as it is by now.
    async fn pages(&self, path: &[&str], query: &[(&str, &str)], shape: Shape) -> Result<Value, CliError> {
        let field = match shape {
            Shape::Objects => "items",
            Shape::Table => "rows",
        };
        let mut next = String::new();
        let mut all: Option<Value> = None;
        loop {
            let mut pairs = query.to_vec();
            pairs.push(("limit", PAGE));
            if !next.is_empty() {
                pairs.push(("continue", &next));
            }
            let mut page = match self
                .json(Method::GET, path, &pairs, shape.accept(), Body::None)
                .await
            {
                Err(CliError::Api(status)) if goes_on(&status.metadata.next, &next) => {
                    next = status.metadata.next;
                    continue;
                }
                other => other?,
            };
            let metadata = page.get_mut("metadata").and_then(Value::as_object_mut);
            let token = metadata.and_then(|metadata| metadata.remove("continue"));
            let token = token
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            match &mut all {
                None => all = Some(page),
                Some(all) => append(all, &mut page, field),
            }
            if token.is_empty() {
                return Ok(all.unwrap_or_default());
            }
            next = token;
        }
    }

    /// One object, or a `NotFound`.
    pub(crate) async fn get(&self, target: &Target, shape: Shape) -> Result<Value, CliError> {
        self.json(Method::GET, &path(target, &[]), &[], shape.accept(), Body::None)
            .await
    }

    /// One object, if there is one.
    pub(crate) async fn find(&self, target: &Target) -> Result<Option<Value>, CliError> {
        match self.get(target, Shape::Objects).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a new object.
    pub(crate) async fn create(
        &self,
        info: &'static KindInfo,
        object: &Value,
        dry: DryRun,
    ) -> Result<Value, CliError> {
        let body = Body::Json(object);
        self.json(
            Method::POST,
            &collection(info),
            &change_query(dry),
            ACCEPT_JSON,
            body,
        )
        .await
    }

    /// Changes the fields that a merge patch names.
    pub(crate) async fn patch(&self, target: &Target, patch: &Value, dry: DryRun) -> Result<Value, CliError> {
        let body = Body::MergePatch(patch);
        self.json(
            Method::PATCH,
            &path(target, &[]),
            &change_query(dry),
            ACCEPT_JSON,
            body,
        )
        .await
    }

    /// Requests an object's removal; finalizers may keep it for a while.
    pub(crate) async fn delete(&self, target: &Target, dry: DryRun) -> Result<Value, CliError> {
        let options = match dry {
            DryRun::None => json!({"propagationPolicy": "Background"}),
            DryRun::Server => json!({"propagationPolicy": "Background", "dryRun": ["All"]}),
        };
        let body = Body::Json(&options);
        self.json(Method::DELETE, &path(target, &[]), &[], ACCEPT_JSON, body)
            .await
    }

    /// Sets the number of replicas.
    pub(crate) async fn scale(&self, target: &Target, replicas: u32, dry: DryRun) -> Result<Value, CliError> {
        let patch = crate::patch::of(&["spec", "replicas"], json!(replicas));
        let query = change_query(dry);
        self.json(
            Method::PATCH,
            &path(target, &["scale"]),
            &query,
            ACCEPT_JSON,
            Body::MergePatch(&patch),
        )
        .await
    }

    /// What a change of a Workload would do to its containers.
    pub(crate) async fn plan(&self, target: &Target, patch: &Value) -> Result<Value, CliError> {
        let (path, body) = (path(target, &["plan"]), Body::MergePatch(patch));
        self.json(Method::POST, &path, &[], ACCEPT_JSON, body).await
    }

    /// What a new Workload would make.
    pub(crate) async fn plan_new(&self, target: &Target, object: &Value) -> Result<Value, CliError> {
        let (path, body) = (path(target, &["plan"]), Body::Json(object));
        self.json(Method::POST, &path, &[], ACCEPT_JSON, body).await
    }

    /// What an incident's plan would do.
    pub(crate) async fn plan_of(&self, target: &Target) -> Result<Value, CliError> {
        let path = path(target, &["plan"]);
        self.json(Method::GET, &path, &[], ACCEPT_JSON, Body::None).await
    }

    /// Core `v1` Events; a server without them has none.
    pub(crate) async fn events(&self, field_selector: Option<&str>) -> Result<Value, CliError> {
        let query: Vec<(&str, &str)> = field_selector
            .map(|fields| ("fieldSelector", fields))
            .into_iter()
            .collect();
        match self.pages(&EVENTS, &query, Shape::Objects).await {
            Err(error) if error.is_status(404) => Ok(json!({"items": []})),
            other => other,
        }
    }

    /// Log lines of one container of a Workload, as they come.
    pub(crate) async fn logs(
        &self,
        workload: &Target,
        query: &[(&str, &str)],
    ) -> Result<BoxStream<'static, Result<String, CliError>>, CliError> {
        let url = self.url(&path(workload, &["log"]), query);
        let request = self.request(Method::GET, url, "text/plain, application/json", Body::None);
        let response = self.in_time(self.send(request)).await?;
        let client = self.clone();
        let lines = lines::split(response.bytes_stream().boxed());
        Ok(lines
            .map(move |line| line.map_err(|error| client.lost(&error)))
            .boxed())
    }

    /// The runbook's entries that resemble a text.
    pub(crate) async fn recall(&self, text: &str) -> Result<Value, CliError> {
        let query = [("logs", text)];
        self.json(Method::GET, &["rag", "test"], &query, ACCEPT_JSON, Body::None)
            .await
    }

    /// JSON of any route of the server.
    pub(crate) async fn raw(&self, segments: &[&str]) -> Result<Value, CliError> {
        self.json(Method::GET, segments, &[], ACCEPT_JSON, Body::None)
            .await
    }

    /// What is in use of the host.
    pub(crate) async fn host(&self) -> Result<Value, CliError> {
        let path = ["metrics", "host"];
        self.json(Method::GET, &path, &[], ACCEPT_JSON, Body::None).await
    }

    /// Requests and connections of a load balancer.
    pub(crate) async fn balancers(&self, name: &str) -> Result<Value, CliError> {
        let (path, query) = (["metrics", "load-balancers"], [("name", name)]);
        self.json(Method::GET, &path, &query, ACCEPT_JSON, Body::None)
            .await
    }

    /// What autoscaling would have done.
    pub(crate) async fn simulate(&self, request: &SimulationRequest) -> Result<Value, CliError> {
        let body = serde_json::to_value(request)
            .map_err(|error| CliError::Failed(format!("the request cannot be written: {error}")))?;
        let path = ["autoscale", "simulate"];
        self.json(Method::POST, &path, &[], ACCEPT_JSON, Body::Json(&body))
            .await
    }

    /// What containers used within the last minutes.
    pub(crate) async fn history(&self, minutes: &str) -> Result<Value, CliError> {
        let (path, query) = (["metrics", "history"], [("minutes", minutes)]);
        self.json(Method::GET, &path, &query, ACCEPT_JSON, Body::None)
            .await
    }
}

/// Whether a refusal leads to another page than the one that was refused.
fn goes_on(offered: &str, refused: &str) -> bool {
    !offered.is_empty() && offered != refused
}

/// Adds what a further page has.
fn append(all: &mut Value, page: &mut Value, field: &str) {
    let more = page.get_mut(field).and_then(Value::as_array_mut);
    let items = all.get_mut(field).and_then(Value::as_array_mut);
    if let (Some(items), Some(more)) = (items, more) {
        items.append(more);
    }
    if let Some(metadata) = all.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("remainingItemCount");
    }
}

fn path<'a>(target: &'a Target, further: &[&'a str]) -> Vec<&'a str> {
    let mut segments = collection(target.info).to_vec();
    segments.push(&target.name);
    segments.extend(further);
    segments
}

fn change_query(dry: DryRun) -> Vec<(&'static str, &'static str)> {
    let mut query = vec![("fieldManager", "aegisctl"), ("fieldValidation", "Strict")];
    if dry == DryRun::Server {
        query.push(("dryRun", "All"));
    }
    query
}
