//! `/docs` and `/openapi.json`: what this server offers, for readers and for generators. Static: they say nothing about
//! this host, and are open. No scripts, no other origin.

use std::fmt::Write as _;

use aegis_api::openapi::rest_document;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::{Map, Value};

use crate::state::ServerState;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("documents/style.css");
const INTRODUCTION: &str = include_str!("documents/introduction.html");

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/docs", get(page))
        .route("/docs/style.css", get(style))
        .route("/openapi.json", get(document))
}

async fn document(State(state): State<ServerState>) -> Json<Value> {
    Json(rest_document(&state.config.version))
}

async fn style() -> impl IntoResponse {
    (
        [
            (CONTENT_TYPE, "text/css; charset=utf-8"),
            (CACHE_CONTROL, "max-age=3600"),
        ],
        STYLE,
    )
}

async fn page(State(state): State<ServerState>) -> impl IntoResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(render(&rest_document(&state.config.version))))
}

fn render(document: &Value) -> String {
    let text = |pointer: &str| {
        escape(
            document
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let mut rows = String::new();
    for (path, operations) in document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            rows.push_str(&row(method, path, operation));
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} {version}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/docs/style.css\"></head>\
         <body><main><h1>{title} <small>{version}</small></h1>{INTRODUCTION}<h2>REST</h2><table><thead><tr>\
         <th>Method</th><th>Path</th><th>What it does</th><th>Answers</th></tr></thead><tbody>{rows}</tbody></table>\
         <p>The machine-readable form is <a href=\"/openapi.json\">/openapi.json</a>.</p></main></body></html>\n",
        title = text("/info/title"),
        version = text("/info/version"),
    )
}

fn row(method: &str, path: &str, operation: &Value) -> String {
    let summary = escape(
        operation
            .get("summary")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    );
    let none = Map::new();
    let responses = operation
        .get("responses")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let mut answers = String::new();
    for (code, response) in responses {
        let description = escape(
            response
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
        // Writing to a String cannot fail.
        let _ = write!(answers, "<div><b>{}</b> {description}</div>", escape(code));
    }
    let (method, path) = (escape(&method.to_uppercase()), escape(path));
    format!("<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td><td>{answers}</td></tr>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_route_and_runs_nothing() {
        let document = rest_document("1.2.3");
        let page = render(&document);
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        assert!(
            page.contains("1.2.3")
                && !page.contains("<script")
                && !page.contains("src=")
                && !page.contains("href=\"http")
        );
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
