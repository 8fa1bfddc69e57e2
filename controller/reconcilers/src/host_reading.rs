//! Reads what the host has left. Does I/O; what it is short of is planned.

use std::path::Path;

use aegis_planning::host_reading::HostReading;

/// Of this machine. Inside a container `/proc` tells of the host, and `/` lies on the engine's file system.
pub fn read() -> HostReading {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    let folder = ["/var/lib/docker", "/"];
    let folder = folder.iter().map(Path::new).find(|folder| folder.is_dir());
    let cores = text("/proc/cpuinfo")
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    HostReading {
        memory_available: kilobytes(&memory, "MemAvailable:"),
        memory_total: kilobytes(&memory, "MemTotal:"),
        load: load(&text("/proc/loadavg")),
        cores: u32::try_from(cores).ok().filter(|cores| *cores > 0),
        disk: folder.and_then(|folder| {
            let free = fs4::available_space(folder).ok()?;
            Some((free, fs4::total_space(folder).ok()?))
        }),
    }
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
}
