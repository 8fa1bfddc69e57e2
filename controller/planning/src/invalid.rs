//! A spec that cannot be followed as things stand. Pure.

/// Why nothing can be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The condition's reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}
