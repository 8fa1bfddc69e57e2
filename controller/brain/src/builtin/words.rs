//! The analyst's words: what was seen, what a rule says about it, and the pieces in which it is said. Owns the
//! placeholders of the rules' templates. Everything it writes comes from readings, names and numbers; of the sender's
//! words only the alert's type is quoted, bounded. Pure.

use aegis_api::lifecycle::Death;
use aegis_api::proposal::{Action, ContainerEvidence, RecentAction};
use aegis_api::runbook::Outcomes;
use aegis_api::symptom::{self, SymptomClass, SymptomKind};
use aegis_api::workload::Health;

use super::{PassedOver, possible};
use crate::case::{MEASURED_OUTSIDE, Recalled};
use crate::facts::{CPU, Facts, count, ended, state};
use crate::redact::{bound, redact};

/// Containers that are described one by one.
const DESCRIBED: usize = 8;
/// How much of a text from outside is quoted, in characters.
const QUOTED: usize = 120;

type Filler = fn(Facts<'_>, u32) -> String;

/// Every placeholder and what it stands for.
const PLACEHOLDERS: [(&str, Filler); 29] = [
    ("growth", |facts, _| growth(facts)),
    ("growing_container", |facts, _| {
        name_of(facts.soonest_full().map(|(container, _)| container))
    }),
    ("neighbour", |facts, _| neighbour(facts)),
    ("workload", |facts, _| facts.case.workload.clone()),
    ("trouble", |facts, _| trouble(facts)),
    ("revision_age", |facts, _| {
        span(facts.evidence().revision_age_secs.unwrap_or_default())
    }),
    ("oom", |facts, _| names(facts.oom_killed())),
    ("memory_limit", |facts, _| memory_limit(facts)),
    ("memory_container", |facts, _| {
        name_of(facts.worst_memory().map(|(container, _)| container))
    }),
    ("memory", |facts, _| {
        percent(facts.worst_memory().map(|(_, percent)| percent))
    }),
    ("memory_proof", |facts, _| memory_proof(facts)),
    ("cpu_container", |facts, _| {
        name_of(facts.worst_cpu().map(|(container, _)| container))
    }),
    ("cpu", |facts, _| {
        percent(facts.worst_cpu().map(|(_, percent)| percent))
    }),
    ("cpu_proof", |facts, _| cpu_proof(facts)),
    ("unhealthy", |facts, _| names(facts.hung())),
    ("probe", |facts, _| probe(facts)),
    ("paused", |facts, _| names(facts.paused())),
    ("restarted", |facts, _| {
        name_of(facts.most_crashed().map(|(container, _)| container))
    }),
    ("restarts", |facts, _| {
        facts.most_crashed().map_or(0, |(_, crashes)| crashes).to_string()
    }),
    ("ready", |facts, _| facts.ready().to_string()),
    ("desired", |facts, _| {
        facts.evidence().desired_replicas.to_string()
    }),
    ("error_lines", |facts, _| facts.error_lines().to_string()),
    ("connection_lines", |facts, _| {
        facts.connection_lines().to_string()
    }),
    ("full_disk", |facts, _| facts.full_disk().unwrap_or_default()),
    ("load_balancer", |facts, _| {
        facts
            .dead_balancer()
            .map_or_else(String::new, |(name, _)| bound(name, QUOTED))
    }),
    ("load_balancer_trouble", |facts, _| {
        facts
            .dead_balancer()
            .map_or_else(String::new, |(_, why)| redact(&why).into_owned())
    }),
    ("no_scale_up", |facts, _| no_scale_up(facts)),
    ("replicas", |facts, _| facts.case.replicas.current.to_string()),
    ("count", |_, count| count.to_string()),
];

/// A template with its placeholders filled in. What is filled in is not expanded again.
pub(super) fn fill(template: &str, facts: Facts<'_>, count: u32) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    for part in parts(template) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Placeholder(name) => {
                if let Some((_, filler)) = PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
                    filled.push_str(&filler(facts, count));
                }
            }
        }
    }
    filled
}

/// The first placeholder of a template that does not exist.
pub(super) fn unknown_placeholder(template: &str) -> Option<&str> {
    parts(template).find_map(|part| match part {
        Part::Placeholder(name) if !PLACEHOLDERS.iter().any(|(known, _)| *known == name) => Some(name),
        Part::Placeholder(_) | Part::Text(_) => None,
    })
}

enum Part<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    template.split('{').enumerate().flat_map(|(index, piece)| {
        let (placeholder, text) = match piece.split_once('}') {
            Some((name, rest)) if index > 0 => (Some(Part::Placeholder(name)), rest),
            _ => (None, piece),
        };
        placeholder
            .into_iter()
            .chain((!text.is_empty()).then_some(Part::Text(text)))
    })
}

