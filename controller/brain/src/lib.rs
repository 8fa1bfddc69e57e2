//! Retrieval, analysis and council: text in, typed proposal out.
//!
//! Owns the judgement: what is wrong, what would help, whether three seats agree. It proposes and never acts: it knows
//! neither the store nor Docker, and everything it is asked comes in as one [`Case`]. Its only I/O is a
//! model's HTTP, what that cost, and, at the start, prompt templates of a person's own; the built-in analyst has none.

mod answer;
pub mod brain;
pub mod budget;
pub mod builtin;
pub mod case;
mod chain;
pub mod council;
mod facts;
mod known;
pub mod observer;
mod places;
mod prompt;
mod provider;
pub mod rag;
pub mod routes;
mod spending;
#[cfg(feature = "testing")]
mod testing;
pub use aegis_api::redact;

pub use brain::{Brain, BrainConfig, BrainError};
pub use budget::Budget;
pub use builtin::added::{RuleFile, RuleFileError};
pub use builtin::symptoms_of;
pub use case::{Balancer, Case, MEASURED_OUTSIDE, Recalled, ReplicaBounds};
pub use chain::{Chunk, OnChunk};
pub use facts::{gravest_first, reports_error};
pub use observer::{Answered, Observer};
pub use prompt::PromptError;
pub use provider::Timeouts;
pub use provider::config::{ConfigError, ProviderConfig, ProviderKind};
pub use provider::retry::RetryPolicy;
pub use routes::Routes;
pub use spending::SpendLimits;
