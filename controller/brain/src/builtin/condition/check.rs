//! Whether a condition holds of a case, and the words for what was seen. Pure.

use aegis_api::proposal::Action;
use aegis_api::symptom::SymptomKind;

use super::{Condition, LogLines, Range, Share};
use crate::builtin::{possible, words};
use crate::facts::{Facts, count, state};

/// Whether a condition holds, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::builtin) struct Check {
    pub(in crate::builtin) holds: bool,
    pub(in crate::builtin) saw: String,
}

impl Check {
    fn new(holds: bool, saw: impl Into<String>) -> Self {
        Self {
            holds,
            saw: saw.into(),
        }
    }
}

impl Range {
    fn holds(self, value: Option<f64>) -> bool {
        value.is_some_and(|value| {
            self.at_least.is_none_or(|least| value >= least) && self.below.is_none_or(|bound| value < bound)
        })
    }

    fn counted(self, value: u32) -> bool {
        self.holds(Some(f64::from(value)))
    }
}

impl Share {
    fn holds(self, part: u32, all: u32) -> bool {
        all > 0
            && match self {
                Share::None => part == 0,
                Share::Part => part > 0 && part < all,
                Share::Some => part > 0,
                Share::All => part == all,
            }
    }
}

impl Condition {
    pub(in crate::builtin) fn check(&self, facts: Facts<'_>) -> Check {
        match self {
            Self::OomKilled(wanted) => oom_killed(*wanted, facts),
            Self::MemoryPercent(range) => memory(*range, facts),
            Self::MemoryFullInMinutes(range) => memory_full(*range, facts),
            Self::NeighbourInTrouble(wanted) => neighbour_in_trouble(*wanted, facts),
            Self::LoadBalancerDown(wanted) => load_balancer_down(*wanted, facts),
            Self::DiskFull(wanted) => disk_full(*wanted, facts),
            Self::ConnectionErrors(wanted) => connection_errors(*wanted, facts),
            Self::CpuPercent(range) => cpu(*range, facts),
            Self::Running(share) => running(*share, facts),
            Self::Paused(share) => paused(*share, facts),
            Self::Unhealthy(share) => unhealthy(*share, facts),
            Self::AllHealthy(wanted) => healthy(*wanted, facts),
            Self::Crashed(wanted) => crashed(*wanted, facts),
            Self::Symptoms(wanted) => symptoms(*wanted, facts),
            Self::Measured(kinds) => measured(kinds, true, facts),
            Self::NotMeasured(kinds) => measured(kinds, false, facts),
            Self::Trusted(action) => trusted(*action, facts),
            Self::RestartCount(range) => restart_count(*range, facts),
            Self::RestartLoop(wanted) => restart_loop(*wanted, facts),
            Self::RecentCrashes(range) => recent_crashes(*range, facts),
            Self::RevisionAgeSecs(range) => revision_age(*range, facts),
            Self::CanRollBack(wanted) => can_roll_back(*wanted, facts),
            Self::RolledOut(wanted) => rolled_out(*wanted, facts),
            Self::DesiredReplicas(range) => desired_replicas(*range, facts),
            Self::ErrorLines(range) => error_lines(*range, facts),
            Self::LogLines(lines) => log_lines(lines, facts),
            Self::Alert(words) => alert(words, facts),
            Self::Collected(wanted) => collected(*wanted, facts),
            Self::Gaps(wanted) => gaps(*wanted, facts),
            Self::Failed(actions) => failed(actions, facts),
            Self::Overloaded(wanted) => overloaded(*wanted, facts),
            Self::AnyOf(inner) => any_of(inner, facts),
            Self::AllOf(inner) => all_of(inner, facts),
        }
    }
}

fn all(facts: Facts<'_>) -> u32 {
    count(facts.containers().iter())
}

fn oom_killed(wanted: bool, facts: Facts<'_>) -> Check {
    let killed = count(facts.oom_killed());
    let saw = format!("{killed} of {} containers were OOM-killed", all(facts));
    Check::new((killed > 0) == wanted, saw)
}

fn memory(range: Range, facts: Facts<'_>) -> Check {
    let Some((container, percent)) = facts.worst_memory() else {
        // Where no container has a limit, memory is below any share of it.
        let unlimited = facts.memory_known();
        let saw = if unlimited {
            "no container has a memory limit"
        } else {
            "memory use is not known"
        };
        return Check::new(unlimited && range.at_least.is_none(), saw);
    };
    let known = range.below.is_none() || facts.memory_known();
    Check::new(
        known && range.holds(Some(percent)),
        format!("{} uses {percent:.1} % of its memory limit", container.name),
    )
}

