//! Compose-SRE-Bench: how well an agent responds to incidents on plain Docker.
//!
//! Owns the scenarios, the shop that they happen to, the users, the oracle and the score. It imports no crate of this
//! repository: what it knows of an agent is what any agent can show through [`agent`]. See `docs/sre-bench.md`.

pub mod agent;
pub mod engine;
pub mod http;
pub mod load;
pub mod oracle;
pub mod report;
pub mod run;
pub mod scenario;
pub mod score;
pub mod shop;
pub mod steps;
