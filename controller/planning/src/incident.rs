//! An Incident: from what is observed to the next step of its remediation. Pure.
//!
//! Policy and council decide here, the model only proposes; what a step means for the world is the reconciler's.

pub mod gate;
pub mod observed;
pub mod plan;
pub mod readings;
pub mod remedy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod validate;
