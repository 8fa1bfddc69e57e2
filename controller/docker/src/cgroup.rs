//! A container's counters and processes straight from the kernel, where this process can see the host's cgroups: at once,
//! while the engine answers only at its next tick, or runs `ps`. Reads files, nothing else; what it cannot find it leaves
//! to the engine.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aegis_api::observed::{ProcessRow, Stats};

/// Where the host's cgroups may be: its own place, or where a container is given a view of them.
pub(crate) const ROOTS: [&str; 2] = ["/host/sys/fs/cgroup", "/sys/fs/cgroup"];
/// The most that is read of one file, bytes.
const MOST: usize = 64 * 1024;

/// What the container uses now. `None` where its cgroup is not to be seen. Network counters are not in cgroups.
pub(crate) async fn usage(id: &str) -> Option<Stats> {
    let id = id.to_owned();
    tokio::task::spawn_blocking(move || ROOTS.iter().find_map(|root| read(Path::new(root), &id)))
        .await
        .ok()
        .flatten()
}

/// What runs in the container now, by process ids of this process's own namespace. `None` where its cgroup is not to be
/// seen, or processes are in it that this process cannot see.
pub(crate) async fn processes(id: &str) -> Option<Vec<ProcessRow>> {
    let id = id.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut roots = ROOTS.iter();
        roots.find_map(|root| listed(Path::new(root), Path::new("/proc"), &id))
    })
    .await
    .ok()
    .flatten()
}

fn read(root: &Path, id: &str) -> Option<Stats> {
    Group::of(root, id)?.usage(&mut Scratch::default())
}

