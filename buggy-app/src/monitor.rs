//! The loop that measures, asks [`Watch`] what follows, and has it delivered. Logs each change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::cgroup::{Meter, Reading};
use crate::episode::{Change, Watch};
use crate::webhook::{Alert, Details, Webhook};

/// So many readings go along with an alert: the way up is the evidence.
const HISTORY: usize = 20;

/// Measures the memory of this process for as long as it lives.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) meter: Meter,
    pub(crate) interval: Duration,
    pub(crate) threshold: u8,
    pub(crate) container_name: String,
    pub(crate) hostname: String,
    pub(crate) webhook: Webhook,
}

impl Monitor {
    pub(crate) async fn run(self) {
        let started = Instant::now();
        // The host name distinguishes replicas that were cloned with one container name.
        let short_host: String = self.hostname.chars().take(12).collect();
        let mut watch = Watch::new(self.threshold, &format!("{}-{short_host}", self.container_name));
        let mut history = VecDeque::with_capacity(HISTORY);
        self.introduce();
        loop {
            let now = Timestamp::now();
            match self.meter.read() {
                Ok(reading) => {
                    if history.len() == HISTORY {
                        history.pop_front();
                    }
                    history.push_back((now, reading));
                    report(
                        watch.observe(reading.percent(), now, started.elapsed()),
                        reading,
                        self.threshold,
                    );
                    if let Some(episode) = watch.due(started.elapsed()) {
                        let alert = self.alert(&episode.incident_id, reading, &history);
                        let delivery = self.webhook.deliver(&alert).await;
                        watch.delivered(delivery, started.elapsed(), rand::random());
                    }
                }
                Err(error) => tracing::error!(%error, "cannot read my memory usage"),
            }
            let until_due = watch
                .next_due()
                .map_or(self.interval, |due| due.saturating_sub(started.elapsed()));
            tokio::time::sleep(until_due.min(self.interval)).await;
        }
    }

    fn introduce(&self) {
        match self.meter.read() {
            Ok(reading) => tracing::info!(
                used_mb = reading.used_mb(),
                limit_mb = reading.limit_mb(),
                source = ?reading.source,
                threshold_percent = self.threshold,
                webhook = %self.webhook.endpoint,
                "watching my memory"
            ),
            Err(error) => tracing::error!(%error, "cannot read my memory usage"),
        }
    }

    fn alert(&self, incident_id: &str, reading: Reading, history: &VecDeque<(Timestamp, Reading)>) -> Alert {
        let message = format!(
            "memory usage {:.1} MB is {:.1} % of the limit {:.1} MB, above {} %",
            reading.used_mb(),
            reading.percent(),
            reading.limit_mb(),
            self.threshold
        );
        Alert {
            incident_id: incident_id.to_owned(),
            alert_type: "memory_leak",
            severity: "critical",
            container_name: self.container_name.clone(),
            timestamp: Timestamp::now(),
            logs: trend(history) + "CRITICAL " + &message + "\n",
            details: Details {
                message,
                hostname: self.hostname.clone(),
                memory_usage_mb: reading.used_mb(),
                memory_limit_mb: reading.limit_mb(),
                memory_percent: reading.percent(),
                threshold_percent: self.threshold,
            },
        }
    }
}

fn trend(history: &VecDeque<(Timestamp, Reading)>) -> String {
    let line = |(when, reading): &(Timestamp, Reading)| {
        let (used, percent) = (reading.used_mb(), reading.percent());
        format!("{when:.3} memory usage {used:.1} MB ({percent:.1} %)\n")
    };
    history.iter().map(line).collect()
}

fn report(change: Option<Change>, reading: Reading, threshold: u8) {
    let (used_mb, percent) = (reading.used_mb(), reading.percent());
    match change {
        Some(Change::Began { incident_id }) => {
            tracing::error!(incident = %incident_id, used_mb, percent, threshold, "memory passed the threshold");
        }
        Some(Change::Ended { incident_id }) => {
            tracing::info!(incident = %incident_id, used_mb, percent, threshold, "memory fell below the threshold");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Source;

    #[test]
    fn an_alert_carries_the_way_up() {
        let mb = 1024 * 1024;
        let reading = |used| Reading {
            used: used * mb,
            limit: 256 * mb,
            source: Source::CgroupV2,
        };
        let history = VecDeque::from([
            (Timestamp::UNIX_EPOCH, reading(200)),
            (Timestamp::UNIX_EPOCH, reading(220)),
        ]);
        let text = trend(&history);
        assert_eq!(
            text,
            "1970-01-01T00:00:00.000Z memory usage 200.0 MB (78.1 %)\n\
             1970-01-01T00:00:00.000Z memory usage 220.0 MB (85.9 %)\n"
        );
    }
}
