//! The handlers of `/webhook` and `/webhook/<name>`: reads a body, takes each of its alerts in, keeps what cannot be read,
//! and answers as that sender's rules for repeating want it: what may be repeated gets 429 or 5xx, what must not gets 4xx.

use aegis_api::wire::IncidentResult;
use aegis_api::{AlertSource, Incident, Kind as _, Time, Workload};
use aegis_runtime::{EventType, ObjectRef, Store};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::ambiguous::{Item, reports};
use super::body::{Content, NoContent, opened, read, tree_bytes};
use super::bytes::Undecodable;
use super::ours::{self, words};
use super::report::{Report, State as Stands};
use super::sender::{Reports, Sender};
use super::unreadable::Kept;
use crate::auth::{Acting, Identity, Need};
use crate::body::AlertBody;
use crate::compat::{Alert, Ended, Known, Message, Taken, WEBHOOK, take};
use crate::refusal::{Fault, Refusal};
use crate::state::ServerState;
use crate::status::Status;

/// The reason of events about what could not be read.
const UNREADABLE: &str = "UnreadableAlert";
/// The reason of events about alerts that senders left out.
const TRUNCATED: &str = "AlertsTruncated";
/// The reason of events about alerts that somebody took notice of.
const NOTED: &str = "SenderNotes";
/// Longest reason that is reported, characters.
const REASON: usize = 400;

type Body = Result<AlertBody, Status>;

/// Where alerts come in.
#[derive(Debug)]
pub(super) struct Source {
    /// `webhook`, `webhook/<name>`.
    pub(super) place: String,
    /// What its senders are; `None` to recognise them.
    pub(super) sender: Option<Sender>,
    pub(super) resource: Option<std::sync::Arc<AlertSource>>,
}

impl Source {
    /// The source of a name in a URL: an AlertSource, else a sender that is built in.
    pub(super) fn named(store: &Store, name: &str) -> Option<Self> {
        let resource = store
            .get::<AlertSource>(name)
            .filter(|source| !source.is_deleting());
        let sender = match &resource {
            Some(source) => Sender::of(source.spec.format),
            None => Some(Sender::named(name)?),
        };
        Some(Self {
            place: format!("{WEBHOOK}/{name}"),
            sender,
            resource,
        })
    }

    fn any() -> Self {
        Self {
            place: WEBHOOK.to_owned(),
            sender: None,
            resource: None,
        }
    }

    fn mapping(&self) -> Option<&aegis_api::alert_source::Mapping> {
        self.resource.as_ref()?.spec.mapping.as_ref()
    }

    /// What keeps its ids from being another source's.
    fn prefix(&self, sender: Sender) -> String {
        match self
            .place
            .strip_prefix(WEBHOOK)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(name) => name.to_owned(),
            None => sender.as_str().to_owned(),
        }
    }

    fn about(&self) -> ObjectRef {
        match &self.resource {
            Some(source) => ObjectRef::of(&**source),
            None => ObjectRef {
                kind: "AlertSource".to_owned(),
                name: self.place.replace('/', "-"),
                uid: String::new(),
            },
        }
    }
}

pub(super) async fn recognised(
    State(state): State<ServerState>,
    Acting(store): Acting,
    identity: Option<Extension<Identity>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let intake = Desk {
        state: &state,
        store: &store,
        may_read: may_read(identity.as_deref()),
        source: Source::any(),
    };
    intake.receive(&headers, body).await
}

pub(super) async fn of_source(
    State(state): State<ServerState>,
    Acting(store): Acting,
    identity: Option<Extension<Identity>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let source = name
        .ok()
        .and_then(|Path(name)| Source::named(&state.store, &name));
    let Some(source) = source else {
        let senders = Sender::ALL.iter().filter(|sender| **sender != Sender::Mapped);
        let names: Vec<&str> = senders.map(|sender| sender.as_str()).collect();
        let detail = format!(
            "there is no alert source of this name: {} are built in, an AlertSource makes more",
            names.join(", ")
        );
        return Refusal::Plain(StatusCode::NOT_FOUND, detail).into_response();
    };
    let intake = Desk {
        state: &state,
        store: &store,
        may_read: may_read(identity.as_deref()),
        source,
    };
    intake.receive(&headers, body).await
}

