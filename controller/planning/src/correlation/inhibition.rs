//! Inhibition: while what a workload depends on is sick, alerts about the workload, and what detectors measure of it that
//! may follow from that, are listed on the incident about the root, and open none. Pure.
//!
//! What a sender reports is text, and any open incident about the root inhibits it. What is measured would be remedied: it
//! is inhibited only where the root does not serve, and only trouble that this may bring about.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::incident::Severity;
use aegis_api::symptom::SymptomClass;
use aegis_api::{Duration, Incident, Kind as _, LoadBalancer, Time, Workload};

use crate::covering::covering;
use crate::detection::episode::{DETECTOR, fingerprint};

/// How long an alert may be inhibited.
pub const LONGEST: Duration = Duration::from_secs(300);
/// How long the traces of a root that serves again are in what is measured of its dependents: probes.
const LINGERS: Duration = Duration::from_secs(30);
/// The same of requests and logs, which are counted over a minute.
const COUNTED_LINGERS: Duration = Duration::from_secs(65);

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
    // What it can do without explains nothing.
    let is_optional = |name: &str| {
        let mut optional = workload.iter().flat_map(|it| &it.spec.optional_dependencies);
        optional.any(|optional| optional.as_str() == name)
    };
    let status = status.flat_map(|status| &status.dependencies);
    let status = status.filter(|dependency| !is_optional(&dependency.name));
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
    !root.is_finished() && is_young(root, now) && root.spec.source.resolved_at.is_none()
}

fn is_young(root: &Incident, now: Time) -> bool {
    let opened = root.metadata.creation_timestamp.as_ref();
    // Ahead of now by more than that it opened before the clock was set back.
    opened.is_some_and(|at| now.apart(Time(at.0)) <= LONGEST.std())
}

/// Whether trouble of this class may follow from a dependency that does not serve: that a workload fails its probe, answers
/// errors or answers late, or that its log says so. What it uses of memory, CPU and processes is its own, and so is that it is connected to no network.
pub fn may_follow(class: SymptomClass) -> bool {
    match class {
        SymptomClass::Availability | SymptomClass::Errors | SymptomClass::Latency | SymptomClass::Rule => {
            true
        }
        SymptomClass::Memory
        | SymptomClass::Cpu
        | SymptomClass::Processes
        | SymptomClass::Network
        | SymptomClass::External => false,
    }
}

/// Whether trouble of this class, which was measured of a dependent, is taken to follow from what this incident is about:
/// `root` does not serve, or serves again only since a moment ago; and no longer than [`LONGEST`] after it opened.
pub fn inhibits_measured(incident: &Incident, root: &Workload, class: SymptomClass, now: Time) -> bool {
    let lingers = match class.episode() {
        SymptomClass::Availability => LINGERS,
        _ => COUNTED_LINGERS,
    };
    let ended = incident.status.as_ref().and_then(|status| status.finished_at);
    let over = ended.into_iter().chain(serves_since(root)).min();
    let is_outlived = over.is_some_and(|over| over.apart(now) >= lingers.std());
    may_follow(class) && is_of_availability(incident, root) && is_young(incident, now) && !is_outlived
}

/// Since when a workload serves; `None` while it does not. One replica of several is enough.
fn serves_since(workload: &Workload) -> Option<Time> {
    let status = workload
        .status
        .as_ref()
        .filter(|status| status.ready_replicas > 0)?;
    let ready = status.instances.iter().filter_map(|row| row.ready_since);
    ready.min()
}

/// Whether an incident is about a workload that does not serve, as a detector or its own evidence has it.
fn is_of_availability(incident: &Incident, workload: &Workload) -> bool {
    let availability = SymptomClass::Availability;
    let source = &incident.spec.source;
    let by_detector =
        source.kind == DETECTOR && source.fingerprint == fingerprint(workload.name(), availability);
    let mut symptoms = incident.status.iter().flat_map(|status| &status.symptoms);
    by_detector || symptoms.any(|symptom| symptom.kind.class() == availability)
}

#[cfg(test)]
mod tests {
    use aegis_api::symptom::SymptomKind;
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
        assert!(
            !inhibits(&open, at("09:00:00")),
            "the clock was set back by an hour"
        );
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

