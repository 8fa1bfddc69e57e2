//! Where an incident's errors come from: reads what the workload and all that it depends on show, and opens the incident about
//! the one at fault. Who that is, is planned (`aegis_planning::incident::origin`). Text of logs is read, counted and forgotten,
//! but for one line, redacted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::facets::key;
use aegis_api::incident::{IncidentSpec, Origin};
use aegis_api::observed::{COMPOSE_SERVICE, ContainerDetails, ContainerState};
use aegis_api::scalar::ResourceName;
use aegis_api::signals::{bounds, used_percent};
use aegis_api::symptom::SymptomClass;
use aegis_api::workload::Health;
use aegis_api::{ContainerId, Incident, Kind, LoadBalancer, Symptom, Time, Workload};
use aegis_brain::reports_error;
use aegis_docker::{Engine, ListFilter, LogQuery};
use aegis_planning::correlation::inhibition::roots;
use aegis_planning::detection::episode::is_joined;
use aegis_planning::incident::origin::log::{Names, Reader, Said, Spans};
use aegis_planning::incident::origin::{Candidate, began, find, matters};
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_planning::set_back;
use aegis_runtime::store::StoreError;
use futures::StreamExt;
use futures::future::join_all;

use super::super::Error;
use crate::context::Context;
use crate::inspect::undated;

/// Lines that are read of a log, from its end.
const MOST_LINES: u32 = 10_000;
/// How long a log may take.
const WITHIN: Duration = Duration::from_secs(3);
/// How far before trouble began a log is compared with.
const BEFORE: aegis_api::Duration = aegis_api::Duration::from_secs(600);
/// Containers whose names are known; those of candidates come first.
const MOST_KNOWN: usize = 100;
/// Containers whose logs are read.
const MOST_READ: usize = 24;
/// How long a revision is new.
const NEW: Duration = Duration::from_secs(30 * 60);

/// Where the errors come from; `None` where errors or slow answers are not all that is measured.
pub(super) async fn origin(
    context: &Context,
    incident: &ValidatedIncident,
    workload: &Workload,
    symptoms: &[Symptom],
) -> Option<Origin> {
    let kinds: Vec<_> = symptoms.iter().map(|symptom| symptom.kind).collect();
    if !matters(incident, kinds.iter().copied()) {
        return None;
    }
    // While the incident about it is open, that one reads.
    let is_open = |about: &Arc<Incident>| !about.is_finished();
    if incident.origin_incident.as_ref().is_some_and(is_open) {
        return incident.status.origin.clone();
    }
    let known = Known::read(context, workload).await;
    let began = began(&incident.incident)?;
    let set_at = context.clock.set_at();
    let began = set_back::time(began, set_at, incident.now);
    let candidates = join_all(
        known
            .candidates
            .iter()
            .map(|one| one.look(context, &known, began)),
    );
    let candidates = candidates.await;
    Some(find(workload.name(), &candidates, &kinds))
}

/// One that is looked at.
#[derive(Debug)]
struct Looked {
    name: String,
    workload: Option<Arc<Workload>>,
    needs: BTreeSet<String>,
    containers: Vec<Arc<ContainerDetails>>,
    /// Why its containers are not all known.
    gap: Option<String>,
    is_first: bool,
}

/// What may be at fault, before its containers are inspected.
#[derive(Debug)]
struct Needed {
    name: String,
    workload: Option<Arc<Workload>>,
    /// Ids of a workload's containers.
    ids: Vec<ContainerId>,
    /// Names of containers that are no workload's.
    containers: Vec<String>,
}

impl Needed {
    fn has(&self, id: &ContainerId, name: &String) -> bool {
        self.ids.contains(id) || self.containers.contains(name)
    }
}

/// Containers of the host, by whom they belong to.
#[derive(Debug, Default)]
struct Known {
    candidates: Vec<Looked>,
    /// What each container is called, and whose it is: a candidate's or workload's name, where it is one's.
    called: Vec<(BTreeSet<String>, Option<String>)>,
    /// Who calls each workload, directly or not, by what is declared; and load balancers in front of those.
    callers: BTreeMap<String, BTreeSet<String>>,
}

