//! How much memory this process may use and how much it does, as `docker stats` counts it: the usage of the own
//! cgroup less the inactive page cache. Both cgroup versions; without one, the resident set against the host's memory.
//!
//! The files are documented in the kernel's `admin-guide/cgroup-v1/memory.rst` and `admin-guide/cgroup-v2.rst`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

/// A limit from here on means none: v1 says "unlimited" with the largest multiple of the page size.
const UNLIMITED_V1: u64 = 1 << 60;

/// One look at the memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) used: u64,
    pub(crate) limit: u64,
    pub(crate) source: Source,
}

/// Where a reading comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    CgroupV2,
    CgroupV1,
    Process,
}

impl Reading {
    pub(crate) fn used_mb(&self) -> f64 {
        megabytes(self.used)
    }

    pub(crate) fn limit_mb(&self) -> f64 {
        megabytes(self.limit)
    }

    /// Used share of the limit, 0 to 100 (and above only while the kernel is about to act).
    pub(crate) fn percent(&self) -> f64 {
        if self.limit == 0 {
            0.0
        } else {
            round1(approximate(self.used) * 100.0 / approximate(self.limit))
        }
    }
}

/// A reader of the memory of this process and its cgroup.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    root: PathBuf,
}

impl Meter {
    pub(crate) fn of_this_process() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }

    /// Reads again; a handful of small files that the kernel makes up, so it does not block.
    ///
    /// # Errors
    /// When neither a cgroup nor `/proc` can be read.
    pub(crate) fn read(&self) -> io::Result<Reading> {
        let host = parse_kb_field(&self.text("proc/meminfo")?, "MemTotal")
            .ok_or_else(|| missing("MemTotal in /proc/meminfo"))?;
        let membership = self.text("proc/self/cgroup").unwrap_or_default();
        let v2 = || {
            self.in_mount("sys/fs/cgroup", v2_path(&membership), |dir| {
                self.read_v2(dir, host)
            })
        };
        let v1 = || {
            self.in_mount("sys/fs/cgroup/memory", v1_path(&membership), |dir| {
                self.read_v1(dir, host)
            })
        };
        match v2().or_else(v1) {
            Some(reading) => Ok(reading),
            None => self.read_process(host),
        }
    }

    /// The own cgroup is the mount itself inside a container, and a folder below it outside.
    fn in_mount(
        &self,
        mount: &str,
        path: Option<&str>,
        read: impl Fn(&Path) -> Option<Reading>,
    ) -> Option<Reading> {
        let mount = Path::new(mount);
        let below = path.map(|path| mount.join(path.trim_start_matches('/')));
        below.and_then(|dir| read(&dir)).or_else(|| read(mount))
    }

    fn read_v2(&self, dir: &Path, host: u64) -> Option<Reading> {
        let used = parse_number(&self.text(dir.join("memory.current")).ok()?)?;
        let limit = parse_limit(&self.text(dir.join("memory.max")).ok()?, host)?;
        let stat = self.text(dir.join("memory.stat")).unwrap_or_default();
        let cache = parse_stat(&stat, "inactive_file").unwrap_or(0);
        Some(Reading {
            used: used.saturating_sub(cache),
            limit,
            source: Source::CgroupV2,
        })
    }

    fn read_v1(&self, dir: &Path, host: u64) -> Option<Reading> {
        let used = parse_number(&self.text(dir.join("memory.usage_in_bytes")).ok()?)?;
        let limit = parse_limit(&self.text(dir.join("memory.limit_in_bytes")).ok()?, host)?;
        let stat = self.text(dir.join("memory.stat")).unwrap_or_default();
        let cache = parse_stat(&stat, "total_inactive_file").unwrap_or(0);
        Some(Reading {
            used: used.saturating_sub(cache),
            limit,
            source: Source::CgroupV1,
        })
    }

    fn read_process(&self, host: u64) -> io::Result<Reading> {
        let status = self.text("proc/self/status")?;
        let used = parse_kb_field(&status, "VmRSS").ok_or_else(|| missing("VmRSS in /proc/self/status"))?;
        Ok(Reading {
            used,
            limit: host,
            source: Source::Process,
        })
    }

    fn text(&self, path: impl AsRef<Path>) -> io::Result<String> {
        fs::read_to_string(self.root.join(path))
    }
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no {what}"))
}

