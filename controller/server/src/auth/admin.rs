//! The admin token of the first start: it can be rotated, given an end, and revoked. Owns `admin-token` and `admin.json`
//! in the folder of secrets and does I/O. What `admin.json` says is of the token that it has the hash of: who may
//! write on the host removes the file of a token that is lost, and the next start makes another one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_api::Time;
use aegis_api::access::TokenRow;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::private_file::{stored, write, write_text};
use super::role::Role;
use super::secret::{Digest, fresh};
use super::tokens::{PREFIX, TokenError};
use super::{ADMIN, Holder, builtin_holder};

const TOKEN: &str = "admin-token";
const RECORD: &str = "admin.json";

/// What is known of a token beside itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    revoked: bool,
}

/// The token, if there is one in force.
#[derive(Debug)]
pub(super) struct AdminToken {
    folder: PathBuf,
    holder: Mutex<Option<Holder>>,
    /// Changes come one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl AdminToken {
    /// This token, as far as the folder's record of it allows.
    pub(super) fn open(folder: &Path, token: &SecretString) -> Self {
        let mut holder = builtin_holder(ADMIN, Role::Admin, token);
        let text = std::fs::read(folder.join(RECORD)).unwrap_or_default();
        let record: Record = serde_json::from_slice(&text).unwrap_or_default();
        let is_its = Digest::from_hex(&record.sha256).is_some_and(|digest| digest.is(&holder.digest));
        if is_its {
            holder.expires_at = record.expires_at;
        }
        let is_revoked = is_its && record.revoked;
        let set = !token.expose_secret().trim().is_empty() && !is_revoked;
        Self {
            folder: folder.to_owned(),
            holder: Mutex::new(set.then_some(holder)),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Whose it is, if it is still good.
    pub(super) fn holder(&self, now: Timestamp) -> Option<Holder> {
        let holder = self.held().clone()?;
        holder.expires_at.is_none_or(|at| now < at).then_some(holder)
    }

    /// Makes another one in its place, good until then; durable before it is in force.
    pub(super) async fn rotate(
        &self,
        expires_at: Option<Timestamp>,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        if expires_at.is_some_and(|at| at <= now) {
            return Err(TokenError::Invalid("expiresAt: must be in the future".to_owned()));
        }
        let _turn = self.turn.lock().await;
        let secret = SecretString::from(format!("{PREFIX}{}", fresh().expose_secret()));
        let mut holder = builtin_holder(ADMIN, Role::Admin, &secret);
        holder.expires_at = expires_at;
        // In this order: a crash in between leaves a token that was handed out to no client, and none that was revoked.
        let path = self.folder.join(TOKEN);
        let text = SecretString::from(format!("{}\n", secret.expose_secret()));
        stored(path, move |path| write_text(path, text.expose_secret())).await?;
        self.record(&holder, false).await?;
        *self.held() = Some(holder);
        let row = TokenRow {
            name: ADMIN.to_owned(),
            role: Role::Admin,
            created_at: Time(now),
            created_by: by.to_owned(),
            expires_at: expires_at.map(Time),
            last_used_at: None,
            expired: false,
        };
        Ok((row, secret))
    }

    /// Takes it out of force.
    pub(super) async fn revoke(&self) -> Result<(), TokenError> {
        let _turn = self.turn.lock().await;
        let holder = self.held().clone();
        let holder = holder.ok_or_else(|| TokenError::Unknown(ADMIN.to_owned()))?;
        self.record(&holder, true).await?;
        *self.held() = None;
        Ok(())
    }

    async fn record(&self, holder: &Holder, revoked: bool) -> Result<(), TokenError> {
        let record = Record {
            sha256: holder.digest.to_hex(),
            expires_at: holder.expires_at,
            revoked,
        };
        stored(self.folder.join(RECORD), move |path| write(path, &record)).await
    }

    fn held(&self) -> MutexGuard<'_, Option<Holder>> {
        // Nothing that runs under this lock can leave it half done.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_revoked_or_ends_stays_so_over_restarts_and_another_token_is_judged_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (first, now) = (SecretString::from("the-first-token".to_owned()), Timestamp::now());
        let admin = AdminToken::open(folder.path(), &first);
        assert!(admin.holder(now).is_some());
        let end = now + jiff::SignedDuration::from_hours(1);
        let (row, second) = admin.rotate(Some(end), "ada", now).await.unwrap();
        assert_eq!((row.name.as_str(), row.expires_at), ("admin", Some(Time(end))));
        let text = std::fs::read_to_string(folder.path().join(TOKEN)).unwrap();
        assert_eq!(text.trim(), second.expose_secret());
        let again = AdminToken::open(folder.path(), &second);
        assert!(again.holder(now).is_some() && again.holder(end).is_none());
        again.revoke().await.unwrap();
        assert!(again.holder(now).is_none());
        assert!(AdminToken::open(folder.path(), &second).holder(now).is_none());
        let made = SecretString::from("made by a later start".to_owned());
        assert!(AdminToken::open(folder.path(), &made).holder(end).is_some());
    }
}