/// What was seen, a sentence each.
pub(super) fn observations(facts: Facts<'_>) -> Vec<String> {
    let (case, evidence) = (facts.case, facts.evidence());
    let alert = bound(&redact(&case.alert_type), QUOTED);
    let mut said = vec![format!(
        "{} was reported with {alert:?}; {} of {} replicas are ready.",
        case.workload,
        facts.ready(),
        evidence.desired_replicas
    )];
    said.extend(facts.containers().iter().take(DESCRIBED).map(describe));
    if let more @ 1.. = facts.containers().len().saturating_sub(DESCRIBED) {
        said.push(format!("{more} more containers were inspected."));
    }
    if facts.soonest_full().is_some() {
        let name = name_of(facts.soonest_full().map(|(container, _)| container));
        said.push(format!("Memory of {name} grows steadily: {}.", growth(facts)));
    }
    if facts.troubled_neighbours().next().is_some() {
        said.push(format!("Beside it, in trouble: {}.", neighbour(facts)));
    }
    let outside = facts.symptoms().into_iter();
    let outside: Vec<_> = outside
        .filter(|symptom| MEASURED_OUTSIDE.contains(&symptom.kind))
        .collect();
    if !outside.is_empty() {
        said.push(format!("Measured beside: {}.", symptom::words(&outside)));
    }
    if let Some(recent) = evidence.recent_actions.last() {
        let outcome = outcome(recent);
        said.push(format!("The last action here was {}, {outcome}.", recent.action));
    }
    if !evidence.gaps.is_empty() {
        let gaps: Vec<String> = evidence
            .gaps
            .iter()
            .take(3)
            .map(|gap| bound(&redact(gap), QUOTED))
            .collect();
        said.push(format!("Not everything could be collected: {}.", gaps.join("; ")));
    }
    said
}

fn outcome(recent: &RecentAction) -> &'static str {
    match (&recent.incident, recent.verified) {
        (None, _) => "requested by hand, outside of any incident",
        _ if recent.relapsed => "which helped until the trouble came back",
        (_, Some(true)) => "which helped",
        (_, Some(false)) => "which did not help",
        (_, None) => "whose outcome is open",
    }
}

/// Words of an alert's type, in lower case, by which it speaks of memory, of CPU and of not serving.
const SPEAKS_OF_MEMORY: [&str; 3] = ["memory", "oom", "leak"];
const SPEAKS_OF_CPU: [&str; 2] = ["cpu", "saturat"];
const SPEAKS_OF_DOWN: [&str; 8] = [
    "down",
    "died",
    "dead",
    "crash",
    "unreachable",
    "health",
    "probe",
    "hang",
];

/// Which readings contradict what the alert's type speaks of. The sender's words choose what is said of the readings,
/// and nothing else.
pub(super) fn contradiction(facts: Facts<'_>) -> Vec<String> {
    let said = facts.case.alert_type.to_lowercase();
    let symptoms = facts.symptoms();
    let is_measured = |class| symptoms.iter().any(|symptom| symptom.kind.class() == class);
    let speaks = |of: &[&str]| of.iter().any(|word| said.contains(word));
    let mut found = Vec::new();
    let is_killed = symptoms
        .iter()
        .any(|symptom| symptom.kind == SymptomKind::OutOfMemory);
    let short_of_memory = is_killed || is_measured(SymptomClass::Memory);
    if speaks(&SPEAKS_OF_MEMORY) && facts.memory_known() && !short_of_memory {
        found.push(("memory", memory_proof(facts)));
    }
    if speaks(&SPEAKS_OF_CPU) && facts.cpu_known() && !is_measured(SymptomClass::Cpu) {
        let least = CPU.0;
        found.push((
            "CPU",
            format!("{}, and from {least:.0} % it is a symptom", cpu_proof(facts)),
        ));
    }
    let serves = facts.all_healthy() && !is_measured(SymptomClass::Availability);
    if speaks(&SPEAKS_OF_DOWN) && serves {
        let (ready, desired) = (facts.ready(), facts.evidence().desired_replicas);
        let reading = format!("{ready} of {desired} replicas run and pass their probes");
        found.push(("a workload that does not serve", reading));
    }
    let sentence = |(topic, reading): (&str, String)| {
        format!("The alert speaks of {topic}, which the reading contradicts: {reading}.")
    };
    found.into_iter().map(sentence).collect()
}

/// Why other rules did not decide, a sentence each; neighbours with one reason share a sentence.
pub(super) fn considered(passed_over: &[PassedOver<'_>]) -> Vec<String> {
    let same = |a: &PassedOver<'_>, b: &PassedOver<'_>| reason(a) == reason(b);
    passed_over.chunk_by(same).map(sentence).collect()
}

fn reason<'a>(passed: &'a PassedOver<'_>) -> (bool, &'a str) {
    match passed {
        PassedOver::RuledOut { saw, .. } => (false, saw),
        PassedOver::Barred { why, .. } => (true, why),
    }
}

