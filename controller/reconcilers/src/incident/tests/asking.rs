//! What people see while a model is asked, and that nothing waits for an answer that is not needed any more.

use std::sync::Arc;

use aegis_api::incident::Override;
use aegis_api::proposal::{ContainerEvidence, Evidence};
use aegis_brain::{Brain, BrainConfig, Case, ProviderConfig, ProviderKind, ReplicaBounds, RetryPolicy};
use aegis_docker_fake::{FakeEngine, FakeOptions};
use aegis_planning::incident::testing::NOW;
use aegis_runtime::feed::{Feed, FeedItem};
use aegis_runtime::store::{Store, StoreOptions};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::context::Context;
use crate::incident::IncidentReconciler;
use crate::incident::effects::ask;
use crate::recall::Recall;

/// A model that says a few words and then nothing, or goes away.
async fn model(goes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let words = json!({"choices": [{"delta": {"content": "It leaks, I th"}}]});
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {words}\n\n");
                let mut buffer = [0; 65_536];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                while !goes && stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    format!("http://{address}")
}

fn brain(url: &str) -> Brain {
    let config = BrainConfig {
        providers: vec![ProviderConfig::new("primary", ProviderKind::OpenAi, url, "m")],
        retry: RetryPolicy {
            retries: 0,
            ..RetryPolicy::default()
        },
        ..BrainConfig::default()
    };
    Brain::new(config).unwrap()
}

fn case() -> Case {
    Case {
        incident: "inc".into(),
        alert_type: "odd".into(),
        severity: aegis_api::incident::Severity::Warning,
        logs: String::new(),
        details: std::collections::BTreeMap::new(),
        workload: "web".into(),
        container: None,
        evidence: Evidence {
            containers: vec![ContainerEvidence::default()],
            ..Evidence::default()
        },
        measured: Vec::new(),
        trusted: Vec::new(),
        balancers: Vec::new(),
        recalled: Vec::new(),
        replicas: ReplicaBounds {
            min: 1,
            max: 3,
            current: 3,
        },
        protected: false,
        tried: Vec::new(),
        terms: Default::default(),
        now: NOW.parse().unwrap(),
    }
}

/// A reconciler over a store that stores, and an incident in it.
async fn world(url: &str) -> (IncidentReconciler, ValidatedIncident, tempfile::TempDir) {
    let engine = FakeEngine::new(FakeOptions::default());
    let (context, _) = crate::context::tests::over(&engine, Settings::default()).await;
    let state = tempfile::tempdir().unwrap();
    let (store, driver) = Store::open(StoreOptions::new(state.path()), context.events.clone())
        .await
        .unwrap();
    tokio::spawn(driver.run(tokio_util::sync::CancellationToken::new()));
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc"},
        "spec": {"workloadRef": "web", "alertType": "odd"},
    });
    let stored = store
        .create(kinds::find("Incident").unwrap(), object, false)
        .await
        .unwrap();
    let incident = stored.typed::<Incident>().unwrap();
    let incident = judge(vec![(*incident).clone()], "{}");
    let context = Context {
        store,
        feed: Feed::default(),
        ..context
    };
    let reconciler = IncidentReconciler::new(context, Arc::new(brain(url)), Recall::default());
    (reconciler, incident, state)
}

/// The contents of the frames of the live stream, as they come.
fn stream(reconciler: &IncidentReconciler) -> impl futures::Stream<Item = Value> + Unpin + use<> {
    let frames = reconciler.context.feed.subscribe(Some(0));
    Box::pin(frames.filter_map(|item| async move {
        match item {
            FeedItem::Frame(frame) => {
                let said = frame.with_full_text(frame.answer()?.1)?;
                let said: Value = serde_json::from_str(&said).unwrap();
                Some(said["data"].clone())
            }
            FeedItem::Lagged(_) => None,
        }
    }))
}