fn parse_number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// No limit of its own, or one above what the host has: the host's memory is the limit.
fn parse_limit(text: &str, host: u64) -> Option<u64> {
    match text.trim() {
        "max" => Some(host),
        number => {
            let limit: u64 = number.parse().ok()?;
            Some(if limit >= UNLIMITED_V1 {
                host
            } else {
                limit.min(host)
            })
        }
    }
}

/// A line `key value` of `memory.stat`.
fn parse_stat(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| parse_number(line.strip_prefix(key)?.strip_prefix(' ')?))
}

/// A line `Key:   value kB` of a file below `/proc`, in bytes.
fn parse_kb_field(text: &str, key: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    parse_number(value.trim().strip_suffix("kB")?)?.checked_mul(1024)
}

/// The path after `0::` in `/proc/self/cgroup`.
fn v2_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The path of the line whose controllers include `memory`: `5:memory:/docker/…`.
fn v1_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|controller| controller == "memory")
            .then_some(path)
    })
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "exact below 8 PiB, and only shown"
)]
fn approximate(bytes: u64) -> f64 {
    bytes as f64
}

fn megabytes(bytes: u64) -> f64 {
    round1(approximate(bytes) / (1024.0 * 1024.0))
}

fn round1(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;
    static COUNTER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

    /// A root folder with these files, gone when dropped.
    struct Root(PathBuf);

    impl Root {
        fn with(files: &[(&str, &str)]) -> Self {
            let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("buggy-app-cgroup-{}-{number}", std::process::id()));
            let always = [
                ("proc/meminfo", "MemTotal:        2097152 kB\nMemFree: 1 kB\n"),
                ("proc/self/status", "VmRSS:\t   20480 kB\n"),
            ];
            for (path, text) in always.iter().chain(files) {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn read(&self) -> Reading {
            Meter { root: self.0.clone() }.read().unwrap()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn v2_in_a_container_counts_usage_less_inactive_file() {
        let root = Root::with(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.current", "232783872\n"),
            ("sys/fs/cgroup/memory.max", "268435456\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 220000000\nfile 9000000\ninactive_file 4194304\nactive_file 1\n",
            ),
        ]);
        let reading = root.read();
        assert_eq!(
            reading,
            Reading {
                used: 218 * MB,
                limit: 256 * MB,
                source: Source::CgroupV2
            }
        );
        assert_eq!(
            (reading.used_mb(), reading.limit_mb(), reading.percent()),
            (218.0, 256.0, 85.2)
        );
    }

    #[test]
    fn v2_outside_a_container_follows_its_path() {
        let root = Root::with(&[
            ("proc/self/cgroup", "0::/system.slice/patient.service\n"),
            (
                "sys/fs/cgroup/system.slice/patient.service/memory.current",
                "1048576",
            ),
            ("sys/fs/cgroup/system.slice/patient.service/memory.max", "max"),
        ]);
        assert_eq!(
            root.read(),
            Reading {
                used: MB,
                limit: 2048 * MB,
                source: Source::CgroupV2
            }
        );
    }

    #[test]
    fn v1_with_the_hosts_cgroup_namespace_reads_the_mount() {
        let root = Root::with(&[
            (
                "proc/self/cgroup",
                "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456"),
            (
                "sys/fs/cgroup/memory/memory.stat",
                "inactive_file 1\ntotal_inactive_file 10485760\n",
            ),
        ]);
        assert_eq!(
            root.read(),
            Reading {
                used: 90 * MB,
                limit: 256 * MB,
                source: Source::CgroupV1
            }
        );
    }

    #[test]
    fn an_unlimited_v1_cgroup_has_the_hosts_memory_as_limit() {
        let root = Root::with(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712",
            ),
        ]);
        assert_eq!(root.read().limit, 2048 * MB);
    }

    #[test]
    fn without_a_cgroup_the_resident_set_counts() {
        assert_eq!(
            Root::with(&[]).read(),
            Reading {
                used: 20 * MB,
                limit: 2048 * MB,
                source: Source::Process
            }
        );
    }

    #[test]
    fn more_cache_than_usage_is_no_underflow() {
        let root = Root::with(&[
            ("sys/fs/cgroup/memory.current", "100"),
            ("sys/fs/cgroup/memory.max", "1000"),
            ("sys/fs/cgroup/memory.stat", "inactive_file 4096\n"),
        ]);
        assert_eq!(root.read().used, 0);
    }

    #[test]
    fn the_real_machine_can_be_read() {
        let reading = Meter::of_this_process().read().unwrap();
        assert!(reading.limit > 0 && reading.used > 0, "{reading:?}");
    }
}
