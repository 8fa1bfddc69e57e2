//! Incidents that this controller opens by itself, to request approval. Stores, and decides nothing.

use aegis_api::incident::CONTROLLER;
use aegis_api::{API_VERSION, Incident, KindInfo};
use aegis_runtime::Store;
use aegis_runtime::store::StoreError;
use serde_json::{Value, json};

/// How much of the text is kept, in characters.
const LONGEST: usize = 4096;

/// What such an incident says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnIncident<'a> {
    pub name: &'a str,
    pub workload: &'a str,
    /// The container that it is about, if it is one.
    pub container: Option<&'a str>,
    pub alert_type: &'a str,
    pub fingerprint: &'a str,
    pub text: &'a str,
}

/// Opens it, unless it was opened before (and people may have closed it since). Answers whether it did.
pub(crate) async fn open(store: &Store, own: OwnIncident<'_>) -> Result<bool, StoreError> {
    if store.get::<Incident>(own.name).is_some() {
        return Ok(false);
    }
    match store.create(KindInfo::of::<Incident>(), object(own), false).await {
        Ok(_) => Ok(true),
        Err(StoreError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn object(own: OwnIncident<'_>) -> Value {
    let text: String = own.text.chars().take(LONGEST).collect();
    let mut spec = json!({
        "workloadRef": own.workload,
        "alertType": own.alert_type,
        "severity": "critical",
        "logs": text,
        "source": {"kind": CONTROLLER, "fingerprint": own.fingerprint, "incidentId": own.name},
    });
    if let (Some(container), Some(spec)) = (own.container, spec.as_object_mut()) {
        spec.insert("containerName".to_owned(), container.into());
    }
    json!({"apiVersion": API_VERSION, "kind": "Incident", "metadata": {"name": own.name}, "spec": spec})
}
