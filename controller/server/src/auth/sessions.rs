//! Browser sessions and the one-time codes that begin one: bounded and expiring. Sessions outlive the process by what
//! `file` keeps of them; codes go with it. No I/O but there.

pub(super) mod file;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

use file::Row;

use super::Holder;
use super::secret::{Digest, fresh};

/// How long a session may stay unused. An open WebSocket uses it.
const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// How long a session lasts at most.
const ABSOLUTE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most sessions, and of one user, so that no user ends those of others; the one that was unused for longest makes room.
const MOST: usize = 1024;
const MOST_EACH: usize = 64;
/// How often, at most, uses alone lead to a write.
const USE_WRITES: SignedDuration = SignedDuration::from_mins(10);
/// How long a one-time code is good.
const CODE: SignedDuration = SignedDuration::from_mins(15);
/// Most codes, and of one user; the oldest makes room.
const MOST_CODES: usize = 64;
const MOST_CODES_EACH: usize = 8;

/// One browser that is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) holder: Holder,
    /// Of what the page must send along with every request, beside the cookie: only the page that logged in has it.
    secret: Digest,
    pub(crate) expires_at: Timestamp,
    /// When it ends by itself, whatever its token says.
    until: Timestamp,
    used_at: Timestamp,
}

/// What a browser needs of a new session. It is handed out once, and kept as hashes alone.
#[derive(Debug)]
pub(crate) struct Begun {
    /// For the cookie, which browsers send to every port of the host: worth nothing alone.
    pub(crate) cookie: SecretString,
    /// For the page, which keeps it for its origin.
    pub(crate) secret: SecretString,
    pub(crate) session: Session,
}

/// Who a code lets in, and until when at most.
#[derive(Debug, Clone)]
pub(crate) struct Invited {
    pub(crate) holder: Holder,
    /// The end of the session that made the code: what it begins ends with it.
    pub(crate) ends: Option<Timestamp>,
}

#[derive(Debug)]
struct Code {
    invited: Invited,
    expires_at: Timestamp,
}

/// The sessions and codes there are.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<Digest, Session>,
    codes: HashMap<Digest, Code>,
    /// When the sessions were last handed out to be written.
    written: Option<Timestamp>,
}

impl Sessions {
    /// Begins a session. It ends with its token, and with the session that invited it.
    pub(crate) fn begin(&self, invited: Invited, now: Timestamp) -> Begun {
        let (cookie, secret) = (fresh(), fresh());
        let key = Digest::of(cookie.expose_secret());
        let Invited { holder, ends } = invited;
        let until = ends.map_or(now + ABSOLUTE, |ends| ends.min(now + ABSOLUTE));
        let session = Session {
            expires_at: holder.expires_at.map_or(until, |ends| ends.min(until)),
            until,
            holder,
            secret: Digest::of(secret.expose_secret()),
            used_at: now,
        };
        let mut inner = self.inner();
        inner.sessions.retain(|_, session| session.is_good(now));
        let sessions = inner.sessions.iter();
        let all = sessions.map(|(key, known)| (key, &*known.holder.user, known.used_at));
        if let Some(oldest) = crowded_out(all, &session.holder.user, MOST, MOST_EACH) {
            inner.sessions.remove(&oldest);
        }
        inner.sessions.insert(key, session.clone());
        Begun {
            cookie,
            secret,
            session,
        }
    }

    /// Takes in what an earlier process left, as far as it is still good.
    fn restore(&self, rows: Vec<Row>, now: Timestamp) {
        let mut inner = self.inner();
        let mut rows: Vec<_> = rows.into_iter().filter_map(Row::read).collect();
        // The clock may have been set back meanwhile: none was used in a time to come, or began there.
        for (_, session) in &mut rows {
            session.used_at = session.used_at.min(now);
            session.until = session.until.min(now + ABSOLUTE);
            session.limit();
        }
        rows.retain(|(_, session)| session.is_good(now));
        rows.sort_by_key(|(_, session)| std::cmp::Reverse(session.used_at));
        inner.sessions.extend(rows.into_iter().take(MOST));
        inner.written = Some(now);
    }

