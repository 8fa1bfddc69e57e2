//! What autoscaling promises, as tables.

mod decisions;
mod formula;
mod measured;
mod ramp;
mod schedule;
mod stalls;
mod traces;

use aegis_api::Time;
use aegis_api::workload::autoscale::{Autoscale, AutoscaleStatus};

use super::{Decision, Reading, Situation, Subject, Windows, decide};

fn at(secs: i64) -> Time {
    Time(jiff::Timestamp::from_second(1_900_000_020 + secs).unwrap())
}

fn moment(text: &str) -> Time {
    Time(text.parse().unwrap())
}

/// `{min: 1, max: 10, targets: […], …}` with windows that hold nothing, unless they are given.
fn spec(targets: &str, rest: &str) -> Autoscale {
    let window = if rest.contains("scaleDownWindow") {
        ""
    } else {
        "scaleDownWindow: 0s, "
    };
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!(", {rest}")
    };
    read(&format!(
        "{{min: 1, max: 10, {window}targets: [{targets}]{rest}}}"
    ))
}

/// YAML in flow style, as the store reads it.
fn read(text: &str) -> Autoscale {
    let value = aegis_api::yaml::parse(text).unwrap().remove(0).value;
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn total(now: f64) -> Reading {
    Reading::Total {
        now,
        ahead: None,
        rate: None,
    }
}

fn percents(values: &[f64]) -> Reading {
    Reading::OfReplicas {
        percents: values.iter().copied().map(Some).collect(),
        limited: true,
    }
}

fn serving(count: u32, readings: Vec<Reading>) -> Situation {
    Situation {
        serving: count,
        readings,
        ..Situation::default()
    }
}

/// A workload over time: what a loop would keep, and what its writes make of the spec.
struct World {
    spec: Autoscale,
    replicas: u32,
    generation: i64,
    status: AutoscaleStatus,
    windows: Windows,
}

impl World {
    fn new(spec: Autoscale, replicas: u32) -> Self {
        Self {
            spec,
            replicas,
            generation: 1,
            status: AutoscaleStatus::default(),
            windows: Windows::default(),
        }
    }

    /// Decides and stores the status, not the spec.
    fn decide(&mut self, secs: i64, situation: &Situation) -> Decision {
        let subject = Subject {
            now: at(secs),
            spec: &self.spec,
            replicas: self.replicas,
            generation: self.generation,
        };
        let decision = decide(subject, situation, &self.status, &mut self.windows);
        self.status = decision.status.clone();
        decision
    }

    /// Decides and carries out.
    fn pass(&mut self, secs: i64, situation: &Situation) -> Decision {
        let decision = self.decide(secs, situation);
        if let Some(change) = decision.change {
            self.set(change.to);
        }
        decision
    }

    fn set(&mut self, replicas: u32) {
        self.replicas = replicas;
        self.generation += 1;
    }

    /// A controller that starts again has the stored state alone.
    fn restart(&mut self) {
        self.windows = Windows::default();
    }
}