#[tokio::test]
async fn an_answer_is_not_waited_for_once_a_human_has_chosen_or_the_incident_is_gone() {
    let url = model(false).await;
    for deleted in [false, true] {
        let (reconciler, incident, _state) = world(&url).await;
        let mut words = stream(&reconciler);
        let store = reconciler.context.store.clone();
        let case = case();
        let human = async {
            words.next().await.unwrap();
            if deleted {
                let info = kinds::find("Incident").unwrap();
                store.delete(info, "inc", None, None, false).await.unwrap();
                return;
            }
            let choose = |incident: &Incident| {
                let mut spec = incident.spec.clone();
                spec.override_ = Some(Override {
                    action: Action::Noop,
                    replica_count: 0,
                    by: "operator".into(),
                });
                Ok(spec)
            };
            store.edit_spec::<Incident, _>("inc", choose).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(ask::analyse(&reconciler, &incident, &case), human);
        assert!(outcome.is_none(), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_incident_that_becomes_critical_while_it_waits_for_a_model_is_asked_about_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (reconciler, incident, _state) = world(&url).await;
    let store = reconciler.context.store.clone();
    let case = case();
    let sender = async {
        // It is asked, and says nothing.
        let asked = listener.accept().await.unwrap();
        let graver = |incident: &Incident| {
            let mut spec = incident.spec.clone();
            spec.severity = aegis_api::incident::Severity::Critical;
            Ok(spec)
        };
        store.edit_spec::<Incident, _>("inc", graver).await.unwrap();
        asked
    };
    let (outcome, _asked) = tokio::join!(ask::analyse(&reconciler, &incident, &case), sender);
    assert!(outcome.is_none(), "{outcome:?}");
}

#[tokio::test]
async fn the_live_stream_ends_with_the_words_of_who_decided() {
    let (reconciler, incident, _state) = world(&model(true).await).await;
    let mut words = stream(&reconciler);
    let outcome = ask::analyse(&reconciler, &incident, &case()).await;
    let Some(Ok(analysis)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (analysis.provider.as_str(), analysis.attempts.len()),
        ("builtin", 1)
    );
    assert_eq!(words.next().await.unwrap()["full_text"], "It leaks, I th");
    let restart = words.next().await.unwrap();
    assert_eq!(
        (&restart["full_text"], &restart["restart"]["provider"]),
        (&json!(""), &json!("primary"))
    );
    assert!(
        restart["chunk"].as_str().unwrap().contains("primary"),
        "{restart}"
    );
    let (mut appended, mut full) = (String::new(), Value::Null);
    while appended.len() < analysis.reasoning.len() {
        let frame = words.next().await.unwrap();
        appended.push_str(frame["chunk"].as_str().unwrap());
        full = frame["full_text"].clone();
    }
    assert_eq!(
        (&appended, full.as_str()),
        (&analysis.reasoning, Some(analysis.reasoning.as_str()))
    );
}

#[tokio::test]
async fn where_a_policy_names_an_unknown_provider_the_controllers_order_is_asked_and_the_incident_says_so() {
    let (reconciler, mut incident, _state) = world(&model(true).await).await;
    incident.policy.analysis.providers = vec!["gpt".to_owned()];
    let Some(Ok(analysis)) = ask::analyse(&reconciler, &incident, &case()).await else {
        panic!("no analysis")
    };
    assert_eq!(analysis.attempts[0].provider, "primary");
    let (_, events) = reconciler.context.events.list();
    let said = events
        .iter()
        .find(|event| event.reason == "UnknownProvider")
        .unwrap();
    assert_eq!(said.about.name, "inc");
    let known = "policy all: spec.analysis: no provider is called \"gpt\": there are primary, builtin";
    assert!(said.message.starts_with(known), "{}", said.message);
}

#[tokio::test]
async fn the_incidents_policy_says_which_model_is_asked() {
    let (reconciler, mut incident, _state) = world(&model(true).await).await;
    incident
        .policy
        .analysis
        .models
        .insert("primary".to_owned(), "large".to_owned());
    let Some(Ok(analysis)) = ask::analyse(&reconciler, &incident, &case()).await else {
        panic!("no analysis")
    };
    assert_eq!(analysis.attempts[0].model, "large");
    incident.policy.analysis.providers = vec!["builtin".to_owned()];
    incident.policy.analysis.models.clear();
    let Some(Ok(analysis)) = ask::analyse(&reconciler, &incident, &case()).await else {
        panic!("no analysis")
    };
    assert_eq!(
        (analysis.provider.as_str(), analysis.attempts.len()),
        ("builtin", 0)
    );
}
