//! What a client gets that cannot replay: how things stand. Bounded in incidents and in bytes. No I/O.

use aegis_api::wire::{IncidentResult, Snapshot};
use serde::Serialize;

use crate::compat::by_age;
use crate::state::ServerState;

/// Most incidents, the newest, and most bytes of them.
const INCIDENTS: (usize, usize) = (100, 4 << 20);

/// Everything a client needs to go on from here.
pub(super) fn of(state: &ServerState) -> Snapshot {
    let newest = by_age(&state.store);
    let newest = newest.iter().rev();
    Snapshot {
        incidents: within(
            INCIDENTS,
            newest.map(|incident| IncidentResult::from(&**incident)),
        ),
        containers: state.host.containers(),
        metrics: state.host.metrics(),
        topology: state.host.topology(),
    }
}

/// The first of them that are within the bounds, in reverse.
fn within<T: Serialize>((most, most_bytes): (usize, usize), all: impl Iterator<Item = T>) -> Vec<T> {
    let mut bytes = 0_usize;
    let few = all.take(most).take_while(|one| {
        let size = serde_json::to_vec(one).map_or(0, |text| text.len());
        bytes = bytes.saturating_add(size);
        bytes <= most_bytes
    });
    let mut kept: Vec<T> = few.collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_the_newest_are_kept_within_both_bounds_oldest_first() {
        let newest_first = || (0..10).rev().map(|n| format!("{n}{}", "x".repeat(97)));
        let kept = |bounds| {
            let kept = within(bounds, newest_first());
            kept.iter()
                .map(|one| one.trim_end_matches('x').to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(kept((3, 10_000)), ["7", "8", "9"]);
        assert_eq!(kept((100, 250)), ["8", "9"]);
        assert_eq!(kept((100, 10)), [""; 0]);
    }
}
