//! Inhibition: while what a workload depends on is sick, alerts about the workload are listed on the incident about the
//! root, and open none. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::incident::Severity;
use aegis_api::{Duration, Incident, Kind as _, LoadBalancer, Time, Workload};

use crate::covering::covering;

/// How long an alert may be inhibited.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Every workload that this one depends on, directly or not: what its spec names, what Compose wrote on its container, as
/// its status lists it, and the load balancer in front of it, unless that in turn depends on the workload. Itself never, so
/// that two that need each other inhibit nothing.
pub fn roots(workloads: &[Arc<Workload>], balancers: &[Arc<LoadBalancer>], of: &str) -> Vec<String> {
    let own = reach(workloads, of);
    let declared = own
        .into_iter()
        .filter(|root| root != of && !reach(workloads, root).contains(of));
    let mut roots: BTreeSet<String> = declared.collect();
    for balancer in balancers {
        let mut backends = balancer.spec.backends.iter();
        let proxy = covering(workloads, balancer.spec.container.as_str()).map(|workload| workload.name());
        if let Some(proxy) = proxy
            && proxy != of
            && backends.any(|backend| backend.workload.as_str() == of)
            && !reach(workloads, proxy).contains(of)
        {
            roots.insert(proxy.to_owned());
        }
    }
    roots.into_iter().collect()
}

/// What a workload needs, directly or not, by what is declared.
fn reach(workloads: &[Arc<Workload>], from: &str) -> BTreeSet<String> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut open = needed(workloads, from);
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            open.extend(needed(workloads, &name));
        }
    }
    seen
}

fn needed(workloads: &[Arc<Workload>], name: &str) -> Vec<String> {
    let workload = workloads.iter().find(|workload| workload.name() == name);
    let spec = workload.iter().flat_map(|workload| &workload.spec.depends_on);
    let spec = spec.filter_map(|name| covering(workloads, name.as_str()));
    let status = workload.iter().flat_map(|workload| &workload.status);
    let status = status.flat_map(|status| &status.dependencies);
    spec.map(|workload| workload.name())
        .chain(status.filter_map(|dependency| dependency.workload.as_deref()))
        .map(str::to_owned)
        .collect()
}

/// Whether an incident is about the host as a whole and as grave as incidents get: everything on it depends on that.
pub fn is_of_the_host(incident: &Incident) -> bool {
    let spec = &incident.spec;
    incident.workload().is_none() && spec.container_name.is_none() && spec.severity == Severity::Critical
}

/// Whether an incident about a root inhibits alerts about what depends on it: while it is open, and no longer than
/// [`LONGEST`] after it opened. One whose sender says that it is over inhibits nothing.
pub fn inhibits(root: &Incident, now: Time) -> bool {
    let opened = root.metadata.creation_timestamp.as_ref().map(|at| at.0);
    let young = opened.is_some_and(|at| now.0.duration_since(at) <= LONGEST.signed());
    !root.is_finished() && young && root.spec.source.resolved_at.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn workload(name: &str, needs: &[&str], listed: &[&str]) -> Arc<Workload> {
        let listed: Vec<Value> = listed
            .iter()
            .map(|name| json!({"name": name, "workload": name, "containers": []}))
            .collect();
        let status = if listed.is_empty() {
            Value::Null
        } else {
            json!({"dependencies": listed})
        };
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name},
                "spec": {"container": name, "dependsOn": needs}, "status": status}))
            .unwrap(),
        )
    }

    #[test]
    fn roots_are_found_through_specs_and_composes_dependencies_and_circles_have_none() {
        let all = [
            workload("web", &["api"], &[]),
            workload("api", &[], &["db"]),
            workload("db", &[], &[]),
            workload("a", &["b"], &[]),
            workload("b", &["a"], &[]),
        ];
        assert_eq!(roots(&all, &[], "web"), ["api", "db"]);
        assert_eq!(roots(&all, &[], "api"), ["db"]);
        assert!(
            roots(&all, &[], "db").is_empty()
                && roots(&all, &[], "a").is_empty()
                && roots(&all, &[], "none").is_empty()
        );
    }

    #[test]
    fn a_root_inhibits_while_it_is_open_for_five_minutes_and_while_its_sender_does_not_say_that_it_is_over() {
        let root = |source: Value, status: Value| -> Incident {
            serde_json::from_value(
                json!({"metadata": {"name": "i", "creationTimestamp": "2026-11-29T10:00:00Z"},
                "spec": {"workloadRef": "db", "alertType": "x", "source": source}, "status": status}),
            )
            .unwrap()
        };
        let at = |text: &str| -> Time { format!("2026-11-29T{text}Z").parse().unwrap() };
        let open = root(json!({}), Value::Null);
        assert!(inhibits(&open, at("10:05:00")) && !inhibits(&open, at("10:05:01")));
        let over = root(json!({"resolvedAt": "2026-11-29T10:01:00Z"}), Value::Null);
        assert!(!inhibits(&over, at("10:02:00")));
        let ended = root(
            json!({}),
            json!({"phase": "RESOLVED", "timeline": [], "finishedAt": "2026-11-29T10:01:00Z"}),
        );
        assert!(!inhibits(&ended, at("10:02:00")));
    }

    #[test]
    fn a_load_balancer_is_the_root_of_its_backends_unless_it_declares_to_depend_on_them() {
        let balancer: LoadBalancer =
            serde_json::from_value(json!({"metadata": {"name": "lb"}, "spec": {"container": "nginx",
            "backends": [{"workload": "web", "port": 80, "upstream": "web"}]}}))
            .unwrap();
        let balancers = [Arc::new(balancer)];
        let apart = [
            workload("web", &[], &[]),
            workload("db", &[], &[]),
            workload("nginx", &[], &[]),
        ];
        assert_eq!(roots(&apart, &balancers, "web"), ["nginx"]);
        assert!(roots(&apart, &balancers, "db").is_empty() && roots(&apart, &balancers, "nginx").is_empty());
        let declared = [workload("web", &[], &[]), workload("nginx", &["web"], &[])];
        assert!(
            roots(&declared, &balancers, "web").is_empty(),
            "its sickness follows from theirs"
        );
        assert_eq!(roots(&declared, &balancers, "nginx"), ["web"]);
    }

    #[test]
    fn only_what_is_critical_about_the_host_is_the_root_of_everything() {
        let incident = |spec: Value| -> Incident {
            serde_json::from_value(json!({"metadata": {"name": "i"}, "spec": spec})).unwrap()
        };
        let source = json!({"kind": "detector"});
        assert!(is_of_the_host(&incident(
            json!({"alertType": "DISK", "severity": "critical", "source": source})
        )));
        assert!(!is_of_the_host(&incident(
            json!({"alertType": "DISK", "severity": "warning", "source": source})
        )));
        assert!(!is_of_the_host(&incident(
            json!({"alertType": "X", "severity": "critical", "containerName": "web"})
        )));
    }
}
