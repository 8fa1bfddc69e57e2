//! Values that a template takes from elsewhere: what happens with them, and without them.

use std::sync::Arc;

use aegis_api::Workload;
use aegis_docker_fake::Behaviour;
use serde_json::{Value, json};

use super::host::Host;
use super::stops::degraded;

impl Host {
    /// A host whose secrets are in a folder of their own.
    async fn with_secrets(folder: &std::path::Path) -> Self {
        let mut host = Self::new().await;
        let mut settings = (*host.context.settings).clone();
        settings.secrets = folder.to_owned();
        host.context.settings = Arc::new(settings);
        host.reconciler = crate::workload::WorkloadReconciler::new(host.context.clone());
        host.engine.add_image("app:1", Behaviour::default());
        host.engine.add_image("app:2", Behaviour::default());
        host
    }

    fn variables(&self) -> Value {
        let container = self.engine.inspect_now("web-replica-1");
        container
            .map(|found| found.config["Env"].clone())
            .unwrap_or_default()
    }
}

fn spec(image: &str, file: &str) -> Value {
    json!({"replicas": 1, "strategy": {"type": "InPlace"},
        "template": {"image": image, "envValueFrom": {"PASSWORD": {"file": file}}}})
}

#[tokio::test(start_paused = true)]
async fn without_its_secret_no_container_is_made_and_the_condition_names_it_and_with_it_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_secrets(folder.path()).await;
    host.apply(spec("app:1", "db-password")).await;
    let workload = host.settle().await;
    assert_eq!(host.engine.names(), [""; 0]);
    let condition = degraded(&workload);
    for named in [
        "envValueFrom.PASSWORD",
        "db-password",
        "no such file in the secrets folder",
    ] {
        assert!(condition.message.contains(named), "{}", condition.message);
    }
    std::fs::write(folder.path().join("db-password"), "hunter2\n").unwrap();
    let workload = host.settle().await;
    assert_eq!(host.variables(), json!(["PASSWORD=hunter2"]));
    let stored = serde_json::to_string(&workload).unwrap();
    assert!(
        !stored.contains("hunter2") && stored.contains("db-password"),
        "{stored}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_serves_is_not_taken_away_for_a_revision_whose_secret_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db-password"), "hunter2\n").unwrap();
    let host = Host::with_secrets(folder.path()).await;
    host.apply(spec("app:1", "db-password")).await;
    let edit = |workload: &Workload| {
        let mut wanted = workload.spec.clone();
        wanted.template = serde_json::from_value(spec("app:2", "other")["template"].clone()).unwrap();
        Ok(wanted)
    };
    let store = &host.context.store;
    store.edit_spec::<Workload, _>("web", edit).await.unwrap();
    let workload = host.settle().await;
    assert_eq!(host.variables(), json!(["PASSWORD=hunter2"]));
    assert!(degraded(&workload).message.contains("envValueFrom.PASSWORD"));
}
