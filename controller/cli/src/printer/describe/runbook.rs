//! A RunbookEntry's page: what was wrong, what helped, and how that turned out. Pure.

use aegis_api::{RunbookEntry, Time};

use super::conditions;
use super::sheet::Sheet;
use crate::printer::age::when;

pub(super) fn write(sheet: &mut Sheet, entry: &RunbookEntry, now: Time) {
    let spec = &entry.spec;
    sheet.field("Alert", &spec.alert_type);
    sheet.maybe("Container", spec.container_name.as_ref().map(ToString::to_string));
    sheet.field("Cause", &spec.root_cause);
    sheet.field("Action", spec.action.as_str());
    if !spec.justification.is_empty() {
        sheet.field("Because", &spec.justification);
    }
    if !spec.symptom.is_empty() {
        sheet.field("Symptom", &spec.symptom);
    }
    sheet.field("Learned from", &spec.incident_id);
    sheet.maybe("Resolved", spec.resolved_at.map(|at| when(at, now)));
    if !spec.verified_by.is_empty() {
        sheet.field("Verified by", &spec.verified_by);
    }
    outcomes(sheet, entry);
    if let Some(status) = &entry.status {
        let recalled = match status.last_used {
            Some(at) => format!("{} times, last {}", status.times_recalled, when(at, now)),
            None => format!("{} times", status.times_recalled),
        };
        sheet.field("Recalled", recalled);
        conditions(sheet, &status.conditions, now);
    }
    if !spec.logs.is_empty() {
        sheet.block("Logs", &spec.logs);
    }
}

fn outcomes(sheet: &mut Sheet, entry: &RunbookEntry) {
    let outcomes = &entry.spec.outcomes;
    sheet.section("Outcomes");
    sheet.field("Helped", outcomes.successes.to_string());
    sheet.field("Failed", outcomes.failures.to_string());
    sheet.field("Relapsed", outcomes.relapses.to_string());
    sheet.field("Inconclusive", outcomes.inconclusive.to_string());
    let open = match outcomes.provisional.as_slice() {
        [] => "0".to_owned(),
        open => format!("{} (may still relapse: {})", open.len(), open.join(", ")),
    };
    sheet.field("Provisional", open);
    sheet.field("Trust", format!("{:.2}", outcomes.trust()));
    sheet.field(
        "Recommended",
        match (&entry.spec.unproven, entry.spec.is_recommended()) {
            (Some(why), _) => format!("no: {why}"),
            (None, true) => "yes".to_owned(),
            (None, false) => "no: it failed or relapsed more often than it helped".to_owned(),
        },
    );
    sheet.end_section();
}
