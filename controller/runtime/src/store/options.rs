//! How a store is opened. Pure data.

use std::path::PathBuf;
use std::time::Duration;

use aegis_api::defaults::Defaults;

use super::weigh::HOLD;
use crate::audit::AuditRetention;
use crate::clock::Clock;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The state directory; made (with mode 0700) where it is missing.
    pub dir: PathBuf,
    /// How often every file is compared with what is known, as a net under file events.
    pub rescan: Duration,
    /// How long finished objects are kept.
    pub retention: Retention,
    /// How much of the audit log is kept.
    pub audit: AuditRetention,
    /// Whether to ask the kernel for file events. Without them only the rescan finds what people change.
    pub watch_files: bool,
    /// How long a spec file must be gone before that is a deletion.
    pub deletion_hold: Duration,
    /// What time it is.
    pub clock: Clock,
    /// What objects mean where they are silent.
    pub defaults: Defaults,
}

impl StoreOptions {
    /// The defaults: rescan every 30 s, retention of 1,000 objects and 30 days, with file events, 3 s for a file to come back.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            rescan: Duration::from_secs(30),
            retention: Retention::default(),
            audit: AuditRetention::default(),
            watch_files: true,
            deletion_hold: HOLD,
            clock: Clock::default(),
            defaults: Defaults::default(),
        }
    }
}

/// How long finished objects (those whose status has `finishedAt`) are kept. Over the count those that did nothing go
/// first, and at once; those that budgets and cooldowns are derived from stay meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most so many finished objects of a kind.
    pub max_finished: usize,
    /// None that finished longer ago than this.
    pub max_age: aegis_api::Duration,
    /// At most so many of a kind that have not finished are loaded. What is over is put aside at the start, the newest
    /// first, and none that is at work.
    pub max_open: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_finished: 1000,
            max_age: aegis_api::Duration::from_secs(30 * 86_400),
            max_open: 10_000,
        }
    }
}
