//! Requests to each workload, to each upstream and to each of its servers, as a load balancer's log tells of them: spans of
//! three seconds for a quarter of an hour, and minutes for a day. Owns the counts, and the last reading of nginx's
//! connections. No I/O: what reads the log counts.
//!
//! Bounds: a series has at most 320 spans of 192 bytes and 1,440 minutes of 48, some 130 KiB, and only those in which there
//! were requests. There are at most [`MOST_WORKLOADS`] and [`MOST_SERVERS`] series; a new one takes the place of the one that
//! had no request for longest, if that is a minute ago, and is not counted otherwise. What has had none for a day is
//! gone. Each of the two kinds has at most [`MOST_BYTES`]: beyond, the longest series lose their older half of minutes.

mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::signals::{Outcome, Requests};
use aegis_api::wire::{Connections, RequestTotals};

use series::{MINUTE, Series};

/// Workloads that are counted.
const MOST_WORKLOADS: usize = 200;
/// Servers and upstreams that are counted.
const MOST_SERVERS: usize = 500;
/// Bytes of the series of workloads, and of those of servers and upstreams.
const MOST_BYTES: usize = 16 << 20;
/// How long ago a series was last counted that may go when there is no room for another.
const GONE: Duration = Duration::from_secs(60);
/// How long after a minute's end the last lines of it have arrived: nginx writes its log once a second.
const SETTLES: i64 = 6;

/// Whose requests are counted beside a workload's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerKey {
    /// Name of the load balancer.
    pub balancer: String,
    /// Upstream name.
    pub upstream: String,
    /// Container name; `None` for the upstream as a whole.
    pub container: Option<String>,
}

/// The requests to one upstream or server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerRequests {
    /// Whose they are.
    pub key: Arc<ServerKey>,
    /// Those of the last time that was requested.
    pub requests: Requests,
    /// All of them since this controller began to count.
    pub totals: RequestTotals,
}

/// A minute that is over, of all that had requests in it.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedRequests {
    /// Minutes since 1970.
    pub minute: u32,
    /// By workload.
    pub workloads: Vec<(String, Requests)>,
    /// By upstream and server.
    pub servers: Vec<(ServerKey, Requests)>,
}

/// The counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    workloads: Rings<String>,
    servers: Rings<Arc<ServerKey>>,
    /// Load balancers whose log is followed, and since when.
    followed: BTreeMap<String, Time>,
    /// Load balancers whose log cannot be followed, and why.
    unreadable: BTreeMap<String, String>,
    connections: BTreeMap<String, Connections>,
    /// The last minute that was handed out as finished.
    finished: u32,
}

impl Traffic {
    /// Counts a request that ended then and took so long.
    pub fn count(&self, workload: &str, end: Time, outcome: Outcome, millis: u32) {
        let mut kept = self.kept();
        if let Some(series) = kept.workloads.of(workload, MOST_WORKLOADS, end, str::to_owned) {
            series.count(end, outcome, millis);
        }
    }

    /// As [`Traffic::count`], for an upstream or a server.
    pub fn count_server(&self, key: &Arc<ServerKey>, end: Time, outcome: Outcome, millis: u32) {
        let mut kept = self.kept();
        if let Some(series) = kept.servers.of(key, MOST_SERVERS, end, Arc::clone) {
            series.count(end, outcome, millis);
        }
    }

    /// The spans of a workload that reach into the last `within`, oldest first; `None` where its requests are not counted.
    pub fn within(&self, workload: &str, now: Time, within: Duration) -> Option<Vec<Requests>> {
        let kept = self.kept();
        Some(kept.workloads.0.get(workload)?.within(now, within))
    }

    /// The upstreams and servers of a load balancer that have had a request within a quarter of an hour, by upstream and
    /// container, an upstream before its servers, with their requests of the last so many seconds.
    pub fn servers(&self, balancer: &str, now: Time, over_seconds: u32) -> Vec<ServerRequests> {
        let kept = self.kept();
        let own = kept.servers.0.iter().filter(|(key, _)| key.balancer == balancer);
        own.filter(|(_, series)| series.is_recent(now))
            .map(|(key, series)| ServerRequests {
                key: Arc::clone(key),
                requests: series.sum(now, over_seconds),
                totals: series.totals(),
            })
            .collect()
    }

    /// The log of this load balancer is followed from now on.
    pub fn set_followed(&self, balancer: &str, since: Time) {
        let mut kept = self.kept();
        kept.unreadable.remove(balancer);
        kept.followed.insert(balancer.to_owned(), since);
    }

    /// It cannot be followed.
    pub fn set_unreadable(&self, balancer: &str, why: String) {
        self.kept().unreadable.insert(balancer.to_owned(), why);
    }

