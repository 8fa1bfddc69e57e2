//! An engine of a test's own, that it may stop: the test runs itself once more inside of it, by `tests/own-engine.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::repository;

/// Where the engine has its folder; set inside of it alone.
const FOLDER: &str = "AEGIS_TEST_ENGINE";

/// The engine, as the test inside of it has it.
#[derive(Debug)]
pub struct OwnEngine {
    folder: PathBuf,
}

impl OwnEngine {
    /// Runs an ignored test of this program inside an engine of its own that has these images; panics if it fails.
    pub fn runs(test: &str, images: &[&str]) {
        // A short path: it holds sockets.
        let folder = tempfile::Builder::new()
            .prefix("aegis-")
            .tempdir()
            .expect("a folder");
        let saved = Command::new("docker")
            .args(["save", "--output"])
            .arg(archive(folder.path()))
            .args(images)
            .status();
        assert!(
            saved.is_ok_and(|status| status.success()),
            "the images can be saved"
        );
        let this = std::env::current_exe().expect("this program has a path");
        let status = Command::new(script())
            .arg("run")
            .arg(folder.path())
            .arg(this)
            .args(["--ignored", "--exact", test, "--nocapture"])
            .status()
            .expect("the script runs");
        assert!(status.success(), "what happened inside is logged above");
    }

    /// The engine of the test that runs inside of it: started, with its images.
    pub fn started() -> Self {
        let folder = std::env::var(FOLDER).expect("tests/own-engine.sh set it");
        let engine = Self {
            folder: PathBuf::from(folder),
        };
        engine.start();
        let loaded = Command::new("docker")
            .args(["load", "--input"])
            .arg(archive(&engine.folder))
            .status();
        assert!(
            loaded.is_ok_and(|status| status.success()),
            "the images can be loaded"
        );
        engine
    }

    /// Starts it.
    pub fn start(&self) {
        self.does("start");
    }

    /// Stops it.
    pub fn stop(&self) {
        self.does("stop");
    }

    /// Kills it and all of its containers at the same moment, as a loss of power would.
    pub fn crash(&self) {
        self.does("crash");
    }

    fn does(&self, verb: &str) {
        let status = Command::new(script()).arg(verb).arg(&self.folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "own-engine.sh {verb}"
        );
    }
}

fn archive(folder: &Path) -> PathBuf {
    folder.join("images.tar")
}

fn script() -> PathBuf {
    repository().join("tests/own-engine.sh")
}
