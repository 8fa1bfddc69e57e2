//! `POST /webhook`: an alert becomes an Incident, durable before the answer. The same trouble again is the same incident
//! while that is open and a minute longer; the end of trouble opens none, and is noted on the one that is open.
//!
//! A storm has an end: a token opens so many a second, so many are open at once, and past that alerts about the same
//! workload are counted on one. What is only counted is never refused.

use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::incident::{DETECTOR, JoinedAlert};
use aegis_api::naming::{hashed, resource_name};
use aegis_api::precedence::Urgency;
use aegis_api::scalar::ResourceName;
use aegis_api::wire::{IncidentResult, incident_id};
use aegis_api::{ConditionType, Incident, Kind, KindInfo, Reason, RemediationPolicy, Time, Workload};
use aegis_planning::correlation::burst::Closeness;
use aegis_planning::correlation::inhibition;
use aegis_planning::covering::covering;
use aegis_planning::detection::episode::{fingerprints, takes_alerts};
use aegis_runtime::{EventType, ObjectRef, Store, StoreError};
use axum::http::StatusCode;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::alert::{Alert, Ended, Known, Message, Named, Over, WEBHOOK};
use super::tally::{self, Repeats};
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;

/// How often a race with another sender is run again.
const ATTEMPTS: usize = 5;
/// How long after its end an incident still takes repeats.
const LINGERS: SignedDuration = SignedDuration::from_secs(60);
/// Seconds after which a sender tries again where too many incidents are open.
const FULL_FOR: u64 = 10;
/// The reason of events about alerts that open nothing while what their workload depends on is sick.
const INHIBITED: &str = "Inhibited";
/// How many names are tried for a new incident.
const NAMES: u32 = 100;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// It opened an incident.
    Opened,
    /// It is counted on the incident that it opened or joined before.
    Repeated,
    /// It is counted on another's incident, about the same trouble or of the same burst.
    Folded,
    /// It is listed on the incident about what its workload depends on.
    Inhibited,
    /// It ended, and that is noted on its incident.
    Ended,
    /// It ended, and nothing was open.
    NothingOpen,
    /// It is from before an end that is known already.
    Late,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Folded => "folded",
            Self::Inhibited => "inhibited",
            Self::Ended => "ended",
            Self::NothingOpen => "nothing_open",
            Self::Late => "late",
        }
    }
}

/// An alert that was taken in.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) result: IncidentResult,
    pub(crate) outcome: Outcome,
}

/// Takes an alert in. An incident that it opens is durable before the answer; for repeats see [`tally`].
pub(crate) async fn take(state: &ServerState, store: &Store, alert: &Alert) -> Result<Taken, Refusal> {
    take_at(state, store, alert, None).await
}

/// As [`take`], at this time instead of the clock's.
pub(crate) async fn take_at(
    state: &ServerState,
    store: &Store,
    alert: &Alert,
    at: Option<Time>,
) -> Result<Taken, Refusal> {
    let (workloads, containers) = (state.store.list::<Workload>(), state.host.containers());
    let known = Known {
        workloads: &workloads,
        containers: &containers,
    };
    let _turn = state.keyed_mutex.enter(&turn(state, alert, &workloads)).await;
    // Not before: an alert that waited would be from before the incident that it waited for.
    let now = at.unwrap_or_else(aegis_clock::now);
    if let Message::Over { .. } = &alert.message {
        state.tally.settle(store, &alert.incident_id, alert.same()).await;
    }
    for _ in 0..ATTEMPTS {
        let earlier = Earlier::of(state, alert);
        let taken = match &alert.message {
            Message::Over { over, named } => match earlier.concerned(alert, over, named.as_ref(), known) {
                Some(incident) => {
                    record_end(state, incident, over);
                    end(store, incident, alert, over, now)
                        .await
                        .map(|incident| (incident, Outcome::Ended))
                }
                None => return Ok(earlier.nothing_open(alert, over, now)),
            },
            Message::Fires(_) if alert.ended == Ended::Before => match earlier.newest() {
                Some(incident) => Ok((Arc::clone(incident), Outcome::Late)),
                None => return Ok(late(alert, now)),
            },
            Message::Fires(named) => {
                fires(
                    state,
                    store,
                    &Opening {
                        alert,
                        named,
                        earlier: &earlier,
                        workloads: &workloads,
                    },
                    now,
                )
                .await?
            }
        };
        match taken {
            Ok((incident, outcome)) => {
                let result = IncidentResult::from(&*incident);
                return Ok(Taken { result, outcome });
            }
            // Another client opened or deleted it meanwhile: read again.
            Err(StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(Status::from_store(KindInfo::of::<Incident>(), error).into()),
        }
    }
    let detail = "the incident changes faster than it can be read: send it again".to_owned();
    Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, detail))
}

