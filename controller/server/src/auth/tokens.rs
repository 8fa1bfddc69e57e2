//! Named tokens: made, listed, revoked; kept as SHA-256 in `<state>/.secrets/tokens.json`. Owns that file and does I/O:
//! a change is durable before it is in force, and when a token was last used is written now and then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::Time;
use aegis_api::access::TokenRow;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::private_file::write;
use super::role::Role;
use super::secret::{Digest, fresh};

/// What every token begins with, so that scanners for secrets know one.
pub(super) const PREFIX: &str = "aegis_";
/// Most tokens there may be.
const MOST: usize = 1000;
/// The longest name.
const LONGEST: usize = 63;
/// How exactly the last use is known.
const USE_STEP: SignedDuration = SignedDuration::from_mins(1);
/// How often, at most, uses alone lead to a write.
const USE_WRITES: SignedDuration = SignedDuration::from_mins(10);
/// Names that mean somebody else.
const RESERVED: [&str; 3] = ["admin", "webhook", "system"];

/// Why a token is not made, revoked or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The name is taken.
    #[error("there is a token {0:?} already: revoke it first, or choose another name")]
    Taken(String),
    /// There is no such token.
    #[error("there is no token {0:?}")]
    Unknown(String),
    /// The file cannot be read or written; nothing was changed.
    #[error("cannot use {}", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not one of ours.
    #[error("{} is damaged: {message}. Mend it, or remove it to revoke every token", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// A token as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    sha256: String,
    created_at: Timestamp,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Token {
    entry: Entry,
    digest: Digest,
}

/// What a presented token turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) digest: Digest,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The named tokens.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    book: Mutex<Book>,
    /// Changes come one after the other.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Book {
    tokens: Vec<Token>,
    /// When uses were last written.
    written: Timestamp,
}