/// What a workload needs that is none: names, each with its containers.
fn others_needed(workload: &Workload) -> impl Iterator<Item = (&str, &[String])> {
    let rows = workload.status.iter().flat_map(|status| &status.dependencies);
    let optional = &workload.spec.optional_dependencies;
    let rows = rows.filter(|row| {
        let mut optional = optional.iter();
        row.workload.is_none() && !row.completes && !optional.any(|name| name.as_str() == row.name)
    });
    rows.map(|row| (row.name.as_str(), row.containers.as_slice()))
}

impl Known {
    async fn read(context: &Context, first: &Workload) -> Self {
        let workloads = context.store.list::<Workload>();
        let balancers = context.store.list::<LoadBalancer>();
        let by_name = |name: &str| workloads.iter().find(|one| one.name() == name).cloned();
        let needs = |name: &str| -> BTreeSet<String> {
            let below = roots(&workloads, &[], name);
            let all = below.iter().map(String::as_str).chain([name]).filter_map(by_name);
            let others = all.flat_map(|one| {
                others_needed(&one)
                    .map(|(name, _)| name.to_owned())
                    .collect::<Vec<_>>()
            });
            let others: Vec<String> = others.collect();
            below.into_iter().chain(others).collect()
        };
        let needed = workloads.iter().map(|one| (one.name(), needs(one.name())));
        let needed: BTreeMap<&str, BTreeSet<String>> = needed.collect();
        let mut known = Self::default();
        for one in &workloads {
            let callers = needed.iter().filter(|(_, needs)| needs.contains(one.name()));
            let mut callers: BTreeSet<String> = callers.map(|(other, _)| (*other).to_owned()).collect();
            let in_front = balancers.iter().filter(|balancer| {
                let mut backends = balancer.spec.backends.iter();
                backends.any(|backend| {
                    let name = backend.workload.as_str();
                    name == one.name() || callers.contains(name)
                })
            });
            let in_front: Vec<String> = in_front
                .map(|balancer| balancer.spec.container.to_string())
                .collect();
            callers.extend(in_front);
            known.callers.insert(one.name().to_owned(), callers);
        }
        let all = needs(first.name());
        let mut candidates: Vec<Needed> = Vec::new();
        for name in [first.name().to_owned()].into_iter().chain(all) {
            match by_name(&name) {
                Some(workload) => {
                    let rows = workload.status.iter().flat_map(|status| &status.instances);
                    let ids = rows
                        .filter(|row| row.leaving.is_none())
                        .map(|row| row.id.clone())
                        .collect();
                    candidates.push(Needed {
                        name,
                        workload: Some(workload),
                        ids,
                        containers: Vec::new(),
                    });
                }
                None => {
                    let rows = workloads.iter().flat_map(|one| others_needed(one));
                    let of_it = rows.filter(|(other, _)| *other == name);
                    let containers = of_it.flat_map(|(_, names)| names.iter().cloned()).collect();
                    candidates.push(Needed {
                        name,
                        workload: None,
                        ids: Vec::new(),
                        containers,
                    });
                }
            }
        }
        known
            .inspect(context, &workloads, candidates, &needs, first.name())
            .await;
        known
    }

