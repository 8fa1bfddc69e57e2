//! `POST /webhook`: an alert becomes an Incident, durable before the answer. The same trouble again is the same incident
//! while that is open and a minute longer; the end of trouble opens none, and is noted on the one that is open.
//!
//! A storm has an end: a token opens so many a second, so many are open at once, and past that alerts about the same
//! workload are counted on one. What is only counted is never refused.

use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::incident::JoinedAlert;
use aegis_api::naming::{hashed, resource_name};
use aegis_api::scalar::ResourceName;
use aegis_api::wire::{IncidentResult, incident_id};
use aegis_api::{ConditionType, Incident, Kind, KindInfo, Reason, Time, Workload};
use aegis_planning::covering::covering;
use aegis_planning::detection::episode::{fingerprints, takes_alerts};
use aegis_runtime::{EventType, ObjectRef, Store, StoreError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::alert::{Alert, Known, Message, Named, Over};
use super::tally;
use crate::auth::{Acting, Identity, Need};
use crate::body::{ALERT_LIMIT, BoundedBody};
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;

/// How often a race with another sender is run again.
const ATTEMPTS: usize = 5;
/// How long after its end an incident still takes repeats.
const LINGERS: SignedDuration = SignedDuration::from_secs(60);
/// Seconds after which a sender tries again where too many incidents are open.
const FULL_FOR: u64 = 10;
/// How many names are tried for a new incident.
const NAMES: u32 = 100;

pub(super) async fn webhook(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    Acting(store): Acting,
    body: Result<BoundedBody<ALERT_LIMIT>, Status>,
) -> Result<Json<IncidentResult>, Refusal> {
    let (workloads, containers) = (state.store.list::<Workload>(), state.host.containers());
    let known = Known {
        workloads: &workloads,
        containers: &containers,
    };
    let now = Time(jiff::Timestamp::now());
    let target = &state.config.target_container;
    let alert = Alert::read(&body?.0, target, known, now).map_err(Refusal::Fields)?;
    let _turn = state.keyed_mutex.enter(alert.same()).await;
    for _ in 0..ATTEMPTS {
        let earlier = Earlier::of(&state, &alert);
        let taken = match &alert.message {
            Message::Over { over, named } => match earlier.concerned(named.as_ref(), known) {
                Some(incident) => end(&store, incident, over, now).await,
                None => {
                    return Ok(Json(answered(
                        &identity,
                        &alert,
                        earlier.nothing_open(&alert, over, now),
                    )));
                }
            },
            Message::Fires(named) => match (
                earlier.taking_repeats(now),
                detected(&state, &alert, named, &workloads),
            ) {
                (Some(incident), _) => count(&state, &store, incident, None).await,
                (None, Some(incident)) => count(&state, &store, &incident, Some(alert.joined())).await,
                (None, None) => {
                    let opening = Opening {
                        alert: &alert,
                        named,
                        earlier: &earlier,
                        workloads: &workloads,
                    };
                    match room(&state, &store, &opening)? {
                        Room::Open => open(&state, &store, opening).await,
                        Room::On(incident) => count(&state, &store, &incident, Some(alert.joined())).await,
                    }
                }
            },
        };
        match taken {
            Ok(incident) => return Ok(Json(answered(&identity, &alert, (&*incident).into()))),
            // Another client opened or deleted it meanwhile: read again.
            Err(StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(Status::from_store(KindInfo::of::<Incident>(), error).into()),
        }
    }
    let detail = "the incident changes faster than it can be read: send it again".to_owned();
    Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, detail))
}

