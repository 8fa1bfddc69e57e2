//! What makes each kind's loop reconcile an object: changes in the store, the engine's events, probes. Only names pass
//! through here; what a trigger saw is never given to a reconciler. No I/O.

mod incident;

use std::collections::BTreeSet;

use aegis_api::meta::{LABEL_INSTANCE, LABEL_WORKLOAD};
use aegis_api::observed::EngineEvent;
use aegis_api::workload::DependencyStatus;
use aegis_api::{Incident, Kind, LoadBalancer, RunbookEntry, Workload};
use aegis_runtime::controller::Trigger;
use aegis_runtime::predicate;
use aegis_runtime::store::{Store, StoreEvent};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

pub(crate) use incident::{incidents, open_incidents};

use crate::context::Context;
use crate::docker_events::{DockerEvents, Notice};

/// A change in the store, or the news that some were missed.
enum Change {
    Event(Box<StoreEvent>),
    Missed,
}

/// Every change of the store, through lost subscriptions.
fn changes(store: Store) -> impl Stream<Item = Change> + Send + 'static {
    let subscribe = |store: &Store| store.watch(None).ok();
    let first = subscribe(&store);
    stream::unfold((store, first), move |(store, current)| async move {
        match current {
            Some(mut events) => match events.next().await {
                Some(event) => Some((Change::Event(Box::new(event)), (store, Some(events)))),
                None => {
                    let next = subscribe(&store);
                    Some((Change::Missed, (store, next)))
                }
            },
            None => None,
        }
    })
}

/// Turns changes into triggers: `names` answers who is affected, `all` who is when changes were missed.
fn from_store(
    context: &Context,
    names: impl Fn(&Store, &StoreEvent) -> Vec<String> + Send + 'static,
    all: fn(&Store) -> Vec<String>,
) -> BoxStream<'static, Trigger> {
    let store = context.store.clone();
    changes(store.clone())
        .flat_map(move |change| {
            let names = match &change {
                Change::Event(event) => names(&store, event),
                Change::Missed => all(&store),
            };
            stream::iter(names)
        })
        .map(|name| Trigger { name, why: "store" })
        .boxed()
}

/// Turns the engine's events into triggers: `names` answers who is affected by one, `all` who is by a rescan.
fn from_engine(
    context: &Context,
    events: &DockerEvents,
    names: impl Fn(&Store, &EngineEvent) -> Vec<String> + Send + 'static,
    all: impl Fn(&Store) -> Vec<String> + Send + 'static,
) -> BoxStream<'static, Trigger> {
    let store = context.store.clone();
    events
        .subscribe()
        .flat_map(move |notice| {
            let names = match &notice {
                Notice::Event(event) if is_change(&event.action) => names(&store, event),
                Notice::Event(_) => Vec::new(),
                Notice::Rescan => all(&store),
            };
            stream::iter(names)
        })
        .map(|name| Trigger { name, why: "docker" })
        .boxed()
}

/// Whether an event can change what is observed; commands run inside a container cannot.
fn is_change(action: &str) -> bool {
    !(action.starts_with("exec_")
        || matches!(
            action,
            "top" | "attach" | "export" | "archive-path" | "extract-to-dir"
        ))
}

/// Everything that a pause held or a resume continues is reconciled.
fn from_brake(context: &Context, names: fn(&Store) -> Vec<String>) -> BoxStream<'static, Trigger> {
    let store = context.store.clone();
    let changes = context.store.automation().changes();
    changes
        .flat_map(move |()| stream::iter(names(&store)))
        .map(|name| Trigger {
            name,
            why: "automation",
        })
        .boxed()
}

/// Names of all objects of a kind.
pub(crate) fn all<K: Kind>(store: &Store) -> Vec<String> {
    store
        .list::<K>()
        .iter()
        .map(|object| object.name().to_owned())
        .collect()
}

fn is_kind<K: Kind>(event: &StoreEvent) -> bool {
    event.object.info.plural == K::PLURAL
}

/// Whether people changed the desired state, or what they attach to it.
fn is_asked(event: &StoreEvent) -> bool {
    let old = event.old.as_deref();
    predicate::generation_changed(old, &event.object) || predicate::metadata_changed(old, &event.object)
}

/// A notification each time the lines between containers may have changed: a Workload or LoadBalancer did.
pub fn topology(context: &Context) -> BoxStream<'static, ()> {
    changes(context.store.clone())
        .filter(|change| {
            let touches = match change {
                Change::Event(event) => is_kind::<Workload>(event) || is_kind::<LoadBalancer>(event),
                Change::Missed => true,
            };
            std::future::ready(touches)
        })
        .map(|_| ())
        .boxed()
}

/// Triggers of the Workload loop.
pub(crate) fn workloads(context: &Context, events: &DockerEvents) -> Vec<BoxStream<'static, Trigger>> {
    let store = from_store(context, changed_for, all::<Workload>);
    let engine = from_engine(context, events, happened_to, all::<Workload>);
    let probes = context
        .prober
        .changes()
        .map(|name| Trigger { name, why: "probe" })
        .boxed();
    vec![store, engine, probes, from_brake(context, all::<Workload>)]
}

