//! Symptoms that are read off the signals alone, beside those that evidence shows: what the load balancer's clients
//! meet, and how near its limit of processes a container is. Pure.

use aegis_api::Symptom;
use aegis_api::redact::bound;
use aegis_api::signals::{WorkloadSignals, bounds};
use aegis_api::symptom::SymptomKind;

use super::{Condition, Finding, Verdict};

/// The longest that a symptom's words are, in characters.
const WORDS: usize = 300;

/// Each kind with what was found, gravest first.
pub fn from_signals(signals: &WorkloadSignals<'_>) -> [(SymptomKind, Finding); 3] {
    let errors = Condition::HttpErrors {
        percent: bounds::HTTP_ERROR_PERCENT,
    };
    let slow = Condition::HttpLatency {
        millis: bounds::HTTP_LATENCY_MS,
    };
    let processes = Condition::Pids {
        percent: bounds::PIDS_PERCENT,
    };
    [
        (SymptomKind::HttpErrors, errors.evaluate(signals)),
        (SymptomKind::ProcessLimit, processes.evaluate(signals)),
        (SymptomKind::HttpSlow, slow.evaluate(signals)),
    ]
}

/// What of it holds.
pub fn symptom((kind, finding): &(SymptomKind, Finding)) -> Option<Symptom> {
    (finding.verdict == Verdict::True).then(|| Symptom {
        kind: *kind,
        container: finding.container.clone(),
        value: finding.value,
        message: bound(&finding.message, WORDS),
    })
}
