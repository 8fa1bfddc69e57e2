//! What is wrong, judged from signals: conditions that are True, False or Unknown, and how long one must hold before a
//! detector fires. The one home of these rules; from which reading something is a symptom is in
//! [`aegis_api::signals::bounds`], which those share who judge evidence.
//!
//! What could not be measured is Unknown and never good: it neither opens nor clears anything. A container that does not
//! run uses nothing: what is asked of its load is False, that it does not run is a condition of its own. Pure.

mod anomaly;
mod burn_rate;
mod chance;
pub mod episode;
mod growth;
mod health;
mod host;
mod lifecycle;
mod load;
mod log;
mod requests;
mod state;
mod symptom;
#[cfg(test)]
mod tests;
mod watch;

use aegis_api::Time;
use aegis_api::lifecycle::Death;
use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, Sample, WorkloadSignals, bounds};
use aegis_api::symptom::{SymptomClass, SymptomKind};

pub use anomaly::Reading;
pub use burn_rate::{Objective, burn, page};
pub use host::HostCondition;
pub use state::{Change, Hysteresis, State, advance};
pub use symptom::{from_signals, symptom};
pub use watch::{Watch, hysteresis};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It was measured, and does not.
    False,
    /// It could not be measured.
    Unknown,
    /// It was measured, and does.
    True,
}

impl Verdict {
    /// As statuses spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::False => "False",
            Self::Unknown => "Unknown",
            Self::True => "True",
        }
    }
}

/// What a condition is evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A reading of now.
    Level,
    /// What happened lately: after an action only what has happened since counts.
    Window,
}

/// What a condition found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was read, in the unit of the condition.
    pub value: Option<f64>,
    /// The container that decided, where it was one.
    pub container: Option<String>,
    /// What was found, a human-readable sentence.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(verdict: Verdict, value: Option<f64>, message: impl Into<String>) -> Self {
        Self {
            verdict,
            value,
            container: None,
            message: message.into(),
        }
    }

    /// Whether a reading is at its bound or above.
    fn at_least(value: f64, bound: f64, message: impl Into<String>) -> Self {
        let verdict = if value >= bound {
            Verdict::True
        } else {
            Verdict::False
        };
        Self::new(verdict, Some(value), message)
    }

    fn unknown(message: impl Into<String>) -> Self {
        Self::new(Verdict::Unknown, None, message)
    }

    fn no(message: impl Into<String>) -> Self {
        Self::new(Verdict::False, None, message)
    }
}

/// A condition over the signals of one workload. What a bound means is said with each.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A container crashed within [`bounds::DIED_WITHIN`]. Value: crashes.
    Died,
    /// A container does not run, or is gone, and was not stopped or removed on purpose. Value: how many.
    Down,
    /// A container crashed this often within [`bounds::CRASH_LOOP_WITHIN`]. Value: crashes.
    CrashLoop { crashes: f64 },
    /// A container was OOM-killed. Value: how often.
    OutOfMemory,
    /// A container runs, and its probe or Docker's health check fails. Value: how many.
    Unhealthy,
    /// A container runs, is connected to no network, and was made for one. Value: how many.
    NetworkLost,
    /// A container is busy and does not answer. Value: percent of a core.
    Spin { percent: f64 },
    /// Value: percent of the memory limit.
    Memory { percent: f64 },
    /// Memory surely grows and will be full this soon. Value: minutes.
    MemoryGrowth { minutes: f64 },
    /// Value: percent of one core.
    Cpu { percent: f64 },
    /// The CPU limit holds a container back. Value: percent of scheduling periods.
    Throttled { percent: f64 },
    /// Value: percent of the limit of processes and threads.
    Pids { percent: f64 },
    /// The log reports errors in a burst. Value: lines within [`bounds::LOG_WITHIN`].
    ErrorBurst { lines: f64 },
    /// Lines match the detector's pattern. Value: lines within [`bounds::LOG_WITHIN`].
    LogPattern { lines: f64 },
    /// Fewer replicas are ready than desired. Value: how many are missing.
    ReplicasMissing,
    /// Requests are answered with 5xx. Value: percent within [`bounds::REQUESTS_WITHIN`].
    HttpErrors { percent: f64 },
    /// Answers are slow. Value: milliseconds within which 95 of 100 came.
    HttpLatency { millis: f64 },
    /// A load balancer has no server of it in rotation.
    NoServer,
    /// The error budget burns too fast.
    BurnRate(Objective),
    /// A reading is far from what is usual for this very container. Value: robust standard deviations.
    Anomaly { reading: Reading, factor: f64 },
}

