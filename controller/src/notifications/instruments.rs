//! Metrics of notifications, read at every scrape.

use std::sync::Arc;

use aegis_notify::{Clicks, Handle, Journal};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads the journals and the counts of clicks.
#[derive(Debug)]
pub(super) struct Instruments {
    handles: Arc<[Handle]>,
    clicks: Option<Arc<Clicks>>,
}

impl Instruments {
    pub(super) fn new(handles: Arc<[Handle]>, clicks: Option<Arc<Clicks>>) -> Self {
        Self { handles, clicks }
    }
}

/// Name, help, and what is read of a destination.
type Counted = (&'static str, &'static str, fn(&Journal) -> u64);

const COUNTERS: [Counted; 4] = [
    (
        "aegis_notify_sent",
        "Notifications that were taken.",
        Journal::sent,
    ),
    (
        "aegis_notify_failures",
        "Attempts at notifications that failed.",
        Journal::failed,
    ),
    (
        "aegis_notify_dropped",
        "Notifications that were given up.",
        Journal::dropped,
    ),
    (
        "aegis_notify_folded",
        "Notifications that a digest stands for.",
        Journal::folded,
    ),
];

fn stopped(journal: &Journal) -> u64 {
    u64::from(journal.stopped().is_some())
}

const GAUGES: [Counted; 2] = [
    (
        "aegis_notify_waiting",
        "Notifications that wait.",
        Journal::waiting,
    ),
    (
        "aegis_notify_stopped",
        "Whether nothing is sent any more: the receiver refuses the credential or the channel.",
        stopped,
    ),
];

impl Collector for Instruments {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, read) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for journal in self.handles.iter().map(Handle::journal) {
                let labels = [("destination", journal.name())];
                let family = metric.encode_family(&labels)?;
                ConstCounter::new(read(journal)).encode(family)?;
            }
        }
        for (name, help, read) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for journal in self.handles.iter().map(Handle::journal) {
                let labels = [("destination", journal.name())];
                let family = metric.encode_family(&labels)?;
                ConstGauge::new(i64::try_from(read(journal)).unwrap_or(i64::MAX)).encode(family)?;
            }
        }
        let Some(clicks) = &self.clicks else { return Ok(()) };
        let counters = clicks.counters();
        let help = "Clicks in Slack, by what became of them.";
        let mut metric = encoder.encode_descriptor("aegis_slack_clicks", help, None, MetricType::Counter)?;
        for (outcome, count) in [
            ("decided", counters.decided()),
            ("refused", counters.refused()),
            ("forged", counters.forged()),
        ] {
            let labels = [("outcome", outcome)];
            let family = metric.encode_family(&labels)?;
            ConstCounter::new(count).encode(family)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a text that name a metric of notifications.
    fn named(text: &str) -> Vec<&str> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        words
            .filter(|word| word.starts_with("aegis_notify_") || word.starts_with("aegis_slack_"))
            .collect()
    }

    #[test]
    fn rules_and_dashboard_name_metrics_that_there_are() {
        let counters = COUNTERS.iter().map(|(name, ..)| format!("{name}_total"));
        let gauges = GAUGES.iter().map(|(name, ..)| (*name).to_owned());
        let known: Vec<String> = counters
            .chain(gauges)
            .chain(["aegis_slack_clicks_total".to_owned()])
            .collect();
        let rules = include_str!("../../../examples/monitoring/aegisops.rules.yml");
        let dashboard = include_str!("../../../examples/monitoring/grafana-dashboard.json");
        serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
        for text in [rules, dashboard] {
            let found = named(text);
            assert!(!found.is_empty());
            for name in found {
                assert!(known.iter().any(|known| known == name), "{name}");
            }
        }
    }

    #[test]
    fn every_metric_is_described() {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Instruments::new(Arc::from(Vec::new()), None)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for (name, ..) in COUNTERS.iter().chain(&GAUGES) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}: {text}");
        }
    }
}
