//! Where the trouble is another's: the workload is not the patient, and an action on it would heal nothing. Reads the
//! controller's own evidence only. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::proposal::{ContainerEvidence, Neighbour};

use super::{Facts, reports_error};
use crate::redact::bound;

/// A line that holds one of these, in any case, reports a full disk.
const FULL_WORDS: [&str; 2] = ["no space left on device", "enospc"];
/// Of a log whose lines carry no time, so many of the last ones are of now.
const LAST_LINES: usize = 20;
/// How old an event may be to be of now.
const EVENTS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long a workload must have run undisturbed for a load balancer to be expected to send it requests.
const SETTLED: Duration = Duration::from_secs(60);
/// The longest that another's name is, in characters.
const NAME: usize = 120;

impl<'a> Facts<'a> {
    /// Containers on the workload's networks that are in trouble themselves.
    pub(crate) fn troubled_neighbours(self) -> impl Iterator<Item = &'a Neighbour> {
        let neighbours = self.case.evidence.neighbours.iter();
        neighbours.filter(|neighbour| neighbour.in_trouble)
    }

    /// Who reports that a disk is full, in a few words.
    pub(crate) fn full_disk(self) -> Option<String> {
        if let Some(container) = self
            .containers()
            .iter()
            .find(|container| logs_full_disk(container))
        {
            return Some(format!("the log of {}", bound(&container.name, NAME)));
        }
        let checked = self.containers().iter().find(|container| {
            let mut last = container.health_log.last().into_iter().chain(&container.probe);
            last.any(|line| is_full(line))
        });
        if let Some(container) = checked {
            return Some(format!("the health check of {}", bound(&container.name, NAME)));
        }
        let evidence = self.evidence();
        if evidence.gaps.iter().any(|gap| is_full(gap)) {
            return Some("the Docker engine".to_owned());
        }
        let mut events = evidence.events.iter();
        let is_reported = events.any(|event| is_full(event) && is_recent(event, evidence.collected_at));
        is_reported.then(|| format!("an event of {}", self.case.workload))
    }

    /// A load balancer in front of the workload that does not pass requests on to it although it is well, and why.
    pub(crate) fn dead_balancer(self) -> Option<(&'a str, String)> {
        if !self.all_healthy() {
            return None;
        }
        let evidence = self.evidence();
        let stopped = self.case.balancers.iter().find_map(|balancer| {
            let mut neighbours = evidence.neighbours.iter();
            let itself = neighbours.find(|neighbour| neighbour.name == balancer.container)?;
            let is_down = itself.in_trouble || !itself.status.starts_with("Up");
            is_down.then(|| (balancer.container.as_str(), bound(&itself.status, NAME)))
        });
        stopped.or_else(|| {
            let mut balancers = self.case.balancers.iter().filter(|_| self.has_settled());
            let idle = balancers.find(|balancer| !balancer.routes)?;
            let why = format!("its configuration has no server of {}", self.case.workload);
            Some((idle.container.as_str(), why))
        })
    }

    /// Where the trouble is another's, whose it is.
    pub(crate) fn elsewhere(self) -> Option<String> {
        let balancer = self.dead_balancer();
        let balancer = balancer.map(|(name, why)| format!("load balancer {} ({why})", bound(name, NAME)));
        balancer.or_else(|| self.full_disk().map(|by| format!("a full disk, by {by}")))
    }

    /// Whether nothing was done to the workload lately and all its processes have run for a while.
    fn has_settled(self) -> bool {
        let evidence = self.evidence();
        let Some(now) = evidence.collected_at else {
            return false;
        };
        let is_old = |at: Time| at.age(now) >= SETTLED;
        let mut containers = self.containers().iter();
        evidence.recent_actions.iter().all(|action| is_old(action.at))
            && containers.all(|container| container.started_at.is_some_and(is_old))
    }
}

fn is_full(text: &str) -> bool {
    let text = text.to_lowercase();
    FULL_WORDS.iter().any(|word| text.contains(word))
}

/// Whether one of a container's last lines reports a full disk. A line that reports an error is of now only where the
/// present process has logged errors in the last minutes.
fn logs_full_disk(container: &ContainerEvidence) -> bool {
    let mut last = container.log_tail.lines().rev().take(LAST_LINES);
    let is_old = |line: &str| reports_error(line) && container.recent_error_lines == Some(0);
    last.any(|line| is_full(line) && !is_old(line))
}

/// Whether an event, which begins with its time, is of now.
fn is_recent(event: &str, now: Option<Time>) -> bool {
    let at = event.split_once(' ').and_then(|(at, _)| at.parse::<Time>().ok());
    at.zip(now).is_some_and(|(at, now)| at.age(now) <= EVENTS_WITHIN)
}
