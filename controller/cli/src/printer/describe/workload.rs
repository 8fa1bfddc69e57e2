//! A Workload's page: its desired state, and each container. Pure.

use aegis_api::workload::{Capture, Health, HealthProbe, InstanceStatus, WorkloadSpec, WorkloadStatus};
use aegis_api::{Time, Workload};
use serde_json::Value;

use super::chosen;
use super::sheet::Sheet;
use crate::printer::age::{age, when};
use crate::printer::columns::aligned;
use crate::text;

pub(super) fn write(sheet: &mut Sheet, workload: &Workload, object: &Value, now: Time) {
    wanted(sheet, &workload.spec, object, now);
    let Some(status) = &workload.status else {
        sheet.field("Status", "<the controller has not reconciled it yet>");
        return;
    };
    let counts = format!(
        "{} desired, {} there, {} ready, {} up to date",
        workload.spec.replicas, status.replicas, status.ready_replicas, status.updated_replicas
    );
    sheet.field("Replicas", counts);
    sheet.maybe("Revision", status.revision.as_ref());
    for needed in &status.dependencies {
        let state = needed.trouble.as_deref().unwrap_or("well");
        sheet.field(
            "Needs",
            format!("{}: {}", text::line(&needed.name), text::line(state)),
        );
    }
    if let Some(scaled) = &status.autoscale {
        super::autoscale::status(sheet, workload.spec.autoscale.as_ref(), scaled, now);
    }
    instances(sheet, &status.instances, now);
    revisions(sheet, status, now);
    for capture in &status.captures {
        captured(sheet, capture, now);
    }
    super::conditions(sheet, &status.conditions, now);
}

fn wanted(sheet: &mut Sheet, spec: &WorkloadSpec, object: &Value, now: Time) {
    if let Some(container) = &spec.container {
        sheet.field("Container", format!("{container} (adopted)"));
    }
    if let Some(template) = &spec.template {
        sheet.field("Image", &template.image);
        let networks: Vec<&str> = template.networks.iter().map(AsRef::as_ref).collect();
        if !networks.is_empty() {
            sheet.field("Networks", networks.join(", "));
        }
        sheet.maybe(
            "Memory",
            template.resources.memory_mb.map(|mb| format!("{mb} MiB at most")),
        );
        sheet.maybe(
            "CPU",
            template
                .resources
                .cpu_millis
                .map(|millis| format!("{millis}m at most")),
        );
    }
    sheet.maybe("Restarted", spec.restarted_at.map(|at| when(at, now)));
    let timeout = chosen(object, "/spec/health/timeout");
    sheet.maybe(
        "Health",
        spec.health.as_ref().map(|health| probe(health, timeout)),
    );
    if spec.template.is_some() {
        let strategy = &spec.strategy;
        let bounds = format!(
            "{} more, {} fewer at most",
            strategy.max_surge, strategy.max_unavailable
        );
        sheet.field("Strategy", format!("{:?}, {bounds}", strategy.kind));
    }
    if let Some(autoscale) = &spec.autoscale {
        sheet.field("Autoscale", super::autoscale::wanted(autoscale));
    }
}

fn probe(probe: &HealthProbe, timeout: &str) -> String {
    let what = match (&probe.http, &probe.tcp) {
        (Some(http), _) => format!("GET {} on port {}", http.path, http.port),
        (None, Some(tcp)) => format!("TCP on port {}", tcp.port),
        (None, None) => "Docker's own health check".to_owned(),
    };
    format!("{what}, every {}, within {timeout}", probe.interval)
}

fn instances(sheet: &mut Sheet, instances: &[InstanceStatus], now: Time) {
    let rows: Vec<Vec<String>> = instances
        .iter()
        .map(|instance| {
            let addresses: Vec<&str> = instance.addresses.values().map(String::as_str).collect();
            let health = match (instance.draining, instance.health) {
                (true, _) => "draining",
                (false, Health::Healthy) => "healthy",
                (false, Health::Unhealthy) => "unhealthy",
                (false, Health::Unknown) => "unknown",
            };
            let up = instance
                .started_at
                .map_or_else(String::new, |at| age(at.age(now)));
            vec![
                text::line(&instance.name),
                instance.id.chars().take(12).collect(),
                instance.state.to_string(),
                health.to_owned(),
                text::line(&addresses.join(",")),
                text::line(&instance.revision),
                instance.restarts.to_string(),
                up,
                text::brief(instance.message.as_deref().unwrap_or_default(), 100),
            ]
        })
        .collect();
    let header = [
        "NAME", "ID", "STATE", "HEALTH", "ADDRESS", "REVISION", "RESTARTS", "UP", "MESSAGE",
    ];
    sheet.table(
        "Instances",
        (!rows.is_empty()).then(|| aligned(&header, rows)).as_deref(),
    );
}

/// How a container was found before `spec.restart` restarted it.
fn captured(sheet: &mut Sheet, capture: &Capture, now: Time) {
    let seen = &capture.container;
    sheet.section(&format!("Before the restart of {}", text::line(&seen.name)));
    sheet.maybe("Taken", capture.taken_at.map(|at| when(at, now)));
    sheet.field("Because", text::line(&capture.because));
    sheet.maybe(
        "Memory",
        seen.memory_percent()
            .map(|percent| format!("{percent:.0} % of its limit")),
    );
    sheet.maybe("CPU", seen.cpu_percent.map(|percent| format!("{percent:.0} %")));
    for gap in &capture.gaps {
        sheet.field("Not seen", text::line(gap));
    }
    sheet.end_section();
    super::inside(sheet, seen);
    if !seen.log_tail.is_empty() {
        sheet.block(&format!("Log of {}", text::line(&seen.name)), &seen.log_tail);
    }
}

fn revisions(sheet: &mut Sheet, status: &WorkloadStatus, now: Time) {
    let rows: Vec<Vec<String>> = status
        .revisions
        .iter()
        .rev()
        .map(|revision| {
            let current = status.revision.as_ref() == Some(&revision.revision);
            vec![
                text::line(&revision.revision),
                text::line(&revision.image),
                age(revision.created_at.age(now)),
                if revision.was_ready { "yes" } else { "no" }.to_owned(),
                if current { "current" } else { "" }.to_owned(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        sheet.table(
            "Revisions",
            Some(&aligned(&["REVISION", "IMAGE", "AGE", "WAS READY", ""], rows)),
        );
    }
}