/// Whose turn an alert takes: those about one workload meet where they may be of one burst.
fn turn(state: &ServerState, alert: &Alert, workloads: &[Arc<Workload>]) -> String {
    if let Message::Fires(named) = &alert.message
        && state.config.closeness != Closeness::NONE
        && let Some(workload) = covering(workloads, named.container.as_str())
    {
        return key::workload(workload.name());
    }
    alert.same().to_owned()
}

/// Counts an alert that fires where it belongs, or opens an incident.
async fn fires(
    state: &ServerState,
    store: &Store,
    opening: &Opening<'_>,
    now: Time,
) -> Result<Result<(Arc<Incident>, Outcome), StoreError>, Refusal> {
    let Opening {
        alert,
        named,
        earlier,
        workloads,
    } = *opening;
    if let Some(incident) = earlier.taking_repeats(alert, now) {
        let counted = count(state, store, incident, alert, alert.joined_before(incident)).await;
        return Ok(counted.map(|incident| (incident, Outcome::Repeated)));
    }
    let folded =
        detected(state, alert, named, workloads).or_else(|| burst(state, alert, named, workloads, now));
    if let Some(incident) = folded {
        let counted = count(state, store, &incident, alert, Some(alert.joined())).await;
        return Ok(counted.map(|incident| (incident, Outcome::Folded)));
    }
    if let Some((root, workload)) = root(state, alert, named, workloads, now) {
        let inhibited = alert.held(&named.container);
        let message = format!(
            "{} about {workload} is silenced: {workload} depends on what this is about",
            alert.alert_type
        );
        let about = ObjectRef::of(&*root);
        state.events.record(&about, EventType::Normal, INHIBITED, message);
        // Written at once: what is silenced is opened later, if nothing else ends it.
        let listed = tally::write(store, root.name(), Repeats::one(inhibited)).await;
        return Ok(listed.map(|incident| (incident, Outcome::Inhibited)));
    }
    match room(state, store, opening)? {
        Room::Open => {
            let opened = open(state, store, opening).await;
            Ok(opened.map(|incident| (incident, Outcome::Opened)))
        }
        Room::On(incident) => {
            let counted = count(state, store, &incident, alert, Some(alert.joined())).await;
            Ok(counted.map(|incident| (incident, Outcome::Folded)))
        }
    }
}

/// The open incident of a sender about the same workload of whose burst an alert is. What a policy trusts stands alone: its
/// firing is a symptom by itself.
fn burst(
    state: &ServerState,
    alert: &Alert,
    named: &Named,
    workloads: &[Arc<Workload>],
    now: Time,
) -> Option<Arc<Incident>> {
    let closeness = state.config.closeness;
    let workload = covering(workloads, named.container.as_str()).filter(|_| closeness != Closeness::NONE)?;
    let is_trusted =
        |policy: &Arc<RemediationPolicy>| policy.spec.trusts(&alert.source, &alert.alert_type).is_some();
    if state.store.list::<RemediationPolicy>().iter().any(is_trusted) {
        return None;
    }
    let about = state.store.find::<Incident>(&key::workload(workload.name()));
    let mut open = about.into_iter().filter(|incident| {
        let by_alert = incident.spec.source.kind.starts_with(WEBHOOK);
        !incident.is_finished() && by_alert
    });
    let found = open.find(|incident| {
        let opened = incident.metadata.creation_timestamp.as_ref().map(|at| Time(at.0));
        // Times of objects are in whole seconds.
        let opened = opened.map(|at| state.bursts.began(incident.name()).unwrap_or(at));
        opened.is_some_and(|opened| {
            let last = state.bursts.last(incident.name()).unwrap_or(opened);
            closeness.takes(opened, last, now)
        })
    })?;
    state.bursts.note(found.name(), now);
    Some(found)
}