fn sentence(alike: &[PassedOver<'_>]) -> String {
    let titles = alike.iter().map(|passed| match passed {
        PassedOver::RuledOut { title, .. } | PassedOver::Barred { title, .. } => *title,
    });
    let titles = titles.collect::<Vec<_>>().join(", nor ");
    match alike.first().map(reason) {
        Some((true, why)) => format!("It looks like {}, but {why}.", titles.replace(", nor ", " or ")),
        Some((false, saw)) => format!("It is not {titles}: {saw}."),
        None => String::new(),
    }
}

/// An earlier case whose fix helped, as a sentence.
pub(super) fn recollection(recalled: &Recalled) -> String {
    let outcomes = &recalled.entry.outcomes;
    let similar = similar(recalled);
    if outcomes.against() == 0 {
        return format!("{similar} helped then, too.");
    }
    format!("{similar} {}.", record(outcomes))
}

/// An earlier case of whose fix it is not known yet whether it helped.
pub(super) fn unsettled(recalled: &Recalled) -> String {
    format!("{} {}.", similar(recalled), record(&recalled.entry.outcomes))
}

/// An earlier case that called for something else.
pub(super) fn does_not_fit(recalled: &Recalled) -> String {
    format!(
        "{} was the answer then, which does not fit what is seen now.",
        similar(recalled)
    )
}

fn similar(recalled: &Recalled) -> String {
    let similar = (recalled.score * 100.0).clamp(0.0, 100.0);
    let trust = (recalled.trust * 100.0).clamp(0.0, 100.0);
    let name = bound(&recalled.name, QUOTED);
    format!(
        "Runbook entry {name} is {similar:.0} % similar and {trust:.0} % trusted: {}",
        recalled.entry.action
    )
}

/// How a fix turned out, as it stands after the action: what is settled, and nothing that is provisional.
pub(crate) fn record(outcomes: &Outcomes) -> String {
    if outcomes.successes == 0 && outcomes.against() == 0 {
        return "was done, and whether it helped is not settled".to_owned();
    }
    let mut parts = vec![format!("helped {} times", outcomes.successes)];
    parts.extend(against(outcomes));
    parts.join(", ")
}

/// What speaks against a fix, a phrase each.
fn against(outcomes: &Outcomes) -> Vec<String> {
    let (failures, relapses) = (outcomes.failures, outcomes.relapses);
    let failed = (failures > 0).then(|| format!("failed {failures} times"));
    let relapsed = (relapses > 0).then(|| format!("came back {relapses} times within the relapse window"));
    failed.into_iter().chain(relapsed).collect()
}

/// How a fix turned out that is no longer recommended, as it stands after the action.
pub(crate) fn bad_record(outcomes: &Outcomes) -> String {
    let against = against(outcomes).join(", ");
    format!(
        "{against} and helped {} times: it is no longer recommended",
        outcomes.successes
    )
}

/// How an earlier case whose fix keeps failing, or never was proved to help, is referred to.
pub(super) fn discredit(recalled: &Recalled) -> String {
    let name = bound(&recalled.name, QUOTED);
    let similar = (recalled.score * 100.0).clamp(0.0, 100.0);
    let action = recalled.entry.action;
    if recalled.entry.unproven.is_some() {
        return format!(
            "Runbook entry {name} is {similar:.0} % similar, but nothing measured shows that its {action} helped."
        );
    }
    format!(
        "Runbook entry {name} is {similar:.0} % similar, but {action} {}.",
        bad_record(&recalled.entry.outcomes)
    )
}

/// A text in pieces of about four words; together they are the text.
pub(crate) fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let ends = rest
            .char_indices()
            .filter(|(_, c)| c.is_whitespace())
            .map(|(at, c)| at + c.len_utf8());
        let line_ends = |end: usize| rest.get(..end).is_some_and(|piece| piece.ends_with('\n'));
        let cut = ends
            .enumerate()
            .find(|(words, end)| *words >= 3 || line_ends(*end));
        let (piece, left) = rest.split_at_checked(cut.map_or(rest.len(), |(_, end)| end))?;
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Seconds in words that are short to read.
pub(crate) fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

fn describe(container: &ContainerEvidence) -> String {
    let mut readings = vec![if crate::facts::runs(container) {
        format!("is {}", state(container))
    } else {
        format!("is {}", ended(container))
    }];
    readings.extend(container.oom_killed.then(|| "was OOM-killed".to_owned()));
    readings.push(match container.health {
        _ if crate::facts::is_paused(container) => "cannot be probed".to_owned(),
        Health::Healthy => "passes its probe".to_owned(),
        Health::Unhealthy => "fails its probe".to_owned(),
        Health::Unknown => "has not been probed".to_owned(),
    });
    readings.extend(
        container
            .docker_health
            .iter()
            .map(|word| format!("is {} to Docker", bound(word, 20))),
    );
    readings.extend(memory_use(container));
    readings.extend(
        container
            .cpu_percent
            .map(|percent| format!("uses {percent:.1} % of a core")),
    );
    readings.extend(endings(&container.deaths));
    format!("{} {}.", container.name, readings.join(", "))
}

/// How often a container ended in the last quarter of an hour, and who made it end.
fn endings(deaths: &[Death]) -> Option<String> {
    let mut causes: Vec<&'static str> = Vec::new();
    for death in deaths {
        let by = death.cause.words();
        if !causes.contains(&by) {
            causes.push(by);
        }
    }
    let times = |by: &&'static str| count(deaths.iter().filter(|death| death.cause.words() == *by));
    let counted: Vec<String> = causes
        .iter()
        .map(|by| format!("{} times {by}", times(by)))
        .collect();
    (!counted.is_empty()).then(|| format!("ended lately {}", counted.join(" and ")))
}

/// Why there cannot be more replicas.
fn no_scale_up(facts: Facts<'_>) -> String {
    match possible::possible(Action::ScaleUp, 1, facts) {
        Err(why) => why,
        Ok(_) => "not every replica that there is has become ready".to_owned(),
    }
}

fn memory_use(container: &ContainerEvidence) -> Option<String> {
    let used = container.memory_bytes? >> 20;
    Some(match (container.memory_percent(), container.memory_limit_bytes) {
        (Some(percent), Some(limit)) => {
            format!("uses {used} of {} MiB of memory ({percent:.1} %)", limit >> 20)
        }
        _ => format!("uses {used} MiB of memory without a limit"),
    })
}

fn trouble(facts: Facts<'_>) -> String {
    let symptoms = facts.trouble();
    let mut named: Vec<String> = symptoms.iter().take(4).cloned().collect();
    match symptoms.len().saturating_sub(4) {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    if facts.containers().is_empty() {
        "no container could be inspected".to_owned()
    } else if named.is_empty() {
        "no clear symptom".to_owned()
    } else {
        named.join(", ")
    }
}

/// How fast memory grows where it will be full soonest.
fn growth(facts: Facts<'_>) -> String {
    let Some((container, minutes)) = facts.soonest_full() else {
        return "no steady growth".to_owned();
    };
    let memory = container.trend.as_ref().and_then(|trend| trend.memory_mb);
    let memory = memory.unwrap_or_default();
    format!(
        "from {:.0} to {:.0} MiB, {:.1} MiB a minute, full in {minutes:.0} min",
        memory.first, memory.last, memory.per_minute
    )
}

fn neighbour(facts: Facts<'_>) -> String {
    let named = facts.troubled_neighbours().take(3);
    let named: Vec<String> = named
        .map(|neighbour| {
            let status = bound(&redact(&neighbour.status), QUOTED);
            format!("{} ({status})", bound(&neighbour.name, QUOTED))
        })
        .collect();
    if named.is_empty() {
        "no container".to_owned()
    } else {
        named.join(", ")
    }
}

fn memory_limit(facts: Facts<'_>) -> String {
    let limit = facts
        .oom_killed()
        .find_map(|container| container.memory_limit_bytes)
        .filter(|limit| *limit > 0);
    limit.map_or_else(String::new, |limit| {
        format!(": it had used up its limit of {} MiB", limit >> 20)
    })
}

fn memory_proof(facts: Facts<'_>) -> String {
    match facts.worst_memory() {
        Some((_, percent)) => format!("memory is at {percent:.1} % of its limit at most"),
        None => "no container has a memory limit to reach".to_owned(),
    }
}

fn cpu_proof(facts: Facts<'_>) -> String {
    match facts.worst_cpu() {
        Some((_, percent)) => format!("CPU is at {percent:.1} % of a core at most"),
        None => "CPU was not measured yet".to_owned(),
    }
}

fn probe(facts: Facts<'_>) -> String {
    let words = facts.hung().find_map(|container| {
        let docker = container.health_log.last().map(String::as_str);
        container.probe.as_deref().or(docker)
    });
    words.map_or_else(String::new, |words| {
        format!(" ({})", bound(&redact(words), QUOTED))
    })
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(
        || "an unknown share".to_owned(),
        |percent| format!("{percent:.1} %"),
    )
}

fn name_of(container: Option<&ContainerEvidence>) -> String {
    container.map_or_else(|| "no container".to_owned(), |container| container.name.clone())
}

fn names<'a>(containers: impl Iterator<Item = &'a ContainerEvidence>) -> String {
    let all: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
    let shown = all.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(3) {
        _ if all.is_empty() => "no container".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
