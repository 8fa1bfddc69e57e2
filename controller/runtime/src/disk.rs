//! The state directory: formats, names, durability. Owns every system call on it; decides nothing about objects.
//! It runs on tokio's blocking threads, what is short on the store's own: they hold a share of the directory's lock while they
//! do. A driver that is dropped in the middle gives the directory up only when the last of its writes has ended.

pub(crate) mod behind;
pub(crate) mod commit;
pub(crate) mod digest;
mod error;
pub(crate) mod faults;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod home;
mod ignore;
pub(crate) mod journal;
pub(crate) mod layout;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod rename;
pub(crate) mod revision;
mod spares;
pub(crate) mod spec_file;
pub(crate) mod status_file;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::KINDS;
use aegis_api::defaults::Defaults;

pub use error::DiskError;

use crate::offload::{at_once, offload};
use behind::BehindFiles;
use faults::Faults;
use home::{Homes, Record};
use journal::Journal;
use lock::{Lock, LockError};
use spares::Spares;

/// How long, and in how many steps, an opener waits for the lock: a predecessor may be on its last write.
const LOCK_WAIT: (u32, Duration) = (20, Duration::from_millis(50));

/// A change writes at least two files and a record of the audit log.
const ROOM: u64 = 32 * 1024;
/// ENOSPC, to be reported in the system's own words.
const NO_SPACE: i32 = 28;

/// An open state directory. Clones share its lock.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) dir: Arc<PathBuf>,
    pub(crate) faults: Faults,
    pub(crate) homes: Homes,
    pub(crate) spares: Spares,
    pub(crate) behind: BehindFiles,
    /// What a file means where it is silent.
    pub(crate) defaults: Arc<Defaults>,
    journal: Arc<Mutex<Journal>>,
    lock: Arc<Lock>,
}

impl Disk {
    /// Makes the directory and a folder for each kind where they are missing, and takes the lock.
    pub(crate) async fn open(
        dir: PathBuf,
        defaults: Arc<Defaults>,
        faults: Faults,
    ) -> Result<Self, DiskError> {
        let path = dir.clone();
        blocking(move || make(&path)).await??;
        let mut tries = LOCK_WAIT.0;
        let lock = loop {
            let path = dir.clone();
            match blocking(move || Lock::take(&path)).await? {
                Ok(lock) => break Arc::new(lock),
                Err(LockError::Disk { path, source }) => return Err(DiskError::io(path, source)),
                Err(LockError::Held { holder }) => {
                    if tries == 0 {
                        return Err(DiskError::Locked { dir, holder });
                    }
                }
            }
            tries -= 1;
            tokio::time::sleep(LOCK_WAIT.1).await;
        };
        let journal = Journal::new(&dir, faults.clone());
        let disk = Self {
            dir: Arc::new(dir),
            journal: Arc::new(Mutex::new(journal)),
            faults,
            homes: Homes::default(),
            spares: Spares::default(),
            behind: BehindFiles::default(),
            defaults,
            lock,
        };
        let homes = disk.clone();
        blocking(move || homes.settle_in()).await??;
        Ok(disk)
    }

    /// The journal. Locked for one record at a time.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic under this lock would leave lengths as they were, which the next record goes by.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the directory is still the one that was opened, and not an empty mount point or a copy.
    pub(crate) fn is_in_place(&self) -> bool {
        self.lock.is_at(&self.dir)
    }

    /// The id of this state directory, made when it is first requested.
    pub(crate) async fn instance_id(&self) -> Result<String, DiskError> {
        let disk = self.clone();
        let path = self.dir.join(".instance-id");
        let id = blocking(move || {
            let path = disk.dir.join(".instance-id");
            match std::fs::read_to_string(&path) {
                Ok(text) if is_id(text.trim()) => return Ok(text.trim().to_owned()),
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let id = uuid::Uuid::new_v4().to_string();
            file::replace(&path, format!("{id}\n").as_bytes(), &disk.faults).map(|()| id)
        });
        id.await?.map_err(|source| DiskError::io(path, source))
    }
}

/// Whether a change would still find space below this folder.
pub(crate) async fn has_room(dir: PathBuf) -> Result<(), DiskError> {
    let path = dir.clone();
    let free = blocking(move || fs4::available_space(&path)).await?;
    let room = free.and_then(|free| match free {
        ROOM.. => Ok(()),
        _ => Err(std::io::Error::from_raw_os_error(NO_SPACE)),
    });
    room.map_err(|source| DiskError::io(dir, source))
}

/// Containers carry it as a label, so anything a label can hold will do.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn make(dir: &std::path::Path) -> Result<(), DiskError> {
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| DiskError::io(dir, source))?;
    Record::read(dir).check(dir)?;
    ignore::write(dir).map_err(|source| DiskError::io(dir.join(ignore::FILE), source))?;
    for info in KINDS.iter() {
        let folder = dir.join(info.plural);
        file::make_folder(&folder).map_err(|source| DiskError::io(folder, source))?;
    }
    Ok(())
}

/// Runs what blocks where it may. It runs to its end even if no caller waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DiskError> {
    // A task fails only by a panic of the work (there is none) or because the runtime shuts down.
    offload(work).await.map_err(|_| DiskError::Closed)
}

/// The same for what is short, at once where the thread has nothing else to do: each change waits for it, and on a busy
/// machine another thread would have to wait for its turn first.
pub(crate) async fn briefly<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DiskError> {
    at_once(work).await.map_err(|_| DiskError::Closed)
}
