//! Counters of what becomes of alerts. Labels are bounded: kinds of senders and outcomes, no names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::sender::Sender;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    sender: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SenderLabels {
    sender: &'static str,
}

/// What becomes of alerts. Clones share it.
#[derive(Debug, Clone)]
pub struct IntakeMetrics {
    alerts: Family<Labels, Counter>,
    truncated: Family<SenderLabels, Counter>,
    unproved: Counter,
    unreadable: Counter,
}

impl IntakeMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            alerts: Family::default(),
            truncated: Family::default(),
            unproved: Counter::default(),
            unreadable: Counter::default(),
        };
        let alerts = "Alerts by sender and what became of them: opened, repeated, folded, inhibited, ended, nothing_open, \
                      late, noted, test, unreadable, refused";
        registry.register("aegis_intake_alerts", alerts, metrics.alerts.clone());
        let truncated = "Alerts that senders left out of their messages";
        registry.register(
            "aegis_intake_truncated_alerts",
            truncated,
            metrics.truncated.clone(),
        );
        let unproved = "Requests to alert sources whose sender did not prove who it is";
        registry.register("aegis_intake_unproved", unproved, metrics.unproved.clone());
        let unreadable = "Alerts that could not be read, since the state directory was made: a restart does not begin it again";
        registry.register("aegis_intake_unreadable", unreadable, metrics.unreadable.clone());
        metrics
    }

    /// Goes on from so many alerts that could not be read in earlier runs.
    pub(crate) fn resume(&self, unreadable: u64) {
        self.unreadable.inc_by(unreadable);
    }

    pub(super) fn unreadable(&self, sender: Sender, alerts: u64) {
        let (sender, outcome) = (sender.as_str(), "unreadable");
        let labels = Labels { sender, outcome };
        self.alerts.get_or_create(&labels).inc_by(alerts);
        self.unreadable.inc_by(alerts);
    }

    pub(super) fn count(&self, sender: Sender, outcome: &'static str) {
        let sender = sender.as_str();
        self.alerts.get_or_create(&Labels { sender, outcome }).inc();
    }

    pub(super) fn truncated(&self, sender: Sender, alerts: u64) {
        let sender = sender.as_str();
        self.truncated
            .get_or_create(&SenderLabels { sender })
            .inc_by(alerts);
    }

    pub(super) fn unproved(&self) {
        self.unproved.inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    /// The words of a text that name a metric of intake and correlation.
    fn named(text: &str) -> Vec<&str> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let prefixes = ["aegis_intake_", "aegis_alerts_", "aegis_incidents_"];
        words
            .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
            .collect()
    }

    #[tokio::test]
    async fn rules_and_dashboard_name_metrics_that_there_are() {
        let mut registry = Registry::default();
        let metrics = IntakeMetrics::new(&mut registry);
        metrics.count(Sender::Grafana, "opened");
        metrics.truncated(Sender::Grafana, 1);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let server = crate::testing::Server::start().await;
        let scraped = server
            .ask_with("GET", "/metrics", &[("accept", "text/plain")], None)
            .await
            .text;
        text.push_str(&scraped);
        let rules = include_str!("../../../../examples/monitoring/aegisops.rules.yml");
        let dashboard = include_str!("../../../../examples/monitoring/grafana-dashboard.json");
        let docs = include_str!("../../../../docs/alerts.md");
        for named_in in [rules, dashboard, docs] {
            let found = named(named_in);
            assert!(!found.is_empty());
            for name in found {
                let is_there = text.lines().any(|line| line.starts_with(name));
                assert!(is_there, "{name} is not in {text}");
            }
        }
    }
}
