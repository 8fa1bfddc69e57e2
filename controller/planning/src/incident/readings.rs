//! What was read of a workload's containers, in words. Pure.

use aegis_api::proposal::{ContainerEvidence, Evidence};
use aegis_api::redact::bound;

/// The longest account of readings, in characters.
const READINGS: usize = 600;

/// What was read, for display, and what was not.
pub fn readings(evidence: &Evidence) -> String {
    let mut read: Vec<String> = evidence.containers.iter().map(describe_container).collect();
    if !evidence.gaps.is_empty() {
        read.push(format!("not measured: {}", evidence.gaps.join("; ")));
    }
    bound(&read.join("; "), READINGS)
}

/// One container.
pub fn describe_container(container: &ContainerEvidence) -> String {
    let mut text = format!("{} is {}", container.name, container.state);
    if let Some(percent) = container.memory_percent() {
        text.push_str(&format!(", memory {percent:.0} % of its limit"));
    }
    if container.oom_killed {
        text.push_str(", was OOM-killed");
    }
    if let Some(code) = container.exit_code {
        text.push_str(&format!(", exit code {code}"));
    }
    if let Some(percent) = container.cpu_percent {
        text.push_str(&format!(", {percent:.0} % of a core"));
    }
    if let Some(probe) = &container.probe {
        text.push_str(&format!(", {probe}"));
    }
    text
}
