//! Conditions over what containers log: counts over all of them, since the trouble is the workload's. Pure.

use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, bounds};

use super::{Finding, Verdict};

pub(super) fn errors(containers: &[ContainerSignals<'_>], least: f64) -> Finding {
    counted(containers, least, "error lines", |container| {
        container.error_lines
    })
}

pub(super) fn pattern(containers: &[ContainerSignals<'_>], least: f64) -> Finding {
    counted(containers, least, "lines that match", |container| {
        container.matching_lines
    })
}

fn counted(
    containers: &[ContainerSignals<'_>],
    least: f64,
    what: &str,
    lines: impl Fn(&ContainerSignals<'_>) -> Option<u32>,
) -> Finding {
    let known = containers.iter().filter_map(&lines);
    let sum = known.fold(0, u32::saturating_add);
    let minutes = bounds::LOG_WITHIN.std().as_secs() / 60;
    let words = format!("{sum} {what} in the log of the last {minutes} min");
    let finding = Finding::at_least(sum.into(), least, words);
    // What was read may be enough; that it is not says nothing while some is unread.
    let unread = |it: &ContainerSignals<'_>| {
        let may_log = matches!(it.state, ContainerState::Running | ContainerState::Unknown);
        may_log && lines(it).is_none()
    };
    if finding.verdict == Verdict::False && containers.iter().any(unread) {
        return Finding::unknown("the log could not be read");
    }
    finding
}
