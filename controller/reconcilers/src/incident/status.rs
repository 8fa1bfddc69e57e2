//! The only writer of an Incident's status: what the planner says of a pass is made durable in one write, and Events report it.

use aegis_api::IncidentStatus;
use aegis_api::incident::Stage;
use aegis_planning::incident::transition::{Transition, applied};
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::events::{EventType, ObjectRef};

use super::Error;
use crate::context::Context;
use crate::fault;

/// Stores what follows; without a transition, that the incident was observed.
pub(super) async fn write(
    context: &Context,
    incident: &ValidatedIncident,
    transition: Option<Transition>,
) -> Result<(), Error> {
    let status = applied(incident, transition);
    announce(context, incident, &status);
    if Some(&status) == incident.incident.status.as_ref() {
        return Ok(());
    }
    let phase = status.phase.as_str();
    fault::point(&format!("incident/before/{phase}"));
    context
        .write_status(&*incident.incident, status)
        .await
        .map_err(|source| Error::Store {
            incident: incident.name().to_owned(),
            source,
        })?;
    fault::point(&format!("incident/after/{phase}"));
    Ok(())
}

/// Records new timeline entries as Events, so that `describe` shows them too.
fn announce(context: &Context, incident: &ValidatedIncident, status: &IncidentStatus) {
    let about = ObjectRef::of(&*incident.incident);
    for entry in status.timeline.iter().skip(incident.status.timeline.len()) {
        let kind = if matches!(entry.status, Stage::Failed | Stage::Fallback) {
            EventType::Warning
        } else {
            EventType::Normal
        };
        context
            .events
            .record(&about, kind, entry.status.as_str(), entry.message.clone());
    }
}
