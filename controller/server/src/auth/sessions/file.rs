//! Sessions on disk, in `<state>/.secrets/sessions.json`, so that users stay logged in when the controller
//! restarts. Owns that file and does I/O. No login is possible with it: cookies and tokens are in it as SHA-256.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Holder;
use super::super::private_file::write;
use super::super::role::Role;
use super::super::secret::Digest;
use super::{Session, Sessions};

/// A session as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Row {
    /// Of the cookie.
    sha256: String,
    /// SHA-256 of the page's secret. A session of an earlier version, which had none, ends.
    #[serde(default)]
    secret: String,
    user: String,
    role: Role,
    /// SHA-256 of the token that began it, with which it ends.
    token: String,
    /// When the token expires by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_expires_at: Option<Timestamp>,
    expires_at: Timestamp,
    used_at: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    sessions: Vec<Row>,
}

impl Row {
    pub(super) fn of(key: Digest, session: &Session) -> Self {
        Self {
            sha256: key.to_hex(),
            secret: session.secret.to_hex(),
            user: session.holder.user.to_string(),
            role: session.holder.role,
            token: session.holder.digest.to_hex(),
            token_expires_at: session.holder.expires_at,
            expires_at: session.expires_at,
            used_at: session.used_at,
        }
    }

    /// The session, unless its hashes are none.
    pub(super) fn read(self) -> Option<(Digest, Session)> {
        let key = Digest::from_hex(&self.sha256)?;
        let holder = Holder {
            user: self.user.into(),
            role: self.role,
            digest: Digest::from_hex(&self.token)?,
            expires_at: self.token_expires_at,
        };
        let session = Session {
            holder,
            secret: Digest::from_hex(&self.secret)?,
            expires_at: self.expires_at,
            until: self.expires_at,
            used_at: self.used_at,
        };
        Some((key, session))
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct SessionFile {
    path: PathBuf,
    /// Changes come one after the other.
    writing: tokio::sync::Mutex<()>,
}

impl SessionFile {
    /// Reads what an earlier process left. A file that cannot be read ends sessions and nothing else: people log in again.
    pub(crate) fn open(folder: &Path, sessions: &Sessions, now: Timestamp) -> Self {
        let path = folder.join("sessions.json");
        let content = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::from),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Content::default()),
            Err(error) => Err(error),
        };
        match content {
            Ok(content) => sessions.restore(content.sessions, now),
            Err(error) => {
                tracing::warn!(
                    "cannot read {}, so browsers must log in again: {error}",
                    path.display()
                );
            }
        }
        Self {
            path,
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Writes the sessions as they are. They are in force whether or not that succeeds.
    pub(crate) async fn save(&self, sessions: &Sessions, now: Timestamp) {
        let _turn = self.writing.lock().await;
        let content = Content {
            sessions: sessions.rows(now),
        };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &content)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(
                "cannot write {}, so browsers must log in again after a restart: {error}",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Begun;
    use super::*;
    use jiff::SignedDuration;
    use secrecy::{ExposeSecret as _, SecretString};
    use std::os::unix::fs::PermissionsExt as _;

    fn at(hours: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    fn holder() -> Holder {
        Holder {
            user: "anna".into(),
            role: Role::Operator,
            digest: Digest::of("token"),
            expires_at: None,
        }
    }

    fn open(folder: &Path, now: Timestamp) -> (Sessions, SessionFile) {
        let sessions = Sessions::default();
        let file = SessionFile::open(folder, &sessions, now);
        (sessions, file)
    }

    fn key(cookie: &SecretString) -> Digest {
        Digest::of(cookie.expose_secret())
    }

    #[tokio::test]
    async fn a_session_outlives_the_process_and_the_file_grants_no_access() {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, file) = open(folder.path(), at(0));
        let Begun {
            cookie,
            secret,
            session: before,
        } = sessions.begin(holder().into(), at(0));
        file.save(&sessions, at(0)).await;
        let path = folder.path().join("sessions.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for secret in [&cookie, &secret] {
            assert!(!text.contains(secret.expose_secret()), "{text}");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let (again, file) = open(folder.path(), at(1));
        let session = again.touch(&key(&cookie), at(1)).unwrap();
        assert_eq!(session.holder, before.holder);
        assert!(session.is_proved_by(secret.expose_secret()));
        assert_eq!(session.expires_at, before.expires_at);
        again.end(&key(&cookie));
        file.save(&again, at(1)).await;
        let (after, _) = open(folder.path(), at(1));
        assert!(
            after.touch(&key(&cookie), at(1)).is_none(),
            "logged out is logged out"
        );
    }

    #[tokio::test]
    async fn a_session_that_was_written_without_a_secret_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, file) = open(folder.path(), at(0));
        let cookie = sessions.begin(holder().into(), at(0)).cookie;
        file.save(&sessions, at(0)).await;
        let path = folder.path().join("sessions.json");
        let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        content["sessions"][0].as_object_mut().unwrap().remove("secret");
        std::fs::write(&path, content.to_string()).unwrap();
        let (again, _) = open(folder.path(), at(0));
        assert!(again.touch(&key(&cookie), at(0)).is_none());
    }

    #[tokio::test]
    async fn what_expired_meanwhile_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, file) = open(folder.path(), at(0));
        let cookie = sessions.begin(holder().into(), at(0)).cookie;
        file.save(&sessions, at(0)).await;
        let (late, file) = open(folder.path(), at(13));
        assert!(late.touch(&key(&cookie), at(0)).is_none());
        file.save(&late, at(13)).await;
        let text = std::fs::read_to_string(folder.path().join("sessions.json")).unwrap();
        assert!(!text.contains("sha256"), "{text}");
    }

    #[tokio::test]
    async fn a_session_of_a_clock_that_was_ahead_lasts_no_longer_than_one_may() {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, file) = open(folder.path(), at(1000));
        let cookie = sessions.begin(holder().into(), at(1000)).cookie;
        file.save(&sessions, at(1000)).await;
        let (again, _) = open(folder.path(), at(0));
        assert_eq!(again.touch(&key(&cookie), at(0)).unwrap().expires_at, at(168));
        assert!(
            again.touch(&key(&cookie), at(12)).is_none(),
            "unused for 12 hours"
        );
    }

    #[tokio::test]
    async fn uses_are_written_now_and_then_and_a_damaged_file_ends_sessions_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sessions.json"), "{").unwrap();
        let (sessions, file) = open(folder.path(), at(0));
        let cookie = sessions.begin(holder().into(), at(0)).cookie;
        file.save(&sessions, at(0)).await;
        assert!(!sessions.are_due(at(0)));
        assert!(sessions.touch(&key(&cookie), at(11)).is_some());
        assert!(sessions.are_due(at(11)));
        file.save(&sessions, at(11)).await;
        assert!(!sessions.are_due(at(11)));
        let (again, _) = open(folder.path(), at(22));
        assert!(
            again.touch(&key(&cookie), at(22)).is_some(),
            "it was used 11 hours ago"
        );
    }
}
