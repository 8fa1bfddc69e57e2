//! One service of the shop: which one, `SHOP_ROLE` says. Each depends on others over the network as real ones do, and has
//! an endpoint that breaks it.

mod faults;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use faults::Faults;

/// How long a service waits for another.
const CALL: Duration = Duration::from_millis(1500);

#[derive(Debug)]
struct Service {
    role: String,
    payments: bool,
    faults: Faults,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("check") {
        std::process::exit(i32::from(!is_well().await));
    }
    let role = std::env::var("SHOP_ROLE").unwrap_or_else(|_| "web".to_owned());
    let service = Arc::new(Service {
        payments: std::env::var("SHOP_PAYMENTS").is_ok(),
        faults: Faults::at_start(&role).await,
        role,
    });
    let router = Router::new()
        .route("/health", get(health))
        .route("/fault", post(fault))
        .fallback(serve)
        .with_state(Arc::clone(&service));
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 8000))).await?;
    println!("{} serves on port 8000", service.role);
    // What runs as process 1 is not ended by a signal that it does not handle.
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        _ = end.recv() => println!("SIGTERM"),
    }
    Ok(())
}

/// What Docker's health check runs.
async fn is_well() -> bool {
    let mut ask = aegis_sre_bench::http::Ask::get("127.0.0.1:8000", "/health");
    ask.timeout = Duration::from_secs(1);
    matches!(ask.send().await, Ok((200, _)))
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    service.faults.health().await
}

async fn fault(State(service): State<Arc<Service>>, Json(order): Json<faults::Order>) -> StatusCode {
    service.faults.begin(&order);
    StatusCode::NO_CONTENT
}

async fn serve(State(service): State<Arc<Service>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let answer = match service.faults.request().await {
        Some(failure) => Err(failure),
        None => service.answer(&path).await,
    };
    match answer {
        Ok(()) => Json(serde_json::json!({"service": service.role, "path": path})).into_response(),
        Err(why) => {
            println!("ERROR GET {path} answered 500: {why}");
            (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        }
    }
}

impl Service {
    /// Calls what it needs for this path.
    async fn answer(&self, path: &str) -> Result<(), String> {
        let needs: &[&str] = match (self.role.as_str(), path) {
            ("web", _) => &["api"],
            ("api", "/catalog") => &["cache", "db"],
            ("api", "/report") if self.payments => &["worker", "payments"],
            ("api", "/report") => &["worker"],
            ("api", _) => &["cache"],
            ("worker", _) => &["db"],
            _ => &[],
        };
        for name in needs {
            let host = format!("{name}:8000");
            let mut ask = aegis_sre_bench::http::Ask::get(&host, path);
            ask.timeout = CALL;
            match ask.send().await {
                Ok((200, _)) => {}
                Ok((status, _)) => return Err(format!("{name} answered {status}")),
                Err(error) => return Err(format!("{name} does not answer: {error:#}")),
            }
        }
        Ok(())
    }
}