impl Tokens {
    /// Reads the tokens of a state directory.
    pub fn open(state_dir: &Path) -> Result<Self, TokenError> {
        let path = state_dir.join(".secrets").join("tokens.json");
        let damaged = |message: String| TokenError::Damaged {
            path: path.clone(),
            message,
        };
        let file: File = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(source) => return Err(TokenError::Disk { path, source }),
        };
        let mut tokens = Vec::new();
        for entry in file.tokens {
            let digest = Digest::from_hex(&entry.sha256)
                .ok_or_else(|| damaged(format!("sha256 of {:?} is no SHA-256", entry.name)))?;
            tokens.push(Token { entry, digest });
        }
        let book = Book {
            tokens,
            written: aegis_clock::timestamp(),
        };
        Ok(Self {
            path,
            book: Mutex::new(book),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    /// The folder of what only this controller may read.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The token that this is the digest of, if it is still good. Every token is compared, whichever matches.
    pub(crate) fn find(&self, presented: &Digest, now: Timestamp) -> Option<Known> {
        let book = self.book();
        let mut found = None;
        for token in &book.tokens {
            if token.digest.is(presented) {
                found = Some(token);
            }
        }
        found.filter(|token| token.is_good(now)).map(Token::known)
    }

    /// Notes a use. Answers whether uses should be written.
    pub(crate) fn used(&self, presented: &Digest, now: Timestamp) -> bool {
        let mut book = self.book();
        let token = book.tokens.iter_mut().find(|token| token.digest == *presented);
        let Some(token) = token else { return false };
        // Of a clock that was set back, no use was lately, and none was written.
        let recent = |at: Timestamp| now.duration_since(at).abs() < USE_STEP;
        if token.entry.last_used_at.is_some_and(recent) {
            return false;
        }
        token.entry.last_used_at = Some(now);
        let due = now.duration_since(book.written).abs() >= USE_WRITES;
        if due {
            book.written = now;
        }
        due
    }

    /// Every token, by name.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<TokenRow> {
        let mut rows: Vec<TokenRow> = self.book().tokens.iter().map(|token| token.row(now)).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    pub(crate) async fn create(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        check(name)?;
        if expires_at.is_some_and(|at| at <= now) {
            return Err(TokenError::Invalid("expiresAt: must be in the future".to_owned()));
        }
        let _turn = self.writing.lock().await;
        let mut tokens = self.book().tokens.clone();
        if tokens.iter().any(|token| token.entry.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        if tokens.len() >= MOST {
            return Err(TokenError::Invalid(format!(
                "there are {MOST} tokens: revoke some first"
            )));
        }
        let secret = SecretString::from(format!("{PREFIX}{}", fresh().expose_secret()));
        let digest = Digest::of(secret.expose_secret());
        let entry = Entry {
            name: name.to_owned(),
            role,
            sha256: digest.to_hex(),
            created_at: now,
            created_by: by.to_owned(),
            expires_at,
            last_used_at: None,
        };
        let token = Token { entry, digest };
        tokens.push(token.clone());
        self.save(tokens).await?;
        let row = token.row(now);
        self.book().tokens.push(token);
        Ok((row, secret))
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, name: &str, now: Timestamp) -> Result<TokenRow, TokenError> {
        let _turn = self.writing.lock().await;
        let mut tokens = self.book().tokens.clone();
        let found = tokens.iter().position(|token| token.entry.name == name);
        let position = found.ok_or_else(|| TokenError::Unknown(name.to_owned()))?;
        let gone = tokens.remove(position);
        self.save(tokens).await?;
        self.book().tokens.retain(|token| token.entry.name != name);
        Ok(gone.row(now))
    }

    /// Gives a token another secret; its end stays where no other is given.
    pub(crate) async fn rotate(
        &self,
        name: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        let _turn = self.writing.lock().await;
        let mut tokens = self.book().tokens.clone();
        let token = tokens.iter_mut().find(|token| token.entry.name == name);
        let token = token.ok_or_else(|| TokenError::Unknown(name.to_owned()))?;
        let expires_at = expires_at.or(token.entry.expires_at);
        if expires_at.is_some_and(|at| at <= now) {
            let message = "expiresAt: must be in the future".to_owned();
            return Err(TokenError::Invalid(message));
        }
        let secret = SecretString::from(format!("{PREFIX}{}", fresh().expose_secret()));
        token.digest = Digest::of(secret.expose_secret());
        token.entry.sha256 = token.digest.to_hex();
        token.entry.expires_at = expires_at;
        token.entry.last_used_at = None;
        let token = token.clone();
        self.save(tokens).await?;
        let row = token.row(now);
        let mut book = self.book();
        book.tokens.retain(|token| token.entry.name != name);
        book.tokens.push(token);
        Ok((row, secret))
    }

    /// Whether some admin's token among them is good.
    pub(crate) fn has_admin(&self, now: Timestamp) -> bool {
        let book = self.book();
        let mut admins = book.tokens.iter().filter(|token| token.entry.role == Role::Admin);
        admins.any(|token| token.is_good(now))
    }

    /// Writes when tokens were last used.
    pub(crate) async fn write_uses(&self) -> Result<(), TokenError> {
        let _turn = self.writing.lock().await;
        let tokens = self.book().tokens.clone();
        self.save(tokens).await
    }

    async fn save(&self, tokens: Vec<Token>) -> Result<(), TokenError> {
        let file = File {
            tokens: tokens.into_iter().map(|token| token.entry).collect(),
        };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &file)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|source| TokenError::Disk {
            path: self.path.clone(),
            source,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that runs under this lock can leave it half done.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn is_good(&self, now: Timestamp) -> bool {
        self.entry.expires_at.is_none_or(|at| now < at)
    }

    fn known(&self) -> Known {
        Known {
            name: self.entry.name.as_str().into(),
            role: self.entry.role,
            digest: self.digest,
            expires_at: self.entry.expires_at,
        }
    }

    fn row(&self, now: Timestamp) -> TokenRow {
        let entry = self.entry.clone();
        // What was used before the clock was set back was used by now.
        let last_used_at = entry.last_used_at.map(|at| Time(at.min(now)));
        TokenRow {
            expired: !self.is_good(now),
            name: entry.name,
            role: entry.role,
            created_at: Time(entry.created_at),
            created_by: entry.created_by,
            expires_at: entry.expires_at.map(Time),
            last_used_at,
        }
    }
}

fn check(name: &str) -> Result<(), TokenError> {
    let refuse = |why: &str| Err(TokenError::Invalid(format!("name: {name:?} {why}")));
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(sound) {
        return refuse("is no name: use 1 to 63 lower-case letters, digits, '-', '.' and '_'");
    }
    if RESERVED.contains(&name) {
        return refuse("is reserved");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn at(minutes: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn found(tokens: &Tokens, secret: &SecretString, now: Timestamp) -> Option<Role> {
        let digest = Digest::of(secret.expose_secret());
        tokens.find(&digest, now).map(|known| known.role)
    }

    #[tokio::test]
    async fn a_token_outlives_a_restart_and_its_secret_is_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path()).unwrap();
        let (row, secret) = tokens
            .create("ci", Role::Viewer, None, "admin", at(0))
            .await
            .unwrap();
        assert_eq!((row.name.as_str(), row.expired), ("ci", false));
        let path = folder.path().join(".secrets/tokens.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret.expose_secret()));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = Tokens::open(folder.path()).unwrap();
        assert_eq!(found(&again, &secret, at(1)), Some(Role::Viewer));
        again.revoke("ci", at(1)).await.unwrap();
        assert_eq!(found(&again, &secret, at(1)), None);
        assert_eq!(found(&Tokens::open(folder.path()).unwrap(), &secret, at(1)), None);
        assert!(matches!(
            again.revoke("ci", at(1)).await,
            Err(TokenError::Unknown(_))
        ));
    }

    #[tokio::test]
    async fn a_token_ends_when_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path()).unwrap();
        let made = tokens.create("guest", Role::Operator, Some(at(10)), "admin", at(0));
        let (_, secret) = made.await.unwrap();
        assert_eq!(found(&tokens, &secret, at(9)), Some(Role::Operator));
        assert_eq!(found(&tokens, &secret, at(10)), None);
        assert!(tokens.list(at(10))[0].expired);
        assert!(
            tokens
                .create("late", Role::Viewer, Some(at(0)), "admin", at(0))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn names_are_unique_and_plain() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path()).unwrap();
        tokens
            .create("ci", Role::Viewer, None, "admin", at(0))
            .await
            .unwrap();
        let twice = tokens.create("ci", Role::Admin, None, "admin", at(0)).await;
        assert!(matches!(twice, Err(TokenError::Taken(_))));
        for name in ["", "CI", "a b", "admin", "system", "a\u{202e}b", &"x".repeat(64)] {
            let made = tokens.create(name, Role::Viewer, None, "admin", at(0)).await;
            assert!(matches!(made, Err(TokenError::Invalid(_))), "{name}");
        }
    }

    #[tokio::test]
    async fn uses_are_known_to_the_minute_and_written_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path()).unwrap();
        let (_, secret) = tokens
            .create("ci", Role::Viewer, None, "admin", at(0))
            .await
            .unwrap();
        let digest = Digest::of(secret.expose_secret());
        tokens.book().written = at(0);
        let writes = (1..=1800).filter(|second| {
            let now = at(0) + SignedDuration::from_secs(*second);
            tokens.used(&digest, now)
        });
        assert_eq!(writes.count(), 2);
        let used = tokens.list(at(30))[0].last_used_at.unwrap();
        assert!(at(30).duration_since(used.0) < USE_STEP, "{used}");
        let set_back = at(-30);
        assert_eq!(tokens.list(set_back)[0].last_used_at, Some(Time(set_back)));
        tokens.used(&digest, set_back);
        assert_eq!(
            tokens.list(at(0))[0].last_used_at,
            Some(Time(set_back)),
            "as of now"
        );
    }

    #[test]
    fn a_damaged_file_is_named_and_revokes_nothing_by_silence() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".secrets")).unwrap();
        std::fs::write(folder.path().join(".secrets/tokens.json"), "{\"tokens\": [{]}").unwrap();
        let error = Tokens::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokens.json is damaged"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(".secrets"), "in the way").unwrap();
        let made = tokens.create("ci", Role::Viewer, None, "admin", at(0)).await;
        assert!(matches!(made, Err(TokenError::Disk { .. })));
        assert!(tokens.list(at(0)).is_empty());
    }
}
