//! Where errors or slow answers come from: of a workload and all that it depends on, the one whose own log or readings say
//! that it is at fault, and whose lines blame no other. Owns that rule; what a line says is [`log`]'s. Pure.
//!
//! Unknown is never good and never evidence: none is named above one of which nothing could be read, and two that are equally
//! likely are none.

pub mod log;

use std::collections::BTreeSet;

use aegis_api::incident::{DETECTOR, IncidentSpec, Origin, Source, Stage};
use aegis_api::naming::hashed;
use aegis_api::redact::bound;
use aegis_api::scalar::ResourceName;
use aegis_api::signals::bounds;
use aegis_api::symptom::{SymptomClass, SymptomKind};
use aegis_api::{Duration, Incident, Kind, Phase, Time};

use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;
use crate::detection::episode::fingerprint;
use log::Said;

/// The type of the incident about a workload from which the errors of others come.
pub const ALERT: &str = "ORIGIN_OF_ERRORS";
/// How long before a condition over requests holds what it counts may have begun.
const BEGAN: Duration = bounds::REQUESTS_WITHIN;
/// How many times as often as before a log must report errors.
const RISES: f64 = 3.0;
/// Of ten lines at most one may blame another.
const PURE: u32 = 10;
/// How long ago the last of them may be, for them to go on.
const GOES_ON: Duration = Duration::from_secs(60);
/// The longest message, and the longest line in it, in characters.
const WORDS: usize = 600;
const LINE: usize = 160;
/// How many that are blamed are listed.
const MOST_BLAMED: usize = 8;

/// What one workload, or a container that is none, shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// The Workload's name, or the container's.
    pub name: String,
    /// Whether it is a Workload.
    pub is_workload: bool,
    /// What it needs, directly or not, by these names.
    pub needs: BTreeSet<String>,
    /// What its log says; the error says why it could not be read.
    pub log: Option<Result<Said, String>>,
    /// That it is not well, such as that it fails its probe.
    pub sick: Option<String>,
    /// That it is short of something, such as CPU.
    pub short: Option<String>,
    /// How long ago it was deployed, where that was lately.
    pub deployed: Option<Duration>,
}

/// What is made of one.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// It is at fault, by what it shows.
    Own(String),
    /// Its lines blame others.
    Elsewhere,
    /// Nothing speaks against it.
    Clean,
    /// It is not known; why.
    Unknown(String),
}

/// The time that an incident's trouble is taken to have begun, at the latest.
pub fn began(incident: &Incident) -> Option<Time> {
    let began = noticed(incident)?.0.checked_sub(BEGAN.signed());
    Some(Time(began.unwrap_or(jiff::Timestamp::MIN)))
}

/// When it was measured first, or opened.
fn noticed(incident: &Incident) -> Option<Time> {
    let opened = incident.metadata.creation_timestamp.as_ref().map(|at| Time(at.0));
    // When a sender says that it began is text.
    let measured = incident.spec.source.kind == DETECTOR;
    incident.spec.starts_at.filter(|_| measured).or(opened)
}

/// Whether errors or slow answers alone are measured, so that it matters where they come from.
pub fn matters(incident: &ValidatedIncident, kinds: impl IntoIterator<Item = SymptomKind>) -> bool {
    let mut kinds = kinds.into_iter().peekable();
    // What a person's rule or a trusted sender says is about this very workload.
    incident.target.is_ok()
        && kinds.peek().is_some()
        && kinds.all(|kind| matches!(kind.class(), SymptomClass::Errors | SymptomClass::Latency))
}

/// Whether slow answers alone are measured.
fn is_slow_alone(kinds: &[SymptomKind]) -> bool {
    kinds.iter().all(|kind| kind.class() == SymptomClass::Latency)
}

