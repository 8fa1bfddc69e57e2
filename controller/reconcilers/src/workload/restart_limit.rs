//! Opens the incident that requests approval where automatic restarts have ended. Stores, and decides nothing.

use aegis_api::incident::RESTART_LIMIT;
use aegis_planning::workload::restart_limit::{Report, fingerprint};
use aegis_runtime::Store;
use aegis_runtime::store::StoreError;

use crate::own_incident::{self, OwnIncident};

/// Opens the incident, unless it was opened before (and people may have closed it since).
pub(super) async fn open(store: &Store, workload: &str, report: &Report) -> Result<bool, StoreError> {
    let own = OwnIncident {
        name: &report.name,
        workload,
        container: Some(&report.container),
        alert_type: RESTART_LIMIT,
        fingerprint: &fingerprint(workload),
        text: &report.text,
    };
    own_incident::open(store, own).await
}
