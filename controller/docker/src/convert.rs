//! From an engine's JSON to our typed view: the one place where absent or odd fields get their meaning. Pure.
//!
//! Reads `serde_json::Value` instead of bollard's models, since those refuse a whole answer for one enum word they do not
//! know: one strange container must not hide all others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aegis_api::Time;
use serde_json::Value;

use crate::observed::{
    ContainerDetails, ContainerState, ContainerSummary, DockerHealth, EngineEvent, EngineInfo,
};

const HEALTH_LOG_ENTRIES: usize = 5;
const HEALTH_LOG_CHARS: usize = 512;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> i64 {
    value.get(key).and_then(Value::as_i64).unwrap_or_default()
}

fn count(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn part<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// IPv4 first; an endpoint without an address (its container does not run) has `""`.
fn address(endpoint: &Value) -> Option<IpAddr> {
    ["IPAddress", "GlobalIPv6Address"]
        .into_iter()
        .find_map(|key| text(endpoint, key).parse().ok())
}

fn networks(value: &Value) -> BTreeMap<String, Option<IpAddr>> {
    let networks = value.as_object().into_iter().flatten();
    networks
        .map(|(name, endpoint)| (name.clone(), address(endpoint)))
        .collect()
}

/// Docker writes "never" as the year 1.
fn time(value: &Value, key: &str) -> Option<Time> {
    text(value, key)
        .parse::<Time>()
        .ok()
        .filter(|time| time.0.as_second() > 0)
}

/// A row of `GET /containers/json`; `None` without an id.
pub(crate) fn summary(row: &Value) -> Option<ContainerSummary> {
    let id = Some(text(row, "Id")).filter(|id| !id.is_empty())?;
    let names = row.get("Names").and_then(Value::as_array).into_iter().flatten();
    // A linked container has further names such as `/web/database`; its own has one slash.
    let name = names
        .filter_map(Value::as_str)
        .map(|name| name.trim_start_matches('/'))
        .find(|name| !name.contains('/'));
    Some(ContainerSummary {
        id: id.to_owned(),
        name: name.unwrap_or_default().to_owned(),
        image: text(row, "Image").to_owned(),
        state: ContainerState::from_word(text(row, "State")),
        status: text(row, "Status").to_owned(),
        labels: labels(part(row, "Labels")),
        networks: networks(part(part(row, "NetworkSettings"), "Networks")),
        created: number(row, "Created"),
    })
}

/// The answer of `GET /containers/{id}/json`; `None` without an id.
pub(crate) fn details(mut inspect: Value) -> Option<ContainerDetails> {
    let id = Some(text(&inspect, "Id")).filter(|id| !id.is_empty())?.to_owned();
    let state = part(&inspect, "State");
    let config = part(&inspect, "Config");
    let host_config = part(&inspect, "HostConfig");
    let restart_policy = text(part(host_config, "RestartPolicy"), "Name");
    let mut details = ContainerDetails {
        id,
        name: text(&inspect, "Name").trim_start_matches('/').to_owned(),
        image: text(config, "Image").to_owned(),
        image_id: text(&inspect, "Image").to_owned(),
        state: ContainerState::from_word(text(state, "Status")),
        pid: number(state, "Pid"),
        exit_code: number(state, "ExitCode"),
        oom_killed: state
            .get("OOMKilled")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        error: text(state, "Error").to_owned(),
        started_at: time(state, "StartedAt"),
        finished_at: time(state, "FinishedAt"),
        created_at: time(&inspect, "Created"),
        restart_count: count(&inspect, "RestartCount"),
        has_restart_policy: !matches!(restart_policy, "" | "no"),
        health: health(part(state, "Health")),
        labels: labels(part(config, "Labels")),
        networks: networks(part(part(&inspect, "NetworkSettings"), "Networks")),
        memory_limit: count(host_config, "Memory"),
        ..ContainerDetails::default()
    };
    let mut take = |pointer: &str| inspect.pointer_mut(pointer).map(Value::take).unwrap_or_default();
    details.config = take("/Config");
    details.host_config = take("/HostConfig");
    details.network_settings = take("/NetworkSettings/Networks");
    details.mounts = take("/Mounts");
    Some(details)
}

/// `none` is how an engine says that the health check was turned off.
fn health(value: &Value) -> Option<DockerHealth> {
    let status = text(value, "Status");
    if matches!(status, "" | "none") {
        return None;
    }
    let log = value
        .get("Log")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let recent = log.iter().skip(log.len().saturating_sub(HEALTH_LOG_ENTRIES));
    Some(DockerHealth {
        status: status.to_owned(),
        failing_streak: number(value, "FailingStreak"),
        log: recent
            .map(|entry| text(entry, "Output").chars().take(HEALTH_LOG_CHARS).collect())
            .collect(),
    })
}

/// A line of `GET /events`; `None` for what is no container event.
pub(crate) fn event(line: &Value) -> Option<EngineEvent> {
    let actor = part(line, "Actor");
    let id = Some(text(actor, "ID")).filter(|id| !id.is_empty())?;
    let kind = text(line, "Type");
    let action = text(line, "Action");
    if !matches!(kind, "" | "container") || action.is_empty() {
        return None;
    }
    let attributes = labels(part(actor, "Attributes"));
    Some(EngineEvent {
        action: action.to_owned(),
        id: id.to_owned(),
        name: attributes.get("name").cloned().unwrap_or_default(),
        attributes,
    })
}

/// The answers of `GET /version` and `GET /info`.
pub(crate) fn engine_info(version: &Value, info: &Value) -> EngineInfo {
    let api = text(version, "ApiVersion").split_once('.');
    let api = api.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    EngineInfo {
        version: text(version, "Version").to_owned(),
        api: api.unwrap_or((1, 41)),
        cgroup_version: if text(info, "CgroupVersion") == "2" { 2 } else { 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recorded_inspection_is_read() {
        let recorded: Value = serde_json::from_str(include_str!("../fixtures/inspect-20.10.json")).unwrap();
        let details = details(recorded.clone()).unwrap();
        assert_eq!(details.name, "fixture-base");
        assert_eq!(details.image, "aegisops/buggy-app:dev");
        assert!(details.image_id.starts_with("sha256:"));
        assert_eq!(details.state, ContainerState::Running);
        assert!(details.pid > 0);
        assert_eq!(
            details.started_at.unwrap().to_string(),
            recorded["State"]["StartedAt"].as_str().unwrap()
        );
        assert_eq!(details.finished_at, None);
        assert!(details.has_restart_policy);
        assert_eq!(details.health.unwrap().status, "starting");
        assert_eq!(details.memory_limit, 200 * 1024 * 1024);
        assert_eq!(
            details.networks["aegis-fix-b"],
            Some("172.30.9.77".parse().unwrap())
        );
        assert_eq!(details.host_config, recorded["HostConfig"]);
        assert_eq!(details.mounts, recorded["Mounts"]);
    }

    #[test]
    fn an_answer_with_nothing_but_an_id_is_read_as_unknown() {
        let details = details(json!({"Id": "ab"})).unwrap();
        assert_eq!(details.state, ContainerState::Unknown);
        assert_eq!(
            (details.health, details.started_at, details.memory_limit),
            (None, None, 0)
        );
        assert_eq!(
            summary(&json!({"Id": "ab", "State": "defrosting"}))
                .unwrap()
                .state,
            ContainerState::Unknown
        );
        assert_eq!(summary(&json!({})), None);
    }

    #[test]
    fn a_linked_containers_own_name_is_found() {
        let row = json!({"Id": "ab", "Names": ["/web/database", "/db"], "State": "running"});
        assert_eq!(summary(&row).unwrap().name, "db");
    }

    #[test]
    fn events_of_other_kinds_are_passed_over() {
        let die = json!({"Type": "container", "Action": "die", "Actor": {"ID": "ab", "Attributes": {"name": "web", "exitCode": "137"}}});
        let event_read = event(&die).unwrap();
        assert_eq!(
            (event_read.action.as_str(), event_read.name.as_str()),
            ("die", "web")
        );
        assert_eq!(event_read.attributes["exitCode"], "137");
        assert_eq!(
            event(&json!({"Type": "image", "Action": "pull", "Actor": {"ID": "x"}})),
            None
        );
        assert_eq!(event(&json!({"status": "weird"})), None);
        assert_eq!(event(&json!(null)), None);
    }
}
