//! The token that can do nothing but post alerts: it can be rotated, and the former one stays good for a while, so that
//! senders can be given the new one meanwhile. At most these two are good. Owns `webhook-token` and `webhook.json` in the
//! folder of secrets and does I/O; of the former one a hash is kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::Time;
use aegis_api::access::{FormerToken, TokenRow};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::private_file::{stored, write, write_text};
use super::role::Role;
use super::secret::{Digest, fresh};
use super::tokens::{PREFIX, TokenError};
use super::{Holder, WEBHOOK, builtin_holder};

const TOKEN: &str = "webhook-token";
const RECORD: &str = "webhook.json";
/// How long the former token stays good where nothing is said, and at most.
const GRACE: SignedDuration = SignedDuration::from_hours(24);
const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the folder says of a rotation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// SHA-256 of the token in the file.
    sha256: String,
    /// The same of the one that this controller was given at its start: by its environment it is given that one again, and
    /// the rotated one is meant.
    given: String,
    /// The same of the former one.
    former: String,
    /// Until when that is good.
    former_until: Timestamp,
}

/// The one before, while it is good.
#[derive(Debug, Clone)]
struct Former {
    holder: Holder,
    until: Timestamp,
    /// When it was last shown: a sender still has it.
    used_at: Option<Timestamp>,
}

impl Former {
    /// It ends within the longest grace, whatever the clock showed when it was replaced.
    fn limit(&mut self, now: Timestamp) {
        let most = now.saturating_add(LONGEST).unwrap_or(now);
        self.until = self.until.min(most);
    }
}

#[derive(Debug, Default)]
struct Held {
    holder: Option<Holder>,
    former: Option<Former>,
    /// What the folder says of the rotation that made them.
    record: Option<Record>,
}

impl Held {
    /// What the folder is to say of them.
    fn to_write(&self) -> Option<Record> {
        let (record, former) = (self.record.clone()?, self.former.as_ref()?);
        Some(Record {
            former_until: former.until,
            ..record
        })
    }
}

/// The token, and the former one.
#[derive(Debug)]
pub(super) struct WebhookToken {
    folder: PathBuf,
    given: Option<Digest>,
    held: Arc<Mutex<Held>>,
    /// Changes come one after the other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl WebhookToken {
    /// This token, or the one that it was rotated to.
    pub(super) fn open(folder: &Path, token: Option<&SecretString>, now: Timestamp) -> Self {
        // A token of nothing is none: it would let in everybody who sends none.
        let given = token.filter(|token| !token.expose_secret().trim().is_empty());
        let given = given.map(|token| builtin_holder(WEBHOOK, Role::Webhook, token));
        let digest = given.as_ref().map(|holder| holder.digest);
        let mut held = given.map(|given| held(folder, given)).unwrap_or_default();
        let stored = held.former.as_ref().map(|former| former.until);
        if let Some(former) = &mut held.former {
            former.limit(now);
        }
        // Each start would begin the longest grace again.
        if stored != held.former.as_ref().map(|former| former.until)
            && let Some(record) = held.to_write()
            && let Err(error) = write(&folder.join(RECORD), &record)
        {
            tracing::warn!("when the former webhook token ends is not written: {error}");
        }
        Self {
            given: digest,
            held: Arc::new(Mutex::new(held)),
            folder: folder.to_owned(),
            turn: Arc::default(),
        }
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.held().holder.is_some()
    }

    /// Whose this is: the token's, or the former one's while it is good. Both are compared, whichever matches.
    pub(super) fn find(&self, digest: &Digest, now: Timestamp) -> Option<Holder> {
        let mut held = self.held();
        let current = held.holder.clone().filter(|holder| holder.digest.is(digest));
        let former = held
            .former
            .as_mut()
            .filter(|former| former.holder.digest.is(digest));
        let former = former.and_then(|former| {
            former.limit(now);
            (now < former.until).then_some(former)
        });
        let former = former.map(|former| {
            former.used_at = Some(now);
            former.holder.clone()
        });
        current.or(former)
    }