    /// Whose each container is, and by which names it is known.
    async fn inspect(
        &mut self,
        context: &Context,
        workloads: &[Arc<Workload>],
        candidates: Vec<Needed>,
        needs: &impl Fn(&str) -> BTreeSet<String>,
        first: &str,
    ) {
        let engine = &*context.engine;
        let listed = engine.list(ListFilter::default()).await;
        let unlisted = listed.as_ref().err().map(ToString::to_string);
        let mut all = listed.unwrap_or_default();
        let of_candidate = |id: &ContainerId, name: &String| candidates.iter().any(|one| one.has(id, name));
        all.sort_by_key(|one| (!of_candidate(&one.id, &one.name), one.name.clone()));
        let looks = all.iter().take(MOST_KNOWN).map(|one| engine.inspect(&one.id));
        let details: Vec<Arc<ContainerDetails>> = join_all(looks)
            .await
            .into_iter()
            .filter_map(Result::ok)
            .flatten()
            .map(Arc::new)
            .collect();
        let owner = |details: &ContainerDetails| {
            let candidate = candidates.iter().find(|one| one.has(&details.id, &details.name));
            candidate.map(|one| one.name.clone()).or_else(|| {
                let owner = workloads.iter().find(|one| {
                    let mut rows = one.status.iter().flat_map(|status| &status.instances);
                    rows.any(|row| row.id == details.id)
                });
                owner.map(|one| one.name().to_owned())
            })
        };
        self.called = details.iter().map(|one| (called(one), owner(one))).collect();
        self.called.extend(workloads.iter().map(|one| {
            let name = one.name().to_lowercase();
            (BTreeSet::from([name]), Some(one.name().to_owned()))
        }));
        let mut left = MOST_READ;
        for candidate in candidates {
            let own: Vec<Arc<ContainerDetails>> = details
                .iter()
                .filter(|one| candidate.has(&one.id, &one.name))
                .cloned()
                .collect();
            let wanted = candidate.ids.len().max(candidate.containers.len());
            let gap = match own.len() {
                _ if unlisted.is_some() => unlisted.clone(),
                0 => Some("it has no containers".to_owned()),
                found if found < wanted => Some("not all of its containers could be inspected".to_owned()),
                found if found > left => Some("too many containers are concerned".to_owned()),
                _ => None,
            };
            left = left.saturating_sub(own.len());
            self.candidates.push(Looked {
                needs: needs(&candidate.name),
                is_first: candidate.name == first,
                name: candidate.name,
                workload: candidate.workload,
                containers: own,
                gap,
            });
        }
    }

    /// By which names a candidate's log knows others.
    fn names(&self, of: &Looked) -> Names {
        let none = BTreeSet::new();
        let callers = self.callers.get(&of.name).unwrap_or(&none);
        let mut names = Names::default();
        for (called, owner) in &self.called {
            let mut is_caller = called.iter().any(|name| callers.contains(name));
            is_caller |= owner.as_ref().is_some_and(|owner| callers.contains(owner));
            let is_own = owner.as_ref() == Some(&of.name);
            if is_own || is_caller {
                names.own.extend(called.iter().cloned());
                continue;
            }
            for name in called {
                let whose = owner.clone().unwrap_or_else(|| name.clone());
                names.others.insert(name.clone(), whose);
            }
        }
        names
    }
}

/// By which names others may know a container, in lower case: aliases on its networks, Compose's service, its host name.
fn called(details: &ContainerDetails) -> BTreeSet<String> {
    let networks = details.network_settings.as_object().into_iter().flatten();
    let lists = networks.flat_map(|(_, network)| ["Aliases", "DNSNames"].map(|list| network.get(list)));
    let aliases = lists.flatten().filter_map(serde_json::Value::as_array).flatten();
    let aliases = aliases.filter_map(serde_json::Value::as_str);
    let service = details.labels.get(COMPOSE_SERVICE).map(String::as_str);
    let hostname = details.config.get("Hostname").and_then(serde_json::Value::as_str);
    let addresses = details.networks.values().flatten().map(ToString::to_string);
    let all = aliases
        .chain([details.name.as_str()])
        .chain(service)
        .chain(hostname);
    let all = all.map(str::to_lowercase).chain(addresses);
    all.filter(|name| name.chars().count() > 1).collect()
}

impl Looked {
    async fn look(&self, context: &Context, known: &Known, began: Time) -> Candidate {
        let status = self.workload.as_ref().and_then(|one| one.status.as_ref());
        let now = context.clock.now();
        let acted = status.and_then(|status| status.demands.last());
        let acted = acted.map(|demand| set_back::time(demand.at, context.clock.set_at(), now));
        let names = known.names(self);
        let reads = self.containers.iter().map(|details| {
            let since = [Some(began), details.started_at, acted].into_iter().flatten();
            let oldest = Time(
                now.0
                    .checked_sub(bounds::LOG_WITHIN.signed())
                    .unwrap_or(jiff::Timestamp::MIN),
            );
            let spans = Spans {
                before: Time(
                    began
                        .0
                        .checked_sub(BEFORE.signed())
                        .unwrap_or(jiff::Timestamp::MIN),
                ),
                began,
                since: since.fold(oldest, Time::max),
                now,
            };
            read(&*context.engine, &details.id, &names, spans)
        });
        let log = match &self.gap {
            Some(gap) => Err(gap.clone()),
            None => Said::all(join_all(reads).await),
        };
        let deployed = status.and_then(|status| {
            let newest = status.revisions.last().filter(|_| status.revisions.len() > 1)?;
            let age = newest.created_at.age(now);
            (age < NEW).then(|| aegis_api::Duration::from_secs(age.as_secs()))
        });
        Candidate {
            name: self.name.clone(),
            is_workload: self.workload.is_some(),
            needs: self.needs.clone(),
            log: Some(log),
            sick: self.sick().filter(|_| !self.is_first),
            short: self.short(context),
            deployed,
        }
    }

