//! The Docker driver: [`Engine`] and its two implementors. The only crate that imports bollard.
//! Does I/O; decides nothing.

mod convert;
pub mod create;
pub mod engine;
pub mod fake;
pub mod observed;

pub use engine::{
    CreateSpec, Engine, EngineError, EngineResult, Files, HttpAnswer, ListFilter, LogQuery, ProbeError,
};
