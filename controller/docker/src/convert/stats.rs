//! The answer of `GET /containers/{id}/stats`. Pure.

use aegis_api::Time;
use aegis_api::observed::Stats;
use serde::de::MapAccess;

use super::lenient::{Lenient, Read, fill, key, skip};
use super::since_1970;

/// More processes than any kernel has: no limit.
const MOST_PIDS: u64 = 1 << 32;

/// Counters of cgroup v1 and v2 alike, and the names of the network interfaces that are counted. A container that does not run
/// has no `read_at`.
pub(crate) fn stats(answer: &[u8]) -> serde_json::Result<(Stats, Vec<String>)> {
    let Read(answer) = serde_json::from_slice::<Read<Answer>>(answer)?;
    let stats = Stats {
        read_at: answer.read,
        cpu_total_ns: answer.cpu.usage.0,
        memory_bytes: answer.memory.in_use(),
        memory_limit_bytes: answer.memory.limit,
        net_rx_bytes: answer.networks.rx_bytes,
        net_tx_bytes: answer.networks.tx_bytes,
        pids: answer.pids.current,
        // Engines write no limit as 0, or as the largest number there is.
        pids_limit: Some(answer.pids.limit)
            .filter(|limit| *limit < MOST_PIDS)
            .unwrap_or_default(),
        cpu_periods: answer.cpu.throttling.periods,
        cpu_throttled_periods: answer.cpu.throttling.throttled,
    };
    Ok((stats, answer.networks.interfaces))
}

#[derive(Default)]
struct Answer {
    read: Option<Time>,
    cpu: Cpu,
    memory: Memory,
    networks: Networks,
    pids: Pids,
}

#[derive(Default)]
struct Cpu {
    usage: TotalUsage,
    throttling: Throttling,
}

#[derive(Default)]
struct TotalUsage(u64);

#[derive(Default)]
struct Throttling {
    periods: u64,
    throttled: u64,
}

#[derive(Default)]
struct Memory {
    usage: u64,
    limit: u64,
    details: MemoryDetails,
}

#[derive(Default)]
struct MemoryDetails {
    total_inactive_file: Option<u64>,
    inactive_file: u64,
}

/// The sum over all interfaces.
#[derive(Default)]
struct Networks {
    interfaces: Vec<String>,
    rx_bytes: u64,
    tx_bytes: u64,
}

#[derive(Default)]
struct Pids {
    current: u64,
    limit: u64,
}

impl Memory {
    /// Without the inactive page cache, as `docker stats` counts: cgroup v1 calls it `total_inactive_file`, v2
    /// `inactive_file` (which v1 has, too, for the innermost group alone).
    fn in_use(&self) -> u64 {
        let details = &self.details;
        let cache = details.total_inactive_file.unwrap_or(details.inactive_file);
        self.usage.checked_sub(cache).unwrap_or(self.usage)
    }
}

impl Lenient<'_> for Option<Time> {
    fn of_text(text: &str) -> Self {
        since_1970(text)
    }
}

/// Reads the named fields of an object.
macro_rules! fields {
    ($part:ty { $($name:literal => $($field:tt).+),+ $(,)? }) => {
        impl<'de> Lenient<'de> for $part {
            fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
                let mut part = Self::default();
                while let Some(key) = key(&mut entries)? {
                    match &*key {
                        $($name => fill(&mut part.$($field).+, &mut entries)?,)+
                        _ => skip(&mut entries)?,
                    }
                }
                Ok(part)
            }
        }
    };
}

fields!(Answer {
    "read" => read,
    "cpu_stats" => cpu,
    "memory_stats" => memory,
    "networks" => networks,
    "pids_stats" => pids,
});
fields!(Cpu { "cpu_usage" => usage, "throttling_data" => throttling });
fields!(TotalUsage { "total_usage" => 0 });
fields!(Throttling { "periods" => periods, "throttled_periods" => throttled });
fields!(Memory { "usage" => usage, "limit" => limit, "stats" => details });
fields!(MemoryDetails { "total_inactive_file" => total_inactive_file, "inactive_file" => inactive_file });
fields!(Pids { "current" => current, "limit" => limit });

/// The counters of one interface.
#[derive(Default)]
struct Interface(Networks);

fields!(Interface { "rx_bytes" => 0.rx_bytes, "tx_bytes" => 0.tx_bytes });

impl<'de> Lenient<'de> for Networks {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut sum = Self::default();
        while let Some(name) = key(&mut entries)? {
            let Read(Interface(one)) = entries.next_value()?;
            sum.interfaces.push(name.into_owned());
            sum.rx_bytes = sum.rx_bytes.saturating_add(one.rx_bytes);
            sum.tx_bytes = sum.tx_bytes.saturating_add(one.tx_bytes);
        }
        Ok(sum)
    }
}
