//! Retrieval, analysis and council: text in, typed proposal out.
//!
//! Owns the judgement: what is wrong, what would help, whether three seats agree. It proposes and never acts: it knows
//! neither the store nor Docker, and everything it is asked comes in as one [`Case`]. The only I/O there will ever be
//! is a model's HTTP; the built-in analyst has none.

pub mod brain;
pub mod builtin;
pub mod case;
pub mod council;
mod facts;
pub mod rag;
pub use aegis_api::redact;

pub use brain::{Brain, BrainConfig, BrainError};
pub use case::{Case, Recalled, ReplicaBounds};
