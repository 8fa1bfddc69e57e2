//! The store's one task: takes requests, file events and timers in turn and hands them to the writer. Owns the order
//! of things and the waiting, no decision.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::StoreError;
use super::files::Inspected;
use super::pace::Pace;
use super::request_queue::RequestQueue;
use super::writer::Writer;
use crate::disk::folder::Listing;
use crate::offload::{block_on_this_thread, offload};
use crate::watch::FileWatch;

/// A changed file is read when nothing has happened for this long …
const QUIET: Duration = Duration::from_millis(50);
/// … or when it has gone on for this long.
const IMPATIENT: Duration = Duration::from_millis(300);
/// How often retention is seen to, besides whenever an object finishes.
const RETENTION: Duration = Duration::from_secs(3600);

/// The single writer and the watcher of files; runs as one task.
#[derive(Debug)]
pub struct StoreDriver {
    pub(crate) request_queue: RequestQueue,
    pub(crate) writer: Writer,
    pub(crate) rescan: Duration,
    pub(crate) watch_files: bool,
}

/// A listing of the folders on its way, and the revision it began at.
type Scan = JoinHandle<Listing>;

impl StoreDriver {
    /// As [`run`](Self::run), on a thread of its own: each change waits for the disk, and no other task shares that wait.
    pub async fn run_on_a_thread(self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let Ok(runtime) = runtime else { return };
                block_on_this_thread();
                let result = runtime.block_on(self.run(shutdown));
                drop(end.send(result));
            });
        match thread {
            // What cannot start, or panics, answers nothing.
            Ok(_) => ended.await.unwrap_or(Err(StoreError::Closed)),
            Err(_) => Err(StoreError::Closed),
        }
    }

    /// Writes what callers request and takes over what people write, until `shutdown`. Ends after the batch at hand;
    /// later requests get [`StoreError::Closed`].
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let Self {
            mut request_queue,
            mut writer,
            rescan,
            watch_files,
        } = self;
        let mut watch = start_watch(&writer, watch_files);
        let mut rescan = Rescan::every(rescan.max(Duration::from_millis(1)));
        let mut retention = every(RETENTION);
        let mut pace = Pace::start(writer.clock.now(), Instant::now());
        let mut changed: Option<(Instant, Instant)> = None;
        // Whether no request has had its turn since, and how many had theirs the last time.
        let (mut just_retired, mut taken) = (false, 0);
        let mut examining: Option<JoinHandle<Vec<Inspected>>> = None;
        loop {
            watch.again(std::mem::take(&mut writer.unverified));
            catch_up(&mut writer).await?;
            let recheck_due = writer.next_recheck();
            let settle_due = writer.settle_due.map(|(_, due)| due);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = rescan.due.tick() => {
                    if let Err(error) = watch.renew(&writer.disk.dir) {
                        tracing::warn!(%error, "some folders are not watched; the rescan stands in");
                    }
                    rescan.begin(&writer);
                }
                listed = listed(&mut rescan.scan) => {
                    let since = rescan.end();
                    match listed {
                        Ok(listing) => take_over(&mut writer, &listing, since).await?,
                        Err(error) => tracing::warn!(%error, "the state directory cannot be rescanned"),
                    }
                }
                settled = ended(&mut writer.settling) => {
                    writer.settling = None;
                    writer.give_back(settled);
                }
                () = until(settle_due) => {
                    writer.settle_soon();
                }
                caught_up = ended(&mut writer.catching_up) => {
                    writer.caught_up(caught_up);
                }
                () = until(writer.catch_up_due) => {
                    writer.catch_up_soon();
                }
                () = until(writer.retire_due), if !just_retired => {
                    just_retired = true;
                    writer.retire_some_now(taken).await?;
                }
                () = until(recheck_due) => {
                    let recheck = writer.take_recheck();
                    writer.examine(recheck, true).await?;
                }
                () = watch.changed() => {
                    let now = Instant::now();
                    let (first, _) = changed.unwrap_or((now, now));
                    changed = Some((first, (now + QUIET).min(first + IMPATIENT)));
                }
                () = until(changed.map(|(_, due)| due)), if examining.is_none() => {
                    changed = None;
                    let taken = watch.take();
                    if taken.anything {
                        rescan.due.reset_immediately();
                    }
                    if !taken.keys.is_empty() {
                        examining = Some(writer.inspection(taken.keys.into_iter().collect()));
                    }
                }
                examined = ended(&mut examining) => {
                    examining = None;
                    let outdated = writer.examined(examined.map_err(|_| StoreError::Closed)?).await?;
                    watch.again(outdated);
                }
                _ = retention.tick() => {
                    let by_age = pace.is_trusted(writer.clock.now(), Instant::now());
                    writer.retire(by_age).await?;
                    if let Err(error) = writer.audit.prune(by_age).await {
                        tracing::warn!(%error, "the oldest records of the audit log stay for now");
                    }
                }
                requests = request_queue.batch() => {
                    if requests.is_empty() {
                        break;
                    }
                    (just_retired, taken) = (false, requests.len());
                    writer.requests(requests).await?;
                }
                // No request waits.
                () = until(writer.retire_due), if just_retired => {
                    writer.retire_some_now(usize::MAX).await?;
                }
            }
        }
        request_queue.close();
        writer.keep_record().await;
        writer.close_journal().await;
        Ok(())
    }
}

