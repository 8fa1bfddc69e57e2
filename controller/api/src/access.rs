//! Who may use the controller, as `/auth` shows it: roles, sessions, tokens without their secrets. Owns the shapes; what a
//! role may do is the server's. Pure.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Post alerts; nothing else.
    Webhook,
    /// Read what the dashboard shows: incidents, containers, metrics, runbook; nothing else.
    Dashboard,
    /// Read everything but the values of environment variables, tokens and the audit log.
    Viewer,
    /// Viewer, and what a shift does: scale, restart, approve, change what runs.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Webhook,
        Self::Dashboard,
        Self::Viewer,
        Self::Operator,
        Self::Admin,
    ];

    /// As it is spelled in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Dashboard => "dashboard",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("{text:?} is no role: use viewer, operator, admin, dashboard or webhook"))
    }
}

/// Who one is: `GET /auth/session` and `POST /auth/login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The token's name; `system:anonymous` where none was sent.
    pub user: String,
    /// What that allows.
    pub role: Role,
    /// What a page sends as X-CSRF-Token with every request, and as the sub-protocol `aegis.session.<csrfToken>` on
    /// `/ws`: its cookie alone is worth nothing. Only the answer to a login has it.
    pub csrf_token: Option<String>,
    /// When the session, or the token, ends in any case.
    pub expires_at: Option<Time>,
}

/// A token that is wished for: `POST /auth/tokens`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenWanted {
    /// Whose it is: 1 to 63 lower-case letters, digits, '-', '.' and '_'.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it ends; never, where neither is given.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// Or how long it is good, seconds.
    #[serde(default)]
    pub ttl_seconds: Option<u32>,
}

/// One token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenRow {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: String,
    /// When it ends; null for never.
    pub expires_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
    /// Whether that end has come.
    pub expired: bool,
}

/// What `GET /auth/tokens` answers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenList {
    /// Every token but those of the first start, by name.
    pub tokens: Vec<TokenRow>,
    /// The former webhook token, where it was rotated and that one is still good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_webhook_token: Option<FormerToken>,
}

/// A token that was rotated, while it is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormerToken {
    /// Until when.
    pub good_until: Time,
    /// When it was last shown, since the controller started: a sender still has it.
    pub last_used_at: Option<Time>,
}

/// What `POST /auth/tokens` answers: the only time that the secret is shown.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMade {
    /// What is kept of it.
    #[serde(flatten)]
    pub row: TokenRow,
    /// The token itself.
    pub token: String,
    /// Of the webhook token: until when the former one is good, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_good_until: Option<Time>,
}

impl fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMade")
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

/// What `POST /auth/once` answers: a link that begins one session.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkMade {
    /// Where it leads on this controller.
    pub path: String,
    /// The code in it.
    pub code: String,
    /// The role of the session.
    pub role: Role,
    /// Until when it is good.
    pub expires_at: Time,
}

impl fmt::Debug for LinkMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkMade")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_as_it_is_spelled() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("root".parse::<Role>().unwrap_err().contains("viewer"));
    }

    #[test]
    fn what_is_shown_once_is_not_in_the_debugger_s_words() {
        let link = LinkMade {
            path: "/auth/once?code=c0de".to_owned(),
            code: "c0de".to_owned(),
            role: Role::Admin,
            expires_at: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        assert!(!format!("{link:?}").contains("c0de"));
    }
}
