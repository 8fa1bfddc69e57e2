//! Reads what the host has left. Does I/O, and may block for a moment.

use std::path::Path;

use aegis_api::signals::{Disk, HostSignals};

/// Of this machine, and of the file system that `state` lies on. Inside a container `/proc` tells of the host, and `/`
/// lies on the engine's file system.
pub fn read(state: &Path) -> HostSignals {
    HostSignals {
        state_disk: disk(state),
        ..of_engine()
    }
}

/// Of this machine alone.
pub fn of_engine() -> HostSignals {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    let folder = ["/var/lib/docker", "/"];
    let folder = folder.iter().map(Path::new).find(|folder| folder.is_dir());
    let cores = text("/proc/cpuinfo")
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    HostSignals {
        memory: kilobytes(&memory, "MemAvailable:").zip(kilobytes(&memory, "MemTotal:")),
        load: load(&text("/proc/loadavg")),
        cores: u32::try_from(cores).ok().filter(|cores| *cores > 0),
        engine_disk: folder.and_then(disk),
        ..HostSignals::default()
    }
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
    }

    #[test]
    fn a_file_system_is_read_and_one_that_is_not_there_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let (free, all) = disk(folder.path()).unwrap().bytes.unwrap();
        assert!(all > 0 && free <= all, "{free} of {all}");
        assert_eq!(disk(&folder.path().join("none")), None);
        assert!(read(folder.path()).state_disk.is_some());
    }
}
