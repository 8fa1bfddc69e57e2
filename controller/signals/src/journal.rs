//! The file that the coarse ring survives in: `<state>/.signals/<hour>.jsonl`, a line a minute, a file an hour, the last
//! twenty-five of them. Owns that folder.
//!
//! Readings of containers and counts of requests have a line each: those arrive a few seconds after the minute.
//!
//! A line is written by one append, so that at most the last one is torn; a line that cannot be read is logged and
//! passed over. Nothing is synced: a minute that is lost is one reading less. Bounds: 500 containers of some 40
//! bytes a line make 20 KB a minute, 30 MB a day; a hundred make 6 MB. What had no request in a minute is not in its line;
//! 700 workloads, upstreams and servers of some 100 bytes make 70 KB a minute, 100 MB a day; twenty make 3 MB. A file of more
//! than [`LARGEST`] is not read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_api::Time;
use aegis_api::signals::Requests;
use serde::{Deserialize, Serialize};

use crate::rings::{Finished, History};
use crate::traffic::{FinishedRequests, ServerKey, Traffic};

const FOLDER: &str = ".signals";
const ENDING: &str = ".jsonl";
const MINUTES_A_FILE: u32 = 60;
/// How many files are kept: a day, and the hour that is being written.
const FILES: u32 = 25;
/// The largest file that is read, bytes.
const LARGEST: u64 = 16 << 20;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Minutes since 1970.
    minute: u32,
    /// By container: mean CPU in percent of a core, and memory in KiB at its end.
    containers: BTreeMap<String, (Option<f32>, u32)>,
    /// Requests by workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    workloads: BTreeMap<String, Counts>,
    /// Requests by load balancer, upstream and container; the upstream as a whole names no container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    servers: Vec<(String, String, Option<String>, Counts)>,
}

/// Answered, of those with 5xx, cancelled, milliseconds that all took together, and the coarse classes of latency up to the
/// last one in which there was a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counts(u32, u32, u32, u32, Vec<u32>);

impl Counts {
    fn of(requests: &Requests) -> Self {
        let latency = requests.coarse_latency();
        let used = latency.iter().rposition(|count| *count > 0);
        let used = used.map_or(0, |last| last.saturating_add(1));
        Self(
            requests.answered,
            requests.errors,
            requests.cancelled,
            requests.busy_ms,
            latency.iter().copied().take(used).collect(),
        )
    }

    fn requests(&self, at: Time) -> Requests {
        let Self(answered, errors, cancelled, busy_ms, used) = self;
        Requests {
            answered: *answered,
            errors: *errors,
            cancelled: *cancelled,
            busy_ms: *busy_ms,
            latency: Requests::spread_latency(used),
            ..Requests::none(at, std::time::Duration::from_secs(60))
        }
    }
}

impl Line {
    fn of_containers(finished: Finished) -> Self {
        Self {
            minute: finished.minute,
            containers: finished.containers.into_iter().collect(),
            workloads: BTreeMap::new(),
            servers: Vec::new(),
        }
    }

    fn of_requests(finished: FinishedRequests) -> Self {
        let workloads = finished.workloads.into_iter();
        let servers = finished.servers.into_iter();
        Self {
            minute: finished.minute,
            containers: BTreeMap::new(),
            workloads: workloads
                .map(|(name, requests)| (name, Counts::of(&requests)))
                .collect(),
            servers: servers
                .map(|(key, requests)| (key.balancer, key.upstream, key.container, Counts::of(&requests)))
                .collect(),
        }
    }

    fn restore(self, history: &History, traffic: &Traffic, now: Time) {
        let minute = self.minute;
        let at = jiff::Timestamp::from_second(i64::from(minute) * 60).map_or(now, Time);
        let workloads = self.workloads.into_iter();
        let servers = self.servers.into_iter();
        let requests = FinishedRequests {
            minute,
            workloads: workloads
                .map(|(name, counts)| (name, counts.requests(at)))
                .collect(),
            servers: servers
                .map(|(balancer, upstream, container, counts)| {
                    let key = ServerKey {
                        balancer,
                        upstream,
                        container,
                    };
                    (key, counts.requests(at))
                })
                .collect(),
        };
        history.restore(minute, self.containers, minute_of(now));
        traffic.restore(requests, now);
    }
}

