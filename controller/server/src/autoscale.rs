//! `POST /autoscale/simulate`: what autoscaling would have done on recorded signals. Changes nothing; the decisions are those of
//! the loop that scales. Also what who sets the replicas of an autoscaled workload is answered.

use std::sync::Arc;

use aegis_api::wire::{MOST_TRACE_ROWS, SimulationRequest, SimulationSummary, TraceRow};
use aegis_api::workload::Autoscale;
use aegis_api::{Duration, KindInfo, Workload};
use aegis_planning::autoscale::{manual_note, simulate};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;
use crate::trial;

/// The largest body here, bytes.
const LIMIT: usize = 8 << 20;
/// How long a replica takes until it serves, where the request does not say.
const START_UP: Duration = Duration::from_secs(5);
/// The longest start.
const LONGEST_START: Duration = Duration::from_secs(3600);

pub(crate) fn routes() -> Router<ServerState> {
    Router::new().route("/autoscale/simulate", post(run))
}

async fn run(
    State(state): State<ServerState>,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Json<SimulationSummary>, Refusal> {
    let asked: SimulationRequest = serde_json::from_slice(&body?.0)
        .map_err(|error| refused(format!("the body cannot be read: {error}")))?;
    let workload = match &asked.workload {
        Some(name) => {
            let found = state.store.get::<Workload>(name);
            Some(found.ok_or_else(|| Status::not_found(KindInfo::of::<Workload>(), name))?)
        }
        None => None,
    };
    let spec = spec(&asked, workload.as_deref())?;
    let start_up = asked.start_up.unwrap_or(START_UP);
    if start_up > LONGEST_START {
        return Err(refused(format!(
            "startUp: {start_up}: use {LONGEST_START} or less"
        )));
    }
    let trace = match (asked.trace, workload) {
        (Some(trace), _) => trace,
        (None, Some(mut workload)) => {
            // With as many containers as there may have been by what is tried.
            Arc::make_mut(&mut workload).spec.autoscale = Some(spec.clone());
            state.host.trace(workload).await
        }
        (None, None) => Vec::new(),
    };
    check(&trace)?;
    let first = trace.first().map_or(spec.min, |row| row.replicas.max(1));
    let replicas = asked.replicas.unwrap_or(first).clamp(1, 200);
    let run = move || {
        let moments: Vec<i64> = trace.iter().map(|row| row.at).collect();
        let mut rows = trace.into_iter();
        simulate(&spec, replicas, start_up, moments, |_, _| {
            rows.next().unwrap_or_default()
        })
    };
    let summary = tokio::task::spawn_blocking(run).await;
    summary
        .map(Json)
        .map_err(|error| Status::internal(format!("the simulation was not worked out: {error}")).into())
}

fn refused(message: String) -> Refusal {
    Refusal::Plain(StatusCode::BAD_REQUEST, message)
}

fn spec(asked: &SimulationRequest, workload: Option<&Workload>) -> Result<Autoscale, Refusal> {
    let own = workload.and_then(|workload| workload.spec.autoscale.clone());
    let spec = asked.autoscale.clone().or(own).ok_or_else(|| {
        refused("autoscale: give what to try, or the name of a workload that has spec.autoscale".to_owned())
    })?;
    let whole = json!({"template": {"image": "tried"}, "autoscale": spec});
    match trial::refusal(KindInfo::of::<Workload>(), &whole, "spec.autoscale") {
        None => Ok(spec),
        Some(error) => Err(refused(error.to_string().trim_start_matches("spec.").to_owned())),
    }
}

fn check(trace: &[TraceRow]) -> Result<(), Refusal> {
    if trace.is_empty() {
        let message = "trace: nothing is recorded of that workload yet; give rows, or try again in a minute";
        return Err(refused(message.to_owned()));
    }
    if trace.len() > MOST_TRACE_ROWS {
        return Err(refused(format!(
            "trace: it has {} rows: {MOST_TRACE_ROWS} at most",
            trace.len()
        )));
    }
    let mut pairs = trace.iter().zip(trace.iter().skip(1));
    if let Some((before, row)) = pairs.find(|(before, row)| row.at <= before.at) {
        let message = format!(
            "trace: rows must be in order of time: {} follows {}",
            row.at, before.at
        );
        return Err(refused(message));
    }
    match trace.iter().find(|row| row.replicas > 200) {
        Some(row) => {
            let message = format!(
                "trace: at {} there are {} replicas: 200 at most",
                row.at, row.replicas
            );
            Err(refused(message))
        }
        None => Ok(()),
    }
}

/// For how long replicas that are set now are held; nothing where no autoscaling owns them.
pub(crate) fn note(before: &Workload, replicas: u32) -> Option<String> {
    manual_note(before, replicas, aegis_clock::now())
}

/// The same as Kubernetes says such things: in a `Warning`, which `kubectl` shows.
pub(crate) fn warn(response: &mut Response, note: Option<&str>) {
    let Some(note) = note else {
        return;
    };
    if let Ok(value) = HeaderValue::from_str(&format!("299 - {note:?}")) {
        response.headers_mut().append(header::WARNING, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Answer, Server};

    async fn tried(server: &Server, autoscale: &Value) -> Answer {
        let trace: Vec<Value> = (0..5).map(|at| json!({"at": at, "cpuPercent": 90})).collect();
        let body = json!({"autoscale": autoscale, "trace": trace});
        server.ask("POST", "/autoscale/simulate", Some(body)).await
    }

    #[tokio::test]
    async fn no_more_is_tried_than_could_be_stored_so_that_a_viewer_keeps_no_processor_busy() {
        let server = Server::start().await;
        let (target, policy) = (
            json!({"metric": "Cpu", "percent": 50}),
            json!({"type": "Pods", "value": 1, "period": "1s"}),
        );
        let bounds = json!({"start": "0 8 * * *", "end": "0 9 * * *", "min": 1});
        let spec = |targets: usize, schedule: usize, policies: usize| {
            json!({"min": 1, "max": 4, "targets": vec![&target; targets], "schedule": vec![&bounds; schedule],
                "scaleUp": {"policies": vec![&policy; policies]}})
        };
        let allowed = tried(&server, &spec(8, 16, 8)).await;
        assert_eq!(allowed.code, 200, "{}", allowed.text);
        for (spec, field) in [
            (spec(9, 0, 0), "autoscale.targets: "),
            (spec(1, 17, 0), "autoscale.schedule: "),
            (spec(1, 0, 9), "autoscale.scaleUp.policies: "),
            (
                json!({"min": 1, "max": 201, "targets": [target]}),
                "autoscale.max: ",
            ),
        ] {
            let refused = tried(&server, &spec).await;
            assert_eq!(refused.code, 400, "{}", refused.text);
            assert!(refused.text.contains(field), "{}", refused.text);
        }
    }
}