impl Condition {
    /// Whether it holds.
    pub fn evaluate(&self, signals: &WorkloadSignals<'_>) -> Finding {
        let each = |judge: &dyn Fn(&ContainerSignals<'_>) -> Finding| worst(signals.containers, judge);
        match self {
            Self::Died => each(&|it| lifecycle::died(it, signals)),
            Self::Down => lifecycle::gone(signals).unwrap_or_else(|| each(&lifecycle::down)),
            Self::CrashLoop { crashes } => each(&|it| lifecycle::crash_loop(it, signals, *crashes)),
            Self::OutOfMemory => each(&|it| lifecycle::out_of_memory(it, signals)),
            Self::Unhealthy => each(&health::unhealthy),
            Self::NetworkLost => each(&health::network_lost),
            Self::Spin { percent } => each(&|it| health::spin(it, signals, *percent)),
            Self::Memory { percent } => each(&|it| load::memory(it, signals, *percent)),
            Self::MemoryGrowth { minutes } => each(&|it| growth::memory(it, signals, *minutes)),
            Self::Cpu { percent } => each(&|it| load::cpu(it, signals, *percent)),
            Self::Throttled { percent } => each(&|it| load::throttled(it, signals, *percent)),
            Self::Pids { percent } => each(&|it| load::pids(it, signals, *percent)),
            Self::ErrorBurst { lines } => log::errors(signals.containers, *lines),
            Self::LogPattern { lines } => log::pattern(signals.containers, *lines),
            Self::ReplicasMissing => health::replicas(signals),
            Self::HttpErrors { percent } => requests::errors(signals, *percent),
            Self::HttpLatency { millis } => requests::latency(signals, *millis),
            Self::NoServer => requests::no_server(signals),
            Self::BurnRate(objective) => burn_rate::judge(signals, objective),
            Self::Anomaly { reading, factor } => each(&|it| anomaly::judge(it, signals, *reading, *factor)),
        }
    }

    /// How far back it reads requests; `None` where it reads none.
    pub fn requests_within(&self) -> Option<std::time::Duration> {
        match self {
            Self::HttpErrors { .. } | Self::HttpLatency { .. } => Some(bounds::REQUESTS_WITHIN.std()),
            Self::BurnRate(objective) => Some(objective.reaches()),
            _ => None,
        }
    }

    /// Whether it reads how containers ended.
    pub fn reads_ends(&self) -> bool {
        matches!(self, Self::Died | Self::CrashLoop { .. } | Self::OutOfMemory)
    }

    /// Whether it reads of a container that has ended so nothing but that: a recent end because of memory is enough, while
    /// without one it counts how the container stands.
    pub fn reads_only_ends(&self, deaths: &[Death], acted_at: Option<Time>, now: Time) -> bool {
        match self {
            Self::Died | Self::CrashLoop { .. } => true,
            Self::OutOfMemory => lifecycle::was_killed(deaths, acted_at, now),
            _ => false,
        }
    }

    /// Whether it reads what is now, or what happened lately.
    pub fn span(&self) -> Span {
        match self {
            Self::Died
            | Self::CrashLoop { .. }
            | Self::OutOfMemory
            | Self::ErrorBurst { .. }
            | Self::LogPattern { .. }
            | Self::HttpErrors { .. }
            | Self::HttpLatency { .. }
            | Self::BurnRate(_) => Span::Window,
            Self::Down
            | Self::Unhealthy
            | Self::NetworkLost
            | Self::Spin { .. }
            | Self::Memory { .. }
            | Self::MemoryGrowth { .. }
            | Self::Cpu { .. }
            | Self::Throttled { .. }
            | Self::Pids { .. }
            | Self::ReplicasMissing
            | Self::NoServer
            | Self::Anomaly { .. } => Span::Level,
        }
    }

    /// The kind of symptom that it finds, as verification and ladders know it; `None` where none of those is it.
    pub fn kind(&self) -> Option<SymptomKind> {
        Some(match self {
            Self::Died | Self::Down => SymptomKind::Down,
            Self::CrashLoop { .. } => SymptomKind::CrashLoop,
            Self::OutOfMemory => SymptomKind::OutOfMemory,
            Self::Unhealthy | Self::Spin { .. } => SymptomKind::ProbeFailing,
            Self::NetworkLost => SymptomKind::NetworkLost,
            Self::ReplicasMissing | Self::NoServer => SymptomKind::ReplicasMissing,
            Self::Memory { .. } => SymptomKind::MemoryHigh,
            Self::MemoryGrowth { .. } => SymptomKind::MemoryGrowing,
            Self::Cpu { .. } | Self::Throttled { .. } => SymptomKind::CpuHigh,
            Self::Pids { .. } => SymptomKind::ProcessLimit,
            Self::ErrorBurst { .. } => SymptomKind::ErrorBurst,
            Self::HttpErrors { .. } => SymptomKind::HttpErrors,
            Self::HttpLatency { .. } => SymptomKind::HttpSlow,
            Self::LogPattern { .. } | Self::BurnRate(_) | Self::Anomaly { .. } => return None,
        })
    }

    /// What the symptom has in common with others: trouble of one class on one workload is one trouble.
    pub fn class(&self) -> SymptomClass {
        match (self.kind(), self) {
            (Some(kind), _) => kind.class(),
            (
                None,
                Self::Anomaly {
                    reading: Reading::Cpu,
                    ..
                },
            ) => SymptomClass::Cpu,
            (None, Self::Anomaly { .. }) => SymptomClass::Memory,
            (None, _) => SymptomClass::Errors,
        }
    }
}

/// What the container in the worst state shows: one that holds, else one that is not known, else the greatest reading.
fn worst(containers: &[ContainerSignals<'_>], judge: &dyn Fn(&ContainerSignals<'_>) -> Finding) -> Finding {
    let judged = containers.iter().map(|container| {
        let mut finding = judge(container);
        finding.message = format!("{} {}", container.name, finding.message);
        finding.container = Some(container.name.to_owned());
        finding
    });
    let value = |finding: &Finding| finding.value.unwrap_or(f64::NEG_INFINITY);
    let worst = judged.max_by(|a, b| {
        let verdicts = a.verdict.cmp(&b.verdict);
        verdicts.then_with(|| value(a).total_cmp(&value(b)))
    });
    worst.unwrap_or_else(|| Finding::no("it has no containers"))
}

/// Whether a container's process runs.
fn runs(container: &ContainerSignals<'_>) -> bool {
    container.state == ContainerState::Running
}

/// The finding of a process that does not run, or of which that is not known.
fn idle(container: &ContainerSignals<'_>) -> Option<Finding> {
    match container.state {
        ContainerState::Running => None,
        ContainerState::Unknown => Some(Finding::unknown("is in an unknown state")),
        _ => Some(Finding::no("does not run")),
    }
}

/// The newest reading of the present process, if it is of now.
fn fresh<'a>(container: &ContainerSignals<'a>, signals: &WorkloadSignals<'_>) -> Option<&'a Sample> {
    let newest = container.samples.last()?;
    let is_now = newest.at.age(signals.now) <= bounds::FRESH.std();
    let of_this_run = container.started_at.is_none_or(|started| newest.at >= started);
    (is_now && of_this_run).then_some(newest)
}

/// The finding of a reading of a process that runs; what does not run uses nothing.
fn of_running<'a>(
    container: &ContainerSignals<'a>,
    signals: &WorkloadSignals<'_>,
    judge: impl FnOnce(&'a Sample) -> Finding,
) -> Finding {
    if let Some(idle) = idle(container) {
        return idle;
    }
    match fresh(container, signals) {
        Some(sample) => judge(sample),
        None => Finding::unknown("was not measured lately"),
    }
}