    /// The clock was set by so much, back where that is negative: the former one lasts as long as it would have.
    pub(super) fn move_by(&self, step: SignedDuration) {
        let moved = |at: Timestamp| at.saturating_add(step).unwrap_or(at);
        {
            let mut held = self.held();
            let Some(former) = &mut held.former else { return };
            former.until = moved(former.until);
            former.used_at = former.used_at.map(moved);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (turn, held) = (Arc::clone(&self.turn), Arc::clone(&self.held));
        let path = self.folder.join(RECORD);
        runtime.spawn(async move {
            let _turn = turn.lock_owned().await;
            let record = held.lock().unwrap_or_else(PoisonError::into_inner).to_write();
            let Some(record) = record else { return };
            if let Err(error) = stored(path, move |path| write(path, &record)).await {
                tracing::warn!("when the former webhook token ends is not written: {error}");
            }
        });
    }

    /// The former one, while it is good.
    pub(super) fn former(&self, now: Timestamp) -> Option<FormerToken> {
        let mut held = self.held();
        let former = held.former.as_mut()?;
        former.limit(now);
        if now >= former.until {
            return None;
        }
        Some(FormerToken {
            good_until: Time(former.until),
            last_used_at: former.used_at.map(Time),
        })
    }

    /// How long the former one is to stay good.
    pub(super) fn grace(seconds: Option<u32>) -> Result<SignedDuration, TokenError> {
        let grace = seconds.map_or(GRACE, |seconds| SignedDuration::from_secs(seconds.into()));
        if grace > LONGEST {
            let most = LONGEST.as_secs();
            return Err(TokenError::Invalid(format!(
                "graceSeconds: must be at most {most}"
            )));
        }
        Ok(grace)
    }

    /// Makes another one; the former one stays good for so long, and the one before that ends. Durable before it is in force.
    pub(super) async fn rotate(
        &self,
        grace: SignedDuration,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (Some(given), Some(before)) = (self.given, self.held().holder.clone()) else {
            return Err(TokenError::Unknown(WEBHOOK.to_owned()));
        };
        let until = now.saturating_add(grace).unwrap_or(now);
        let secret = SecretString::from(format!("{PREFIX}{}", fresh().expose_secret()));
        let holder = builtin_holder(WEBHOOK, Role::Webhook, &secret);
        let record = Record {
            sha256: holder.digest.to_hex(),
            given: given.to_hex(),
            former: before.digest.to_hex(),
            former_until: until,
        };
        let text = SecretString::from(format!("{}\n", secret.expose_secret()));
        let after = Held {
            holder: Some(holder),
            former: Some(Former {
                holder: before,
                until,
                used_at: None,
            }),
            record: Some(record.clone()),
        };
        let (folder, held) = (self.folder.clone(), Arc::clone(&self.held));
        // To its end, also where the client that requested it is gone meanwhile.
        let rotating = tokio::spawn(async move {
            let _turn = turn;
            // In this order: after a crash in between, the file is none of this record's and the token is the former one,
            // which every sender has.
            stored(folder.join(RECORD), move |path| write(path, &record)).await?;
            stored(folder.join(TOKEN), move |path| {
                write_text(path, text.expose_secret())
            })
            .await?;
            *held.lock().unwrap_or_else(PoisonError::into_inner) = after;
            Ok::<(), TokenError>(())
        });
        let rotated = rotating.await.unwrap_or_else(|error| {
            Err(TokenError::Disk {
                path: self.folder.join(TOKEN),
                source: std::io::Error::other(error),
            })
        });
        rotated?;
        let row = TokenRow {
            name: WEBHOOK.to_owned(),
            role: Role::Webhook,
            created_at: Time(now),
            created_by: by.to_owned(),
            expires_at: None,
            last_used_at: None,
            expired: false,
        };
        Ok((row, secret))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that runs under this lock can leave it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in force, of the token that is given and what the folder says became of it.
fn held(folder: &Path, given: Holder) -> Held {
    let text = std::fs::read(folder.join(RECORD)).unwrap_or_default();
    let record: Record = serde_json::from_slice(&text).unwrap_or_default();
    let is = |hex: &str, digest: &Digest| Digest::from_hex(hex).is_some_and(|known| known.is(digest));
    let in_force = if is(&record.sha256, &given.digest) {
        Some(given.clone())
    } else if is(&record.given, &given.digest) {
        let token = std::fs::read_to_string(folder.join(TOKEN)).unwrap_or_default();
        let token = SecretString::from(token.trim().to_owned());
        let rotated = builtin_holder(WEBHOOK, Role::Webhook, &token);
        if is(&record.former, &rotated.digest) {
            // A further rotation was cut short: what the one before it made is what every sender has.
            return Held {
                holder: Some(rotated),
                ..Held::default()
            };
        }
        Some(rotated).filter(|rotated| is(&record.sha256, &rotated.digest))
    } else {
        None
    };
    // Another one was chosen since, or the rotation was cut short.
    let Some(in_force) = in_force else {
        return Held {
            holder: Some(given),
            ..Held::default()
        };
    };
    let former = Digest::from_hex(&record.former).map(|digest| Former {
        holder: Holder {
            digest,
            ..in_force.clone()
        },
        until: record.former_until,
        used_at: None,
    });
    Held {
        holder: Some(in_force),
        former,
        record: Some(record),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const GIVEN: &str = "the-token-of-the-first-start";

    fn at(hours: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    fn open(folder: &Path, token: &str) -> WebhookToken {
        open_at(folder, token, 0)
    }

    fn open_at(folder: &Path, token: &str, hours: i64) -> WebhookToken {
        WebhookToken::open(folder, Some(&SecretString::from(token.to_owned())), at(hours))
    }

    fn is_good(token: &WebhookToken, secret: &str, hours: i64) -> bool {
        token.find(&Digest::of(secret), at(hours)).is_some()
    }

    #[tokio::test]
    async fn the_former_webhook_token_is_good_for_a_while_and_never_more_than_two_are() {
        let folder = tempfile::tempdir().unwrap();
        let token = open(folder.path(), GIVEN);
        let grace = WebhookToken::grace(None).unwrap();
        let (row, second) = token.rotate(grace, "ada", at(0)).await.unwrap();
        assert_eq!((row.name.as_str(), row.role), ("webhook", Role::Webhook));
        assert!(is_good(&token, second.expose_secret(), 1000));
        assert!(is_good(&token, GIVEN, 23) && !is_good(&token, GIVEN, 24));
        let former = token.former(at(23)).unwrap();
        assert_eq!(
            (former.good_until, former.last_used_at),
            (Time(at(24)), Some(Time(at(23))))
        );
        assert_eq!(token.former(at(24)), None);
        let (_, third) = token.rotate(grace, "ada", at(1)).await.unwrap();
        assert!(!is_good(&token, GIVEN, 1), "two are enough");
        assert!(is_good(&token, second.expose_secret(), 1) && is_good(&token, third.expose_secret(), 1));
        let none = WebhookToken::grace(Some(0)).unwrap();
        let (_, last) = token.rotate(none, "ada", at(2)).await.unwrap();
        assert!(!is_good(&token, third.expose_secret(), 2) && is_good(&token, last.expose_secret(), 2));
        assert!(WebhookToken::grace(Some(40 * 86_400)).is_err());
    }

    #[tokio::test]
    async fn a_rotation_of_the_webhook_token_outlives_a_restart_whether_it_came_from_file_or_environment() {
        let folder = tempfile::tempdir().unwrap();
        let token = open(folder.path(), GIVEN);
        let day = SignedDuration::from_hours(24);
        token.rotate(day, "ada", at(0)).await.unwrap();
        let (_, last) = token.rotate(day, "ada", at(1)).await.unwrap();
        let path = folder.path().join(TOKEN);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().trim(),
            last.expose_secret()
        );
        for name in [TOKEN, RECORD] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let text = std::fs::read_to_string(folder.path().join(RECORD)).unwrap();
        assert!(
            !text.contains(last.expose_secret()) && !text.contains(GIVEN),
            "{text}"
        );
        for given in [last.expose_secret(), GIVEN] {
            let again = open(folder.path(), given);
            assert!(is_good(&again, last.expose_secret(), 2), "{given}");
            assert!(!is_good(&again, GIVEN, 2), "the one before the former one");
            assert!(again.former(at(24)).is_some() && again.former(at(25)).is_none());
        }
        // A person chose another one.
        let other = open(folder.path(), "another-token-by-hand");
        assert!(is_good(&other, "another-token-by-hand", 2) && !is_good(&other, last.expose_secret(), 2));
        assert_eq!(other.former(at(2)), None);
    }

    #[tokio::test]
    async fn a_rotation_of_the_webhook_token_that_was_cut_short_leaves_the_former_one_in_force() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TOKEN), GIVEN).unwrap();
        open(folder.path(), GIVEN)
            .rotate(SignedDuration::ZERO, "ada", at(0))
            .await
            .unwrap();
        // Its record was written, and its token was not.
        std::fs::write(folder.path().join(TOKEN), GIVEN).unwrap();
        assert!(is_good(&open(folder.path(), GIVEN), GIVEN, 1));
        std::fs::write(folder.path().join(RECORD), "{").unwrap();
        assert!(is_good(&open(folder.path(), GIVEN), GIVEN, 1));
    }

    #[tokio::test]
    async fn a_second_rotation_of_a_webhook_token_that_was_cut_short_leaves_what_the_first_one_made_in_force()
    {
        let folder = tempfile::tempdir().unwrap();
        let day = SignedDuration::from_hours(24);
        let token = open(folder.path(), GIVEN);
        let (_, second) = token.rotate(day, "ada", at(0)).await.unwrap();
        let (_, third) = token.rotate(day, "ada", at(1)).await.unwrap();
        // Its record was written, and its token was not; the environment has the first one.
        let text = format!("{}\n", second.expose_secret());
        std::fs::write(folder.path().join(TOKEN), text).unwrap();
        for given in [GIVEN, second.expose_secret()] {
            let again = open(folder.path(), given);
            assert!(is_good(&again, second.expose_secret(), 2), "{given}");
            for none in [GIVEN, third.expose_secret()] {
                assert!(!is_good(&again, none, 2), "{given}");
            }
        }
        let (_, fourth) = open(folder.path(), GIVEN)
            .rotate(day, "ada", at(2))
            .await
            .unwrap();
        let again = open(folder.path(), GIVEN);
        for good in [second.expose_secret(), fourth.expose_secret()] {
            assert!(is_good(&again, good, 3));
        }
        assert!(!is_good(&again, GIVEN, 3));
    }

    #[tokio::test]
    async fn a_rotation_of_the_webhook_token_comes_to_its_end_without_its_client() {
        let folder = tempfile::tempdir().unwrap();
        let token = open(folder.path(), GIVEN);
        {
            let mut rotating = std::pin::pin!(token.rotate(SignedDuration::ZERO, "ada", at(0)));
            let poll = |context: &mut std::task::Context<'_>| {
                std::task::Poll::Ready(rotating.as_mut().poll(context).is_pending())
            };
            // It has begun, and its client goes.
            assert!(std::future::poll_fn(poll).await, "it writes meanwhile");
        }
        let _turn = token.turn.lock().await;
        assert!(!is_good(&token, GIVEN, 1));
        let text = std::fs::read_to_string(folder.path().join(TOKEN)).unwrap();
        assert!(is_good(&token, text.trim(), 1));
    }

