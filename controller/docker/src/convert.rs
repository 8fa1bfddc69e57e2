//! From an engine's JSON to our typed view: the one place where absent or odd fields get their meaning. Pure.
//!
//! Reads `serde_json::Value` instead of bollard's models, since those refuse a whole answer for one enum word they do not
//! know: one strange container must not hide all others.

mod lenient;
mod list;
mod stats;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use aegis_api::Time;
use aegis_api::observed::{
    ChangeKind, ContainerDetails, ContainerState, DockerHealth, EngineEvent, FileChange, ProcessRow,
};
use serde_json::Value;

use crate::version::EngineInfo;

pub(crate) use list::list;
pub(crate) use stats::stats;

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

fn time(value: &Value, key: &str) -> Option<Time> {
    since_1970(text(value, key))
}

/// Docker writes "never" as the year 1.
fn since_1970(text: &str) -> Option<Time> {
    let time = text.parse::<Time>().ok();
    time.filter(|time| time.0.as_second() > 0)
}

/// The answer of `GET /containers/{id}/json`; `None` without an id.
pub(crate) fn details(mut inspect: Value) -> Option<ContainerDetails> {
    let id = Some(text(&inspect, "Id")).filter(|id| !id.is_empty())?.to_owned();
    let state = part(&inspect, "State");
    let config = part(&inspect, "Config");
    let host_config = part(&inspect, "HostConfig");
    let restart_policy = text(part(host_config, "RestartPolicy"), "Name");
    let mut details = ContainerDetails {
        id: id.into(),
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

/// A line of `GET /events`; `None` for what concerns no container. A network's event names the container that joined or
/// left it by its id alone.
pub(crate) fn event(line: &Value) -> Option<EngineEvent> {
    let actor = part(line, "Actor");
    let action = text(line, "Action");
    let mut attributes = labels(part(actor, "Attributes"));
    let id = match (text(line, "Type"), action) {
        (_, "") => return None,
        ("" | "container", _) => text(actor, "ID").to_owned(),
        ("network", "connect" | "disconnect") => {
            let network = attributes.remove("name").unwrap_or_default();
            attributes.insert("network".to_owned(), network);
            attributes.remove("container")?
        }
        _ => return None,
    };
    if id.is_empty() {
        return None;
    }
    Some(EngineEvent {
        action: action.to_owned(),
        id: id.into(),
        name: attributes.get("name").cloned().unwrap_or_default(),
        attributes,
    })
}

fn words(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The answer of `GET /containers/{id}/top`.
pub(crate) fn processes(answer: &Value) -> Vec<ProcessRow> {
    let titles = words(part(answer, "Titles"));
    let column = titles.iter().position(|title| title == "PID").unwrap_or(0);
    let rows = part(answer, "Processes")
        .as_array()
        .into_iter()
        .flatten()
        .map(words);
    rows.map(|row| ProcessRow {
        pid: row
            .get(column)
            .and_then(|pid| pid.parse().ok())
            .unwrap_or_default(),
        command: row.last().cloned().unwrap_or_default(),
    })
    .collect()
}

/// The answer of `GET /containers/{id}/changes`, which is `null` where nothing has changed.
pub(crate) fn changes(answer: &Value) -> Vec<FileChange> {
    let rows = answer.as_array().into_iter().flatten();
    rows.filter_map(|row| {
        let kind = match part(row, "Kind").as_u64()? {
            0 => ChangeKind::Modified,
            1 => ChangeKind::Added,
            _ => ChangeKind::Deleted,
        };
        let path = part(row, "Path").as_str()?.to_owned();
        Some(FileChange { kind, path })
    })
    .collect()
}

/// The answers of `GET /version` and `GET /info`.
pub(crate) fn engine_info(version: &Value, info: &Value) -> EngineInfo {
    let api = text(version, "ApiVersion").split_once('.');
    let api = api.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    EngineInfo {
        version: text(version, "Version").to_owned(),
        api: api.unwrap_or((1, 41)),
        cgroup_version: if text(info, "CgroupVersion") == "2" { 2 } else { 1 },
        root_dir: Some(PathBuf::from(text(info, "DockerRootDir"))).filter(|folder| folder.is_absolute()),
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::observed::{ContainerSummary, Stats};
    use serde_json::json;

    use super::*;

    fn summary(row: &Value) -> Option<ContainerSummary> {
        let rows = list(json!([row]).to_string().as_bytes()).unwrap();
        rows.unwrap().pop()
    }

    fn stats(answer: &Value) -> Stats {
        super::stats(answer.to_string().as_bytes()).unwrap().0
    }

    #[test]
    fn what_an_engine_is_and_where_it_keeps_things_is_read() {
        let version = json!({ "Version": "20.10.24", "ApiVersion": "1.41" });
        let info =
            |root: Value| engine_info(&version, &json!({ "CgroupVersion": "2", "DockerRootDir": root }));
        let read = info(json!("/srv/docker"));
        assert_eq!((read.api, read.cgroup_version), ((1, 41), 2));
        assert_eq!(read.root_dir, Some(PathBuf::from("/srv/docker")));
        for odd in [json!(""), json!(null), json!(7), json!("docker")] {
            assert_eq!(info(odd.clone()).root_dir, None, "{odd}");
        }
    }

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
    fn memory_is_counted_as_docker_stats_does_on_either_cgroup_version() {
        let v1 = json!({"read": "2026-01-01T00:00:00.5Z", "cpu_stats": {"cpu_usage": {"total_usage": 7}},
            "memory_stats": {"usage": 100, "limit": 500, "stats": {"total_inactive_file": 30, "inactive_file": 10}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
            "pids_stats": {"current": 3, "limit": 18_446_744_073_709_551_615_u64}});
        let read = stats(&v1);
        assert_eq!(
            (
                read.memory_bytes,
                read.memory_limit_bytes,
                read.cpu_total_ns,
                read.pids
            ),
            (70, 500, 7, 3)
        );
        assert_eq!((read.net_rx_bytes, read.net_tx_bytes), (11, 22));
        assert!(read.read_at.is_some());
        let held = stats(&json!({
            "cpu_stats": {"throttling_data": {"periods": 40, "throttled_periods": 10, "throttled_time": 5}},
            "pids_stats": {"current": 3, "limit": 64},
        }));
        assert_eq!(
            (held.cpu_periods, held.cpu_throttled_periods, held.pids_limit),
            (40, 10, 64)
        );
        let unlimited = stats(&json!({"pids_stats": {"limit": 18_446_744_073_709_551_615_u64}}));
        assert_eq!(unlimited.pids_limit, 0);
        let v2 = json!({"memory_stats": {"usage": 100, "stats": {"inactive_file": 10}}});
        assert_eq!(stats(&v2).memory_bytes, 90);
        let odd = json!({"memory_stats": {"usage": 5, "stats": {"inactive_file": 10}}, "networks": null});
        assert_eq!(stats(&odd).memory_bytes, 5);
        let stopped =
            json!({"read": "0001-01-01T00:00:00Z", "memory_stats": {}, "cpu_stats": {}, "pids_stats": {}});
        assert_eq!(stats(&stopped), Stats::default());
    }

    #[test]
    fn a_row_of_the_list_is_read_and_an_odd_field_hides_no_other() {
        let row = json!({
            "Id": "ab", "Names": ["/web"], "Image": "app:1", "State": "running", "Status": "Up 3 minutes",
            "Created": 7, "Labels": {"a": "1", "odd": 2},
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "127.0.0.1", "PublicPort": 53, "Type": "udp"}, {"PrivatePort": 9, "Type": "tcp"}, null, 5],
            "NetworkSettings": {"Networks": {"front": {"IPAddress": "10.0.0.2"}, "back": {"IPAddress": ""},
                "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}, "odd": null}},
        });
        let read = summary(&row).unwrap();
        assert_eq!(
            (read.id.as_str(), read.name.as_str(), read.image.as_str()),
            ("ab", "web", "app:1")
        );
        assert_eq!(
            (read.state, read.status.as_str(), read.created),
            (ContainerState::Running, "Up 3 minutes", 7)
        );
        assert_eq!(json!(read.labels), json!({"a": "1", "odd": ""}));
        let ports: Vec<_> = read
            .published
            .iter()
            .map(|one| (one.address, one.port, one.protocol.as_str()))
            .collect();
        assert_eq!(
            ports,
            [(None, 8080, "tcp"), (Some([127, 0, 0, 1].into()), 53, "udp")]
        );
        let addresses: Vec<_> = read
            .networks
            .values()
            .map(|it| it.map(|ip| ip.to_string()))
            .collect();
        assert_eq!(
            addresses,
            [
                None,
                Some("10.0.0.2".to_owned()),
                None,
                Some("fd00::2".to_owned())
            ]
        );
        let odd = json!({"Id": "ab", "Names": null, "State": 3, "Labels": [], "Ports": {}, "NetworkSettings": "x",
            "Created": -1.5});
        let none = ContainerSummary {
            id: "ab".into(),
            ..ContainerSummary::default()
        };
        assert_eq!(summary(&odd), Some(none));
        assert_eq!(list(b"[1, null, {}, []]").unwrap().unwrap(), []);
        assert_eq!(list(b"{}").unwrap(), None);
        assert!(list(b"[{").is_err());
    }

    #[test]
    fn process_rows_are_found_by_their_titles() {
        let top = json!({"Titles": ["UID", "PID", "CMD"], "Processes": [["root", "42", "nginx: worker process"], []]});
        let rows = processes(&top);
        assert_eq!(
            rows[0],
            ProcessRow {
                pid: 42,
                command: "nginx: worker process".to_owned()
            }
        );
        assert_eq!(rows[1], ProcessRow::default());
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
        let network = |action: &str| {
            let actor = json!({"ID": "net", "Attributes": {"container": "ab", "name": "aegis-network", "type": "bridge"}});
            event(&json!({"Type": "network", "Action": action, "Actor": actor}))
        };
        let left = network("disconnect").unwrap();
        assert_eq!((left.id.as_str(), left.name.as_str()), ("ab", ""));
        assert_eq!(left.attributes["network"], "aegis-network");
        assert!(network("connect").is_some());
        assert_eq!(network("destroy"), None);
        assert_eq!(event(&json!(null)), None);
    }
}
