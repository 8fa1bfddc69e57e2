//! Whether automation is paused on the whole host, durably: `<state>/.automation.json`. Owns that file. Does I/O.
//!
//! Closed when in doubt: a file that cannot be read counts as a pause, and a pause that cannot be stored holds all the
//! same until the controller ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::audit::{Actor, Entry};
use aegis_api::automation::{Pause, Resume};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::disk::DiskError;
use crate::disk::blocking;

const FILE: &str = ".automation.json";
const KIND: &str = "Automation";
/// What the audit log calls the one object.
const NAME: &str = "host";
/// The largest file that is read, bytes.
const LARGEST: u64 = 64 << 10;

/// The brake of one host. Clones share it.
#[derive(Debug, Clone)]
pub struct Automation {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    clock: Clock,
    audit: AuditLog,
    held: Mutex<Held>,
    /// One change at a time, so that what is stored is what is in force.
    changing: tokio::sync::Mutex<()>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Held {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resumed: Option<Resume>,
}

impl Automation {
    /// Reads what an earlier run left.
    pub(crate) async fn open(dir: &Path, clock: Clock, audit: AuditLog) -> Result<Self, DiskError> {
        let path = dir.join(FILE);
        let file = path.clone();
        let read = blocking(move || read(&file)).await?;
        let held = read.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), error, "automation is paused");
            Held {
                paused: Some(Pause {
                    by: "system:controller".to_owned(),
                    reason: format!("{} {error}: `aegisctl resume` rewrites it", path.display()),
                    at: None,
                    until: None,
                }),
                resumed: None,
            }
        });
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                clock,
                audit,
                held: Mutex::new(held),
                changing: tokio::sync::Mutex::default(),
                news: watch::Sender::default(),
            }),
        })
    }

    /// The pause that is in force.
    pub fn paused(&self) -> Option<Pause> {
        let now = self.inner.clock.now();
        self.held().paused.filter(|pause| pause.holds(now))
    }

    /// Who last let automation go on.
    pub fn resumed(&self) -> Option<Resume> {
        self.held().resumed
    }

    /// A word at every change.
    pub fn changes(&self) -> BoxStream<'static, ()> {
        WatchStream::from_changes(self.inner.news.subscribe())
            .map(|_| ())
            .boxed()
    }

    /// Pauses all automation. It holds from this moment on, whether or not it can be stored.
    pub async fn pause(&self, actor: Actor, pause: Pause) -> Result<(), DiskError> {
        let _turn = self.inner.changing.lock().await;
        let before = self.held();
        let held = Held {
            paused: Some(pause.clone()),
            ..before.clone()
        };
        self.set(held.clone());
        let mut entry = Entry::about(actor, "pause", KIND, NAME);
        entry.before = before.paused.map(|pause| json!(pause));
        entry.after = Some(json!(pause));
        // A brake that cannot be audited is a brake all the same, also after a restart.
        let audited = self.inner.audit.append(vec![entry]).await;
        self.store(held).await?;
        audited?;
        Ok(())
    }

    /// Lets automation go on, once that is stored.
    pub async fn resume(&self, actor: Actor, resume: Resume) -> Result<(), DiskError> {
        let _turn = self.inner.changing.lock().await;
        let before = self.held();
        let held = Held {
            paused: None,
            resumed: Some(resume.clone()),
        };
        let mut entry = Entry::about(actor, "resume", KIND, NAME);
        entry.before = before.paused.map(|pause| json!(pause));
        entry.after = Some(json!(resume));
        self.inner.audit.append(vec![entry]).await?;
        self.store(held.clone()).await?;
        self.set(held);
        Ok(())
    }

    fn held(&self) -> Held {
        self.inner
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, held: Held) {
        *self.inner.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.inner
            .news
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn store(&self, held: Held) -> Result<(), DiskError> {
        let path = self.inner.path.clone();
        let written = blocking(move || write(&path, &held)).await?;
        written.map_err(|source| DiskError::io(self.inner.path.clone(), source))
    }
}

fn read(path: &Path) -> Result<Held, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Held::default()),
        Err(error) => return Err(format!("cannot be read ({error})")),
        Ok(found) if found.len() > LARGEST => return Err("is too large".to_owned()),
        Ok(_) => {}
    }
    let text = std::fs::read(path).map_err(|error| format!("cannot be read ({error})"))?;
    // An object first: a list would do for a struct, too.
    let held = serde_json::from_slice::<Map<String, Value>>(&text);
    let held = held.and_then(|held| serde_json::from_value(Value::Object(held)));
    held.map_err(|error| format!("is not valid ({error})"))
}

/// Whole or not at all: beside it, durable, then in its place.
fn write(path: &Path, held: &Held) -> std::io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = std::fs::File::create(&temporary)?;
    serde_json::to_writer_pretty(&mut file, held)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(dir: &Path) -> Automation {
        let clock = Clock::default();
        let audit = AuditLog::open(
            dir,
            clock.clone(),
            crate::audit::AuditRetention::default(),
            Vec::new(),
        )
        .await
        .unwrap();
        Automation::open(dir, clock, audit).await.unwrap()
    }

    fn pause(until: Option<&str>) -> Pause {
        Pause {
            by: "ada".to_owned(),
            reason: "migration".to_owned(),
            at: None,
            until: until.map(|until| until.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn i6_a_pause_outlives_the_controller_until_somebody_resumes_or_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).await;
        assert_eq!(first.paused(), None);
        first.pause(Actor::system("test"), pause(None)).await.unwrap();
        drop(first);
        let second = open(dir.path()).await;
        assert_eq!(second.paused(), Some(pause(None)));
        let resume = Resume {
            by: "bob".to_owned(),
            reason: String::new(),
            at: Clock::default().now(),
        };
        second
            .resume(Actor::system("test"), resume.clone())
            .await
            .unwrap();
        drop(second);
        let third = open(dir.path()).await;
        assert_eq!((third.paused(), third.resumed()), (None, Some(resume)));
        let over = pause(Some("2020-01-01T00:00:00Z"));
        third.pause(Actor::system("test"), over).await.unwrap();
        assert_eq!(third.paused(), None);
        let page = third.inner.audit.page(None, 10).await.unwrap();
        let records = page.lines.concat();
        assert!(
            records.contains("\"pause\"") && records.contains("\"resume\"") && records.contains("migration"),
            "{records}"
        );
    }

    #[tokio::test]
    async fn i5_a_file_that_cannot_be_read_pauses() {
        for content in ["", "{", "[]", "{\"paused\": 1}", "{\"pauesd\": {}}"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), content).unwrap();
            let paused = open(dir.path()).await.paused();
            assert!(
                paused.as_ref().is_some_and(|pause| pause.reason.contains(FILE)),
                "{content:?}: {paused:?}"
            );
        }
    }

    #[tokio::test]
    async fn i5_a_pause_that_cannot_be_stored_holds_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let automation = open(dir.path()).await;
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(FILE).join("x"), "").unwrap();
        assert!(
            automation
                .pause(Actor::system("test"), pause(None))
                .await
                .is_err()
        );
        assert!(automation.paused().is_some());
    }
}
