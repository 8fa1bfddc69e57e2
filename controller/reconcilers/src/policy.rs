//! The RemediationPolicy reconciler: reports how much of the budget is used, and whether the models it names can be asked.
//! Changes nothing in the world, so its steps fit in one file.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::condition::{Condition, Conditions};
use aegis_api::policy::Mode;
use aegis_api::{ConditionType, Kind, Reason, RemediationPolicy, Time};
use aegis_brain::Brain;
use aegis_planning::governing::for_policy;
use aegis_planning::ledger;
use aegis_planning::set_back;
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::store::StoreError;

use crate::context::Context;
use crate::turns::acted_lately;

/// The count slides with the hour, so it is counted again without any change.
const REQUEUE_AFTER: Duration = Duration::from_secs(60);

/// The status could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store the state of policy {policy}")]
pub struct Error {
    policy: String,
    source: StoreError,
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        "store"
    }
    fn on_error(&self) -> OnError {
        OnError::Backoff
    }
}

/// Reconciles RemediationPolicies.
#[derive(Debug, Clone)]
pub struct PolicyReconciler {
    context: Context,
    brain: Arc<Brain>,
}

impl PolicyReconciler {
    /// A reconciler in this context, for policies over what this brain may be asked.
    pub fn new(context: Context, brain: Arc<Brain>) -> Self {
        Self { context, brain }
    }

    /// Sets whether all of the policy is in force; what is not is reported once as an Event, too.
    fn judge(&self, policy: &RemediationPolicy, conditions: &mut Vec<Condition>, now: Time) {
        let kind = ConditionType::Ready;
        let mut conditions = Conditions::at(conditions, Some(policy.generation()), now);
        let Err(error) = self.brain.under(&policy.spec.analysis) else {
            conditions.set(kind, true, Reason::InForce, "");
            return;
        };
        let message = format!(
            "spec.analysis: {error}; until it names one of these, incidents are put before the controller's own order, and the rest of the policy is in force"
        );
        let known = conditions
            .find(kind)
            .is_some_and(|ready| ready.message == message);
        let reason = Reason::UnknownProvider;
        if !known {
            let about = ObjectRef::of(policy);
            let events = &self.context.events;
            events.record(&about, EventType::Warning, reason.as_str(), message.clone());
        }
        conditions.set(kind, false, reason, message);
    }
}

