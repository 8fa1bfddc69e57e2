//! The clock with a step in it: so many seconds, as the file says that `AEGIS_CLOCK_OFFSET_FILE` names. Only where the feature
//! `fault-points` is. Does I/O: reads the file, at most once in 100 ms.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// For how long what was read counts, milliseconds.
const KEPT: u64 = 100;

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("AEGIS_CLOCK_OFFSET_FILE").map(PathBuf::from));
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// When the file is to be read again, milliseconds since [`BEGAN`].
static DUE: AtomicU64 = AtomicU64::new(0);
static OFFSET: AtomicI64 = AtomicI64::new(0);

pub(crate) fn timestamp() -> Timestamp {
    let now = Timestamp::now();
    let Some(file) = FILE.as_ref() else { return now };
    let passed = u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX);
    // One of those that come at the same moment reads; the others take what was.
    if DUE.load(Ordering::Relaxed) <= passed
        && DUE.fetch_max(passed.saturating_add(KEPT), Ordering::Relaxed) <= passed
    {
        // A file that is not there, or half written, leaves the clock as it is.
        let read = std::fs::read_to_string(file).ok();
        if let Some(seconds) = read.and_then(|text| text.trim().parse().ok()) {
            OFFSET.store(seconds, Ordering::Relaxed);
        }
    }
    let offset = SignedDuration::from_secs(OFFSET.load(Ordering::Relaxed));
    now.saturating_add(offset).unwrap_or(now)
}