fn memory_full(range: Range, facts: Facts<'_>) -> Check {
    let soonest = facts.soonest_full();
    let saw = soonest.map_or_else(
        || "no container's memory grows steadily".to_owned(),
        |(container, minutes)| format!("memory of {} would be full in {minutes:.0} min", container.name),
    );
    Check::new(range.holds(soonest.map(|(_, minutes)| minutes)), saw)
}

fn neighbour_in_trouble(wanted: bool, facts: Facts<'_>) -> Check {
    let first = facts.troubled_neighbours().next();
    let saw = first.map_or_else(
        || "no container beside it is in trouble".to_owned(),
        |neighbour| format!("{} beside it is in trouble", neighbour.name),
    );
    Check::new(first.is_some() == wanted, saw)
}

fn load_balancer_down(wanted: bool, facts: Facts<'_>) -> Check {
    let down = facts.dead_balancer();
    let saw = down.as_ref().map_or_else(
        || "no load balancer in front of it is known to be down".to_owned(),
        |(name, why)| format!("load balancer {name} passes it no request: {why}"),
    );
    Check::new(down.is_some() == wanted, saw)
}

fn disk_full(wanted: bool, facts: Facts<'_>) -> Check {
    let full = facts.full_disk();
    let saw = full.as_ref().map_or_else(
        || "nothing reports that no space is left".to_owned(),
        |by| format!("{by} reports that no space is left"),
    );
    Check::new(full.is_some() == wanted, saw)
}

fn connection_errors(wanted: bool, facts: Facts<'_>) -> Check {
    let lines = facts.connection_lines();
    let saw = format!("{lines} log lines report failed connections");
    Check::new((lines > 0) == wanted, saw)
}

fn cpu(range: Range, facts: Facts<'_>) -> Check {
    let worst = facts.worst_cpu();
    let saw = worst.map_or_else(
        || "CPU use is not known".to_owned(),
        |(container, percent)| format!("{} uses {percent:.1} % of a core", container.name),
    );
    let known = range.below.is_none() || facts.cpu_known();
    Check::new(known && range.holds(worst.map(|(_, percent)| percent)), saw)
}

fn running(share: Share, facts: Facts<'_>) -> Check {
    let all = all(facts);
    let running = all.saturating_sub(count(facts.down()));
    let saw = format!("{running} of {all} containers run");
    Check::new(share.holds(running, all), saw)
}

fn paused(share: Share, facts: Facts<'_>) -> Check {
    let (paused, all) = (count(facts.paused()), all(facts));
    let saw = format!("{paused} of {all} containers are paused");
    Check::new(share.holds(paused, all), saw)
}

fn unhealthy(share: Share, facts: Facts<'_>) -> Check {
    let (hung, all) = (count(facts.hung()), all(facts));
    let saw = format!("{hung} of {all} containers run and fail their health check");
    Check::new(share.holds(hung, all), saw)
}

fn healthy(wanted: bool, facts: Facts<'_>) -> Check {
    let saw = match facts.down().next().or_else(|| facts.hung().next()) {
        Some(container) if crate::facts::runs(container) => {
            format!("{} fails its health check", container.name)
        }
        Some(container) => format!("{} is {}", container.name, state(container)),
        None => format!(
            "{} of {} replicas are ready",
            facts.ready(),
            facts.evidence().desired_replicas
        ),
    };
    Check::new(facts.all_healthy() == wanted, saw)
}

fn crashed(wanted: bool, facts: Facts<'_>) -> Check {
    let crashed = count(facts.crashed());
    let saw = format!("{crashed} of {} containers ended with a failure", all(facts));
    Check::new((crashed > 0) == wanted, saw)
}

fn symptoms(wanted: bool, facts: Facts<'_>) -> Check {
    let symptoms = facts.symptoms();
    let first = symptoms.iter().find(|symptom| symptom.kind != SymptomKind::Rule);
    let saw = first.map_or_else(
        || "no trouble shows".to_owned(),
        |symptom| symptom.message.clone(),
    );
    Check::new(first.is_some() == wanted, saw)
}

fn measured(kinds: &[SymptomKind], wanted: bool, facts: Facts<'_>) -> Check {
    let symptoms = facts.symptoms();
    let found = symptoms.iter().find(|symptom| kinds.contains(&symptom.kind));
    let saw = match found {
        Some(symptom) => symptom.message.clone(),
        None => "nothing of the kind is measured".to_owned(),
    };
    Check::new(found.is_some() == wanted, saw)
}

fn trusted(action: Action, facts: Facts<'_>) -> Check {
    let first = possible::first_trusted(facts);
    Check::new(
        first == Some(action),
        first.map_or_else(
            || "the policy allows nothing on the sender's word that is possible".to_owned(),
            |first| format!("{first} is the first that the policy allows on the sender's word"),
        ),
    )
}