/// Who is at fault, of the workload `of` and all that it needs.
pub fn find(of: &str, candidates: &[Candidate], kinds: &[SymptomKind]) -> Origin {
    let named_by_others = |candidate: &Candidate| {
        let mut said = candidates
            .iter()
            .filter(|other| other.needs.contains(&candidate.name));
        said.any(|other| matches!(&other.log, Some(Ok(said)) if said.blames(&candidate.name)))
    };
    let judged: Vec<(&Candidate, Verdict)> = candidates
        .iter()
        .map(|candidate| {
            let is_blamed = is_slow_alone(kinds) || named_by_others(candidate);
            (candidate, judge(candidate, candidate.name != of && is_blamed))
        })
        .collect();
    let own = || {
        judged
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Own(_)))
    };
    // What another one shows that it needs explains it.
    let deepest: Vec<&(&Candidate, Verdict)> = own()
        .filter(|(candidate, _)| {
            !own().any(|(other, _)| {
                candidate.needs.contains(&other.name) && !other.needs.contains(&candidate.name)
            })
        })
        .collect();
    let blamed = blamed(candidates, &judged);
    let unnamed = |message: String| Origin {
        message: bound(&message, WORDS),
        blamed: blamed.clone(),
        ..Origin::default()
    };
    match deepest.as_slice() {
        [] => unnamed(match blamed.as_slice() {
            [] => format!("nothing measured says whose they are, of {}", names(&judged)),
            _ => format!("logs blame {}, which is no workload", blamed.join(", ")),
        }),
        [(candidate, Verdict::Own(why))] => match unread_below(candidate, &judged) {
            Some(unread) => unnamed(format!("{why}; but {unread}, so that it may be passed on")),
            None => named(candidate, why, &blamed),
        },
        several => unnamed(format!(
            "{} are equally likely: {}",
            several.len(),
            several
                .iter()
                .filter_map(|(_, verdict)| match verdict {
                    Verdict::Own(why) => Some(why.as_str()),
                    _ => None,
                })
                .collect::<Vec<_>>()
                .join("; ")
        )),
    }
}

fn named(candidate: &Candidate, why: &str, blamed: &[String]) -> Origin {
    let deployed = candidate
        .deployed
        .map(|ago| format!(", and it was deployed {ago} ago"));
    let workload = candidate.name.parse::<ResourceName>().ok();
    let workload = workload.filter(|_| candidate.is_workload);
    let what = match workload {
        Some(_) => "",
        None => "container ",
    };
    Origin {
        message: bound(&format!("{what}{why}{}", deployed.unwrap_or_default()), WORDS),
        own_errors: matches!(own_errors(candidate), Some(Ok(_))),
        workload,
        blamed: blamed.to_vec(),
        incident: None,
    }
}

