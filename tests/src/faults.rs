//! The faults of the patient, each with the default detector that is to find it.

use std::net::IpAddr;

use crate::Container;

/// Percent of its limit above which the patient's memory is near it.
const NEARLY_FULL: f64 = 86.0;
/// Chunks of memory that are more than any limit of a test.
const MORE_THAN_THERE_IS: u32 = 64;

/// Something that the patient can be made to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Memory near its limit.
    Memory,
    /// Two threads that spin.
    Cpu,
    /// One request in eight waits for a database.
    DbLatency,
    /// The process ends with exit code 1.
    Crash,
    /// `/health` never answers.
    Hang,
    /// Half of the requests are answered with 500.
    Errors,
    /// Every request takes a second and a half.
    Slow,
    /// More memory than its limit.
    OutOfMemory,
    /// A lone SIGKILL.
    Kill,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Crash,
        Self::OutOfMemory,
        Self::Kill,
        Self::Hang,
        Self::Memory,
        Self::Cpu,
        Self::Errors,
        Self::Slow,
        Self::DbLatency,
    ];

    /// A name for a container.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::DbLatency => "db-latency",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::OutOfMemory => "oom",
            Self::Kill => "kill",
        }
    }

    /// A name for an upstream, where requests go to the patient.
    pub fn upstream(self) -> String {
        self.name().replace('-', "_")
    }

    /// The default detector that is to find it.
    pub fn detector(self) -> &'static str {
        match self {
            Self::Memory => "memory-high",
            Self::Cpu => "cpu-high",
            Self::Errors => "http-errors",
            Self::Slow | Self::DbLatency => "http-slow",
            Self::Crash | Self::Kill => "crashed",
            Self::Hang => "unhealthy",
            Self::OutOfMemory => "out-of-memory",
        }
    }

    /// The class of the trouble, as the fingerprint of its incident names it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Errors | Self::Slow | Self::DbLatency => "errors",
            Self::Crash | Self::Kill | Self::Hang | Self::OutOfMemory => "availability",
        }
    }

    /// Whether the engine reports it, so that it shows at once.
    pub fn is_an_event(self) -> bool {
        matches!(self, Self::Crash | Self::Kill | Self::OutOfMemory)
    }

    /// Whether it shows in requests alone.
    pub fn shows_in_traffic(self) -> bool {
        matches!(self, Self::Errors | Self::Slow | Self::DbLatency)
    }

    /// What clients request of the patient in turn, through a load balancer at this address. Before the fault is there,
    /// that is `/` alone.
    pub fn urls(self, front: IpAddr, is_first: bool) -> Vec<String> {
        let paths: &[&str] = match self {
            Self::DbLatency => &["", "", "", "", "", "", "", "trigger_db_latency"],
            _ => &[""],
        };
        let folder = if is_first {
            String::new()
        } else {
            format!("{}/", self.upstream())
        };
        let urls = paths.iter().map(|path| format!("http://{front}/{folder}{path}"));
        urls.collect()
    }

    /// Makes the patient so. What shows in requests needs clients, too.
    pub async fn inject(self, patient: &Container) {
        match self {
            Self::Memory => {
                patient.fill_memory(NEARLY_FULL).await;
            }
            Self::Cpu => {
                for _ in 0..2 {
                    patient.trigger("cpu?seconds=300").await;
                }
            }
            // Its clients wait for it.
            Self::DbLatency => {}
            Self::Crash => patient.trigger("crash").await,
            Self::Hang => patient.trigger("hang").await,
            Self::Errors => patient.trigger("errors?ratio=0.5").await,
            Self::Slow => patient.trigger("slow?ms=1500").await,
            Self::OutOfMemory => {
                for _ in 0..MORE_THAN_THERE_IS {
                    if patient.get("/trigger_memory").await.is_err() {
                        return;
                    }
                }
                panic!("{} is not OOM-killed", patient.name);
            }
            Self::Kill => patient.kill().await,
        }
    }
}
