//! What a request can need of the role of its sender. Pure.

pub use aegis_api::access::Role;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be somebody: asking what one may do, ending one's session.
    Known,
    /// To read what the dashboard shows.
    Glance,
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
            Self::Glance => "dashboard or viewer",
            Self::Read => "viewer",
            Self::Alert => "webhook or operator",
            Self::Operate => "operator",
            Self::Administer => "admin",
        }
    }

    /// Whether a role has it.
    pub(crate) fn is_of(self, role: Role) -> bool {
        match role {
            Role::Webhook => matches!(self, Self::Known | Self::Alert),
            Role::Dashboard => matches!(self, Self::Known | Self::Glance),
            Role::Viewer => matches!(self, Self::Known | Self::Glance | Self::Read),
            Role::Operator => self != Self::Administer,
            Role::Admin => true,
        }
    }
}
