//! What is left, after an action, of the symptom that it was to clear, and what became of it in the end: the one place where
//! "cleared" is decided. Pure.

use aegis_api::proposal::{ContainerEvidence, Evidence};
use aegis_api::symptom::{Symptom, SymptomKind, words};
use aegis_api::{IncidentStatus, Phase, Reason};

use super::clearing::target;
use super::readings::readings;
use super::validate::ValidatedIncident;
use crate::detection::{Finding, Verdict};

/// What of the symptom that the plan was to clear is left after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// There was none, or the probes have not passed.
    Unasked,
    /// It is measured as gone; what was read.
    Cleared(String),
    /// It, or what is as bad and was not there before, is measured.
    Persists(String),
    /// Its reading is not to be had; why.
    Unknown(String),
    /// The engine did not answer.
    Unread(String),
}

/// What was read after an action.
#[derive(Debug, Clone, Copy)]
pub struct After<'a> {
    /// What is wrong now, gravest first.
    pub symptoms: &'a [Symptom],
    /// What the containers showed.
    pub evidence: &'a Evidence,
    /// What the signals showed, each kind with its finding.
    pub signals: &'a [(SymptomKind, Finding)],
}

/// What became of the symptom that a plan was to clear, as verification has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// It is measured as gone.
    Cleared,
    /// It is still measured: who requested the action was content without.
    Persists,
    /// It could not be measured whether it is gone.
    Inconclusive,
}

impl Cure {
    /// Of the plan that was carried out; `None` where it was to clear nothing.
    pub fn of(status: &IncidentStatus) -> Option<Self> {
        target(status)?;
        let cleared = status.verification.as_ref().and_then(|it| it.symptom_cleared);
        Some(match cleared {
            Some(true) => Self::Cleared,
            Some(false) => Self::Persists,
            None => Self::Inconclusive,
        })
    }

    /// The reason on the condition that says so.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Cleared => Reason::NotMeasuredAnyMore,
            Self::Persists => Reason::StillMeasured,
            Self::Inconclusive => Reason::Inconclusive,
        }
    }
}

/// Whether it was resolved after an action of which it was not measured that it cleared the symptom.
pub fn is_inconclusive(status: &IncidentStatus) -> bool {
    let execution = status.execution.as_ref();
    let acted = execution.is_some_and(|done| done.applied_at.is_some());
    // Of what an earlier version resolved it is not known what it was to clear.
    let cure = Cure::of(status).filter(|_| status.clears.is_some());
    acted && status.phase == Phase::Resolved && cure.is_some_and(|cure| cure != Cure::Cleared)
}

/// What is left of this symptom.
pub fn aftermath(incident: &ValidatedIncident, symptom: &Symptom, after: After<'_>) -> Aftermath {
    let left: Vec<Symptom> = after
        .symptoms
        .iter()
        .filter(|left| {
            is_the_same(left, symptom) || is_new_and_grave(incident, left) || is_linked(incident, left)
        })
        .cloned()
        .collect();
    if !left.is_empty() {
        return Aftermath::Persists(words(&left));
    }
    let of_log = incident
        .dependent
        .as_ref()
        .and_then(|_| unknown(incident, SymptomKind::ErrorBurst, after));
    match unknown(incident, symptom.kind, after).or(of_log) {
        Some(why) => Aftermath::Unknown(why),
        None => Aftermath::Cleared(readings(after.evidence)),
    }
}

/// What is at fault for others' errors is cured where neither its log reports any nor their clients get them.
fn is_linked(incident: &ValidatedIncident, left: &Symptom) -> bool {
    incident.dependent.is_some() && matches!(left.kind, SymptomKind::ErrorBurst | SymptomKind::HttpErrors)
}

/// That a sender has not said yet that it is over is no reading: senders take minutes to notice.
fn is_the_same(left: &Symptom, symptom: &Symptom) -> bool {
    left.kind == symptom.kind && left.kind != SymptomKind::Trusted
}

/// What the action may have brought about: a crash loop or an OOM kill that was not there before.
fn is_new_and_grave(incident: &ValidatedIncident, symptom: &Symptom) -> bool {
    let grave = matches!(
        symptom.kind,
        SymptomKind::OutOfMemory | SymptomKind::CrashLoop | SymptomKind::Down
    );
    grave && !names(incident, symptom.kind)
}

/// Whether a symptom of this kind was measured before.
pub fn names(incident: &ValidatedIncident, kind: SymptomKind) -> bool {
    let mut before = incident.status.symptoms.iter();
    before.any(|symptom| symptom.kind == kind)
}

