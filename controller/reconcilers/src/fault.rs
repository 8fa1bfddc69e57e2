//! Fault points: places at which a test build can be made to die as by `kill -9`: `AEGIS_FAULT=<point>`, or `<point>#3` for
//! the third time that it is passed. Without the feature `fault-points` they are nothing at all.

/// Dies here if this is the requested point.
#[cfg(feature = "fault-points")]
pub(crate) fn point(name: &str) {
    if is_armed(name) {
        die();
    }
}

/// Dies a moment after this point if it is the requested one: while what follows is under way.
#[cfg(feature = "fault-points")]
pub(crate) fn soon(name: &str) {
    if is_armed(name) {
        std::thread::spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            die();
        });
    }
}

#[cfg(feature = "fault-points")]
fn is_armed(name: &str) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(armed) = std::env::var("AEGIS_FAULT") else {
        return false;
    };
    let (point, time) = armed.split_once('#').unwrap_or((&armed, "1"));
    point == name && time.parse() == Ok(PASSED.fetch_add(1, Ordering::Relaxed).saturating_add(1))
}

#[cfg(feature = "fault-points")]
fn die() {
    let died = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    tracing::error!("the fault point could not end the process: {died:?}");
}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn point(_name: &str) {}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn soon(_name: &str) {}
