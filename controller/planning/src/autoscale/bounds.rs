//! Fewest and most replicas at a moment: those of the spec, or of its schedule. Pure.
//!
//! A schedule goes by the clock on the wall: its bounds are in force while their end comes before their next start. A time
//! that the clock skips in spring counts once it has skipped it, and one that it shows twice in autumn counts the first time.

use aegis_api::Time;
use aegis_api::workload::autoscale::{Autoscale, ScheduledTimes};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Fewest and most replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// Whether the schedule chose them.
    pub scheduled: bool,
}

impl Bounds {
    pub(super) fn clamp(self, replicas: u32) -> u32 {
        replicas.min(self.max).max(self.min)
    }

    pub(super) fn words(self) -> String {
        let by = if self.scheduled { ", by the schedule" } else { "" };
        format!("there are to be {} to {}{by}", self.min, self.max)
    }
}

/// Those in force at a moment. Of several of the schedule the highest of each counts.
pub fn in_force(spec: &Autoscale, now: Time) -> Bounds {
    let active = spec.schedule.iter().filter(|entry| {
        let times = entry.times();
        times.is_ok_and(|times| is_active(&times, now))
    });
    let mut chosen: Option<(u32, u32)> = None;
    for entry in active {
        let (min, max) = (entry.min.unwrap_or(spec.min), entry.max.unwrap_or(spec.max));
        chosen = Some(chosen.map_or((min, max), |(low, high)| (low.max(min), high.max(max))));
    }
    let (min, max) = chosen.unwrap_or((spec.min, spec.max));
    Bounds {
        min: min.min(max),
        max,
        scheduled: chosen.is_some(),
    }
}

fn is_active(times: &ScheduledTimes, now: Time) -> bool {
    let shown = wall(&times.time_zone, now).to_zoned(TimeZone::UTC);
    let Ok(shown) = shown.map(|shown| shown.timestamp()) else {
        return false;
    };
    match (times.end.find_next(shown), times.start.find_next(shown)) {
        (Ok(end), Ok(start)) => end < start,
        _ => false,
    }
}

/// What a clock on the wall shows that never goes back: the hour that comes twice it shows once, and stands then.
fn wall(zone: &TimeZone, now: Time) -> DateTime {
    let shown = zone.to_datetime(now.0);
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(shown).offset() else {
        return shown;
    };
    if zone.to_offset(now.0) != after {
        return shown;
    }
    let turned = zone.preceding(now.0).next();
    let stands = turned.and_then(|turned| {
        before
            .to_datetime(turned.timestamp())
            .checked_sub(jiff::Span::new().seconds(1))
            .ok()
    });
    stands.unwrap_or(shown).max(shown)
}
