//! What autoscaling measures, wants and does, on a Workload's page. Pure.

use aegis_api::Time;
use aegis_api::workload::autoscale::{Autoscale, AutoscaleStatus, SelectPolicy};

use super::sheet::Sheet;
use crate::printer::age::{until, when};
use crate::printer::columns::aligned;
use crate::text;

/// The spec, in a line.
pub(super) fn wanted(spec: &Autoscale) -> String {
    let mut line = format!(
        "{} to {}, out within {}, in within {}",
        spec.min, spec.max, spec.scale_up_window, spec.scale_down_window
    );
    for (direction, behavior) in [("out", &spec.scale_up), ("in", &spec.scale_down)] {
        if behavior.select_policy == SelectPolicy::Disabled {
            line.push_str(&format!(", scaling {direction} paused"));
        }
    }
    line
}

/// Where it stands.
pub(super) fn status(sheet: &mut Sheet, spec: Option<&Autoscale>, status: &AutoscaleStatus, now: Time) {
    sheet.section("Autoscaling");
    let wanted = status
        .wanted
        .map_or_else(|| "unknown".to_owned(), |wanted| wanted.to_string());
    let counts = format!(
        "{} current, {} serving, {wanted} wanted, {} desired (replicas are owned by spec.autoscale)",
        status.current, status.serving, status.desired
    );
    sheet.field("Replicas", counts);
    let scheduled = spec.is_some_and(|spec| (spec.min, spec.max) != (status.min, status.max));
    let by = if scheduled { " (by the schedule)" } else { "" };
    sheet.field("Bounds", format!("{} to {}{by}", status.min, status.max));
    let since = status
        .since
        .map_or_else(String::new, |since| format!(", since {}", when(since, now)));
    sheet.field("Decision", format!("{}{since}", text::line(&status.decision)));
    sheet.field("Why", text::line(&status.message));
    sheet.maybe(
        "Held until",
        status
            .held
            .as_ref()
            .and_then(|held| held.until)
            .map(|at| until(at, now)),
    );
    if let (Some(lowest), Some(highest)) = (status.lowest_in_window, status.highest_in_window) {
        let windows = format!("{lowest} at least to scale out, {highest} at most to scale in");
        sheet.field("Windows", windows);
    }
    sheet.maybe(
        "Too slow at",
        status
            .saturation
            .map(|known| format!("{:.1} requests a second of a replica", known.requests_per_second)),
    );
    sheet.end_section();
    let rows: Vec<Vec<String>> = status
        .targets
        .iter()
        .map(|row| {
            let number =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
            vec![
                row.metric.as_str().to_owned(),
                number(row.current),
                number(Some(row.target)),
                row.desired
                    .map_or_else(|| "-".to_owned(), |desired| desired.to_string()),
                text::brief(&row.message, 100),
            ]
        })
        .collect();
    let header = ["METRIC", "CURRENT", "TARGET", "DESIRED", "MESSAGE"];
    sheet.table(
        "Targets",
        (!rows.is_empty()).then(|| aligned(&header, rows)).as_deref(),
    );
    let changes: Vec<Vec<String>> = status
        .changes
        .iter()
        .rev()
        .take(5)
        .map(|change| {
            vec![
                when(change.at, now),
                change.from.to_string(),
                change.to.to_string(),
            ]
        })
        .collect();
    if !changes.is_empty() {
        sheet.table("Changes", Some(&aligned(&["WHEN", "FROM", "TO"], changes)));
    }
}
