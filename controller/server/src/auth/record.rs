//! What the audit log says of those who come in, leave, and are refused. Bounded in rate, so that no refused client
//! can fill the disk: what is over the bound is counted, and the next record says how much that was. Each way of being
//! refused has a bound of its own, so that a flood of what any stranger can send hides no failed login and no refused change
//! of somebody who is known. A record that cannot be written keeps no client out: with a full disk people must still be able
//! to look.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aegis_api::audit::{Actor, Entry};
use aegis_runtime::Store;
use tokio::time::Instant;

use super::acting;
use super::limiter::{Allowance, Bucket};

/// Records of refusals at once, of each line of them, and how often a further one is written: at most some 5 MB a day each.
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
    /// A request that passes for another system's was refused: its signature is none of that.
    Forged,
}

impl What {
    fn verb(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginFailed => "login-failed",
            Self::LinkMade => "link-made",
            Self::LinkRedeemed => "link-redeemed",
            Self::Logout => "logout",
            Self::Refused | Self::Forged => "refused",
        }
    }

    /// What it is bounded with, where its sender is known or not.
    fn line(self, is_known: bool) -> Line {
        match self {
            Self::Login | Self::LinkMade | Self::LinkRedeemed | Self::Logout => Line::Sessions,
            Self::LoginFailed => Line::FailedLogins,
            Self::Refused if is_known => Line::RefusedChanges,
            Self::Refused => Line::RefusedStrangers,
            Self::Forged => Line::Forged,
        }
    }
}

/// Records that share a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Sessions,
    FailedLogins,
    RefusedChanges,
    RefusedStrangers,
    Forged,
}

impl Line {
    const fn allowance(self) -> Allowance {
        match self {
            Self::Sessions => SESSIONS,
            Self::FailedLogins | Self::RefusedChanges | Self::RefusedStrangers | Self::Forged => REFUSALS,
        }
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
    lines: Mutex<BTreeMap<Line, Allowed>>,
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
        let line = what.line(!acting::is_stranger(&actor));
        let Some(left_out) = self.admit(line, Instant::now()) else {
            return;
        };
        let kind = match what {
            What::Refused | What::Forged => "Request",
            _ => "Session",
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
    fn admit(&self, line: Line, now: Instant) -> Option<u64> {
        // Nothing that runs under this lock can leave it half done.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = lines.entry(line).or_default();
        if allowed.bucket.wait(line.allowance(), now).is_some() {
            allowed.left_out = allowed.left_out.saturating_add(1);
            return None;
        }
        allowed.bucket.take(line.allowance(), now);
        Some(std::mem::take(&mut allowed.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_bounded_and_counted() {
        let recorder = Recorder::default();
        let now = Instant::now();
        let written = (0..1000).filter(|_| recorder.admit(Line::Forged, now).is_some());
        assert_eq!(written.count(), 60);
        let later = now + Duration::from_secs(7);
        assert_eq!(recorder.admit(Line::Forged, later), Some(940));
        assert_eq!(recorder.admit(Line::Forged, later), None);
    }

    #[test]
    fn a_flood_of_one_way_to_be_refused_leaves_out_nothing_of_another() {
        let known = [true, false];
        let whats = [What::Login, What::LoginFailed, What::Refused, What::Forged];
        let lines = whats.iter().flat_map(|what| known.map(|known| what.line(known)));
        let lines: std::collections::BTreeSet<Line> = lines.collect();
        assert_eq!(lines.len(), 5);
        for flooded in &lines {
            let (recorder, now) = (Recorder::default(), Instant::now());
            while recorder.admit(*flooded, now).is_some() {}
            for other in lines.iter().filter(|other| *other != flooded) {
                assert_eq!(
                    recorder.admit(*other, now),
                    Some(0),
                    "{flooded:?} hides {other:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn forged_requests_of_a_stranger_hide_no_failed_login_and_no_refusal_of_who_is_known() {
        let server = crate::testing::Server::start().await;
        let (store, recorder) = (&server.store, Recorder::default());
        let stranger = || acting::unknown(None, &axum::http::HeaderMap::new(), &Default::default());
        let known = Actor {
            user: "anna".to_owned(),
            ..stranger()
        };
        for _ in 0..200 {
            recorder
                .record(store, What::Forged, stranger(), "/slack/interactions", None)
                .await;
            recorder
                .record(store, What::Refused, stranger(), "POST /x", None)
                .await;
        }
        recorder
            .record(store, What::LoginFailed, stranger(), UNKNOWN, None)
            .await;
        recorder
            .record(store, What::Refused, known, "POST /y", None)
            .await;
        let page = store.audit().page(None, 1000).await.unwrap();
        let with = |text: &str| page.lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!((with("/slack/interactions"), with("POST /x")), (60, 60));
        assert_eq!(
            (with("login-failed"), with("POST /y")),
            (1, 1),
            "{:?}",
            page.lines.last()
        );
    }
}
