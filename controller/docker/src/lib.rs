//! The Docker driver: [`Engine`] and what implements it with a daemon. The only crate that imports bollard. For tests there
//! is an engine in memory, in a crate of its own (aegis-docker-fake).
//! Does I/O; decides nothing.

mod cgroup;
mod convert;
mod counters;
pub mod daemon;
pub mod engine;
mod host_files;
mod http1;
pub mod probe;
pub mod script;
pub mod tls;
mod version;

pub use engine::{
    Engine, EngineError, EngineResult, Files, HttpAnswer, ListFilter, LogQuery, OUTPUT_LIMIT, ProbeError,
    Session,
};
pub use version::EngineInfo;
