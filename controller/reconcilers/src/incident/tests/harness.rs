//! A host in memory with one unhealthy workload, another one and a bystander; the real reconcilers, driven by hand
//! until an incident ends or waits for a human. And a model over HTTP that says what a test makes it say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::{Phase, RemediationPolicy};
use aegis_brain::{Brain, BrainConfig, ProviderConfig, ProviderKind, Routes};
use aegis_docker_fake::{Actor, Behaviour, Effect, FakeEngine, FakeOptions, RunSpec};
use aegis_runtime::controller::{Action as Next, Reconciler};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::context::Context;
use crate::incident::IncidentReconciler;
use crate::recall::Recall;
use crate::workload::WorkloadReconciler;

/// The workload that is not concerned, and the container that is none of ours.
pub(super) const OTHER: &str = "db";
pub(super) const BYSTANDER: &str = "payments";

pub(super) struct Harness {
    pub(super) engine: FakeEngine,
    pub(super) context: Context,
    pub(super) recall: Recall,
    incidents: IncidentReconciler,
    workloads: WorkloadReconciler,
    _probes: DropGuard,
    _state: tempfile::TempDir,
}

impl Harness {
    /// Workload `web` adopts a container of this name; `policy` governs it.
    pub(super) async fn open(container: &str, policy: &Value, brain: Brain) -> Self {
        let at_once = Duration::from_millis(1);
        let engine = FakeEngine::new(FakeOptions {
            create_takes: at_once,
            start_takes: at_once,
            stop_takes: at_once,
            remove_takes: at_once,
            ..FakeOptions::default()
        });
        let quick = Behaviour {
            startup: at_once,
            ..Behaviour::default()
        };
        engine.add_image("app:1", quick);
        for name in [container, OTHER] {
            let app = RunSpec::new(name, "app:1").network("shared");
            engine.run_container(&app).unwrap();
        }
        engine.create_bystander(BYSTANDER).unwrap();
        let (context, state) = crate::context::tests::over(&engine, Settings::default()).await;
        let probes = CancellationToken::new();
        let (prober, ended) = (context.prober.clone(), probes.clone());
        tokio::spawn(async move { prober.run(ended).await });
        let recall = Recall::default();
        let harness = Self {
            engine,
            incidents: IncidentReconciler::new(context.clone(), Arc::new(brain), recall.clone()),
            recall,
            workloads: WorkloadReconciler::new(context.clone()),
            context,
            _probes: probes.drop_guard(),
            _state: state,
        };
        // What nothing confirms is not watched for real seconds, unless a test says so.
        let mut policy = policy.clone();
        policy["confirmWithin"] = policy.get("confirmWithin").cloned().unwrap_or(json!("0s"));
        harness.apply("RemediationPolicy", "all", &policy).await.unwrap();
        for (name, adopted) in [("web", container), (OTHER, OTHER)] {
            let health = json!({"http": {"path": "/health", "port": 8000}, "interval": "100ms", "timeout": "200ms", "startPeriod": "500ms"});
            let spec = json!({"container": adopted, "replicas": 1, "health": health});
            harness.apply("Workload", name, &spec).await.unwrap();
        }
        for _ in 0..2000 {
            harness.pass(&["web", OTHER]).await;
            let ready = |name| {
                let workload = harness.context.store.get::<Workload>(name).unwrap();
                workload
                    .status
                    .as_ref()
                    .is_some_and(|status| status.ready_replicas == 1)
            };
            if ready("web") && ready(OTHER) {
                return harness;
            }
        }
        panic!("the workloads do not get ready");
    }

    pub(super) async fn apply(&self, kind: &str, name: &str, spec: &Value) -> Result<(), String> {
        let mut object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        if kind == "RemediationPolicy" && spec.get("mode").is_none() {
            object["spec"]["mode"] = json!("Auto");
        }
        let made = self
            .context
            .store
            .create(kinds::find(kind).unwrap(), object, false)
            .await;
        made.map(drop).map_err(|error| format!("{error:?}"))
    }

    /// What somebody asks of the workload by hand, done.
    pub(super) async fn ask(
        &self,
        edit: impl Fn(&mut aegis_api::WorkloadSpec) + Clone + Send + Sync + 'static,
    ) {
        let edit = move |workload: &Workload| {
            let mut spec = workload.spec.clone();
            edit(&mut spec);
            Ok(spec)
        };
        let asked = self
            .context
            .store
            .edit_spec::<Workload, _>("web", edit)
            .await
            .unwrap();
        for _ in 0..2000 {
            self.pass(&["web"]).await;
            let workload = self.context.store.get::<Workload>("web").unwrap();
            let status = workload.status.clone().unwrap_or_default();
            let is_seen = status.observed_generation == Some(asked.generation());
            if is_seen && status.ready_replicas == asked.spec.replicas && status.rollout.is_none() {
                return;
            }
        }
        panic!("what was requested is not done");
    }

