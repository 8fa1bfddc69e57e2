//! Where tests let the disk fail or the power go, between any two system calls. Outside tests it is nothing at all.

use std::io;
use std::path::Path;

/// The script of faults; shared by everything that writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    script: std::sync::Arc<std::sync::Mutex<Script>>,
}

#[cfg(not(test))]
impl Faults {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the shape that tests need"
    )]
    pub(crate) fn step(&self, _what: &'static str, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[derive(Debug, Default)]
struct Script {
    steps: usize,
    /// From this step on nothing reaches the disk: the power is gone.
    crash_at: Option<usize>,
    /// Steps of this name (any, if empty) on paths that contain this text fail with this error.
    failing: Option<(&'static str, String, io::ErrorKind)>,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn step(&self, what: &'static str, path: &Path) -> io::Result<()> {
        let mut script = self.script.lock().unwrap();
        let step = script.steps;
        script.steps += 1;
        if script.crash_at.is_some_and(|at| step >= at) {
            return Err(io::Error::other(format!("no power at step {step}, {what}")));
        }
        match &script.failing {
            Some((step, text, kind))
                if what != "discard"
                    && (step.is_empty() || *step == what)
                    && path.to_string_lossy().contains(text) =>
            {
                Err((*kind).into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn crash_at(&self, step: usize) {
        let mut script = self.script.lock().unwrap();
        script.crash_at = Some(script.steps + step);
    }

    pub(crate) fn fail(&self, step: &'static str, path: &str, kind: io::ErrorKind) {
        self.script.lock().unwrap().failing = Some((step, path.to_owned(), kind));
    }

    pub(crate) fn mend(&self) {
        self.script.lock().unwrap().failing = None;
    }
}
