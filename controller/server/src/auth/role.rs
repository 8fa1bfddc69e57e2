//! The four roles and what a request can need of one. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Post alerts; nothing else.
    Webhook,
    /// Read everything but tokens and the audit log.
    Viewer,
    /// Viewer, and what a shift does: scale, restart, approve, change what runs.
    Operator,
    /// Everything.
    Admin,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be somebody: asking what one may do, ending one's session.
    Known,
    Read,
    Alert,
    Operate,
    Administer,
}

impl Need {
    /// The least role that has it; the webhook's beside the others, for it reads nothing.
    pub(crate) fn least(self) -> &'static str {
        match self {
            Self::Known => "any",
            Self::Read => "viewer",
            Self::Alert => "webhook or operator",
            Self::Operate => "operator",
            Self::Administer => "admin",
        }
    }
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 4] = [Self::Webhook, Self::Viewer, Self::Operator, Self::Admin];

    /// As it is spelled in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn may(self, need: Need) -> bool {
        match self {
            Self::Webhook => matches!(need, Need::Known | Need::Alert),
            Self::Viewer => matches!(need, Need::Known | Need::Read),
            Self::Operator => need != Need::Administer,
            Self::Admin => true,
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
        role.ok_or_else(|| format!("{text:?} is no role: use viewer, operator, admin or webhook"))
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
}