/// Where a container's cgroup may be. Only a full id is the name of one; anything else could lead elsewhere.
fn places(id: &str) -> Option<[String; 2]> {
    let full = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    full.then(|| [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")])
}

fn listed(root: &Path, proc: &Path, id: &str) -> Option<Vec<ProcessRow>> {
    let folders = places(id)?.map(|place| [root.join(&place), root.join("memory").join(&place)]);
    let text = folders
        .iter()
        .flatten()
        .find_map(|folder| std::fs::read_to_string(folder.join("cgroup.procs")).ok())?;
    let mut rows = Vec::new();
    for pid in text.lines() {
        // One of another process namespace is listed as 0.
        let pid: i64 = pid.trim().parse().ok().filter(|pid| *pid > 0)?;
        let folder = proc.join(pid.to_string());
        // One that has ended since is none.
        let Ok(words) = std::fs::read(folder.join("cmdline")) else {
            continue;
        };
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let command = match words.trim() {
            "" => format!("[{}]", std::fs::read_to_string(folder.join("comm")).ok()?.trim()),
            words => words.to_owned(),
        };
        rows.push(ProcessRow { pid, command });
    }
    // One without any is about to end, or is kept elsewhere: the engine knows.
    (!rows.is_empty()).then_some(rows)
}

/// The cgroup of one container, where it was found.
#[derive(Debug)]
pub(crate) struct Group {
    version: Version,
    memory: PathBuf,
    cpu: PathBuf,
    cpuacct: PathBuf,
    pids: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Version {
    /// One hierarchy a controller.
    First,
    /// One hierarchy.
    Second,
}

impl Group {
    /// That of this container below one of [`ROOTS`]. `None` where it is not to be seen.
    pub(crate) fn of(root: &Path, id: &str) -> Option<Self> {
        let mut places = places(id)?.into_iter();
        places.find_map(|place| {
            let own = root.join(&place);
            if own.join("memory.current").exists() {
                return Some(Self {
                    version: Version::Second,
                    memory: own.clone(),
                    cpu: own.clone(),
                    cpuacct: own.clone(),
                    pids: own,
                });
            }
            let memory = root.join("memory").join(&place);
            memory.join("memory.usage_in_bytes").exists().then(|| Self {
                version: Version::First,
                memory,
                cpu: root.join("cpu").join(&place),
                cpuacct: root.join("cpuacct").join(&place),
                pids: root.join("pids").join(&place),
            })
        })
    }

    /// What it uses now; `None` once it is gone.
    pub(crate) fn usage(&self, scratch: &mut Scratch) -> Option<Stats> {
        let (used, inactive, limit) = match self.version {
            Version::First => (
                "memory.usage_in_bytes",
                "total_inactive_file",
                "memory.limit_in_bytes",
            ),
            Version::Second => ("memory.current", "inactive_file", "memory.max"),
        };
        let used = number(scratch.read(&self.memory, used))?;
        let inactive = keyed(scratch.read(&self.memory, "memory.stat"), inactive).unwrap_or_default();
        let limit = number(scratch.read(&self.memory, limit)).unwrap_or_default();
        let first = match self.version {
            Version::First => Some(number(scratch.read(&self.cpuacct, "cpuacct.usage"))?),
            Version::Second => None,
        };
        let cpu = scratch.read(&self.cpu, "cpu.stat");
        let second = || Some(keyed(cpu, "usage_usec")?.saturating_mul(1000));
        let cpu_total_ns = first.or_else(second)?;
        let (periods, throttled) = (keyed(cpu, "nr_periods"), keyed(cpu, "nr_throttled"));
        Some(Stats {
            read_at: Some(aegis_clock::now()),
            cpu_total_ns,
            // As `docker stats` counts: without the page cache that is not in use.
            memory_bytes: used.saturating_sub(inactive),
            memory_limit_bytes: limit,
            cpu_periods: periods.unwrap_or_default(),
            cpu_throttled_periods: throttled.unwrap_or_default(),
            pids: number(scratch.read(&self.pids, "pids.current")).unwrap_or_default(),
            pids_limit: number(scratch.read(&self.pids, "pids.max")).unwrap_or_default(),
            ..Stats::default()
        })
    }

    /// One of its processes, by the ids of this process's own namespace. `None` where none is to be seen from here.
    pub(crate) fn a_process(&self, scratch: &mut Scratch) -> Option<u32> {
        let first = scratch.read(&self.memory, "cgroup.procs")?.lines().next()?;
        first.trim().parse().ok().filter(|pid| *pid > 0)
    }
}

/// Where small files are read into, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    path: PathBuf,
    text: Vec<u8>,
}

impl Scratch {
    /// The whole of a file of the kernel. It has no length beforehand, and one of more than some pages is none of those that
    /// are read here.
    pub(crate) fn read(&mut self, folder: &Path, name: &str) -> Option<&str> {
        self.path.as_mut_os_string().clear();
        self.path.push(folder);
        self.path.push(name);
        let mut file = std::fs::File::open(&self.path).ok()?;
        self.text.resize(MOST, 0);
        let mut length = 0;
        loop {
            let read = file.read(self.text.get_mut(length..)?).ok()?;
            if read == 0 {
                return std::str::from_utf8(self.text.get(..length)?).ok();
            }
            length = length.saturating_add(read);
        }
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.trim().parse().ok()
}

fn keyed(text: Option<&str>, key: &str) -> Option<u64> {
    text?
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn scratch(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("aegis-cgroup-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&root));
        root
    }

    #[test]
    fn the_first_version_is_read() {
        let root = scratch("v1");
        write(
            &root,
            &format!("memory/docker/{ID}/memory.usage_in_bytes"),
            "1000\n",
        );
        write(
            &root,
            &format!("memory/docker/{ID}/memory.limit_in_bytes"),
            "4000\n",
        );
        write(
            &root,
            &format!("memory/docker/{ID}/memory.stat"),
            "inactive_file 1\ntotal_inactive_file 200\n",
        );
        write(&root, &format!("cpuacct/docker/{ID}/cpuacct.usage"), "77\n");
        write(
            &root,
            &format!("cpu/docker/{ID}/cpu.stat"),
            "nr_periods 5\nnr_throttled 2\n",
        );
        write(&root, &format!("pids/docker/{ID}/pids.max"), "max\n");
        let stats = read(&root, ID).unwrap();
        assert_eq!(
            (stats.memory_bytes, stats.memory_limit_bytes, stats.cpu_total_ns),
            (800, 4000, 77)
        );
        assert_eq!(
            (stats.pids_limit, stats.cpu_periods, stats.cpu_throttled_periods),
            (0, 5, 2)
        );
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_second_version_is_read_under_systemd_too() {
        let root = scratch("v2");
        let folder = format!("system.slice/docker-{ID}.scope");
        write(&root, &format!("{folder}/memory.current"), "1000\n");
        write(&root, &format!("{folder}/memory.max"), "max\n");
        write(
            &root,
            &format!("{folder}/memory.stat"),
            "anon 5\ninactive_file 300\n",
        );
        write(
            &root,
            &format!("{folder}/cpu.stat"),
            "usage_usec 9\nuser_usec 4\nnr_periods 50\nnr_throttled 20\nthrottled_usec 7\n",
        );
        write(&root, &format!("{folder}/pids.current"), "3\n");
        write(&root, &format!("{folder}/pids.max"), "64\n");
        let stats = read(&root, ID).unwrap();
        assert_eq!(
            (
                stats.memory_bytes,
                stats.memory_limit_bytes,
                stats.cpu_total_ns,
                stats.pids
            ),
            (700, 0, 9000, 3)
        );
        assert_eq!(
            (stats.pids_limit, stats.cpu_periods, stats.cpu_throttled_periods),
            (64, 50, 20)
        );
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn processes_are_read_with_their_titles_unless_some_are_of_another_namespace() {
        let root = scratch("procs");
        let (cgroups, proc) = (root.join("cgroup"), root.join("proc"));
        let list = format!("docker/{ID}/cgroup.procs");
        write(&cgroups, &list, "7\n9\n8\n");
        write(
            &proc,
            "7/cmdline",
            "nginx: master process nginx\0-g\0daemon off;\0",
        );
        write(&proc, "8/cmdline", "");
        write(&proc, "8/comm", "sh\n");
        let rows = listed(&cgroups, &proc, ID).unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (row.pid, row.command.as_str())).collect();
        assert_eq!(
            rows,
            [(7, "nginx: master process nginx -g daemon off;"), (8, "[sh]")]
        );
        write(&cgroups, &list, "7\n0\n");
        assert_eq!(listed(&cgroups, &proc, ID), None);
        write(&cgroups, &list, "");
        assert_eq!(listed(&cgroups, &proc, ID), None);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_no_full_id_leads_nowhere() {
        assert_eq!(read(Path::new("/sys/fs/cgroup"), "../../../etc"), None);
        assert_eq!(read(Path::new("/sys/fs/cgroup"), "abc"), None);
    }
}
