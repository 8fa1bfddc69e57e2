//! The lock of a state directory: one controller at a time. Does I/O. The kernel releases it when its holder dies,
//! however it dies.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt as _;

/// The file in the directory that is locked.
const NAME: &str = ".lock";

/// A held lock; dropping the last share of it releases it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody has it.
    Held { holder: String },
    /// The lock file cannot be used.
    Disk { path: PathBuf, source: std::io::Error },
}

impl Lock {
    /// Takes the lock of this directory, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(NAME);
        let disk = |source| LockError::Disk {
            path: path.clone(),
            source,
        };
        // Opened without truncation: what it says about another holder must survive our failing.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(disk)?;
        if !file.try_lock_exclusive().map_err(disk)? {
            let mut text = String::new();
            let read = file.take(200).read_to_string(&mut text);
            let known = read.is_ok() && !text.trim().is_empty();
            let holder = if known {
                text.trim().to_owned()
            } else {
                "another process".to_owned()
            };
            return Err(LockError::Held { holder });
        }
        // For display only: the lock is the kernel's, not the text.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let text = format!("process {} on {}\n", std::process::id(), host.trim());
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(disk)?;
        Ok(Self { file })
    }

    /// Whether this directory is the one that is locked.
    pub(crate) fn is_at(&self, dir: &Path) -> bool {
        let ours = self
            .file
            .metadata()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        let there =
            std::fs::symlink_metadata(dir.join(NAME)).map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_the_first_is_until_that_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let Err(LockError::Held { holder }) = Lock::take(dir.path()) else {
            panic!("locked twice")
        };
        assert!(
            holder.contains(&format!("process {}", std::process::id())),
            "{holder}"
        );
        drop(first);
        assert!(Lock::take(dir.path()).is_ok());
    }
}
