//! How many connections there may be: in all, and from one peer, so that one that holds what it can leaves the rest to
//! others. Beyond that there is a reserve for signs of life and alerts. Pure but for its lock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::network;

/// Most connections at once, beside the reserve.
pub(super) const ALL: usize = 2048;
/// Most of them from one peer. All who come through a proxy, or through a port that the engine publishes, are one.
pub(super) const EACH: usize = 1024;
/// Most of all of them from networks of workloads, and from one peer there: others always find room.
const WORKLOADS: usize = 1024;
const WORKLOADS_EACH: usize = 256;
/// Most connections for signs of life and alerts alone.
const RESERVE: usize = 256;
/// Most of those from one peer.
const RESERVE_EACH: usize = 32;
/// Most of those from networks of workloads.
const RESERVE_WORKLOADS: usize = 192;

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// On a network of workloads.
    Workloads,
    /// Elsewhere.
    Others,
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Everything.
    Full,
    /// Probes and alerts: there are too many others.
    Reserve,
}

/// Who is inside.
#[derive(Debug, Default)]
pub(super) struct Doors {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: Count,
    /// Of these from networks of workloads.
    workloads: Count,
    /// Peers without a connection are not in it, so it is no larger than the bounds above.
    each: HashMap<IpAddr, Count>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    full: usize,
    reserve: usize,
}

impl Count {
    fn of(&mut self, pass: Pass) -> &mut usize {
        match pass {
            Pass::Full => &mut self.full,
            Pass::Reserve => &mut self.reserve,
        }
    }
}

/// A connection that was let in, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    doors: Arc<Doors>,
    peer: IpAddr,
    side: Side,
    pub(super) pass: Pass,
}

impl Doors {
    /// Lets a connection of this peer in, if there is room.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, side: Side) -> Option<Entered> {
        let peer = network(peer);
        let mut inner = self.inner();
        let mut one = inner.each.get(&peer).copied().unwrap_or_default();
        let all = inner.all;
        let (most, workloads) = match side {
            Side::Workloads => (WORKLOADS_EACH, inner.workloads),
            Side::Others => (EACH, Count::default()),
        };
        let pass = if one.full < most && all.full < ALL && workloads.full < WORKLOADS {
            Pass::Full
        } else if one.reserve < RESERVE_EACH && all.reserve < RESERVE && workloads.reserve < RESERVE_WORKLOADS
        {
            Pass::Reserve
        } else {
            return None;
        };
        if side == Side::Workloads {
            *inner.workloads.of(pass) = inner.workloads.of(pass).saturating_add(1);
        }
        *one.of(pass) = one.of(pass).saturating_add(1);
        *inner.all.of(pass) = inner.all.of(pass).saturating_add(1);
        inner.each.insert(peer, one);
        Some(Entered {
            doors: Arc::clone(self),
            peer,
            side,
            pass,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut inner = self.doors.inner();
        *inner.all.of(self.pass) = inner.all.of(self.pass).saturating_sub(1);
        if self.side == Side::Workloads {
            *inner.workloads.of(self.pass) = inner.workloads.of(self.pass).saturating_sub(1);
        }
        if let Some(one) = inner.each.get_mut(&self.peer) {
            *one.of(self.pass) = one.of(self.pass).saturating_sub(1);
            if one.full == 0 && one.reserve == 0 {
                inner.each.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// As many as get in.
    fn crowd(doors: &Arc<Doors>, last: u8) -> (Vec<Entered>, usize) {
        crowd_of(doors, last, Side::Others)
    }

    fn crowd_of(doors: &Arc<Doors>, last: u8, side: Side) -> (Vec<Entered>, usize) {
        let inside: Vec<Entered> = (0..3000).map_while(|_| doors.enter(peer(last), side)).collect();
        let full = inside.iter().filter(|one| one.pass == Pass::Full).count();
        (inside, full)
    }

    #[test]
    fn one_peer_leaves_room_to_others_and_crowds_leave_a_reserve() {
        let doors = Arc::new(Doors::default());
        let (one, full) = crowd(&doors, 1);
        assert_eq!((one.len(), full), (EACH + RESERVE_EACH, EACH));
        assert_eq!(doors.enter(peer(2), Side::Others).unwrap().pass, Pass::Full);
        let (two, full) = crowd(&doors, 2);
        assert_eq!(full, ALL - EACH);
        let (three, full) = crowd(&doors, 3);
        assert_eq!((three.len(), full), (RESERVE_EACH, 0), "probes and alerts");
        drop((one, two, three));
        let inner = doors.inner();
        assert!(inner.each.is_empty() && inner.all.full == 0 && inner.all.reserve == 0);
    }

    #[test]
    fn however_many_workloads_hold_what_they_can_others_find_room() {
        let doors = Arc::new(Doors::default());
        let crowds: Vec<_> = (1..=20)
            .map(|last| crowd_of(&doors, last, Side::Workloads))
            .collect();
        let full: usize = crowds.iter().map(|(_, full)| full).sum();
        let inside: usize = crowds.iter().map(|(inside, _)| inside.len()).sum();
        assert_eq!((full, inside), (WORKLOADS, WORKLOADS + RESERVE_WORKLOADS));
        assert_eq!(crowds[0].1, WORKLOADS_EACH);
        let (others, full) = crowd(&doors, 100);
        assert_eq!((others.len(), full), (EACH + RESERVE_EACH, EACH));
        drop((crowds, others));
        let inner = doors.inner();
        assert!(inner.each.is_empty() && inner.workloads.full == 0 && inner.workloads.reserve == 0);
    }
}
