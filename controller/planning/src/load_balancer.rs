//! A LoadBalancer: from its spec and what is observed to the configuration that its nginx should have. Pure.
//!
//! A server is at its address only as long as the engine says so. An upstream without a server is never written: its
//! location answers 503 instead, and connections to its port are closed.

pub mod access_log;
pub mod connections;
pub mod down;
pub mod hold;
pub mod home;
pub mod http2;
pub mod idle;
pub mod membership;
pub mod neighbours;
pub mod observed;
pub mod plan;
pub mod receipts;
pub mod render;
pub mod shutdown;
mod slow_start;
pub mod staging;
pub mod status;
pub mod stream;
mod syntax;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod unavailable;
mod unread;
pub mod validate;
pub mod withdrawal;

/// Path at which every rendered configuration answers with its revision.
pub const REVISION_PATH: &str = "/aegis-revision";
