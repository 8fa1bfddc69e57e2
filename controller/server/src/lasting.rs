//! When what stays open for a client ends: with the server, with its time, and with the token or session that opened it.

use std::time::Duration;

use jiff::Timestamp;

use crate::auth::Identity;
use crate::state::ServerState;

/// The shortest life of a watch that names none, and the longest of any is twice that; Kubernetes has the same. In between
/// it is by chance, so that they do not all come back at once.
const LIFE: Duration = Duration::from_secs(1800);
/// How often it is asked whether a client may stay; when a token is revoked that is known at once.
const CHECK: Duration = Duration::from_secs(30);

/// How long a watch lasts for which its client wishes that.
pub(crate) fn life(wished: Option<Duration>) -> Duration {
    match wished {
        Some(wished) => wished.min(LIFE * 2),
        None => LIFE.mul_f64(1.0 + rand::random::<f64>()),
    }
}

/// Waits until the client may not stay.
pub(crate) async fn over(state: ServerState, identity: Identity, life: Option<Duration>) {
    let time = async {
        match life {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = state.shutdown.cancelled() => {}
        () = time => {}
        () = unwelcome(&state, &identity) => {}
    }
}

/// Waits until its token or session is good no more.
pub(crate) async fn unwelcome(state: &ServerState, identity: &Identity) {
    let mut ended = state.auth.ended();
    while state.auth.still(identity) {
        tokio::select! {
            changed = ended.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(until_check(identity.ends_at(), aegis_clock::timestamp())) => {}
        }
    }
}

/// How long until it is asked again: no longer than until the known end. What is good beyond that had its end moved with a
/// clock that was set.
fn until_check(ends_at: Option<Timestamp>, now: Timestamp) -> Duration {
    if ends_at.is_some_and(|at| at < now) {
        return CHECK;
    }
    let left = ends_at.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    let left = left.map(|left| left.saturating_add(Duration::from_millis(1)));
    left.map_or(CHECK, |left| left.min(CHECK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_watch_lasts_longer_than_an_hour_and_those_without_a_wish_end_at_different_times() {
        let day = Duration::from_secs(86_400);
        assert_eq!(life(Some(day)), Duration::from_secs(3600));
        assert_eq!(life(Some(Duration::from_secs(7))), Duration::from_secs(7));
        let lives: Vec<Duration> = (0..50).map(|_| life(None)).collect();
        assert!(lives.iter().all(|life| (1800..=3600).contains(&life.as_secs())));
        assert!(lives.iter().any(|life| *life != lives[0]));
    }

    #[test]
    fn a_client_is_asked_again_when_its_token_ends_and_every_half_minute() {
        let now = Timestamp::now();
        let at = |seconds: i64| Some(now + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(until_check(None, now), CHECK);
        assert_eq!(until_check(at(3600), now), CHECK);
        assert_eq!(until_check(at(2), now), Duration::from_millis(2001));
        assert_eq!(until_check(at(0), now), Duration::from_millis(1));
        assert_eq!(until_check(at(-5), now), CHECK, "its end was moved");
    }
}
