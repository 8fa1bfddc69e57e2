//! The Docker driver: [`Engine`] and its two implementors. The only crate that imports bollard.
//! Does I/O; decides nothing.

pub mod bollard;
mod cgroup;
mod convert;
pub mod engine;
pub mod fake;
mod host_files;
mod http1;
pub mod probe;
pub mod script;
mod tls;
mod version;

pub use engine::{Engine, EngineError, EngineResult, Files, HttpAnswer, ListFilter, LogQuery, ProbeError};
pub use version::EngineInfo;
