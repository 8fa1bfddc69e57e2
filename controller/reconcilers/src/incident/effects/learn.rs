//! Writes into the runbook what an incident teaches. Counting one incident twice changes nothing, so a crash in between
//! does no harm.

use aegis_api::RunbookEntry;
use aegis_api::audit::Actor;
use aegis_api::runbook::Outcome;
use aegis_planning::incident::lesson;
use aegis_planning::incident::next::Settlement;
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::store::{Store, StoreError};

use super::super::Error;
use crate::context::Context;

/// Records a verified resolution as provisional and answers the entry's name.
pub(super) async fn cleared(
    context: &Context,
    incident: &ValidatedIncident,
) -> Result<Option<String>, Error> {
    let Some(cleared) = lesson::cleared(incident) else {
        if let Some(entry) = lesson::inconclusive(incident) {
            count(context, incident, entry, Outcome::Inconclusive, None).await?;
        }
        return Ok(None);
    };
    if let Some(entry) = cleared.entry(incident)
        && count(
            context,
            incident,
            entry,
            Outcome::Provisional,
            Some(&cleared.symptom),
        )
        .await?
    {
        return Ok(Some(entry.to_owned()));
    }
    let name = entry_name(incident.name());
    let entry = cleared.lesson(incident);
    match store(context, incident).add::<RunbookEntry>(&name, &entry).await {
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(Some(name)),
        Err(source) => Err(not_applied(incident, source)),
    }
}

/// What was provisional counts: the symptom stayed away, or came back.
pub(super) async fn settle(
    context: &Context,
    incident: &ValidatedIncident,
    settlement: &Settlement,
) -> Result<(), Error> {
    let outcome = match settlement {
        Settlement::Relapsed(_) => Outcome::Relapse,
        Settlement::Lasted => Outcome::Success,
        Settlement::Unclear => Outcome::Inconclusive,
    };
    if let Some(entry) = &incident.status.learned {
        count(context, incident, entry, outcome, None).await?;
    }
    Ok(())
}

/// Lowers the trust in the entry whose fix was tried and did not help.
pub(super) async fn failure(context: &Context, incident: &ValidatedIncident) -> Result<(), Error> {
    if let Some(entry) = lesson::disproved(incident) {
        count(context, incident, entry, Outcome::Failure, None).await?;
    }
    Ok(())
}

/// A name of its own for each incident's entry, within the bound of names.
pub(crate) fn entry_name(incident: &str) -> String {
    let mut name = format!("rb-{incident}");
    name.truncate(120);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Counts this incident's outcome on an entry, once, with the symptom that was cleared. False if the entry is gone.
async fn count(
    context: &Context,
    incident: &ValidatedIncident,
    entry: &str,
    outcome: Outcome,
    cleared: Option<&str>,
) -> Result<bool, Error> {
    let id = incident.name().to_owned();
    let cleared = cleared.map(str::to_owned);
    let edit = move |entry: &RunbookEntry| {
        let mut spec = entry.spec.clone();
        spec.outcomes.count(&id, outcome);
        if let Some(symptom) = &cleared {
            spec.symptom.clone_from(symptom);
        }
        if outcome == Outcome::Success {
            spec.unproven = None;
        }
        Ok(spec)
    };
    let store = store(context, incident);
    match store.edit_spec::<RunbookEntry, _>(entry, edit).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(source) => Err(not_applied(incident, source)),
    }
}

/// The store, to which the incident is who acts.
fn store(context: &Context, incident: &ValidatedIncident) -> Store {
    context.store.acting(Actor::incident(incident.name()))
}

fn not_applied(incident: &ValidatedIncident, source: StoreError) -> Error {
    Error::Apply {
        incident: incident.name().to_owned(),
        source,
    }
}