/// Why it is not known whether a symptom of this kind is gone; `None` where it is.
fn unknown(incident: &ValidatedIncident, kind: SymptomKind, after: After<'_>) -> Option<String> {
    let evidence = after.evidence;
    let every = |known: fn(&ContainerEvidence) -> bool| evidence.containers.iter().all(known);
    let is_known = match kind {
        SymptomKind::MemoryHigh | SymptomKind::MemoryGrowing => every(|it| it.memory_bytes.is_some()),
        SymptomKind::CpuHigh => every(|it| it.cpu_percent.is_some()),
        SymptomKind::ErrorBurst => every(|it| it.recent_error_lines.is_some()),
        SymptomKind::Rule
        | SymptomKind::OutOfMemory
        | SymptomKind::Down
        | SymptomKind::ProbeFailing
        | SymptomKind::NetworkLost
        | SymptomKind::CrashLoop => true,
        SymptomKind::ReplicasMissing => evidence.ready_replicas >= evidence.desired_replicas,
        SymptomKind::Trusted => incident.incident.spec.source.resolved_at.is_some(),
        SymptomKind::HttpErrors | SymptomKind::HttpSlow | SymptomKind::ProcessLimit => {
            let (_, finding) = after.signals.iter().find(|(read, _)| *read == kind)?;
            return (finding.verdict == Verdict::Unknown).then(|| finding.message.clone());
        }
    };
    (!is_known).then(|| match kind {
        SymptomKind::Trusted => "its sender has not said that it is over".to_owned(),
        _ => format!("it could not be read of every container: {}", readings(evidence)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{REPORT, incident, judge};
    use super::*;

    fn symptom(kind: SymptomKind) -> Symptom {
        Symptom {
            kind,
            container: None,
            value: None,
            message: format!("{kind:?}"),
        }
    }

    /// What is left of a symptom of this kind where these are measured after the restart for it.
    fn left(
        kind: SymptomKind,
        now: &[SymptomKind],
        evidence: &Evidence,
        finding: Option<Verdict>,
    ) -> Aftermath {
        let mut incident = incident(REPORT, "{phase: VERIFYING, workload: web}");
        if let Some(status) = &mut incident.status {
            status.symptoms = vec![symptom(kind)];
        }
        let incident = judge(vec![incident], "{}");
        let symptoms: Vec<Symptom> = now.iter().copied().map(symptom).collect();
        let signals = finding.map(|verdict| (kind, Finding::new(verdict, None, "few requests")));
        let after = After {
            symptoms: &symptoms,
            evidence,
            signals: signals.as_slice(),
        };
        aftermath(&incident, &symptom(kind), after)
    }

    fn read(known: bool) -> Evidence {
        Evidence {
            containers: vec![ContainerEvidence {
                memory_bytes: known.then_some(1),
                cpu_percent: known.then_some(1.0),
                recent_error_lines: known.then_some(0),
                ..ContainerEvidence::default()
            }],
            desired_replicas: 2,
            ready_replicas: if known { 2 } else { 1 },
            ..Evidence::default()
        }
    }

    #[test]
    fn each_kind_is_left_where_it_is_measured_and_gone_only_where_it_was_read() {
        for kind in SymptomKind::ALL {
            let same = left(kind, &[kind], &read(true), None);
            match kind {
                SymptomKind::Trusted => assert!(matches!(same, Aftermath::Unknown(_)), "{same:?}"),
                _ => assert!(matches!(same, Aftermath::Persists(_)), "{kind:?} {same:?}"),
            }
            let (good, bad) = match kind {
                SymptomKind::HttpErrors | SymptomKind::HttpSlow | SymptomKind::ProcessLimit => {
                    (Some(Verdict::False), Some(Verdict::Unknown))
                }
                _ => (None, None),
            };
            let gone = left(kind, &[], &read(true), good);
            let unread = left(kind, &[], &read(false), bad);
            match kind {
                // Its sender has not said so.
                SymptomKind::Trusted => assert!(matches!(gone, Aftermath::Unknown(_)), "{gone:?}"),
                _ => assert!(matches!(gone, Aftermath::Cleared(_)), "{kind:?} {gone:?}"),
            }
            match kind {
                SymptomKind::Rule
                | SymptomKind::OutOfMemory
                | SymptomKind::Down
                | SymptomKind::ProbeFailing
                | SymptomKind::NetworkLost
                | SymptomKind::CrashLoop => {
                    assert!(matches!(unread, Aftermath::Cleared(_)), "{kind:?} {unread:?}");
                }
                _ => assert!(matches!(unread, Aftermath::Unknown(_)), "{kind:?} {unread:?}"),
            }
        }
    }

    #[test]
    fn another_symptom_beside_is_no_failure_unless_it_is_grave_and_new() {
        for kind in SymptomKind::ALL {
            let grave = matches!(
                kind,
                SymptomKind::OutOfMemory | SymptomKind::CrashLoop | SymptomKind::Down
            );
            let beside = left(SymptomKind::MemoryHigh, &[kind], &read(true), None);
            let persists = grave || kind == SymptomKind::MemoryHigh;
            assert_eq!(
                matches!(beside, Aftermath::Persists(_)),
                persists,
                "{kind:?} {beside:?}"
            );
        }
    }

    #[test]
    fn a_plan_that_was_to_clear_nothing_is_no_cure() {
        let of = |status: &str| incident(REPORT, status).status.unwrap_or_default();
        assert_eq!(Cure::of(&of("{phase: VERIFYING, workload: web}")), None);
        let mut status = of(
            "{phase: VERIFYING, workload: web, plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1,
                patch: {restartedAt: '2026-11-22T11:00:00Z'}, createdAt: '2026-11-22T11:00:00Z'}}",
        );
        assert_eq!(Cure::of(&status), Some(Cure::Inconclusive));
        for (cleared, cure) in [(true, Cure::Cleared), (false, Cure::Persists)] {
            status.verification = Some(aegis_api::incident::Verification {
                symptom_cleared: Some(cleared),
                ..Default::default()
            });
            assert_eq!(Cure::of(&status), Some(cure));
        }
    }
}