    /// That it does not serve. One replica of several is no trouble of those that use it.
    fn sick(&self) -> Option<String> {
        let Some(workload) = &self.workload else {
            let ends = |one: &Arc<ContainerDetails>| one.state != ContainerState::Running;
            return (!self.containers.is_empty() && self.containers.iter().all(ends))
                .then(|| "it does not run".to_owned());
        };
        let status = workload.status.as_ref()?;
        if status.ready_replicas > 0 || workload.spec.replicas == 0 {
            return None;
        }
        let mut rows = status.instances.iter();
        if rows.any(|row| row.health == Health::Unhealthy) {
            return Some("it fails its probe".to_owned());
        }
        let mut rows = status.instances.iter();
        rows.all(|row| row.state != ContainerState::Running)
            .then(|| "no container of it runs".to_owned())
    }

    /// That it is short of CPU or memory, by its newest readings.
    fn short(&self, context: &Context) -> Option<String> {
        let now = context.clock.now();
        context.samples.history().with(|view| {
            self.containers.iter().find_map(|details| {
                let sample = view.samples(&details.name).last()?;
                if sample.at.age(now) > bounds::FRESH.std() {
                    return None;
                }
                let limit = details.memory_limit;
                let used = used_percent((limit.saturating_sub(sample.memory_bytes), limit));
                if let Some(used) = used.filter(|used| *used >= bounds::MEMORY_PERCENT) {
                    return Some(format!("it uses {used:.0} % of its memory limit"));
                }
                let held = sample.throttled_percent.map(f64::from);
                if let Some(held) = held.filter(|held| *held >= bounds::THROTTLED_PERCENT) {
                    return Some(format!(
                        "its CPU limit holds it back in {held:.0} % of scheduling periods"
                    ));
                }
                let cpu = sample.cpu_percent.map(f64::from);
                let cpu = cpu.filter(|cpu| *cpu >= bounds::CPU_PERCENT);
                cpu.map(|cpu| format!("it uses {cpu:.0} % of a core"))
            })
        })
    }
}

/// What one log says; the error says why that is not known.
async fn read(engine: &dyn Engine, id: &ContainerId, names: &Names, spans: Spans) -> Result<Said, String> {
    let read = async {
        let query = LogQuery {
            tail: MOST_LINES,
            follow: false,
            timestamps: true,
            since: spans.before.unix_seconds(),
        };
        let mut lines = engine.logs(id, query).await?;
        let (mut reader, mut count) = (Reader::new(names, spans), 0_u32);
        while let Some(line) = lines.next().await {
            let line = line?;
            let (at, text) = undated(&line.text);
            reader.line(at, text, reports_error(text));
            count = count.saturating_add(1);
        }
        Ok::<_, aegis_docker::EngineError>(reader.finish(count < MOST_LINES))
    };
    match tokio::time::timeout(WITHIN, read).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => Err(format!("its log cannot be read: {error}")),
        Err(_) => Err("its log was not read in time".to_owned()),
    }
}

/// Opens the incident about the workload at fault, or answers the one that is open about its errors already.
pub(super) async fn open(
    context: &Context,
    incident: &ValidatedIncident,
    name: ResourceName,
    spec: IncidentSpec,
) -> Result<ResourceName, Error> {
    let about = spec
        .workload_ref
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let open = context.store.find::<Incident>(&key::workload(&about));
    let mut open = open.iter().filter(|other| other.name() != incident.name());
    let open = open.find(|other| is_joined(other, &about, SymptomClass::Errors));
    if let Some(open) = open.and_then(|open| open.name().parse().ok()) {
        return Ok(open);
    }
    match context.store.add::<Incident>(name.as_str(), &spec).await {
        // Opened before a crash.
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(name),
        Err(source) => Err(Error::Store {
            incident: name.to_string(),
            source,
        }),
    }
}
