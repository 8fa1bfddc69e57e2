//! Conditions over what a container uses now. Pure.

use aegis_api::signals::{ContainerSignals, WorkloadSignals, used_percent};

use super::{Finding, of_running};

pub(super) fn memory(
    container: &ContainerSignals<'_>,
    signals: &WorkloadSignals<'_>,
    percent: f64,
) -> Finding {
    let Some(limit) = container.memory_limit_bytes else {
        // One without a limit cannot be near it.
        return Finding::no("has no memory limit");
    };
    of_running(container, signals, |sample| {
        match used_percent((limit.saturating_sub(sample.memory_bytes), limit)) {
            Some(used) => Finding::at_least(used, percent, format!("uses {used:.1} % of its memory limit")),
            None => Finding::no("has no memory limit"),
        }
    })
}

pub(super) fn cpu(container: &ContainerSignals<'_>, signals: &WorkloadSignals<'_>, percent: f64) -> Finding {
    of_running(container, signals, |sample| {
        match sample.cpu_percent.map(f64::from) {
            Some(used) if used.is_finite() => {
                Finding::at_least(used, percent, format!("uses {used:.1} % of a core"))
            }
            _ => Finding::unknown("has had one reading only"),
        }
    })
}

pub(super) fn throttled(
    container: &ContainerSignals<'_>,
    signals: &WorkloadSignals<'_>,
    percent: f64,
) -> Finding {
    of_running(container, signals, |sample| {
        match sample.throttled_percent.map(f64::from) {
            Some(held) if held.is_finite() => {
                let words = format!("is held back by its CPU limit in {held:.1} % of scheduling periods");
                Finding::at_least(held, percent, words)
            }
            _ => Finding::no("has no CPU limit, or it is not known how often it holds it back"),
        }
    })
}

pub(super) fn pids(container: &ContainerSignals<'_>, signals: &WorkloadSignals<'_>, percent: f64) -> Finding {
    of_running(container, signals, |sample| {
        let (now, limit) = (u64::from(sample.pids), u64::from(sample.pids_limit));
        match used_percent((limit.saturating_sub(now), limit)) {
            Some(used) => {
                let words = format!("has {now} of at most {limit} processes and threads");
                Finding::at_least(used, percent, words)
            }
            None => Finding::no("has no limit of processes"),
        }
    })
}
