//! Where containers are now: whether each runs, and at which address. A load balancer sends requests to addresses, and an
//! address is a container's only as long as the engine says so: what a Workload's status reports may be older.
//!
//! Owns the answers of the engine, each until the engine reports that something happened to that container, and never for
//! longer than [`KEPT`]: events can be lost. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::ContainerId;
use aegis_api::observed::{ContainerDetails, ContainerState, ContainerSummary};
use aegis_docker::{Engine, EngineError, EngineResult, ListFilter};
use aegis_planning::load_balancer::home::{Endpoint, HOST};
use futures::future::try_join_all;
use tokio::time::Instant;

/// How long an answer counts without a word from the engine: less than the pause between two resyncs.
const KEPT: Duration = Duration::from_secs(20);
/// An engine that is busy with a container (removing it, say) answers when it is done. No other caller waits for that.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Answer {
    /// `None`: there is no such container.
    endpoint: Option<Endpoint>,
    /// The container whose network it shares.
    owner: Option<String>,
    at: Instant,
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<ContainerId, Answer>,
    /// Counts what happened: an answer that was under way meanwhile is not kept.
    changes: u64,
}

/// The answers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(Arc<Mutex<Known>>);

impl Endpoints {
    /// Something happened to a container: it is inspected again, and so are those that share its network. Answers the ids
    /// of all of them.
    pub(crate) fn changed(&self, id: &str) -> BTreeSet<ContainerId> {
        let mut known = self.known();
        known.changes = known.changes.wrapping_add(1);
        let sharing = known.answers.iter();
        let sharing = sharing.filter(|(_, answer)| answer.owner.as_deref() == Some(id));
        let mut ids: BTreeSet<ContainerId> = sharing.map(|(id, _)| id.clone()).collect();
        ids.insert(id.into());
        known.answers.retain(|id, _| !ids.contains(id));
        ids
    }

    /// Anything may have happened.
    pub(crate) fn all_changed(&self) {
        let mut known = self.known();
        known.changes = known.changes.wrapping_add(1);
        known.answers.clear();
    }

    /// Where these containers are: those that exist, by id. An error only where the engine answers nothing at all.
    pub(crate) async fn inspect(
        &self,
        engine: &dyn Engine,
        ids: &BTreeSet<ContainerId>,
    ) -> EngineResult<BTreeMap<ContainerId, Endpoint>> {
        let all = ids.iter().map(|id| self.one(engine, id));
        let found = ids.iter().zip(try_join_all(all).await?);
        Ok(found
            .filter_map(|(id, endpoint)| Some((id.clone(), endpoint?)))
            .collect())
    }

