//! One remediation per workload at a time, also among reconciles that run side by side. What is durable decides
//! (phases in the store); this closes the gap between reading them and writing one's own. No I/O.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aegis_api::Kind as _;
use aegis_planning::incident::validate::ValidatedIncident;

/// Which incident may work on which workload. Empty after a restart: the phases in the store fill it again.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<String, String>>);

impl Leases {
    /// Takes the workload for the incident, or answers who has it. A holder that is over holds nothing.
    pub(super) fn claim(
        &self,
        workload: &str,
        incident: &str,
        is_over: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get(workload) {
            Some(holder) if holder != incident && !is_over(holder) => Err(holder.clone()),
            _ => {
                held.insert(workload.to_owned(), incident.to_owned());
                Ok(())
            }
        }
    }

    /// Takes the workload of an incident for it, unless the store says already that another works on it; the one that has it
    /// becomes the active incident that it waits for.
    pub(super) fn claim_for(&self, incident: &mut ValidatedIncident, is_over: impl Fn(&str) -> bool) {
        let Ok(workload) = &incident.target else { return };
        if incident.active_incident.is_none() {
            incident.active_incident = self.claim(workload.name(), incident.name(), is_over).err();
        }
    }

    /// Lets go of whatever the incident holds.
    pub(super) fn release(&self, incident: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, holder| holder != incident);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_one_incident_has_a_workload_until_it_is_over_or_releases_its_lease() {
        let leases = Leases::default();
        let open = |_: &str| false;
        assert_eq!(leases.claim("web", "a", open), Ok(()));
        assert_eq!(leases.claim("web", "a", open), Ok(()));
        assert_eq!(leases.claim("web", "b", open), Err("a".to_owned()));
        assert_eq!(leases.claim("db", "b", open), Ok(()));
        assert_eq!(leases.claim("web", "b", |holder| holder == "a"), Ok(()));
        leases.release("b");
        assert_eq!(leases.claim("web", "c", open), Ok(()));
    }
}