    /// Reconciles these workloads, and lets their containers go on for a moment.
    async fn pass(&self, workloads: &[&str]) {
        for name in workloads {
            self.workloads.reconcile(name).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    /// Reconciles until the incident is over or waits for a human.
    pub(super) async fn drive(&self, name: &str) -> Incident {
        for _ in 0..5000 {
            let next = self.incidents.reconcile(name).await.unwrap();
            let incident = self.context.store.get::<Incident>(name).unwrap();
            let waits = incident
                .status
                .as_ref()
                .is_some_and(|it| it.phase == Phase::AwaitingApproval);
            if incident.is_finished() || waits {
                // Whatever anybody may have asked of the others shows now.
                self.pass(&["web", OTHER]).await;
                return (*incident).clone();
            }
            if next != Next::Requeue(Duration::ZERO) {
                self.pass(&["web"]).await;
            }
        }
        let stuck = self.context.store.get::<Incident>(name).unwrap();
        panic!("{name} does not end: {:#?}", stuck.status)
    }

    /// Reconciles until the incident is over, however often it waits meanwhile.
    pub(super) async fn finish(&self, name: &str) -> Incident {
        for _ in 0..5000 {
            let next = self.incidents.reconcile(name).await.unwrap();
            let incident = self.context.store.get::<Incident>(name).unwrap();
            if incident.is_finished() {
                return (*incident).clone();
            }
            if next != Next::Requeue(Duration::ZERO) {
                self.pass(&["web"]).await;
            }
        }
        let stuck = self.context.store.get::<Incident>(name).unwrap();
        panic!("{name} does not end: {:#?}", stuck.status)
    }

    /// What a human writes into an incident.
    pub(super) async fn edit_incident(
        &self,
        name: &str,
        edit: impl FnOnce(&mut aegis_api::IncidentSpec) + Send + 'static,
    ) {
        let edit = move |incident: &Incident| {
            let mut spec = incident.spec.clone();
            edit(&mut spec);
            Ok(spec)
        };
        let edited = self.context.store.edit_spec::<Incident, _>(name, edit).await;
        edited.unwrap();
    }

    /// How far automation goes from now on.
    pub(super) async fn set_mode(&self, policy: &str, mode: &str) {
        let mode = serde_json::from_value(mode.into()).unwrap();
        let edit = move |policy: &RemediationPolicy| {
            let mut spec = policy.spec.clone();
            spec.mode = mode;
            Ok(spec)
        };
        let edited = self
            .context
            .store
            .edit_spec::<RemediationPolicy, _>(policy, edit)
            .await;
        edited.unwrap();
    }

    /// The incident as time, or an earlier version, would have left it.
    pub(super) async fn set_status(&self, name: &str, change: impl FnOnce(&mut IncidentStatus)) {
        let incident = self.context.store.get::<Incident>(name).unwrap();
        let mut status = incident.status.clone().unwrap();
        change(&mut status);
        let uid = incident.metadata.uid.clone().unwrap();
        let stored = self
            .context
            .store
            .set_status::<Incident>(name, &uid, status)
            .await;
        stored.unwrap();
    }

    /// What this controller did to containers.
    pub(super) fn actions(&self) -> Vec<Effect> {
        let all = self.engine.effects();
        all.into_iter()
            .filter(|effect| effect.actor == Actor::Client)
            .collect()
    }
}

/// Answers with the text under the name of the requested model.
pub(super) async fn scripted_model(script: HashMap<String, String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&script)));
        }
    });
    format!("http://{address}")
}

async fn answer(mut stream: TcpStream, script: Arc<HashMap<String, String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else {
            return;
        };
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.unwrap().trim().parse().unwrap();
        if request.len() >= head.len() + 4 + length {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request);
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let key = body["model"].as_str().unwrap();
    let words = json!({"choices": [{"delta": {"content": script[key]}, "finish_reason": "stop"}]});
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {words}\n\ndata: [DONE]\n\n"
    );
    // The caller may have gone.
    drop(stream.write_all(answer.as_bytes()).await);
}

/// A brain that asks the scripted model, by two names: one for the analysis, one for the reviewers.
pub(super) fn brain(url: &str) -> Brain {
    let provider = |name: &str| ProviderConfig {
        at_once: 256,
        ..ProviderConfig::new(name, ProviderKind::OpenAi, url, "script")
    };
    Brain::new(BrainConfig {
        providers: vec![provider("analyst"), provider("reviewer")],
        ..BrainConfig::default()
    })
    .unwrap()
}

/// The same brain, whose analyst and reviewers answer with the script's texts of these names.
pub(super) fn saying(brain: &Brain, analyst: &str, reviewer: &str) -> Brain {
    let reviewers = Some(vec!["reviewer".to_owned()]);
    let models = [("analyst", analyst), ("reviewer", reviewer)];
    brain
        .with_routes(Routes {
            analysis: vec!["analyst".into()],
            security_officer: reviewers.clone(),
            auditor: reviewers,
            models: models
                .map(|(name, model)| (name.to_owned(), model.to_owned()))
                .into(),
        })
        .unwrap()
}