    /// What a later process needs to know.
    fn rows(&self, now: Timestamp) -> Vec<Row> {
        let mut inner = self.inner();
        inner.sessions.retain(|_, session| session.is_good(now));
        inner.written = Some(now);
        let sessions = inner.sessions.iter();
        sessions.map(|(key, session)| Row::of(*key, session)).collect()
    }

    /// The clock was set by so much, back where that is negative: sessions and codes last as long as they would have. A token,
    /// and what it began with it, ends at the time that its maker named.
    pub(super) fn move_by(&self, step: SignedDuration) {
        let moved = |at: Timestamp| at.saturating_add(step).unwrap_or(at);
        let mut inner = self.inner();
        for session in inner.sessions.values_mut() {
            session.used_at = moved(session.used_at);
            session.until = moved(session.until);
            session.limit();
        }
        for code in inner.codes.values_mut() {
            code.expires_at = moved(code.expires_at);
            code.invited.ends = code.invited.ends.map(moved);
        }
        // What is written is of the clock as it was.
        inner.written = None;
    }

    /// Whether it is time to write when sessions were last used.
    pub(crate) fn are_due(&self, now: Timestamp) -> bool {
        let written = self.inner().written;
        written.is_none_or(|at| now.duration_since(at) >= USE_WRITES)
    }

    /// The session of this cookie; the call counts as a use of it.
    pub(crate) fn touch(&self, key: &Digest, now: Timestamp) -> Option<Session> {
        let mut inner = self.inner();
        let session = inner.sessions.get_mut(key)?;
        if !session.is_good(now) {
            inner.sessions.remove(key);
            return None;
        }
        session.used_at = now;
        Some(session.clone())
    }

    /// Whether this is the secret of the session of this cookie. No use of it.
    pub(crate) fn is_proved(&self, key: &Digest, secret: &str) -> bool {
        let inner = self.inner();
        let session = inner.sessions.get(key);
        session.is_some_and(|session| session.is_proved_by(secret))
    }

    pub(crate) fn end(&self, key: &Digest) {
        self.inner().sessions.remove(key);
    }

    /// Ends what this token began: sessions and codes.
    pub(crate) fn revoke(&self, name: &str) {
        let mut inner = self.inner();
        inner.sessions.retain(|_, session| &*session.holder.user != name);
        inner.codes.retain(|_, code| &*code.invited.holder.user != name);
    }

    /// Makes a code that begins one session, soon.
    pub(crate) fn code(&self, invited: Invited, now: Timestamp) -> (SecretString, Timestamp) {
        let code = fresh();
        let expires_at = now + CODE;
        let mut inner = self.inner();
        inner.codes.retain(|_, code| now < code.expires_at);
        let codes = inner.codes.iter();
        let all = codes.map(|(key, code)| (key, &*code.invited.holder.user, code.expires_at));
        if let Some(oldest) = crowded_out(all, &invited.holder.user, MOST_CODES, MOST_CODES_EACH) {
            inner.codes.remove(&oldest);
        }
        inner
            .codes
            .insert(Digest::of(code.expose_secret()), Code { invited, expires_at });
        (code, expires_at)
    }

    /// Whether this code is still good.
    pub(crate) fn knows(&self, code: &str, now: Timestamp) -> bool {
        let inner = self.inner();
        let code = inner.codes.get(&Digest::of(code));
        code.is_some_and(|code| now < code.expires_at)
    }

