use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const HEADINGS: &str = "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes packets\n";

/// A host of files: cgroups of one version, and processes.
struct Host {
    folder: tempfile::TempDir,
    version: u32,
}

impl Host {
    /// With one container that runs as process 42.
    fn new(version: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Self { folder, version };
        host.write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
        host.run(42, 1);
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_dir_all(self.folder.path().join(path)).unwrap();
    }

    fn group(&self, controller: &str) -> String {
        match self.version {
            1 => format!("cgroup/{controller}/docker/{ID}"),
            _ => format!("cgroup/system.slice/docker-{ID}.scope"),
        }
    }

    fn run(&self, pid: u32, cpu: u64) {
        let files = match self.version {
            1 => [
                ("memory", "memory.usage_in_bytes", "9000".to_owned()),
                (
                    "memory",
                    "memory.limit_in_bytes",
                    "9223372036854771712".to_owned(),
                ),
                ("memory", "memory.stat", "total_inactive_file 1000\n".to_owned()),
                ("cpuacct", "cpuacct.usage", (cpu * 1000).to_string()),
                ("cpu", "cpu.stat", "nr_periods 5\nnr_throttled 2\n".to_owned()),
                ("pids", "pids.current", "3".to_owned()),
                ("pids", "pids.max", "64".to_owned()),
                ("memory", "cgroup.procs", format!("{pid}\n77\n")),
            ],
            _ => [
                ("", "memory.current", "9000".to_owned()),
                ("", "memory.max", "max".to_owned()),
                ("", "memory.stat", "anon 5\ninactive_file 1000\n".to_owned()),
                (
                    "",
                    "cpu.stat",
                    format!("usage_usec {cpu}\nnr_periods 5\nnr_throttled 2\n"),
                ),
                ("", "pids.current", "3".to_owned()),
                ("", "pids.max", "64".to_owned()),
                ("", "cgroup.type", "domain".to_owned()),
                ("", "cgroup.procs", format!("{pid}\n77\n")),
            ],
        };
        for (controller, name, text) in files {
            self.write(&format!("{}/{name}", self.group(controller)), &text);
        }
        self.write(&format!("proc/{pid}/ns/net"), "");
        self.interfaces(pid, &["lo", "eth0", "tun0"]);
    }

    fn interfaces(&self, pid: u32, names: &[&str]) {
        let rows = names
            .iter()
            .map(|name| format!("{name:>6}: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n"));
        let text = HEADINGS.to_owned() + &rows.collect::<String>();
        self.write(&format!("proc/{pid}/net/dev"), &text);
    }

    fn counters(&self) -> Counters {
        let below = |name: &str| self.folder.path().join(name);
        Counters::over(vec![below("nowhere"), below("cgroup")], below("proc"))
    }
}

/// What the engine says of the container at the start of its run.
fn reported() -> Stats {
    Stats {
        memory_limit_bytes: 1_024_000,
        pids_limit: 64,
        ..Stats::default()
    }
}

fn read(counters: &mut Counters) -> Option<Stats> {
    counters.read(&[ID.into()]).remove(ID)
}

#[test]
fn a_container_that_the_engine_has_reported_is_read_with_what_the_engine_counts() {
    for version in [1, 2] {
        let host = Host::new(version);
        let mut counters = host.counters();
        assert_eq!(read(&mut counters), None, "the engine was not asked yet");
        counters.learn(ID, &reported(), &["eth0".to_owned()]);
        host.run(42, 8);
        let stats = read(&mut counters).unwrap();
        assert!(stats.read_at.is_some());
        let expected = Stats {
            read_at: stats.read_at,
            cpu_total_ns: 8000,
            memory_bytes: 8000,
            // The host's: it has no limit of its own.
            memory_limit_bytes: 1_024_000,
            // Of one interface; the tunnel is the container's own.
            net_rx_bytes: 10,
            net_tx_bytes: 20,
            pids: 3,
            pids_limit: 64,
            cpu_periods: 5,
            cpu_throttled_periods: 2,
        };
        assert_eq!(stats, expected, "cgroup v{version}");
    }
}

#[test]
fn a_container_that_was_restarted_or_is_gone_is_the_engines_to_report_again() {
    for version in [1, 2] {
        let host = Host::new(version);
        let mut counters = host.counters();
        counters.learn(ID, &reported(), &["eth0".to_owned()]);
        assert!(read(&mut counters).is_some());
        // Restarted: its cgroup is a new one of the same name, its process another.
        host.remove("cgroup");
        host.remove("proc/42");
        host.run(43, 1);
        assert_eq!(read(&mut counters), None, "cgroup v{version}");
        assert_eq!(read(&mut counters), None, "it stays forgotten");
        counters.learn(ID, &reported(), &["eth0".to_owned()]);
        assert!(read(&mut counters).is_some());
        // Another process has its number by now.
        host.remove("proc/43");
        host.run(44, 1);
        host.run(43, 1);
        assert_eq!(read(&mut counters), None, "cgroup v{version}");
        counters.learn(ID, &reported(), &["eth0".to_owned()]);
        // It ended between the list and the reading.
        host.remove("cgroup");
        assert_eq!(read(&mut counters), None, "cgroup v{version}");
    }
}

#[test]
fn a_network_that_changed_is_the_engines_to_report_again() {
    let host = Host::new(2);
    let mut counters = host.counters();
    for names in [
        &["lo", "eth0", "tun0", "eth1"][..],
        &["lo", "tun0"],
        &["lo", "tun0", "eth0"],
    ] {
        host.interfaces(42, &["lo", "eth0", "tun0"]);
        counters.learn(ID, &reported(), &["eth0".to_owned()]);
        assert!(read(&mut counters).is_some());
        host.interfaces(42, names);
        assert_eq!(read(&mut counters), None, "{names:?}");
    }
}

#[test]
fn nothing_is_read_where_these_files_are_not_those_that_the_engine_counts() {
    let host = Host::new(2);
    let mut counters = host.counters();
    let other = [
        (
            Stats {
                memory_limit_bytes: 5,
                ..reported()
            },
            "eth0",
        ),
        (
            Stats {
                pids_limit: 0,
                ..reported()
            },
            "eth0",
        ),
        (reported(), "eth7"),
    ];
    for (reported, counted) in &other {
        counters.learn(ID, reported, &[(*counted).to_owned()]);
        assert_eq!(read(&mut counters), None, "{reported:?} {counted}");
    }
    // A process namespace of its own shows no processes of the container's.
    host.write(&format!("{}/cgroup.procs", host.group("")), "0\n0\n");
    counters.learn(ID, &reported(), &["eth0".to_owned()]);
    assert_eq!(read(&mut counters), None);
    host.run(42, 1);
    counters.learn(&ID.replace('0', "f"), &reported(), &[]);
    assert!(counters.known.is_empty(), "no cgroup of this name");
}

#[test]
fn what_is_not_asked_about_any_more_is_forgotten() {
    let host = Host::new(1);
    let mut counters = host.counters();
    counters.learn(ID, &reported(), &["eth0".to_owned()]);
    assert!(counters.read(&[]).is_empty() && counters.known.is_empty());
}
