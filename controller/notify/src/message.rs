//! What is sent to a destination, as it waits. Data.

use bytes::Bytes;
use serde_json::Value;

use crate::mail::Letter;
use crate::webhook::Post;

/// One message, rendered for its destination when the incident stood like this.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// The body of an incoming webhook of Slack's.
    Card(Value),
    /// The incident's own message in a Slack channel; the newest takes the place of one that waits.
    Root(Value),
    /// An entry in the thread of the incident's own message.
    Reply(Value),
    /// The body of a generic webhook.
    Post(Post),
    /// A mail.
    Mail(Box<Letter>),
    /// An incident's trace, as OTLP has it.
    Trace(Bytes),
}

impl Message {
    /// Bytes that it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Card(body) | Self::Root(body) | Self::Reply(body) => body.to_string().len(),
            Self::Post(post) => post.body.len() + post.id.len(),
            Self::Trace(body) => body.len(),
            Self::Mail(letter) => letter.bytes(),
        }
    }
}
