//! What became of a message that was posted. Data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It was taken; where it stands, if the receiver says.
    Taken(Option<MessageRef>),
    /// Later, perhaps: after the pause that was requested (`Retry-After`), if one was.
    Later { why: String, after: Option<Duration> },
    /// The body was refused; another one may be taken.
    BodyRefused { why: String },
    /// Nothing will be taken for now: the webhook was revoked, the receiver is not set up.
    Refused { why: String },
    /// Nothing will ever be taken until a person changes something: the token was revoked, there is no such channel.
    Revoked { why: String },
}

impl Posted {
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }

    /// Why it was not taken.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Taken(_) => "",
            Self::Later { why, .. }
            | Self::BodyRefused { why }
            | Self::Refused { why }
            | Self::Revoked { why } => why,
        }
    }
}

/// Where a message of ours stands, as Slack names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRef {
    /// The channel's id.
    pub(crate) channel: String,
    /// The message's timestamp, which is its id within the channel.
    pub(crate) ts: String,
}