impl Reconciler for PolicyReconciler {
    type Error = Error;
    const KIND: &'static str = "RemediationPolicy";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let store = &self.context.store;
        let Some(policy) = store.get::<RemediationPolicy>(name) else {
            return Ok(Action::AwaitChange);
        };
        let now = self.context.clock.now();
        let mut status = policy.status.clone().unwrap_or_default();
        let (generation, spec) = (Some(policy.generation()), &policy.spec);
        status.observed_generation = generation;
        let (policies, workloads) = (store.list(), store.list());
        let set_at = self.context.clock.set_at();
        let acted = acted_lately(store, now).into_iter();
        let acted: Vec<_> = acted.map(|one| set_back::incident(one, set_at, now)).collect();
        let for_policy = for_policy(&policies, &workloads, &policy);
        status.actions_in_window = ledger::most_in_hour(&acted, for_policy, now);
        let host = store.automation().paused();
        status.paused = host
            .map(|pause| format!("all automation is {}", pause.words()))
            .or_else(|| (spec.mode == Mode::Off).then(|| "mode is Off".to_owned()));
        self.judge(&policy, &mut status.conditions, now);
        let written = self.context.write_status(&*policy, status).await;
        written.map_err(|source| Error {
            policy: name.to_owned(),
            source,
        })?;
        Ok(Action::Requeue(REQUEUE_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::{Incident, condition, kinds};
    use aegis_brain::{BrainConfig, ProviderConfig, ProviderKind};
    use aegis_docker_fake::FakeEngine;
    use aegis_runtime::store::Store;
    use serde_json::json;

    use super::*;
    use crate::context::{Settings, tests::over};

    /// The condition Ready of a policy.
    fn ready(store: &Store, name: &str) -> Condition {
        let policy = store.get::<RemediationPolicy>(name).unwrap();
        let status = policy.status.as_ref().unwrap();
        condition::find(&status.conditions, ConditionType::Ready)
            .unwrap()
            .clone()
    }

    #[tokio::test]
    async fn a_policy_that_names_an_unknown_provider_says_so_once_and_names_those_that_exist() {
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let config = BrainConfig {
            providers: vec![ProviderConfig::new(
                "ollama",
                ProviderKind::Ollama,
                "http://127.0.0.1:1",
                "m",
            )],
            ..BrainConfig::default()
        };
        let brain = Arc::new(Brain::new(config).unwrap());
        let (store, events) = (context.store.clone(), context.events.clone());
        let reconciler = PolicyReconciler::new(context, brain);
        let info = kinds::find("RemediationPolicy").unwrap();
        for (name, provider) in [("good", "ollama"), ("bad", "gpt")] {
            let object = json!({
                "apiVersion": "aegisops.io/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": name},
                "spec": {"analysis": {"seats": {"auditor": provider}}},
            });
            store.create(info, object, false).await.unwrap();
            for _ in 0..2 {
                reconciler.reconcile(name).await.unwrap();
            }
        }
        assert_eq!(ready(&store, "good").reason, "InForce");
        let bad = ready(&store, "bad");
        assert_eq!(
            (bad.status.as_str(), bad.reason.as_str()),
            ("False", "UnknownProvider")
        );
        let expected = "no provider is called \"gpt\": there are ollama, builtin";
        assert!(bad.message.contains(expected), "{}", bad.message);
        let (_, events) = events.list();
        let warnings: Vec<_> = events
            .iter()
            .filter(|event| event.kind == EventType::Warning)
            .collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!((warnings[0].about.name.as_str(), warnings[0].count), ("bad", 1));
        assert!(warnings[0].message.contains(expected), "{warnings:?}");
    }

    #[tokio::test]
    async fn actions_in_window_are_those_that_the_budget_of_a_workload_under_the_policy_counts() {
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let store = context.store.clone();
        let now = context.clock.now();
        let make = async |kind: &str, name: &str, spec: serde_json::Value| {
            let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
            store
                .create(kinds::find(kind).unwrap(), object, false)
                .await
                .unwrap();
        };
        make("RemediationPolicy", "all", json!({})).await;
        make("RemediationPolicy", "db", json!({"workloads": {"names": ["db"]}})).await;
        for workload in ["web", "db", "idle"] {
            make("Workload", workload, json!({"template": {"image": "app:1"}})).await;
        }
        // A rung that did not help, the one after it, and one of long ago.
        for (incident, workload, ago) in [
            ("a", "web", [10, 5]),
            ("b", "web", [7200, 7000]),
            ("c", "db", [3, 2]),
        ] {
            make(
                "Incident",
                incident,
                json!({"workloadRef": workload, "alertType": "odd"}),
            )
            .await;
            let at = |seconds| Time(now.0 - jiff::SignedDuration::from_secs(seconds));
            let status = json!({
                "phase": "EXECUTING", "workload": workload,
                "tried": [{"action": "RESTART", "planHash": "1", "error": "no", "appliedAt": at(ago[0])}],
                "plan": {"hash": "2", "action": "SCALE_UP", "target": workload, "parentGeneration": 1, "patch": {}, "createdAt": at(ago[1])},
                "execution": {"appliedAt": at(ago[1])},
            });
            let status = serde_json::from_value(status).unwrap();
            let uid = store
                .get::<Incident>(incident)
                .unwrap()
                .metadata
                .uid
                .clone()
                .unwrap();
            store
                .set_status::<Incident>(incident, &uid, status)
                .await
                .unwrap();
        }
        let reconciler =
            PolicyReconciler::new(context, Arc::new(Brain::new(BrainConfig::default()).unwrap()));
        for policy in ["all", "db"] {
            reconciler.reconcile(policy).await.unwrap();
            let status = store
                .get::<RemediationPolicy>(policy)
                .unwrap()
                .status
                .clone()
                .unwrap();
            assert_eq!(status.actions_in_window, 2, "{policy}");
        }
    }
}
