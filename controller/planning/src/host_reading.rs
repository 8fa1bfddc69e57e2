//! What the host has left: memory, load, disk, and what it is short of when somebody wants to scale up. What cannot be read is unknown, and
//! blocks nothing. Pure.

use aegis_api::signals::HostSignals;

/// The least that must be left of memory: the larger of these, bytes and a part of all.
const RESERVE: u64 = 128 << 20;
const RESERVE_PART: u64 = 20;
/// The disk of the engine is nearly full above this percentage.
const DISK_PERCENT: u64 = 95;

/// Readings of the host that the engine runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostReading {
    /// Memory that can be had without swapping, bytes.
    pub memory_available: Option<u64>,
    /// All memory, bytes.
    pub memory_total: Option<u64>,
    /// Load averages over one and five minutes.
    pub load: Option<(f64, f64)>,
    /// Cores.
    pub cores: Option<u32>,
    /// Space on the engine's file system: free and all, bytes.
    pub disk: Option<(u64, u64)>,
}

impl HostReading {
    /// What of the host's signals matters here: the disk is the engine's.
    pub fn of(host: &HostSignals) -> Self {
        Self {
            memory_available: host.memory.map(|(available, _)| available),
            memory_total: host.memory.map(|(_, total)| total),
            load: host.load,
            cores: host.cores,
            disk: host.engine_disk.and_then(|disk| disk.bytes),
        }
    }
}

/// What the host is short of for so many more replicas, each of which needs this much memory, if that is known.
pub(crate) fn short_of(
    reading: &HostReading,
    replicas: u32,
    memory_each: Option<u64>,
    load_per_core: f64,
) -> Option<String> {
    let reserve = reading
        .memory_total
        .map_or(RESERVE, |total| (total / RESERVE_PART).max(RESERVE));
    let needed = memory_each.unwrap_or_default().saturating_mul(replicas.into());
    if let Some(available) = reading.memory_available
        && available < needed.saturating_add(reserve)
    {
        return Some(format!(
            "{} MB of memory are available, {replicas} more replicas need {} MB, and {} MB are kept in reserve",
            available >> 20,
            needed >> 20,
            reserve >> 20
        ));
    }
    if let (Some((one, five)), Some(cores)) = (reading.load, reading.cores) {
        let most = load_per_core * f64::from(cores);
        if one > most && five > most {
            return Some(format!(
                "the load is {one} (five minutes: {five}) on {cores} cores"
            ));
        }
    }
    let (free, all) = reading.disk?;
    let used = all.saturating_sub(free);
    (all > 0 && used / (all / 100).max(1) >= DISK_PERCENT).then(|| {
        format!(
            "the disk of the engine is nearly full: {} MB of {} MB are free",
            free >> 20,
            all >> 20
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn a_host_is_short_of_memory_cpu_or_disk_and_what_is_not_known_blocks_nothing() {
        let well = HostReading {
            memory_available: Some(2000 * MB),
            memory_total: Some(8000 * MB),
            load: Some((1.0, 1.0)),
            cores: Some(2),
            disk: Some((50_000 * MB, 100_000 * MB)),
        };
        let each = Some(256 * MB);
        for (reading, replicas, short) in [
            (HostReading::default(), 50, None),
            (well, 2, None),
            (well, 7, Some("memory")),
            (
                HostReading {
                    memory_available: Some(300 * MB),
                    ..well
                },
                1,
                Some("memory"),
            ),
            (
                HostReading {
                    memory_available: None,
                    ..well
                },
                50,
                None,
            ),
            (
                HostReading {
                    load: Some((9.0, 9.0)),
                    ..well
                },
                1,
                Some("load"),
            ),
            (
                HostReading {
                    load: Some((9.0, 1.0)),
                    ..well
                },
                1,
                None,
            ),
            (
                HostReading {
                    load: Some((9.0, 9.0)),
                    cores: None,
                    ..well
                },
                1,
                None,
            ),
            (
                HostReading {
                    disk: Some((4000 * MB, 100_000 * MB)),
                    ..well
                },
                1,
                Some("disk"),
            ),
            (
                HostReading {
                    disk: Some((0, 0)),
                    ..well
                },
                1,
                None,
            ),
        ] {
            let said = short_of(&reading, replicas, each, 4.0);
            assert_eq!(said.is_some(), short.is_some(), "{reading:?}: {said:?}");
            assert!(said.is_none_or(|said| said.contains(short.unwrap_or_default())));
        }
        assert_eq!(short_of(&well, 50, None, 4.0), None, "usage is not known");
    }
}
