//! What a Detector watches: its spec as a condition, with every bound filled in. Pure.

use aegis_api::DetectorSpec;
use aegis_api::detector::Signal;

use super::{Condition, HostCondition, Hysteresis, Objective, Reading};

/// What is watched.
#[derive(Debug, Clone, PartialEq)]
pub enum Watch {
    /// A condition over each workload that the detector selects.
    Workloads(Condition),
    /// A condition over the host.
    Host(HostCondition),
}

impl Watch {
    /// Of a spec; `None` where it names nothing to watch, which validation refuses.
    pub fn of(spec: &DetectorSpec) -> Option<Self> {
        if let Some(slo) = &spec.slo {
            let objective = Objective::new(slo.objective, &slo.burn_rates);
            return Some(Self::Workloads(Condition::BurnRate(objective)));
        }
        let signal = spec.signal?;
        let bound = spec.threshold.or(signal.default_threshold()).unwrap_or_default();
        Some(match signal {
            Signal::ContainerEvent => Self::Workloads(Condition::Died),
            Signal::OutOfMemory => Self::Workloads(Condition::OutOfMemory),
            Signal::Down => Self::Workloads(Condition::Down),
            Signal::Restarts => Self::Workloads(Condition::CrashLoop { crashes: bound }),
            Signal::Health => Self::Workloads(Condition::Unhealthy),
            Signal::NetworkLost => Self::Workloads(Condition::NetworkLost),
            Signal::Spin => Self::Workloads(Condition::Spin { percent: bound }),
            Signal::Cpu => Self::Workloads(Condition::Cpu { percent: bound }),
            Signal::Throttling => Self::Workloads(Condition::Throttled { percent: bound }),
            Signal::Memory => Self::Workloads(Condition::Memory { percent: bound }),
            Signal::MemoryGrowth => Self::Workloads(Condition::MemoryGrowth { minutes: bound }),
            Signal::Pids => Self::Workloads(Condition::Pids { percent: bound }),
            Signal::LogErrors => Self::Workloads(Condition::ErrorBurst { lines: bound }),
            Signal::LogPattern => Self::Workloads(Condition::LogPattern { lines: bound }),
            Signal::ReplicasMissing => Self::Workloads(Condition::ReplicasMissing),
            Signal::HttpLatency => Self::Workloads(Condition::HttpLatency { millis: bound }),
            Signal::HttpErrorRatio => Self::Workloads(Condition::HttpErrors { percent: bound }),
            Signal::NoServer => Self::Workloads(Condition::NoServer),
            Signal::CpuAnomaly => Self::Workloads(Condition::Anomaly {
                reading: Reading::Cpu,
                factor: bound,
            }),
            Signal::MemoryAnomaly => Self::Workloads(Condition::Anomaly {
                reading: Reading::Memory,
                factor: bound,
            }),
            Signal::HostDisk => Self::Host(HostCondition::Disk { percent: bound }),
            Signal::HostInodes => Self::Host(HostCondition::Inodes { percent: bound }),
            Signal::HostMemory => Self::Host(HostCondition::Memory { percent: bound }),
            Signal::EngineAway => Self::Host(HostCondition::EngineAway),
        })
    }

    /// Whether it needs what containers log.
    pub fn reads_logs(&self) -> bool {
        matches!(
            self,
            Self::Workloads(Condition::ErrorBurst { .. } | Condition::LogPattern { .. })
        )
    }
}

/// How long a detector waits.
pub fn hysteresis(spec: &DetectorSpec) -> Hysteresis {
    Hysteresis {
        hold: spec.for_,
        clear: spec.clear,
    }
}
