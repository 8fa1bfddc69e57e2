//! How often one may try a token that is not known, to log in or with a request: a bucket for each address and one for all, by a clock that only goes forward: one that
//! is set back refuses no one. Bounded in memory. Pure but for its lock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much at once, and how often one more is granted.
pub(crate) type Allowance = (u32, Duration);

/// Tries at once from one address, and how often a further one is granted.
const EACH: Allowance = (10, Duration::from_secs(6));
/// The same for everybody together. Tokens cannot be guessed; this bounds the work.
const ALL: Allowance = (200, Duration::from_millis(250));
/// Most addresses that are remembered.
const MOST: usize = 4096;

/// Counts tries that failed.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: Bucket,
    each: HashMap<IpAddr, Bucket>,
}

/// What was used of an allowance; it flows back with time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// When nothing of it will be used any more.
    empty_at: Option<Instant>,
}

impl Bucket {
    /// How long to wait for the next try; `None`: not at all.
    pub(crate) fn wait(self, (burst, step): Allowance, now: Instant) -> Option<Duration> {
        let used = self.empty_at?.saturating_duration_since(now);
        let allowed = step * burst.saturating_sub(1);
        used.checked_sub(allowed).filter(|wait| !wait.is_zero())
    }

    pub(crate) fn take(&mut self, (_, step): Allowance, now: Instant) {
        self.empty_at = Some(self.empty_at.map_or(now, |at| at.max(now)) + step);
    }

    pub(crate) fn is_empty(self, now: Instant) -> bool {
        self.empty_at.is_none_or(|at| at <= now)
    }
}

impl Limiter {
    /// Counts a try of this address as failed until [`Self::succeeded`]; refuses with the seconds to wait.
    pub(crate) fn attempt(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let address = network(address);
        // Nothing that runs under this lock can leave it half done.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let each = inner.each.get(&address).copied().unwrap_or_default();
        let waits = [each.wait(EACH, now), inner.all.wait(ALL, now)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait.as_secs().saturating_add(1));
        }
        if inner.each.len() >= MOST {
            inner.each.retain(|_, bucket| !bucket.is_empty(now));
        }
        inner.all.take(ALL, now);
        // Where there is room for no more, the bucket of all still counts.
        if inner.each.len() < MOST || inner.each.contains_key(&address) {
            inner.each.entry(address).or_default().take(EACH, now);
        }
        Ok(())
    }

    /// A client that got in has not failed.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.each.remove(&network(address));
    }
}

/// What one person has: an address, or all of a network's IPv6 ones.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START + Duration::from_secs(seconds)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn one_address_that_fails_has_to_wait_and_others_do_not() {
        let limiter = Limiter::default();
        for _ in 0..10 {
            limiter.attempt(address(1), at(0)).unwrap();
        }
        let wait = limiter.attempt(address(1), at(0)).unwrap_err();
        assert!((1..=7).contains(&wait), "{wait}");
        limiter.attempt(address(2), at(0)).unwrap();
        limiter.attempt(address(1), at(wait)).unwrap();
    }

    #[test]
    fn success_clears_an_address() {
        let limiter = Limiter::default();
        for _ in 0..100 {
            limiter.attempt(address(1), at(0)).unwrap();
            limiter.succeeded(address(1));
        }
    }

    #[test]
    fn many_addresses_together_are_bounded_in_tries_and_memory() {
        let limiter = Limiter::default();
        let mut passed = 0;
        for number in 0..100_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            passed += i32::from(limiter.attempt(address, at(0)).is_ok());
        }
        assert_eq!(passed, 200);
        assert!(limiter.inner.lock().unwrap().each.len() <= MOST);
    }

    #[test]
    fn the_neighbours_of_one_ipv6_network_are_one() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::ffff".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_eq!(
            network("::ffff:192.0.2.1".parse().unwrap()),
            IpAddr::from([192, 0, 2, 1])
        );
    }
}
