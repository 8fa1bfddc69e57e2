//! A Workload: from its spec and what is observed to what its containers need next, and what its status then says. Pure.
//!
//! Adopted containers are started, restarted and watched, never removed. Replicas are made by faithful clone or from
//! a template, replaced when they are gone, and removed only after every load balancer has let them go.

pub mod check;
mod conditions;
pub mod dependencies;
pub mod ended;
mod health;
pub mod observed;
pub mod plan;
pub mod preview;
pub mod restart_limit;
pub mod rollout;
pub mod standing;
pub mod status;
mod stopped_by_hand;
pub mod template;
#[cfg(test)]
mod tests;
pub mod validate;
