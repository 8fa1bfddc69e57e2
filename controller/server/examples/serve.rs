//! Serves the API over a state directory, without an engine and without reconcilers: to try clients against.
//!
//! `cargo run -p aegis-server --example serve -- 127.0.0.1:8001 /tmp/state TOKEN`

use std::sync::Arc;

use aegis_api::{KindInfo, Workload};
use aegis_runtime::{EventRecorder, EventType, Feed, ObjectRef, Store, StoreOptions};
use aegis_server::{
    HostView, HttpMetrics, ServerConfig, ServerParts, ServerState, Tokens, pump, router, serve,
};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = |name: &str| {
        args.next()
            .ok_or(format!("give ADDRESS FOLDER TOKEN: {name} is missing"))
    };
    let (address, folder, token) = (next("ADDRESS")?, next("FOLDER")?, next("TOKEN")?);
    let events = EventRecorder::new();
    let (store, driver) = Store::open(StoreOptions::new(folder), events.clone()).await?;
    let mut registry = Registry::default();
    let http = HttpMetrics::new(&mut registry);
    let intake_metrics = aegis_server::IntakeMetrics::new(&mut registry);
    let shutdown = CancellationToken::new();
    let host = HostView::new();
    host.set_engine(Ok(()));
    let feed = Feed::default();
    let tokens = Tokens::open(store.dir())?;
    let parts = ServerParts {
        config: ServerConfig {
            anonymous_from: Vec::new(),
            own_hosts: aegis_api::hosts::OwnHosts::default(),
            anonymous_role: None,
            admin_token: token.into(),
            webhook_token: None,
            target_container: "buggy-app-v2".to_owned(),
            max_replicas: 5,
            alerts_per_second: aegis_server::ALERTS_PER_SECOND,
            open_incidents: aegis_server::OPEN_INCIDENTS,
            closeness: aegis_planning::correlation::burst::Closeness::NONE,
            allowed_origins: Vec::new(),
            trusted_proxies: aegis_server::TrustedProxies::default(),
            alerts_only: aegis_server::AlertsOnly::default(),
            tls: false,
            host_mounts: aegis_planning::admission::HostMounts::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        store: store.clone(),
        events: events.clone(),
        feed: feed.clone(),
        host,
        registry: Arc::new(registry),
        http,
        intake_metrics,
        secrets: Arc::new(|_| Err("there are no secrets here".to_owned())),
        recall: Arc::new(|_| aegis_server::RagHits::default()),
        logs: Arc::new(|_| Box::pin(async { Err("there is no engine here".to_owned()) })),
        plans: Arc::new(|_| {
            let why = aegis_server::NoPlan::Unknown("there is no engine here".to_owned());
            Box::pin(async { Err(why) })
        }),
        containers: Arc::new(|_| Box::pin(async { Err("there is no engine here".to_owned()) })),
        notifications: aegis_server::Notifications::default(),
        shutdown: shutdown.clone(),
    };
    let state = ServerState::new(parts, tokens);
    let listener = tokio::net::TcpListener::bind(address).await?;
    tokio::select! {
        ended = driver.run(shutdown.clone()) => ended?,
        () = pump(store.clone(), feed, shutdown.clone()) => {}
        () = note(store, events) => {}
        () = aegis_server::tally(state.clone(), shutdown.clone()) => {}
        ended = serve(listener, None, router(state.clone()), aegis_server::AlertsOnly::default(), shutdown.clone()) => ended?,
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(())
}

/// Records an event about every workload that is made, so that there is something to describe.
async fn note(store: Store, events: EventRecorder) {
    let info = KindInfo::of::<Workload>();
    while let Ok(mut changes) = store.watch(None) {
        while let Some(change) = futures::StreamExt::next(&mut changes).await {
            if std::ptr::eq(change.object.info, info) && change.old.is_none() {
                let about = ObjectRef {
                    kind: info.kind.to_owned(),
                    name: change.object.name().to_owned(),
                    uid: change.object.uid().to_owned(),
                };
                events.record(&about, EventType::Normal, "Noted", "it was made");
            }
        }
    }
}