fn restart_count(range: Range, facts: Facts<'_>) -> Check {
    let restarts = facts
        .most_restarted()
        .map_or(0, |container| container.restart_count);
    let restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
    let saw = format!("no container was restarted more than {restarts} times");
    Check::new(range.counted(restarts), saw)
}

fn restart_loop(wanted: bool, facts: Facts<'_>) -> Check {
    let loops = facts.crash_loop().is_some();
    let saw = if loops {
        "containers crash again and again"
    } else {
        "no container crashed again and again within the last minutes"
    };
    Check::new(loops == wanted, saw)
}

fn recent_crashes(range: Range, facts: Facts<'_>) -> Check {
    let crashes = facts.most_crashed().map_or(0, |(_, crashes)| crashes);
    let saw = format!("no container crashed more than {crashes} times within the last minutes");
    Check::new(range.counted(crashes), saw)
}

fn revision_age(range: Range, facts: Facts<'_>) -> Check {
    let age = facts
        .evidence()
        .revision_age_secs
        .map(|secs| u32::try_from(secs).unwrap_or(u32::MAX));
    let saw = age.map_or_else(
        || "it is not known how old the current revision is".to_owned(),
        |secs| format!("the current revision is {} old", words::span(secs.into())),
    );
    Check::new(range.holds(age.map(f64::from)), saw)
}

fn can_roll_back(wanted: bool, facts: Facts<'_>) -> Check {
    let can = facts.evidence().can_roll_back;
    let saw = if can {
        "there is an earlier revision"
    } else {
        "there is no earlier revision"
    };
    Check::new(can == wanted, saw)
}

fn rolled_out(wanted: bool, facts: Facts<'_>) -> Check {
    let seen = facts.evidence().revisions.len();
    Check::new((seen > 1) == wanted, format!("{seen} revisions of it were seen"))
}

fn desired_replicas(range: Range, facts: Facts<'_>) -> Check {
    let desired = facts.evidence().desired_replicas;
    Check::new(range.counted(desired), format!("spec.replicas is {desired}"))
}

fn error_lines(range: Range, facts: Facts<'_>) -> Check {
    let lines = facts.error_lines();
    let saw = format!("{lines} log lines of the last minutes report an error");
    Check::new(range.counted(lines), saw)
}

fn log_lines(wanted: &LogLines, facts: Facts<'_>) -> Check {
    let lines = facts.log_lines(&wanted.any_of);
    Check::new(lines >= wanted.at_least, format!("{lines} log lines speak of it"))
}

fn alert(words: &[String], facts: Facts<'_>) -> Check {
    let said = facts.case.alert_type.to_lowercase().replace(['_', '-', '.'], " ");
    let holds = words.iter().any(|word| said.contains(word.as_str()));
    Check::new(
        holds,
        if holds {
            "the alert speaks of it"
        } else {
            "the alert does not speak of it"
        },
    )
}

fn collected(wanted: bool, facts: Facts<'_>) -> Check {
    let collected = facts.evidence().collected_at.is_some();
    let saw = if collected {
        "evidence was collected"
    } else {
        "no evidence was collected"
    };
    Check::new(collected == wanted, saw)
}

fn gaps(wanted: bool, facts: Facts<'_>) -> Check {
    let gaps = count(facts.evidence().gaps.iter());
    let saw = format!("{gaps} things could not be collected");
    Check::new((gaps > 0) == wanted, saw)
}

fn failed(actions: &[Action], facts: Facts<'_>) -> Check {
    let failed = actions
        .iter()
        .find(|action| facts.was_tried(**action) || facts.failures(**action) >= 2);
    match failed {
        Some(action) => Check::new(true, format!("{action} did not help")),
        None => Check::new(false, "the first choice has not failed"),
    }
}

fn overloaded(wanted: bool, facts: Facts<'_>) -> Check {
    let is_overloaded = facts.is_overloaded();
    let saw = if is_overloaded {
        "more replicas were not enough"
    } else {
        "more replicas have not been tried lately"
    };
    Check::new(is_overloaded == wanted, saw)
}

fn any_of(inner: &[Condition], facts: Facts<'_>) -> Check {
    let checks: Vec<Check> = inner.iter().map(|condition| condition.check(facts)).collect();
    let holds = checks.iter().any(|check| check.holds);
    let mut saw: Vec<String> = checks.into_iter().map(|check| check.saw).collect();
    saw.dedup();
    Check::new(holds, saw.join(", "))
}

fn all_of(inner: &[Condition], facts: Facts<'_>) -> Check {
    let checks: Vec<Check> = inner.iter().map(|condition| condition.check(facts)).collect();
    let failing = checks.iter().find(|check| !check.holds);
    match failing {
        Some(check) => check.clone(),
        None => Check::new(
            true,
            checks
                .into_iter()
                .map(|check| check.saw)
                .collect::<Vec<_>>()
                .join(", "),
        ),
    }
}
