//! Gives the notifier what it needs: the incidents as they change, a file to remember in, and instruments for what becomes
//! of cards. Decides nothing.

use std::sync::Arc;

use aegis_api::{Incident, Kind, Time};
use aegis_notify::{Counters, Level, Notifier, Slack, Update};
use aegis_runtime::Store;
use aegis_runtime::store::{StoreEvent, Verb};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::args::Notifications;
use crate::silenced;

/// The notifier, where an address is configured.
pub(crate) async fn notifier(
    args: &Notifications,
    store: &Store,
    registry: &mut Registry,
) -> anyhow::Result<Option<Notifier>> {
    let Some(url) = &args.slack_webhook_url else {
        return Ok(None);
    };
    let slack = Slack::new(url)?;
    let file = store.dir().join(".notify").join("slack.json");
    let notifier = Notifier::open(slack, args.slack_notify, file).await;
    registry.register_collector(Box::new(Instruments(notifier.counters())));
    tracing::info!("incidents are posted to Slack ({})", words(args.slack_notify));
    Ok(Some(notifier))
}

fn words(level: Level) -> &'static str {
    match level {
        Level::All => "every entry of the timeline",
        Level::Important => "received, decision, approval, action, end",
        Level::End => "approval and end",
    }
}

/// Every incident at the start, each change after it, and all again after a gap and when a silence begins or ends; without
/// what is silenced.
pub(crate) fn updates(store: &Store) -> BoxStream<'static, Update> {
    let (store, filtering) = (store.clone(), store.clone());
    let unfolded = stream::unfold((store, None), |(store, watching)| async move {
        let (mut changes, standing): (BoxStream<'static, StoreEvent>, Vec<String>) = match watching {
            Some(watching) => watching,
            None => {
                // First the watch, then the list: what changes in between comes twice, and is inspected twice.
                let changes = store.watch(None).ok()?;
                let all = store.list::<Incident>();
                let standing = silenced::standing(&store, now());
                return Some((Some(Update::All(all)), (store, Some((changes, standing)))));
            }
        };
        let next = tokio::time::timeout(silenced::EVERY, changes.next()).await;
        let current = silenced::standing(&store, now());
        Some(match next {
            Ok(None) => (None, (store, None)),
            _ if current != standing => {
                let all = store.list::<Incident>();
                (Some(Update::All(all)), (store, Some((changes, current))))
            }
            Ok(Some(event)) => (update(&event), (store, Some((changes, standing)))),
            Err(_) => (None, (store, Some((changes, standing)))),
        })
    });
    unfolded
        .filter_map(move |update| {
            let heard = update.and_then(|update| silenced::heard(&filtering, update, now()));
            std::future::ready(heard)
        })
        .boxed()
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}

fn update(event: &StoreEvent) -> Option<Update> {
    if event.object.info.plural != Incident::PLURAL {
        return None;
    }
    match event.verb {
        Verb::Added | Verb::Modified => event.object.typed().map(Update::Changed),
        Verb::Deleted => Some(Update::Gone(event.object.uid().to_owned())),
    }
}

/// Reads the notifier's counters at every scrape.
#[derive(Debug)]
struct Instruments(Arc<Counters>);

impl Collector for Instruments {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = [
            ("aegis_notify_sent", "Cards posted to Slack.", self.0.sent()),
            (
                "aegis_notify_failures",
                "Posts to Slack that failed.",
                self.0.failed(),
            ),
            (
                "aegis_notify_dropped",
                "Cards for Slack that were given up.",
                self.0.dropped(),
            ),
        ];
        for (name, help, value) in counts {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let waiting = ConstGauge::new(i64::try_from(self.0.waiting()).unwrap_or(i64::MAX));
        let help = "Cards for Slack that wait.";
        let metric = encoder.encode_descriptor("aegis_notify_waiting", help, None, waiting.metric_type())?;
        waiting.encode(metric)
    }
}