/// The Workloads that a change in the store is something to.
fn changed_for(store: &Store, event: &StoreEvent) -> Vec<String> {
    if is_kind::<Workload>(event) && is_asked(event) {
        return vec![event.object.name().to_owned()];
    }
    if is_kind::<Workload>(event) {
        return dependants(store, |need| {
            need.workload.as_deref() == Some(event.object.name())
        });
    }
    let balancers = [Some(&event.object), event.old.as_ref()].into_iter().flatten();
    let balancers: Vec<_> = balancers
        .filter_map(|object| object.typed::<LoadBalancer>())
        .collect();
    let drains = |lb: &LoadBalancer| {
        lb.status
            .as_ref()
            .is_some_and(|status| !status.draining.is_empty())
    };
    if balancers.iter().any(|lb| drains(lb)) {
        // What drains may belong to a workload that no backend names any more.
        return all::<Workload>(store);
    }
    let served = balancers.iter().filter_map(|lb| lb.status.as_ref());
    let served = served.flat_map(|status| &status.servers);
    let mut names: BTreeSet<String> = served.map(|server| server.workload.clone()).collect();
    names.extend(balancers.iter().flat_map(|lb| backends(lb)));
    names.into_iter().collect()
}

/// The Workloads that an event of the engine is something to.
fn happened_to(store: &Store, event: &EngineEvent) -> Vec<String> {
    // Another controller on this host labels its replicas, too: those are none of ours.
    let instance = event.attributes.get(LABEL_INSTANCE).map(String::as_str);
    let labelled = event.attributes.get(LABEL_WORKLOAD).cloned();
    let labelled = labelled.filter(|_| instance == Some(store.instance_id()));
    let all = store.list::<Workload>();
    let named = [
        Some(event.name.as_str()),
        event
            .attributes
            .get("oldName")
            .map(|name| name.trim_start_matches('/')),
    ];
    let adopting = all.iter().filter(|workload| {
        let container = workload.spec.container.as_ref().map(|name| name.as_str());
        container.is_some() && named.contains(&container)
    });
    let dependants = dependants(store, |need| {
        need.name == event.name || need.containers.contains(&event.name)
    });
    // A network's events name containers by id alone.
    let listing = all.iter().filter(|workload| {
        let mut rows = workload.status.iter().flat_map(|status| &status.instances);
        event.name.is_empty() && rows.any(|row| row.id == event.id)
    });
    adopting
        .chain(listing)
        .map(|workload| workload.name().to_owned())
        .chain(labelled)
        .chain(dependants)
        .collect()
}

/// Workloads that need something of which this holds.
fn dependants(store: &Store, holds: impl Fn(&DependencyStatus) -> bool) -> Vec<String> {
    let workloads = store.list::<Workload>();
    let needing = workloads.iter().filter(|workload| {
        let mut needs = workload.status.iter().flat_map(|status| &status.dependencies);
        needs.any(&holds)
    });
    needing.map(|workload| workload.name().to_owned()).collect()
}

fn backends(balancer: &LoadBalancer) -> BTreeSet<String> {
    balancer
        .spec
        .backends
        .iter()
        .map(|backend| backend.workload.to_string())
        .collect()
}

/// Triggers of the LoadBalancer loop.
pub(crate) fn load_balancers(context: &Context, events: &DockerEvents) -> Vec<BoxStream<'static, Trigger>> {
    let store = from_store(
        context,
        |store, event| {
            if is_kind::<LoadBalancer>(event) {
                return if is_asked(event) {
                    vec![event.object.name().to_owned()]
                } else {
                    Vec::new()
                };
            }
            if !is_kind::<Workload>(event) {
                return Vec::new();
            }
            let balancers = store.list::<LoadBalancer>();
            // nginx may still serve a workload whose backend was taken out of the spec.
            let serves = |lb: &LoadBalancer| {
                let servers = lb.status.iter().flat_map(|status| &status.servers);
                servers
                    .into_iter()
                    .any(|server| server.workload == event.object.name())
            };
            let naming = balancers
                .iter()
                .filter(|lb| backends(lb).contains(event.object.name()) || serves(lb));
            naming.map(|lb| lb.name().to_owned()).collect()
        },
        all::<LoadBalancer>,
    );
    let (known, all_known) = (context.endpoints.clone(), context.endpoints.clone());
    let engine = from_engine(
        context,
        events,
        move |store, event| {
            // What is known of it is forgotten before any loop is triggered: a server whose container ended or moved must
            // not wait until its Workload is reconciled, too.
            let changed = known.changed(&event.id);
            let serves = |lb: &LoadBalancer| {
                let mut servers = lb.status.iter().flat_map(|status| &status.servers);
                servers.any(|server| changed.contains(&server.id))
            };
            let balancers = store.list::<LoadBalancer>();
            balancers
                .iter()
                .filter(|lb| lb.spec.container.as_str() == event.name || serves(lb))
                .map(|lb| lb.name().to_owned())
                .collect()
        },
        move |store| {
            all_known.all_changed();
            all::<LoadBalancer>(store)
        },
    );
    vec![store, engine]
}

/// Triggers of a loop that reconciles an object only when people change it.
pub(crate) fn own<K: Kind>(context: &Context) -> Vec<BoxStream<'static, Trigger>> {
    let names = |_: &Store, event: &StoreEvent| {
        if is_kind::<K>(event) && is_asked(event) {
            vec![event.object.name().to_owned()]
        } else {
            Vec::new()
        }
    };
    vec![from_store(context, names, all::<K>)]
}

/// Triggers of the RunbookEntry loop: an entry's own changes, and incidents that end.
pub(crate) fn runbook(context: &Context) -> Vec<BoxStream<'static, Trigger>> {
    let ended = from_store(
        context,
        |_, event| {
            let incident = event
                .object
                .typed::<Incident>()
                .filter(|incident| incident.is_finished());
            let status = incident
                .and_then(|incident| incident.status.clone())
                .unwrap_or_default();
            status.retrieved.into_iter().map(|hit| hit.entry).collect()
        },
        all::<RunbookEntry>,
    );
    let mut triggers = own::<RunbookEntry>(context);
    triggers.push(ended);
    triggers
}
