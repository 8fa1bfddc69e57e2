//! Tests of the store as a whole: on a real directory, through its public interface.

mod api;
mod crashes;
mod durability;
mod hand;
mod held;
mod random;
mod size;
mod vanish;

use std::path::PathBuf;
use std::time::Duration;

use aegis_api::KindInfo;
use aegis_api::kinds::find;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, StoreOptions};
use crate::disk::faults::Faults;
use crate::events::EventRecorder;

/// A store whose driver runs, and how to end it.
struct Running {
    store: Store,
    events: EventRecorder,
    faults: Faults,
    stop: CancellationToken,
    driver: JoinHandle<Result<(), StoreError>>,
}

impl std::ops::Deref for Running {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Running {
    async fn open(dir: &TempDir) -> Self {
        Self::with(StoreOptions {
            watch_files: false,
            ..StoreOptions::new(dir.path())
        })
        .await
    }

    async fn with(options: StoreOptions) -> Self {
        Self::try_with(options, Faults::default()).await.unwrap()
    }

    async fn try_with(options: StoreOptions, faults: Faults) -> Result<Self, StoreError> {
        let events = EventRecorder::new();
        let (store, driver) = Store::open_with(options, events.clone(), faults.clone()).await?;
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        Ok(Self {
            store,
            events,
            faults,
            stop,
            driver,
        })
    }

    /// Ends in order.
    async fn stop(self) {
        self.stop.cancel();
        self.driver.await.unwrap().unwrap();
    }

    /// Ends as `kill -9` would have it.
    async fn kill(self) {
        self.driver.abort();
        drop(self.driver.await);
    }

    fn warnings(&self) -> Vec<String> {
        let (_, events) = self.events.list();
        events
            .into_iter()
            .map(|event| format!("{}: {}", event.reason, event.message))
            .collect()
    }

    /// Everything that is in force, without versions.
    fn contents(&self) -> Vec<Value> {
        aegis_api::KINDS
            .iter()
            .flat_map(|info| self.list_stored(info).1)
            .map(|object| object.value())
            .collect()
    }
}

/// A directory in memory where there is one: most tests are about what is on the disk, not about how fast it is.
fn dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn wl() -> &'static KindInfo {
    find("wl").unwrap()
}

fn inc() -> &'static KindInfo {
    find("inc").unwrap()
}

fn workload(name: &str, replicas: u32) -> Value {
    json!({"kind": "Workload", "metadata": {"name": name}, "spec": {"container": "c", "replicas": replicas}})
}

fn incident(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"alertType": "HighMemory", "workloadRef": "web"}})
}

/// An edit that sets what stands at a JSON pointer's parent.
fn set(
    parent: &'static str,
    field: &'static str,
    value: Value,
) -> impl FnOnce(&super::Stored) -> Result<Value, StoreError> + Send + 'static {
    move |current| {
        let mut object = current.value();
        let parent = if parent.is_empty() {
            Some(&mut object)
        } else {
            object.pointer_mut(parent)
        };
        parent
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(field.to_owned(), value);
        Ok(object)
    }
}

fn spec_path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(format!("workloads/{name}.yaml"))
}

fn status_path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(format!("workloads/{name}.status.yaml"))
}

/// Waits until an object's status file is in its place, of this version.
async fn status_placed(dir: &TempDir, object: &super::Stored) {
    let version = object.resource_version.to_string();
    let path = dir
        .path()
        .join(format!("{}/{}.status.yaml", object.info.plural, object.name()));
    eventually("the status file is in its place", || {
        let file: Value = std::fs::read(&path)
            .map(|bytes| serde_json::from_slice(&bytes).unwrap())
            .unwrap_or_default();
        file["metadata"]["resourceVersion"].to_string().trim_matches('"') == version
    })
    .await;
}

/// Waits until this holds, at most ten seconds.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

fn replicas(object: &super::Stored) -> u64 {
    object.value()["spec"]["replicas"].as_u64().unwrap()
}
