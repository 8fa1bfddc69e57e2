//! What detectors read, for those who do not read resources. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::detector::{Detector, DetectorWorkload, Signal};
use crate::incident::Severity;
use crate::kinds::Kind as _;

/// Readings of one detector that are listed, at most.
const MOST_READINGS: usize = 20;

/// A row of `/detectors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectorView {
    /// Its name.
    pub name: String,
    /// What it measures; absent where it watches a service level objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// The service level objective that it watches, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// From which value its condition holds, in the unit of the signal; absent where it has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Alert type of the incidents it opens.
    pub alert_type: String,
    /// Severity of the incidents it opens.
    pub severity: Severity,
    /// For how many workloads it fires.
    pub firing: u32,
    /// The greatest of the last values, in the unit of the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it reads where it fires, at most twenty; where it fires nowhere, the reading with the greatest value.
    pub readings: Vec<DetectorReading>,
}

/// What a detector reads of one workload, or of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectorReading {
    /// The Workload's name; absent where it is about the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Whether it fires.
    pub firing: bool,
    /// Whether the condition holds: `True`, `False`, or `Unknown` where it could not be measured.
    pub condition: String,
    /// The last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What was read, human-readable.
    pub message: String,
    /// The Incident that it opened or joined, while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

impl DetectorView {
    /// The row of a detector.
    pub fn of(detector: &Detector) -> Self {
        let spec = &detector.spec;
        let status = detector.status.clone().unwrap_or_default();
        let rows = || status.workloads.iter();
        let greatest = rows().max_by(|one, other| {
            let value = |row: &DetectorWorkload| row.value.unwrap_or(f64::NEG_INFINITY);
            value(one).total_cmp(&value(other))
        });
        let firing = rows().filter(|row| row.firing).take(MOST_READINGS);
        let mut readings: Vec<DetectorReading> = firing.map(DetectorReading::of).collect();
        if readings.is_empty() {
            readings.extend(greatest.map(DetectorReading::of));
        }
        let default = spec.signal.and_then(Signal::default_threshold);
        Self {
            name: detector.name().to_owned(),
            signal: spec.signal,
            objective: spec.slo.as_ref().map(|slo| slo.objective),
            threshold: spec.threshold.or(default),
            alert_type: spec.alert_type.clone(),
            severity: spec.severity,
            firing: status.firing,
            value: status.value,
            readings,
        }
    }
}

impl DetectorReading {
    fn of(row: &DetectorWorkload) -> Self {
        Self {
            workload: row.workload.clone(),
            firing: row.firing,
            condition: row.condition.clone(),
            value: row.value,
            message: row.message.clone(),
            incident: row.incident.as_ref().map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(spec: &serde_json::Value, status: &serde_json::Value) -> DetectorView {
        let detector = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Detector",
            "metadata": {"name": "memory"}, "spec": spec, "status": status});
        DetectorView::of(&serde_json::from_value(detector).unwrap())
    }

    fn rows(rows: &[(&str, bool, Option<f64>)]) -> serde_json::Value {
        let row = |(workload, firing, value): &(&str, bool, Option<f64>)| json!({"workload": workload, "firing": firing, "condition": "False", "value": value, "message": workload});
        json!(rows.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn a_row_shows_where_it_fires_and_else_the_greatest_value() {
        let spec = json!({"signal": "Memory", "alertType": "high"});
        let read = |readings: &[(&str, bool, Option<f64>)]| {
            let view = view(
                &spec,
                &json!({"workloads": rows(readings), "firing": 0, "incidentsOpened": 0}),
            );
            view.readings
                .into_iter()
                .filter_map(|reading| reading.workload)
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&[]), Vec::<String>::new());
        assert_eq!(
            read(&[
                ("a", false, None),
                ("b", false, Some(7.0)),
                ("c", false, Some(3.0))
            ]),
            ["b"]
        );
        assert_eq!(
            read(&[("a", true, Some(1.0)), ("b", false, Some(7.0)), ("c", true, None)]),
            ["a", "c"]
        );
        let many: Vec<(&str, bool, Option<f64>)> = (0..100).map(|_| ("a", true, None)).collect();
        assert_eq!(read(&many).len(), MOST_READINGS);
    }

    #[test]
    fn the_threshold_is_the_specs_or_the_signals_and_an_objective_has_none() {
        for (spec, threshold, objective) in [
            (
                json!({"signal": "Memory", "alertType": "x"}),
                Signal::Memory.default_threshold(),
                None,
            ),
            (
                json!({"signal": "Memory", "threshold": 50.0, "alertType": "x"}),
                Some(50.0),
                None,
            ),
            (json!({"signal": "Down", "alertType": "x"}), None, None),
            (
                json!({"slo": {"objective": 99.5}, "alertType": "x"}),
                None,
                Some(99.5),
            ),
        ] {
            let view = view(&spec, &json!({}));
            assert_eq!((view.threshold, view.objective), (threshold, objective), "{spec}");
        }
    }
}
