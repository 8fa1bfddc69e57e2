//! When an alert is due. An episode begins when memory passes the threshold and ends when it fell clearly below;
//! all alerts of one episode carry one incident id. Pure: no clock, no I/O, no chance of its own.

use std::time::Duration;

use jiff::Timestamp;

/// While an episode lasts and its alert was taken, it is sent again this often.
pub(crate) const REPEAT: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// An episode ends this many percent points below the threshold, so that usage around it is one episode, not many.
const REARM_MARGIN: f64 = 5.0;

/// Watches one number, the used share of memory in percent.
#[derive(Debug)]
pub(crate) struct Watch {
    threshold: f64,
    name: String,
    current: Option<Episode>,
}

/// One time above the threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) incident_id: String,
    failures: u32,
    /// Time since the process started at which the next alert is due.
    next: Duration,
}

/// What a reading changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Began { incident_id: String },
    Ended { incident_id: String },
}

/// How an attempt to deliver an alert ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The receiver has it.
    Acknowledged,
    /// The receiver understood and does not want it; asking again at once would change nothing.
    Refused,
    /// No answer, or the receiver was in no state to give one.
    Failed,
}

impl Watch {
    /// `name` goes into the incident ids; it should differ between replicas.
    pub(crate) fn new(threshold: u8, name: &str) -> Self {
        Self {
            threshold: f64::from(threshold),
            name: id_part(name),
            current: None,
        }
    }

    /// Takes a reading made at `now`, which is `uptime` after the start of the process.
    pub(crate) fn observe(&mut self, percent: f64, now: Timestamp, uptime: Duration) -> Option<Change> {
        if self.current.is_none() && percent > self.threshold {
            let incident_id = format!("{}-memory-{}", self.name, id_time(now));
            self.current = Some(Episode {
                incident_id: incident_id.clone(),
                failures: 0,
                next: uptime,
            });
            return Some(Change::Began { incident_id });
        }
        let ended = self
            .current
            .take_if(|_| percent < self.threshold - REARM_MARGIN)?;
        Some(Change::Ended {
            incident_id: ended.incident_id,
        })
    }

    /// The episode whose alert is due now.
    pub(crate) fn due(&self, uptime: Duration) -> Option<&Episode> {
        self.current.as_ref().filter(|episode| episode.next <= uptime)
    }

    /// When the next alert is due, since the start of the process.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.current.as_ref().map(|episode| episode.next)
    }

    /// Takes note of how delivery went; `chance` from 0 to 1 spreads the retries of many senders.
    pub(crate) fn delivered(&mut self, delivery: Delivery, uptime: Duration, chance: f64) {
        let Some(episode) = &mut self.current else { return };
        let wait = match delivery {
            Delivery::Acknowledged | Delivery::Refused => {
                episode.failures = 0;
                REPEAT
            }
            Delivery::Failed => {
                episode.failures = episode.failures.saturating_add(1);
                backoff(episode.failures).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
            }
        };
        episode.next = uptime + wait;
    }
}

/// Doubles with each failure up to the slow repeat.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(REPEAT)
}

/// Lower case letters, digits and dashes, so that the id can name a resource.
fn id_part(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    clean.trim_matches('-').to_owned()
}

/// `20260102t030405678z`: to the millisecond, UTC.
fn id_time(now: Timestamp) -> String {
    now.strftime("%Y%m%dt%H%M%S%3fz").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_323_045 + seconds).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn began() -> Watch {
        let mut watch = Watch::new(85, "buggy-app-v2");
        assert!(matches!(
            watch.observe(90.0, at(0), secs(10)),
            Some(Change::Began { .. })
        ));
        watch
    }

    #[test]
    fn nothing_is_due_up_to_the_threshold() {
        let mut watch = Watch::new(85, "app");
        assert_eq!(watch.observe(85.0, at(0), secs(1)), None);
        assert!(watch.due(secs(100)).is_none());
    }

    #[test]
    fn an_episode_is_named_after_its_start_and_due_at_once() {
        let watch = began();
        assert_eq!(
            watch.due(secs(10)).unwrap().incident_id,
            "buggy-app-v2-memory-20260102t030405000z"
        );
    }

    #[test]
    fn the_id_stays_while_memory_stays_high_or_just_below() {
        let mut watch = began();
        for percent in [95.0, 84.0, 86.0, 80.0, 99.0] {
            assert_eq!(watch.observe(percent, at(60), secs(70)), None, "{percent}");
        }
        assert_eq!(
            watch.due(secs(70)).unwrap().incident_id,
            "buggy-app-v2-memory-20260102t030405000z"
        );
    }

    #[test]
    fn after_a_fall_the_next_time_is_a_new_episode() {
        let mut watch = began();
        assert!(matches!(
            watch.observe(40.0, at(5), secs(15)),
            Some(Change::Ended { .. })
        ));
        assert_eq!(watch.next_due(), None);
        let change = watch.observe(90.0, at(60), secs(70));
        assert_eq!(
            change,
            Some(Change::Began {
                incident_id: "buggy-app-v2-memory-20260102t030505000z".to_owned()
            })
        );
    }

    #[test]
    fn failures_back_off_with_jitter_up_to_the_slow_repeat() {
        let mut watch = began();
        let mut waits = Vec::new();
        for _ in 0..12 {
            watch.delivered(Delivery::Failed, secs(10), 1.0);
            waits.push((watch.next_due().unwrap() - secs(10)).as_millis());
        }
        assert_eq!(waits[..4], [250, 500, 1000, 2000]);
        assert_eq!(waits[11], 30_000);
        watch.delivered(Delivery::Failed, secs(10), 0.0);
        assert_eq!(watch.next_due().unwrap(), secs(25));
    }

    #[test]
    fn an_acknowledged_or_refused_alert_is_repeated_slowly() {
        for delivery in [Delivery::Acknowledged, Delivery::Refused] {
            let mut watch = began();
            watch.delivered(Delivery::Failed, secs(10), 0.5);
            watch.delivered(delivery, secs(11), 0.5);
            assert!(watch.due(secs(40)).is_none());
            assert!(watch.due(secs(41)).is_some());
        }
    }

    #[test]
    fn an_id_can_name_a_resource_whatever_the_container_is_called() {
        assert_eq!(id_part("My_App.v2/"), "my-app-v2");
        assert!(id_part(&"x".repeat(100)).len() <= 40);
    }
}
