//! Reads what the host has left. Does I/O, and may block for a moment.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use aegis_api::signals::{CpuTimes, Disk, HostSignals};

/// Most of a file of `/proc` that is read, bytes: that of a host with a thousand cores.
const MOST: u64 = 2 << 20;
/// Fields of a line of `/proc/stat` that are times of their own: the two after them are part of the first two.
const CPU_FIELDS: usize = 8;

/// What a container has in its root, by the engine that made it.
const MARKS_OF_A_CONTAINER: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Of this machine, of the file system that `state` lies on, and of that of `engine`, the folder in which the engine says
/// to keep images and containers. Inside a container `/proc` tells of the host.
pub fn read(state: &Path, engine: Option<&Path>) -> HostSignals {
    let memory = text("/proc/meminfo");
    let contained = MARKS_OF_A_CONTAINER.iter().any(|mark| Path::new(mark).exists());
    let cores = text("/proc/cpuinfo")
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    HostSignals {
        memory: kilobytes(&memory, "MemAvailable:").zip(kilobytes(&memory, "MemTotal:")),
        load: load(&text("/proc/loadavg")),
        cores: u32::try_from(cores).ok().filter(|cores| *cores > 0),
        cpu_times: cpu_times(&text("/proc/stat")),
        engine_disk: engine_folder(engine, contained).and_then(disk),
        state_disk: disk(state),
        ..HostSignals::default()
    }
}

/// What can be read of a file.
fn text(path: &str) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

/// Where most engines keep things: what is looked at while this one has not said where.
const USUAL: &str = "/var/lib/docker";

/// A folder on the engine's file system. A container does not see the engine's own, but its `/` is a layer that lies there;
/// elsewhere `/` is any file system, such as that of a machine whose engine runs in a virtual one.
fn engine_folder(engine: Option<&Path>, contained: bool) -> Option<&Path> {
    let seen = engine.or(Some(Path::new(USUAL))).filter(|folder| folder.is_dir());
    seen.or_else(|| contained.then_some(Path::new("/")))
}

/// A file system as who has no privilege may use it: what is reserved counts as used, as `df` has it.
fn disk(folder: &Path) -> Option<Disk> {
    let read = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(read.f_frsize);
    let used = read.f_blocks.saturating_sub(read.f_bfree);
    Some(Disk {
        bytes: Some((bytes(read.f_bavail), bytes(read.f_bavail.saturating_add(used)))),
        // Some file systems make inodes as they are needed, and count none.
        inodes: (read.f_files > 0).then_some((read.f_favail, read.f_files)),
    })
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)). What other guests of a
/// hypervisor took (steal) was not to be had: it counts as busy.
fn cpu_times(text: &str) -> Option<CpuTimes> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(CPU_FIELDS)
        .map_while(|word| word.parse().ok())
        .collect();
    let [_, _, _, idle, rest @ ..] = ticks.as_slice() else {
        return None;
    };
    let all = ticks
        .iter()
        .try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?;
    let waited = rest.first().copied().unwrap_or_default();
    let busy = all.checked_sub(*idle)?.checked_sub(waited)?;
    Some(CpuTimes { busy, all })
}

fn load(text: &str) -> Option<(f64, f64)> {
    let mut fields = text.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_those_of_proc() {
        let text = "MemTotal:       24682992 kB\nMemFree: 1 kB\nMemAvailable:   24162356 kB\n";
        assert_eq!(kilobytes(text, "MemAvailable:"), Some(24_162_356 * 1024));
        assert_eq!(kilobytes("", "MemAvailable:"), None);
        assert_eq!(load("25.70 22.02 15.17 8/512 1234\n"), Some((25.7, 22.02)));
        assert_eq!(load("x"), None);
        let stat = "cpu  100 20 30 800 40 5 5 10 60 0\ncpu0 1 2 3 4\n";
        let times = cpu_times(stat).unwrap();
        assert_eq!((times.busy, times.all), (170, 1010));
        for odd in [
            "",
            "cpu",
            "cpu0 1 2 3 4",
            "cpu  1 2 3",
            "cpu  x 2 3 4",
            "intr 1 2 3 4",
        ] {
            assert_eq!(cpu_times(odd), None, "{odd}");
        }
        let huge = format!("cpu  {0} {0} {0} {0}", u64::MAX);
        assert_eq!(cpu_times(&huge), None);
    }

    #[test]
    fn the_engines_file_system_is_that_of_its_folder_and_inside_a_container_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let (here, none) = (folder.path(), folder.path().join("none"));
        assert_eq!(engine_folder(Some(here), false), Some(here));
        assert_eq!(engine_folder(Some(here), true), Some(here));
        assert_eq!(engine_folder(Some(&none), true), Some(Path::new("/")));
        assert_eq!(engine_folder(Some(&none), false), None, "it may be any other");
        let usual = Some(Path::new(USUAL)).filter(|folder| folder.is_dir());
        assert_eq!(engine_folder(None, false), usual, "it has not said");
    }

    #[test]
    fn a_file_system_is_read_and_one_that_is_not_there_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let (free, all) = disk(folder.path()).unwrap().bytes.unwrap();
        assert!(all > 0 && free <= all, "{free} of {all}");
        assert_eq!(disk(&folder.path().join("none")), None);
        let host = read(folder.path(), None);
        assert!(host.state_disk.is_some() && host.cores.is_some());
        assert!(
            host.cpu_times
                .is_some_and(|times| times.busy > 0 && times.all > times.busy)
        );
    }
}
