//! A round of readings straight from the kernel, so that it costs the engine nothing. Reads files, nothing else.
//!
//! What an engine counts the kernel's files do not say: of the interfaces of a container's network some may be its own (a
//! tunnel, the bridge of an engine inside), and without a limit of memory the host's is meant. So the engine is asked once a
//! run. Only where this process sees the same limits, and the interfaces that were counted, is the container read here from
//! then on; when its interfaces or its process have changed, or its cgroup is gone, the engine is asked again. Where the
//! engine is elsewhere, or this process sees other processes, nothing is ever seen here.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aegis_api::ContainerId;
use aegis_api::observed::Stats;

use crate::cgroup::{Group, ROOTS, Scratch};

/// What is known of the containers that can be read here.
#[derive(Debug)]
pub(crate) struct Counters {
    known: HashMap<ContainerId, Known>,
    /// Where the host's cgroups may be, and where processes are.
    roots: Vec<PathBuf>,
    proc: PathBuf,
    scratch: Scratch,
}

/// One run of a container.
#[derive(Debug)]
struct Known {
    group: Group,
    network: Network,
    /// The host's memory, bytes: what the engine says where there is no limit.
    host_memory: u64,
}

/// The network of a run.
#[derive(Debug)]
struct Network {
    /// The folder of a process that is in it.
    process: PathBuf,
    /// Its number, which no other has as long as it exists.
    namespace: u64,
    /// Every interface, and whether the engine counts it.
    interfaces: Vec<(String, bool)>,
}

impl Default for Counters {
    fn default() -> Self {
        Self::over(ROOTS.map(PathBuf::from).into(), PathBuf::from("/proc"))
    }
}

impl Counters {
    fn over(roots: Vec<PathBuf>, proc: PathBuf) -> Self {
        Self {
            known: HashMap::new(),
            roots,
            proc,
            scratch: Scratch::default(),
        }
    }

    /// Counters of those of these containers that can be read. Any other is forgotten.
    pub(crate) fn read(&mut self, ids: &[ContainerId]) -> HashMap<ContainerId, Stats> {
        let mut known = std::mem::take(&mut self.known);
        let mut all = HashMap::new();
        for id in ids {
            let Some(one) = known.remove(id) else { continue };
            if let Some(stats) = one.read(&mut self.scratch) {
                all.insert(id.clone(), stats);
                self.known.insert(id.clone(), one);
            }
        }
        all
    }

    /// Takes up what the engine has reported a container: its counters, and which interfaces are in them.
    pub(crate) fn learn(&mut self, id: &str, reported: &Stats, counted: &[String]) {
        match self.seen(id, reported, counted) {
            Some(known) => self.known.insert(id.into(), known),
            None => self.known.remove(id),
        };
    }

    fn seen(&mut self, id: &str, reported: &Stats, counted: &[String]) -> Option<Known> {
        let group = self.roots.iter().find_map(|root| Group::of(root, id))?;
        let pid = group.a_process(&mut self.scratch)?;
        let process = self.proc.join(pid.to_string());
        let total = self.scratch.read(&self.proc, "meminfo")?.lines().next()?;
        let total = total.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        let known = Known {
            group,
            host_memory: total.parse::<u64>().ok()?.saturating_mul(1024),
            network: Network::of(&process, counted, &mut self.scratch)?,
        };
        let seen = known.read(&mut self.scratch)?;
        let limits = |stats: &Stats| (stats.memory_limit_bytes, stats.pids_limit);
        (limits(&seen) == limits(reported)).then_some(known)
    }
}

impl Known {
    fn read(&self, scratch: &mut Scratch) -> Option<Stats> {
        let (net_rx_bytes, net_tx_bytes) = self.network.bytes(scratch)?;
        let usage = self.group.usage(scratch)?;
        let limit = Some(usage.memory_limit_bytes).filter(|limit| *limit > 0);
        Some(Stats {
            memory_limit_bytes: limit.map_or(self.host_memory, |limit| limit.min(self.host_memory)),
            net_rx_bytes,
            net_tx_bytes,
            ..usage
        })
    }
}

impl Network {
    fn of(process: &Path, counted: &[String], scratch: &mut Scratch) -> Option<Self> {
        let namespace = namespace(process)?;
        let table = scratch.read(process, "net/dev")?;
        let names: Vec<&str> = rows(table).map(|(name, _)| name).collect();
        let all_there = counted.iter().all(|name| names.contains(&name.as_str()));
        all_there.then(|| Self {
            process: process.to_owned(),
            namespace,
            interfaces: names
                .iter()
                .map(|name| ((*name).to_owned(), counted.iter().any(|counted| counted == name)))
                .collect(),
        })
    }

    /// Received and sent so far; `None` where it is another network by now, or has other interfaces.
    fn bytes(&self, scratch: &mut Scratch) -> Option<(u64, u64)> {
        if namespace(&self.process)? != self.namespace {
            return None;
        }
        let mut rows = rows(scratch.read(&self.process, "net/dev")?);
        let (mut received, mut sent) = (0_u64, 0_u64);
        for (name, counts) in &self.interfaces {
            let (now, numbers) = rows.next()?;
            if now != name {
                return None;
            }
            if *counts {
                let mut numbers = numbers.split_ascii_whitespace();
                received = received.saturating_add(numbers.next()?.parse().ok()?);
                sent = sent.saturating_add(numbers.nth(SENT_AFTER)?.parse().ok()?);
            }
        }
        rows.next().is_none().then_some((received, sent))
    }
}

/// Numbers between the bytes received and those sent (proc_net_dev(5): packets, errs, drop, fifo, frame, compressed,
/// multicast).
const SENT_AFTER: usize = 7;

/// The interfaces of `net/dev` with their numbers, below two lines of headings.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table.lines().skip(2);
    rows.filter_map(|row| row.split_once(':'))
        .map(|(name, numbers)| (name.trim(), numbers))
}

fn namespace(process: &Path) -> Option<u64> {
    std::fs::metadata(process.join("ns/net"))
        .ok()
        .map(|found| found.ino())
}

#[cfg(test)]
mod tests;
