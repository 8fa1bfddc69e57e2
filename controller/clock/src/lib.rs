//! The wall clock, read in one place, and when it was set. Reads the clock; with the feature `fault-points`, which no
//! shipped binary has, also the file by which a test steps it. Decides nothing.
//!
//! What measures a span (a limit, a pause, how long something was not used) takes `std::time::Instant`, or settles what it
//! keeps with [`Steps`]: people, NTP and virtual machines set the wall clock back and ahead. What compares with the times of
//! files, or asks the engine for what happened since, takes the system's clock directly: theirs is no other.

#[cfg(feature = "fault-points")]
mod stepped;
mod steps;

use aegis_api::Time;

pub use steps::Steps;

/// What the clock shows.
pub fn now() -> Time {
    Time(timestamp())
}

/// The same, for what has no [`Time`].
#[cfg(feature = "fault-points")]
pub fn timestamp() -> jiff::Timestamp {
    stepped::timestamp()
}

/// The same, for what has no [`Time`].
#[cfg(not(feature = "fault-points"))]
pub fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
