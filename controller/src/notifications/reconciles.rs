//! The reconciles that the webhook is subscribed to: read from the live stream, with what they are about. Changes nothing.

use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::incident::Severity;
use aegis_api::wire::{FrameType, ReconcileData};
use aegis_api::{Incident, KindInfo, LoadBalancer};
use aegis_notify::{ReconcileNews, ReconcileSeen, Reconciles};
use aegis_reconcilers::autoscale::Autoscaler;
use aegis_reconcilers::incident::IncidentReconciler;
use aegis_reconcilers::load_balancer::LoadBalancerReconciler;
use aegis_reconcilers::workload::WorkloadReconciler;
use aegis_runtime::{Feed, FeedItem, Frame, Reconciler as _, Store};
use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::args::Notifications;

/// What sends them, where that is configured.
pub(super) fn of(args: &Notifications) -> anyhow::Result<Option<Reconciles>> {
    let Some(filter) = &args.notify_webhook_reconcile else {
        return Ok(None);
    };
    let url = args
        .notify_webhook_url
        .as_ref()
        .context("NOTIFY_WEBHOOK_RECONCILE says what a webhook gets: set NOTIFY_WEBHOOK_URL, too")?;
    anyhow::ensure!(
        args.notify_webhook_template == "cloudevents",
        "NOTIFY_WEBHOOK_RECONCILE sends CloudEvents, which {:?} makes no message of: leave NOTIFY_WEBHOOK_TEMPLATE at cloudevents",
        args.notify_webhook_template
    );
    let webhook = super::webhook(args, url)?;
    let per_second = args.notify_webhook_reconcile_rate;
    Ok(Some(Reconciles::new(webhook, filter.clone(), per_second)))
}

/// Every reconcile that the live stream reports from now on.
pub(super) fn news(store: &Store, feed: &Feed) -> BoxStream<'static, ReconcileNews> {
    let (store, stream) = (store.clone(), feed.stream().to_owned());
    let news = feed.subscribe(None).filter_map(move |item| {
        let news = match item {
            FeedItem::Frame(frame) => {
                seen(&store, &stream, &frame).map(|seen| ReconcileNews::One(Box::new(seen)))
            }
            FeedItem::Lagged(count) => Some(ReconcileNews::Missed(count)),
        };
        std::future::ready(news)
    });
    news.boxed()
}

fn seen(store: &Store, stream: &str, frame: &Arc<Frame>) -> Option<ReconcileSeen> {
    if frame.kind != FrameType::Reconcile {
        return None;
    }
    let (data, at) = frame.read::<ReconcileData>()?;
    let (severity, workloads) = about(store, &data);
    Some(ReconcileSeen {
        id: format!("{stream}-{}", frame.seq),
        at,
        data,
        severity,
        workloads,
    })
}

/// How grave what it is about is, and the workloads that it is about.
fn about(store: &Store, data: &ReconcileData) -> (Option<Severity>, Vec<String>) {
    if data.kind == IncidentReconciler::KIND {
        let incident = store.get::<Incident>(&data.name);
        let workload = incident.as_ref().and_then(|incident| incident.workload());
        let workloads = workload.map(|name| name.to_string()).into_iter().collect();
        return (
            incident.as_ref().map(|incident| incident.spec.severity),
            workloads,
        );
    }
    let workloads: Vec<String> = match data.kind.as_str() {
        WorkloadReconciler::KIND | Autoscaler::KIND => vec![data.name.clone()],
        LoadBalancerReconciler::KIND => {
            let balancer = store.get::<LoadBalancer>(&data.name);
            let backends = balancer.iter().flat_map(|balancer| &balancer.spec.backends);
            backends.map(|backend| backend.workload.to_string()).collect()
        }
        _ => Vec::new(),
    };
    let is_critical = |name: &String| store.count(KindInfo::of::<Incident>(), &key::critical(name)) > 0;
    let severity = workloads.iter().any(is_critical).then_some(Severity::Critical);
    (severity, workloads)
}

#[cfg(test)]
mod tests {
    use aegis_api::Kind as _;
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        notifications: Notifications,
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments = ["aegis-controller"].iter().chain(arguments);
        match Command::try_parse_from(arguments) {
            Ok(command) => of(&command.notifications).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_subscription_that_cannot_work_is_refused_at_the_start_with_what_is_allowed() {
        let reconciles = "--notify-webhook-reconcile=result=error";
        let url = "--notify-webhook-url=http://127.0.0.1:1/hook";
        assert!(refused(&[reconciles]).contains("set NOTIFY_WEBHOOK_URL"));
        let chat = "--notify-webhook-template=discord";
        assert!(refused(&[reconciles, url, chat]).contains("leave NOTIFY_WEBHOOK_TEMPLATE at cloudevents"));
        assert!(refused(&["--notify-webhook-reconcile=result=ok", url]).contains("success, requeue, error"));
        assert!(refused(&[reconciles, url, "--notify-webhook-reconcile-rate=0"]).contains("1..=100"));
    }

    #[tokio::test]
    async fn a_frame_of_the_live_stream_is_read_with_what_it_is_about_and_others_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let options = aegis_runtime::StoreOptions::new(folder.path());
        let events = aegis_runtime::EventRecorder::new();
        let (store, driver) = Store::open(options, events).await.unwrap();
        tokio::spawn(driver.run(tokio_util::sync::CancellationToken::new()));
        let incident = json!({"metadata": {"name": "inc"},
            "spec": {"workloadRef": "web", "alertType": "x", "severity": "critical"}});
        store.create(Incident::info(), incident, false).await.unwrap();
        let feed = Feed::default();
        let mut news = news(&store, &feed);
        feed.publish(
            None,
            &aegis_api::wire::AiThinking {
                incident_id: "inc".to_owned(),
                message: "so".to_owned(),
            },
        );
        for (kind, name) in [("Workload", "db"), ("Workload", "web"), ("Incident", "inc")] {
            feed.publish(
                None,
                &ReconcileData {
                    duration_ms: 1.0,
                    error: None,
                    generation: Some(1),
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    requeue_after_ms: None,
                    result: "success".to_owned(),
                    trigger: "store".to_owned(),
                },
            );
        }
        let mut all = Vec::new();
        for _ in 0..3 {
            let Some(ReconcileNews::One(seen)) = news.next().await else {
                panic!("it was missed")
            };
            assert!(seen.id.starts_with(feed.stream()), "{}", seen.id);
            all.push((seen.data.name.clone(), seen.severity, seen.workloads.join(" ")));
        }
        let critical = Some(Severity::Critical);
        assert_eq!(
            all,
            [
                ("db".to_owned(), None, "db".to_owned()),
                ("web".to_owned(), critical, "web".to_owned()),
                ("inc".to_owned(), critical, "web".to_owned()),
            ]
        );
    }
}
