//! A disk of its own, small, that fills and empties: a tmpfs where one may be mounted, else the folder's own disk, which is
//! not filled. Unmounts it in the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How often it fills, how long before the end of each period, and how large it is.
const PERIOD: u64 = 300;
const FULL: u64 = 30;
const SIZE_MB: u64 = 768;

#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    pub(crate) fn over(folder: &Path) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let size = format!("size={SIZE_MB}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size.as_str(), "tmpfs"])
            .arg(folder)
            .output();
        let mounted = mount.is_ok_and(|mount| mount.status.success());
        if !mounted {
            crate::say("no tmpfs can be mounted (not root?): the disk is not filled");
        }
        Ok(Self {
            folder: folder.to_owned(),
            mounted,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Full for the last part of each period.
    pub(crate) fn step(&self, elapsed: Duration) -> Result<()> {
        if elapsed.as_secs() % PERIOD < PERIOD - FULL {
            return self.empty();
        }
        if !self.mounted || self.filler().exists() {
            return Ok(());
        }
        let mut file = std::fs::File::create(self.filler()).context("the filler")?;
        // Until there is no more: that error is the aim.
        while std::io::Write::write_all(&mut file, &[0; 1 << 16]).is_ok() {}
        Ok(())
    }

    pub(crate) fn empty(&self) -> Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.filler().exists()
    }

    pub(crate) fn summary(&self) -> &'static str {
        match (self.mounted, self.filler().exists()) {
            (false, _) => "not filled",
            (true, true) => "full",
            (true, false) => "has room",
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg("-l").arg(&self.folder).output());
        }
    }
}
