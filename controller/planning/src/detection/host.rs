//! Conditions over the host that the engine runs on. Pure.

use aegis_api::Time;
use aegis_api::signals::{Disk, HostSignals, used_percent};

use super::{Finding, Verdict};

/// A condition over the host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HostCondition {
    /// The file system of the engine or of the state directory is this full. Value: percent of the fuller.
    Disk { percent: f64 },
    /// So many of its inodes are used. Value: percent.
    Inodes { percent: f64 },
    /// Value: percent of memory that cannot be had without swapping.
    Memory { percent: f64 },
    /// The engine does not answer. Value: seconds since it last did.
    EngineAway,
}

impl HostCondition {
    /// Whether it holds.
    pub fn evaluate(self, host: &HostSignals, now: Time) -> Finding {
        match self {
            Self::Disk { percent } => fullest(host, percent, "is full", |disk| disk.bytes),
            Self::Inodes { percent } => fullest(host, percent, "of inodes are used", |disk| disk.inodes),
            Self::Memory { percent } => match host.memory.and_then(used_percent) {
                Some(used) => Finding::at_least(
                    used,
                    percent,
                    format!("{used:.1} % of the host's memory is in use"),
                ),
                None => Finding::unknown("the host's memory was not measured"),
            },
            Self::EngineAway => match host.engine_away_since {
                Some(since) => {
                    let secs = since.age(now).as_secs_f64();
                    let words = format!("the Docker engine has not answered for {secs:.0} s");
                    Finding::new(Verdict::True, Some(secs), words)
                }
                None => Finding::new(Verdict::False, Some(0.0), "the Docker engine answers"),
            },
        }
    }
}

fn fullest(
    host: &HostSignals,
    percent: f64,
    what: &str,
    part: impl Fn(&Disk) -> Option<(u64, u64)>,
) -> Finding {
    let disks = [
        ("the engine's file system", host.engine_disk),
        ("the state directory's file system", host.state_disk),
    ];
    let read = disks
        .iter()
        .filter_map(|(name, disk)| Some((*name, used_percent(part(disk.as_ref()?)?)?)));
    match read.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
        Some((name, used)) => Finding::at_least(used, percent, format!("{used:.1} % of {name} {what}")),
        None => Finding::unknown("the file systems were not measured"),
    }
}
