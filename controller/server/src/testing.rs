//! A server over a real store in a temporary directory, for tests: requests go through the whole router, none over a
//! network.

use std::sync::Arc;

use aegis_runtime::{EventRecorder, Feed, Store, StoreOptions};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::{HostView, HttpMetrics, RagHit, RagHits, Recall, ServerConfig, ServerParts, ServerState, router};

pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        anonymous_role: None,
        anonymous_from: Vec::new(),
        admin_token: "admin-token".to_owned().into(),
        webhook_token: Some("webhook-token".to_owned().into()),
        target_container: "buggy-app-v2".to_owned(),
        max_replicas: 5,
        alerts_per_second: crate::config::ALERTS_PER_SECOND,
        open_incidents: crate::config::OPEN_INCIDENTS,
        // Most tests are about each alert by itself.
        closeness: aegis_planning::correlation::burst::Closeness::NONE,
        allowed_origins: Vec::new(),
        alerts_only: crate::AlertsOnly::default(),
        tls: false,
        own_hosts: aegis_api::hosts::OwnHosts::new([
            "aegis-agent",
            "cockpit",
            "ops.example.org",
            "x",
            "example.com",
        ]),
        trusted_proxies: crate::TrustedProxies::default(),
        host_mounts: aegis_planning::admission::HostMounts::new(["/srv/app"]).unwrap(),
        version: "1.2.3".to_owned(),
    }
}

/// A server; everything it has ends with it.
pub(crate) struct Server {
    pub(crate) state: ServerState,
    pub(crate) store: Store,
    pub(crate) events: EventRecorder,
    pub(crate) feed: Feed,
    pub(crate) host: HostView,
    pub(crate) router: Router,
    pub(crate) shutdown: CancellationToken,
    pub(crate) folder: tempfile::TempDir,
    _end: DropGuard,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            code: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Self {
        Self::made(config, Self::recall(), crate::Notifications::default()).await
    }

    fn recall() -> Recall {
        Arc::new(|text| {
            if text == "the" {
                return RagHits {
                    wordless: true,
                    ..RagHits::default()
                };
            }
            let hit = |score| RagHit {
                entry: "rb-1".to_owned(),
                score,
            };
            RagHits {
                earlier: vec![hit(0.123_456)],
                operations: vec![hit(0.654_321)],
                wordless: false,
            }
        })
    }

    /// With another retrieval.
    pub(crate) async fn searching(config: ServerConfig, recall: Recall) -> Self {
        Self::made(config, recall, crate::Notifications::default()).await
    }

    /// With destinations of notifications.
    pub(crate) async fn notifying(config: ServerConfig, notifications: crate::Notifications) -> Self {
        Self::made(config, Self::recall(), notifications).await
    }

    async fn made(config: ServerConfig, recall: Recall, notifications: crate::Notifications) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let events = EventRecorder::new();
        let (store, driver) = Store::open(StoreOptions::new(folder.path()), events.clone())
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(driver.run(shutdown.clone()));
        let mut registry = Registry::default();
        let http = HttpMetrics::new(&mut registry);
        let intake_metrics = crate::IntakeMetrics::new(&mut registry);
        let (feed, host) = (Feed::bounded(64 << 10), HostView::new());
        let parts = ServerParts {
            config,
            store: store.clone(),
            events: events.clone(),
            feed: feed.clone(),
            host: host.clone(),
            registry: Arc::new(registry),
            http,
            intake_metrics,
            secrets: Arc::new(|source| match source.file.as_deref() {
                Some("none") => Err("there is no such file in the secrets folder".to_owned()),
                _ => Ok("the-secret".to_owned().into()),
            }),
            logs: Arc::new(|request| {
                Box::pin(async move {
                    let lines = vec![format!("a line of {}", request.container)];
                    let lines = futures::stream::iter(lines);
                    if request.follow {
                        let forever = futures::stream::pending();
                        return Ok(futures::StreamExt::boxed(futures::StreamExt::chain(
                            lines, forever,
                        )));
                    }
                    Ok(futures::StreamExt::boxed(lines))
                })
            }),
            plans: Arc::new(|workload| {
                let clients = aegis_api::wire::plan::ClientImpact {
                    serving_before: 0,
                    serving_least: 0,
                    serving_after: 0,
                    // What it was asked about.
                    message: serde_json::to_string(&workload.spec).unwrap(),
                };
                let plan = aegis_api::wire::plan::WorkloadPlan {
                    workload: workload.metadata.name.clone().unwrap_or_default(),
                    replicas: workload.spec.replicas,
                    steps: Vec::new(),
                    untouched: Vec::new(),
                    clients,
                    waiting: Vec::new(),
                    refused: Vec::new(),
                    complete: true,
                };
                Box::pin(async move { Ok(plan) })
            }),
            // One that is called like this has full privileges, or is not there, or the engine is away.
            containers: Arc::new(|name| {
                let found = aegis_api::observed::ContainerDetails {
                    host_config: serde_json::json!({"Privileged": name.starts_with("privileged")}),
                    name: name.clone(),
                    ..Default::default()
                };
                let found = match name.as_str() {
                    "missing" => Ok(None),
                    "unknown" => Err("the engine is away".to_owned()),
                    _ => Ok(Some(found)),
                };
                Box::pin(async move { found })
            }),
            recall,
            notifications,
            shutdown: shutdown.clone(),
        };
        let tokens = crate::Tokens::open(folder.path()).unwrap();
        let state = ServerState::new(parts, tokens);
        let router = router(state.clone());
        let _end = shutdown.clone().drop_guard();
        Self {
            state,
            store,
            events,
            feed,
            host,
            router,
            shutdown,
            folder,
            _end,
        }
    }

    /// Writes what was counted of repeats, as the task of the tally does within a second.
    pub(crate) async fn flush(&self) {
        self.state
            .tally
            .flush(&self.store, tokio::time::Instant::now())
            .await;
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// As the admin; a body makes it JSON.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_with(
            method,
            path,
            &[("content-type", "application/json")],
            body.map(|body| body.to_string()),
        )
        .await
    }

    pub(crate) async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer admin-token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(
            self.send(request.body(Body::from(body.unwrap_or_default())).unwrap())
                .await,
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask_with("GET", path, &[], None).await
    }
}
