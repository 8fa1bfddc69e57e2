//! How long finished objects are kept. Pure: from what is in force to what should go.

use std::cmp::Reverse;

use aegis_api::{Duration, KINDS, Time};

use super::Retention;
use super::memory::Memory;
use super::object::Stored;
use crate::disk::layout::Key;

/// Budgets and cooldowns are derived from what finished lately, so that always stays.
const ALWAYS_KEPT: Duration = Duration::from_secs(2 * 3600);
/// How many are removed in one batch, so that no other write waits long behind it.
pub(crate) const AT_ONCE: usize = 64;

/// When an object came to its end, if it did.
pub(crate) fn finished_at(object: &Stored) -> Option<Time> {
    object.status()?.get("finishedAt")?.as_str()?.parse().ok()
}

/// Finished objects that are too many of their kind or (looked for only if `by_age`) too old, oldest first.
pub(crate) fn overdue(memory: &Memory, retention: Retention, now: Time, by_age: bool) -> Vec<Key> {
    let mut overdue = Vec::new();
    for info in KINDS.iter() {
        let (_, objects) = memory.list(info);
        if !by_age && objects.len() <= retention.max_finished {
            continue;
        }
        let mut finished: Vec<(Time, &str)> = objects
            .iter()
            .filter(|object| !object.is_deleting())
            .filter_map(|object| Some((finished_at(object)?, object.name())))
            .collect();
        finished.sort_unstable_by_key(|(at, _)| Reverse(*at));
        let too_many = |index: usize| index >= retention.max_finished;
        let too_old = |at: Time| at.age(now) > retention.max_age.std();
        let mut out: Vec<Key> = finished
            .iter()
            .enumerate()
            .filter(|(index, (at, _))| (too_many(*index) || too_old(*at)) && at.age(now) >= ALWAYS_KEPT.std())
            .map(|(_, (_, name))| Key::new(info, *name))
            .collect();
        out.reverse();
        overdue.append(&mut out);
    }
    overdue
}