fn may_read(identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| Need::Read.is_of(identity.role))
}

/// What a sender learns that may read nothing: which incident it is, and where that stands.
fn brief(alert: &Alert, result: IncidentResult) -> IncidentResult {
    IncidentResult {
        incident_id: result.incident_id,
        alert_type: alert.alert_type.clone(),
        analysis: None,
        council_decision: None,
        status: result.status,
        resolved_at: None,
        error: None,
        replicas_spawned: 0,
        timeline: Vec::new(),
        dry_run: false,
    }
}

/// Takes the alerts of one body in.
struct Desk<'a> {
    state: &'a ServerState,
    store: &'a Store,
    /// Whether the sender may read what became of its alert.
    may_read: bool,
    source: Source,
}

/// What one body came to.
#[derive(Default)]
struct Tally {
    /// How many alerts were in it, and how many its sender left out.
    received: usize,
    truncated: u64,
    /// The id of the first that could be read.
    key: Option<String>,
    rows: Vec<Value>,
    /// Why alerts cannot be read, and which of the body they are.
    unreadable: Vec<(usize, String)>,
    /// Why an alert could not be taken in now.
    refused: Option<Refusal>,
}

impl Desk<'_> {
    async fn receive(&self, headers: &HeaderMap, body: Body) -> Response {
        let guess = self.source.sender.unwrap_or(Sender::AegisOps);
        let AlertBody { bytes, mut share } = match body {
            Ok(body) => body,
            // It comes again.
            Err(status) if status.code == StatusCode::SERVICE_UNAVAILABLE => {
                return Refusal::from(status).into_response();
            }
            Err(status) => {
                self.keep(guess, &status.message, 0, "").await;
                return Refusal::from(status).into_response();
            }
        };
        let opened = match opened(headers, &bytes) {
            Ok(text) if share.grow(tree_bytes(&text)) => Ok(text),
            Ok(_) => return Refusal::from(Status::no_room()).into_response(),
            Err(why) => Err(why),
        };
        let content = match opened.and_then(|text| read(headers, text)) {
            Ok(content) if share.grow(content.packed) => content,
            Ok(_) => return Refusal::from(Status::no_room()).into_response(),
            Err(why) => return self.no_content(guess, why, &bytes).await,
        };
        let sender = self
            .source
            .sender
            .unwrap_or_else(|| Sender::recognised(headers, &content.value));
        let content = content.of_sender(sender);
        if sender == Sender::AegisOps {
            return self.ours(&content, bytes.len()).await;
        }
        let (reports, ambiguous) = match reports(sender, &content, self.source.mapping()) {
            Ok(read) => read,
            Err(why) => {
                self.keep(sender, &why, bytes.len(), &as_written(&content)).await;
                return refused(sender, &why);
            }
        };
        self.all(sender, reports, &ambiguous, &content, bytes.len()).await
    }

    /// Every alert of a body of another sender.
    async fn all(
        &self,
        sender: Sender,
        reports: Reports,
        ambiguous: &[Item],
        content: &Content,
        size: usize,
    ) -> Response {
        if reports.truncated > 0 {
            self.state.intake_metrics.truncated(sender, reports.truncated);
            let message = format!(
                "{} left {} alerts out of a message (max_alerts): nothing is known of them",
                sender.as_str(),
                reports.truncated
            );
            let about = self.source.about();
            self.state
                .events
                .record(&about, EventType::Warning, TRUNCATED, message);
        }
        let mut tally = Tally {
            received: reports.all.len(),
            truncated: reports.truncated,
            ..Tally::default()
        };
        for (at, report) in reports.all.into_iter().enumerate() {
            match report {
                Ok(report) => {
                    tally.key.get_or_insert_with(|| report.id.clone());
                    self.one(sender, at, report, &mut tally).await;
                }
                Err(why) => tally.unreadable.push((at, why)),
            }
        }
        let texts = || match tally.received {
            0 | 1 => vec![as_written(content)],
            _ => {
                let items = sender.items(&content.value, self.source.mapping());
                let item = |(at, _): &(usize, String)| {
                    let written = ambiguous.iter().find(|item| item.at == *at);
                    let text = written.map(|item| item.text.clone());
                    text.or_else(|| items.get(*at).map(|item| without_keys(item)))
                };
                tally.unreadable.iter().filter_map(item).collect()
            }
        };
        let texts = if tally.unreadable.is_empty() {
            Vec::new()
        } else {
            texts()
        };
        self.answer(sender, tally, texts, size).await
    }

    /// Keeps the texts of what could not be read of a body with several alerts, and says what became of each.
    async fn answer(&self, sender: Sender, tally: Tally, texts: Vec<String>, size: usize) -> Response {
        let refused_with = match tally.refused.map(|refusal| postponed(sender, refusal)) {
            // All of it comes again, what cannot be read as well: it is counted and kept when no more does.
            Some(answer) if is_repeated(answer.status()) => return answer,
            other => other,
        };
        let unreadable: Vec<String> = tally.unreadable.into_iter().map(|(_, why)| why).collect();
        if !unreadable.is_empty() {
            let mut why = unreadable.join("; ");
            if unreadable.len() > 1 {
                why = format!("{} alerts: {why}", unreadable.len());
            }
            self.keep_alerts(sender, unreadable.len(), &why, size, texts, None)
                .await;
        }
        if let Some(answer) = refused_with {
            return answer;
        }
        if let Some(why) = unreadable.first().filter(|_| unreadable.len() == tally.received) {
            return refused(sender, why);
        }
        if sender == Sender::PagerDuty {
            let answer = json!({"status": "success", "message": "Event processed", "dedup_key": tally.key});
            return (StatusCode::ACCEPTED, Json(answer)).into_response();
        }
        let answer = json!({"received": tally.received, "truncated": tally.truncated, "alerts": tally.rows,
            "unreadable": unreadable});
        Json(answer).into_response()
    }

    /// One alert of another sender.
    async fn one(&self, sender: Sender, at: usize, report: Report, tally: &mut Tally) {
        let stands = report.state.clone();
        let now = aegis_clock::now();
        if stands == Stands::Test {
            self.state.intake_metrics.count(sender, "test");
            let message = "a test message came in, and was understood: it opens nothing".to_owned();
            let about = self.source.about();
            self.state
                .events
                .record(&about, EventType::Normal, "TestAlert", message);
            tally.rows.push(json!({"outcome": "test"}));
            return;
        }
        let mut alert = match self.alert(sender, report, now) {
            Ok(alert) => alert,
            Err(faults) => {
                tally.unreadable.push((at, words(&faults)));
                return;
            }
        };
        if let Stands::Noted(said) = stands {
            self.note(&alert, &said);
            self.state.intake_metrics.count(sender, "noted");
            tally
                .rows
                .push(json!({"incident_id": alert.incident_id, "outcome": "noted"}));
            return;
        }
        let endings = &self.state.intake.endings;
        match &alert.message {
            Message::Over { over, .. } => {
                if let Some(at) = over.at {
                    endings.note(alert.same(), at, now);
                }
            }
            Message::Fires(_) => {
                if endings.is_late(alert.same(), alert.starts_at, now) {
                    alert.ended = Ended::Before;
                }
            }
        }
        self.taken(sender, &alert, tally).await;
    }

    /// Takes one of several alerts in.
    async fn taken(&self, sender: Sender, alert: &Alert, tally: &mut Tally) {
        match take(self.state, self.store, alert).await {
            Ok(Taken { result, outcome }) => {
                self.state.intake_metrics.count(sender, outcome.as_str());
                tally.rows.push(
                    json!({"incident_id": alert.incident_id, "incident": result.incident_id,
                    "status": result.status, "outcome": outcome.as_str()}),
                );
            }
            Err(refusal) => {
                self.state.intake_metrics.count(sender, "refused");
                tally.refused = Some(refusal);
            }
        }
    }

    fn alert(&self, sender: Sender, report: Report, now: Time) -> Result<Alert, Vec<Fault>> {
        let (workloads, containers) = (self.state.store.list::<Workload>(), self.state.host.containers());
        let known = Known {
            workloads: &workloads,
            containers: &containers,
        };
        let prefix = self.source.prefix(sender);
        let target = &self.state.config.target_container;
        Alert::of(report, &self.source.place, &prefix, target, known, now)
    }

    /// Somebody took notice of an alert: said on its open incident.
    fn note(&self, alert: &Alert, said: &str) {
        let mut found = self
            .state
            .book
            .find(&self.state.store, &alert.incident_id)
            .into_iter();
        if let Some(incident) = found.find(|incident: &std::sync::Arc<Incident>| !incident.is_finished()) {
            let message = format!("its sender says {said}");
            let about = ObjectRef::of(&*incident);
            self.state
                .events
                .record(&about, EventType::Normal, NOTED, message);
        }
    }

    /// Our own alerts: one is answered as the contract has it, several as those of other senders.
    async fn ours(&self, content: &Content, size: usize) -> Response {
        let (workloads, containers) = (self.state.store.list::<Workload>(), self.state.host.containers());
        let known = Known {
            workloads: &workloads,
            containers: &containers,
        };
        let now = aegis_clock::now();
        let target = &self.state.config.target_container;
        if let Some(alerts) = ours::several(content, target, known, now) {
            return self.several(alerts, &content.text, size).await;
        }
        let alert = match Alert::read(content.text.as_bytes(), target, known, now) {
            Ok(alert) => alert,
            Err(faults) => {
                self.keep(Sender::AegisOps, &words(&faults), size, &content.text)
                    .await;
                return Refusal::Fields(faults).into_response();
            }
        };
        let alert = Alert {
            source: self.source.place.clone(),
            ..alert
        };
        match take(self.state, self.store, &alert).await {
            Ok(taken) => {
                self.state
                    .intake_metrics
                    .count(Sender::AegisOps, taken.outcome.as_str());
                let result = match self.may_read {
                    true => taken.result,
                    false => brief(&alert, taken.result),
                };
                Json(result).into_response()
            }
            Err(refusal) => {
                self.state.intake_metrics.count(Sender::AegisOps, "refused");
                refusal.into_response()
            }
        }
    }

    /// Each of several of our own alerts like a single one.
    async fn several(&self, alerts: Vec<Result<Alert, String>>, text: &str, size: usize) -> Response {
        let sender = Sender::AegisOps;
        let mut tally = Tally {
            received: alerts.len(),
            ..Tally::default()
        };
        for (at, alert) in alerts.into_iter().enumerate() {
            match alert {
                Ok(alert) => {
                    let source = self.source.place.clone();
                    self.taken(sender, &Alert { source, ..alert }, &mut tally).await;
                }
                Err(why) => tally.unreadable.push((at, why)),
            }
        }
        let bad: Vec<usize> = tally.unreadable.iter().map(|(at, _)| *at).collect();
        let texts = ours::texts(text, &bad);
        self.answer(sender, tally, texts, size).await
    }

    async fn no_content(&self, guess: Sender, why: NoContent, bytes: &[u8]) -> Response {
        let reason = why.words();
        let code = match why {
            NoContent::Packed(Undecodable::TooLarge(limit)) => {
                self.keep(guess, &reason, bytes.len(), "").await;
                return Refusal::from(Status::too_large(limit)).into_response();
            }
            NoContent::Packed(Undecodable::Encoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            NoContent::Packed(Undecodable::Broken(_)) => StatusCode::BAD_REQUEST,
            NoContent::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            NoContent::Asks(question) => {
                let texts = vec![super::bytes::text(bytes).into_owned()];
                self.keep_alerts(guess, 1, &reason, bytes.len(), texts, question.open)
                    .await;
                return refused(guess, &reason);
            }
            NoContent::Neither(_) => {
                let text = super::bytes::text(bytes);
                self.keep(guess, &reason, bytes.len(), &text).await;
                return refused(guess, &reason);
            }
        };
        self.keep(guess, &reason, bytes.len(), "").await;
        Refusal::Plain(code, reason).into_response()
    }

    /// Keeps a body that could not be read, and reports it.
    async fn keep(&self, sender: Sender, reason: &str, size: usize, body: &str) {
        self.keep_alerts(sender, 1, reason, size, vec![body.to_owned()], None)
            .await;
    }

    /// The same with the texts of so many alerts that could not be read. `open`: an address that is for a person to open.
    async fn keep_alerts(
        &self,
        sender: Sender,
        alerts: usize,
        reason: &str,
        size: usize,
        texts: Vec<String>,
        open: Option<String>,
    ) {
        let alerts = u64::try_from(alerts).unwrap_or(u64::MAX);
        self.state.intake_metrics.unreadable(sender, alerts);
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON).collect();
        let kept = Kept {
            at: aegis_clock::now(),
            source: self.source.place.clone(),
            sender: sender.as_str().to_owned(),
            reason: reason.clone(),
            bytes: size,
            body: String::new(),
            open,
            counted: 0,
        };
        let written = self
            .state
            .intake
            .unreadable
            .keep(kept, texts, alerts, Instant::now())
            .await;
        let place = if written {
            "`aegisctl intake unreadable` shows it"
        } else {
            "it is not kept: too many came at once"
        };
        let message = format!(
            "an alert at /{} could not be read ({reason}); {place}",
            self.source.place
        );
        let about = self.source.about();
        self.state
            .events
            .record(&about, EventType::Warning, UNREADABLE, message);
    }
}