fn names(judged: &[(&Candidate, Verdict)]) -> String {
    let words = judged.iter().map(|(candidate, verdict)| match verdict {
        Verdict::Unknown(why) => format!("{} ({why})", candidate.name),
        Verdict::Elsewhere => format!("{} (its log blames others)", candidate.name),
        Verdict::Clean | Verdict::Own(_) => candidate.name.clone(),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What it needs of which nothing is known, and why.
fn unread_below(candidate: &Candidate, judged: &[(&Candidate, Verdict)]) -> Option<String> {
    judged.iter().find_map(|(below, verdict)| match verdict {
        Verdict::Unknown(why) if candidate.needs.contains(&below.name) => Some(format!(
            "nothing is known of {}, which it needs ({why})",
            below.name
        )),
        _ => None,
    })
}

/// Whom logs blame that is none of these: those alone that report so many errors, and hardly any of their own.
fn blamed(candidates: &[Candidate], judged: &[(&Candidate, Verdict)]) -> Vec<String> {
    let known = |name: &str| candidates.iter().any(|candidate| candidate.name == name);
    let elsewhere = judged
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Elsewhere);
    let said = elsewhere.filter_map(|(candidate, _)| candidate.log.as_ref()?.as_ref().ok());
    let all: BTreeSet<&str> = said.flat_map(Said::blamed).filter(|name| !known(name)).collect();
    all.into_iter().take(MOST_BLAMED).map(str::to_owned).collect()
}

fn judge(candidate: &Candidate, is_blamed: bool) -> Verdict {
    let name = &candidate.name;
    if let Some(sick) = &candidate.sick {
        return Verdict::Own(format!("{name}: {sick}"));
    }
    let verdict = match own_errors(candidate) {
        Some(Ok(why)) => return Verdict::Own(why),
        // Being short of CPU does not excuse what it says itself.
        Some(Err(Verdict::Elsewhere)) => return Verdict::Elsewhere,
        Some(Err(verdict)) => verdict,
        None => Verdict::Unknown("its log was not read".to_owned()),
    };
    match candidate.short.as_ref().filter(|_| is_blamed) {
        Some(short) => Verdict::Own(format!("{name}: {short}")),
        None => verdict,
    }
}

/// What its log says of errors of its own; else what that makes of it. `None` where it was not read.
fn own_errors(candidate: &Candidate) -> Option<Result<String, Verdict>> {
    let said = match candidate.log.as_ref()? {
        Ok(said) => said,
        Err(why) => return Some(Err(Verdict::Unknown(why.clone()))),
    };
    let (own, blaming) = (said.own, said.blaming);
    if own.saturating_add(blaming) < bounds::ERROR_BURST {
        return Some(Err(Verdict::Clean));
    }
    if blaming.saturating_mul(PURE) > own {
        return Some(Err(Verdict::Elsewhere));
    }
    if own < bounds::ERROR_BURST || !said.goes_on(GOES_ON) {
        return Some(Err(Verdict::Clean));
    }
    let Some(before) = said.per_minute_before() else {
        let why = "its log does not reach back far enough to compare with".to_owned();
        return Some(Err(Verdict::Unknown(why)));
    };
    if said.per_minute() < before * RISES {
        // It says so at other times, too.
        return Some(Err(Verdict::Clean));
    }
    let line = said
        .line
        .as_ref()
        .map(|line| format!(", such as {:?}", bound(line, LINE)));
    Some(Ok(format!(
        "{} has logged {own} error lines of its own since {}, which blame no other{}",
        candidate.name,
        said.since,
        line.unwrap_or_default()
    )))
}

/// Whether an incident's own errors were found to be its workload's: none of others are in them.
pub(super) fn is_own(incident: &ValidatedIncident) -> bool {
    let (Some(origin), Ok(workload)) = (&incident.status.origin, &incident.target) else {
        return false;
    };
    origin.own_errors
        && origin
            .workload
            .as_ref()
            .is_some_and(|name| name.as_str() == workload.name())
}

/// Another workload that was found to be at fault, by errors in its own log.
pub(super) fn elsewhere(incident: &ValidatedIncident) -> Option<(&Origin, &ResourceName)> {
    let origin = incident.status.origin.as_ref()?;
    let workload = incident.target.as_ref().ok()?;
    let named = origin.workload.as_ref()?;
    (named.as_str() != workload.name()).then_some((origin, named))
}

/// The incident about the workload at fault that is to be opened, with its name: once, and only while users measurably get
/// errors through this one's.
pub fn to_open(incident: &ValidatedIncident) -> Option<(ResourceName, IncidentSpec)> {
    let status = &incident.status;
    let (origin, named) = elsewhere(incident)?;
    let is_time = matches!(status.phase, Phase::CouncilReview | Phase::AwaitingApproval);
    let mut symptoms = status.symptoms.iter();
    let users_notice = symptoms.any(|symptom| symptom.kind == SymptomKind::HttpErrors);
    // One of a chain opens none: its dependent's did.
    let is_first = incident.incident.spec.source.dependent.is_none();
    if !is_time || !users_notice || !is_first || !origin.own_errors || origin.incident.is_some() {
        return None;
    }
    let spec = &incident.incident.spec;
    let name = hashed(&format!("{} origin {named}", incident.name()));
    let spec = IncidentSpec {
        workload_ref: Some(named.clone()),
        container_name: None,
        alert_type: ALERT.to_owned(),
        severity: spec.severity,
        logs: origin.message.clone(),
        source: Source {
            kind: DETECTOR.to_owned(),
            fingerprint: fingerprint(named.as_str(), SymptomClass::Errors),
            incident_id: name.clone(),
            dependent: incident.name().parse().ok(),
            ..Source::default()
        },
        starts_at: noticed(&incident.incident),
        count: 1,
        approval: None,
        override_: None,
    };
    Some((name.parse().ok()?, spec))
}

/// With what was found, and a line in the timeline where that is news.
pub(super) fn found(
    transition: Transition,
    incident: &ValidatedIncident,
    origin: Option<Origin>,
) -> Transition {
    let before = incident.status.origin.as_ref();
    // What was found and acted on need not show any more: it was that all the same.
    let is_known = before.is_some_and(|before| before.incident.is_some());
    let Some(mut origin) = origin.filter(|origin| origin.workload.is_some() || !is_known) else {
        return match is_known {
            true => transition,
            false => transition.set(Field::Origin(None)),
        };
    };
    let whose = |origin: &Origin| (origin.workload.clone(), origin.blamed.clone());
    let is_news = before.map(whose) != Some(whose(&origin));
    // The incident about it is known on.
    origin.incident = before
        .filter(|before| before.workload == origin.workload)
        .and_then(|before| before.incident.clone());
    let said = match is_news {
        true => transition.log(Stage::EvidenceCollected, origin.words()),
        false => transition,
    };
    said.set(Field::Origin(Some(origin)))
}

/// The incident about the workload at fault was opened, or is open.
pub fn opened(incident: &ValidatedIncident, name: ResourceName, now: Time) -> Transition {
    let origin = incident.status.origin.clone().unwrap_or_default();
    let whose = origin
        .workload
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Transition::new(What::Measured, incident.status.phase, now)
        .log(
            Stage::EvidenceCollected,
            format!("incident {name} is about {whose}, from which the errors come"),
        )
        .set(Field::Origin(Some(Origin {
            incident: Some(name),
            ..origin
        })))
}

#[cfg(test)]
mod tests;