/// What the sender learns. One that may read nothing: which incident it is, and where that stands.
fn answered(identity: &Identity, alert: &Alert, result: IncidentResult) -> IncidentResult {
    if Need::Read.is_of(identity.role) {
        return result;
    }
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

/// The open incident of a detector about the workload that an alert is about, and about trouble of the class that it
/// reports: it is the same episode.
fn detected(
    state: &ServerState,
    alert: &Alert,
    named: &Named,
    workloads: &[Arc<Workload>],
) -> Option<Arc<Incident>> {
    let workload = covering(workloads, named.container.as_str())?;
    fingerprints(workload.name(), &alert.alert_type)
        .flat_map(|fingerprint| state.book.find(&state.store, &fingerprint))
        .find(|incident| takes_alerts(incident))
}

/// The incidents that the same alert opened so far, the newest first.
struct Earlier {
    /// Those of its id.
    by_id: Vec<Arc<Incident>>,
    /// Those of its fingerprint, if it has one.
    by_fingerprint: Vec<Arc<Incident>>,
}

impl Earlier {
    fn of(state: &ServerState, alert: &Alert) -> Self {
        let mut by_id = state.book.find(&state.store, &alert.incident_id);
        by_id.retain(|incident| {
            let joined = &incident.spec.source.joined;
            incident_id(incident) == alert.incident_id
                || joined.iter().any(|known| known.incident_id == alert.incident_id)
        });
        let mut by_fingerprint = match &alert.fingerprint {
            Some(fingerprint) => state.book.find(&state.store, fingerprint),
            None => Vec::new(),
        };
        by_fingerprint.retain(|incident| {
            let source = &incident.spec.source;
            let is_it = |known: &str| alert.fingerprint.as_deref() == Some(known);
            is_it(&source.fingerprint) || source.joined.iter().any(|known| is_it(&known.fingerprint))
        });
        Self {
            by_id,
            by_fingerprint,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.by_id.iter().chain(&self.by_fingerprint)
    }

    /// The one that another alert of its kind only repeats: an open one, else one that ended a moment ago.
    fn taking_repeats(&self, now: Time) -> Option<&Arc<Incident>> {
        let just_ended = |incident: &&Arc<Incident>| {
            let end = incident.status.as_ref().and_then(|status| status.finished_at);
            end.is_some_and(|end| now.0.duration_since(end.0).abs() <= LINGERS)
        };
        let open = self.all().find(|incident| !incident.is_finished());
        open.or_else(|| self.all().find(just_ended))
    }

    /// The open one whose end is reported. What names another container is about another trouble.
    fn concerned(&self, named: Option<&Named>, known: Known<'_>) -> Option<&Arc<Incident>> {
        let about = |incident: &&Arc<Incident>| {
            let container = incident.spec.container_name.as_ref();
            named
                .zip(container)
                .is_none_or(|(named, container)| known.same(named.container.as_str(), container.as_str()))
        };
        self.all().filter(|incident| !incident.is_finished()).find(about)
    }

    /// What a sender is answered that reports the end of what is not open: how it stands with its incident, if there
    /// was one, and that nothing was opened.
    fn nothing_open(&self, alert: &Alert, over: &Over, now: Time) -> IncidentResult {
        if let Some(ended) = self.all().find(|incident| incident.is_finished()) {
            return IncidentResult::from(&**ended);
        }
        let message = format!(
            "the sender says that it is over ({}); no incident about it is open, and none was opened",
            over.said
        );
        IncidentResult::nothing_open(&alert.incident_id, &alert.alert_type, message, now)
    }

    /// Which of them a new one names.
    fn previous(&self) -> Option<ResourceName> {
        let newest = self.by_id.first().or_else(|| self.by_fingerprint.first())?;
        newest.name().parse().ok()
    }

    /// A name for another one: the id's own for the first, then with a number behind it.
    fn next_name(&self, store: &Store, id: &str) -> String {
        let (plain, hashed) = (resource_name(id), hashed(id));
        let is_taken = |name: &str| store.get::<Incident>(name).is_some();
        let Some(newest) = self.by_id.first() else {
            // Another id may have the name.
            return if is_taken(&plain) { hashed } else { plain };
        };
        let stem = if number(newest.name(), &hashed).is_some() {
            hashed
        } else {
            plain
        };
        let numbers = self
            .by_id
            .iter()
            .filter_map(|incident| number(incident.name(), &stem));
        let last = numbers.max().unwrap_or(1);
        let mut names = (1..=NAMES).map(|step| format!("{stem}-{}", last.saturating_add(step)));
        names.find(|name| !is_taken(name)).unwrap_or(stem)
    }
}

/// The number of a name among those of one stem: 1 for the stem itself.
fn number(name: &str, stem: &str) -> Option<u32> {
    match name.strip_prefix(stem)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

/// Counts an alert on an incident, and, of one of another id, keeps who sent it and what it says: a later message about
/// the same alert finds the incident. Where nothing can be written, it is counted all the same.
async fn count(
    state: &ServerState,
    store: &Store,
    incident: &Arc<Incident>,
    folded: Option<JoinedAlert>,
) -> Result<Arc<Incident>, StoreError> {
    let fires_again = incident.spec.source.resolved_at.is_some() && !incident.is_finished();
    let Some(repeats) = state
        .tally
        .add(incident.name(), folded, fires_again, Instant::now())
    else {
        return Ok(Arc::clone(incident));
    };
    match tally::write(store, incident.name(), repeats.clone()).await {
        Err(error) if error.is_full() => {
            state.tally.put_back(incident.name(), repeats);
            Ok(Arc::clone(incident))
        }
        written => written,
    }
}

/// Whether there is room for one more open incident.
enum Room {
    Open,
    /// There is none: the alert is counted on this one, about the same.
    On(Arc<Incident>),
}

/// Where an alert goes that nothing before was the same as.
fn room(state: &ServerState, store: &Store, opening: &Opening<'_>) -> Result<Room, Refusal> {
    let full = state.store.count(KindInfo::of::<Incident>(), key::OPEN) >= state.config.open_incidents;
    if full {
        let workload = covering(opening.workloads, opening.named.container.as_str());
        let about = match workload {
            Some(workload) => key::workload(workload.name()),
            None => key::container(opening.named.container.as_str()),
        };
        let mut open = state.store.find::<Incident>(&about);
        open.retain(|incident| !incident.is_finished());
        let same = open
            .iter()
            .find(|incident| incident.spec.alert_type == opening.alert.alert_type);
        match same.or(open.first()) {
            Some(incident) => return Ok(Room::On(Arc::clone(incident))),
            // There are no more of these than Workloads.
            None if workload.is_some() => {}
            None => {
                let why = "too many incidents are open: the alert is about none of them, send it again later";
                return Err(Status::come_back(why, FULL_FOR).into());
            }
        }
    }
    let sender = &store.actor().user;
    match state.rate.take(sender, Instant::now()) {
        Ok(()) => Ok(Room::Open),
        Err(seconds) => {
            let why = "this token opens more incidents a second than it may: send the alert again later";
            Err(Status::come_back(why, seconds).into())
        }
    }
}

/// Notes on an open incident that its sender says it is over: once, until it fires again.
async fn end(
    store: &Store,
    incident: &Incident,
    over: &Over,
    now: Time,
) -> Result<Arc<Incident>, StoreError> {
    let at = over.at.unwrap_or(now);
    let noted = store.edit_spec::<Incident, _>(incident.name(), move |current| {
        let mut spec = current.spec.clone();
        if !current.is_finished() {
            spec.source.resolved_at.get_or_insert(at);
        }
        Ok(spec)
    });
    noted.await
}

/// An incident to be.
struct Opening<'a> {
    alert: &'a Alert,
    named: &'a Named,
    earlier: &'a Earlier,
    workloads: &'a [Arc<Workload>],
}

async fn open(state: &ServerState, store: &Store, opening: Opening<'_>) -> Result<Arc<Incident>, StoreError> {
    let name = opening.earlier.next_name(store, &opening.alert.incident_id);
    let previous = opening.earlier.previous();
    let spec = opening.alert.spec(opening.named, opening.workloads, previous);
    let incident = store.add::<Incident>(&name, &spec).await?;
    state.book.note(&incident);
    record_naming(state, &incident, opening.named);
    Ok(incident)
}

/// Says how the container was found, where the sender did not plainly name it.
fn record_naming(state: &ServerState, incident: &Incident, named: &Named) {
    let Some(naming) = &named.naming else { return };
    let (kind, reason) = if naming.by_default {
        (EventType::Warning, Reason::DefaultTarget.as_str())
    } else if naming.others.is_empty() {
        (EventType::Normal, ConditionType::ContainerNamed.as_str())
    } else {
        (EventType::Warning, ConditionType::ContainerNamed.as_str())
    };
    let message = naming.message(named.container.as_str());
    state
        .events
        .record(&ObjectRef::of(incident), kind, reason, message);
}
