//! Serves until the process is asked to end, then lets running requests finish within a bound.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::Args;
use crate::cgroup::Meter;
use crate::monitor::Monitor;
use crate::routes::{App, router};
use crate::webhook::Webhook;

/// Longer than the slowest request that `/trigger_db_latency` makes, shorter than Docker's patience of 10 s.
const GRACE: Duration = Duration::from_secs(6);

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (end, ending) = watch::channel(false);
    let app = App {
        faults: Arc::default(),
        meter: Meter::of_this_process(),
        container_name: args.container_name.clone(),
        hostname: hostname(),
        started_at: jiff::Timestamp::now(),
        ending: ending.clone(),
    };
    let monitor = Monitor {
        meter: app.meter.clone(),
        interval: args.monitor_interval(),
        threshold: args.memory_threshold,
        container_name: args.container_name,
        hostname: app.hostname.clone(),
        webhook: Webhook {
            endpoint: args.webhook_url,
            token: args.webhook_token,
            token_file: args.webhook_token_file,
        },
    };
    // Before anything else: as process 1 a signal without a handler would be ignored.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let listener = TcpListener::bind(("0.0.0.0", args.port))
        .await
        .with_context(|| format!("cannot listen on port {} (PORT moves it)", args.port))?;
    tracing::info!(port = args.port, hostname = app.hostname, "serving");

    let server = axum::serve(listener, router(Arc::new(app))).with_graceful_shutdown(ended(ending.clone()));
    let asked = async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "ending");
        end.send_replace(true);
        // Held until the process is over: those who wait for it must not take its loss for the signal.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = async { server.await } => served.context("the server failed"),
        () = monitor.run() => Ok(()),
        () = asked => Ok(()),
        () = async { ended(ending).await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!(seconds = GRACE.as_secs(), "requests still running, ending all the same");
            Ok(())
        }
    }
}

async fn ended(mut ending: watch::Receiver<bool>) {
    if ending.wait_for(|ending| *ending).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// In a container the first characters of its id, unless it was given another.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
