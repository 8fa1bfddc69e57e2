//! Which objects the loops reconcile first: critical incidents, and the workloads and load balancers that carry out what is done
//! about them. Reads the store's memory only.

use aegis_api::facets::key;
use aegis_api::precedence::Urgency;
use aegis_api::{Incident, KindInfo, LoadBalancer};
use aegis_planning::urgency::of_incident;
use aegis_runtime::Store;

pub(crate) fn incident(store: &Store, name: &str) -> Urgency {
    store
        .get::<Incident>(name)
        .map_or(Urgency::Ordinary, |incident| of_incident(&incident))
}

pub(crate) fn workload(store: &Store, name: &str) -> Urgency {
    match store.count(KindInfo::of::<Incident>(), &key::critical(name)) {
        0 => Urgency::Ordinary,
        _ => Urgency::Urgent,
    }
}

pub(crate) fn load_balancer(store: &Store, name: &str) -> Urgency {
    let balancer = store.get::<LoadBalancer>(name);
    let mut backends = balancer.iter().flat_map(|balancer| &balancer.spec.backends);
    match backends.any(|backend| workload(store, backend.workload.as_str()) == Urgency::Urgent) {
        true => Urgency::Urgent,
        false => Urgency::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::{Kind as _, Workload, kinds};
    use aegis_docker_fake::FakeEngine;
    use serde_json::json;

    use super::*;
    use crate::context::Settings;

    #[tokio::test]
    async fn a_critical_incident_makes_its_workload_and_what_balances_it_urgent_until_it_ends() {
        let (context, _state) =
            crate::context::tests::over(&FakeEngine::default(), Settings::default()).await;
        let store = &context.store;
        for name in ["web", "db"] {
            let object = json!({"metadata": {"name": name}, "spec": {"container": name}});
            store.create(Workload::info(), object, false).await.unwrap();
            let backends = json!([{"workload": name, "port": 80, "upstream": name}]);
            let spec = json!({"container": format!("nginx-{name}"), "template": "nginx.conf.tera", "backends": backends});
            let object = json!({"metadata": {"name": format!("front-{name}")}, "spec": spec});
            let balancers = kinds::find("LoadBalancer").unwrap();
            store.create(balancers, object, false).await.unwrap();
        }
        for (name, about, severity) in [("grave", "web", "critical"), ("minor", "db", "warning")] {
            let spec = json!({"workloadRef": about, "alertType": "x", "severity": severity});
            let object = json!({"metadata": {"name": name}, "spec": spec});
            store.create(Incident::info(), object, false).await.unwrap();
        }
        let all = || {
            let of = |name: &str| {
                [
                    workload(store, name),
                    load_balancer(store, &format!("front-{name}")),
                ]
            };
            (
                of("web"),
                of("db"),
                incident(store, "grave"),
                incident(store, "minor"),
            )
        };
        let (urgent, ordinary) = (Urgency::Urgent, Urgency::Ordinary);
        assert_eq!(all(), ([urgent; 2], [ordinary; 2], urgent, ordinary));
        let uid = store
            .get::<Incident>("grave")
            .unwrap()
            .metadata
            .uid
            .clone()
            .unwrap();
        let ended = json!({"phase": "RESOLVED", "finishedAt": "2026-01-31T12:00:00Z"});
        let ended = serde_json::from_value(ended).unwrap();
        store.set_status::<Incident>("grave", &uid, ended).await.unwrap();
        assert_eq!(all(), ([ordinary; 2], [ordinary; 2], ordinary, ordinary));
    }
}
