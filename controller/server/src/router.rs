//! Which route leads where, and what every request passes on its way. Nothing here decides anything else.

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::refusal::refusal;
use crate::state::ServerState;
use crate::status::Status;
use crate::{
    audit, auth, automation, autoscale, compat, documents, files, hosts, intake, kube, limits, metrics,
    notifications, origin, probes, reach, security, ws,
};

/// Every route over this state.
pub fn router(state: ServerState) -> Router {
    let guarded = Router::new()
        .merge(kube::routes())
        .merge(compat::routes())
        .merge(audit::routes())
        .merge(automation::routes())
        .merge(autoscale::routes())
        .merge(intake::desk::routes())
        .merge(files::routes())
        .merge(notifications::routes())
        .merge(auth::routes::routes())
        .merge(auth::routes::once_route())
        .route("/ws", get(ws::handler))
        .layer(from_fn_with_state(state.clone(), limits::bound))
        .layer(from_fn_with_state(state.clone(), origin::check))
        .layer(from_fn_with_state(state.clone(), auth::authorize));
    // Its places are its own: who has not come in holds none of those who have.
    let entrance = auth::routes::open_routes()
        .layer(from_fn(limits::timely))
        .layer(from_fn_with_state(state.clone(), origin::check));
    // Senders that prove who they are by their source need no token.
    let intake = intake::routes()
        .layer(from_fn_with_state(state.clone(), intake::prove))
        .layer(from_fn_with_state(state.clone(), limits::bound))
        .layer(from_fn_with_state(state.clone(), origin::check))
        .layer(from_fn_with_state(state.clone(), intake::admit));
    // Slack's servers send no Origin, and its signature is checked where the secret is. Its places are its own, too.
    let signed = notifications::open_routes().layer(from_fn(limits::timely));
    let open = Router::new()
        .merge(probes::routes())
        .merge(compat::open_routes())
        .merge(documents::routes());
    Router::new()
        .merge(guarded)
        .merge(entrance)
        .merge(intake)
        .merge(signed)
        .merge(open)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(cors(&state.config.allowed_origins))
        .layer(from_fn_with_state(state.clone(), hosts::check))
        .layer(from_fn(security::headers))
        .layer(from_fn_with_state(state.clone(), reach::check))
        .layer(CatchPanicLayer::custom(limits::on_panic))
        .layer(from_fn_with_state(state.clone(), metrics::count))
        .with_state(state)
}

async fn no_route(OriginalUri(uri): OriginalUri) -> Response {
    refusal(uri.path(), Status::no_route())
}

async fn no_method(OriginalUri(uri): OriginalUri) -> Response {
    refusal(uri.path(), Status::method_not_allowed())
}

/// Pages of other origins get an answer only if the configuration names them.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok());
    let headers = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::ACCEPT,
        HeaderName::from_static(auth::CSRF_HEADER),
    ];
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(headers)
        .allow_credentials(true)
}

#[cfg(test)]
mod tests;