    /// Whose code this is; it is none afterwards.
    pub(crate) fn redeem(&self, code: &str, now: Timestamp) -> Option<Invited> {
        let code = self.inner().codes.remove(&Digest::of(code))?;
        Some(code.invited).filter(|_| now < code.expires_at)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which one makes room for a further one of this user: their own oldest, where they have as many as one may, else the
/// oldest of all, where there are as many as there may be.
fn crowded_out<'a>(
    all: impl Iterator<Item = (&'a Digest, &'a str, Timestamp)> + Clone,
    user: &str,
    most: usize,
    each: usize,
) -> Option<Digest> {
    let own = all.clone().filter(|(_, whose, _)| *whose == user);
    let oldest = if own.clone().count() >= each {
        own.min_by_key(|(_, _, at)| *at)
    } else if all.clone().count() >= most {
        all.min_by_key(|(_, _, at)| *at)
    } else {
        None
    };
    oldest.map(|(key, _, _)| *key)
}

impl From<Holder> for Invited {
    fn from(holder: Holder) -> Self {
        Self { holder, ends: None }
    }
}

impl Session {
    /// Whether this is what the page was given at the login.
    pub(crate) fn is_proved_by(&self, secret: &str) -> bool {
        self.secret.is(&Digest::of(secret))
    }

    fn limit(&mut self) {
        self.expires_at = self
            .holder
            .expires_at
            .map_or(self.until, |ends| ends.min(self.until));
    }

    fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at && now.duration_since(self.used_at) < IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn at(hours: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    fn holder(expires_at: Option<Timestamp>) -> Holder {
        Holder {
            user: "anna".into(),
            role: Role::Operator,
            digest: Digest::of("token"),
            expires_at,
        }
    }

    fn key(cookie: &SecretString) -> Digest {
        Digest::of(cookie.expose_secret())
    }

    #[test]
    fn a_session_ends_unused_and_in_any_case() {
        let sessions = Sessions::default();
        let Begun { cookie, session, .. } = sessions.begin(holder(None).into(), at(0));
        assert_eq!(session.expires_at, at(7 * 24));
        assert!(sessions.touch(&key(&cookie), at(11)).is_some());
        assert!(sessions.touch(&key(&cookie), at(22)).is_some());
        assert!(sessions.touch(&key(&cookie), at(34)).is_none());
        let cookie = sessions.begin(holder(None).into(), at(0)).cookie;
        for hour in 0..168 {
            assert!(sessions.touch(&key(&cookie), at(hour)).is_some(), "{hour}");
        }
        assert!(sessions.touch(&key(&cookie), at(168)).is_none());
    }

    #[test]
    fn a_clock_that_is_set_ends_no_session_and_makes_none_last_longer() {
        for step in [24, -24, 2] {
            let sessions = Sessions::default();
            let [cookie, idle] = [0, 1].map(|_| key(&sessions.begin(holder(None).into(), at(0)).cookie));
            let (code, _) = sessions.code(holder(None).into(), at(0));
            sessions.move_by(SignedDuration::from_hours(step));
            let now = |hours: i64| at(hours + step);
            assert!(sessions.knows(code.expose_secret(), now(0)));
            assert!(!sessions.knows(code.expose_secret(), now(1)));
            assert!(sessions.touch(&idle, now(11)).is_some(), "{step}");
            for hour in 0..168 {
                assert!(sessions.touch(&cookie, now(hour)).is_some(), "{step}: {hour}");
            }
            assert!(sessions.touch(&cookie, now(168)).is_none(), "{step}");
            assert!(sessions.touch(&idle, now(23)).is_none(), "{step}");
        }
    }

    #[test]
    fn a_token_ends_by_the_clock_and_a_session_never_after_it() {
        let sessions = Sessions::default();
        let cookie = key(&sessions.begin(holder(Some(at(10))).into(), at(0)).cookie);
        sessions.move_by(SignedDuration::from_hours(9));
        assert_eq!(sessions.touch(&cookie, at(9)).unwrap().expires_at, at(10));
        sessions.move_by(SignedDuration::from_hours(-9));
        assert_eq!(sessions.touch(&cookie, at(1)).unwrap().expires_at, at(10));
        assert!(sessions.touch(&cookie, at(10)).is_none());
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let sessions = Sessions::default();
        let Begun { cookie, session, .. } = sessions.begin(holder(Some(at(2))).into(), at(0));
        assert_eq!(session.expires_at, at(2));
        assert!(sessions.touch(&key(&cookie), at(2)).is_none());
        let cookie = sessions.begin(holder(None).into(), at(0)).cookie;
        let (code, _) = sessions.code(holder(None).into(), at(0));
        sessions.revoke("anna");
        assert!(sessions.touch(&key(&cookie), at(0)).is_none());
        assert!(sessions.redeem(code.expose_secret(), at(0)).is_none());
    }

    #[test]
    fn a_code_is_good_once_and_soon() {
        let sessions = Sessions::default();
        let (code, _) = sessions.code(holder(None).into(), at(0));
        assert!(sessions.redeem("no such code", at(0)).is_none());
        assert!(
            sessions.knows(code.expose_secret(), at(0)),
            "looking spends nothing"
        );
        assert!(!sessions.knows("no such code", at(0)));
        assert!(sessions.redeem(code.expose_secret(), at(0)).is_some());
        assert!(sessions.redeem(code.expose_secret(), at(0)).is_none());
        assert!(!sessions.knows(code.expose_secret(), at(0)));
        let (late, _) = sessions.code(holder(None).into(), at(0));
        assert!(sessions.redeem(late.expose_secret(), at(1)).is_none());
    }

    #[test]
    fn what_a_session_invites_ends_with_it() {
        let sessions = Sessions::default();
        let first = sessions.begin(holder(None).into(), at(0)).session;
        let invited = Invited {
            holder: first.holder,
            ends: Some(first.expires_at),
        };
        let (code, _) = sessions.code(invited, at(100));
        let invited = sessions.redeem(code.expose_secret(), at(100)).unwrap();
        assert_eq!(sessions.begin(invited, at(100)).session.expires_at, at(7 * 24));
    }

    #[test]
    fn the_secret_of_a_session_is_not_found_out_from_its_cookie() {
        let sessions = Sessions::default();
        let begun = sessions.begin(holder(None).into(), at(0));
        let session = sessions.touch(&key(&begun.cookie), at(0)).unwrap();
        assert!(session.is_proved_by(begun.secret.expose_secret()));
        let derived = format!("csrf {}", key(&begun.cookie).to_hex());
        for guess in ["", begun.cookie.expose_secret(), &Digest::of(&derived).to_hex()] {
            assert!(!session.is_proved_by(guess), "{guess}");
        }
    }

    #[test]
    fn one_user_ends_neither_the_sessions_nor_the_links_of_others() {
        let sessions = Sessions::default();
        let first = sessions.begin(holder(None).into(), at(0)).cookie;
        let (link, _) = sessions.code(holder(None).into(), at(0));
        for _ in 0..2 * MOST {
            sessions.begin(of("greedy").into(), at(0));
            sessions.code(of("greedy").into(), at(0));
        }
        assert!(sessions.touch(&key(&first), at(0)).is_some());
        assert!(sessions.knows(link.expose_secret(), at(0)));
        assert_eq!(sessions.inner().sessions.len(), 1 + MOST_EACH);
        assert_eq!(sessions.inner().codes.len(), 1 + MOST_CODES_EACH);
    }

    fn of(user: &str) -> Holder {
        Holder {
            user: user.into(),
            ..holder(None)
        }
    }

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let sessions = Sessions::default();
        let first = sessions.begin(holder(None).into(), at(0)).cookie;
        for number in 0..MOST {
            let user = format!("user-{}", number / 4);
            sessions.begin(of(&user).into(), at(1));
            sessions.code(of(&user).into(), at(1));
        }
        assert_eq!(sessions.inner().sessions.len(), MOST);
        assert_eq!(sessions.inner().codes.len(), MOST_CODES);
        assert!(sessions.touch(&key(&first), at(1)).is_none());
    }
}
