//! How long finished objects are kept. Pure: from what has ended to what should go.

use aegis_api::{Ended, Time};

use super::Retention;
use super::index::EndedByTime;

/// How many are removed in one batch, so that no other write waits long behind it.
pub(crate) const AT_ONCE: usize = 32;
/// The same while others wait, at least.
const LEAST: usize = 8;
/// Where very many are too many, this part of them at once …
const PART: usize = 64;
/// … or, while others wait, this one: they do not grow without end.
const PART_BETWEEN: usize = 256;
/// How many more than `max_finished` are kept where something decides by them. Budgets admit far fewer.
const NEEDED: usize = 1000;
/// What did nothing has this part of the room to itself, so that people see it although much was done.
const SHARE: usize = 4;

/// Finished objects that are too many of their kind or (looked for only if `by_age`) too old, oldest first. What did
/// nothing goes before what acted, at once; what something decides by stays.
pub(crate) fn overdue(ended: &EndedByTime, retention: Retention, now: Time, by_age: bool) -> Vec<&str> {
    let too_many = ended.len().saturating_sub(retention.max_finished);
    if too_many == 0 && !by_age {
        return Vec::new();
    }
    let is_needed = |ended: &Ended| ended.needed_until.is_some_and(|until| now < until);
    let (needed, free): (Vec<_>, Vec<_>) = ended.iter().partition(|(_, ended)| is_needed(ended));
    let (acted, idle): (Vec<_>, Vec<_>) = free.into_iter().partition(|(_, ended)| ended.acted);
    let share = retention.max_finished / SHARE;
    let idle_first = idle.len().saturating_sub(share).min(too_many);
    let then_acted = acted.len().min(too_many - idle_first);
    let then_idle = (idle.len() - idle_first).min(too_many - idle_first - then_acted);
    let most_needed = retention.max_finished.saturating_add(NEEDED);
    let excess = needed.len().saturating_sub(most_needed);
    let too_old = |at: &Time| by_age && at.age(now) > retention.max_age.std();
    let mut out: Vec<&(Time, String)> = pick(idle, idle_first + then_idle, too_old).collect();
    out.extend(pick(acted, then_acted, too_old));
    out.extend(needed.into_iter().take(excess).map(|(one, _)| one));
    // Three sorted runs.
    out.sort();
    out.into_iter().map(|(_, name)| name.as_str()).collect()
}

/// So many of these, oldest first, and those besides that are too old.
fn pick<'a>(
    from: Vec<(&'a (Time, String), &Ended)>,
    count: usize,
    too_old: impl Fn(&Time) -> bool,
) -> impl Iterator<Item = &'a (Time, String)> {
    let picked = from.into_iter().map(|(one, _)| one).enumerate();
    picked
        .filter(move |(index, (at, _))| *index < count || too_old(at))
        .map(|(_, one)| one)
}

/// How many of so many that are too many are removed between so many requests and the next ones. As many as the requests are
/// more than those have brought to an end: it takes several to end one object.
pub(crate) fn at_once(all: usize, requests: usize) -> usize {
    requests.clamp(LEAST.max(all / PART_BETWEEN), AT_ONCE.max(all / PART))
}

#[cfg(test)]
mod tests {
    use aegis_api::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time(jiff::Timestamp::UNIX_EPOCH).plus(Duration::from_secs(seconds))
    }

    /// Ended at these seconds: those that did nothing, and those that acted and are needed for two hours.
    fn ended(idle: impl Iterator<Item = u64>, acted: impl Iterator<Item = u64>) -> EndedByTime {
        let idle = idle
            .map(|second| (second, false))
            .chain(acted.map(|second| (second, true)));
        let one = |(second, acted): (u64, bool)| {
            let name = format!("{}-{second}", if acted { "acted" } else { "idle" });
            let needed_until = acted.then(|| at(second + 7200));
            let ended = Ended {
                at: at(second),
                acted,
                needed_until,
            };
            ((at(second), name), ended)
        };
        idle.map(one).collect()
    }

    fn most(max_finished: usize) -> Retention {
        Retention {
            max_finished,
            ..Retention::default()
        }
    }

    #[test]
    fn i12_what_did_nothing_goes_at_once_over_the_cap_however_fresh_it_is() {
        let storm = ended(0..360_000, std::iter::empty());
        let gone = overdue(&storm, most(1000), at(360_000), false);
        assert_eq!(gone.len(), 359_000);
        assert_eq!(gone.first(), Some(&"idle-0"));
        assert_eq!(gone.last(), Some(&"idle-358999"));
    }

    #[test]
    fn i6_a_storm_does_not_push_out_what_budgets_are_counted_from() {
        let mixed = ended(1000..3000, 0..100);
        let gone = overdue(&mixed, most(50), at(3000), false);
        assert!(gone.iter().all(|name| name.starts_with("idle")), "{gone:?}");
        assert_eq!(
            gone.len(),
            2000,
            "all that did nothing, as the rest is more than the cap"
        );
        let later = overdue(&mixed, most(50), at(7250), false);
        assert!(later.contains(&"acted-49") && !later.contains(&"acted-51"));
    }

    #[test]
    fn what_acted_leaves_room_for_what_did_nothing() {
        let mixed = ended(100_000..100_010, 0..1000);
        let gone = overdue(&mixed, most(1000), at(100_020), false);
        assert_eq!(
            gone,
            (0..10)
                .map(|second| format!("acted-{second}"))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn even_what_is_needed_has_a_bound() {
        let ordered = ended(std::iter::empty(), 0..5000);
        assert_eq!(overdue(&ordered, most(1000), at(5000), false).len(), 3000);
    }

    #[test]
    fn i12_between_requests_as_many_are_removed_as_end_meanwhile_and_the_next_ones_wait_for_few() {
        for (all, requests, removed) in [
            (3, 0, 8),
            (1000, 1, 8),
            (1000, 20, 20),
            (1000, 500, 32),
            (1000, usize::MAX, 32),
            (100_000, 1, 390),
            (100_000, usize::MAX, 1562),
        ] {
            assert_eq!(at_once(all, requests), removed, "{all} {requests}");
        }
    }

    #[test]
    fn age_counts_only_where_it_is_looked_for() {
        let old = ended(0..3, std::iter::empty());
        let now = at(31 * 86_400);
        assert!(overdue(&old, most(1000), now, false).is_empty());
        assert_eq!(overdue(&old, most(1000), now, true).len(), 3);
    }
}
