//! What the audit log says of those who come in, leave, and are refused. Bounded in rate, so that no refused client
//! can fill the disk: what is over the bound is counted, and the next record says how much that was. A record that cannot
//! be written keeps no client out: with a full disk people must still be able to look.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aegis_api::audit::{Actor, Entry};
use aegis_runtime::Store;
use tokio::time::Instant;

use super::limiter::{Allowance, Bucket};

/// Records of refusals at once, and how often a further one is written: at most some 5 MB a day.
const REFUSALS: Allowance = (60, Duration::from_secs(6));
/// The same for logins, links and logouts.
const SESSIONS: Allowance = (200, Duration::from_secs(1));
/// Who sent a request that shows no token.
pub(super) const UNKNOWN: &str = "unknown";

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A browser session began.
    Login,
    /// One did not, for the token or the link is not known.
    LoginFailed,
    /// A link was made.
    LinkMade,
    /// A link began a session.
    LinkRedeemed,
    /// A session was ended by its owner.
    Logout,
    /// A change was refused.
    Refused,
}

impl What {
    fn verb(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginFailed => "login-failed",
            Self::LinkMade => "link-made",
            Self::LinkRedeemed => "link-redeemed",
            Self::Logout => "logout",
            Self::Refused => "refused",
        }
    }

    fn is_refusal(self) -> bool {
        matches!(self, Self::LoginFailed | Self::Refused)
    }
}

/// The same for what is refused to people who come in by another way than HTTP, such as a chat. Bounded by itself.
#[derive(Debug, Default)]
pub struct Refusals(Recorder);

impl Refusals {
    /// Writes that `about` was refused to this one, and why, unless there were too many lately.
    pub async fn record(&self, store: &Store, actor: Actor, about: &str, why: String) {
        self.0.record(store, What::Refused, actor, about, Some(why)).await;
    }
}

/// Writes them.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    refusals: Allowed,
    sessions: Allowed,
}

#[derive(Debug, Default)]
struct Allowed {
    bucket: Bucket,
    left_out: u64,
}

impl Recorder {
    /// Writes that this happened; `about` is whom a session is of, or what was refused.
    pub(crate) async fn record(
        &self,
        store: &Store,
        what: What,
        actor: Actor,
        about: &str,
        note: Option<String>,
    ) {
        let Some(left_out) = self.admit(what, Instant::now()) else {
            return;
        };
        let kind = if what == What::Refused {
            "Request"
        } else {
            "Session"
        };
        let mut entry = Entry::about(actor, what.verb(), kind, &aegis_api::redact::bound(about, 200));
        entry.note = match (note, left_out) {
            (note, 0) => note,
            (note, more) => {
                let and = note.map(|note| format!("{note}; ")).unwrap_or_default();
                Some(format!("{and}{more} more before this one are not recorded"))
            }
        };
        if let Err(error) = store.audit().append(vec![entry]).await {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(source, verb = what.verb(), "not in the audit log: {error}");
        }
    }

    /// Whether there is room for one, and how many were left out before it.
    fn admit(&self, what: What, now: Instant) -> Option<u64> {
        // Nothing that runs under this lock can leave it half done.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (allowed, allowance) = match what.is_refusal() {
            true => (&mut inner.refusals, REFUSALS),
            false => (&mut inner.sessions, SESSIONS),
        };
        if allowed.bucket.wait(allowance, now).is_some() {
            allowed.left_out = allowed.left_out.saturating_add(1);
            return None;
        }
        allowed.bucket.take(allowance, now);
        Some(std::mem::take(&mut allowed.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_bounded_and_counted_and_leave_room_for_logins() {
        let recorder = Recorder::default();
        let now = Instant::now();
        let written = (0..1000).filter(|_| recorder.admit(What::Refused, now).is_some());
        assert_eq!(written.count(), 60);
        assert_eq!(recorder.admit(What::Login, now), Some(0));
        let later = now + Duration::from_secs(7);
        assert_eq!(recorder.admit(What::LoginFailed, later), Some(940));
        assert_eq!(recorder.admit(What::LoginFailed, later), None);
    }
}