/// The periodic rescan of all folders.
struct Rescan {
    due: Interval,
    /// The one that is under way.
    scan: Option<(Scan, u64)>,
    /// Another one is due since it began.
    again: bool,
}

impl Rescan {
    /// The first one at once: what changed between loading and watching is found by it.
    fn every(pause: Duration) -> Self {
        Self {
            due: every(pause),
            scan: None,
            again: false,
        }
    }

    fn begin(&mut self, writer: &Writer) {
        if self.scan.is_some() {
            self.again = true;
            return;
        }
        let disk = writer.disk.clone();
        let listing = offload(move || disk.list());
        self.scan = Some((listing, writer.revisions.last()));
    }

    /// The one that was under way has ended. Answers the revision it began at.
    fn end(&mut self) -> u64 {
        // A change during this scan may concern a folder that it had already listed: it is scanned again.
        if std::mem::take(&mut self.again) {
            self.due.reset_immediately();
        }
        self.scan.take().map_or(0, |(_, since)| since)
    }
}

/// Ticks at once, and then after each pause.
fn every(pause: Duration) -> Interval {
    let mut due = interval_at(Instant::now(), pause);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due
}

/// What the last round left to be done.
async fn catch_up(writer: &mut Writer) -> Result<(), StoreError> {
    if writer.squeeze_due {
        writer.squeeze().await?;
    }
    writer.review_held();
    if writer.held_changed {
        writer.keep_record().await;
    }
    Ok(())
}

/// Takes over what a listing, begun at this revision, shows to be different.
async fn take_over(writer: &mut Writer, listing: &Listing, since: u64) -> Result<(), StoreError> {
    writer.review_folders(listing).await?;
    let worth = writer.compare(listing);
    let lost = writer.without_status(listing, since);
    writer.examine(worth, false).await?;
    writer.rewrite(lost).await?;
    writer.review_renamed().await?;
    writer.keep_record().await;
    Ok(())
}

fn start_watch(writer: &Writer, wanted: bool) -> FileWatch {
    if !wanted {
        return FileWatch::none();
    }
    FileWatch::start(&writer.disk.dir).unwrap_or_else(|error| {
        tracing::warn!(%error, "files cannot be watched; only the rescan finds manual changes");
        FileWatch::none()
    })
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn listed(scan: &mut Option<(Scan, u64)>) -> Result<Listing, StoreError> {
    match scan {
        Some((scan, _)) => scan.await.map_err(|_| StoreError::Closed),
        None => std::future::pending().await,
    }
}
