//! A Detector's page: what it watches, and what it sees of each workload. Pure.

use aegis_api::detector::Signal;
use aegis_api::{Detector, Time};

use super::conditions;
use super::sheet::Sheet;
use crate::printer::age::age;
use crate::printer::columns::aligned;
use crate::text;

/// Rows that are shown.
const MOST: usize = 50;

pub(super) fn write(sheet: &mut Sheet, detector: &Detector, now: Time) {
    let spec = &detector.spec;
    sheet.field("Alert", &spec.alert_type);
    if let Some(signal) = spec.signal {
        sheet.field("Signal", format!("{signal:?}"));
        let threshold = spec.threshold.or(signal.default_threshold());
        sheet.maybe("Threshold", threshold.map(|bound| with_unit(bound, signal)));
    }
    if let Some(slo) = &spec.slo {
        sheet.field("Objective", format!("{} % of requests succeed", slo.objective));
    }
    sheet.maybe("Pattern", spec.pattern.as_ref());
    sheet.field(
        "Fires",
        format!("after {}, is over after {} without", spec.for_, spec.clear),
    );
    let names: Vec<String> = spec.workloads.names.iter().map(ToString::to_string).collect();
    let labels = spec.workloads.match_labels.iter();
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let selects = [names, labels].concat().join(", ");
    let is_of_host = spec.signal.is_some_and(Signal::is_of_host);
    sheet.field(
        "Workloads",
        match (is_of_host, selects.is_empty()) {
            (true, _) => "none: it watches the host",
            (false, true) => "all",
            (false, false) => &selects,
        },
    );
    let Some(status) = &detector.status else {
        sheet.field("Status", "<the controller has not reconciled it yet>");
        return;
    };
    sheet.field("Incidents opened", status.incidents_opened.to_string());
    let rows = status.workloads.iter().take(MOST).map(|row| {
        let since = row.since.map_or_else(String::new, |since| age(since.age(now)));
        vec![
            text::line(row.workload.as_deref().unwrap_or("<the host>")),
            if row.firing {
                "firing".to_owned()
            } else {
                text::line(&row.condition)
            },
            since,
            row.value.map_or_else(String::new, |value| value.to_string()),
            row.incident
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            text::line(&row.message),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let titles = ["WORKLOAD", "CONDITION", "SINCE", "VALUE", "INCIDENT", "READ"];
    let table = (!rows.is_empty()).then(|| aligned(&titles, rows));
    sheet.table("Seen", table.as_deref());
    conditions(sheet, &status.conditions, now);
}

/// A bound with what it counts.
fn with_unit(bound: f64, signal: Signal) -> String {
    let unit = match signal {
        Signal::Memory | Signal::Pids => "% of the limit",
        Signal::Cpu | Signal::Spin => "% of one core",
        Signal::Throttling => "% of scheduling periods",
        Signal::HttpErrorRatio => "% of requests",
        Signal::HostDisk | Signal::HostInodes | Signal::HostMemory => "% in use",
        Signal::MemoryGrowth => "min until memory is full, or less",
        Signal::HttpLatency => "ms for 95 of 100 requests",
        Signal::CpuAnomaly | Signal::MemoryAnomaly => "times the usual spread",
        Signal::Restarts => "crashes within 10 min",
        Signal::LogErrors | Signal::LogPattern => "lines within 5 min",
        Signal::ContainerEvent
        | Signal::OutOfMemory
        | Signal::Down
        | Signal::Health
        | Signal::NetworkLost
        | Signal::ReplicasMissing
        | Signal::NoServer
        | Signal::EngineAway => "",
    };
    format!("{bound} {unit}")
}