    /// Why its log cannot be followed, where that was tried in vain since it last was.
    pub fn unreadable(&self, balancer: &str) -> Option<String> {
        self.kept().unreadable.get(balancer).cloned()
    }

    /// Forgets what is known of the logs of load balancers other than these.
    pub fn retain_logs(&self, balancers: &[String]) {
        let mut kept = self.kept();
        kept.unreadable.retain(|balancer, _| balancers.contains(balancer));
    }

    /// The workloads that have had a request within a quarter of an hour, by name, with their requests of the last so many
    /// seconds and all of them since this controller began to count.
    pub fn workloads(&self, now: Time, over_seconds: u32) -> Vec<(String, Requests, RequestTotals)> {
        let kept = self.kept();
        let recent = kept
            .workloads
            .0
            .iter()
            .filter(|(_, series)| series.is_recent(now));
        recent
            .map(|(name, series)| (name.clone(), series.sum(now, over_seconds), series.totals()))
            .collect()
    }

    /// It is followed no more.
    pub fn set_unfollowed(&self, balancer: &str) {
        self.kept().followed.remove(balancer);
    }

    /// Since when its log is followed; `None` while it is not.
    pub fn followed_since(&self, balancer: &str) -> Option<Time> {
        self.kept().followed.get(balancer).copied()
    }

    /// Takes down nginx's connections, or that they cannot be read.
    pub fn set_connections(&self, balancer: &str, connections: Option<Connections>) {
        let mut kept = self.kept();
        match connections {
            Some(connections) => kept.connections.insert(balancer.to_owned(), connections),
            None => kept.connections.remove(balancer),
        };
    }

    /// nginx's connections as they were last read.
    pub fn connections(&self, balancer: &str) -> Option<Connections> {
        self.kept().connections.get(balancer).copied()
    }

    /// Forgets the connections of load balancers other than these.
    pub fn retain_connections(&self, balancers: &BTreeSet<String>) {
        let mut kept = self.kept();
        kept.connections
            .retain(|balancer, _| balancers.contains(balancer));
    }

    /// The minute before this one, once it is over, the last lines of it have arrived, and it was not handed out yet. What
    /// is too old is forgotten on the way.
    pub fn finished(&self, now: Time) -> Option<FinishedRequests> {
        let mut kept = self.kept();
        let settled = now.unix_seconds().saturating_sub(SETTLES);
        let minute = u32::try_from(settled / MINUTE).ok()?.checked_sub(1)?;
        if kept.finished == minute {
            return None;
        }
        kept.finished = minute;
        kept.workloads.tidy(now);
        kept.servers.tidy(now);
        let workloads = kept.workloads.minute(minute);
        let servers = kept.servers.minute(minute);
        let servers = servers.map(|(key, requests)| (ServerKey::clone(key), requests));
        let finished = FinishedRequests {
            minute,
            workloads: workloads
                .map(|(name, requests)| (name.clone(), requests))
                .collect(),
            servers: servers.collect(),
        };
        let is_empty = finished.workloads.is_empty() && finished.servers.is_empty();
        (!is_empty).then_some(finished)
    }