    #[tokio::test]
    async fn a_former_webhook_token_of_a_clock_that_was_ahead_ends_within_the_longest_grace() {
        let (folder, year) = (tempfile::tempdir().unwrap(), 365 * 24);
        let token = open(folder.path(), GIVEN);
        let day = SignedDuration::from_hours(24);
        token.rotate(day, "ada", at(year)).await.unwrap();
        assert!(is_good(&token, GIVEN, 0) && is_good(&token, GIVEN, 719));
        assert!(!is_good(&token, GIVEN, 720) && token.former(at(720)).is_none());
        // The same at a start, and a further start adds nothing.
        assert!(is_good(&open(folder.path(), GIVEN), GIVEN, 719));
        let again = open_at(folder.path(), GIVEN, 700);
        assert!(is_good(&again, GIVEN, 719) && !is_good(&again, GIVEN, 720));
    }

    #[tokio::test]
    async fn a_former_webhook_token_lasts_as_long_as_it_would_have_when_the_clock_is_set() {
        let (folder, year) = (tempfile::tempdir().unwrap(), 365 * 24);
        let token = open(folder.path(), GIVEN);
        let day = SignedDuration::from_hours(24);
        token.rotate(day, "ada", at(year)).await.unwrap();
        token.move_by(SignedDuration::from_hours(-year));
        assert!(is_good(&token, GIVEN, 23) && !is_good(&token, GIVEN, 24));
        let until = serde_json::to_string(&at(24)).unwrap();
        let is_written = || {
            let text = std::fs::read_to_string(folder.path().join(RECORD)).unwrap();
            text.contains(&until)
        };
        for _ in 0..500 {
            if is_written() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let again = open(folder.path(), GIVEN);
        assert!(is_good(&again, GIVEN, 23) && !is_good(&again, GIVEN, 24));
        again.move_by(SignedDuration::from_hours(year));
        assert!(is_good(&again, GIVEN, year + 23) && !is_good(&again, GIVEN, year + 24));
    }

    #[test]
    fn a_webhook_token_of_nothing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_good(&open(folder.path(), " "), " ", 0));
        assert!(!is_good(&WebhookToken::open(folder.path(), None, at(0)), "", 0));
    }
}
