//! The Docker driver: [`Engine`] and its two implementors. The only crate that imports bollard.
//! Does I/O; decides nothing.

pub mod bollard;
mod cgroup;
mod convert;
pub mod create;
pub mod engine;
pub mod fake;
mod host_files;
mod http1;
pub mod observed;
pub mod probe;
pub mod restart;
pub mod script;
mod tls;
mod version;

pub use engine::{
    CreateSpec, Engine, EngineError, EngineResult, Files, HttpAnswer, HttpRequest, ListFilter, LogQuery,
    ProbeError,
};
