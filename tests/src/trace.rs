//! What was recorded of containers on the real engine, scene by scene, as the controller's own driver read it: a line of
//! JSON each. Owns the format. Does I/O in [`Scene::all`] and [`Scene::write`] alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aegis_api::observed::ContainerState;
use serde::{Deserialize, Serialize};

use crate::binaries::repository;

/// One scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Its name.
    pub name: String,
    /// What happened, in order.
    pub lines: Vec<Line>,
}

/// The line that begins a scene.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    scene: String,
}

/// Something that happened in a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the scene's beginning.
    pub t: i64,
    /// Which container, numbered as they came; 0 where it is about the engine.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub id: u32,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// A container was there when the scene began, or was made now.
    Made(Made),
    /// The engine reported it.
    Event(Event),
    /// What an inspection showed, right after an event or when the engine was back.
    Shown(Shown),
    /// Counters, and whether it answered.
    Reading(Reading),
    /// Every container that ran has been read.
    Round(u32),
    /// Whether events flow.
    Engine(Link),
}

/// Whether the engine's events flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// The connection was lost.
    Away,
    /// It is there again.
    Back,
}

/// How a container was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Made {
    /// Its name within the scene.
    pub name: String,
    /// It was there before.
    pub found: bool,
    /// Bytes; 0 for no limit.
    pub memory_limit: u64,
    /// Docker checks its health.
    pub healthcheck: bool,
    /// Docker's restart policy.
    pub restart_policy: String,
    /// `--rm`.
    pub auto_remove: bool,
}

/// An event, with the attributes that tell how a container ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Docker's word.
    pub action: String,
    /// `exitCode`, `signal`, `oldName`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What an inspection showed. Times in milliseconds since the scene's beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shown {
    /// State.
    pub state: ContainerState,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// The kernel OOM-killed it.
    pub oom_killed: bool,
    /// When its process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
    /// When it last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<i64>,
    /// Docker's word for its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// Counters. The line's time is when they were read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reading {
    /// CPU time so far, microseconds.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Scheduling periods so far.
    #[serde(skip_serializing_if = "is_none")]
    pub periods: u64,
    /// Of those, how many held it back.
    #[serde(skip_serializing_if = "is_none")]
    pub throttled: u64,
    /// Whether it answered `GET /health` with 200; absent where it serves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).expect("a line is JSON");
    text.push('\n');
    text
}

fn file() -> PathBuf {
    repository().join("tests/tests/quiet_week/traces.jsonl")
}

impl Scene {
    /// All that were recorded, by name.
    pub fn all() -> BTreeMap<String, Self> {
        let path = file();
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: record it with make record-traces", path.display()));
        let mut scenes: Vec<Self> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Ok(title) = serde_json::from_str::<Title>(line) {
                scenes.push(Self {
                    name: title.scene,
                    lines: Vec::new(),
                });
                continue;
            }
            let line: Line = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), number + 1));
            let scene = scenes.last_mut().expect("a scene's name is the first line");
            scene.lines.push(line);
        }
        scenes
            .into_iter()
            .map(|scene| (scene.name.clone(), scene))
            .collect()
    }

    /// Writes them in place of those that were recorded before; answers the size in bytes.
    pub fn write(scenes: &[Self]) -> usize {
        let mut text = String::new();
        for scene in scenes {
            let title = Title {
                scene: scene.name.clone(),
            };
            text.push_str(&json(&title));
            for line in &scene.lines {
                text.push_str(&json(line));
            }
        }
        std::fs::write(file(), &text).expect("the traces can be written");
        text.len()
    }
}
