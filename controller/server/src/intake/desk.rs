//! `/intake`: what people ask of the intake: what a body would become, and what could not be read. Changes nothing.

use std::collections::BTreeMap;

use aegis_api::alert_source::AlertSourceSpec;
use aegis_api::{AlertSource, KindInfo, Workload};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ambiguous::reports;
use super::body::content;
use super::ours::{self, words};
use super::report::{Report, State as Stands};
use super::sender::Sender;
use super::taking::Source;
use super::unreadable::Kept;
use crate::body::{ALERT_LIMIT, BoundedBody};
use crate::compat::{Alert, Known, Message, WEBHOOK};
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;
use crate::trial;

/// The largest request: a body in base64, and what is around it.
const LIMIT: usize = 2 * ALERT_LIMIT;

/// Routes that need a role.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/intake/test", post(test))
        .route("/intake/unreadable", get(unreadable))
}

/// A body, and how it would come in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// The name in `/webhook/<name>`; absent: `/webhook`.
    #[serde(default)]
    source: Option<String>,
    /// A source that is not stored.
    #[serde(default)]
    spec: Option<AlertSourceSpec>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// In base64: bodies are not always text.
    body: String,
}

async fn unreadable(State(state): State<ServerState>) -> Json<Vec<Kept>> {
    Json(state.intake.unreadable.list().await)
}

async fn test(
    State(state): State<ServerState>,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Json<Value>, Refusal> {
    let trial: Trial = serde_json::from_slice(&body?.0)
        .map_err(|error| Status::bad_request(format!("the trial cannot be read: {error}")))?;
    let bytes = STANDARD
        .decode(&trial.body)
        .map_err(|error| Status::bad_request(format!("body is no base64: {error}")))?;
    if bytes.len() > ALERT_LIMIT {
        return Err(Status::too_large(ALERT_LIMIT).into());
    }
    let (source, spec) = match (&trial.source, &trial.spec) {
        (_, Some(spec)) => {
            let kind = KindInfo::of::<AlertSource>();
            if let Some(error) = trial::refusal(kind, &json!(spec), "spec") {
                return Err(Status::bad_request(error.to_string()).into());
            }
            (None, Some(spec.clone()))
        }
        (Some(name), None) => {
            let source = Source::named(&state.store, name)
                .ok_or_else(|| Status::bad_request(format!("there is no alert source {name:?}")))?;
            let spec = source.resource.as_ref().map(|source| source.spec.clone());
            (Some(source), spec)
        }
        (None, None) => (None, None),
    };
    let headers = headers(&trial.headers);
    let sender = match (&spec, &source) {
        (Some(spec), _) => Sender::of(spec.format),
        (None, Some(source)) => source.sender,
        (None, None) => None,
    };
    let name = trial.source.as_deref();
    Ok(Json(tried(&state, &headers, &bytes, sender, spec.as_ref(), name)))
}

fn headers(given: &BTreeMap<String, String>) -> HeaderMap {
    let pairs = given.iter().filter_map(|(name, value)| {
        Some((
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_str(value).ok()?,
        ))
    });
    pairs.collect()
}

/// What a body would become: by the code that takes it in.
fn tried(
    state: &ServerState,
    headers: &HeaderMap,
    bytes: &[u8],
    sender: Option<Sender>,
    spec: Option<&AlertSourceSpec>,
    name: Option<&str>,
) -> Value {
    let content = match content(headers, bytes) {
        Ok(content) => content,
        Err(why) => return json!({"sender": null, "alerts": [], "unreadable": [why.words()]}),
    };
    let sender = sender.unwrap_or_else(|| Sender::recognised(headers, &content.value));
    let content = content.of_sender(sender);
    let (workloads, containers) = (state.store.list::<Workload>(), state.host.containers());
    let known = Known {
        workloads: &workloads,
        containers: &containers,
    };
    let (target, now) = (&state.config.target_container, aegis_clock::now());
    let (mut alerts, mut unreadable) = (Vec::new(), Vec::new());
    if sender == Sender::AegisOps {
        let several = ours::several(&content, target, known, now);
        let read = several.unwrap_or_else(|| {
            let alert = Alert::read(content.text.as_bytes(), target, known, now);
            vec![alert.map_err(|faults| words(&faults))]
        });
        for alert in read {
            match alert {
                Ok(alert) => alerts.push(row(&alert, None)),
                Err(why) => unreadable.push(why),
            }
        }
        return json!({"sender": sender.as_str(), "alerts": alerts, "unreadable": unreadable});
    }
    let mapping = spec.and_then(|spec| spec.mapping.as_ref());
    let reports = match reports(sender, &content, mapping) {
        Ok((reports, _)) => reports,
        Err(why) => return json!({"sender": sender.as_str(), "alerts": [], "unreadable": [why]}),
    };
    let prefix = name.unwrap_or(sender.as_str());
    for report in reports.all {
        let read = report.and_then(|report: Report| {
            let stands = report.state.clone();
            let alert =
                Alert::of(report, WEBHOOK, prefix, target, known, now).map_err(|faults| words(&faults))?;
            Ok(row(&alert, Some(&stands)))
        });
        match read {
            Ok(alert) => alerts.push(alert),
            Err(why) => unreadable.push(why),
        }
    }
    json!({"sender": sender.as_str(), "alerts": alerts, "unreadable": unreadable, "truncated": reports.truncated})
}

fn row(alert: &Alert, stands: Option<&Stands>) -> Value {
    let (state, named) = match (&alert.message, stands) {
        (_, Some(Stands::Test)) => ("test, opens nothing".to_owned(), None),
        (Message::Fires(named), Some(Stands::Noted(said))) => (format!("{said}, opens nothing"), Some(named)),
        (Message::Fires(named), _) => ("firing".to_owned(), Some(named)),
        (Message::Over { over, named }, _) => (format!("over ({})", over.said), named.as_ref()),
    };
    json!({
        "incident_id": alert.incident_id, "alert_type": alert.alert_type, "state": state,
        "container": named.map(|named| named.container.as_str()),
        "naming": named.and_then(|named| Some(named.naming.as_ref()?.message(named.container.as_str()))),
        "severity": alert.severity, "starts_at": alert.starts_at, "fingerprint": alert.fingerprint,
        "url": alert.url, "logs": alert.logs, "labels": alert.labels,
    })
}
