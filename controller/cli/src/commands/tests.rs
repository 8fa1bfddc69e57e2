//! The verbs against a scripted server: command line in, requests, output and exit code out.

mod alerts;
mod applying;
mod audit;
mod changing;
mod confirming;
mod editing;
mod following;
mod notifying;
mod operating;
mod reading;
mod refusals;
mod runbook;
mod tokens;
mod waiting;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::args::Args;
use crate::config::Environment;
use crate::console::Console;

const WORKLOADS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";
const WEB: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/web";
const INCIDENTS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/incidents";

/// How a run ended and what it wrote.
#[derive(Debug)]
struct Run {
    code: u8,
    out: String,
    err: String,
}

/// Carries out a command line as `main` does.
async fn aegisctl(server: &str, line: &[&str]) -> Run {
    with_env(server, line, Environment::default()).await
}

async fn with_env(server: &str, line: &[&str], env: impl Into<Environment>) -> Run {
    let (console, out, err) = Console::captured();
    let line = [&["aegisctl"], line, &["--server", server]].concat();
    let args = match Args::try_parse_from(line) {
        Ok(args) => args,
        Err(error) => {
            return Run {
                code: 2,
                out: String::new(),
                err: error.to_string(),
            };
        }
    };
    let code = match super::run(args.command, &args.global, Args::command, env.into(), &console).await {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_silent() {
                console.remark(format!("error: {error}"));
            }
            error.exit_code()
        }
    };
    Run {
        code,
        out: out.text(),
        err: err.text(),
    }
}

fn workload(version: &str, spec: &Value) -> Value {
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
        "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "generation": 1, "resourceVersion": version,
            "creationTimestamp": "2026-01-31T12:00:00Z"},
        "spec": spec})
}

/// A Status as the server sends it.
fn status(code: u16, reason: &str, message: &str) -> ResponseTemplate {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    ResponseTemplate::new(code).set_body_json(body)
}

fn not_found() -> ResponseTemplate {
    status(404, "NotFound", "workloads.aegisops.io \"web\" not found")
}

fn json_body(value: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(value)
}

/// A watch: one change a line, then its end.
fn changes(changes: &[(&str, Value)]) -> ResponseTemplate {
    let lines = changes
        .iter()
        .map(|(change, object)| format!("{}\n", json!({"type": change, "object": object})));
    ResponseTemplate::new(200).set_body_raw(lines.collect::<String>(), "application/json")
}

async fn answers(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(answer)
        .mount(server)
        .await;
}

/// As [`answers`], for the first request only.
async fn answers_once(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(answer)
        .up_to_n_times(1)
        .mount(server)
        .await;
}

/// `VERB path?query` of every request so far.
async fn requests(server: &MockServer) -> Vec<String> {
    let received = server.received_requests().await.unwrap();
    let line = |request: &wiremock::Request| {
        let query = request
            .url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        format!("{} {}{query}", request.method, request.url.path())
    };
    received.iter().map(line).collect()
}

/// The JSON body of the last request with this verb, and its content type.
async fn last_body(server: &MockServer, verb: &str) -> (Value, String) {
    let received = server.received_requests().await.unwrap();
    let request = received
        .iter()
        .rfind(|request| request.method.as_str() == verb)
        .unwrap();
    let kind = request
        .headers
        .get("content-type")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    (serde_json::from_slice(&request.body).unwrap(), kind)
}

/// A file with this text, and the folder that keeps it alive.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn web_yaml(spec: &str) -> String {
    format!("apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: web\nspec:\n  {spec}\n")
}