/// A body as it was written where a key is there twice, of which its value has one; without what is a secret by its place.
fn as_written(content: &Content) -> String {
    let has = |name: &str| content.value.get(name).is_some();
    // Its headers are not in the text.
    let is_binary = has("specversion") && !content.text.contains("specversion");
    match content.twice.is_empty() || has("routing_key") || is_binary {
        true => without_keys(&content.value),
        false => content.text.clone(),
    }
}

/// A body without what is a secret by its place: PagerDuty's routing key.
fn without_keys(body: &Value) -> String {
    let plain = |fields: &Map<String, Value>| {
        let kept = fields.iter().filter(|(name, _)| name.as_str() != "routing_key");
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    body.as_object()
        .map_or_else(|| body.to_string(), |fields| plain(fields).to_string())
}

/// The answer to a body of which nothing can be read. None of these senders repeats after it: it would fail again, and the
/// body is kept.
fn refused(sender: Sender, why: &str) -> Response {
    let code = StatusCode::BAD_REQUEST;
    if sender == Sender::AegisOps {
        return Refusal::from(Fault {
            place: "body",
            field: "".into(),
            kind: "json_invalid",
            message: why.to_owned(),
        })
        .into_response();
    }
    if sender == Sender::PagerDuty {
        let answer =
            json!({"status": "invalid event", "message": "Event object is invalid", "errors": [why]});
        return (code, Json(answer)).into_response();
    }
    Refusal::Plain(code, why.to_owned()).into_response()
}

/// Whether a sender repeats a body after this answer.
fn is_repeated(code: StatusCode) -> bool {
    code == StatusCode::TOO_MANY_REQUESTS || code.is_server_error()
}

/// The answer where an alert cannot be taken in now: the sender is to repeat it. Alertmanager and Grafana repeat after 5xx,
/// and not all of their versions after 429; nor does every one whose bodies are mapped, such as Datadog.
fn postponed(sender: Sender, refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    let only_5xx = matches!(sender, Sender::Alertmanager | Sender::Grafana | Sender::Mapped);
    if only_5xx && response.status() == StatusCode::TOO_MANY_REQUESTS {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