    /// Puts back a minute that an earlier run kept; the oldest first.
    pub fn restore(&self, finished: FinishedRequests, now: Time) {
        let mut kept = self.kept();
        for (workload, requests) in finished.workloads {
            let series = kept.workloads.of(&workload, MOST_WORKLOADS, now, String::clone);
            if let Some(series) = series {
                series.restore(finished.minute, &requests, now);
            }
        }
        for (key, requests) in finished.servers {
            let key = Arc::new(key);
            if let Some(series) = kept.servers.of(&key, MOST_SERVERS, now, Arc::clone) {
                series.restore(finished.minute, &requests, now);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The series of one kind.
#[derive(Debug)]
struct Rings<K>(BTreeMap<K, Series>);

impl<K> Default for Rings<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Rings<K> {
    /// The series of this key; `None` where there is no room for another.
    fn of<Q: Ord + ?Sized>(
        &mut self,
        key: &Q,
        most: usize,
        now: Time,
        owned: impl FnOnce(&Q) -> K,
    ) -> Option<&mut Series>
    where
        K: std::borrow::Borrow<Q>,
    {
        if !self.0.contains_key(key) {
            if self.0.len() >= most {
                let (oldest, series) = self.0.iter().min_by_key(|(_, series)| series.last())?;
                let is_gone = series.last().is_none_or(|last| last.age(now) > GONE);
                let oldest = oldest.clone();
                is_gone.then(|| self.0.remove::<K>(&oldest))?;
            }
            self.0.insert(owned(key), Series::default());
        }
        self.0.get_mut(key)
    }

    /// Makes minutes of what is no longer kept by the span, and drops what is too old or too much.
    fn tidy(&mut self, now: Time) {
        for series in self.0.values_mut() {
            series.forget(now);
        }
        self.0.retain(|_, series| !series.is_empty());
        while self.0.values().map(Series::bytes).sum::<usize>() > MOST_BYTES {
            let longest = self.0.values_mut().max_by_key(|series| series.minutes());
            if !longest.is_some_and(Series::halve) {
                return;
            }
        }
    }

    /// What was counted in a minute, of all that had requests in it.
    fn minute(&self, minute: u32) -> impl Iterator<Item = (&K, Requests)> {
        let all = self.0.iter();
        all.filter_map(move |(key, series)| Some((key, series.minute(minute)?)))
    }
}

/// Seconds since 1970 as a time.
fn at(secs: i64) -> Time {
    Time(jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Duration = Duration::from_secs(1 << 40);

    fn begin(secs: i64) -> Time {
        at(1_900_000_020 + secs)
    }

    fn server(name: &str) -> Arc<ServerKey> {
        Arc::new(ServerKey {
            balancer: "lb".to_owned(),
            upstream: "web".to_owned(),
            container: Some(name.to_owned()),
        })
    }

    fn sum(traffic: &Traffic, now: Time) -> u32 {
        let spans = traffic.within("web", now, ALWAYS).unwrap();
        spans.iter().map(|span| span.answered).sum()
    }

    #[test]
    fn two_days_of_requests_are_a_day_of_spans_that_do_not_overlap_and_lose_nothing() {
        let traffic = Traffic::default();
        for secs in 0..48 * 3600 {
            let outcome = match secs % 100 {
                0 => Outcome::Failed,
                _ => Outcome::Answered,
            };
            traffic.count("web", begin(secs), outcome, 3);
        }
        let now = begin(48 * 3600);
        let spans = traffic.within("web", now, ALWAYS).unwrap();
        assert!(
            (1440 + 300..=1440 + 340).contains(&spans.len()),
            "{}",
            spans.len()
        );
        for (one, next) in spans.iter().zip(&spans[1..]) {
            assert_eq!(
                one.at.unix_seconds() + i64::from(one.secs),
                next.at.unix_seconds(),
                "{one:?} {next:?}"
            );
        }
        let all: u32 = spans.iter().map(|span| span.answered).sum();
        let secs: u32 = spans.iter().map(|span| span.secs).sum();
        let errors: u32 = spans.iter().map(|span| span.errors).sum();
        assert!(all <= secs && all + 3 >= secs, "{all} of {secs}");
        assert!(errors.abs_diff(all / 100) <= 1, "{errors} of {all}");
        assert!(spans.last().unwrap().secs == 3 && spans[0].secs == 60);
        let minute = traffic.within("web", now, Duration::from_secs(60)).unwrap();
        assert_eq!(minute.len(), 19, "those that began within it: {minute:?}");
        assert!(traffic.within("db", now, ALWAYS).is_none());
    }

    #[test]
    fn late_lines_and_a_clock_that_is_set_back_are_taken() {
        let traffic = Traffic::default();
        traffic.count("web", begin(100), Outcome::Answered, 3);
        traffic.count("web", begin(85), Outcome::Failed, 3);
        traffic.count("web", begin(95), Outcome::Failed, 3);
        let now = begin(101);
        assert_eq!(
            sum(&traffic, now),
            1,
            "what was before the first span is not counted"
        );
        traffic.count("web", begin(150), Outcome::Answered, 3);
        traffic.count("web", begin(120), Outcome::Failed, 3);
        let spans = traffic.within("web", begin(151), ALWAYS).unwrap();
        let begins: Vec<i64> = spans
            .iter()
            .map(|span| span.at.unix_seconds() - 1_900_000_020)
            .collect();
        assert_eq!(
            (begins, spans[1].errors),
            (vec![99, 120, 150], 1),
            "where it belongs"
        );
        traffic.count("web", begin(-100_000), Outcome::Answered, 3);
        let spans = traffic.within("web", begin(-99_999), ALWAYS).unwrap();
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].answered, 1);
        assert_eq!(sum(&traffic, begin(1000)), 1, "what was dated later is gone");
    }

    #[test]
    fn servers_that_come_and_go_take_no_more_room_than_there_is() {
        let traffic = Traffic::default();
        // A hundred a minute for an hour, each busy for its minute.
        for minute in 0..60 {
            for number in 0..100 {
                let key = server(&format!("web-{minute}-{number}"));
                for secs in [0, 20, 40] {
                    traffic.count_server(&key, begin(minute * 60 + secs), Outcome::Answered, 5);
                }
            }
            let _ = traffic.finished(begin(minute * 60 + 59));
        }
        let kept = traffic.kept();
        assert!(kept.servers.0.len() <= MOST_SERVERS, "{}", kept.servers.0.len());
        let newest = kept.servers.0.get(&server("web-59-0")).map(Series::last);
        assert!(newest.is_some(), "the newest ones have their place");
        drop(kept);
        let now = begin(60 * 60);
        assert!(traffic.servers("lb", now, 60).len() >= 100);
        let _ = traffic.finished(begin(2 * 24 * 3600));
        assert!(
            traffic.kept().servers.0.is_empty(),
            "what has had none for a day is gone"
        );
        // As many as there is room for that are all busy: another is not counted, and none of them lost.
        for number in 0..MOST_SERVERS + 50 {
            traffic.count_server(&server(&format!("web-{number}")), now, Outcome::Answered, 5);
        }
        assert_eq!(traffic.kept().servers.0.len(), MOST_SERVERS);
    }

    #[test]
    fn what_is_kept_has_a_bound_in_bytes() {
        let traffic = Traffic::default();
        let keys: Vec<_> = (0..480).map(|number| server(&format!("web-{number}"))).collect();
        for minute in 0..800 {
            for key in &keys {
                traffic.count_server(key, begin(minute * 60), Outcome::Answered, 5);
            }
            let _ = traffic.finished(begin(minute * 60 + 59));
        }
        let kept = traffic.kept();
        let bytes: usize = kept.servers.0.values().map(Series::bytes).sum();
        assert!(bytes <= MOST_BYTES + (1 << 20), "{bytes}");
        assert_eq!(kept.servers.0.len(), 480, "none is lost");
        let least = kept.servers.0.values().map(Series::minutes).min().unwrap();
        assert!(least >= 200, "{least} minutes are left of the shortest");
    }

    #[test]
    fn a_minute_is_handed_out_once_when_its_last_lines_are_there_and_put_back_after_a_restart() {
        let traffic = Traffic::default();
        let key = server("web-1");
        for secs in 0..240 {
            let outcome = match secs % 10 {
                0 => Outcome::Cancelled,
                _ => Outcome::Answered,
            };
            traffic.count("web", begin(secs), outcome, 40);
            traffic.count_server(&key, begin(secs), outcome, 40);
        }
        let mut finished: Vec<FinishedRequests> = Vec::new();
        for secs in 0..240 {
            finished.extend(traffic.finished(begin(secs)));
        }
        let minute = |n: u32| u32::try_from(1_900_000_020 / 60).unwrap() + n;
        let minutes: Vec<u32> = finished.iter().map(|one| one.minute).collect();
        assert_eq!(minutes, [minute(0), minute(1), minute(2)]);
        let again = Traffic::default();
        for one in finished {
            assert_eq!((one.workloads.len(), one.servers.len()), (1, 1));
            again.restore(one, begin(300));
        }
        let spans = again.within("web", begin(300), ALWAYS).unwrap();
        assert_eq!(spans.len(), 3);
        for span in &spans {
            assert_eq!(
                (span.secs, span.answered, span.cancelled),
                (60, 54, 6),
                "{span:?}"
            );
            assert!(span.quantile(0.95).unwrap() <= 50.0);
        }
        assert_eq!(again.servers("lb", begin(300), 60), [], "none is recent");
        // It goes on where the earlier one ended.
        again.count("web", begin(301), Outcome::Answered, 40);
        assert_eq!(sum(&again, begin(302)), 3 * 54 + 1);
    }

    #[test]
    fn rates_of_servers_are_those_of_the_time_that_is_requested() {
        let traffic = Traffic::default();
        let (web, other) = (server("web-1"), server("web-2"));
        for secs in 0..300 {
            traffic.count_server(&web, begin(secs), Outcome::Answered, 3);
        }
        traffic.count_server(&other, begin(10), Outcome::Failed, 3);
        let found = traffic.servers("lb", begin(300), 60);
        let names: Vec<_> = found.iter().map(|one| one.key.container.as_deref()).collect();
        assert_eq!(names, [Some("web-1"), Some("web-2")]);
        assert_eq!((found[0].requests.answered, found[0].totals.answered), (60, 300));
        assert_eq!((found[1].requests.answered, found[1].totals.errors), (0, 1));
        assert!(traffic.servers("other", begin(300), 60).is_empty());
        assert!(traffic.servers("lb", begin(2000), 60).is_empty());
    }
}