/// The open incident about something that the alert's workload depends on, under which the alert is silenced; and the
/// workload's name. What a policy trusts, and what there is no room to list, is not silenced.
fn root<'a>(
    state: &ServerState,
    alert: &Alert,
    named: &Named,
    workloads: &'a [Arc<Workload>],
    now: Time,
) -> Option<(Arc<Incident>, &'a str)> {
    let workload = covering(workloads, named.container.as_str())?;
    let roots = inhibition::roots(workloads, &state.store.list(), workload.name());
    let is_trusted = |policy: &Arc<RemediationPolicy>| {
        let trusted = policy.spec.trusts(&alert.source, &alert.alert_type);
        trusted.is_some()
    };
    let about = roots
        .iter()
        .flat_map(|root| state.store.find::<Incident>(&key::workload(root)));
    let of_host = state.store.find::<Incident>(key::UNPLACED).into_iter();
    let mut open = about.chain(of_host.filter(|incident| inhibition::is_of_the_host(incident)));
    let found =
        open.find(|incident| inhibition::inhibits(incident, now) && incident.spec.source.can_hold())?;
    if state.store.list::<RemediationPolicy>().iter().any(is_trusted) {
        return None;
    }
    Some((found, workload.name()))
}

/// What a sender is answered whose firing is from before an end that is known.
fn late(alert: &Alert, now: Time) -> Taken {
    let message = "it began before its end, which came first: no incident was opened".to_owned();
    Taken {
        result: IncidentResult::nothing_open(&alert.incident_id, &alert.alert_type, message, now),
        outcome: Outcome::Late,
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
    /// Its id.
    ids: [String; 1],
}

impl Earlier {
    fn of(state: &ServerState, alert: &Alert) -> Self {
        let mut by_id = state.book.find(&state.store, &alert.incident_id);
        by_id.retain(|incident| {
            let source = &incident.spec.source;
            let mut joined = source.joined.iter();
            incident_id(incident) == alert.incident_id
                || joined.any(|known| known.incident_id == alert.incident_id)
                || source.aliases.has(&alert.incident_id)
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
            ids: [alert.incident_id.clone()],
        }
    }

    /// Whether an incident about another container lists the alert.
    fn is_listed(&self, incident: &Incident) -> bool {
        let mut joined = incident.spec.source.joined.iter();
        joined.any(|alert| alert.inhibited.is_some() && self.ids.contains(&alert.incident_id))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.by_id.iter().chain(&self.by_fingerprint)
    }

    fn newest(&self) -> Option<&Arc<Incident>> {
        let open = self.all().find(|incident| !incident.is_finished());
        open.or_else(|| self.all().next())
    }

    /// The one that another alert of its kind only repeats: an open one, else one that ended a moment ago. Whose alerts
    /// were inhibited by one outlives it when that has ended.
    fn taking_repeats(&self, alert: &Alert, now: Time) -> Option<&Arc<Incident>> {
        let just_ended = |incident: &&Arc<Incident>| {
            if alert.is_inhibited(incident) {
                return false;
            }
            let end = incident.status.as_ref().and_then(|status| status.finished_at);
            end.is_some_and(|end| now.0.duration_since(end.0).abs() <= LINGERS)
        };
        // What outlives the incident that it is listed on is its own trouble.
        let outlives =
            |incident: &Incident| alert.is_inhibited(incident) && !inhibition::inhibits(incident, now);
        let open = self
            .all()
            .find(|incident| !incident.is_finished() && !outlives(incident));
        open.or_else(|| self.all().find(just_ended))
    }

    /// The open one whose end is reported, else the newest, ended meanwhile, whose end was not reported so far: it is healed
    /// in seconds, and senders take minutes to notice. What names another container is about another trouble.
    fn concerned(
        &self,
        alert: &Alert,
        over: &Over,
        named: Option<&Named>,
        known: Known<'_>,
    ) -> Option<&Arc<Incident>> {
        let about = |incident: &&Arc<Incident>| {
            let container = incident.spec.container_name.as_ref();
            named
                .zip(container)
                .is_none_or(|(named, container)| known.same(named.container.as_str(), container.as_str()))
        };
        // An inhibited alert ends on the incident that lists it, about whatever that is.
        let listed = |incident: &&Arc<Incident>| about(incident) || self.is_listed(incident);
        let open = self.all().filter(|incident| !incident.is_finished()).find(listed);
        let newest = self.all().next().filter(|incident| incident.is_finished());
        let unheard = |incident: &&Arc<Incident>| alert.is_unheard(incident, over);
        open.or_else(|| newest.filter(listed).filter(unheard))
    }

    /// What a sender is answered that reports the end of what is not open: how it stands with its incident, if there
    /// was one, and that nothing was opened.
    fn nothing_open(&self, alert: &Alert, over: &Over, now: Time) -> Taken {
        let outcome = Outcome::NothingOpen;
        if let Some(ended) = self.all().find(|incident| incident.is_finished()) {
            let result = IncidentResult::from(&**ended);
            return Taken { result, outcome };
        }
        let message = format!(
            "the sender says that it is over ({}); no incident about it is open, and none was opened",
            over.said
        );
        let result = IncidentResult::nothing_open(&alert.incident_id, &alert.alert_type, message, now);
        Taken { result, outcome }
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
    alert: &Alert,
    folded: Option<JoinedAlert>,
) -> Result<Arc<Incident>, StoreError> {
    let source = &incident.spec.source;
    // What only follows from this trouble makes it no graver.
    let is_own = folded.as_ref().is_none_or(|folded| folded.inhibited.is_none());
    let is_graver = is_own && !incident.is_finished() && alert.severity > incident.spec.severity;
    let graver = is_graver.then_some(alert.severity);
    // Another alert of the same incident takes nothing back of what its own sender said.
    let may = folded.is_none() || source.kind == DETECTOR;
    let fires_again = source.resolved_at.is_some() && !incident.is_finished() && may;
    let repeat = Repeats::of(folded, graver, fires_again);
    let writing = state.tally.writing().await;
    let Some(due) = state.tally.add(incident.name(), repeat, Instant::now()) else {
        return Ok(Arc::clone(incident));
    };
    let (state, store, name) = (state.clone(), store.clone(), incident.name().to_owned());
    // To its end, also where the sender goes meanwhile: what waited is of others.
    let written = tokio::spawn(async move {
        let _writing = writing;
        state.tally.write(&store, &name, due).await
    });
    let written = written.await.unwrap_or(Err(StoreError::Closed))?;
    Ok(written.unwrap_or_else(|| Arc::clone(incident)))
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
    // What is critical has a rate of its own: a flood of the rest refuses none of it.
    let sender = &store.actor().user;
    let urgency = Urgency::from(opening.alert.severity);
    match state.rate.take_as(sender, urgency, Instant::now()) {
        Ok(()) => Ok(Room::Open),
        Err(seconds) => {
            let why = "this token opens more incidents a second than it may: send the alert again later";
            Err(Status::come_back(why, seconds).into())
        }
    }
}

/// Says on an incident that has ended that its sender agrees. On one that is open its timeline and a condition say so.
fn record_end(state: &ServerState, incident: &Incident, over: &Over) {
    if incident.is_finished() {
        let message = format!("its sender says that it is over ({})", over.said);
        let (about, reason) = (ObjectRef::of(incident), ConditionType::SenderResolved.as_str());
        state.events.record(&about, EventType::Normal, reason, message);
    }
}

/// Notes on an incident that its sender says it is over: once, until it fires again. The end of an alert that joined is noted
/// beside that alone, where the incident is another alert's.
async fn end(
    store: &Store,
    incident: &Incident,
    alert: &Alert,
    over: &Over,
    now: Time,
) -> Result<Arc<Incident>, StoreError> {
    let at = over.at.unwrap_or(now);
    let (id, same) = (alert.incident_id.clone(), alert.same().to_owned());
    let noted = store.edit_spec::<Incident, _>(incident.name(), move |current| {
        let mut spec = current.spec.clone();
        let source = &mut spec.source;
        let is_own = incident_id(current) == id || source.fingerprint == same;
        for joined in &mut source.joined {
            if joined.incident_id == id || joined.fingerprint == same {
                joined.resolved_at.get_or_insert(at);
            }
        }
        // What is not listed any more may still fire.
        let all_over =
            source.aliases.is_empty() && source.joined.iter().all(|joined| joined.resolved_at.is_some());
        let is_listed = source
            .joined
            .iter()
            .any(|joined| joined.incident_id == id || joined.fingerprint == same);
        if is_own || (source.kind == DETECTOR && is_listed && all_over) {
            source.resolved_at.get_or_insert(at);
        }
        Ok(spec)
    });
    noted.await
}

/// An incident to be.
#[derive(Clone, Copy)]
struct Opening<'a> {
    alert: &'a Alert,
    named: &'a Named,
    earlier: &'a Earlier,
    workloads: &'a [Arc<Workload>],
}

async fn open(
    state: &ServerState,
    store: &Store,
    opening: &Opening<'_>,
) -> Result<Arc<Incident>, StoreError> {
    let name = opening.earlier.next_name(store, &opening.alert.incident_id);
    let previous = opening.earlier.previous();
    let spec = opening.alert.spec(opening.named, opening.workloads, previous);
    let incident = store.add::<Incident>(&name, &spec).await?;
    state.book.note(&incident);
    state.bursts.begin(incident.name(), aegis_clock::now());
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