    async fn one(&self, engine: &dyn Engine, id: &str) -> EngineResult<Option<Endpoint>> {
        let now = Instant::now();
        let changes = {
            let mut known = self.known();
            known.answers.retain(|_, answer| now < answer.at + KEPT);
            if let Some(answer) = known.answers.get(id) {
                return Ok(answer.endpoint.clone());
            }
            known.changes
        };
        let (endpoint, owner) = match ask(engine, id).await {
            Ok(found) => found,
            Err(error @ EngineError::Unreachable { .. }) => return Err(error),
            // That container alone: the list does not wait for it.
            Err(_) => return listed(engine, id).await,
        };
        let mut known = self.known();
        if known.changes == changes {
            let answer = Answer {
                endpoint: endpoint.clone(),
                owner,
                at: now,
            };
            known.answers.insert(id.into(), answer);
        }
        Ok(endpoint)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container, and whose network it shares.
async fn ask(engine: &dyn Engine, id: &str) -> EngineResult<(Option<Endpoint>, Option<String>)> {
    let Some(container) = inspect(engine, id).await? else {
        return Ok((None, None));
    };
    let owner = network_owner(&container).map(str::to_owned);
    let owned = match &owner {
        Some(owner) => inspect(engine, owner).await?,
        None => None,
    };
    let endpoint = endpoint(&container, owned.as_ref());
    // Events name containers by id.
    let owner = owned.map(|owned| owned.id.into()).or(owner);
    Ok((Some(endpoint), owner))
}

async fn inspect(engine: &dyn Engine, id: &str) -> EngineResult<Option<ContainerDetails>> {
    match tokio::time::timeout(ANSWERS_WITHIN, engine.inspect(id)).await {
        Ok(answer) => answer,
        Err(_) => Err(EngineError::Timeout {
            operation: format!("inspect container {id}"),
            seconds: ANSWERS_WITHIN.as_secs(),
        }),
    }
}

fn network_owner(container: &ContainerDetails) -> Option<&str> {
    let mode = container.host_config.get("NetworkMode")?.as_str()?;
    mode.strip_prefix("container:")
}

/// What shares another container's network is at that one's address, unless that one restarted since: then it has none.
fn endpoint(container: &ContainerDetails, owner: Option<&ContainerDetails>) -> Endpoint {
    let shares = network_owner(container).is_some();
    let joined = |owner: &&ContainerDetails| {
        owner.state == ContainerState::Running && owner.started_at <= container.started_at
    };
    let networks = match (shares, owner.filter(joined)) {
        (false, _) => Some(&container.networks),
        (true, owner) => owner.map(|owner| &owner.networks),
    };
    let on_host = networks.is_some_and(|networks| networks.contains_key(HOST));
    let addresses = networks.into_iter().flatten();
    Endpoint {
        on_host,
        name: container.name.clone(),
        state: container.state,
        started_at: container.started_at,
        addresses: addresses
            .filter_map(|(network, ip)| Some((network.clone(), (*ip)?)))
            .collect(),
    }
}

/// The second-best answer, from the list: without the time of the start, which tells one run from the next.
async fn listed(engine: &dyn Engine, id: &str) -> EngineResult<Option<Endpoint>> {
    let all = engine.list(ListFilter::default()).await?;
    let row = all.into_iter().find(|row| row.id == id);
    Ok(row.map(|row: ContainerSummary| Endpoint {
        name: row.name,
        state: row.state,
        started_at: None,
        on_host: row.networks.contains_key(HOST),
        addresses: row
            .networks
            .into_iter()
            .filter_map(|(network, ip)| Some((network, ip?)))
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aegis_docker_fake::{FakeEngine, RunSpec, When};

    use super::*;

    /// Counts inspections from now on.
    fn asked(engine: &FakeEngine) -> Arc<AtomicUsize> {
        let count = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&count);
        engine.on_operation(Some(Arc::new(move |operation: &str, when| {
            if (operation, when) == ("inspect", When::Before) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            false
        })));
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_is_asked_about_once_until_something_happens_to_it() {
        let engine = FakeEngine::default();
        let web = RunSpec::new("web", "app:1").network("net");
        let id = ContainerId::from(engine.run_container(&web).unwrap());
        let ids: BTreeSet<ContainerId> = [id.clone(), "gone".into()].into();
        let endpoints = Endpoints::default();
        let inspect = async || endpoints.inspect(&engine, &ids).await.unwrap();
        let asked = asked(&engine);
        let first = inspect().await;
        assert!(first[&id].is_running() && first.len() == 1, "{first:?}");
        assert_eq!(first[&id].addresses.len(), 1);
        assert_eq!(inspect().await, first);
        assert_eq!(asked.load(Ordering::SeqCst), 2);

        engine.disconnect("web", "net").unwrap();
        assert_eq!(endpoints.changed(&id), [id.clone()].into());
        assert!(inspect().await[&id].addresses.is_empty());
        engine.remove_by_hand("web").unwrap();
        endpoints.all_changed();
        assert!(inspect().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_were_lost_are_made_up_for() {
        let engine = FakeEngine::default();
        let web = RunSpec::new("web", "app:1").network("net");
        let id = ContainerId::from(engine.run_container(&web).unwrap());
        let ids: BTreeSet<ContainerId> = [id].into();
        let endpoints = Endpoints::default();
        assert_eq!(endpoints.inspect(&engine, &ids).await.unwrap().len(), 1);
        engine.remove_by_hand("web").unwrap();
        tokio::time::advance(KEPT).await;
        assert!(endpoints.inspect(&engine, &ids).await.unwrap().is_empty());
    }

    #[test]
    fn what_shares_a_network_has_its_owners_address_until_that_one_is_restarted() {
        let at = |text: &str| Some(text.parse::<aegis_api::Time>().unwrap());
        let owner = |started: &str| ContainerDetails {
            state: ContainerState::Running,
            started_at: at(started),
            networks: [("net".to_owned(), Some("10.0.0.2".parse().unwrap()))].into(),
            ..ContainerDetails::default()
        };
        let sharer = ContainerDetails {
            state: ContainerState::Running,
            started_at: at("2026-11-22T12:00:00Z"),
            host_config: serde_json::json!({"NetworkMode": "container:abc"}),
            ..ContainerDetails::default()
        };
        let before = endpoint(&sharer, Some(&owner("2026-11-22T11:59:00Z")));
        assert_eq!(before.addresses.len(), 1);
        assert!(
            endpoint(&sharer, Some(&owner("2026-11-22T12:01:00Z")))
                .addresses
                .is_empty()
        );
        assert!(endpoint(&sharer, None).addresses.is_empty());
    }
}
