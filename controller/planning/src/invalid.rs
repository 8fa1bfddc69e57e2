//! A spec that cannot be followed as things stand. Pure.

use aegis_api::Reason;

/// Why nothing can be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The condition's reason.
    pub reason: Reason,
    /// Human-readable.
    pub message: String,
}