    /// A root with an incident that opened at 10:00, and when it became ready, if it did.
    fn root(source: &Value, status: &Value, ready_since: Option<&str>) -> (Incident, Workload) {
        let incident = json!({"metadata": {"name": "i", "creationTimestamp": "2026-11-29T10:00:00Z"},
            "spec": {"workloadRef": "db", "alertType": "x", "source": source}, "status": status});
        let rows: Vec<Value> = ready_since
            .iter()
            .map(|at| json!({"name": "db", "id": "d", "index": 0, "state": "running", "health": "Healthy", "revision": "r", "readySince": at}))
            .collect();
        let workload = json!({"metadata": {"name": "db"}, "spec": {"container": "db"},
            "status": {"readyReplicas": rows.len(), "instances": rows}});
        (
            serde_json::from_value(incident).unwrap(),
            serde_json::from_value(workload).unwrap(),
        )
    }

    fn at(text: &str) -> Time {
        format!("2026-11-29T{text}Z").parse().unwrap()
    }

    #[test]
    fn what_is_measured_is_inhibited_by_a_root_that_does_not_serve_and_by_no_other_incident() {
        let inhibits = |source: &Value, status: &Value, class| {
            let (incident, workload) = root(source, status, None);
            inhibits_measured(&incident, &workload, class, at("10:01:00"))
        };
        let down = json!({"kind": "detector", "fingerprint": "detector/db/availability"});
        for kind in SymptomKind::ALL {
            let follows = matches!(
                kind.class(),
                SymptomClass::Availability
                    | SymptomClass::Errors
                    | SymptomClass::Latency
                    | SymptomClass::Rule
            );
            assert_eq!(inhibits(&down, &Value::Null, kind.class()), follows, "{kind:?}");
            let measured =
                json!({"phase": "ANALYSING", "timeline": [], "symptoms": [{"kind": kind, "message": "m"}]});
            assert_eq!(
                inhibits(&json!({"kind": "webhook"}), &measured, SymptomClass::Errors),
                kind.class() == SymptomClass::Availability,
                "{kind:?}"
            );
        }
        let memory = json!({"kind": "detector", "fingerprint": "detector/db/memory"});
        assert!(!inhibits(&memory, &Value::Null, SymptomClass::Errors));
        assert!(!inhibits(
            &json!({"kind": "webhook"}),
            &Value::Null,
            SymptomClass::Errors
        ));
    }

    #[test]
    fn what_is_measured_is_inhibited_until_the_root_has_served_for_a_moment_and_for_five_minutes_at_most() {
        let down = json!({"kind": "detector", "fingerprint": "detector/db/availability"});
        let ended = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": "2026-11-29T10:01:00Z"});
        for (status, ready, class, now, inhibited) in [
            (&Value::Null, None, SymptomClass::Availability, "10:05:00", true),
            (&Value::Null, None, SymptomClass::Availability, "10:05:01", false),
            (
                &Value::Null,
                Some("2026-11-29T10:01:00Z"),
                SymptomClass::Availability,
                "10:01:29",
                true,
            ),
            (
                &Value::Null,
                Some("2026-11-29T10:01:00Z"),
                SymptomClass::Availability,
                "10:01:30",
                false,
            ),
            (
                &Value::Null,
                Some("2026-11-29T10:01:00Z"),
                SymptomClass::Errors,
                "10:02:04",
                true,
            ),
            (
                &Value::Null,
                Some("2026-11-29T10:01:00Z"),
                SymptomClass::Latency,
                "10:02:05",
                false,
            ),
            (
                &Value::Null,
                Some("2026-11-29T08:00:00Z"),
                SymptomClass::Availability,
                "10:00:01",
                false,
            ),
            (&ended, None, SymptomClass::Availability, "10:01:29", true),
            (&ended, None, SymptomClass::Availability, "10:01:30", false),
        ] {
            let (incident, workload) = root(&down, status, ready);
            assert_eq!(
                inhibits_measured(&incident, &workload, class, at(now)),
                inhibited,
                "{status} {ready:?} {class:?} {now}"
            );
        }
    }

    #[test]
    fn what_a_workload_can_do_without_is_no_root_of_its_trouble() {
        let mut web = Arc::unwrap_or_clone(workload("web", &[], &["cache", "db"]));
        web.spec.optional_dependencies = vec!["cache".parse().unwrap()];
        let all = [
            Arc::new(web),
            workload("cache", &[], &[]),
            workload("db", &[], &[]),
        ];
        assert_eq!(roots(&all, &[], "web"), ["db"]);
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