/// Where minutes are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<PathBuf>);

impl Journal {
    /// In this state directory; the folder is made with the first minute.
    pub fn new(state: &Path) -> Self {
        Self(Arc::new(state.join(FOLDER)))
    }

    /// Reads back what is not older than a day. What cannot be read is logged, and is no error.
    pub async fn restore(&self, history: &History, traffic: &Traffic, now: Time) {
        let (journal, history, traffic) = (self.clone(), history.clone(), traffic.clone());
        let read = tokio::task::spawn_blocking(move || journal.read(&history, &traffic, now));
        if let Err(error) = read.await {
            tracing::warn!(%error, "the readings of the last day could not be read");
        }
    }

    /// Adds the minutes that have just ended, if any have.
    pub async fn keep(&self, history: &History, traffic: &Traffic, now: Time) {
        let containers = history.finished(now).map(Line::of_containers);
        let requests = traffic.finished(now).map(Line::of_requests);
        for line in containers.into_iter().chain(requests) {
            let journal = self.clone();
            let written = tokio::task::spawn_blocking(move || journal.write(&line)).await;
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = written {
                tracing::warn!(%error, folder = %self.0.display(), "a minute of readings could not be kept");
            }
        }
    }

    fn read(&self, history: &History, traffic: &Traffic, now: Time) {
        for (hour, path) in self.files() {
            if is_old(hour, minute_of(now)) {
                continue;
            }
            match text(&path) {
                Ok(text) => {
                    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
                        match serde_json::from_str::<Line>(line) {
                            Ok(line) => line.restore(history, traffic, now),
                            Err(error) => {
                                let file = path.display();
                                tracing::warn!(%file, line = number + 1, %error, "a minute of readings is passed over");
                            }
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "an hour of readings is passed over");
                }
            }
        }
    }

    fn write(&self, written: &Line) -> io::Result<()> {
        fs::create_dir_all(&*self.0)?;
        let hour = written.minute / MINUTES_A_FILE;
        let path = self.0.join(format!("{hour}{ENDING}"));
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let mut line = Vec::new();
        if !is_new && !ends_well(&mut file)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, written)?;
        line.push(b'\n');
        file.write_all(&line)?;
        if is_new {
            self.tidy(written.minute);
        }
        Ok(())
    }

    /// Drops files of more than a day ago.
    fn tidy(&self, now: u32) {
        for (hour, path) in self.files() {
            // One of a time to come is kept: the clock may not be set yet.
            if is_old(hour, now)
                && hour <= now / MINUTES_A_FILE
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(file = %path.display(), %error, "old readings could not be removed");
            }
        }
    }

    /// Files by hour, the oldest first.
    fn files(&self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&*self.0).into_iter().flatten().flatten();
        let mut files: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let hour = name.to_str()?.strip_suffix(ENDING)?.parse().ok()?;
                Some((hour, entry.path()))
            })
            .collect();
        files.sort_unstable();
        files
    }
}

/// Whether a file of this hour holds nothing of the last day; nor does one of a day to come, before the clock was set.
fn is_old(hour: u32, now: u32) -> bool {
    let this = now / MINUTES_A_FILE;
    hour.saturating_add(FILES) <= this || hour > this
}

