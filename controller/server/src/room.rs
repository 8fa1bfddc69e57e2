//! Memory for what strangers send: so many bytes in all, and of them so many for one sender, so that neither many that are
//! slow nor many that are large take what the process needs. Pure but for its lock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::network;

/// So many bytes.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    each: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Those that hold none are not in it.
    each: HashMap<IpAddr, usize>,
}

/// What one request holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    who: IpAddr,
    bytes: usize,
}

impl Room {
    /// `most` bytes in all, `each` for one sender.
    pub(crate) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            each,
            held: Mutex::default(),
        })
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Self>, who: IpAddr) -> Share {
        Share {
            room: Arc::clone(self),
            who: network(who),
            bytes: 0,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that runs under this lock can leave it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes so many bytes more, if there is room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let mut held = self.room.held();
        let all = held.all.saturating_add(bytes);
        let one = held.each.get(&self.who).copied().unwrap_or_default();
        let one = one.saturating_add(bytes);
        if all > self.room.most || one > self.room.each {
            return false;
        }
        held.all = all;
        held.each.insert(self.who, one);
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.room.held();
        held.all = held.all.saturating_sub(self.bytes);
        if let Some(one) = held.each.get_mut(&self.who) {
            *one = one.saturating_sub(self.bytes);
            if *one == 0 {
                held.each.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_one_sender_leaves_room_to_others_and_all_of_them_have_a_bound() {
        let room = Room::new(10, 6);
        let who = |last: u8| IpAddr::from([10, 0, 0, last]);
        let (mut one, mut again) = (room.share(who(1)), room.share(who(1)));
        assert!(one.grow(4) && again.grow(2));
        assert!(!again.grow(1), "one sender's bound");
        let mut other = room.share(who(2));
        assert!(other.grow(4) && !other.grow(1), "all have a bound");
        drop(one);
        assert!(other.grow(1) && again.grow(3));
        drop((again, other));
        let held = room.held();
        assert!(
            held.all == 0 && held.each.is_empty(),
            "who holds none is forgotten"
        );
    }
}