fn minute_of(now: Time) -> u32 {
    u32::try_from(now.unix_seconds() / 60).unwrap_or_default()
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the last line is whole: a kill may have torn it.
fn ends_well(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use aegis_api::signals::Outcome;

    use super::*;
    use crate::rings::tests::{at, load};

    async fn run(journal: &Journal, history: &History, secs: std::ops::Range<i64>) {
        for now in secs.step_by(3) {
            history.add(at(now), [("web", load(now, 10)), ("db", load(now, 20))]);
            journal.keep(history, &Traffic::default(), at(now)).await;
        }
    }

    #[tokio::test]
    async fn minutes_survive_a_restart_and_a_torn_or_foreign_line_costs_only_itself() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::new(state.path());
        run(&journal, &History::default(), 0..660).await;
        let files: Vec<PathBuf> = journal.files().into_iter().map(|(_, path)| path).collect();
        for path in &files {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"nonsense\n{\"minute\":1,\"cont").unwrap();
        }
        let again = History::default();
        journal.restore(&again, &Traffic::default(), at(660)).await;
        let minutes = again.with(|view| view.minutes("web").to_vec());
        assert!((9..=11).contains(&minutes.len()), "{minutes:?}");
        assert!(
            minutes.iter().all(|minute| minute.memory_kib == 10 << 10),
            "{minutes:?}"
        );
        // It goes on behind the torn line.
        run(&journal, &again, 660..900).await;
        let third = History::default();
        journal.restore(&third, &Traffic::default(), at(900)).await;
        assert!(third.with(|view| view.minutes("db").len()) >= 13);
    }

    #[tokio::test]
    async fn a_day_is_kept_and_no_more() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::new(state.path());
        let history = History::default();
        for hour in 0..30 {
            run(&journal, &history, hour * 3600..hour * 3600 + 180).await;
        }
        assert!(journal.files().len() <= 26, "{:?}", journal.files());
        let again = History::default();
        journal
            .restore(&again, &Traffic::default(), at(29 * 3600 + 180))
            .await;
        let minutes = again.with(|view| view.minutes("web").len());
        assert!((48..=75).contains(&minutes), "{minutes}");
        journal.restore(&again, &Traffic::default(), at(1_000_000)).await;
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_costs_nothing_but_the_readings() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FOLDER), "a file").unwrap();
        let history = History::default();
        let journal = Journal::new(state.path());
        run(&journal, &history, 0..120).await;
        journal.restore(&history, &Traffic::default(), at(120)).await;
        assert!(history.with(|view| view.samples("web").len()) > 30);
    }

    #[tokio::test]
    async fn requests_survive_a_restart_and_what_an_earlier_version_wrote_is_still_read() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::new(state.path());
        let (history, traffic) = (History::default(), Traffic::default());
        let key = std::sync::Arc::new(ServerKey {
            balancer: "lb".to_owned(),
            upstream: "web".to_owned(),
            container: Some("web-1".to_owned()),
        });
        for secs in 0..600 {
            let outcome = Outcome::of_status(if secs % 10 == 0 { 499 } else { 200 });
            traffic.count("web", at(secs), outcome, 40);
            traffic.count_server(&key, at(secs), outcome, 40);
            journal.keep(&history, &traffic, at(secs)).await;
        }
        let hour = minute_of(at(600)) / MINUTES_A_FILE;
        let path = state.path().join(FOLDER).join(format!("{hour}{ENDING}"));
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let minute = minute_of(at(600));
        let odd = [
            format!(r#"{{"minute":{minute},"containers":{{"db":[1.5,100]}}}}"#),
            format!(r#"{{"minute":{minute},"containers":{{}},"workloads":{{"web":[1,2]}}}}"#),
            format!(
                r#"{{"minute":{minute},"containers":{{}},"workloads":{{"other":[1,0,0,5,[{}]]}}}}"#,
                "1,".repeat(99) + "1"
            ),
        ];
        file.write_all((odd.join("\n") + "\n").as_bytes()).unwrap();
        let (history, again) = (History::default(), Traffic::default());
        journal.restore(&history, &again, at(660)).await;
        assert_eq!(history.with(|view| view.minutes("db").len()), 1);
        let day = std::time::Duration::from_secs(24 * 3600);
        let minutes = again.within("web", at(660), day).unwrap();
        assert!((8..=10).contains(&minutes.len()), "{minutes:?}");
        for minute in minutes.iter().skip(1) {
            assert_eq!((minute.answered, minute.cancelled, minute.busy_ms), (54, 6, 2400));
            assert!(minute.quantile(0.95).unwrap() <= 50.0);
        }
        let odd = again.within("other", at(660), day).unwrap();
        assert_eq!(
            odd[0].latency.iter().sum::<u32>(),
            13,
            "no more classes than there are"
        );
        again.count_server(&key, at(661), Outcome::Answered, 40);
        let server = again.servers("lb", at(664), 60).remove(0);
        assert_eq!((server.totals.answered, server.requests.answered), (1, 1));
    }
}
